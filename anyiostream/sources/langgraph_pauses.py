"""Whether a LangGraph graph has paused, as LangGraph's own callback for it reports.

The stream of a graph that stops at a breakpoint (`interrupt_before`, `interrupt_after`) ends like that of one that has
completed: there is no question, and nothing about it in the stream modes that a run asks for. The callback is called
once, when the graph has been left, with or without a checkpointer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final
from uuid import UUID

from langchain_core.callbacks import BaseCallbackManager, CallbackManager
from langgraph.callbacks import GraphCallbackHandler, GraphInterruptEvent

from anyiostream.errors import GraphInterrupt

__all__ = ["PauseWatch"]


@final
class PauseWatch(GraphCallbackHandler):
    """Watches one run of a graph."""

    run_inline = True

    def __init__(self) -> None:
        """Watch the first graph that starts with it."""
        super().__init__()
        self._run_id: UUID | None = None
        self._paused = False

    def on_chain_start(self, *args: Any, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002 -- the callback's
        """The graph starts; what starts later is inside it."""
        if self._run_id is None:
            self._run_id = run_id

    def on_interrupt(self, event: GraphInterruptEvent) -> None:
        """A graph has paused: this one, or one with a separate thread that one of its nodes runs."""
        if event.run_id == self._run_id:
            self._paused = True

    def outcome(self) -> GraphInterrupt | None:
        """The exception with which a stream ends that has come to its natural end, if it has paused."""
        return GraphInterrupt() if self._paused else None

    def watched(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration with which the graph is run. Nodes do not inherit the callback, which would cost each."""
        given = config.get("callbacks")
        if isinstance(given, BaseCallbackManager):
            callbacks = given.copy()
            callbacks.add_handler(self, inherit=False)
        else:
            own: list[Any] = list(given or ())
            callbacks = CallbackManager(handlers=[*own, self], inheritable_handlers=own)
        return {**config, "callbacks": callbacks}
