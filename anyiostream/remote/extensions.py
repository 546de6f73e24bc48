"""What the client asks a server for: channels for its transformers, and the server's named channels as projections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from anyiostream import Namespace, ProtocolEvent, StreamChannel, StreamTransformer, TransformerFactory
from anyiostream.remote.totals import RESTARTED

__all__ = ["channels_for", "extension"]

ALWAYS: Final = ("values", "messages", "tasks", "lifecycle", f"custom:{RESTARTED}")
"""Channels that the projections of every run are made from."""

MODES: Final = frozenset({"updates", "checkpoints", "tools", "custom"})
"""Stream modes of further transformers; each has a channel of the same name."""


def channels_for(transformers: Sequence[TransformerFactory], extensions: Sequence[str]) -> list[str]:
    """The channels that transformers need: those of the stream modes they name; all, if one names none."""
    wanted = dict.fromkeys(ALWAYS)
    for each in transformers:
        modes = getattr(each, "required_stream_modes", None)
        wanted |= dict.fromkeys(sorted(MODES) if modes is None else [mode for mode in modes if mode in MODES])
    return [*wanted, *(f"custom:{name}" for name in extensions)]


def extension(name: str) -> TransformerFactory:
    """A transformer whose projection repeats the server's channel of that name."""

    class Extension(StreamTransformer):
        methods = ("custom", f"custom:{name}")

        def __init__(self, scope: Namespace = ()) -> None:
            super().__init__(scope)
            self._channel: StreamChannel[Any] = StreamChannel()

        def init(self) -> dict[str, Any]:
            return {name: self._channel}

        def process(self, event: ProtocolEvent) -> bool:
            data = event["params"]["data"]
            if event["method"] != "custom":
                self._channel.push(data)
            elif isinstance(data, dict) and data.get("name") == name and "payload" in data:
                # The graph has written it itself; to the server it is the channel's.
                self._channel.push(data["payload"])
            return True

    return Extension
