"""Which thread is meant: that of an owner and an id. And its name, where one name stands for both."""

from __future__ import annotations

from collections.abc import Callable
from typing import final
from urllib.parse import quote

import attrs

__all__ = ["CheckpointThread", "ThreadKey", "checkpoint_thread"]

CheckpointThread = Callable[[str, str], str]
"""Names a thread for the checkpointer: owner and thread id -> `thread_id`. No two threads may share a name."""


@final
@attrs.frozen
class ThreadKey:
    """Identifies a thread: two owners may each have a thread with the same id.

    Attributes:
        owner: Whose it is, as the `authorize` hook has it; `""` without one.
        thread_id: Its id, which the client has chosen.
    """

    owner: str
    thread_id: str

    @property
    def name(self) -> str:
        """One name that no other thread has."""
        return checkpoint_thread(self.owner, self.thread_id)


def checkpoint_thread(owner: str, thread_id: str) -> str:
    """What the checkpointer calls a thread, by default.

    The id itself for the owner `""`, the only one without an `authorize` hook; otherwise `owner/id`, with the owner
    escaped as in a URL. A thread id has no slash, so no two threads share a name.
    """
    return f"{quote(owner, safe='', errors='surrogatepass')}/{thread_id}" if owner else thread_id
