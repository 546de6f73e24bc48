"""A transformer of the kind that users write."""

from __future__ import annotations

from typing import Any

import pytest

from anyiostream import Promise, StreamChannel, StreamTransformer


class WordCount(StreamTransformer):
    """Counts the words of custom data, and adds them up."""

    required_stream_modes = ("custom",)

    def init(self) -> dict[str, Any]:
        self.counts: StreamChannel[int] = StreamChannel()
        self.total: Promise[int] = Promise()
        self.sum = 0
        return {"counts": self.counts, "total": self.total, "unit": "words"}

    def process(self, event: Any) -> bool:
        if event["method"] == "custom":
            words = len(event["params"]["data"].split())
            self.sum += words
            self.counts.push(words)
        return True

    def finalize(self) -> None:
        self.total.resolve(self.sum)


@pytest.fixture
def word_count() -> type[WordCount]:
    """The transformer's class."""
    return WordCount
