"""What LangGraph's stream does not say: that a model call failed, that a tool was cancelled, that a graph was left.

A node may retry, fall back to another model, or catch the error, so that neither the run nor the node fails; the stream
shows nothing but a second message that begins. A tool that is cancelled just stops. LangChain's callbacks are called,
though. What the callbacks here learn is put into the stream as the protocol's `error` or `tool-error`.
`langgraph_nested.py` finds out how graphs ended.

Callbacks run where the model and the tool do, ahead of the stream. A failure is shown as soon as it is certain that
everything the call put out is before it in the stream: when a call that began after the failure does, when the task
that made the call ends, and when the stream does.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, suppress
from contextvars import ContextVar
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, final
from uuid import UUID

import attrs
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers.context import register_configure_hook
from langgraph.constants import TAG_NOSTREAM
from langgraph.errors import GraphBubbleUp

from anyiostream import parts
from anyiostream.events import Namespace, StreamPart
from anyiostream.forms import text_of
from anyiostream.loops import current_asyncio_task
from anyiostream.namespaces import checkpoint_path, handles_error
from anyiostream.sources.langgraph_nested import CUT_OFF, NestedGraphs, graph_of
from anyiostream.sources.langgraph_tools import AskingTools, warn_of_mixed_answers
from anyiostream.sources.langgraph_twins import TwinCalls

if TYPE_CHECKING:
    import asyncio

__all__ = ["PRECEDED", "FailedCalls", "Unsaid", "show_failures_inline"]


@final
@attrs.define(eq=False)
class Call:
    """A model call, or the call of a tool.

    Attributes:
        path: The segments of the checkpoint namespace of the task that made it.
        failure: The part to put into the stream if it breaks off, or has failed.
        task: The task of asyncio that a model's tokens come from, once it has put out something there.
        failed_in: The graph in which a task has failed that made it, whose error may be handled; `None` if none has.
    """

    path: tuple[str, ...]
    failure: StreamPart
    task: asyncio.Task[Any] | None = None
    failed_in: Namespace | None = None

    @property
    def shared(self) -> tuple[Namespace, str]:
        """The namespace and the id of a tool's call, which another one may have, too."""
        return self.failure["ns"], str(self.failure["data"]["tool_call_id"])

    def fail(self, problem: str) -> None:
        """It has failed for this reason."""
        event = self.failure["data"][0] if self.failure["type"] == "messages" else self.failure["data"]
        event["message"] = problem


@final
class FailedCalls(BaseCallbackHandler):
    """Notes the calls of one run that fail, until the stream has shown them.

    Attributes:
        preceding: What is to be shown before a message of a later call: the call's id, or the message's -> failures.
        twins: Tells calls of tools apart that have one id.
    """

    run_inline = True  # in the order of what the model puts out, and without a thread
    # LangChain's own is a property, and asked for with each token.
    ignore_llm = False  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]

    def __init__(self, *, tools: bool, chunks: bool) -> None:
        """Note nothing yet.

        Args:
            tools: Whether the stream shows calls of tools.
            chunks: Whether it shows tokens as message chunks; otherwise as events.
        """
        self._tools_shown = tools
        self._chunks_shown = chunks
        self._models: dict[UUID, Call] = {}
        self._silent: dict[UUID, Call] = {}
        self._tools: dict[UUID, Call] = {}
        self._failed: list[Call] = []
        self.preceding: Final[dict[str, list[Call]]] = {}
        self._graphs = NestedGraphs()
        self.twins: Final = TwinCalls()

    @property
    def ignore_chain(self) -> bool:
        """LangChain's name for whether to report graphs, tasks and functions: those inside nodes.

        Outside nodes there are only the graph's own tasks. Reporting these too would take 73 function calls per
        superstep, of some 2,000.
        """
        return var_child_runnable_config.get() is None

    @property
    def ignore_agent(self) -> bool:
        """LangChain's name for whether to report tools."""
        return not self._tools_shown

    # --- what LangChain calls ---

    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,  # noqa: ARG002 -- a callback's argument
        inputs: Any,  # noqa: ARG002 -- likewise
        *,
        run_id: UUID,  # noqa: ARG002 -- likewise
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,  # noqa: ARG002 -- likewise
    ) -> None:
        """Something other than a model or a tool starts: a graph, a task, a function."""
        if tags and metadata:
            self._graphs.started(parent_run_id, tags, metadata)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002 -- likewise
        """It has ended well."""
        self._graphs.forget(run_id)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002 -- likewise
        """It has failed, or was left."""
        self._graphs.failed(run_id, error)

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],  # noqa: ARG002 -- a callback's argument
        messages: list[list[Any]],  # noqa: ARG002 -- likewise
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,  # noqa: ARG002 -- likewise
    ) -> None:
        """A model call begins: all output of those that have failed comes before its own."""
        path = checkpoint_path(metadata or {})
        if metadata is None or not path:
            return
        self._note_cancelled()
        if self._failed:
            self.preceding[str(run_id)] = list(self._failed)
        about: dict[str, Any] = {name: metadata[name] for name in ABOUT if name in metadata}
        event = {"event": "error", "message": ""}
        part = parts.messages(event, {**about, "run_id": str(run_id)}, ns=graph_of(path, metadata))
        self._models[run_id] = self._silent[run_id] = Call(path, part)

    def on_stream_event(self, event: Any, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002 -- a callback
        """A model has produced output."""
        if self._silent and run_id in self._silent:  # a `UUID` is hashed in Python
            self._has_spoken(run_id)

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002 -- a callback
        """A model has produced output, in a chunk."""
        if self._chunks_shown and run_id in self._silent:
            self._has_spoken(run_id)

    def on_llm_end(self, response: Any, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002 -- a callback
        """A model call has ended well. If it has put out nothing, the stream has its message whole, by its id."""
        is_whole = run_id in self._silent
        self._forget(run_id)
        before = self.preceding.pop(str(run_id), None) if is_whole else None
        if before:
            with suppress(AttributeError, IndexError):
                self.preceding[response.generations[0][0].message.id] = before

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002 -- a callback
        """A model call has failed, or was cancelled."""
        is_shown = run_id not in self._silent
        call = self._forget(run_id)
        self.preceding.pop(str(run_id), None)
        if call is not None and is_shown:
            call.fail(text_of(error) or type(error).__name__)
            self._failed.append(call)

    def on_tool_start(
        self,
        serialized: dict[str, Any] | None,  # noqa: ARG002 -- a callback's argument
        input_str: str,  # noqa: ARG002 -- likewise
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A tool is called. The stream says how it ends, unless it is cancelled."""
        path = checkpoint_path(metadata or {})
        if metadata is not None and path and TAG_NOSTREAM not in (kwargs.get("tags") or ()):
            call_id = kwargs.get("tool_call_id") or str(run_id)
            data = {"event": "tool-error", "tool_call_id": call_id, "message": CUT_OFF}
            call = self._tools[run_id] = Call(path, parts.tools(data, ns=graph_of(path, metadata)))
            mark = self.twins.started(call.shared, run_id, kwargs.get("inputs"))
            if mark is not None:
                call.failure["data"]["run_id"] = mark

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002 -- a callback
        """A tool has returned."""
        call = self._tools.pop(run_id, None)
        if call is not None:
            self.twins.ended(call.shared, run_id, "tool-finished", output)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002 -- likewise
        """A tool has failed, which the stream says, or waits for its user."""
        call = self._tools.pop(run_id, None)
        if call is not None:
            shown = None if isinstance(error, GraphBubbleUp) else "tool-error"
            self.twins.ended(call.shared, run_id, shown, text_of(error))

    # --- what the stream asks ---

    @property
    def any_noted(self) -> bool:
        """Whether anything has been noted that parts about tasks decide on; in most supersteps nothing has."""
        return bool(self._failed or self._models or self._tools) or self._graphs.any_noted

    def before(self, part: StreamPart) -> Iterator[StreamPart]:
        """The failures to be shown before a part of the stream."""
        kind, data = part["type"], part["data"]
        if kind == "messages":
            said, metadata = data
            if isinstance(said, BaseMessage):
                yield from self._show(self.preceding.pop(str(said.id), ()))
            elif said.get("event") == "message-start":
                yield from self._show(self.preceding.pop(str(metadata.get("run_id")), ()))
        elif kind == "tasks":
            if "result" in data:
                yield from self._task_ended(part["ns"], data)
            yield from self._graphs.before(part["ns"], data)

    def rest(self) -> Iterator[StreamPart]:
        """The failures to be shown when the stream has come to its end."""
        self._cut_off(0, "")
        yield from self._show(list(self._failed))
        yield from self._graphs.rest()

    # --- inside ---

    def _task_ended(self, namespace: Namespace, data: Mapping[str, Any]) -> Iterator[StreamPart]:
        depth, suffix = len(namespace), f":{data['id']}"
        if data.get("error"):
            # It fails its graph, with the error itself, which says more; unless another task handles that.
            if handles_error(data):
                return
            calls = chain(self._failed, self._models.values(), self._tools.values())
            inside = [call for call in calls if _is_inside(call, depth, suffix)]
            for call in inside:
                call.failed_in = namespace
            # A task that another one has called fails that one, which may catch the error.
            yield from self._show([call for call in inside if not call.path[depth].endswith(suffix)])
            return
        handled = namespace if handles_error(data) else None
        self._cut_off(depth, suffix, handled)
        yield from self._show([call for call in self._failed if _has_made(call, depth, suffix, handled)])

    def _has_spoken(self, run_id: UUID) -> None:
        """The stream shows the call from now on; its task tells whether it is cancelled."""
        call = self._silent.pop(run_id)
        call.task = current_asyncio_task()  # where there is none, nothing is cancelled

    def _forget(self, run_id: UUID) -> Call | None:
        self._silent.pop(run_id, None)
        return self._models.pop(run_id, None)

    def _note_cancelled(self) -> None:
        """LangChain does not report a model call that is cancelled from outside; its task does."""
        for run_id, call in list(self._models.items()):
            if call.task is not None and call.task.cancelled():
                self._forget(run_id)
                call.fail(CUT_OFF)
                self._failed.append(call)

    def _cut_off(self, depth: int, suffix: str, handled: Namespace | None = None) -> None:
        """The tools that a task has called, and that have not ended with it, have been cancelled."""
        self._note_cancelled()
        for run_id, call in list(self._tools.items()):
            if _has_made(call, depth, suffix, handled):
                del self._tools[run_id]
                self.twins.ended(call.shared, run_id)
                self._failed.append(call)

    def _show(self, failed: Iterable[Call]) -> Iterator[StreamPart]:
        for call in failed:
            if call in self._failed:
                self._failed.remove(call)
                yield call.failure


ABOUT: Final = ("langgraph_node", "langgraph_checkpoint_ns", "ls_provider", "ls_model_name")
"""What the stream shows of a call, out of all that its callbacks report."""

PRECEDED: Final = frozenset({"messages", "tasks", "tools"})
"""Types of parts that may not be shown just as they are."""

_handler: ContextVar[FailedCalls | None] = ContextVar("anyiostream_failed_calls", default=None)
register_configure_hook(_handler, inheritable=True)


def _is_inside(call: Call, depth: int, suffix: str) -> bool:
    """Whether a task made the call, itself or somewhere inside it.

    Args:
        call: The call.
        depth: How deep the task's graph is.
        suffix: What its segment ends with.
    """
    return any(segment.endswith(suffix) for segment in call.path[depth:])


def _has_made(call: Call, depth: int, suffix: str, handled: Namespace | None) -> bool:
    """The same, of a task that has ended well; or it has handled the error of the one that did, in this graph."""
    return _is_inside(call, depth, suffix) or (handled is not None and call.failed_in == handled)


@final
class Unsaid:
    """What a graph's stream does not say of itself.

    Attributes:
        preceding: Not empty if something may have to be shown before a message.
        summed: The classes of messages that are not shown just as they are.
    """

    def __init__(
        self, *, tools: bool, chunks: bool, asking: Mapping[str, AskingTools] | None = None, is_async: bool = True
    ) -> None:
        """Listen to the calls of what runs in this context.

        Args:
            tools: Whether the stream shows calls of tools.
            chunks: Whether it shows tokens as message chunks; otherwise as events.
            asking: Name of a node -> its tools whose answers LangGraph may mix up.
            is_async: Whether the graph is run on the async lane.
        """
        self._asking = asking
        self._is_async = is_async
        self._failed = FailedCalls(tools=tools, chunks=chunks)
        self.preceding: Final[Mapping[str, object]] = self._failed.preceding
        self.summed: Final[tuple[type[BaseMessage], ...]] = () if chunks else (AIMessageChunk,)
        _handler.set(self._failed)

    def adds_to(self, part: StreamPart) -> bool:
        """Whether a part is not shown just as it is; then `shown` says how."""
        kind = part["type"]
        if kind == "messages":
            return bool(self.preceding) or isinstance(part["data"][0], self.summed)
        if kind == "tools":
            return bool(self._failed.twins)
        return kind == "tasks" and (bool(self._asking) or self._failed.any_noted)

    def shown(self, part: StreamPart) -> Iterator[StreamPart]:
        """A part of the stream as it is shown, after the failures that come before it."""
        if self._asking and part["type"] == "tasks":
            warn_of_mixed_answers(self._asking, part["data"], is_async=self._is_async)
        yield from self._failed.before(part)
        if part["type"] == "tools":
            part = {**part, "data": self._failed.twins.marked(part["ns"], part["data"])}
        elif part["type"] == "messages":
            said, about = part["data"]
            if isinstance(said, self.summed):
                # The sum of the chunks that a node has streamed itself, and returned: there is nothing behind it.
                part = {**part, "data": (said.model_copy(update={"chunk_position": "last"}), about)}
        yield part

    def rest(self) -> Iterator[StreamPart]:
        """The parts that come after the last part of the stream."""
        return self._failed.rest()


def show_failures_inline(stream: Iterator[Any], told: AbstractContextManager[object], **options: Any) -> Generator[Any]:
    """The parts of a graph's stream, and the failures that it does not show, on the sync lane.

    Args:
        stream: The stream. It is closed with this one.
        told: Which exceptions it ends with: a block that it is read in.
        options: As `Unsaid`.
    """
    unsaid = Unsaid(**options, is_async=False)
    with told, closing(stream):  # type: ignore[type-var]  # LangGraph's is a generator
        for part in stream:
            if part["type"] in PRECEDED and unsaid.adds_to(part):
                yield from unsaid.shown(part)
            else:
                yield part
    yield from unsaid.rest()
