"""`Totals`: what a thread's events add up to, for whoever lists threads. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, final

import attrs

from anyiostream.wire import Draft

__all__ = ["RESTARTED", "Totals"]

RESTARTED: Final = "run.restarted"
"""The named channel that tells viewers that a run goes on after its server has died."""

COUNTED: Final = ("input_tokens", "output_tokens")

LARGEST: Final = 2**53
"""No model counts so far, and no page."""


@final
@attrs.define(eq=False)
class Totals:
    """What all of a thread's events add up to, including those that are no longer kept.

    Attributes:
        events: How many there have been.
        newest: When the newest one was written, in ms since 1970; 0 if there was none.
        input_tokens: Models' input tokens, as far as they report them.
        output_tokens: Models' output tokens, likewise.
        attempt: How often the last run has been begun.
    """

    events: int = 0
    newest: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    attempt: int = 0

    def begin(self) -> None:
        """A run begins."""
        self.attempt = 1

    def observe(self, draft: Draft) -> None:
        """Count an event."""
        self.events += 1
        self.newest = draft.timestamp
        data = draft.data
        if draft.method == "messages":
            if isinstance(data, Mapping) and data.get("event") == "message-finish":
                self._count(data.get("usage"))
        elif draft.method == "custom" and draft.channel == f"custom:{RESTARTED}" and "written" not in draft.extra:
            self.attempt += 1

    def _count(self, usage: Any) -> None:
        if isinstance(usage, Mapping):
            for name in COUNTED:
                count = usage.get(name)
                if isinstance(count, int) and 0 < count < LARGEST:
                    setattr(self, name, getattr(self, name) + count)

    def dump(self) -> dict[str, int]:
        """As JSON."""
        return attrs.asdict(self)
