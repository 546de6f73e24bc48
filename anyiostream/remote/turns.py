"""`TurnResponse`: one turn of a thread as the response to a request, in a protocol of front ends.

It is a viewer like others: the run goes on when it leaves, and it is cut when the server is being stopped. Unlike a
stream of events it has an end, with the run's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, final

import anyio
from anyio.lowlevel import checkpoint
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from anyiostream import AnyioStreamError
from anyiostream.remote.log import LogGap
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.requests import HEADERS, refused
from anyiostream.remote.service import Service
from anyiostream.remote.subscriptions import CHANNELS, Selection, Subscription
from anyiostream.remote.thread import Thread
from anyiostream.remote.viewer import Viewer
from anyiostream.sinks import Sink
from anyiostream.sinks.client import Client, raw_headers
from anyiostream.wire import Draft, Placed, compacted

__all__ = ["HalfAnswer", "TurnResponse", "head_of", "refused_in", "turn_so_far"]

ENDS: Final = frozenset({"completed", "failed", "interrupted"})


@final
class HalfAnswer(AnyioStreamError):
    """An answer does not go on, in a protocol that has no word for that: the server breaks the connection."""

    def __init__(self) -> None:
        super().__init__("the answer does not go on, and its protocol cannot say so: the connection is broken.")


@final
class TurnResponse(Response):
    """Shows the events of one run, and before them what it is given.

    Args:
        service: Whose thread it is.
        thread: The thread.
        sink: Shows them.
        run_id: Of which run; events before its first one are passed over. `None` for what is under way.
        after: The place in the log after which to look for them.
        before: What to show first, already read.
        begun: Whether the request has begun the run.
    """

    def __init__(
        self,
        service: Service,
        thread: Thread,
        sink: Sink,
        run_id: str | None,
        after: int,
        *,
        before: Collection[Placed] = (),
        begun: bool = False,
    ) -> None:
        super().__init__()
        self._service = service
        self._thread = thread
        self._sink = sink
        self._run_id = run_id
        self._begun = run_id is None
        self._after = after
        self._before = before
        self._has_place = begun

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream to the run's end. If that does not come, the response stays open, and the server breaks it off."""
        # The program's own routes are not behind this server's middleware.
        with self._service.lines.line(send) as to_client:
            await self._answer(scope, receive, to_client)
        if self.background is not None:  # FastAPI's, of the program's own route
            await self.background()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        viewer = Viewer(self._thread, self._service.pulse)
        try:
            await viewer.add("", Subscription(Selection(CHANNELS), since=self._after))
            self._service.check_connection(self._thread, begun=self._has_place)
        except (Refusal, LogGap) as exc:
            if isinstance(exc, LogGap):
                self._service.streams.gap()
            refusal = exc if isinstance(exc, Refusal) else Refusal("invalid_argument", str(exc), status=410)
            await refused_in(self._sink, refusal)(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            await head_of(self._sink)(scope, receive, send)
            return
        client = Client(send, self._sink, f"{self._thread.log.log_id}")
        whole = False
        with self._service.streams.to_viewer(self._thread, viewer):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_until_disconnected, receive, client, tasks.cancel_scope)
                why = await self._show(viewer, client)
                await client.close(why)
                if not client.broken:
                    await client.end()
                    whole = True
                tasks.cancel_scope.cancel()
        if client.begun and not (whole or client.left or self._sink.in_band):
            # Middleware may end a response that has just stopped. The client must not take what it has for the whole.
            raise HalfAnswer

    async def _show(self, viewer: Viewer, client: Client) -> str:
        """Show all of it; why there is no more, if the end has not come."""
        if self._sink.eager:
            await client.begin()
        if await self._shown(self._before, client):
            return ""
        while True:
            try:
                entries = await viewer.batch()
            except LogGap as gap:
                self._service.streams.gap()
                return str(gap)
            if await self._shown(map(Placed.of, entries), client):
                return ""
            if client.spoke():
                viewer.spoke()
            if not await viewer.wait():
                await client.beat()

    async def _shown(self, events: Iterable[Placed], client: Client) -> bool:
        """Show those that are the run's; whether its end was among them."""
        for event in events:
            root = event.draft.root_event
            self._begun = self._begun or (root is not None and event.draft.data.get("run_id") == self._run_id)
            if self._begun:
                await client.show(event)
                if root in ENDS:
                    return True
        return False


def head_of(sink: Sink) -> Response:
    """The response to `HEAD`, for which nothing is run."""
    head = Response()
    head.raw_headers = raw_headers(sink.media_type, sink.headers)
    return head


def refused_in(sink: Sink | None, refusal: Refusal) -> Response:
    """The response that says why not: in the protocol's terms, if it has some for what comes before an answer."""
    ours = refused(refusal)
    ours.status_code = max(ours.status_code, 400)
    if sink is None or sink.eager:
        return ours
    media_type, body = sink.failure(refusal.text)
    shown = Response(body, ours.status_code, HEADERS, media_type)
    for name in {"connection", "retry-after"}.intersection(ours.headers):
        shown.headers[name] = ours.headers[name]
    return shown


async def _until_disconnected(receive: Receive, client: Client, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    client.left = True
    scope.cancel()


async def turn_so_far(thread: Thread) -> tuple[list[Placed], int]:
    """The events of the turn that is under way, in few events, and the place after which the others follow.

    Raises:
        LogGap: Some of them are no longer kept.
    """
    replay = thread.replay(Subscription(Selection(CHANNELS)))
    if replay.gap is not None:
        raise LogGap(replay.gap, thread.log.first)
    drafts: list[Draft] = []
    after = replay.after
    while entries := await thread.log.read(after):
        drafts += [Draft.of(entry.body) for entry in entries if entry.seq not in replay.left_out]
        after = entries[-1].seq
        await checkpoint()  # reading need not
    made = compacted(drafts)
    return [Placed(after, f"{thread.log.log_id}-{after}", draft) for draft in made], after
