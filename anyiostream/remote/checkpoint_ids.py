"""Ids of LangGraph's checkpoints, which are the order of checkpoints, and come from the wall clock of their process.

Where a server goes on with a thread whose last server had a faster clock, what it saves would count as older than what
is there: the next run would begin with old values, and nobody would notice. A clock that is set back has the same
effect. LangGraph's own generator never goes back in a process, so it is enough to tell it how far others have come.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["advance_ids"]

BY_TIME: Final = 6
"""The version of UUIDs that begin with the time."""


def advance_ids(checkpoint_id: str) -> None:
    """Let every id that LangGraph makes in this process from now on be greater than `checkpoint_id`.

    An id of another form is left alone: its checkpointer has an order of its own.
    """
    from langgraph.checkpoint.base import id as ids  # noqa: PLC0415 -- an extra

    try:
        made = ids.UUID(checkpoint_id)
    except ValueError:
        return
    generator: Any = ids
    newest = generator._last_v6_timestamp  # noqa: SLF001 -- there is no other way
    if made.version == BY_TIME and made.time > (newest or 0):
        generator._last_v6_timestamp = made.time  # noqa: SLF001
