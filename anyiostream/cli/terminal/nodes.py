"""What the tree and the log of a run consist of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final, final

import attrs

from anyiostream import Namespace
from anyiostream.tooling import MessageRecord, ModelCall, task_path

__all__ = ["Data", "Message", "Node", "Speech", "ToolCall", "ToolUse"]


KEPT: Final = 8
"""Ended subgraphs that a parent keeps."""


ENDED: Final = frozenset({"completed", "failed", "interrupted", "drained", "aborted"})
"""Statuses of what has ended."""


@final
@attrs.frozen
class Message:
    """An entry of the log: a model call that has ended.

    Attributes:
        where: Names of the subgraphs round it, outermost first.
        node: The node that made it, or `None`.
        text: Its text.
        reasoning: Its reasoning.
        tool_calls: The tools that it asks for, as (name, arguments).
        usage: Token counts, or `None`.
        seconds: How long it took.
        ended: `"finished"`, or `"failed"`, or how the run ended before it did.
    """

    where: tuple[str, ...]
    node: str | None
    text: str
    reasoning: str
    tool_calls: tuple[tuple[str, Any], ...]
    usage: Mapping[str, Any] | None
    seconds: float
    ended: str


@final
@attrs.frozen
class ToolUse:
    """An entry of the log: a tool call that has ended.

    Attributes:
        where: As `Message.where`.
        name: The tool.
        given: Its arguments.
        output: What it returned.
        error: The text of its error, if it failed; if its graph ended before it, what became of it.
        seconds: How long it took.
        ended: `"failed"`, or the status of the graph that ended before it, if it has an `error`.
    """

    where: tuple[str, ...]
    name: str
    given: Any
    output: Any
    error: str | None
    seconds: float
    ended: str = "failed"


@final
@attrs.frozen
class Data:
    """An entry of the log: a payload that the graph, or a transformer, wanted to be seen.

    Attributes:
        where: As `Message.where`.
        label: What it is: `custom`, `updates`, the name of a channel, ...
        payload: The payload itself, not copied.
    """

    where: tuple[str, ...]
    label: str
    payload: Any


Entry = Message | ToolUse | Data


@final
@attrs.define(eq=False)
class Speech:
    """A model call that is under way.

    Attributes:
        record: Its message so far.
        node: The node that makes it.
        since: When it began.
        whole: Whether the graph gives it whole.
    """

    record: MessageRecord
    node: str | None
    since: float
    whole: bool


@final
@attrs.define(eq=False)
class ToolCall:
    """A tool call that is under way.

    Attributes:
        name: The tool.
        given: Its arguments.
        since: When it began.
        latest: Its last output.
    """

    name: str
    given: Any
    since: float
    latest: Any = None


@final
@attrs.define(eq=False)
class Node:
    """The run, or a subgraph of it.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        number: Its number among those of its name inside the same graph, from 1 on.
        given: Its input, if that is known.
        status: `"running"`, or how it ended.
        since: When it began.
        until: When it ended, or `None`.
        error: The text of its error, or `None`.
        snapshots: How many states it has shown.
        messages: Model calls that are under way.
        tools: Tool calls that are under way, by id.
        children: Its subgraphs.
        names: How many subgraphs of each name it has had.
        forgotten: Subgraphs that have ended and are not kept any more.
    """

    namespace: Namespace
    name: str
    since: float
    number: int = 1
    given: Any = None
    status: str = "running"
    until: float | None = None
    error: str | None = None
    snapshots: int = 0
    messages: dict[ModelCall, Speech] = attrs.field(factory=dict)
    tools: dict[str, ToolCall] = attrs.field(factory=dict)
    children: dict[Namespace, Node] = attrs.field(factory=dict)
    names: Counter[str] = attrs.field(factory=Counter)
    forgotten: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.until is None

    def has_several(self, child: Node) -> bool:
        """Whether it has had other subgraphs of the same name."""
        return self.names[task_path(child.namespace)[-1].partition(":")[0]] > 1

    def walk(self) -> Iterator[Node]:
        """It and everything inside, outer before inner."""
        pending: list[Node] = [self]
        while pending:
            node = pending.pop()
            yield node
            pending.extend(reversed(node.children.values()))

    def end(self, status: str, now: float, error: str | None = None) -> None:
        """It has ended; the first end counts."""
        if self.until is None:
            self.status, self.until, self.error = status, now, error

    def forget_some(self) -> None:
        """Keep no more of the subgraphs that have ended than the last few."""
        if len(self.children) > KEPT:
            ended = [namespace for namespace, child in self.children.items() if not child.is_open]
            for namespace in ended[: len(ended) - KEPT]:
                del self.children[namespace]
                self.forgotten += 1
