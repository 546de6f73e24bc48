"""`ChatModelStream` and `AsyncChatModelStream`: one model call, as the application reads it.

Each projection may be read by any number of readers, any number of times: every cursor replays from the start.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, final

from anyiostream.channels.port import Port
from anyiostream.errors import NotAwaited, WrongLane
from anyiostream.projections.deltas import AsyncDeltaCursor, DeltaCursor, DeltaLog, await_end, wait_for_end
from anyiostream.projections.messages.record import Assembler, MessageRecord, MessageStatus

__all__ = ["AsyncChatModelStream", "AsyncMessageProjection", "ChatModelStream", "MessageProjection"]

T = TypeVar("T")
R = TypeVar("R")


@final
class MessageProjection(Generic[T, R]):
    """One aspect of a message on the sync lane: iterate it for its pieces, `get()` it for its final value.

    Example:
        ```python
        from anyiostream import open_run

        async def greet(name, writer):
            async with writer.message() as message:
                await message.text("Good ")
                await message.text("morning")

        with open_run(greet, "Ada") as run:
            (message,) = run.messages
            assert list(message.text) == ["Good ", "morning"]
            assert message.text.get() == str(message.text) == "Good morning"
        ```
    """

    __slots__ = ("_final", "_log", "_run")

    def __init__(self, run: Port, log: DeltaLog[T], final: Callable[[], R]) -> None:
        self._run = run
        self._log = log
        self._final = final

    def __iter__(self) -> DeltaCursor[T]:
        """The pieces from the first on, as they arrive."""
        return DeltaCursor(self._run, self._log)

    def get(self) -> R:
        """The final value. Runs the graph until the message has ended.

        Raises:
            RunAborted: The run was aborted before.
            BaseException: The error that ended the message, each time it is asked for.
        """
        wait_for_end(self._run, self._log)
        return self._final()

    def __str__(self) -> str:
        """The final value, as text; raises as `get`."""
        return str(self.get())

    if not TYPE_CHECKING:  # for type checkers it is neither an asynchronous iterable nor an awaitable

        def __aiter__(self) -> NoReturn:
            raise WrongLane(self._log.name, "sync", "use 'for' instead.")

        def __await__(self) -> NoReturn:
            raise WrongLane(self._log.name, "sync", "use get() instead.")


@final
class AsyncMessageProjection(Generic[T, R]):
    """One aspect of a message on the async lane: iterate it for its pieces, await it for its final value.

    Example:
        ```python
        import anyio
        from anyiostream import open_run

        async def greet(name, writer):
            async with writer.message() as message:
                await message.text("Good ")
                await message.text("morning")

        async def main():
            async with open_run(greet, "Ada") as run:
                async for message in run.messages:
                    assert [piece async for piece in message.text] == ["Good ", "morning"]
                    assert await message.text == "Good morning"

        anyio.run(main)
        ```
    """

    __slots__ = ("_final", "_log", "_run", "_what")

    def __init__(self, run: Port, log: DeltaLog[T], final: Callable[[], R], what: str) -> None:
        self._run = run
        self._log = log
        self._final = final
        self._what = what

    def __aiter__(self) -> AsyncDeltaCursor[T]:
        """The pieces from the first on, as they arrive."""
        return AsyncDeltaCursor(self._run, self._log)

    def __await__(self) -> Generator[Any, Any, R]:
        """The final value. Runs the graph until the message has ended; a checkpoint only if it has to.

        Raises:
            RunAborted: The run was aborted before.
            BaseException: The error that ended the message, each time it is asked for.
        """
        return self._wait().__await__()

    def __repr__(self) -> str:
        return f"<{self._what}: `await` it for the whole, `async for` for the pieces>"

    if not TYPE_CHECKING:  # for type checkers it is not iterable, and has no value yet

        def __iter__(self) -> NoReturn:
            raise WrongLane(self._what, "async", "use 'async for' instead.")

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_"):
                raise AttributeError(name)
            if name == "get":
                raise WrongLane(self._what, "async", "await it instead.")
            raise NotAwaited(self._what, example=f"(await {self._what}).{name}")

    async def _wait(self) -> R:
        await await_end(self._run, self._log)
        return self._final()


class MessageStream:
    """What the streams of both lanes have in common: which call it is, and the final message.

    The attributes may change until the message has ended.
    """

    __slots__ = ("_assemble", "_output", "_record", "_run")

    def __init__(self, run: Port, record: MessageRecord, assemble: Assembler) -> None:
        self._run = run
        self._record = record
        self._assemble = assemble
        self._output: Any = None

    @property
    def message_id(self) -> str | None:
        """The message's id, once it is known."""
        return self._record.message_id

    @property
    def node(self) -> str | None:
        """The node that made the call."""
        return self._record.node

    @property
    def namespace(self) -> list[str]:
        """The namespace of the node's graph."""
        return list(self._record.namespace)

    @property
    def status(self) -> MessageStatus:
        """`"streaming"`, then `"finished"`, `"failed"` or `"aborted"`."""
        return self._record.status

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._record.status != "streaming"

    def _message(self) -> Any:
        if self._output is None:
            given = self._record.message
            self._output = self._assemble(self._record) if given is None else given()
        return self._output

    def _final_usage(self) -> Mapping[str, Any] | None:
        return self._record.usage


@final
class ChatModelStream(MessageStream):
    """One model call on the sync lane. Iterating it gives its raw events.

    Example:
        ```python
        from anyiostream import open_run

        async def greet(name, writer):
            async with writer.message() as message:
                await message.text("Good ")
                await message.text("morning")

        with open_run(greet, "Ada") as run:
            (message,) = run.messages
            assert [event["event"] for event in message][::5] == ["message-start", "message-finish"]
            assert (message.status, message.output.text) == ("finished", "Good morning")
        ```
    """

    __slots__ = ()

    @property
    def text(self) -> MessageProjection[str, str]:
        """Its text: pieces, or `get()` and `str()` for the whole."""
        return MessageProjection(self._run, self._record.text, self._record.final_text)

    @property
    def reasoning(self) -> MessageProjection[str, str]:
        """Its reasoning, in the same forms."""
        return MessageProjection(self._run, self._record.reasoning, self._record.final_reasoning)

    @property
    def tool_calls(self) -> MessageProjection[dict[str, Any], list[dict[str, Any]]]:
        """Its tool calls: chunks `{"type", "id", "name", "args": str}`, or `get()` for the finished calls."""
        return MessageProjection(self._run, self._record.tool_call_chunks, self._record.final_tool_calls)

    @property
    def usage(self) -> Mapping[str, Any] | None:
        """Token counts, or `None` if the model reports none. Runs the graph until the message has ended."""
        wait_for_end(self._run, self._record.events)
        return self._record.usage

    @property
    def output(self) -> Any:
        """The final message: an `AIMessage` for LangGraph graphs, else a `FinishedMessage`.

        Runs the graph until the message has ended.

        Raises:
            RunAborted: The run was aborted before; `partial` has the message so far.
            BaseException: The error that ended the message, each time it is asked for.
        """
        wait_for_end(self._run, self._record.events)
        return self._message()

    def __iter__(self) -> DeltaCursor[Mapping[str, Any]]:
        """The raw events from the first on."""
        return DeltaCursor(self._run, self._record.events)


@final
class AsyncChatModelStream(MessageStream):
    """One model call on the async lane. Iterating it gives its raw events, awaiting it the final message.

    Example:
        ```python
        import anyio
        from anyiostream import open_run

        async def greet(name, writer):
            async with writer.message() as message:
                await message.text("Good ")
                await message.text("morning")

        async def main():
            async with open_run(greet, "Ada") as run:
                async for message in run.messages:
                    assert (await message).text == "Good morning"

        anyio.run(main)
        ```
    """

    __slots__ = ()

    @property
    def text(self) -> AsyncMessageProjection[str, str]:
        """Its text: pieces if iterated, the whole if awaited."""
        return AsyncMessageProjection(self._run, self._record.text, self._record.final_text, "message.text")

    @property
    def reasoning(self) -> AsyncMessageProjection[str, str]:
        """Its reasoning, in the same forms."""
        return AsyncMessageProjection(
            self._run, self._record.reasoning, self._record.final_reasoning, "message.reasoning"
        )

    @property
    def tool_calls(self) -> AsyncMessageProjection[dict[str, Any], list[dict[str, Any]]]:
        """Its tool calls: chunks `{"type", "id", "name", "args": str}` if iterated, the finished calls if awaited."""
        return AsyncMessageProjection(
            self._run, self._record.tool_call_chunks, self._record.final_tool_calls, "message.tool_calls"
        )

    @property
    def usage(self) -> AsyncMessageProjection[Mapping[str, Any], Mapping[str, Any] | None]:
        """Token counts if awaited, or `None` if the model reports none."""
        return AsyncMessageProjection(self._run, self._record.events, self._final_usage, "message.usage")

    @property
    def output(self) -> AsyncMessageProjection[Mapping[str, Any], Any]:
        """The final message if awaited: an `AIMessage` for LangGraph graphs, else a `FinishedMessage`.

        Awaiting raises:
            RunAborted: The run was aborted before; `partial` has the message so far.
            BaseException: The error that ended the message, each time it is asked for.
        """
        return AsyncMessageProjection(self._run, self._record.events, self._message, "message.output")

    def __await__(self) -> Generator[Any, Any, Any]:
        """The final message, as `output`."""
        return self.output.__await__()

    def __aiter__(self) -> AsyncDeltaCursor[Mapping[str, Any]]:
        """The raw events from the first on."""
        return AsyncDeltaCursor(self._run, self._record.events)
