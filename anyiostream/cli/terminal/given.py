"""`GivenTransformer`: tells the live view the input of each task, by which it tells subgraphs apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, final

from anyiostream import Namespace, ProtocolEvent, StreamChannel, StreamTransformer

__all__ = ["GIVEN", "GivenTransformer"]

NAME: Final = "anyiostream.given"

GIVEN: Final = f"custom:{NAME}"
"""The method of its events: `{"place": the namespace of what the task runs, "given": its input}`."""


@final
class GivenTransformer(StreamTransformer):
    """The lifecycle projection keeps tasks out of the raw log; this puts there what the view needs of them."""

    required_stream_modes = ("tasks",)
    methods = ("tasks",)
    own_scope = True
    supports_sync = True

    def __init__(self, scope: Namespace = ()) -> None:
        """Make the transformer and its channel."""
        super().__init__(scope)
        self._given: StreamChannel[Any] = StreamChannel(NAME)

    def init(self) -> dict[str, Any]:
        """One projection, which nobody reads: what counts is that its channel is named."""
        return {NAME: self._given}

    def process(self, event: ProtocolEvent) -> bool:
        """Tell of a task that starts."""
        data = event["params"]["data"]
        if isinstance(data, Mapping) and "result" not in data:
            place = [*event["params"]["namespace"], f"{data.get('name')}:{data.get('id')}"]
            self._given.push({"place": place, "given": data.get("input")})
        return True
