"""`Teller`: the steps of a turn, for whoever shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anyiostream import Namespace
from anyiostream.sinks.approvals import Approval
from anyiostream.sinks.parts import Block, Call, Graph, Message
from anyiostream.sinks.sink import Status

__all__ = ["Teller"]


class Teller:
    """Is told the steps of a turn, one at a time. By default a step is not shown."""

    def begun(self) -> None:
        """The turn has begun."""

    def ended(self, status: Status, error: str, approvals: list[Approval]) -> None:
        """The turn has ended; everything that was opened is closed. `turn` has the questions and the tokens."""

    def block_opened(self, block: Block) -> None:
        """A text, or reasoning, begins."""

    def block_delta(self, block: Block, text: str) -> None:
        """It goes on; `text` is not empty."""

    def block_closed(self, block: Block) -> None:
        """It ends."""

    def call_opened(self, call: Call) -> None:
        """A call of a tool begins: its id and its name are known."""

    def call_delta(self, call: Call, piece: str) -> None:
        """Its arguments go on."""

    def call_closed(self, call: Call) -> None:
        """Its arguments are complete."""

    def call_output(self, call: Call, output: Any, *, last: bool) -> None:
        """Its result, so far or at last."""

    def call_failed(self, call: Call, error: str) -> None:
        """It has no result."""

    def file(self, message: Message, content: Mapping[str, Any]) -> None:
        """A message has an image, a recording or another file."""

    def source(self, message: Message, annotation: Mapping[str, Any]) -> None:
        """A message cites something."""

    def graph_opened(self, graph: Graph) -> None:
        """A graph inside the run's is at work."""

    def graph_closed(self, graph: Graph, status: str, error: str) -> None:
        """It is no longer."""

    def state(self, method: str, namespace: Namespace, data: Any) -> None:
        """State that was asked for: `values`, `updates`, `checkpoints`, `tasks`."""

    def custom(self, name: str, namespace: Namespace, payload: Any) -> None:
        """The graph has something of its own for its reader."""
