"""`run.tool_calls`: one stream per tool call, for runs that register `ToolCallTransformer`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from typing import Any, final

from anyiostream.channels.channel import StreamChannel
from anyiostream.channels.deltas import AsyncDeltaCursor, DeltaCursor, DeltaLog, ReaderPort, await_end
from anyiostream.channels.unread import GOOD_END, Ended
from anyiostream.errors import MalformedPart, RunAborted
from anyiostream.events import Namespace
from anyiostream.transformer import PayloadTransformer, TransformerPort, builtin

__all__ = ["ToolCallStream", "ToolCallTransformer", "ToolOutputDeltas"]


@final
class ToolOutputDeltas:
    """What a tool has put out so far. Any number of readers, each from the start; `for` or `async for` by lane."""

    __slots__ = ("_log", "_run")

    def __init__(self, run: ReaderPort, log: DeltaLog[Any]) -> None:
        self._run = run
        self._log = log

    def __iter__(self) -> Iterator[Any]:
        """The deltas from the first on, on the sync lane."""
        return DeltaCursor(self._run, self._log)

    def __aiter__(self) -> AsyncIterator[Any]:
        """The deltas from the first on, on the async lane."""
        return AsyncDeltaCursor(self._run, self._log)


@final
class ToolCallStream:
    """One tool call, from its start. Awaiting it (async lane) or `result()` (sync lane) gives its output.

    Attributes:
        tool_call_id: The id that the model gave the call.
        tool_name: The tool.
        input: Its arguments, or `None` if they are not known.
        output: What it returned, once it has.
        error: The text of its error, if it failed.
        completed: Whether it has ended, in whatever way.
    """

    __slots__ = ("_failure", "_log", "_run", "completed", "error", "input", "output", "tool_call_id", "tool_name")

    def __init__(self, run: ReaderPort, tool_call_id: str, tool_name: str, given: Any) -> None:
        self._run = run
        self._log: DeltaLog[Any] = DeltaLog(f"tool call {tool_call_id!r}")
        self._failure: Ended | None = None
        self.tool_call_id = tool_call_id
        self.tool_name = tool_name
        self.input = given
        self.output: Any = None
        self.error: str | None = None
        self.completed = False

    @property
    def output_deltas(self) -> ToolOutputDeltas:
        """What it puts out while it runs.

        A tool's error does not end the iteration with an exception; the run's does.
        """
        return ToolOutputDeltas(self._run, self._log)

    def __iter__(self) -> Iterator[Any]:
        """As `output_deltas`."""
        return iter(self.output_deltas)

    def __aiter__(self) -> AsyncIterator[Any]:
        """As `output_deltas`."""
        return aiter(self.output_deltas)

    def __await__(self) -> Generator[Any, Any, Any]:
        """Its output, or `None` if it failed; `error` tells. Runs the graph until the call has ended.

        Raises:
            RunAborted: The run was aborted before.
            BaseException: The error that ended the run before.
        """
        return self._wait().__await__()

    def __repr__(self) -> str:
        status = "running" if not self.completed else "completed" if self.error is None else "failed"
        return f"<ToolCallStream {self.tool_name}({self.tool_call_id!r}), {status}>"

    def result(self) -> Any:
        """As awaiting it, on the sync lane."""
        for _ in DeltaCursor(self._run, self._log):
            pass
        self._raise_failure()
        return self.output

    def push_delta(self, delta: Any) -> None:
        """It has put something out."""
        self._log.push(delta)

    def finish(self, output: Any) -> None:
        """It has returned."""
        self._end(output=output)

    def fail(self, error: str) -> None:
        """It has failed, or the run has ended before it did."""
        self._end(error=error)

    def fail_with_run(self, error: BaseException) -> None:
        """The run has ended before it did: by an error, or because it was aborted."""
        self._failure = Ended.by(error)
        self._end(error=str(error), ended=GOOD_END if isinstance(error, RunAborted) else self._failure)

    def _end(self, *, output: Any = None, error: str | None = None, ended: Ended | None = None) -> None:
        if not self.completed:
            self.output, self.error, self.completed = output, error, True
            self._log.end(ended or GOOD_END)

    async def _wait(self) -> Any:
        await await_end(self._run, self._log)
        self._raise_failure()
        return self.output

    def _raise_failure(self) -> None:
        if self._failure is not None and self._failure.error is not None:
            raise self._run.deliver(self._failure.error)


@builtin("tool_calls")
class ToolCallTransformer(PayloadTransformer):
    """`run.tool_calls`: a stream for each tool call of the scope, as soon as it starts.

    Made from the `tools` parts: `tool-started`, `tool-output-delta`, `tool-finished` and `tool-error`, told apart by
    their `tool_call_id`. Events of calls whose start was not seen are passed over.

    Attributes:
        skipped: Events passed over.
    """

    _native = True
    required_stream_modes = ("tools",)
    methods = ("tools",)

    def __init__(self, scope: Namespace = ()) -> None:
        """Make the transformer and its channel."""
        super().__init__(scope)
        self._channel: StreamChannel[ToolCallStream] = StreamChannel()
        self._open: dict[str, ToolCallStream] = {}
        self._replaced: list[ToolCallStream] = []
        self._port: TransformerPort | None = None
        self.skipped = 0

    def init(self) -> dict[str, Any]:
        """One projection, `tool_calls`."""
        return {"tool_calls": self._channel}

    def connect(self, port: TransformerPort) -> None:
        """What tool call streams advance the run with."""
        self._port = port

    def consume(self, data: Any) -> None:
        """Handle the payload of a `tools` part.

        Raises:
            MalformedPart: It is no mapping.
        """
        if not isinstance(data, Mapping):
            raise MalformedPart(data, f"the data of a 'tools' part is a mapping, not {type(data).__name__}")
        call_id, kind = data.get("tool_call_id"), data.get("event")
        known = self._open.get(str(call_id))
        if call_id is not None and kind == "tool-started":
            assert self._port is not None
            call = ToolCallStream(self._port, str(call_id), data.get("tool_name", ""), data.get("input"))
            if known is not None:
                # It has started again; the first one ends with the run.
                self._replaced.append(known)
            self._open[call.tool_call_id] = call
            self._channel.push(call)
        elif known is None:
            self.skipped += 1
        elif kind == "tool-output-delta":
            known.push_delta(data.get("delta"))
        elif kind == "tool-finished":
            del self._open[known.tool_call_id]
            known.finish(_content(data.get("output")))
        elif kind == "tool-error":
            del self._open[known.tool_call_id]
            known.fail(str(data.get("message", "")))

    def finalize(self) -> None:
        """Calls without an end have ended with the graph."""
        for call in self._unfinished():
            call.finish(None)

    def fail(self, err: BaseException) -> None:
        """Calls that have not ended fail with the run."""
        for call in self._unfinished():
            call.fail_with_run(err)

    def _unfinished(self) -> list[ToolCallStream]:
        calls = [*self._replaced, *self._open.values()]
        self._replaced.clear()
        self._open.clear()
        return calls


def _content(output: Any) -> Any:
    """What a tool returned: the content, where it comes wrapped in a tool message, possibly serialised."""
    if getattr(output, "type", None) == "tool" and hasattr(output, "content"):
        return output.content
    if isinstance(output, Mapping) and output.get("type") == "constructor":
        kind, inner = output.get("id"), output.get("kwargs")
        if isinstance(kind, list) and kind and kind[-1] == "ToolMessage" and isinstance(inner, Mapping):
            return inner.get("content")
    return output
