"""Where a run begins that does not go on from where its thread stands: at an earlier checkpoint.

LangGraph continues from any checkpoint of a thread, and takes the newest one for where the thread stands. So such
a run is a branch, which becomes the thread; the checkpoints of the old one are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, final

from anyiostream import asyncio_host
from anyiostream.errors import AnyioStreamError
from anyiostream.remote.assistants import Assistant
from anyiostream.remote.commands import Beginning

__all__ = ["ADDRESS", "NoSuchCheckpoint", "branched", "dropped_from", "has_checkpoint"]

ADDRESS: Final = ("thread_id", "checkpoint_ns")
"""The keys of a configuration by which a checkpointer finds a thread."""

BEGINNING: Final = "00000000-0000-0000-0000-000000000000"
"""The id of a checkpoint that there is not: LangGraph begins with an empty state, as for a new thread."""


@final
class NoSuchCheckpoint(AnyioStreamError):
    """A run cannot begin at a checkpoint that its thread does not have (any more)."""

    def __init__(self) -> None:
        super().__init__("the run cannot begin: its thread has no such checkpoint.")


async def branched(assistant: Assistant, config: dict[str, Any], beginning: Beginning) -> dict[str, Any]:
    """The configuration of a run that begins elsewhere than where its thread stands.

    Args:
        assistant: Which graph; it keeps checkpoints.
        config: The configuration of a run that goes on with the thread: the result if no checkpoint has the message.
        beginning: Where it begins.

    Raises:
        NoSuchCheckpoint: It is to begin at a checkpoint, and the thread does not have it.
    """
    given, checkpoint_id = config["configurable"], beginning.checkpoint_id
    if checkpoint_id is not None and not await has_checkpoint(assistant, config, checkpoint_id):
        raise NoSuchCheckpoint
    if beginning.message_id is not None:
        async with asyncio_host() as host:
            checkpoint_id = await host.run(_before, assistant.graph, _address(config), beginning.message_id)
    if checkpoint_id is None:
        return config
    return {**config, "configurable": {**given, "checkpoint_id": checkpoint_id}}


async def has_checkpoint(
    assistant: Assistant, config: Mapping[str, Any], checkpoint_id: str, *, newest: bool = False
) -> bool:
    """Whether the thread of a configuration has a checkpoint of its outermost graph.

    Args:
        assistant: Which graph; it keeps checkpoints.
        config: Where the checkpointer finds the thread.
        checkpoint_id: The checkpoint.
        newest: Whether it is to be the newest one, at which the thread stands.
    """
    where = _address(config)
    if not newest:
        where["configurable"]["checkpoint_id"] = checkpoint_id
    async with asyncio_host() as host:
        saved = await host.run(assistant.graph.checkpointer.aget_tuple, where)
    return saved is not None and saved.checkpoint["id"] == checkpoint_id


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


def _address(config: Mapping[str, Any]) -> dict[str, Any]:
    given = config["configurable"]
    return {"configurable": {"checkpoint_ns": "", **{name: given[name] for name in ADDRESS if name in given}}}


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
    return isinstance(message, Mapping) and (message.get("type") or message.get("role")) in ("human", "user")


def _id_of(message: Any) -> Any:
    return message.get("id") if isinstance(message, Mapping) else getattr(message, "id", None)
