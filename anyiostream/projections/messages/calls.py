"""`ModelCalls`: tells the model calls of a stream apart, and turns each of their forms into content-block events.

The one place that reads `messages` parts. `run.messages`, the wire, the live view and tracing are all built on it, so
that they agree on where a message begins, what it says, and how it ends.

Rules:

- A `messages` part holds a pair: a content-block event, a LangChain message chunk or a whole message; and metadata,
  whose `run_id` tells concurrent calls apart. If there is none, the call's node and checkpoint namespace do.
- A call ends with its own `message-finish` or `error`. If neither comes, it broke off: it ends with an `error` when
  the task that made it does, when a call with the same key begins, or when the stream ends, whichever is first. If its
  task failed, it ends with the task's graph, or when another task has handled the error.
- Reasoning that comes with the finish only (`reasoning_content`) is a block before it.
- Message chunks need not say which one is the last. Such a message is complete when its task, or the stream, ends well;
  but LangChain's own streams do say so, and one of them without a last chunk broke off.
- Chunks of one message have one id, or it changes between a provider's and LangChain's, or the first ones have none.
  Anything after the last one, or after the whole message, is a repetition; but not the chunks of another task, because
  there are servers that give all messages the same id.
- Tool messages and removals are not messages of a model call, and events of calls whose start was not seen are passed
  over.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple, final

import attrs

from anyiostream.events import Namespace
from anyiostream.namespaces import checkpoint_path, handles_error
from anyiostream.projections.messages.chunks import ChunkReader
from anyiostream.projections.messages.record import text_in

__all__ = ["ENDS", "CallEvent", "ModelCall", "ModelCalls"]

REMEMBERED = 64
"""How many messages are remembered that came in chunks and have ended, so that later chunks of them are ignored."""

ENDS = frozenset({"message-finish", "error"})
"""Events that end a call."""

NOTED = ENDS | {"content-block-start"}
"""Events of an open call of which something is noted."""


@final
@attrs.define(eq=False)
class ModelCall:
    """One model call.

    Attributes:
        key: What identifies its events.
        run_id: The id of the call, or `None` if the stream tells none.
        namespace: The namespace of its graph.
        node: The node that makes it, or `None`.
        message_id: The id of its message, once it is known.
        path: The segments of its task's checkpoint namespace; empty if the stream does not tell.
        whole: Whether the graph gave the message whole, so that nothing is known of the call that made it.
        message: Makes the final message, where the graph has given it in its own class; `None` if it came as events.
        chunks: Reads its chunks, if it comes in such.
        alias: The id that LangChain has given to a message whose provider has named it, too.
        failed_in: The graph in which a task has failed that made it, whose error may be handled; `None` if none has.
        reasons: Whether a block of its reasoning has begun.
        room: The first index that is free for another block.
    """

    key: Hashable
    run_id: Any
    namespace: Namespace
    node: str | None
    message_id: str | None = None
    path: tuple[str, ...] = ()
    whole: bool = False
    message: Callable[[], Any] | None = None
    chunks: ChunkReader | None = None
    alias: str | None = None
    failed_in: Namespace | None = None
    reasons: bool = False
    room: int = 0

    @property
    def task(self) -> str | None:
        """The id of the task that makes it, or `None` if the stream does not tell."""
        return self.path[-1].partition(":")[2] or None if self.path else None

    def belongs_to(self, namespace: Namespace, task_id: str) -> bool:
        """Whether it was made by the task of that id at `namespace`, or somewhere inside it."""
        depth = len(namespace)
        path = self.path or self.namespace
        return path[:depth] == namespace and any(each.partition(":")[2] == task_id for each in path[depth:])


class CallEvent(NamedTuple):
    """One content-block event of a model call.

    A tuple, because there is one for each token.

    Attributes:
        call: The call.
        event: The event: `message-start`, `content-block-delta`, ..., and at last `message-finish` or `error`.
        metadata: What the part says of the call: `run_id`, `langgraph_node`, `ls_model_name`, ...
    """

    call: ModelCall
    event: Mapping[str, Any]
    metadata: Mapping[str, Any]


@final
class ModelCalls:
    """Turns the payloads of `messages` parts into events of calls. Keeps nothing of a call that has ended.

    Attributes:
        skipped: Payloads passed over because no open call could be found for them.
    """

    __slots__ = ("_ended", "_ignored", "_open", "skipped")

    def __init__(self) -> None:
        self._open: dict[Hashable, ModelCall] = {}
        self._ignored: set[Hashable] = set()
        self._ended: dict[Hashable, tuple[str, ...]] = {}
        self.skipped = 0

    def __len__(self) -> int:
        """How many calls are open."""
        return len(self._open)

    def events(self, namespace: Namespace, data: Any) -> Iterable[CallEvent]:
        """The events of one payload.

        Args:
            namespace: The part's.
            data: Its payload, (event, chunk or message, metadata). What is malformed gives nothing.
        """
        try:
            payload, metadata = data
        except (TypeError, ValueError):
            return ()
        if type(metadata) is not dict and not isinstance(metadata, Mapping):
            metadata = {}
        if type(payload) is dict or isinstance(payload, Mapping):
            return self._event(namespace, payload, metadata)
        if "langchain_core.messages" in sys.modules:
            return self._message(namespace, payload, metadata)
        self.skipped += 1
        return ()

    def task_ended(self, namespace: Namespace, result: Mapping[str, Any]) -> Iterable[CallEvent]:
        """The ends of the calls that a task has left open.

        Args:
            namespace: The namespace of the task's graph.
            result: The payload of the `tasks` part that reports its result.
        """
        task_id = result.get("id")
        if not self._open or not isinstance(task_id, str):
            return ()
        left = [call for call in self._open.values() if call.belongs_to(namespace, task_id)]
        if result.get("error"):
            # A task that failed fails its graph: the calls fail with that, and with its error; unless that is handled.
            for call in left:
                call.failed_in = namespace
            return ()
        broken: list[ModelCall] = []
        if handles_error(result):
            broken = [call for call in self._open.values() if call.failed_in == namespace and call not in left]
        return [*self._close(broken, "its task failed"), *self._close(left, interruption(result))]

    def end(self, problem: str | None = None) -> Iterable[CallEvent]:
        """The ends of the calls that are open when the stream ends.

        Args:
            problem: Why the stream ended, if it did not come to its end.
        """
        return self._close(list(self._open.values()), problem)

    def clear(self) -> None:
        """Forget what is open."""
        self._open.clear()
        self._ignored.clear()
        self._ended.clear()

    # --- inside ---

    def _event(
        self, namespace: Namespace, event: Mapping[str, Any], metadata: Mapping[str, Any]
    ) -> Iterable[CallEvent]:
        kind = text_in(event, "event")
        key = (namespace, _run_id(metadata) or _fallback_key(metadata))
        call = self._open.get(key)
        if kind == "message-start":
            if event.get("role") == "tool":
                self._ignored.add(key)
                return ()
            message_id = event.get("id") or event.get("message_id")
            started = self._begin(key, namespace, metadata, None if message_id is None else str(message_id))
            if call is not None:
                return (*self._end(call, "another call began in its place"), CallEvent(started, event, metadata))
            call = started
        elif call is None and kind == "error":
            # What a call ends with that said nothing, or that came in chunks, which do not tell their run.
            call = self._chunked(metadata)
            self._ignored.discard(key)
            if call is None:
                return ()
            del self._open[call.key]
        elif call is None:
            if key in self._ignored:
                if kind in ENDS:
                    self._ignored.discard(key)
            else:
                self.skipped += 1
            return ()
        elif kind in NOTED:
            return [CallEvent(call, each, metadata) for each in self._noted(key, call, event)]
        return (CallEvent(call, event, metadata),)

    def _noted(self, key: Hashable, call: ModelCall, event: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        if event["event"] in ENDS:
            del self._open[key]
            yield from _reasoning_in(event, call)
        else:
            _note_block(call, event)
        yield event

    def _chunked(self, metadata: Mapping[str, Any]) -> ModelCall | None:
        """The open call that an error belongs to whose message comes in chunks: LangChain names that after the run."""
        run_id = _run_id(metadata)
        for call in self._open.values():
            if call.chunks is not None and run_id and str(call.message_id).endswith(str(run_id)):
                return call
        return None

    def _message(self, namespace: Namespace, payload: Any, metadata: Mapping[str, Any]) -> Iterator[CallEvent]:
        from anyiostream.projections.messages import langchain  # noqa: PLC0415 -- an extra

        path = checkpoint_path(metadata)
        named = getattr(payload, "id", None) or _run_id(metadata) or _fallback_key(metadata)
        key: Hashable = (namespace, "chunks", named, path)
        is_chunk = langchain.is_chunk(payload)
        if self._ended:
            ended_in = self._ended.get((namespace, named))
            if ended_in is not None and (not is_chunk or path == ended_in):
                return
        if is_chunk:
            call = self._open.get(key) or self._renamed(namespace, payload.id, metadata)
            if call is None:
                call = self._begin(key, namespace, metadata, payload.id)
                call.chunks = ChunkReader()
            assert call.chunks is not None
            events = call.chunks.events(payload)
            if langchain.is_last(payload):
                events = chain(events, self._finish_chunks(call, None))
        elif langchain.is_message(payload):
            call = self._open.get(key)
            if call is not None:
                # The whole of what has come in chunks.
                events = self._finish_chunks(call, payload)
            else:
                call = ModelCall(None, None, namespace, _node(metadata), payload.id, whole=True)
                call.message = lambda: payload
                events = langchain.events_of_message(payload)
        else:
            self.skipped += not isinstance(payload, langchain.MESSAGES)
            return
        for event in events:
            yield CallEvent(call, event, metadata)

    def _renamed(self, namespace: Namespace, message_id: str | None, metadata: Mapping[str, Any]) -> ModelCall | None:
        """The open call that a chunk belongs to whose id is not that of the chunks before.

        It has none, or LangChain's after a provider's, or those before had none and have not told why they ended. Only
        if there is but one such call in its task.
        """
        run_id = _run_id(metadata)
        about = (namespace, _node(metadata), checkpoint_path(metadata))
        calls = [
            call
            for call in self._open.values()
            if call.chunks is not None
            and (call.namespace, call.node, call.path) == about
            and (call.run_id == run_id or not (call.run_id and run_id))
            and (message_id is None or _may_be_late(call) or _may_be_alias(message_id, call))
        ]
        if len(calls) != 1:
            return None
        call = calls[0]
        if call.message_id is not None:
            call.alias = call.alias or message_id
        elif message_id is not None:
            del self._open[call.key]
            call.message_id, call.key = message_id, (namespace, "chunks", message_id, call.path)
            self._open[call.key] = call
        return call

    def _begin(
        self, key: Hashable, namespace: Namespace, metadata: Mapping[str, Any], message_id: str | None
    ) -> ModelCall:
        self._open.pop(key, None)
        call = ModelCall(key, _run_id(metadata), namespace, _node(metadata), message_id, checkpoint_path(metadata))
        self._open[key] = call
        return call

    def _finish_chunks(self, call: ModelCall, message: Any) -> Iterator[Mapping[str, Any]]:
        assert call.chunks is not None
        del self._open[call.key]
        for message_id in (call.message_id, call.alias):
            if message_id is not None:
                self._ended[call.namespace, message_id] = call.path
        while len(self._ended) > REMEMBERED:
            del self._ended[next(iter(self._ended))]
        call.message = call.chunks.message if message is None else lambda: message
        yield from call.chunks.finish(message)

    def _close(self, calls: Iterable[ModelCall], problem: str | None) -> list[CallEvent]:
        return [event for call in calls for event in self._end(call, problem)]

    def _end(self, call: ModelCall, problem: str | None) -> list[CallEvent]:
        metadata = {"langgraph_node": call.node}
        if call.chunks is not None and problem is None and not _is_langchains(call.message_id):
            return [CallEvent(call, event, metadata) for event in self._finish_chunks(call, None)]
        if self._open.get(call.key) is call:
            del self._open[call.key]
        text = "the model call broke off" + (f": {problem}" if problem else " without an end")
        return [CallEvent(call, {"event": "error", "message": text}, metadata)]


def _note_block(call: ModelCall, start: Mapping[str, Any]) -> None:
    content, index = start.get("content"), start.get("index")
    if isinstance(content, Mapping) and content.get("type") == "reasoning":
        call.reasons = True
    if isinstance(index, int):
        call.room = max(call.room, index + 1)


def _reasoning_in(finish: Mapping[str, Any], call: ModelCall) -> Iterator[Mapping[str, Any]]:
    """The reasoning that only the finish of a message has, in `reasoning_content`, as the events of a block.

    LangChain's events have it as such a block unless the reading of the message's provider passes over it.
    """
    additional = finish.get("additional_kwargs")
    said = text_in(additional, "reasoning_content") if isinstance(additional, Mapping) else ""
    if said and not call.reasons:
        block = {"type": "reasoning", "reasoning": said}
        delta = {"type": "reasoning-delta", "reasoning": said}
        yield {"event": "content-block-start", "index": call.room, "content": {**block, "reasoning": ""}}
        yield {"event": "content-block-delta", "index": call.room, "delta": delta}
        yield {"event": "content-block-finish", "index": call.room, "content": block}


def interruption(result: Mapping[str, Any]) -> str | None:
    """What ended a task early, from the payload that reports its result; `None` if nothing did."""
    if result.get("aborted"):
        return "it was aborted"
    return "its task was interrupted" if result.get("interrupts") else None


def _may_be_late(call: ModelCall) -> bool:
    """Whether the message of a call, which has no id so far, may still be given one."""
    return call.message_id is None and call.chunks is not None and not call.chunks.has_ended


def _may_be_alias(message_id: str, call: ModelCall) -> bool:
    """Whether LangChain may have given this id to the message of a call, which its provider has named."""
    return _is_langchains(message_id) and call.alias in {None, message_id} and not _is_langchains(call.message_id)


def _is_langchains(message_id: str | None) -> bool:
    """Whether LangChain has named a message, because its provider had not."""
    return message_id is not None and message_id.startswith("lc_run-")


def _run_id(metadata: Mapping[str, Any]) -> Any:
    run_id = metadata.get("run_id")
    return run_id if type(run_id) is str or isinstance(run_id, Hashable) else str(run_id)


def _node(metadata: Mapping[str, Any]) -> str | None:
    node = metadata.get("langgraph_node")
    return node if isinstance(node, str) else None


def _fallback_key(metadata: Mapping[str, Any]) -> Hashable:
    return metadata.get("langgraph_node"), metadata.get("langgraph_checkpoint_ns")
