"""`RunSpans`: the spans of one run, opened and ended as its events say.

Rules:

- The run's span begins with the run, as a child of the span that was current where the run was opened.
- A subgraph's span is a child of its parent graph's, or of the tool call that caused it. Spans of model calls and of
  tool calls are children of the graph that makes them. Nothing is made current: a run's readers live in other contexts
  than its graph does.
- A function graph says when a model call begins. LangGraph says so only with the first piece of its answer; there a
  call counts from when its node's task began, or from the end of the call before it in the same task.
- Each span ends once: with its own end, or with that of what is round it, inner before outer.
- What the graph says is recorded only if asked for; the texts of errors are.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping
from typing import Any, Final, final

import attrs
from opentelemetry import trace
from opentelemetry.context import Context, get_current
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from anyiostream.encoding import encode
from anyiostream.events import Namespace
from anyiostream.opentelemetry import conventions as names
from anyiostream.projections.messages.calls import CallEvent, ModelCalls
from anyiostream.projections.messages.record import MessageRecord
from anyiostream.subgraphs import Subgraph, SubgraphEnd, SubgraphTracker, end_by_result

__all__ = ["RunSpans"]


@final
@attrs.define(eq=False)
class ModelCall:
    """A model call under way.

    Attributes:
        span: Its span.
        began: When, in ns.
        task: Id of the task that makes it, if it is a LangGraph node's.
        namespace: Where.
        record: Its message so far, if content is recorded.
        answered: Whether it has put out anything.
    """

    span: Span
    began: int
    task: str | None
    namespace: Namespace
    record: MessageRecord | None
    answered: bool = False


@final
class RunSpans:
    """The spans of one run."""

    def __init__(self, tracer: Tracer, scope: Namespace, *, name: str | None, record_content: bool) -> None:
        """Begin. No span is made yet: the run may still be refused.

        Args:
            tracer: Makes the spans.
            scope: The run's namespace.
            name: What the graph is called.
            record_content: Whether messages, and arguments and results of tools, are recorded.
        """
        self._tracer = tracer
        self._scope = scope
        self._name = name
        self._record_content = record_content
        self._began = time.time_ns()
        self._outer = get_current()
        self._run: Span | None = None
        self._tracker = SubgraphTracker(scope)
        self._graphs: dict[Namespace, Span] = {}
        self._free_since: dict[str, int] = {}
        self._tools: dict[tuple[Namespace, str], Span] = {}
        self._calls: dict[Hashable, ModelCall] = {}
        self._model_calls = ModelCalls()

    @property
    def run(self) -> Span:
        """The run's own span; begun, if it was not, at the time when the run was opened."""
        if self._run is None:
            attributes = {names.OPERATION: names.INVOKE_WORKFLOW, names.NAMESPACE: list(self._scope)}
            if self._name is not None:
                attributes[names.WORKFLOW] = self._name
            self._run = self._tracer.start_span(
                _span_name(names.INVOKE_WORKFLOW, self._name),
                self._outer,
                attributes=attributes,
                start_time=self._began,
            )
        return self._run

    # --- events ---

    def task(self, namespace: Namespace, data: Mapping[str, Any]) -> None:
        """A task has started, and with it perhaps a subgraph; or it has ended, and with it its subgraphs."""
        task = data.get("id")
        if "result" in data:
            self._free_since.pop(str(task), None)
            end = end_by_result(data)
            for subgraph in self._tracker.result(namespace, data):
                self._end_graph(subgraph.namespace, end)
            return
        if isinstance(task, str):
            self._free_since[task] = time.time_ns()
        started = self._tracker.start(namespace, data)
        if started is not None:
            self._graphs[namespace] = self._start_graph(started)

    def message(self, namespace: Namespace, data: Any) -> None:
        """A `messages` part."""
        for call in self._model_calls.events(namespace, data):
            # A message that the graph gives whole has been made at another time, or by no model at all.
            if not call.whole:
                self._take(namespace, call)

    def tool(self, namespace: Namespace, data: Mapping[str, Any]) -> None:
        """A `tools` part."""
        key, kind = (namespace, str(data.get("tool_call_id"))), data.get("event")
        if kind == "tool-started":
            self._end(self._tools.pop(key, None), SubgraphEnd("aborted"))
            self._tools[key] = self._start_tool(namespace, key[1], data)
            return
        if kind not in {"tool-finished", "tool-error"}:
            return
        span = self._tools.pop(key, None)
        if span is None:
            return
        if kind == "tool-error":
            self._end(span, SubgraphEnd("failed", str(data.get("message", ""))))
            return
        if self._record_content:
            output = data.get("output")
            span.set_attribute(names.TOOL_RESULT, encode(getattr(output, "content", output), ascii_only=False))
        self._end(span, SubgraphEnd("completed"))

    # --- the end ---

    def end(self, end: SubgraphEnd, error: BaseException | None = None) -> None:
        """The run has ended: so has everything in it.

        Args:
            end: How.
            error: What it failed with.
        """
        run, kind = self.run, None if error is None else names.error_type(error)
        for call in self._calls.values():
            self._end(call.span, end, kind)
        for span in self._tools.values():
            self._end(span, end, kind)
        for subgraph in self._tracker.end_all():
            self._end(self._graphs.pop(subgraph.namespace), end, kind)
        self._calls.clear()
        self._tools.clear()
        if error is not None and end.status == "failed":
            run.record_exception(error)
        self._end(run, end, kind)

    # --- inside ---

    def _inside(self, namespace: Namespace) -> Context:
        """The context of what happens at `namespace`: its graph's, or the nearest one's round it that is open."""
        for depth in range(len(namespace), len(self._scope), -1):
            span = self._graphs.get(namespace[:depth])
            if span is not None:
                return trace.set_span_in_context(span, Context())
        return trace.set_span_in_context(self.run, Context())

    def _start_graph(self, subgraph: Subgraph) -> Span:
        namespace, name = subgraph.namespace, subgraph.graph_name
        operation = names.INVOKE_AGENT if subgraph.is_agent else names.INVOKE_WORKFLOW
        attributes: dict[str, Any] = {names.OPERATION: operation, names.NAMESPACE: list(namespace)}
        if name is not None:
            attributes[names.AGENT if subgraph.is_agent else names.WORKFLOW] = name
        context = self._inside(namespace[:-1])
        if subgraph.cause is not None:
            tool = self._tools.get((namespace[:-1], subgraph.cause["tool_call_id"]))
            if tool is not None:
                context = trace.set_span_in_context(tool, Context())
        return self._tracer.start_span(_span_name(operation, name), context, attributes=attributes)

    def _start_tool(self, namespace: Namespace, call_id: str, data: Mapping[str, Any]) -> Span:
        name = str(data.get("tool_name") or "")
        attributes: dict[str, Any] = {
            names.OPERATION: names.EXECUTE_TOOL,
            names.TOOL: name,
            names.TOOL_CALL: call_id,
            names.NAMESPACE: list(namespace),
        }
        if self._record_content:
            attributes[names.TOOL_ARGUMENTS] = encode(data.get("input"), ascii_only=False)
        return self._tracer.start_span(
            _span_name(names.EXECUTE_TOOL, name), self._inside(namespace), attributes=attributes
        )

    def _take(self, namespace: Namespace, said: CallEvent) -> None:
        event, kind = said.event, said.event.get("event")
        if kind == "message-start":
            replaced = self._calls.pop(said.call, None)
            if replaced is not None:
                self._end(replaced.span, SubgraphEnd("aborted"))
            self._calls[said.call] = self._start_call(namespace, event, said.metadata)
        call = self._calls.get(said.call)
        if call is None or (kind == "content-block-delta" and call.answered and call.record is None):
            return
        if call.record is not None:
            call.record.dispatch(event)
        if not call.answered and _puts_out(event):
            call.answered = True
            seconds = max(0, time.time_ns() - call.began) / 1e9  # the wall clock may have been set back
            call.span.set_attribute(names.TIME_TO_FIRST_CHUNK, seconds)
            call.span.add_event(names.FIRST_TOKEN, {names.TIME_TO_FIRST_CHUNK: seconds})
        if kind in {"message-finish", "error"} and call.task is not None and call.task in self._free_since:
            self._free_since[call.task] = time.time_ns()
        if kind == "message-finish":
            del self._calls[said.call]
            self._finish_call(call, event)
        elif kind == "error":
            del self._calls[said.call]
            self._end(call.span, SubgraphEnd("failed", str(event.get("message", ""))))

    def _start_call(self, namespace: Namespace, event: Mapping[str, Any], metadata: Mapping[str, Any]) -> ModelCall:
        task = _task_of(metadata)
        began = time.time_ns() if task is None else self._free_since.get(task, time.time_ns())
        attributes = names.call_attributes(event, metadata)
        attributes[names.NAMESPACE] = list(namespace)
        span = self._tracer.start_span(
            _span_name(names.CHAT, attributes.get(names.REQUEST_MODEL)),
            self._inside(namespace),
            kind=SpanKind.CLIENT,
            attributes=attributes,
            start_time=began,
        )
        return ModelCall(span, began, task, namespace, MessageRecord() if self._record_content else None)

    def _finish_call(self, call: ModelCall, event: Mapping[str, Any]) -> None:
        attributes = names.finish_attributes(event)
        if call.record is not None:
            reasons = attributes.get(names.FINISH_REASONS)
            attributes[names.OUTPUT_MESSAGES] = names.output_messages(
                call.record.blocks(), reasons[0] if reasons else None
            )
        call.span.set_attributes(attributes)
        self._end(call.span, SubgraphEnd("completed"))

    def _end_graph(self, namespace: Namespace, end: SubgraphEnd) -> None:
        """End a subgraph, and first what was under way in it."""
        for key, call in list(self._calls.items()):
            if call.namespace[: len(namespace)] == namespace:
                del self._calls[key]
                self._end(call.span, end)
        for tool in [key for key in self._tools if key[0][: len(namespace)] == namespace]:
            self._end(self._tools.pop(tool), end)
        self._end(self._graphs.pop(namespace), end)

    def _end(self, span: Span | None, end: SubgraphEnd, kind: str | None = None) -> None:
        if span is None:
            return
        span.set_attribute(names.STATUS, end.status)
        if end.status == "failed":
            span.set_attribute(names.ERROR_TYPE, kind or names.OTHER_ERROR)
            span.set_status(Status(StatusCode.ERROR, end.error))
        span.end()


def _task_of(metadata: Mapping[str, Any]) -> str | None:
    """The id of the LangGraph task that makes a call: the last part of its checkpoint namespace."""
    path = metadata.get("langgraph_checkpoint_ns")
    return path.rpartition("|")[2].partition(":")[2] or None if isinstance(path, str) else None


def _span_name(operation: str, name: str | None) -> str:
    return f"{operation} {name}" if name else operation


PIECES: Final = {"text-delta": "text", "reasoning-delta": "reasoning", "tool-call-delta": "args"}
"""Type of a delta -> where it has what the model put out."""


def _puts_out(event: Mapping[str, Any]) -> bool:
    """Whether an event holds something that the model put out."""
    kind = event.get("event")
    if kind == "content-block-finish":
        return True
    if kind != "content-block-delta":
        return False
    delta = event.get("delta")
    if not isinstance(delta, Mapping):
        return True  # An older form of delta, which is never empty.
    field = PIECES.get(str(delta.get("type")))
    return field is None or bool(delta.get(field))
