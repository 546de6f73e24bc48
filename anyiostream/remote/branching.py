"""Where a run begins that answers a message anew: at the checkpoint before that message.

LangGraph continues from any checkpoint of a thread, and takes the newest one for where the thread stands. So the new
answer is a branch, which becomes the thread; the checkpoints of the old one are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from anyiostream import asyncio_host
from anyiostream.remote.assistants import Assistant

__all__ = ["ADDRESS", "branched", "dropped_from"]

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


def dropped_from(values: Any, users: Sequence[str]) -> str | None:
    """The first message of a thread's user that a front end does not show any more, or shows as the one to be answered.

    A front end that has no message of the thread's has not dropped them: it has never had them.

    Args:
        values: The thread's state.
        users: The ids of the user's messages that the front end shows, in order; the last one is to be answered.

    Returns:
        The message's id: it is to be answered anew, or another one in its place. `None` if the thread just goes on.
    """
    messages = values.get("messages") if isinstance(values, Mapping) else None
    said = [_id_of(each) for each in messages if _is_user(each)] if isinstance(messages, list) else []
    if not users or users[-1] in said:
        return users[-1] if users else None
    places = {each: place for place, each in reversed([*enumerate(said)]) if isinstance(each, str)}
    last = next((places[each] for each in reversed(users) if each in places), None)
    following = said[last + 1 :] if last is not None else []
    return following[0] if following and isinstance(following[0], str) else None


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


def _is_user(message: Any) -> bool:
    return isinstance(message, Mapping) and (message.get("type") or message.get("role")) in {"human", "user"}


def _id_of(message: Any) -> Any:
    return message.get("id") if isinstance(message, Mapping) else getattr(message, "id", None)
