"""`run.tool_calls`: one stream per tool call, for runs that register `ToolCallTransformer`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from typing import Any, Final, Literal, final

from anyiostream.channels.channel import StreamChannel
from anyiostream.channels.port import Port
from anyiostream.errors import MalformedPart, RunAborted, RunDrained
from anyiostream.events import Namespace
from anyiostream.forms import text_of
from anyiostream.outcome import COMPLETED, Outcome
from anyiostream.projections.deltas import AsyncDeltaCursor, DeltaCursor, DeltaLog, await_end, wait_for_end
from anyiostream.state import GraphState
from anyiostream.transformer import PayloadTransformer, TaskWatch, TransformerPort, builtin

__all__ = ["ToolCallStatus", "ToolCallStream", "ToolCallTransformer", "ToolOutputDeltas", "tool_failure", "tool_key"]

ToolCallStatus = Literal["running", "completed", "failed", "interrupted"]
"""How a tool call stands."""

CUT_OFF: Final = "the tool call was cut off: the graph ended before the tool did"
WAITS: Final = "the tool call was interrupted: the graph waits for its user"
UNTOLD: Final = "the tool failed, or was cancelled, and does not say why"
REPLACED: Final = "the tool call was cut off: it has been started again"


@final
class ToolOutputDeltas:
    """What a tool has put out so far. Any number of readers, each from the start; `for` or `async for` by lane."""

    __slots__ = ("_log", "_run")

    def __init__(self, run: Port, log: DeltaLog[Any]) -> None:
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
        output: What it returned, once it has; also of one that has returned an error.
        error: The text of its error, if it failed.
        completed: Whether it has ended, well or not.

    Example:
        ```python
        from anyiostream import ToolCallTransformer, open_run, parts

        def tools(event, **facts):
            return parts.tools({"event": event, "tool_call_id": "1", **facts})

        graph = [
            tools("tool-started", tool_name="search", input={"q": "trio"}),
            tools("tool-output-delta", delta="half"),
            tools("tool-finished", output="both"),
        ]
        with open_run(graph, transformers=[ToolCallTransformer]) as run:
            for call in run.extensions["tool_calls"]:
                assert (call.tool_name, list(call), call.result()) == ("search", ["half"], "both")
        ```
    """

    __slots__ = ("_log", "_run", "completed", "error", "input", "output", "tool_call_id", "tool_name")

    def __init__(self, run: Port, tool_call_id: str, tool_name: str, given: Any) -> None:
        self._run = run
        self._log: DeltaLog[Any] = DeltaLog(f"tool call {tool_call_id!r}")
        self.tool_call_id = tool_call_id
        self.tool_name = tool_name
        self.input = given
        self.output: Any = None
        self.error: str | None = None
        self.completed = False

    @property
    def status(self) -> ToolCallStatus:
        """`"running"`, then `"completed"`, `"failed"`, or `"interrupted"`.

        It has failed if it raised, returned a tool message whose status is `error`, was cut off, or the run ended
        before it did. It is interrupted if the graph waits for its user, whom the tool may have asked.
        """
        if not self.completed:
            return "running"
        if self.error is WAITS:
            return "interrupted"
        return "completed" if self.error is None else "failed"

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
        """Its output, or `None` if it returned nothing; `error` tells why. Runs the graph until the call has ended.

        Raises:
            RunAborted: The run was aborted before.
            BaseException: The error that ended the run before.
        """
        return self._wait().__await__()

    def __repr__(self) -> str:
        return f"<ToolCallStream {self.tool_name}({self.tool_call_id!r}), {self.status}>"

    def result(self) -> Any:
        """As awaiting it, on the sync lane."""
        wait_for_end(self._run, self._log)
        return self.output

    def push_delta(self, delta: Any) -> None:
        """It has put something out."""
        self._log.push(delta)

    def finish(self, output: Any, error: str | None = None) -> None:
        """It has returned: its output, or its `error`, which it has caught."""
        self._end(output=output, error=error)

    def fail(self, error: str) -> None:
        """It has failed, or the run has ended before it did."""
        self._end(error=error)

    def fail_with_run(self, error: BaseException) -> None:
        """The run has ended before it did: by an error, or because it was aborted."""
        outcome = Outcome(Outcome.by(error).status, error, quiet=isinstance(error, (RunAborted, RunDrained)))
        self._end(error=text_of(error), outcome=outcome)

    def _end(self, *, output: Any = None, error: str | None = None, outcome: Outcome = COMPLETED) -> None:
        if not self.completed:
            self.output, self.error, self.completed = output, error, True
            self._log.end(outcome)

    async def _wait(self) -> Any:
        await await_end(self._run, self._log)
        return self.output


@builtin("tool_calls")
class ToolCallTransformer(PayloadTransformer):
    """`run.tool_calls`: a stream for each tool call of the scope, as soon as it starts.

    Made from the `tools` parts: `tool-started`, `tool-output-delta`, `tool-finished` and `tool-error`, told apart by
    their `tool_call_id`, and by a `run_id` if several that are under way have one. Events of calls whose start was not
    seen are passed over.

    Attributes:
        skipped: Events passed over.

    Example:
        ```python
        from anyiostream import ToolCallTransformer, open_run, parts

        graph = [
            parts.tools({"event": "tool-started", "tool_call_id": "1", "tool_name": "search"}),
            parts.tools({"event": "tool-error", "tool_call_id": "1", "message": "no such index"}),
        ]
        with open_run(graph, transformers=[ToolCallTransformer]) as run:
            (call,) = run.extensions["tool_calls"]
            assert (call.status, call.error) == ("failed", "no such index")
        ```
    """

    _native = True
    required_stream_modes = ("tools",)
    methods = ("tools",)

    def __init__(self, scope: Namespace = ()) -> None:
        """Make the transformer and its channel."""
        super().__init__(scope)
        self._channel: StreamChannel[ToolCallStream] = StreamChannel()
        self._open: dict[str, ToolCallStream] = {}
        self._port: TransformerPort | None = None
        self._state = GraphState()
        self._waits = False
        self.skipped = 0

    def init(self) -> dict[str, Any]:
        """One projection, `tool_calls`."""
        return {"tool_calls": self._channel}

    def connect(self, port: TransformerPort) -> None:
        """What tool call streams advance the run with."""
        self._port = port

    def watch_tasks(self, tasks: TaskWatch) -> None:
        """Watch the scope's tasks: a task that waits for the user may do so because a tool has asked."""
        tasks.watch(self.scope, self._task_ended)

    def watch_state(self, state: GraphState) -> None:
        """Know whether the graph of the scope waits, also where no task tells."""
        self._state = state

    def _task_ended(self, result: Mapping[str, Any]) -> None:
        self._waits = self._waits or bool(result.get("interrupts"))

    def consume(self, data: Any) -> None:
        """Handle the payload of a `tools` part.

        Raises:
            MalformedPart: It is not a mapping.
        """
        if not isinstance(data, Mapping):
            raise MalformedPart(data, f"the data of a 'tools' part is a mapping, not {type(data).__name__}")
        call_id, kind, key = data.get("tool_call_id"), data.get("event"), tool_key(data)
        known = self._open.get(key)
        if call_id is not None and kind == "tool-started":
            assert self._port is not None
            call = ToolCallStream(self._port, str(call_id), data.get("tool_name", ""), data.get("input"))
            if known is not None:
                known.fail(REPLACED)
            self._open[key] = call
            self._channel.push(call)
        elif known is None:
            self.skipped += 1
        elif kind == "tool-output-delta":
            known.push_delta(data.get("delta"))
        elif kind == "tool-finished":
            del self._open[key]
            known.finish(_content(data.get("output")), tool_failure(data))
        elif kind == "tool-error":
            del self._open[key]
            known.fail(str(data.get("message") or UNTOLD))

    def finalize(self) -> None:
        """The graph has ended: what is still open was cut off, or waits for the user."""
        waits = self._waits or self._state.interrupted
        for call in self._unfinished():
            call.fail(WAITS if waits else CUT_OFF)

    def fail(self, err: BaseException) -> None:
        """Calls that have not ended fail with the run."""
        for call in self._unfinished():
            call.fail_with_run(err)

    def _unfinished(self) -> list[ToolCallStream]:
        calls = list(self._open.values())
        self._open.clear()
        return calls


def tool_key(event: Mapping[str, Any]) -> str:
    """What tells the call of an event from others of its graph: its id; or its run, if another call has the same id."""
    return str(event.get("run_id") or event.get("tool_call_id"))


def tool_failure(end: Mapping[str, Any]) -> str | None:
    """Why a tool has failed; `None` if it has not.

    It may have raised an error; or the error was caught, and is its answer to the model.

    Args:
        end: The event that it ends with, `tool-finished` or `tool-error`.
    """
    if end.get("event") == "tool-error":
        return str(end.get("message") or UNTOLD)
    message = _tool_message(end.get("output"))
    if message is None or message.get("status") != "error":
        return None
    return _text(message.get("content")) or UNTOLD


def _content(output: Any) -> Any:
    """What a tool returned: the content, where it comes wrapped in a tool message, possibly serialised."""
    message = _tool_message(output)
    return output if message is None else message.get("content")


def _tool_message(output: Any) -> Mapping[str, Any] | None:
    """The fields of a tool message, as LangChain has it or writes it; `None` for anything else."""
    if not isinstance(output, Mapping):
        if getattr(output, "type", None) == "tool" and hasattr(output, "content"):
            return {"content": output.content, "status": getattr(output, "status", None)}
        return None
    if output.get("type") == "tool" and "content" in output and "tool_call_id" in output:
        return output
    kind, inner = output.get("id"), output.get("kwargs")
    is_written = output.get("type") == "constructor" and isinstance(kind, list) and kind and kind[-1] == "ToolMessage"
    return inner if is_written and isinstance(inner, Mapping) else None


def _text(content: Any) -> str:
    """The text of a message's content, which may be a list of blocks."""
    if isinstance(content, list):
        return "".join(map(_text, content))
    said = content.get("text") if isinstance(content, Mapping) else content
    return said if isinstance(said, str) else ""
