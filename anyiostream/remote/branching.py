"""Where a run begins that answers a message anew: at the checkpoint before that message.

LangGraph continues from any checkpoint of a thread, and takes the newest one for where the thread stands. So the new
answer is a branch, which becomes the thread; the checkpoints of the old one are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from anyiostream import asyncio_host
from anyiostream.remote.assistants import Assistant

__all__ = ["ADDRESS", "branched"]

ADDRESS: Final = ("thread_id", "checkpoint_ns")
"""The keys of a configuration by which a checkpointer finds a thread."""

BEGINNING: Final = "00000000-0000-0000-0000-000000000000"
"""The id of a checkpoint that there is not: LangGraph begins with an empty state, as for a new thread."""


async def branched(assistant: Assistant, config: dict[str, Any], message_id: str) -> dict[str, Any]:
    """The configuration of a run that answers a message anew.

    Args:
        assistant: Which graph; it keeps checkpoints.
        config: The configuration of a run that goes on with the thread: the result if no checkpoint has the message.
        message_id: The id of the message in the `messages` of the graph's state.
    """
    given = config["configurable"]
    address = {"checkpoint_ns": "", **{name: given[name] for name in ADDRESS if name in given}}
    async with asyncio_host() as host:
        checkpoint_id = await host.run(_before, assistant.graph, {"configurable": address}, message_id)
    if checkpoint_id is None:
        return config
    return {**config, "configurable": {**given, "checkpoint_id": checkpoint_id}}


async def _before(graph: Any, newest: Any, message_id: str) -> str | None:
    """The newest checkpoint before a message was said, on the way to where the thread stands; `None` if it was not."""
    said, at = False, newest
    while at is not None:
        state = await graph.aget_state(at)
        if _has(state.values, message_id):
            said = True
        elif said:
            # Where an input has been saved, but not read yet, it is dropped for the new one.
            return str(state.config["configurable"]["checkpoint_id"])
        at = state.parent_config
    return BEGINNING if said else None


def _has(values: Any, message_id: str) -> bool:
    messages = values.get("messages") if isinstance(values, Mapping) else None
    return any(_id_of(each) == message_id for each in messages) if isinstance(messages, list) else False


def _id_of(message: Any) -> Any:
    return message.get("id") if isinstance(message, Mapping) else getattr(message, "id", None)
