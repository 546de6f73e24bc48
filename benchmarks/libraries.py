"""A run of either library over the same script."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Literal

import langgraph.stream
from langgraph.stream._mux import StreamMux
from langgraph.stream.run_stream import AsyncGraphRunStream, GraphRunStream
from langgraph.stream.transformers import (
    LifecycleTransformer,
    MessagesTransformer,
    SubgraphTransformer,
    ValuesTransformer,
)

import anyiostream
from anyiostream import GraphWriter, PreparedRun, open_run

__all__ = ["Shape", "bare", "hosted", "ours", "source", "theirs", "theirs_sync"]

THEIR_TRANSFORMERS = (ValuesTransformer, MessagesTransformer, LifecycleTransformer, SubgraphTransformer)

Shape = Literal["generator", "iterable", "function"]
"""What ours gets the parts as: an async generator, which the run's own task advances; an iterable, which whoever reads
advances; or an async function that writes them."""


async def hosted(script: Iterable[Any]) -> AsyncIterator[Any]:
    """The parts as an async generator."""
    for part in script:
        yield part


async def bare(script: Iterable[Any], runs: int) -> int:
    """The floor: the parts without a streaming layer."""
    found = 0
    for _ in range(runs):
        async for _ in hosted(script):
            found += 1
    return found


def source(script: Iterable[Any], shape: Shape) -> Any:
    """The parts as a graph of ours."""
    if shape == "generator":
        return hosted(script)
    if shape == "iterable":
        return script

    async def graph(_: Any, writer: GraphWriter) -> None:
        for part in script:
            await writer.part(part)

    return graph


def ours(
    script: Iterable[Any],
    transformers: Sequence[str | Callable[..., Any]] = (),
    shape: Shape = "generator",
    **options: Any,
) -> PreparedRun:
    """A run of ours, to be entered. A transformer is a class of the user's, or the name of one that both have."""
    return open_run(source(script, shape), transformers=_classes(anyiostream, transformers), **options)


def theirs(script: Iterable[Any], transformers: Sequence[str | Callable[..., Any]] = ()) -> AsyncGraphRunStream:
    """A run of the original over an async generator, with the transformers that LangGraph registers."""
    factories: list[Any] = [*THEIR_TRANSFORMERS, *_classes(langgraph.stream, transformers)]
    return AsyncGraphRunStream(hosted(script), StreamMux(factories=factories, is_async=True))


def theirs_sync(script: Iterable[Any], transformers: Sequence[str | Callable[..., Any]] = ()) -> GraphRunStream:
    """A run of the original over an iterator."""
    factories: list[Any] = [*THEIR_TRANSFORMERS, *_classes(langgraph.stream, transformers)]
    return GraphRunStream(iter(script), StreamMux(factories=factories, is_async=False))


def _classes(library: Any, transformers: Sequence[str | Callable[..., Any]]) -> list[Any]:
    return [getattr(library, each) if isinstance(each, str) else each for each in transformers]
