"""Transformers, factories and the testing kit, as users annotate them."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from functools import partial
from typing import Any, assert_type

from anyiostream import Namespace, Promise, ProtocolEvent, StreamChannel, StreamTransformer, open_run, parts
from anyiostream.testing import Recording, afeed, arecord, feed, record


class WordCount(StreamTransformer):
    """A transformer with typed projections."""

    def __init__(self, scope: Namespace = (), *, least: int = 0) -> None:
        super().__init__(scope)
        self.least = least
        self.counts: StreamChannel[int] = StreamChannel()
        self.total: Promise[int] = Promise()

    def init(self) -> dict[str, Any]:
        """Its projections."""
        return {"counts": self.counts, "total": self.total}

    def process(self, event: ProtocolEvent) -> bool:
        """Counts."""
        self.counts.push(len(event["params"]["data"]))
        self.counts.push("three")  # type: ignore[arg-type]
        return True


class NoTransformer:
    """Looks like one."""


def registration() -> None:
    """Classes and factories are taken, instances and other classes are not."""
    open_run([parts.values(1)], transformers=[WordCount])
    open_run([parts.values(1)], transformers=[partial(WordCount, least=1), lambda scope: WordCount(scope)])
    open_run([parts.values(1)], transformers=[WordCount()])  # type: ignore[list-item]
    open_run([parts.values(1)], transformers=[NoTransformer])  # type: ignore[list-item]
    open_run([parts.values(1)], transformers=WordCount)  # type: ignore[call-overload]
    open_run([parts.values(1)], transformer=[WordCount])  # type: ignore[call-overload]
    open_run([parts.values(1)], buffer="64")  # type: ignore[call-overload]


async def kit() -> None:
    """What the testing kit returns."""
    assert_type(feed(WordCount, parts.values(1), ValueError()), Recording)
    assert_type(await afeed(WordCount, parts.values(1)), Recording)
    async with open_run([parts.values(1)]) as run:
        assert_type(await arecord(run, "values"), Recording)
        record(run)  # type: ignore[arg-type]
