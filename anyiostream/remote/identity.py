"""Which thread is meant: an owner's of that id. What an owner's thread is called where there is one name for both."""

from __future__ import annotations

from collections.abc import Callable
from typing import final
from urllib.parse import quote

import attrs

__all__ = ["CheckpointThread", "ThreadKey", "checkpoint_thread"]

CheckpointThread = Callable[[str, str], str]
"""Says what the checkpointer calls a thread: owner and thread's id -> its `thread_id`. No two may have the same."""


@final
@attrs.frozen
class ThreadKey:
    """Tells a thread from all others: two owners may each have a thread of one id.

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

    The id itself for the owner `""`, whom there is without an `authorize` hook; otherwise `owner/id`, with the owner
    escaped as in a URL. A thread's id has no slash, so no two threads have the same name.
    """
    return f"{quote(owner, safe='', errors='surrogatepass')}/{thread_id}" if owner else thread_id
