"""Each test runs on asyncio in debug mode, uvloop, trio, and the sync lane, with an exporter of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import anyio
import attrs
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from anyiostream import open_run
from anyiostream.opentelemetry import TracingTransformer

LANES: dict[str, dict[str, Any] | None] = {
    "asyncio": {"backend": "asyncio", "backend_options": {"debug": True}},
    "uvloop": {"backend": "asyncio", "backend_options": {"use_uvloop": True}},
    "trio": {"backend": "trio"},
    "sync": None,
}


@attrs.define
class Traced:
    """Runs graphs on one lane, and shows the spans that they left."""

    lane: dict[str, Any] | None
    exporter: InMemorySpanExporter = attrs.field(factory=InMemorySpanExporter)
    provider: TracerProvider = attrs.field(factory=TracerProvider)

    def __attrs_post_init__(self) -> None:
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def transformer(self) -> Callable[..., TracingTransformer]:
        """The transformer, with this provider."""
        return partial(TracingTransformer, tracer_provider=self.provider)

    def run(
        self, graph: Any, given: Any = None, *, transformers: Sequence[Any] | None = None, **options: Any
    ) -> BaseException | None:
        """Run a graph to its end; the error that it ended with."""
        opening = open_run(graph, given, transformers=transformers or [partial(self.transformer, **options)])
        try:
            if self.lane is None:
                with opening as run:
                    run.output  # noqa: B018 -- runs the graph
            else:
                anyio.run(_finish, opening, **self.lane)
        except Exception as exc:
            return exc
        return None

    def leave_early(self, graph: Any) -> None:
        """Leave the run's block after its first event."""
        opening = open_run(graph, transformers=[self.transformer])
        if self.lane is None:
            with opening as run:
                next(iter(run))
        else:
            anyio.run(_leave_early, opening, **self.lane)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        """The spans that have ended, in that order."""
        return self.exporter.get_finished_spans()

    def span(self, name: str) -> ReadableSpan:
        """The one span of a name."""
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def tree(self) -> dict[str, str | None]:
        """Name of each span -> name of its parent."""
        names = {span.context.span_id: span.name for span in self.spans if span.context}
        return {span.name: names[span.parent.span_id] if span.parent else None for span in self.spans}


async def _finish(opening: Any) -> None:
    async with opening as run:
        await run.output()


async def _leave_early(opening: Any) -> None:
    async with opening as run:
        await anext(aiter(run))


@pytest.fixture(params=list(LANES))
def traced(request: pytest.FixtureRequest) -> Traced:
    """Runs graphs on each lane."""
    return Traced(LANES[request.param])
