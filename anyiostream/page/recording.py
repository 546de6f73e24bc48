"""`recorded`: an application that shows a recorded run in the page, and nothing else.

A recording is a file with one event of the wire on each line, as `anyiostream run --record FILE` writes it; or the
lines that `anyiostream run --json` writes, which are events of the raw log. Their last line, the result, is skipped.
"""

from __future__ import annotations

import json
import operator
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, final

import anyio
import attrs
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from anyiostream import AnyioStreamError
from anyiostream.page.assets import asset_routes
from anyiostream.remote.access import LOOPBACK, check_host, check_origin
from anyiostream.remote.fold import Fold
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.requests import refused
from anyiostream.remote.sse import HEARTBEAT
from anyiostream.wire import Draft, Entry, WireEncoder, encode
from anyiostream.wire.sse import frame

__all__ = ["NotARecording", "Recording", "recorded"]

HEARTBEATS: Final = 5.0
"""Seconds between two heartbeats of a stream that has nothing more to say."""


@final
class NotARecording(AnyioStreamError):
    """A file that cannot be shown: which line is not an event, and what was expected there."""

    def __init__(self, name: str, line: int, reason: str) -> None:
        super().__init__(
            f"{name}, line {line}: {reason}. A recording has an event on each line: "
            "`python -m anyiostream run GRAPH --record FILE` makes one."
        )


@final
@attrs.frozen
class Recording:
    """The events of a run, in order.

    Attributes:
        name: What it is called.
        entries: Its events, each at its place in a log.
        fold: What they amount to.
    """

    name: str
    entries: Sequence[Entry]
    fold: Fold

    @classmethod
    def read(cls, path: Path) -> Recording:
        """The recording in a file.

        Raises:
            OSError: The file cannot be read.
            NotARecording: A line is not an event, or there are none.
        """
        with path.open(encoding="utf-8", errors="replace") as lines:
            return cls.of(path.stem, lines, path.name)

    @classmethod
    def of(cls, name: str, lines: Iterable[str], source: str = "the recording") -> Recording:
        """The recording that is made of lines.

        Args:
            name: What it is called.
            lines: An event each, as JSON; empty ones are passed over.
            source: Where they come from, for the error.

        Raises:
            NotARecording: A line is not an event, or there are none.
        """
        fold, entries = Fold(), list[Entry]()
        fold.begin(name, name)
        encoder = WireEncoder()
        number = 0
        for number, line in enumerate(lines, 1):
            for draft in _drafts(line, encoder, source, number):
                fold.observe(draft)
                entries.append(Entry.of(draft, len(entries) + 1, f"1-{len(entries) + 1}"))
        if not entries:
            raise NotARecording(source, number + 1, "there is no event")
        return cls(name, entries, fold)


def _drafts(line: str, encoder: WireEncoder, source: str, number: int) -> Sequence[Draft]:
    """The events of the wire that a line stands for: one, or what an event of the raw log becomes."""
    if not line.strip():
        return ()
    try:
        event = json.loads(line)
    except ValueError as exc:
        raise NotARecording(source, number, f"this is not JSON ({exc})") from None
    if not isinstance(event, dict) or event.get("type") not in {"event", "result"}:
        raise NotARecording(source, number, "this is not an event")
    if event["type"] == "result":
        return ()
    params = event.get("params")
    if not isinstance(params, Mapping) or not isinstance(event.get("method"), str) or not _is_placed(params):
        raise NotARecording(source, number, "this is not an event: it has no `method`, or no `params`")
    if "event_id" in event:
        return (Draft.of(line.encode("utf-8", "replace")),)
    return encoder.encode({**event, "params": {**params, "data": _revived(event["method"], params["data"])}})  # type: ignore[typeddict-item]


def _is_placed(params: Mapping[str, Any]) -> bool:
    namespace = params.get("namespace")
    if not isinstance(namespace, list) or not all(isinstance(each, str) for each in namespace):
        return False
    return isinstance(params.get("timestamp"), int) and "data" in params


def _revived(method: str, data: Any) -> Any:
    """A payload of the raw log as it was before it became JSON, as far as its reader needs it."""
    if method == "messages" and isinstance(data, list) and len(data) == 2:  # noqa: PLR2004 -- what is said, and metadata
        said, metadata = data
        return _message(said) if isinstance(said, Mapping) and "event" not in said else said, metadata
    return data


def _message(said: Mapping[str, Any]) -> Any:
    """A message of LangChain's, if that is installed; else what was recorded of it."""
    try:
        from langchain_core.messages import AIMessage, AIMessageChunk  # noqa: PLC0415 -- an extra
    except ModuleNotFoundError:
        return said
    kind = {"AIMessageChunk": AIMessageChunk, "ai": AIMessage}.get(str(said.get("type")))
    if kind is None:
        return said
    try:
        return kind(**said)
    except (TypeError, ValueError):
        return said


def recorded(*recordings: Recording, hosts: Collection[str] = LOOPBACK) -> Starlette:
    """An ASGI application that shows recorded runs in the page: each is a thread.

    Args:
        recordings: What is shown.
        hosts: Names, without ports, that the server may be reached by; `"*"` for any.
    """
    there = {each.name: each for each in recordings}

    def guarded(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def checked(request: Request) -> Response:
            try:
                check_host(request.headers.get("host"), hosts)
                check_origin(request.headers.get("origin"), request.headers.get("host"), ())
                return await endpoint(request)
            except Refusal as refusal:
                return refused(refusal)

        return checked

    def named(request: Request) -> Recording:
        try:
            return there[request.path_params["name"]]
        except KeyError:
            raise Refusal("invalid_argument", "there is no such recording.", status=404) from None

    async def one(request: Request) -> Response:
        return JSONResponse(_digest(named(request)))

    async def live(_: Request) -> Response:
        news = {"type": "live", "assistants": [], "threads": [_digest(each) for each in there.values()], "gone": []}
        return _stream([frame("live", encode({**news, "recorded": True}))])

    async def events(request: Request) -> Response:
        recording = named(request)
        try:
            since = (await request.json()).get("since") or 0
            since = max(0, operator.index(since))
        except (AttributeError, TypeError, ValueError, RecursionError):
            raise Refusal("invalid_argument", "`since` must be a place in the recording.", status=400) from None
        return _stream([frame(each.method, each.body, each.event_id) for each in recording.entries[since:]])

    return Starlette(
        routes=[
            *asset_routes(guarded),
            Route("/live", guarded(live), methods=["POST"]),
            Route("/live/{name:path}", guarded(one), methods=["GET"]),
            Route("/threads/{name:path}/stream/events", guarded(events), methods=["POST"]),
        ]
    )


def _digest(recording: Recording) -> dict[str, Any]:
    status = recording.fold.snapshot.status
    stand = {"interrupted": "waiting", "failed": "failed", "running": "idle"}.get(status or "", "idle")
    return {
        "thread_id": recording.name,
        "assistant_id": recording.name,
        "recorded": True,
        "state": stand,
        "doing": "",
        "text": "",
        "server": "",
        "queued": 0,
        "viewers": 0,
        "run_id": "",
        **recording.fold.totals.dump(),
        "log_id": "1",
        "first": 1,
        "last": len(recording.entries),
    }


def _stream(frames: Sequence[bytes]) -> Response:
    async def body() -> AsyncGenerator[bytes]:
        for at in range(0, len(frames), 100):
            yield b"".join(frames[at : at + 100])
        while True:
            await anyio.sleep(HEARTBEATS)
            yield HEARTBEAT

    return StreamingResponse(body(), media_type="text/event-stream", headers={"cache-control": "no-store"})
