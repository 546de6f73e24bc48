"""`connect`: runs on a server, read like local ones.

```python
async with connect("http://127.0.0.1:2024") as client:
    async with client.thread("assistant").run({"question": "..."}) as run:
        async for message in run.messages:
            ...
        state = await run.output()
```

What arrives is fed into a run as its source, so its projections are a local run's, made by the same code. A lost
connection is made again from the last event that has arrived: nothing is lost, nothing comes twice.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self, final
from urllib.parse import quote
from uuid import uuid4

import anyio
import httpx

from anyiostream import (
    AsyncGraphRunStream,
    GraphInterrupt,
    RunDrained,
    StreamPart,
    TransformerFactory,
    open_run,
)
from anyiostream.remote.extensions import channels_for, extension
from anyiostream.remote.receiving import (
    EventDecoder,
    RemoteGap,
    RemoteMalformed,
    RemoteRefused,
    RemoteRunFailed,
    RemoteUnreachable,
    begins_again,
    checked_event,
    event_place,
    is_id,
    of_attempt,
    part_of,
    root_end,
)
from anyiostream.remote.reconnection import Reconnection
from anyiostream.remote.refusals import PLACE
from anyiostream.remote.transport import LONGEST_TEXT, RETRIED, Transport, TryAgain
from anyiostream.wire.abridging import ABRIDGED

__all__ = ["RemoteClient", "RemoteThread", "connect"]

UNKNOWN: Final = 404
"""HTTP status for a thread that the server does not know."""


def connect(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    reconnection: Reconnection | None = None,
    largest_event: int = 64 * 2**20,
) -> RemoteClient:
    """A client of the server at `url`, to be entered with `async with`, on asyncio or trio.

    Args:
        url: `http://host:port`, with a path if the application is mounted under one.
        headers: Sent with every request: credentials.
        reconnection: How a lost connection is made again.
        largest_event: Bytes that one event may have, and any other answer, decompressed.
    """
    return RemoteClient(url, dict(headers or {}), reconnection or Reconnection(), largest_event)


@final
class RemoteClient:
    """A server, as its user sees it. Nothing is connected before something is asked for."""

    def __init__(self, url: str, headers: dict[str, str], reconnection: Reconnection, largest_event: int) -> None:
        self.reconnection: Final = reconnection
        self.largest_event: Final = largest_event
        self.http: Final = httpx.AsyncClient(
            base_url=url,
            headers={"accept-encoding": "gzip, deflate", **headers},
            timeout=httpx.Timeout(reconnection.silence),
            limits=httpx.Limits(max_connections=None),
        )
        self.transport: Final = Transport(self.http, largest_event)

    async def __aenter__(self) -> Self:
        """Open the client."""
        await self.http.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close its connections. Runs on the server go on."""
        await self.http.__aexit__(exc_type, exc, traceback)

    def thread(self, assistant: str, thread_id: str | None = None) -> RemoteThread:
        """A thread of the server; its first use creates it.

        Args:
            assistant: The graph that its runs are of.
            thread_id: Its id; a new one if not given.
        """
        return RemoteThread(self, assistant, thread_id or str(uuid4()))


@final
class RemoteThread:
    """One conversation on a server.

    Attributes:
        assistant: The graph that its runs are of.
        thread_id: Its id.
        run_id: The id of the last run that was started from here, or `None`.
        attempt: How often the run that is read was begun, as far as it has been read: more than 1 once a server has
            died under it. The final messages of later attempts have theirs in `metadata["attempt"]`.
        abridged: How many events of that run, as far as it has been read, were too large for the server, which shows
            them in part; `await state()` has the values whole.
    """

    def __init__(self, client: RemoteClient, assistant: str, thread_id: str) -> None:
        self.assistant: Final = assistant
        self.thread_id: Final = thread_id
        self.run_id: str | None = None
        self.attempt: int = 1
        self.abridged: int = 0
        self._client = client
        self._path = f"/threads/{quote(thread_id, safe='')}"
        self._commands = 0

    @asynccontextmanager
    async def run(
        self,
        input: Any = None,  # noqa: A002 -- LangGraph's name for it
        *,
        config: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        transformers: Sequence[TransformerFactory] = (),
        extensions: Sequence[str] = (),
        **options: Any,
    ) -> AsyncGenerator[AsyncGraphRunStream]:
        """`async with thread.run(input) as run:` starts a run on the server, and reads it like a local one.

        If the graph waits for its user, the input is the answer. Leaving the block early, or `run.abort()`, ends the
        reading; the run goes on until `cancel` stops it.

        Args:
            input: What the graph is called with.
            config: LangGraph's configuration, as far as the server lets callers set it.
            metadata: Kept with the run.
            transformers: As for `open_run`: they run here, on what arrives.
            extensions: Names of the server's named channels, each to be read at `run.extensions[name]`.
            options: Further arguments of `open_run`: `buffer`, `prefetch`, `checkpoint_every`, `root_lifecycle`.

        Raises:
            RemoteRefused: The server does not run it.
            RemoteMalformed: Its answer is malformed; readers may get this, too.
            RemoteRunFailed: For readers: the graph fails.
            RemoteGap: For readers: the server has lost events, or the whole run.
            RemoteUnreachable: It cannot be reached; for readers: the connection cannot be made again.
        """
        params: dict[str, Any] = {"assistant_id": self.assistant, "input": input}
        if config is not None:
            params["config"] = dict(config)
        if metadata is not None:
            params["metadata"] = dict(metadata)
        run_id, place = await self._command("run.start", params)
        if run_id is None:
            raise RemoteMalformed("it does not name the run that was started")
        self.run_id = run_id
        async with self._opened(run_id, transformers, extensions, options, place) as run:
            yield run

    @asynccontextmanager
    async def respond(
        self,
        answers: Mapping[str, Any],
        *,
        transformers: Sequence[TransformerFactory] = (),
        extensions: Sequence[str] = (),
        **options: Any,
    ) -> AsyncGenerator[AsyncGraphRunStream]:
        """`async with thread.respond({interrupt_id: answer}) as run:` answers the graph's questions, and goes on.

        Otherwise as `run`.

        Raises:
            RemoteRefused: The graph does not wait at such an interrupt.
        """
        responses = [{"interrupt_id": name, "namespace": [], "response": answer} for name, answer in answers.items()]
        self.run_id, place = await self._command("input.respond", {"responses": responses})
        async with self._opened(self.run_id, transformers, extensions, options, place) as run:
            yield run

    @asynccontextmanager
    async def attach(
        self, *, transformers: Sequence[TransformerFactory] = (), extensions: Sequence[str] = (), **options: Any
    ) -> AsyncGenerator[AsyncGraphRunStream]:
        """`async with thread.attach() as run:` reads the thread's current turn from its start, whoever started it.

        If there is none, it waits for the next. Otherwise as `run`.
        """
        async with self._opened(None, transformers, extensions, options) as run:
            yield run

    async def state(self) -> dict[str, Any]:
        """Where the thread stands: `values`, and `next` and `tasks` if it has not ended.

        Raises:
            RemoteRefused: There is no such thread, or it is somebody else's.
        """
        state, _ = await self._client.transport.ask("GET", f"{self._path}/state")
        if not isinstance(state, dict):
            raise RemoteMalformed("a state is not an object")
        return state

    async def cancel(self, run_id: str | None = None, *, drain: bool = False) -> None:
        """Stop a run, by default the last one started from here, and wait until nothing of it is alive.

        With `drain` it stops at the end of its step, and this returns at once: as `request_drain` of a local run.

        Raises:
            RemoteRefused: It does not run, or its graph has no steps.
        """
        run_id = quote(run_id or self.run_id or "-", safe="")
        params = {"wait": "0", "action": "drain"} if drain else {"wait": "1", "action": "interrupt"}
        await self._client.transport.ask("POST", f"{self._path}/runs/{run_id}/cancel", params=params)

    # --- inside ---

    @asynccontextmanager
    async def _opened(
        self,
        run_id: str | None,
        transformers: Sequence[TransformerFactory],
        extensions: Sequence[str],
        options: Mapping[str, Any],
        place: str | None = None,
    ) -> AsyncGenerator[AsyncGraphRunStream]:
        for name in extensions:
            if not name or name.startswith("_"):
                raise RemoteRefused("invalid_argument", f"{name!r} is not the name of an extension", 200)
        made = [*transformers, *(extension(name) for name in extensions)]
        async with open_run(
            self._parts(run_id, channels_for(made, extensions), place), transformers=made, **options
        ) as run:
            yield run

    async def _command(self, method: str, params: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """The run that a command has started, if the server names it, and the place after which it begins, likewise."""
        self._commands += 1
        command = {"id": self._commands, "method": method, "params": params}
        # A key of its own tells it from the same command of another reader.
        key = {"idempotency-key": uuid4().hex}
        answer, headers = await self._client.transport.ask("POST", f"{self._path}/commands", json=command, headers=key)
        if not isinstance(answer, dict):
            raise RemoteMalformed("it is not an object")
        if answer.get("type") == "error":
            raise RemoteRefused(str(answer.get("error"))[:LONGEST_TEXT], str(answer.get("message"))[:LONGEST_TEXT], 200)
        result = answer.get("result")
        if answer.get("type") != "success" or not isinstance(result, dict):
            raise RemoteMalformed("it is neither a success nor an error")
        run_id, place = result.get("run_id"), headers.get(PLACE)
        if not all(each is None or is_id(each) for each in (run_id, place)):
            raise RemoteMalformed("the id of a run, or of its place, is not one")
        return run_id, place

    async def _parts(
        self, run_id: str | None, channels: Sequence[str], place: str | None
    ) -> AsyncGenerator[StreamPart]:
        """The parts of a run, from its start to its end.

        Args:
            run_id: Which run; `None` for that which the server shows first.
            channels: What is asked for.
            place: The id of an event after which it begins, if the server has told.
        """
        begun, attempt = run_id is None, 1
        async with aclosing(self._events(channels, place, known=not begun)) as events:
            async for event in events:
                end = root_end(event)
                if end is None:
                    if begun:
                        self.abridged += ABRIDGED in event["params"]
                        self.attempt = attempt = attempt + begins_again(event)
                        part = part_of(of_attempt(event, attempt))
                        if part is not None:
                            yield part
                    continue
                begun = begun or end.get("run_id") == run_id
                if not begun or end["event"] == "running":
                    self.attempt = attempt = 1
                    self.abridged = 0
                    continue
                if end["event"] == "failed":
                    raise RemoteRunFailed(str(end.get("error", "the run failed")))
                if end["event"] == "interrupted":
                    raise RunDrained("on the server") if end.get("reason") == "drained" else GraphInterrupt
                return

    async def _events(
        self, channels: Sequence[str], last_event_id: str | None, *, known: bool
    ) -> AsyncGenerator[Mapping[str, Any]]:
        """The thread's events, each once, in order, over any number of connections.

        Args:
            channels: What is asked for.
            last_event_id: After which event.
            known: Whether the server should know the thread: it has accepted a run on it.
        """
        reconnection = self._client.reconnection
        log, cursor, attempt, asked = "", 0, 0, 0.0
        while True:
            attempt += 1
            await anyio.sleep(reconnection.pause(attempt, asked))
            asked = 0.0
            try:
                if known and attempt > 1 and last_event_id is None:
                    await self._check_known()
                async with aclosing(self._connection(channels, last_event_id)) as events:
                    async for event in events:
                        name, seq = event_place(event)
                        if log not in {"", name}:
                            raise RemoteGap("gap: the server has restarted the thread.")
                        if seq > cursor:
                            log, cursor, last_event_id, attempt = name, seq, event["event_id"], 0
                            yield event
            except (httpx.TransportError, RemoteUnreachable, TryAgain) as exc:
                # Anything else is final: the server's refusal, a gap, or this reader's own end.
                if attempt >= reconnection.attempts:
                    raise RemoteUnreachable(attempt) from exc
                asked = exc.after if isinstance(exc, TryAgain) else 0.0

    async def _check_known(self) -> None:
        """A thread that the server has forgotten has no events to wait for; a new stream would create it again."""
        try:
            await self.state()
        except RemoteRefused as exc:
            if exc.status == UNKNOWN:
                raise RemoteGap("gap: the server no longer knows the thread.") from exc
            if exc.status in RETRIED:
                raise TryAgain(exc.retry_after or 0.0) from exc
            raise

    async def _connection(
        self, channels: Sequence[str], last_event_id: str | None
    ) -> AsyncGenerator[Mapping[str, Any]]:
        """The events of one connection."""
        headers = {"accept": "text/event-stream"}
        if last_event_id is not None:
            headers["last-event-id"] = last_event_id
        decoder = EventDecoder(self._client.largest_event)
        path = f"{self._path}/stream/events"
        async with self._client.transport.stream(path, json={"channels": list(channels)}, headers=headers) as pieces:
            async for piece in pieces:
                for event in decoder.feed(piece):
                    if checked_event(event).get("type") == "error":
                        raise RemoteGap(str(event.get("message"))[:LONGEST_TEXT])
                    yield event
        raise TryAgain
