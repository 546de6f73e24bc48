"""`app`: the ASGI application that serves runs to remote clients."""

from __future__ import annotations

import logging
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

import anyiostream
from anyiostream import TransformerFactory
from anyiostream.remote.accepted import Accepted
from anyiostream.remote.access import LOOPBACK, Authorize, check_host, check_origin
from anyiostream.remote.assistants import Assistant
from anyiostream.remote.commands import command_id, parse_command
from anyiostream.remote.failing import contained, failure
from anyiostream.remote.fleet import short
from anyiostream.remote.identity import CheckpointThread, checkpoint_thread
from anyiostream.remote.limits import Limits
from anyiostream.remote.official import not_served, official_routes
from anyiostream.remote.refusals import PLACE, Refusal, unstored
from anyiostream.remote.requests import answer, caller_of, key_of, number_in, refused, sent_once
from anyiostream.remote.responding import Responder
from anyiostream.remote.service import Service
from anyiostream.remote.sse import EventStream, resumed_from
from anyiostream.remote.store import Codec, Store, StoreFailed, StoreUnfit, named_store
from anyiostream.remote.subscriptions import Subscription, parse_subscription
from anyiostream.remote.unread import Unread
from anyiostream.remote.websocket import converse
from anyiostream.wire import checked_heartbeat

__all__ = ["app", "close_streams", "guarded"]

logger = logging.getLogger(__name__)

LOCAL_ORIGIN_METHODS: Final = ("GET", "POST", "DELETE")

PROBES: Final = frozenset({"/ok", "/ready"})
"""Asked by machines that know the server by its address only; the answers reveal nothing."""

MALFORMED: Final = 400

DENIAL: Final = "websocket.http.response"
"""The extension of ASGI by which an upgrade is refused with a status of one's own."""


def app(
    assistants: Mapping[str, Any],
    *,
    transformers: Sequence[TransformerFactory] = (),
    authorize: Authorize | None = None,
    operators: Collection[str] = (),
    hosts: Collection[str] = LOOPBACK,
    origins: Collection[str] = (),
    limits: Limits | None = None,
    store: Store | str = "memory",
    codec: Codec | None = None,
    heartbeat: float = 5.0,
    checkpoint_thread: CheckpointThread = checkpoint_thread,
) -> ServerApplication:
    """An ASGI application that serves runs of graphs over SSE and WebSocket, to the official LangGraph clients.

    Runs on any ASGI server, on asyncio and trio. The server must run its lifespan: the runs live in the lifespan's task
    group. When it ends, streams are cut so that clients reconnect, and runs are aborted. `anyiostream serve` does all
    of that; with another server call `close_streams` when it is told to stop, or give it a timeout for connections.

    By default only this machine is served: requests for hosts other than loopback's are refused, and so are pages of
    other origins. Anyone who can reach it may use every thread, unless `authorize` decides otherwise.

    Args:
        assistants: Name -> graph, of any kind that `open_run` takes, or `Assistant` for one with options.
        transformers: For every run, before the assistant's own. Their named channels are `custom:<name>` to clients.
        authorize: Decides who may do what; see `Access`.
        operators: Names of owners who may read `GET /stats`, if `authorize` returns them for the action `observe`.
            Without a hook, whoever reaches the server may.
        hosts: Names, without ports, that the server may be reached by; `"*"` for any.
        origins: Origins, `https://host:port`, whose pages may use the server, besides its own; `"*"` for any.
        limits: How much it takes on.
        store: Where threads live: `"memory"`, `"sqlite:FILE"`, which outlives the process, `"redis://HOST:PORT"`, which
            several servers share, or an object of yours.
        codec: Encodes what users have written before it is stored, to encrypt it, say; see `Codec`. A store that is an
            object has its own.
        heartbeat: Seconds of silence after which an SSE stream says, at the latest, that it is alive; `math.inf` for
            never.
        checkpoint_thread: Names an owner's thread for a LangGraph checkpointer, if existing checkpoints have other
            names; by default the id, or `owner/id` where an `authorize` hook tells owners apart.

    Raises:
        InvalidBound: `heartbeat` is not a number above 0.
        StoreUnfit: There is no such store, it does not fit the limits, or it is an object, and there is a codec.
        NotAsynchronous: A graph's checkpointer works without an event loop only.
        NotShared: Servers share the store, but not the checkpoints of a graph.

    Returns:
        The application. To mount it in another one, run its `router.lifespan_context` in that one's lifespan.
    """
    service = Service(
        {name: _assistant(graph, transformers) for name, graph in assistants.items()},
        authorize=authorize,
        operators=operators,
        limits=limits or Limits(),
        store=_store(store, codec),
        heartbeat=checked_heartbeat(heartbeat),
        checkpoint_thread=checkpoint_thread,
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with service.running():
            yield

    endpoints = Endpoints(service)
    return ServerApplication(
        service,
        routes=[
            Route("/threads/{thread_id}/commands", guarded(endpoints.command), methods=["POST"]),
            Route("/threads/{thread_id}/stream/events", guarded(endpoints.events), methods=["POST"]),
            WebSocketRoute("/threads/{thread_id}/stream/events", endpoints.converse),
            Route("/threads/{thread_id}/state", guarded(endpoints.state), methods=["GET"]),
            Route("/threads/{thread_id}/runs/{run_id}/cancel", guarded(endpoints.cancel), methods=["POST"]),
            Route("/assistants/{assistant_id}/graph", guarded(endpoints.graph), methods=["GET"]),
            Route("/threads/{thread_id}/stream/events", guarded(endpoints.watch), methods=["GET"]),
            *official_routes(service, guarded),
            Route("/ok", endpoints.ok, methods=["GET"]),
            Route("/ready", endpoints.ready, methods=["GET"]),
            Route("/info", endpoints.info, methods=["GET"]),
            Route("/stats", guarded(endpoints.stats), methods=["GET"]),
        ],
        middleware=[
            Middleware(Doorkeeper, service=service, hosts=frozenset(hosts), origins=frozenset(origins)),
            *_cross_origin(origins),
        ],
        exception_handlers={404: not_served, 405: not_served},
        lifespan=lifespan,
    )


@final
class ServerApplication(Starlette, Responder):
    """What `app` returns: an application to serve, or to mount in another one and call from that one's routes."""

    def __init__(self, service: Service, **options: Any) -> None:
        Starlette.__init__(self, **options)
        Responder.__init__(self, service)
        self.router.redirect_slashes = False  # a path that is not served is answered with what is
        self.state.service = service


def close_streams(application: Starlette) -> None:
    """Refuse what is new, and end every stream of an application that `app` has made, so that its clients come back.

    Call it when you stop a server: most servers wait for connections to end before they end the lifespan, and streams
    do not end by themselves. Runs go on until the lifespan ends. Call it in the server's event loop. Idempotent.
    """
    application.state.service.close_streams()


def _store(store: Store | str, codec: Codec | None) -> Store:
    if isinstance(store, str):
        return named_store(store, codec)
    if codec is not None:
        raise StoreUnfit("a store that is an object", "app() gives it no codec. Give it one where you make it")
    return store


def _assistant(graph: Any, transformers: Sequence[TransformerFactory]) -> Assistant:
    if isinstance(graph, Assistant):
        return Assistant(
            graph=graph.graph,
            transformers=[*transformers, *graph.transformers],
            config=graph.config,
            options=graph.options,
            configurable=graph.configurable,
            steering=graph.steering,
            on_crash=graph.on_crash,
            shared_checkpoints=graph.shared_checkpoints,
        )
    return Assistant(graph=graph, transformers=transformers)


def _cross_origin(origins: Collection[str]) -> list[Middleware]:
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=LOCAL_ORIGIN_METHODS,
            allow_headers=["*"],
            # Which run it is, where the rest of a stream is, and when to try again.
            expose_headers=["content-location", "location", "retry-after"],
        )
    ]


@final
class Endpoints:
    """What answers requests."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def command(self, request: Request) -> Response:
        """`POST /threads/{id}/commands`."""
        service, thread_id = self._service, request.path_params["thread_id"]
        # Only the body says what the command is, and so whether it is allowed. The body of a caller who may not even
        # read is not read.
        identity = await service.admit(caller_of(request), "read", thread_id)
        body, message = await service.intake.body(request.stream(), identity)
        once = sent_once(body, key_of(request))
        given = command_id(message)
        try:
            command = parse_command(message, service.limits)
            result = await service.execute(caller_of(request), thread_id, command, once)
        except Refusal as refusal:
            # What is wrong inside the protocol is said inside it; what clients should see as HTTP stays that.
            if refusal.status == 400:  # noqa: PLR2004 -- bad request
                return answer(refusal.envelope(given))
            return refused(refusal, given)
        response = service.answers.of(identity, {"type": "success", "id": given, "result": result})
        if isinstance(result, Accepted):
            response.headers[PLACE] = result.place
        return response

    async def events(self, request: Request) -> Any:
        """`POST /threads/{id}/stream/events`."""
        service, thread_id = self._service, request.path_params["thread_id"]
        identity = await service.admit(caller_of(request), "read", thread_id)
        subscription = parse_subscription(await service.intake.value(request.stream(), identity), service.limits)
        return await self._stream(request, subscription, identity)

    async def watch(self, request: Request) -> Any:
        """`GET /threads/{id}/stream/events`, as `EventSource` asks: channels are parameters of the query."""
        service, thread_id = self._service, request.path_params["thread_id"]
        identity = await service.admit(caller_of(request), "read", thread_id)
        query = request.query_params
        channels = [name for each in query.getlist("channels") for name in each.split(",")]
        asked = {"channels": channels, "since": number_in(query, "since")}
        return await self._stream(request, parse_subscription(asked, service.limits), identity)

    async def _stream(self, request: Request, subscription: Subscription, identity: str) -> Any:
        service = self._service
        thread = await service.thread(request.path_params["thread_id"], identity)
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
        thread = await self._service.known_thread(thread_id, identity)
        if thread is None:
            raise Refusal("invalid_argument", "there is no such thread.", status=404)
        return self._service.answers.encoded(identity, *thread.encoded_state())

    async def cancel(self, request: Request) -> Response:
        """`POST /threads/{id}/runs/{rid}/cancel`: at once, or at the end of its step (`action=drain`)."""
        wait = request.query_params.get("wait", "0") in {"1", "true"}
        drain = request.query_params.get("action") == "drain"
        path = request.path_params
        told = await self._service.cancel(caller_of(request), path["thread_id"], path["run_id"], wait=wait, drain=drain)
        return answer(told, 200 if wait else 202)

    async def ok(self, _: Request) -> Response:
        """`GET /ok`: the event loop answers."""
        return answer({"ok": True})

    async def ready(self, _: Request) -> Response:
        """`GET /ready`: whether runs and streams are accepted, and the store answers a write; and why not."""
        reason = await self._service.unready()
        return answer({"ready": True}) if reason is None else answer({"ready": False, "reason": reason}, 503)

    async def info(self, _: Request) -> Response:
        """`GET /info`: what serves here; where servers share a store, also which of them has answered."""
        about = {"server": "anyiostream", "version": anyiostream.__version__, "transports": ["sse", "websocket"]}
        fleet = self._service.runner.fleet
        return answer(about if fleet is None else {**about, "instance": short(fleet.holder)})

    async def stats(self, request: Request) -> Response:
        """`GET /stats`: what the server counts of itself, for its operators."""
        return answer(await self._service.observed(caller_of(request)))

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
    raise Refusal("invalid_argument", "`xray` must be true, false, or a number of levels.", status=400)


def guarded(endpoint: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Any]]:
    """An endpoint whose refusals are answers, and whose errors are its own."""

    async def guarded(request: Request) -> Any:
        try:
            return await endpoint(request)
        except Refusal as refusal:
            return refused(refusal)
        except StoreFailed as exc:
            logger.warning("a request is refused: %s", exc)
            return refused(unstored())
        except ClientDisconnect:
            return Response(status_code=400)  # which nobody reads
        except BaseException as exc:  # noqa: BLE001 -- what is the server's own is passed on
            return refused(await failure(exc, request.scope))

    return guarded


@final
class Doorkeeper:
    """Refuses requests for hosts that are not served, and of pages that have no business here, before anything else.

    Any client, admitted or refused, has `Limits.send` seconds to take what it is sent.
    """

    def __init__(self, inner: ASGIApp, service: Service, hosts: frozenset[str], origins: frozenset[str]) -> None:
        self._inner = inner
        self._service = service
        self._unread = Unread(service.limits)
        self._hosts = hosts
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] not in {"http", "websocket"}:
            await self._inner(scope, receive, send)
            return
        with self._service.lines.line(send) as to_client:
            receive, patient = self._unread.watched(scope, receive, to_client)
            try:
                self._check(scope)
            except Refusal as refusal:
                can_deny = DENIAL in (scope.get("extensions") or ())
                if scope["type"] == "websocket" and refusal.status == MALFORMED and can_deny:
                    await receive()
                    await refused(refusal)(scope, receive, patient)
                elif scope["type"] == "websocket":
                    # Closing before accepting refuses the upgrade with HTTP's 403.
                    await receive()
                    await patient({"type": "websocket.close", "code": refusal.close_code, "reason": refusal.text})
                else:
                    await refused(refusal)(scope, receive, patient)
                return
            await contained(self._inner, scope, receive, patient)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if scope["path"].removeprefix(scope.get("root_path", "")) not in PROBES:
            check_host(headers.get("host"), self._hosts)
        check_origin(headers.get("origin"), headers.get("host"), self._origins)
