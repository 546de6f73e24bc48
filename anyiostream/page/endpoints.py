"""`add_page`: the page, and what it reads besides what every client reads."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, final
from weakref import WeakValueDictionary

import anyio
from anyio.lowlevel import checkpoint
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from anyiostream.page.assets import asset_routes
from anyiostream.page.digests import Digests, detail
from anyiostream.remote.app import guarded
from anyiostream.remote.assistants import Assistant
from anyiostream.remote.listing import PAGE, Listing
from anyiostream.remote.log import LogGap
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.requests import answer, caller_of, refused
from anyiostream.remote.service import Service
from anyiostream.remote.sse import HEADERS, HEARTBEAT, send_body, until_disconnected
from anyiostream.remote.store import CodecFailed, Listed, StoreFailed
from anyiostream.remote.thread import Thread
from anyiostream.wire import encode, plain
from anyiostream.wire.sse import frame

__all__ = ["LIVE", "add_page"]

logger = logging.getLogger(__name__)

LIVE: Final = "live"
"""The name of the events of the list of threads."""

WHOLE: Final = 8
"""Every so many looks at a store, all threads are listed, to find those that are gone."""

PACE: Final = 0.25
"""Seconds between two looks at the threads: what a viewer is sent of each at most."""


def add_page(application: Starlette) -> Starlette:
    """Add the page to an application that `anyiostream.remote.app` has made; the application.

    The page is at `/`, its files are below `/page/`. It adds:

    - `POST /live`: a stream of server-sent events, each with what has changed in the list of the caller's threads, at
      most four a second; the first has all of them, and the assistants. Of those in a store, it lists as many as a
      server may remember, the last used ones;
    - `GET /live/{thread_id}`: one of them, with the places of its readers and the figures of its run. Where servers
      share a store, readers are those of this server, and there are figures if it runs the run.

    Both ask the application's `authorize` hook: for `read`, the first without a thread. The files are open to
    everybody: they reveal nothing about runs.

    Args:
        application: The application. It has not answered any request yet.
    """
    endpoints = Endpoints(application.state.service)
    application.router.routes.extend(
        [
            *asset_routes(),
            Route("/live", guarded(endpoints.live), methods=["POST"]),
            Route("/live/{thread_id}", guarded(endpoints.one), methods=["GET"]),
        ]
    )
    return application


@final
class Endpoints:
    """What answers requests."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._digests = Digests(service.listing)
        self._stored: WeakValueDictionary[str, Stored] = WeakValueDictionary()  # as long as somebody looks
        self._assistants: Final = {name: described(name, each) for name, each in service.assistants.items()}

    async def live(self, request: Request) -> Any:
        """`POST /live`."""
        identity = await self._service.admit(caller_of(request), "read")
        stored = self._stored.get(identity)
        if stored is None:
            stored = self._stored[identity] = Stored(self._service, identity)
        return LiveStream(self._service, self._digests, stored, list(self._assistants.values()), identity)

    async def one(self, request: Request) -> Response:
        """`GET /live/{thread_id}`."""
        thread_id = request.path_params["thread_id"]
        identity = await self._service.admit(caller_of(request), "read", thread_id)
        thread = await self._service.known_thread(thread_id, identity)
        if thread is None:
            raise Refusal("invalid_argument", "there is no such thread.", status=404)
        shown = await self._digests.digest(thread)
        viewers = self._service.streams.viewers(identity)[thread.log.key]
        here = self._service.runner.find_job(thread, shown["run_id"])
        shown |= {**detail(thread, viewers, here and here[1]), "viewers": len(viewers)}
        return answer({**shown, "assistant": self._assistants.get(shown["assistant_id"])})


@final
class LiveStream:
    """The response that streams what changes in the list of an owner's threads."""

    def __init__(
        self,
        service: Service,
        digests: Digests,
        stored: Stored,
        assistants: Sequence[Mapping[str, Any]],
        owner: str,
    ) -> None:
        self._service = service
        self._digests = digests
        self._stored = stored
        self._assistants = assistants
        self._owner = owner
        self._marks: dict[str, Any] = {}
        self._shown: dict[str, dict[str, Any]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the viewer leaves, or the server is being stopped."""
        try:
            self._service.streams.check(self._owner)
        except Refusal as refusal:
            await refused(refusal)(scope, receive, send)
            return
        with self._service.streams.to_owner(self._owner):
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(until_disconnected, receive, tasks.cancel_scope)
                await self._stream(send)

    async def _stream(self, send: Send) -> None:
        first: dict[str, Any] = {"assistants": self._assistants}
        pulse = self._service.pulse
        spoken = pulse.now
        while True:
            news = await self._news()
            if first or news:
                body = encode({"type": LIVE, "threads": [], "gone": [], **first, **news})
                await send_body(send, frame(LIVE, body))
                first, spoken = {}, pulse.now
            elif pulse.is_long_since(spoken):
                await send_body(send, HEARTBEAT)
                spoken = pulse.now
            await anyio.sleep(PACE)

    async def _news(self) -> dict[str, Any]:
        """What has changed since the last time; empty if nothing has."""
        here = {thread.thread_id: thread for thread in self._service.listing.remembered(self._owner)}
        with suppress(StoreFailed):  # then what was there by now is
            await self._stored.look()
        stored, watched = self._stored.threads, self._stored.watched  # others look as well, meanwhile
        changed = []
        for thread_id in {**stored, **here}:
            mark: tuple[Any, ...]
            shown: Callable[[], Awaitable[dict[str, Any] | None]]
            if thread_id in here:
                mark, shown = marked(here[thread_id]), partial(self._digests.digest, here[thread_id])
            else:
                listed = stored[thread_id]
                viewers = watched.get(listed.key, 0)
                mark, shown = (listed, viewers), partial(self._digests.stored, self._owner, listed, viewers)
            if self._marks.get(thread_id) != mark and await self._show(thread_id, mark, shown, stored):
                changed.append(self._shown[thread_id])
                if len(changed) % 64 == 0:
                    await checkpoint()  # Reading need not, and there may be many.
        gone = [each for each in self._marks if each not in here and each not in stored]
        for thread_id in gone:
            del self._marks[thread_id]
            self._shown.pop(thread_id, None)
        return {"threads": changed, "gone": gone} if changed or gone else {}

    async def _show(
        self,
        thread_id: str,
        mark: Any,
        read: Callable[[], Awaitable[dict[str, Any] | None]],
        stored: dict[str, Listed],
    ) -> bool:
        """Read what may have changed of a thread; whether it has. If that cannot be read now, it is tried again."""
        try:
            shown = await read()
        except (StoreFailed, LogGap):
            return False
        except CodecFailed as exc:  # until something happens to it
            logger.warning("thread %s is not on the page's list: %s", thread_id, exc)
            self._marks[thread_id] = mark
            return False
        self._marks[thread_id] = mark
        if shown is None:
            stored.pop(thread_id, None)
        elif self._shown.get(thread_id) != shown:
            self._shown[thread_id] = shown
            return True
        return False


@final
class Stored:
    """An owner's threads as a store lists them, where it has more than are in memory: for all who look together.

    Attributes:
        threads: Id -> what the store has listed.
        watched: Key of a thread -> how many read it here.
    """

    def __init__(self, service: Service, owner: str) -> None:
        self.threads: dict[str, Listed] = {}
        self.watched: Mapping[str, int] = {}
        self._service = service
        self._owner = owner
        self._since = 0
        self._looks = 0
        self._due = -math.inf
        self._looking = anyio.Lock()

    async def look(self) -> None:
        """See what the store has, unless somebody did just now."""
        if self._service.listing.is_all_in_memory:
            return
        async with self._looking:
            if self._due <= anyio.current_time():
                await self._look(self._service.listing)
                self._due = anyio.current_time() + PACE

    async def _look(self, listing: Listing) -> None:
        """See all of it now and then, and in between what has been touched since."""
        whole = self._looks % WHOLE == 0
        found: dict[str, Listed] = {}
        skip, size = 0, PAGE
        while size == PAGE and skip < listing.most:
            page = await listing.page(self._owner, since=0 if whole else self._since, skip=skip)
            skip, size = skip + len(page), len(page)
            for each in page:
                found.setdefault(each.thread_id, each)
        self._looks += 1
        self.threads = found if whole else {**self.threads, **found}
        if found:
            self._since = next(iter(found.values())).touched
        viewers = self._service.streams.viewers(self._owner)
        self.watched = {key: len(readers) for key, readers in viewers.items()}


def marked(thread: Thread) -> tuple[Any, ...]:
    """A cheap sign of whether a thread's digest may have changed."""
    return thread, thread.log.last, len(thread.jobs), thread.fold.run_id, thread.waits, len(thread.viewers)


def described(name: str, assistant: Assistant) -> dict[str, Any]:
    """What a list of assistants says of one: whether it can be talked to, and what it takes."""
    schema = input_schema(assistant.graph) if assistant.takes_config else None
    fields = {**getattr(assistant.graph, "channels", {}), **((schema or {}).get("properties") or {})}
    return {"assistant_id": name, "chat": assistant.takes_config and "messages" in fields, "input": schema}


def input_schema(graph: Any) -> dict[str, Any] | None:
    """The JSON schema of a graph's input; `None` if none can be found."""
    try:
        schema = plain(graph.get_input_jsonschema())
    except Exception:  # noqa: BLE001 -- a user's types, which need not have one
        return None
    return schema if isinstance(schema, dict) else None
