"""`Label`: what a list of threads is filtered by. A thread's writer leaves it in the store beside its state. Pure."""

from __future__ import annotations

import json
from typing import final

import attrs

from anyiostream.wire.jsonable import encode

__all__ = ["Label"]


@final
@attrs.frozen
class Label:
    """What a thread is filtered by.

    Attributes:
        assistant_id: Whose its last run is; `""` if there was none.
        waits: Whether its graph waits for its user, once its runs have ended.
    """

    assistant_id: str = ""
    waits: bool = False

    def dump(self) -> bytes:
        """As JSON."""
        return encode([self.assistant_id, self.waits])

    @classmethod
    def load(cls, dumped: bytes) -> Label:
        """From JSON."""
        return cls(*json.loads(dumped)[: len(attrs.fields(cls))])
