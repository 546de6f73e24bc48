"""`runs.create`, `stream`, `wait`, `join`, `join_stream`, `list`, `get`."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, final
from uuid import uuid4

import anyio
import attrs
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from anyiostream.remote.access import Caller
from anyiostream.remote.branching import has_checkpoint
from anyiostream.remote.commands import Beginning, InputRespond, RunStart, parse_command
from anyiostream.remote.jobs import not_branching
from anyiostream.remote.log import LogGap
from anyiostream.remote.official.bodies import body_of, checkpoint_in, known_thread, number, only
from anyiostream.remote.official.modes import CHANNELS, ModeReader, read_modes
from anyiostream.remote.official.threads import at_rest, forget
from anyiostream.remote.refusals import GONE, Refusal
from anyiostream.remote.requests import answer, caller_of, refused
from anyiostream.remote.service import Service
from anyiostream.remote.sse import HEADERS, HEARTBEAT, resumed_from, send_piece, until_disconnected
from anyiostream.remote.subscriptions import Selection, Subscription
from anyiostream.remote.thread import Thread
from anyiostream.remote.viewer import Viewer
from anyiostream.wire.jsonable import encode
from anyiostream.wire.sse import frame

__all__ = ["RunEndpoints"]

TAKEN: Final = frozenset(
    {
        "assistant_id", "input", "command", "config", "metadata", "stream_mode", "stream_subgraphs",
        "checkpoint", "checkpoint_id", "on_disconnect",
    }
)  # fmt: skip

IGNORED: Final = frozenset(
    {
        "stream_resumable", "multitask_strategy", "if_not_exists", "on_completion", "durability",
        "raise_error", "checkpoint_during", "feedback_keys",
    }
)  # fmt: skip
"""What changes nothing here: runs can be joined, wait for each other, and make their thread."""

FROM_THE_START: Final = frozenset({None, "", "-1"})
"""`Last-Event-ID` of a viewer that has nothing of a run."""

logger = logging.getLogger(__name__)


@final
class RunEndpoints:
    """What answers requests about runs. A run outlives the request that has started it."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def create(self, request: Request) -> Response:
        """`POST /threads/{id}/runs`: start it, and return."""
        run = await self._started(request)
        return answer(_shown(run.thread, run.run_id))

    async def stream(self, request: Request) -> Any:
        """`POST /threads/{id}/runs/stream` and `/runs/stream`: start it, and stream it to its end."""
        return await self._started(request)

    async def wait(self, request: Request) -> Response:
        """`POST /threads/{id}/runs/wait` and `/runs/wait`: start it; its last snapshot when it has ended."""
        run = await self._started(request)
        async for _ in run.events():
            pass
        await run.forget()
        error = run.reader.error
        return answer(run.reader.values if error is None else {"__error__": {"error": "RunFailed", "message": error}})

    async def list(self, request: Request) -> Response:
        """`GET /threads/{id}/runs`: those under way, and the last one that has ended."""
        thread = await known_thread(self._service, request)
        query = {name: int(value) for name, value in request.query_params.items() if value.isdigit()}
        runs = [_shown(thread, run_id) for run_id in _ids(thread)]
        wanted = request.query_params.get("status")
        first = number(query, "offset", 0)
        found = [run for run in runs if wanted is None or run["status"] == wanted]
        return answer(found[first : first + number(query, "limit", 10)])

    async def get(self, request: Request) -> Response:
        """`GET /threads/{id}/runs/{run}`."""
        thread = await known_thread(self._service, request)
        return answer(_shown(thread, _known_run(thread, request)))

    async def join(self, request: Request) -> Response:
        """`GET /threads/{id}/runs/{run}/join`: the thread's values when the run has ended."""
        thread = await known_thread(self._service, request)
        job = thread.find(_known_run(thread, request))
        if job is not None:
            await job.done.wait()
        return answer((await thread.fresh()).state()["values"])

    async def join_stream(self, request: Request) -> Any:
        """`GET /threads/{id}/runs/{run}/stream`: a run's events, from its start, or from `Last-Event-ID` on.

        The run is under way, or was the last one. Without `stream_mode`, in all modes.
        """
        known = await known_thread(self._service, request)
        run_id, query = _known_run(known, request), request.query_params
        thread = await (await self._service.thread(known.thread_id, known.owner)).fresh()
        modes = read_modes(_modes(query.getlist("stream_mode")) or sorted(CHANNELS))
        start = thread.fold.running if thread.fold.run_id == run_id else 0
        # The fold has the run's first event before the store has it.
        since = min(start - 1, thread.log.last) if start else thread.log.last
        given = request.headers.get("last-event-id")
        if given not in FROM_THE_START:
            since = max(since, resumed_from(str(given), thread.log.log_id))
        job = thread.find(run_id)
        until = thread.log.last if job is None or job.ended else None
        viewer, reader = Viewer(thread), ModeReader(run_id, modes, subgraphs=False, begun=0 < start <= since)
        try:
            await viewer.add("", Subscription(Selection(reader.channels), since=since))
        except LogGap as gap:
            raise Refusal("invalid_argument", str(gap), status=GONE) from None
        leaves = (
            Leaving(caller_of(request)) if query.get("cancel_on_disconnect", "0").lower() in {"1", "true"} else None
        )
        return RunStream(self._service, thread, viewer, reader, run_id, own=False, until=until, leaving=leaves)

    async def _started(self, request: Request) -> RunStream:
        service, thread_id = self._service, request.path_params.get("thread_id")
        own = thread_id is None
        thread_id = thread_id or str(uuid4())
        identity = await service.admit(caller_of(request), "read", thread_id)
        body = await body_of(service, request, identity)
        only(body, TAKEN, IGNORED)
        modes = read_modes(body.get("stream_mode"))
        leaving = Leaving(caller_of(request)) if _cancels(body) else None
        thread = await (await service.thread(thread_id, identity)).fresh()
        command = parse_command(_command(body, thread), service.limits)
        assert isinstance(command, RunStart | InputRespond)
        command = await self._placed(command, _checkpoint(body), thread)
        viewer, after = Viewer(thread), thread.log.last
        run_id = (await service.execute(caller_of(request), thread_id, command))["run_id"]
        reader = ModeReader(run_id, modes, subgraphs=bool(body.get("stream_subgraphs")))
        await viewer.add("", Subscription(Selection(reader.channels), since=after))
        return RunStream(service, thread, viewer, reader, run_id, own=own, leaving=leaving)

    async def _placed(
        self, command: RunStart | InputRespond, checkpoint_id: str | None, thread: Thread
    ) -> RunStart | InputRespond:
        """The command of a run that begins at a checkpoint. Answers go to where the thread waits, and nowhere else."""
        if checkpoint_id is None:
            return command
        beginning = Beginning(checkpoint_id=checkpoint_id)
        if isinstance(command, RunStart):
            assistant = self._service.assistant(command.assistant_id)
        elif thread.ledger.asker is None or thread.ledger.asker.assistant is None:
            return command  # which is refused
        else:
            assistant = thread.ledger.asker.assistant
        if assistant.not_branching is not None:
            raise not_branching(beginning, assistant.not_branching)
        where = {"configurable": {"thread_id": thread.checkpoint_thread}}
        if isinstance(command, RunStart):
            if not await has_checkpoint(assistant, where, checkpoint_id):
                raise Refusal("no_such_checkpoint", "this thread has no such checkpoint.", status=404)
            return attrs.evolve(command, beginning=beginning)
        if not await has_checkpoint(assistant, where, checkpoint_id, newest=True):
            raise Refusal("no_such_checkpoint", "the thread does not wait for answers at this checkpoint.", status=400)
        return command


def _checkpoint(body: Mapping[str, Any]) -> str | None:
    """The id of the checkpoint at which a run is to begin."""
    found, given = checkpoint_in(body), body.get("checkpoint_id")
    if given is not None and (not isinstance(given, str) or not given or found not in {None, given}):
        raise Refusal("invalid_argument", "`checkpoint_id` must be the id of one checkpoint.", status=400)
    return found or given


def _command(body: Mapping[str, Any], thread: Thread) -> dict[str, Any]:
    """The command of the streaming protocol that a body stands for."""
    given, command = body.get("input"), body.get("command")
    about = {name: body[name] for name in ("config", "metadata") if body.get(name)}
    if not isinstance(command, dict):
        params = {"assistant_id": body.get("assistant_id"), "input": given, **about}
        return {"id": 1, "method": "run.start", "params": params}
    only(command, {"resume", "update", "goto"})
    pending = thread.snapshot.interrupts
    answers = command.get("resume")
    if not isinstance(answers, dict) or not answers or not answers.keys() <= pending.keys():
        if len(pending) > 1:
            raise Refusal(
                "invalid_argument", "several interrupts are pending: `resume` must be {id: answer, ...}.", status=400
            )
        answers = dict.fromkeys(pending, answers)
    if not answers:
        raise Refusal("no_such_interrupt", "the graph is not waiting for an answer.", status=400)
    responses = [
        {"interrupt_id": name, "namespace": list(pending[name].namespace), "response": said}
        for name, said in answers.items()
    ]
    steering = {name: command[name] for name in ("update", "goto") if command.get(name)}
    return {"id": 1, "method": "input.respond", "params": {"responses": responses, **steering, **about}}


def _ids(thread: Thread) -> list[str]:
    ids = [job.run_id for job in reversed(thread.jobs)]
    return ids if not thread.fold.run_id or thread.fold.run_id in ids else [*ids, thread.fold.run_id]


def _known_run(thread: Thread, request: Request) -> str:
    run_id: str = request.path_params["run_id"]
    if run_id not in _ids(thread):
        raise Refusal("no_such_run", "no such run is under way, nor was it the last one.", status=404)
    return run_id


def _shown(thread: Thread, run_id: str) -> dict[str, Any]:
    job = thread.find(run_id)
    if job is not None and not job.ended:
        status = "running" if run_id == thread.fold.run_id else "pending"
    else:
        status = "interrupted" if thread.waits else "error" if thread.snapshot.status == "failed" else "success"
    return {
        "run_id": run_id,
        "thread_id": thread.thread_id,
        "assistant_id": thread.fold.assistant_id if job is None else job.assistant_id,
        "status": status,
        "created_at": None,
        "updated_at": None,
        "metadata": {},
        "kwargs": {},
        "multitask_strategy": "enqueue",
    }


def _modes(given: Sequence[str]) -> list[Any]:
    """Stream modes of a query: several values, or one that is a list in JSON, as the JavaScript client sends it.

    The Python client sends an empty one for none.
    """
    given = [each for each in given if each]
    if len(given) != 1 or not given[0].startswith("["):
        return list(given)
    try:
        found = json.loads(given[0])
    except ValueError:
        return list(given)
    return found if isinstance(found, list) else list(given)


def _cancels(body: Mapping[str, Any]) -> bool:
    """Whether the run is to be stopped when its viewer leaves."""
    given = body.get("on_disconnect")
    if given not in {None, "continue", "cancel"}:
        raise Refusal("invalid_argument", "`on_disconnect` must be 'continue' or 'cancel'.", status=400)
    return bool(given == "cancel")


@final
@attrs.define
class Leaving:
    """A viewer that wants the run stopped when it leaves.

    Attributes:
        caller: Who it is.
        left: Whether it has left.
    """

    caller: Caller
    left: bool = False

    async def until_left(self, receive: Receive, scope: anyio.CancelScope) -> None:
        """Cancel `scope` when it has left."""
        await until_disconnected(receive, scope)
        self.left = True


@final
class RunStream:
    """A run that has been started, and the response that streams it: an ASGI response with an end.

    Args:
        service: The server.
        thread: The run's thread.
        viewer: Reads it.
        reader: Makes events of what it reads.
        run_id: The run.
        own: Whether the thread is the run's own, and ends with it.
        until: The last place that is read of a run that has ended.
        leaving: Set if the run is to be stopped when the viewer leaves.
    """

    def __init__(
        self,
        service: Service,
        thread: Thread,
        viewer: Viewer,
        reader: ModeReader,
        run_id: str,
        *,
        own: bool,
        until: int | None = None,
        leaving: Leaving | None = None,
    ) -> None:
        self.thread = thread
        self.reader = reader
        self.run_id = run_id
        self._service = service
        self._viewer = viewer
        self._own = own
        self._until = until
        self._leaving = leaving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the run has ended, or the viewer leaves, which the run does not notice unless it is to."""
        try:
            self._service.check_connection(self.thread)
        except Refusal as refusal:
            await refused(refusal)(scope, receive, send)
            return
        name = f"/threads/{self.thread.thread_id}/runs/{self.run_id}".encode()
        headers = [*HEADERS, (b"content-location", name)]
        with self._service.streams.to_viewer(self.thread, self._viewer):
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async with anyio.create_task_group() as tasks:
                watch = until_disconnected if self._leaving is None else self._leaving.until_left
                tasks.start_soon(watch, receive, tasks.cancel_scope)
                await send_piece(send, frame("metadata", encode({"run_id": self.run_id, "attempt": 1})))
                async for event, data, event_id in self.events():
                    await send_piece(send, HEARTBEAT if event is None else frame(event, encode(data), event_id))
                tasks.cancel_scope.cancel()
        await self._left()
        if self.reader.ended or self._is_over:
            await self.forget()  # ends the thread's readers, so this stream must not read it any more
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _left(self) -> None:
        """Stop the run if its viewer has left, and wanted that: not if the server is being stopped."""
        if self._leaving is None or not self._leaving.left or self.reader.ended or self._service.closing:
            return
        try:
            await self._service.cancel(self._leaving.caller, self.thread.thread_id, self.run_id, wait=False)
        except Refusal as refusal:
            # It has ended meanwhile, or its viewer may not stop it.
            logger.debug("run %s is not stopped: %s", self.run_id, refusal)

    @property
    def _is_over(self) -> bool:
        return self._until is not None and self._viewer.cursor >= self._until

    async def events(self) -> AsyncIterator[tuple[str | None, Any, str | None]]:
        """What the run says, to its end, with its places in the log; a heartbeat now and then while it says nothing."""
        while True:
            try:
                batch = await self._viewer.batch()
            except LogGap:
                yield "error", {"error": "gap", "message": "this run was faster than its viewer; read its state."}, None
                return
            for entry in batch:
                said = list(self.reader.read(entry))
                for n, (event, data) in enumerate(said, 1):
                    yield event, data, entry.event_id if n == len(said) else None
            if self.reader.ended or self._is_over:
                return
            if not await self._viewer.wait(self._service.heartbeat):
                yield None, None, None

    async def forget(self) -> None:
        """A run without a thread leaves nothing."""
        if self._own and not self.thread.waits:
            await at_rest(self.thread)
            await forget(self._service, self.thread)
