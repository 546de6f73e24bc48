"""`RunResponse`: a run that lives in the response to one request.

It is an object, and not a generator in a `StreamingResponse`, so that the task that answers the request enters and
leaves the run's block, whatever happens. A generator that is left at its `yield` is closed later, by some other task.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping
from typing import Any, Final, Literal, final
from uuid import uuid4

import anyio
from starlette.background import BackgroundTask
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from anyiostream import AnyioStreamError, PreparedRun
from anyiostream.sinks import Protocol, Request, Sink, open_sink
from anyiostream.sinks.client import HEADERS, Client, merged
from anyiostream.tooling import loggable
from anyiostream.wire import WireRun, checked_heartbeat

__all__ = ["RunResponse", "UnknownOnDisconnect"]

logger = logging.getLogger(__name__)

NOTHING_MORE: Final = 204
"""The status by which `EventSource` knows that it need not connect again."""

OnDisconnect = Literal["stop", "finish"]


@final
class UnknownOnDisconnect(AnyioStreamError, ValueError):
    """`on_disconnect` has an unknown value."""

    def __init__(self, given: object) -> None:
        super().__init__(f"on_disconnect must be 'stop' or 'finish', not {given!r}.")


@final
class RunResponse(Response):
    """A response that runs a graph, and shows it as it runs.

    The run is entered before the response begins: if the graph cannot be opened, the error is raised, and the
    application chooses the status. Later errors of the graph are sent in the protocol's terms, without a traceback, and
    are logged. When the response is over, nothing of the run is alive.

    A request with `Last-Event-ID` comes from a browser's `EventSource` that reconnects, for a run that is over or was
    stopped with its connection: it is answered with 204, and nothing is run. Nor is it for `HEAD`, which Starlette's
    routes take wherever they take `GET`.

    ```python
    from anyiostream.web import RunResponse

    async def answer(request):
        return RunResponse(open_run(agent, request.query_params["question"]), protocol="ai-sdk")
    ```

    Args:
        run: What `open_run` has returned, not entered.
        protocol: What the front end speaks: `langgraph`, which `EventSource` reads by itself, `ai-sdk`, `ag-ui`,
            `openai` or `text`.
        request: The front end's request, as `anyiostream.sinks.parse` returns it. It has ids that the answer needs, and
            says whether to stream it.
        include: Which state to show: `values`, `updates`, `checkpoints`, `tasks`; by default none, since it may hold
            secrets.
        on_disconnect: What happens to the run when the client leaves: `stop` aborts it, `finish` lets it end in the
            request's own task. Nothing can cancel that, so make sure that it ends.
        heartbeat: Seconds of silence after which the stream sends a heartbeat; `math.inf` for never.
        run_id: The run's id; by default the front end's, or a new one.
        sink: A sink of your own, in place of a protocol's.
        headers: Further headers; they stand in place of those that a response has by itself.
        background: What Starlette is to run after the response.

    Raises:
        NotPrepared: `run` is not what `open_run` returns, or has been entered.
        UnknownProtocol, UnknownInclude, UnknownOnDisconnect: The argument has an unknown value.
        InvalidBound: `heartbeat` is not a number above 0.
    """

    def __init__(
        self,
        run: PreparedRun[Any],
        *,
        protocol: Protocol = "langgraph",
        request: Request | None = None,
        include: Collection[str] = (),
        on_disconnect: OnDisconnect = "stop",
        heartbeat: float = 5.0,
        run_id: str | None = None,
        sink: Sink | None = None,
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        if on_disconnect not in {"stop", "finish"}:
            raise UnknownOnDisconnect(on_disconnect)
        self._heartbeat: Final = checked_heartbeat(heartbeat)
        run_id = run_id or (request.run_id if request is not None else None) or uuid4().hex
        self._sink: Final = sink or open_sink(protocol, run_id=run_id, request=request, include=include)
        self._run: Final = WireRun(run, run_id)
        self._finish: Final = on_disconnect == "finish"
        shown = merged(HEADERS, self._sink.headers, headers or {})
        super().__init__(headers=shown, media_type=self._sink.media_type, background=background)
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the graph, and send what it says."""
        await self._answer(scope, receive, send)
        if self.background is not None:
            await self.background()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "last-event-id" in Headers(scope=scope):
            await Response(status_code=NOTHING_MORE)(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            head = Response(status_code=self.status_code)
            head.raw_headers = self.raw_headers
            await head(scope, receive, send)
            return
        run = self._run
        client = Client(send, self._sink, run.run_id, self.status_code, self.raw_headers)
        with anyio.CancelScope(shield=self._finish):
            async with run, anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch, receive, client, tasks.cancel_scope)
                if self._heartbeat < math.inf:
                    tasks.start_soon(client.keep_alive, self._heartbeat)
                await self._show(run, client)
                tasks.cancel_scope.cancel()
        if run.error is not None and not client.left:
            logger.warning("the run %s has failed", run.run_id, exc_info=loggable(run.error))
            if client.broken:
                # The client must not take what it has for the whole.
                raise run.error
        if client.begun:
            await client.end()

    async def _show(self, run: WireRun, client: Client) -> None:
        if self._sink.eager:
            await client.begin()
        async for event in run:
            await client.show(event)
            if client.left and not self._finish:
                return
        await client.close()

    async def _watch(self, receive: Receive, client: Client, scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        client.left = True
        if not self._finish:
            scope.cancel()
