"""`MessagesTransformer`: a stream for each model call of one scope."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from anyiostream.channels.channel import StreamChannel
from anyiostream.errors import MalformedPart, MessageFailed, RunAborted, RunDrained, SubgraphFailed
from anyiostream.events import Namespace
from anyiostream.projections.messages.calls import CallEvent, ModelCall, ModelCalls
from anyiostream.projections.messages.record import STREAMING, MessageRecord
from anyiostream.projections.messages.streams import AsyncChatModelStream, ChatModelStream
from anyiostream.transformer import PayloadTransformer, TaskWatch, TransformerPort, builtin

__all__ = ["MessagesTransformer"]


PIECES = frozenset({"content-block-delta", "content-block-finish"})
"""Events after which a message goes on, and of which `ModelCalls` notes nothing."""


@builtin("messages")
class MessagesTransformer(PayloadTransformer):
    """`run.messages`: a stream for each model call of the scope, as soon as the call starts.

    `ModelCalls` has the rules: which call an event belongs to, and how a call ends that breaks off.

    Example:
        ```python
        from anyiostream import open_run

        async def greet(name, writer):
            async with writer.message() as message:
                await message.text("Good ")
                await message.text("morning")

        with open_run(greet, "Ada") as run:
            for message in run.messages:
                assert list(message.text) == ["Good ", "morning"]
        ```
    """

    _native = True
    required_stream_modes = ("messages",)
    methods = ("messages",)

    def __init__(self, scope: Namespace = ()) -> None:
        """Make the transformer and its channel."""
        super().__init__(scope)
        self._channel: StreamChannel[Any] = StreamChannel()
        self._calls = ModelCalls()
        self._records: dict[ModelCall, MessageRecord] = {}
        self._by_run_id: dict[Any, MessageRecord] = {}
        self._port: TransformerPort | None = None
        self._tasks: TaskWatch | None = None
        self._watching = False

    @property
    def skipped(self) -> int:
        """Events passed over because no message they could belong to is open."""
        return self._calls.skipped

    def init(self) -> dict[str, Any]:
        """One projection, `messages`."""
        return {"messages": self._channel}

    def connect(self, port: TransformerPort) -> None:
        """What message streams advance the run with."""
        self._port = port

    def watch_tasks(self, tasks: TaskWatch) -> None:
        """Where to ask for the results of the tasks that make the calls."""
        self._tasks = tasks

    def consume(self, data: Any) -> None:
        """Handle the payload of a `messages` part.

        Raises:
            MalformedPart: It is not a pair of a payload and its metadata.
        """
        try:
            payload, metadata = data
            record = self._by_run_id[metadata["run_id"]]
            is_piece = payload["event"] in PIECES
        except (KeyError, TypeError, ValueError):
            self._consume(data)
            return
        if is_piece:
            # The path of every token, with few calls; the general one below does the same.
            record.dispatch(payload)
        else:
            self._consume(data)

    def _consume(self, data: Any) -> None:
        try:
            payload, metadata = data
        except (TypeError, ValueError):
            raise MalformedPart(data, "the data of a 'messages' part is a pair (payload, metadata)") from None
        if metadata is None:
            metadata = {}
        elif type(metadata) is not dict and not isinstance(metadata, Mapping):
            raise MalformedPart(data, f"a message's metadata is a mapping, not {type(metadata).__name__}")
        self._apply(self._calls.events(self.scope, (payload, metadata)))

    def finalize(self) -> None:
        """The graph has ended: what is still open has broken off, unless it came in chunks."""
        self._apply(self._calls.end())

    def fail(self, err: BaseException) -> None:
        """Calls that have not finished fail with the run; in a subgraph that failed by itself, each for that reason."""
        if isinstance(err, SubgraphFailed):
            failed = MessageFailed(str(err))
            failed.__cause__ = err
            err = failed
        for record in self._records.values():
            if isinstance(err, (RunAborted, RunDrained)):
                record.abort(partial(self._assembled, record))
            else:
                record.fail(err)
        self._records.clear()
        self._by_run_id.clear()
        self._calls.clear()
        self._watch()

    def _task_ended(self, result: Mapping[str, Any]) -> None:
        self._apply(self._calls.task_ended(self.scope, result))

    def _apply(self, events: Iterable[CallEvent]) -> None:
        for call, event, _ in events:
            record = self._records.get(call)
            if record is None:
                record = self._start(call)
            if call.message is not None:
                record.message = call.message
                record.message_id = call.message_id
            record.dispatch(event)
            if record.status is not STREAMING:
                self._end(call, record)

    def _start(self, call: ModelCall) -> MessageRecord:
        record = MessageRecord(node=call.node, namespace=self.scope, message_id=call.message_id)
        self._records[call] = record
        if call.chunks is None and call.run_id:
            self._by_run_id[call.run_id] = record
        self._watch()
        assert self._port is not None
        stream_class = AsyncChatModelStream if self._port.is_async else ChatModelStream
        self._channel.push(stream_class(self._port, record, self._port.assemble_message))
        return record

    def _end(self, call: ModelCall, record: MessageRecord) -> None:
        del self._records[call]
        if self._by_run_id.get(call.run_id) is record:
            del self._by_run_id[call.run_id]
        self._watch()

    def _watch(self) -> None:
        """Watch the results of tasks exactly while a call is open."""
        tasks, wanted = self._tasks, bool(self._records)
        if tasks is not None and wanted is not self._watching:
            self._watching = wanted
            (tasks.watch if wanted else tasks.unwatch)(self.scope, self._task_ended)

    def _assembled(self, record: MessageRecord) -> Any:
        assert self._port is not None
        return self._port.assemble_message(record)
