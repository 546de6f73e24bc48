"""`runs.create`, `stream`, `wait`, `join`, `join_stream`, `list`, `get`."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, final
from urllib.parse import quote, urlencode
from uuid import uuid4

import attrs
from starlette.requests import Request
from starlette.responses import Response

from anyiostream.remote.assistants import Assistant
from anyiostream.remote.branching import has_checkpoint
from anyiostream.remote.commands import Beginning, InputRespond, RunStart, parse_command
from anyiostream.remote.failing import unreadable
from anyiostream.remote.jobs import not_branching
from anyiostream.remote.log import LogGap
from anyiostream.remote.official.bodies import body_of, checkpoint_in, known_thread, number, only
from anyiostream.remote.official.followed_run import FollowedRun, Leaving, whose
from anyiostream.remote.official.modes import CHANNELS, ModeReader, read_modes
from anyiostream.remote.official.threads import at_rest
from anyiostream.remote.refusals import GONE, Refusal
from anyiostream.remote.requests import answer, caller_of, number_in
from anyiostream.remote.service import Service
from anyiostream.remote.sse import resumed_from
from anyiostream.remote.subscriptions import Selection, Subscription
from anyiostream.remote.thread import Thread
from anyiostream.remote.viewer import Viewer
from anyiostream.wire.jsonable import encode

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
        run = await self._started(request, shown=False)
        response = answer(_shown(run.thread, run.run_id))
        response.headers["content-location"] = quote(whose(run.thread, run.run_id))
        return response

    async def stream(self, request: Request) -> Any:
        """`POST /threads/{id}/runs/stream` and `/runs/stream`: start it, and stream it to its end."""
        return await self._started(request)

    async def wait(self, request: Request) -> Any:
        """`POST /threads/{id}/runs/wait` and `/runs/wait`: start it; its last snapshot when it has ended."""
        run = await self._started(request)

        async def told() -> bytes:
            reader = run.reader
            if reader.error is not None:
                return encode({"__error__": {"error": "RunFailed", "message": reader.error}})
            if reader.abridged:
                thread = await run.thread.fresh()
                if thread.fold.run_id == run.run_id:  # otherwise the thread has gone on, and has others
                    reader.complete(thread.state()["values"])
            return encode(reader.values)

        return run.as_value(told)

    async def list(self, request: Request) -> Response:
        """`GET /threads/{id}/runs`: those under way, and the last one that has ended."""
        thread = await known_thread(self._service, request)
        query = {name: number_in(request.query_params, name) for name in ("offset", "limit")}
        first, most = number(query, "offset", 0), number(query, "limit", 10)
        runs = [_shown(thread, run_id) for run_id in _ids(thread)]
        wanted = request.query_params.get("status")
        found = [run for run in runs if wanted is None or run["status"] == wanted]
        return answer(found[first : first + most])

    async def get(self, request: Request) -> Response:
        """`GET /threads/{id}/runs/{run}`."""
        thread = await known_thread(self._service, request)
        return answer(_shown(thread, _known_run(thread, request)))

    async def join(self, request: Request) -> Any:
        """`GET /threads/{id}/runs/{run}/join`: the thread's values when the run has ended."""
        run = await self._joined(request, frozenset({"values"}), whole=False)

        async def told() -> bytes:
            await at_rest(run.thread)
            return (await run.thread.fresh()).encoded_values()

        return run.as_value(told)

    async def join_stream(self, request: Request) -> Any:
        """`GET /threads/{id}/runs/{run}/stream`: a run's events, from its start, or from `Last-Event-ID` on.

        The run is under way, or was the last one. Without `stream_mode`, in all modes.
        """
        modes = _modes(request.query_params.getlist("stream_mode")) or sorted(CHANNELS)
        return await self._joined(request, read_modes(modes), request.headers.get("last-event-id"))

    async def _joined(
        self, request: Request, modes: frozenset[str], given: str | None = None, *, whole: bool = True
    ) -> FollowedRun:
        """A run that is under way, or was the last one: from its start, or after an event; or what is still to come."""
        known = await known_thread(self._service, request)
        run_id, query = _known_run(known, request), request.query_params
        thread = await (await self._service.thread(known.thread_id, known.owner)).fresh()
        start = thread.fold.running if thread.fold.run_id == run_id else 0
        # The fold has the run's first event before the store has it.
        since = min(start - 1, thread.log.last) if start and whole else thread.log.last
        if given not in FROM_THE_START:
            since = max(since, resumed_from(str(given), thread.log.log_id))
        job = thread.find(run_id)
        until = thread.log.last if job is None or job.ended else None
        subgraphs = _is_set(query, "stream_subgraphs")
        viewer = Viewer(thread, self._service.pulse)
        reader = ModeReader(run_id, modes, subgraphs=subgraphs, begun=0 < start <= since)
        try:
            await viewer.add("", Subscription(Selection(reader.channels), since=since))
        except LogGap as gap:
            self._service.streams.gap()
            raise Refusal("invalid_argument", str(gap), status=GONE) from None
        leaving = Leaving(caller_of(request)) if _is_set(query, "cancel_on_disconnect") else None
        again = _again(modes, subgraphs=subgraphs, leaving=leaving)
        return FollowedRun(self._service, thread, viewer, reader, run_id, until=until, leaving=leaving, again=again)

    async def _started(self, request: Request, *, shown: bool = True) -> FollowedRun:
        """A run that the request begins, and shows if it is to be `shown`; nothing is left of one that is refused."""
        service, thread_id = self._service, request.path_params.get("thread_id")
        own = thread_id is None
        thread_id = thread_id or str(uuid4())
        identity = await service.admit(caller_of(request), "read", thread_id)
        body = await body_of(service, request, identity)
        only(body, TAKEN, IGNORED)
        modes = read_modes(body.get("stream_mode"))
        leaving = Leaving(caller_of(request)) if _cancels(body) else None
        thread = await (await service.thread(thread_id, identity)).fresh()
        try:
            return await self._begun(request, body, thread, modes, leaving, own=own, shown=shown)
        except Refusal:
            if own:
                await service.erase(thread)
            raise

    async def _begun(
        self,
        request: Request,
        body: Mapping[str, Any],
        thread: Thread,
        modes: frozenset[str],
        leaving: Leaving | None,
        *,
        own: bool,
        shown: bool,
    ) -> FollowedRun:
        service = self._service
        command = parse_command(_command(body, thread), service.limits)
        assert isinstance(command, RunStart | InputRespond)
        command = await self._placed(command, _checkpoint(body), thread)
        viewer, after = Viewer(thread, service.pulse), thread.log.last
        if shown:
            service.check_room(thread.owner)
        run_id = (await service.execute(caller_of(request), thread.thread_id, command))["run_id"]
        subgraphs = bool(body.get("stream_subgraphs"))
        reader = ModeReader(run_id, modes, subgraphs=subgraphs)
        await viewer.add("", Subscription(Selection(reader.channels), since=after))
        again = _again(modes, subgraphs=subgraphs, leaving=leaving)
        return FollowedRun(service, thread, viewer, reader, run_id, own=own, begun=True, leaving=leaving, again=again)

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
        if isinstance(command, RunStart):
            if not await _has_checkpoint(assistant, thread, checkpoint_id):
                raise Refusal("no_such_checkpoint", "this thread has no such checkpoint.", status=404)
            return attrs.evolve(command, beginning=beginning)
        if not await _has_checkpoint(assistant, thread, checkpoint_id, newest=True):
            raise Refusal("no_such_checkpoint", "the thread does not wait for answers at this checkpoint.", status=400)
        return command


async def _has_checkpoint(assistant: Assistant, thread: Thread, checkpoint_id: str, *, newest: bool = False) -> bool:
    where = {"configurable": {"thread_id": thread.checkpoint_thread}}
    try:
        return await has_checkpoint(assistant, where, checkpoint_id, newest=newest)
    except BaseException as exc:
        raise await unreadable(exc, thread.thread_id) from exc


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
    if command is not None and not isinstance(command, dict):
        raise Refusal("invalid_argument", "`command` must be an object.", status=400)
    if command is None:
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
    except (ValueError, RecursionError):
        return list(given)
    return found if isinstance(found, list) else list(given)


def _is_set(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "0").lower() in {"1", "true"}


def _again(modes: frozenset[str], *, subgraphs: bool, leaving: Leaving | None) -> str:
    """What follows a run's path where the rest of a stream is had, shown as it was: clients ask for just that."""
    query = [("stream_mode", mode) for mode in sorted(modes)]
    query += [("stream_subgraphs", "1")] if subgraphs else []
    query += [] if leaving is None else [("cancel_on_disconnect", "1")]
    return f"stream?{urlencode(query)}"


def _cancels(body: Mapping[str, Any]) -> bool:
    """Whether the run is to be stopped when its viewer leaves."""
    given = body.get("on_disconnect")
    if given not in (None, "continue", "cancel"):
        raise Refusal("invalid_argument", "`on_disconnect` must be 'continue' or 'cancel'.", status=400)
    return bool(given == "cancel")
