"""Reading a thread back, as an earlier process has left it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from anyiostream.remote.assistants import Assistant
from anyiostream.remote.fold import Fold
from anyiostream.remote.jobs import decoded_job
from anyiostream.remote.store import Claim, Standing
from anyiostream.remote.thread import Thread
from anyiostream.wire.drafts import Draft

__all__ = ["load_thread"]

READ_AT_A_TIME: Final = 256
"""Events."""


async def load_thread(thread: Thread, found: Claim | Standing, assistants: Mapping[str, Assistant]) -> None:
    """Make `thread`, which is new, what has been found: its fold, what has happened since, and its commands."""
    record = found.record
    if not record.last and not found.inbox and record.fold is None:
        return
    fold = Fold() if record.fold is None else Fold.load(record.fold)
    after = record.folded
    while after < record.last and (entries := await thread.log.read(after, READ_AT_A_TIME)):
        for entry in entries:
            if entry.seq > record.last:
                break  # what it changes besides is not known
            draft = Draft.of(entry.body)
            fold.observe(draft)
            fold.placed(draft, entry.seq)
            fold.keep_track(draft, entry.seq)
        after = entries[-1].seq
    fold.watched = max(fold.watched, record.watched)
    jobs = [decoded_job(stored, assistants) for stored in found.inbox]
    thread.restore(fold, jobs, assistants)
