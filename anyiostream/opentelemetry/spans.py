"""`RunSpans`: the spans of one run, opened and ended as its events say.

Rules:

- The run's span begins with the run, as a child of the span that was current where the run was opened.
- A subgraph's span is a child of its parent graph's, or of the tool call that caused it. Spans of model calls and of
  tool calls are children of the graph that makes them. Nothing is made current: a run's readers live in other contexts
  than its graph does.
- A function graph says when a model call begins. LangGraph says so only with the first piece of its answer; there a
  call counts from when its node's task began, or from the end of the call before it in the same task.
- Each span ends once: by itself, or with the span around it, inner before outer.
- What the graph says is recorded only if asked for; the texts of errors are.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, final

import attrs
from opentelemetry import trace
from opentelemetry.context import Context, get_current
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from anyiostream import Namespace
from anyiostream.opentelemetry import conventions as names
from anyiostream.tooling import (
    COMPLETED,
    CallEvent,
    MessageRecord,
    ModelCall,
    ModelCalls,
    Outcome,
    OutcomeStatus,
    Subgraph,
    SubgraphTracker,
    encode,
    outcome_of_result,
    tool_failure,
    tool_key,
)

__all__ = ["RunSpans"]


@final
@attrs.define(eq=False)
class CallSpan:
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
        self._calls: dict[ModelCall, CallSpan] = {}
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
            self._take(self._model_calls.task_ended(namespace, data))
            outcome = outcome_of_result(data)
            for subgraph in self._tracker.result(namespace, data):
                self._end_graph(subgraph.namespace, subgraph.failure or outcome)
            return
        if isinstance(task, str):
            self._free_since[task] = time.time_ns()
        started = self._tracker.start(namespace, data)
        if started is not None:
            for subgraph in self._tracker.broken_before(started):
                self._end_graph(subgraph.namespace, subgraph.failure or COMPLETED)
            self._graphs[namespace] = self._start_graph(started)

    def message(self, namespace: Namespace, data: Any) -> None:
        """A `messages` part."""
        self._take(self._model_calls.events(namespace, data))

    def tool(self, namespace: Namespace, data: Mapping[str, Any]) -> None:
        """A `tools` part."""
        key, kind = (namespace, tool_key(data)), data.get("event")
        if kind == "tool-started":
            self._end(self._tools.pop(key, None), *BROKEN_OFF)
            self._tools[key] = self._start_tool(namespace, str(data.get("tool_call_id")), data)
            return
        if kind not in {"tool-finished", "tool-error"}:
            return
        span = self._tools.pop(key, None)
        if span is None:
            return
        if self._record_content and kind == "tool-finished":
            output = data.get("output")
            span.set_attribute(names.TOOL_RESULT, encode(getattr(output, "content", output), ascii_only=False))
        failure = tool_failure(data)
        self._end(span, "completed" if failure is None else "failed", failure)

    # --- the end ---

    def end(self, outcome: Outcome) -> None:
        """The run has ended: so has everything in it."""
        run, error = self.run, outcome.error
        kind = None if error is None else names.error_type(error)
        if outcome.status == "completed":
            self._take(self._model_calls.end())
        for call in self._calls.values():
            self._end(call.span, outcome.status, outcome.message, kind)
        for span in self._tools.values():
            self._end(span, *_left_open(outcome), kind)
        for subgraph in self._tracker.end_all():
            inner = (subgraph.failure if error is None else None) or outcome
            self._end(self._graphs.pop(subgraph.namespace), inner.status, inner.message, kind)
        self._calls.clear()
        self._tools.clear()
        if error is not None and outcome.status == "failed":
            run.record_exception(error)
        self._end(run, outcome.status, outcome.message, kind)

    # --- inside ---

    def _inside(self, namespace: Namespace) -> Context:
        """The context for spans at `namespace`: that of its graph, or of the nearest open one around it."""
        for graph in self._tracker.outwards(namespace):
            span = self._graphs.get(graph)
            if span is not None:
                return trace.set_span_in_context(span, Context())
        return trace.set_span_in_context(self.run, Context())

    def _start_graph(self, subgraph: Subgraph) -> Span:
        namespace, name = subgraph.namespace, subgraph.graph_name
        operation = names.INVOKE_AGENT if subgraph.is_agent else names.INVOKE_WORKFLOW
        attributes: dict[str, Any] = {names.OPERATION: operation, names.NAMESPACE: list(namespace)}
        if name is not None:
            attributes[names.AGENT if subgraph.is_agent else names.WORKFLOW] = name
        context = self._inside(subgraph.parent)
        if subgraph.cause is not None:
            tool = self._tools.get((subgraph.parent, subgraph.cause["tool_call_id"]))
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

    def _take(self, events: Iterable[CallEvent]) -> None:
        for said in events:
            # A message that the graph gives whole has been made at another time, or by no model at all.
            if not said.call.whole:
                self._take_one(said)

    def _take_one(self, said: CallEvent) -> None:
        event, kind = said.event, said.event.get("event")
        if kind == "message-start":
            self._calls[said.call] = self._start_call(said.call, event, said.metadata)
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
            self._end(call.span, "failed", str(event.get("message", "")))

    def _start_call(self, call: ModelCall, event: Mapping[str, Any], metadata: Mapping[str, Any]) -> CallSpan:
        task, namespace = call.task, call.namespace
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
        return CallSpan(span, began, task, namespace, MessageRecord() if self._record_content else None)

    def _finish_call(self, call: CallSpan, event: Mapping[str, Any]) -> None:
        attributes = names.finish_attributes(event)
        if call.record is not None:
            reasons = attributes.get(names.FINISH_REASONS)
            attributes[names.OUTPUT_MESSAGES] = names.output_messages(
                call.record.blocks(), reasons[0] if reasons else None
            )
        call.span.set_attributes(attributes)
        self._end(call.span, "completed")

    def _end_graph(self, namespace: Namespace, outcome: Outcome) -> None:
        """End a subgraph, and first what was under way in it."""
        for key, call in list(self._calls.items()):
            if namespace in self._tracker.outwards(call.namespace):
                del self._calls[key]
                self._end(call.span, *_left_open(outcome))
        for tool in [key for key in self._tools if namespace in self._tracker.outwards(key[0])]:
            self._end(self._tools.pop(tool), *_left_open(outcome))
        self._end(self._graphs.pop(namespace), outcome.status, outcome.message)

    def _end(
        self, span: Span | None, status: OutcomeStatus, message: str | None = None, kind: str | None = None
    ) -> None:
        if span is None:
            return
        span.set_attribute(names.STATUS, status)
        if status == "failed":
            span.set_attribute(names.ERROR_TYPE, kind or names.OTHER_ERROR)
            span.set_status(Status(StatusCode.ERROR, message))
        span.end()


BROKEN_OFF: Final[tuple[OutcomeStatus, str]] = ("failed", "it broke off")


def _left_open(outcome: Outcome) -> tuple[OutcomeStatus, str | None]:
    """How open spans end with their graph: if that went on without them, they broke off."""
    return BROKEN_OFF if outcome.status == "completed" else (outcome.status, outcome.message)


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
