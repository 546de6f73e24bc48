"""`app`: the ASGI application that serves runs to remote clients."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, final

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from anyiostream.remote.access import LOOPBACK, Authorize, check_host, check_origin
from anyiostream.remote.assistants import Assistant
from anyiostream.remote.commands import command_id, parse_command
from anyiostream.remote.jsonable import decode
from anyiostream.remote.limits import Limits
from anyiostream.remote.log import LogFactory, MemoryLog
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.requests import answer, caller_of, read_body, refused
from anyiostream.remote.service import Service
from anyiostream.remote.sse import EventStream, resumed_from
from anyiostream.remote.subscriptions import parse_subscription
from anyiostream.remote.websocket import converse
from anyiostream.transformer import TransformerFactory

__all__ = ["app", "close_streams"]

LOCAL_ORIGIN_METHODS: Final = ("GET", "POST")


def app(
    assistants: Mapping[str, Any],
    *,
    transformers: Sequence[TransformerFactory] = (),
    authorize: Authorize | None = None,
    hosts: Collection[str] = LOOPBACK,
    origins: Collection[str] = (),
    limits: Limits | None = None,
    log: LogFactory = MemoryLog,
    heartbeat: float = 5.0,
) -> Starlette:
    """An ASGI application that serves runs of graphs over SSE and WebSocket, to the official LangGraph clients.

    Runs on any ASGI server, on asyncio and trio. The server must run its lifespan: the runs live in a task group of
    it. When it ends, streams are cut so that clients connect again, and runs are aborted. `anyiostream serve` does all
    of that; with another server call `close_streams` when it is told to stop, or give it a timeout for connections.

    By default only this machine is served: requests for other hosts than loopback's are refused, and so are pages of
    other origins. Whoever can reach it may use every thread; `authorize` decides otherwise.

    Args:
        assistants: Name -> graph, of any kind that `open_run` takes, or `Assistant` for one with options.
        transformers: For every run, before the assistant's own. Their named channels are `custom:<name>` to clients.
        authorize: Decides who may do what; see `Access`.
        hosts: Names, without ports, that the server may be reached by; `"*"` for any.
        origins: Origins, `https://host:port`, whose pages may use the server, besides its own; `"*"` for any.
        limits: How much it takes on.
        log: Makes the log of a thread; by default one in memory.
        heartbeat: Seconds of silence after which an SSE stream says that it is alive.

    Returns:
        The application. To mount it in another one, run its `router.lifespan_context` in that one's lifespan.
    """
    service = Service(
        {name: _assistant(graph, transformers) for name, graph in assistants.items()},
        authorize=authorize,
        limits=limits or Limits(),
        log=log,
        heartbeat=heartbeat,
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with service.running():
            yield

    endpoints = Endpoints(service)
    application = Starlette(
        routes=[
            Route("/threads/{thread_id}/commands", _guarded(endpoints.command), methods=["POST"]),
            Route("/threads/{thread_id}/stream/events", _guarded(endpoints.events), methods=["POST"]),
            WebSocketRoute("/threads/{thread_id}/stream/events", endpoints.converse),
            Route("/threads/{thread_id}/state", _guarded(endpoints.state), methods=["GET"]),
            Route("/threads/{thread_id}/runs/{run_id}/cancel", _guarded(endpoints.cancel), methods=["POST"]),
            Route("/assistants/{assistant_id}/graph", _guarded(endpoints.graph), methods=["GET"]),
        ],
        middleware=[
            Middleware(Doorkeeper, hosts=frozenset(hosts), origins=frozenset(origins)),
            *_cross_origin(origins),
        ],
        lifespan=lifespan,
    )
    application.state.service = service
    return application


def close_streams(application: Starlette) -> None:
    """Refuse what is new, and end every stream of an application that `app` has made, so that its clients come back.

    For whoever stops a server: most servers wait for connections to end before they end the lifespan, and streams have
    no end of their own. Runs go on until the lifespan ends. Call it in the server's event loop. Idempotent.
    """
    application.state.service.close_streams()


def _assistant(graph: Any, transformers: Sequence[TransformerFactory]) -> Assistant:
    if isinstance(graph, Assistant):
        return Assistant(
            graph=graph.graph,
            transformers=[*transformers, *graph.transformers],
            config=graph.config,
            options=graph.options,
        )
    return Assistant(graph=graph, transformers=transformers)


def _cross_origin(origins: Collection[str]) -> list[Middleware]:
    if not origins:
        return []
    return [
        Middleware(CORSMiddleware, allow_origins=list(origins), allow_methods=LOCAL_ORIGIN_METHODS, allow_headers=["*"])
    ]


@final
class Endpoints:
    """What answers requests."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def command(self, request: Request) -> Response:
        """`POST /threads/{id}/commands`."""
        limits = self._service.limits
        message = decode(await read_body(request, limits.body), most=limits.body, depth=limits.depth)
        given = command_id(message)
        try:
            command = parse_command(message, limits)
            result = await self._service.execute(caller_of(request), request.path_params["thread_id"], command)
        except Refusal as refusal:
            # What is wrong inside the protocol is said inside it; what clients should see as HTTP stays that.
            if refusal.status == 400:  # noqa: PLR2004 -- bad request
                return answer(refusal.envelope(given))
            return refused(refusal, given)
        return answer({"type": "success", "id": given, "result": result})

    async def events(self, request: Request) -> Any:
        """`POST /threads/{id}/stream/events`."""
        service, limits = self._service, self._service.limits
        thread_id = request.path_params["thread_id"]
        identity = await service.admit(caller_of(request), "read", thread_id)
        params = decode(await read_body(request, limits.body), most=limits.body, depth=limits.depth)
        subscription = parse_subscription(params, limits)
        thread = service.thread(thread_id, identity)
        last_event_id = request.headers.get("last-event-id")
        if last_event_id is not None and subscription.since is None:
            subscription = subscription.resumed(resumed_from(last_event_id, thread.log.log_id))
        return await EventStream.open(service, thread, subscription)

    async def converse(self, websocket: Any) -> None:
        """`WS /threads/{id}/stream/events`."""
        await converse(self._service, websocket)

    async def state(self, request: Request) -> Response:
        """`GET /threads/{id}/state`."""
        thread_id = request.path_params["thread_id"]
        identity = await self._service.admit(caller_of(request), "read", thread_id)
        thread = self._service.known_thread(thread_id, identity)
        if thread is None:
            raise Refusal("invalid_argument", "there is no such thread.", status=404)
        return answer(thread.state())

    async def cancel(self, request: Request) -> Response:
        """`POST /threads/{id}/runs/{rid}/cancel`."""
        wait = request.query_params.get("wait", "0") in {"1", "true"}
        path = request.path_params
        await self._service.cancel(caller_of(request), path["thread_id"], path["run_id"], wait=wait)
        return answer({}, 200 if wait else 202)

    async def graph(self, request: Request) -> Response:
        """`GET /assistants/{id}/graph`."""
        assistant_id = request.path_params["assistant_id"]
        await self._service.admit(caller_of(request), "describe", assistant_id=assistant_id)
        if assistant_id not in self._service.assistants:
            raise Refusal("invalid_argument", "there is no such assistant.", status=404)
        return answer(self._service.assistants[assistant_id].drawn(xray=_xray(request.query_params.get("xray"))))


def _xray(given: str | None) -> int | bool:
    if given is None or given.lower() == "false":
        return False
    if given.lower() == "true":
        return True
    if given.isascii() and given.isdigit() and len(given) <= 2:  # noqa: PLR2004 -- levels of a drawing
        return int(given)
    raise Refusal("invalid_argument", "`xray` is true, false, or a number of levels.", status=400)


def _guarded(endpoint: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Any]]:
    async def guarded(request: Request) -> Any:
        try:
            return await endpoint(request)
        except Refusal as refusal:
            return refused(refusal)
        except ClientDisconnect:
            return Response(status_code=400)  # which nobody reads

    return guarded


@final
class Doorkeeper:
    """Refuses requests for hosts that are not served, and of pages that have no business here, before anything else."""

    def __init__(self, inner: ASGIApp, hosts: frozenset[str], origins: frozenset[str]) -> None:
        self._inner = inner
        self._hosts = hosts
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] in {"http", "websocket"}:
            headers = Headers(scope=scope)
            try:
                check_host(headers.get("host"), self._hosts)
                check_origin(headers.get("origin"), headers.get("host"), self._origins)
            except Refusal as refusal:
                if scope["type"] == "websocket":
                    # Closing before accepting refuses the upgrade with HTTP's 403.
                    await receive()
                    await send({"type": "websocket.close", "code": refusal.close_code, "reason": refusal.text})
                else:
                    await refused(refusal)(scope, receive, send)
                return
        await self._inner(scope, receive, send)
