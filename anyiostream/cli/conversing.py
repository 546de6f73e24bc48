"""What a user says to a graph from a terminal: what it is called with, answers to its questions, and the next turn."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Mapping
from typing import Any, Final, final
from uuid import uuid4

import attrs

from anyiostream import Resumption
from anyiostream.cli.loading import UsageError
from anyiostream.cli.outcome import Outcome
from anyiostream.tooling import encode, is_langgraph

__all__ = ["Conversation", "said"]

LEAVE: Final = frozenset({"/quit", "/exit"})
"""What ends a conversation, besides the end of the input."""


def said(text: str) -> dict[str, Any]:
    """The input that says `text` to a graph with `messages`."""
    return {"messages": [{"role": "user", "content": text}]}


@final
@attrs.define
class Conversation:
    """What a graph is called with, one run after the other.

    Attributes:
        graph: The graph.
        given: What the next run is called with.
        config: LangGraph's configuration, or `None`.
        chat: Whether the user may say something after each run.
        asks: Whether the user may be asked: what the graph waits for, and in a chat what is said next.
    """

    graph: Any
    given: Any
    config: dict[str, Any] | None
    chat: bool
    asks: bool

    @classmethod
    def of(cls, graph: Any, given: Any, config: dict[str, Any] | None, *, chat: bool, asks: bool) -> Conversation:
        """A new conversation: if a graph's turns belong together, it gets a thread to keep them in.

        Raises:
            UsageError: A chat with a graph that is not LangGraph's, or has no messages.
        """
        if chat and not (is_langgraph(graph) and "messages" in getattr(graph, "channels", {})):
            raise UsageError("--chat needs a LangGraph graph whose state has `messages`")
        if is_langgraph(graph):
            if asks and graph.checkpointer is None:
                graph = remembering(graph)
            if graph.checkpointer not in {None, False}:
                config = threaded(config)
        return cls(graph, given, config, chat=chat, asks=asks)

    @property
    def thread_id(self) -> Any:
        """The thread that its turns are kept in, if there is one."""
        return ((self.config or {}).get("configurable") or {}).get("thread_id")

    def begin(self) -> None:
        """Ask for what is said first.

        Raises:
            UsageError: Nothing is said.
        """
        line = asked("you> ")
        if line is None:
            raise UsageError("--chat got no message: type one, or pass the first one with --message")
        self.given = said(line)

    def goes_on(self, outcome: Outcome) -> bool:
        """Ask the user for what a run that has ended makes possible; whether there is a next one."""
        if outcome.stopped or outcome.error is not None or not self.asks:
            return False
        if outcome.interrupts:
            return self._answered(outcome)
        if not self.chat or outcome.status != "completed":
            return False
        line = asked("you> ")
        if line is None:
            return False
        self.given = said(line)
        return True

    def _answered(self, outcome: Outcome) -> bool:
        answers: dict[str, Any] = {}
        for number, interrupt in enumerate(outcome.interrupts, 1):
            line = asked(f"answer to {question(interrupt)}> ")
            if line is None:
                return False
            answers[str(getattr(interrupt, "id", None) or f"interrupt-{number}")] = value_of(line)
        self.given = self._resumed(answers, outcome)
        return True

    def _resumed(self, answers: Mapping[str, Any], outcome: Outcome) -> Any:
        """The input with which the graph goes on after answers."""
        if is_langgraph(self.graph):
            from langgraph.types import Command  # noqa: PLC0415 -- an extra

            return Command(resume=dict(answers))
        return Resumption(answers, outcome.output)


def remembering(graph: Any) -> Any:
    """The graph, with a checkpointer that lasts as long as the program."""
    from langgraph.checkpoint.memory import InMemorySaver  # noqa: PLC0415 -- an extra

    kept = copy.copy(graph)
    kept.checkpointer = InMemorySaver()
    return kept


def threaded(config: dict[str, Any] | None) -> dict[str, Any]:
    """A configuration with a thread, which a checkpointer needs. A checkpoint's address is left as it is."""
    given = dict(config or {})
    configurable = dict(given.get("configurable") or {})
    configurable.setdefault("thread_id", str(uuid4()))
    return {**given, "configurable": configurable}


def question(interrupt: Any) -> str:
    """What the graph asks, on one line."""
    value = getattr(interrupt, "value", interrupt)
    shown = value if isinstance(value, str) else encode(value, ascii_only=False)
    line = "".join(each if each.isprintable() else "\ufffd" for each in shown)
    return line if len(line) <= 400 else f"{line[:399]}…"  # noqa: PLR2004 -- some lines of a terminal


def value_of(line: str) -> Any:
    """An answer: JSON if it is JSON, otherwise text."""
    try:
        return json.loads(line)
    except ValueError:
        return line


def asked(prompt: str) -> str | None:
    """A line that the user types; `None` if there is no more, or the user leaves."""
    sys.stderr.write(prompt)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        sys.stderr.write("\n")
        return None
    return None if line.strip() in LEAVE else line.rstrip("\n")
