"""`TracingTransformer`: spans for a run, its subgraphs, its model calls and its tool calls."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar, Final, final
from weakref import WeakSet

from opentelemetry import trace
from opentelemetry.trace import TracerProvider

from anyiostream import Namespace, ProtocolEvent, StreamTransformer
from anyiostream.opentelemetry.spans import RunSpans
from anyiostream.tooling import (
    COMPLETED,
    INTERRUPTED,
    GraphState,
    HandleMaker,
    Outcome,
    SubgraphObserver,
    TransformerPort,
)

__all__ = ["TracingTransformer"]

_traced: WeakSet[Any] = WeakSet()
"""Runs that are traced already. The mux of a subgraph makes another instance, which has nothing to do."""


@final
class TracingTransformer(StreamTransformer):
    """Traces a run with OpenTelemetry: `open_run(graph, input, transformers=[TracingTransformer])`.

    Spans: the run (`invoke_workflow`), each subgraph (`invoke_agent` if it is an agent, else `invoke_workflow`), each
    model call (`chat`) and each tool call (`execute_tool`), with the attributes of the semantic conventions for
    generative AI. The run's span is a child of the one that is current where the run is opened. A span ends with what
    it represents, or with the run, however that ends; `anyiostream.status` says how. A failed run's exception is
    recorded. A model call has an event `anyiostream.first_token`.

    It works on every lane, adds no projection, and sees events when they are dispatched: where readers are slow and the
    graph waits for them, spans show that time as well. Registered twice, it traces once.

    With arguments: `functools.partial(TracingTransformer, name="support agent", record_content=True)`.

    ```python
    async with open_run(graph, "Bergen", transformers=[TracingTransformer]) as run:
        await run.output()
    ```
    """

    methods: ClassVar[Collection[str] | None] = ("tasks", "messages", "tools")
    required_stream_modes: ClassVar[tuple[str, ...]] = ("tasks", "messages", "tools")

    def __init__(
        self,
        scope: Namespace = (),
        *,
        name: str | None = None,
        record_content: bool = False,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        """Make the transformer.

        Args:
            scope: Its scope.
            name: What the graph is called; part of the run's span name.
            record_content: Whether to record what models say, and what tools are given and return. Texts of errors
                are recorded either way.
            tracer_provider: Where spans go; the global one if not given.
        """
        super().__init__(scope)
        self._name = name
        self._record_content = record_content
        self._provider = tracer_provider
        self._spans: RunSpans | None = None
        self._state: GraphState | None = None

    def init(self) -> dict[str, Any]:
        """No projection."""
        return {}

    def subgraph_observer(self, maker: HandleMaker) -> SubgraphObserver | None:
        """It reads the `tasks` events itself, and asks for the state's interrupts at the end."""
        self._state = maker.state
        return None

    def connect(self, port: TransformerPort) -> None:
        """The run is about to begin, or one of its subgraphs has; only the run's own instance traces."""
        if port in _traced:
            vars(self)["methods"] = ()
            return
        _traced.add(port)
        tracer = trace.get_tracer(INSTRUMENTATION, tracer_provider=self._provider)
        self._spans = RunSpans(tracer, self.scope, name=self._name, record_content=self._record_content)

    def process(self, event: ProtocolEvent) -> bool:
        """Open and end spans."""
        spans, params = self._spans, event["params"]
        if spans is not None:
            namespace, data, method = tuple(params["namespace"]), params["data"], event["method"]
            if method == "messages":
                spans.message(namespace, data)
            elif isinstance(data, dict):
                if method == "tasks":
                    spans.task(namespace, data)
                else:
                    spans.tool(namespace, data)
        return True

    def finalize(self) -> None:
        """The run has ended well, or is interrupted."""
        if self._spans is not None:
            interrupted = self._state is not None and self._state.interrupted
            self._spans.end(INTERRUPTED if interrupted else COMPLETED)

    def fail(self, err: BaseException) -> None:
        """The run has failed, or was aborted."""
        if self._spans is not None:
            self._spans.end(Outcome.by(err))


INSTRUMENTATION: Final = "anyiostream"
"""What the spans' instrumentation scope is called."""
