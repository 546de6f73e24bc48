"""`ModelCalls`: the events of model calls at every namespace, whatever form the `messages` parts have.

`MessagesTransformer` makes streams for the readers of one scope; this is for what watches a whole run, as it passes by:
it keeps nothing of a call but what it takes to tell it from others.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, final

from anyiostream.events import Namespace

__all__ = ["CallEvent", "ModelCalls"]


class CallEvent(NamedTuple):
    """One content-block event of a model call.

    A tuple, because there is one for each token.

    Attributes:
        call: Tells open calls apart.
        event: The event: `message-start`, `content-block-delta`, ..., and at last `message-finish` or `error`.
        metadata: What the part says of the call: `run_id`, `langgraph_node`, `ls_model_name`, ...
        whole: Whether the graph gave the message whole, so that nothing is known of the call that made it.
    """

    call: Hashable
    event: Mapping[str, Any]
    metadata: Mapping[str, Any]
    whole: bool = False


ENDS = frozenset({"message-finish", "error"})
"""Events that end a call."""


@final
class ModelCalls:
    """Turns the payloads of `messages` parts into events of calls.

    Events of calls whose start was not seen, and those of tool messages, are passed over. A call that starts again
    under the same key shows a second `message-start`.
    """

    def __init__(self) -> None:
        self._open: set[Hashable] = set()
        self._converters: dict[Hashable, Any] = {}

    def events(self, namespace: Namespace, data: Any) -> Iterable[CallEvent]:
        """The events of one payload.

        Args:
            namespace: The part's.
            data: Its payload, (event or message, metadata). What is malformed gives nothing.
        """
        try:
            payload, metadata = data
        except (TypeError, ValueError):
            return ()
        if type(metadata) is not dict and not isinstance(metadata, Mapping):
            metadata = {}
        if type(payload) is dict or isinstance(payload, Mapping):
            return self._event((namespace, metadata.get("run_id") or _fallback_key(metadata)), payload, metadata)
        return self._message(namespace, payload, metadata) if "langchain_core.messages" in sys.modules else ()

    def _event(self, call: Hashable, event: Mapping[str, Any], metadata: Mapping[str, Any]) -> Iterable[CallEvent]:
        kind = event.get("event")
        if kind == "message-start":
            if event.get("role") == "tool":
                return ()
            self._open.add(call)
        elif call not in self._open:
            return ()
        elif kind in ENDS:
            self._open.discard(call)
        return (CallEvent(call, event, metadata),)

    def _message(self, namespace: Namespace, payload: Any, metadata: Mapping[str, Any]) -> Iterator[CallEvent]:
        from anyiostream.projections.messages import langchain  # noqa: PLC0415 -- an extra

        if langchain.is_chunk(payload):
            call = (namespace, "chunk", payload.id or metadata.get("run_id") or _fallback_key(metadata))
            converter = self._converters.get(call)
            if converter is None:
                converter = self._converters[call] = langchain.ChunkConverter()
            for event in converter.events(payload):
                if event["event"] == "message-finish":
                    del self._converters[call]
                yield CallEvent(call, event, metadata)
        elif langchain.is_message(payload):
            call = (namespace, "chunk", payload.id)
            converter = self._converters.pop(call, None)
            if converter is not None:
                # The whole of what has come in chunks.
                yield CallEvent(call, converter.finish(), metadata)
            else:
                for event in langchain.events_of_message(payload):
                    yield CallEvent(call, event, metadata, whole=True)


def _fallback_key(metadata: Mapping[str, Any]) -> Hashable:
    return metadata.get("langgraph_node"), metadata.get("langgraph_checkpoint_ns")
