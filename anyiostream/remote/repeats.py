"""Requests of front ends that come twice: a client or a proxy that has had no answer sends one again.

Its run is begun once, and the repeated request is shown that run. Which runs it is shown: one that is under way, and
one that has ended, unless its user has reason to ask once more: it has failed or was stopped, or the request asks for
another answer, which AI SDK's do in the same words each time.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Final, final

import attrs

from anyiostream.remote.log import LogGap
from anyiostream.remote.refusals import GONE, Refusal
from anyiostream.remote.thread import Thread
from anyiostream.sinks import Request as Asked
from anyiostream.wire.drafts import RUN_ENDS

__all__ = ["MOST_AGAIN", "Earlier", "Known", "begun_before", "known_as"]

MOST_AGAIN: Final = 16
"""How many runs that are not shown again are looked at: more of them for one request in so short a time are no
repeats."""

ENDS: Final = RUN_ENDS | {"interrupted"}


@final
@attrs.frozen
class Earlier:
    """A run that a request has begun before.

    Attributes:
        after: A place in the log before the run's first event.
        end: How it has ended; `None` while it is under way.
    """

    after: int
    end: str | None = None


@final
@attrs.frozen
class Known:
    """By what a request is known if it comes again.

    Attributes:
        once: Tells it from others; `None` if nothing does.
        asks_anew: Whether its user may send just the same for another answer.
    """

    once: str | None
    asks_anew: bool

    def is_answered_by(self, run: Earlier) -> bool:
        """Whether a run is what it is shown if it comes again."""
        return run.end is None or (run.end != "failed" and not self.asks_anew)


def known_as(asked: Asked, protocol: str, assistant: str, key: str | None) -> Known:
    """By what a request is known if it comes again.

    Args:
        asked: What it asks for.
        protocol: In which protocol.
        assistant: Of which graph.
        key: The client's own, from its `Idempotency-Key`.
    """
    told = asked.once if key is None else f"key {key}"
    once = None if told is None else f"asked {sha256(repr((protocol, assistant, told)).encode()).hexdigest()}"
    return Known(once, asked.regenerate is not None and asked.run_id is None and key is None)


async def begun_before(thread: Thread, run_id: str) -> Earlier | None:
    """A run of a thread that was accepted before; `None` if it is not run any more, or was not at all.

    Raises:
        Refusal: Nothing is left of it, HTTP status 410.
    """
    fold, first = thread.fold, thread.log.first - 1
    is_last = fold.run_id == run_id
    # The fold has the run's first event before the store has it.
    began = min(fold.running - 1, thread.log.last) if fold.running else max(fold.turn, first)
    job = thread.find(run_id)
    if job is not None and not job.ended:
        return None if job.aborted else Earlier(began if is_last else max(began, first))
    if thread.stopped_before(run_id) is not None:
        return None
    try:
        return await _ended(thread, run_id, began if is_last else first)
    except LogGap:
        raise _forgotten() from None


async def _ended(thread: Thread, run_id: str, after: int) -> Earlier:
    """The same of a run that has ended, after a place from which on its events are looked for."""
    began: int | None = None
    while entries := await thread.log.read(after):
        for entry in entries:
            if entry.root_event is not None and _run_of(entry.body) == run_id:
                if entry.root_event not in ENDS:
                    began = entry.seq - 1 if began is None else began
                elif began is not None or entry.root_event == "failed":  # maybe before it has begun
                    return Earlier(after if began is None else began, entry.root_event)
        after = entries[-1].seq
    raise _forgotten()


def _run_of(body: bytes) -> str | None:
    """Which run an event of the run itself is of."""
    run_id: str | None = json.loads(body)["params"]["data"].get("run_id")
    return run_id


def _forgotten() -> Refusal:
    return Refusal("invalid_argument", "gap: this request was answered before, and the answer is gone.", status=GONE)
