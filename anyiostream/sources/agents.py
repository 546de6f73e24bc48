"""What agents of other frameworks have in common as sources: their input, their questions, their messages.

To add a framework: a subclass of `AgentGraph` in a module of its own that imports the framework when it is used, an
extra, and a column in the conformance suite (`tests/sources/`). The subclass translates the framework's events with
`Blocks`, ends with a state of plain data, and asks its user with `ask`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any, Final, NoReturn, final

import attrs

from anyiostream import parts
from anyiostream.errors import AgentAnswerInvalid, AgentInputInvalid, GraphInterrupt
from anyiostream.projections.messages.output import finish_tool_call
from anyiostream.sources.asyncio_graph import AsyncioGraph
from anyiostream.sources.message_writer import MessageWriter
from anyiostream.sources.resumption import Resumption
from anyiostream.sources.writer import GraphWriter, PendingInterrupt

__all__ = [
    "AgentGraph",
    "AgentInput",
    "Approval",
    "Blocks",
    "as_subgraph",
    "ask",
    "tool_ended",
    "tool_started",
    "writing",
]

INPUT: Final = frozenset({"prompt", "messages"})
"""Keys of a run's input."""

STATE: Final = frozenset({"output", "usage", "pending", "answers", "suspended"})
"""Further keys of a run's output, which may be the next run's input unchanged."""

_writer: Final[ContextVar[GraphWriter | None]] = ContextVar("anyiostream_agent_writer", default=None)


class AgentGraph(AsyncioGraph):
    """An agent of another framework, as a graph. Subclasses implement `run_agent`."""

    drains = False

    async def produce(self, given: Any, writer: GraphWriter) -> Any:
        """Run the agent, or go on with its last run."""
        asked = AgentInput.of(given)
        if asked.unanswered:
            await ask(writer, asked.state, asked.pending, asked.answers)
        with writing(writer):
            return await self.run_agent(asked, writer)

    async def run_agent(self, asked: AgentInput, writer: GraphWriter) -> Any:
        """What the agent does; returns its last state."""
        raise NotImplementedError


@contextmanager
def writing(writer: GraphWriter) -> Generator[None]:
    """A block in which agents that tools call write into `writer`."""
    token = _writer.set(writer)
    try:
        yield
    finally:
        _writer.reset(token)


@asynccontextmanager
async def as_subgraph(name: str, given: Any, tool_call_id: str | None) -> AsyncGenerator[GraphWriter | None]:
    """A block that is a subgraph of the run in which a tool is called; `None` where there is no run."""
    writer = _writer.get()
    if writer is None:
        yield None
        return
    async with writer.subgraph(name, given, agent=name, tool_call_id=tool_call_id) as inner:
        with writing(inner):
            yield inner


@final
@attrs.frozen
class AgentInput:
    """What a run of an agent begins with.

    Attributes:
        prompt: What the user says, as the framework takes it; `None` if there is nothing new.
        messages: The history, as the framework dumps it.
        pending: What an interrupted run has asked: id -> question.
        answers: The answers so far: id -> answer.
        state: The interrupted run's last state.
    """

    prompt: Any = None
    messages: Sequence[Any] = ()
    pending: Mapping[str, Any] = attrs.field(factory=dict)
    answers: Mapping[str, Any] = attrs.field(factory=dict)
    state: Mapping[str, Any] = attrs.field(factory=dict)

    @classmethod
    def of(cls, given: Any) -> AgentInput:
        """What a run was given.

        Args:
            given: A prompt, `{"prompt": ..., "messages": ...}`, or a `Resumption`.

        Raises:
            AgentInputInvalid: It is none of these.
            AgentAnswerInvalid: It answers what was not asked.
        """
        if isinstance(given, Resumption):
            return cls._resumed(given)
        if not isinstance(given, Mapping):
            if not given:
                raise AgentInputInvalid(repr(given))
            return cls(given)
        for key in given:
            if key not in INPUT | STATE:
                raise AgentInputInvalid(f"the key {key!r}")
        if not any(given.get(key) for key in INPUT):
            raise AgentInputInvalid("a mapping that has neither `prompt` nor `messages`")
        return cls(given.get("prompt"), _messages(given))

    @classmethod
    def _resumed(cls, given: Resumption) -> AgentInput:
        state = given.values
        if not isinstance(state, Mapping) or not state.get("pending"):
            raise AgentInputInvalid("a `Resumption` whose values are not the output of an interrupted run")
        pending: Mapping[str, Any] = state["pending"]
        for name in given.answers:
            if name not in pending:
                raise AgentAnswerInvalid.unknown(name, pending)
        return cls(None, _messages(state), pending, {**state.get("answers", {}), **given.answers}, state)

    @property
    def unanswered(self) -> bool:
        """Whether a question is left."""
        return self.pending.keys() != self.answers.keys()


def _messages(state: Mapping[str, Any]) -> Sequence[Any]:
    messages = state.get("messages") or ()
    if isinstance(messages, (str, Mapping)) or not isinstance(messages, Sequence):
        raise AgentInputInvalid(f"`messages` that are not a list, but {type(messages).__name__}")
    return messages


async def ask(
    writer: GraphWriter, state: Mapping[str, Any], pending: Mapping[str, Any], answers: Mapping[str, Any]
) -> NoReturn:
    """End the run as interrupted, with a question for each of `pending` that has no answer yet.

    Raises:
        GraphInterrupt: Always.
    """
    interrupts = tuple(PendingInterrupt(question, name) for name, question in pending.items() if name not in answers)
    await writer.values({**state, "pending": dict(pending), "answers": dict(answers)}, interrupts=interrupts)
    raise GraphInterrupt(interrupts)


@final
@attrs.frozen
class Approval:
    """What a user says of a tool call that waits for consent.

    Attributes:
        approved: Whether it may run.
        message: What the model is told if not; `None` for the framework's own words.
    """

    approved: bool
    message: str | None = None

    @classmethod
    def of(cls, interrupt_id: str, answer: Any) -> Approval:
        """An answer: true, false, or `{"approved": bool, "message": str}`.

        Raises:
            AgentAnswerInvalid: It is none of these.
        """
        if isinstance(answer, bool):
            return cls(answer)
        if isinstance(answer, Mapping) and answer.keys() <= {"approved", "message"}:
            approved, message = answer.get("approved"), answer.get("message")
            if isinstance(approved, bool) and (message is None or isinstance(message, str)):
                return cls(approved, message)
        raise AgentAnswerInvalid.no_approval(interrupt_id, answer)


@final
class Blocks:
    """Writes the content blocks of one message; several may be open at a time, each under a key of the framework's.

    Attributes:
        count: How many have begun.
    """

    def __init__(self, message: MessageWriter) -> None:
        self._message = message
        self._open: dict[Hashable, Block] = {}
        self._written: set[Hashable] = set()
        self.count = 0

    def has(self, key: Hashable) -> bool:
        """Whether a block is open."""
        return key in self._open

    async def begin(self, key: Hashable, kind: str) -> None:
        """Begin a block of text or reasoning."""
        await self._begin(key, kind, {"type": kind, kind: ""})

    async def begin_call(self, key: Hashable, name: str, tool_call_id: str) -> None:
        """Begin a call of a tool, whose arguments come in pieces of JSON."""
        await self._begin(key, "args", {"type": "tool_call_chunk", "id": tool_call_id, "name": name, "args": ""})

    async def _begin(self, key: Hashable, kind: str, content: Mapping[str, Any]) -> None:
        await self.end(key)
        self._written.add(key)
        block = self._open[key] = Block(self.count, kind, content)
        self.count += 1
        await self._message.event("content-block-start", index=block.index, content=content)

    async def add(self, key: Hashable, piece: str) -> None:
        """Write a piece of a block that is open."""
        if piece:
            block = self._open[key]
            block.pieces.append(piece)
            delta = {"type": "tool-call-delta" if block.kind == "args" else f"{block.kind}-delta", block.kind: piece}
            await self._message.event("content-block-delta", index=block.index, delta=delta)

    async def end(self, key: Hashable, whole: str | None = None) -> None:
        """End a block, if it is open; `whole` is its whole content, if the framework provides it."""
        block = self._open.pop(key, None)
        if block is not None:
            said = "".join(block.pieces) if whole is None else whole
            content: dict[str, Any] = {**block.content, block.kind: said}
            if block.kind == "args":
                content = finish_tool_call(content)
            await self._message.event("content-block-finish", index=block.index, content=content)

    async def fill(self, key: Hashable, kind: str, text: str) -> None:
        """Write a block of text or reasoning, unless it has come in pieces already; end it either way."""
        if key not in self._written:
            await self.begin(key, kind)
            await self.add(key, text)
        await self.end(key)

    async def whole(self, content: Mapping[str, Any]) -> None:
        """Write a block that comes in one piece."""
        await self._message.event("content-block-start", index=self.count, content=content)
        await self._message.event("content-block-finish", index=self.count, content=content)
        self.count += 1

    async def end_all(self) -> None:
        """End those that are open."""
        for key in [*self._open]:
            await self.end(key)


@final
@attrs.define
class Block:
    """A block that is open."""

    index: int
    kind: str
    content: Mapping[str, Any]
    pieces: list[str] = attrs.field(factory=list)


async def tool_started(writer: GraphWriter, tool_call_id: str, name: str, given: Any) -> None:
    """A tool has been called."""
    await _tool(writer, tool_call_id, "tool-started", tool_name=name, input=given)


async def tool_ended(writer: GraphWriter, tool_call_id: str, output: Any, *, error: str | None = None) -> None:
    """A tool has returned, or failed with `error`."""
    if error is None:
        await _tool(writer, tool_call_id, "tool-finished", output=output)
    else:
        await _tool(writer, tool_call_id, "tool-error", message=error)


async def _tool(writer: GraphWriter, tool_call_id: str, event: str, **fields: Any) -> None:
    await writer.part(parts.tools({"event": event, "tool_call_id": tool_call_id, **fields}, ns=writer.namespace))
