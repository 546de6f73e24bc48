"""`threads.create`, `get`, `search`, `delete`, `get_history`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import chain
from typing import Any, final
from uuid import uuid4

from anyio.lowlevel import checkpoint
from starlette.requests import Request
from starlette.responses import Response

from anyiostream import asyncio_host
from anyiostream.remote.access import check_thread_id
from anyiostream.remote.official.bodies import body_of, known_thread, number, only
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.requests import answer, answer_encoded, caller_of
from anyiostream.remote.service import Service
from anyiostream.remote.thread import Thread
from anyiostream.wire.jsonable import encode, plain

__all__ = ["ThreadEndpoints", "at_rest", "forget"]


@final
class ThreadEndpoints:
    """What answers requests about threads."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def create(self, request: Request) -> Response:
        """`POST /threads`. Without it, the thread's first use would create it."""
        service = self._service
        identity = await service.admit(caller_of(request), "start")
        body = await body_of(service, request, identity)
        only(body, {"thread_id", "if_exists"})
        thread_id = body.get("thread_id") or str(uuid4())
        check_thread_id(thread_id)
        identity = await service.admit(caller_of(request), "start", thread_id)
        found = await service.known_thread(thread_id, identity)
        if found is not None and body.get("if_exists", "raise") != "do_nothing":
            raise Refusal("invalid_argument", "this thread exists already.", status=409)
        return answer(_shown(found or await service.thread(thread_id, identity)))

    async def get(self, request: Request) -> Response:
        """`GET /threads/{id}`."""
        return answer(_shown(await known_thread(self._service, request)))

    async def search(self, request: Request) -> Response:
        """`POST /threads/search`: the caller's threads that this server has in memory, the last used ones first."""
        service = self._service
        identity = await service.admit(caller_of(request), "read")
        body = await body_of(service, request, identity)
        only(body, {"metadata", "status", "ids", "limit", "offset"}, {"sort_by", "sort_order", "select"})
        wanted = {**(body.get("metadata") or {}), **({"status": body["status"]} if body.get("status") else {})}
        found = []
        for thread in reversed(service.threads_of(identity)):
            if body.get("ids") and thread.thread_id not in body["ids"]:
                continue
            about = {**_metadata(thread), "status": _status(thread)}
            if all(about.get(name) == value for name, value in wanted.items()):
                found.append(thread)
        first = number(body, "offset", 0)
        shown = []
        for thread in found[first : first + number(body, "limit", 10)]:
            await checkpoint()  # each may take a while to be decoded
            shown.append(_shown(thread))
        return answer(shown)

    async def delete(self, request: Request) -> Response:
        """`DELETE /threads/{id}`: with its log, and with its checkpoints. Not while it runs."""
        thread = await known_thread(self._service, request, "delete")
        if await at_rest(thread):
            raise Refusal("invalid_argument", "a run of this thread is under way; cancel it first.", status=409)
        await forget(self._service, thread)
        return Response(status_code=204)

    async def history(self, request: Request) -> Response:
        """`POST /threads/{id}/history`: the checkpoints of a LangGraph graph, else the state."""
        service = self._service
        thread = await known_thread(service, request)
        body = await body_of(service, request, thread.owner)
        only(body, {"limit", "before", "checkpoint"})
        _checkpoint_id(body.get("checkpoint"))
        limit = number(body, "limit", 10)
        graph = _checkpointed(service, thread)
        if graph is None:
            return answer([_standing(thread)][:limit])
        config = {"configurable": {"thread_id": thread.checkpoint_thread}}
        before = body.get("before")
        if isinstance(before, str):
            before = {"configurable": {**config["configurable"], "checkpoint_id": before}}
        elif before is not None:
            raise Refusal("invalid_argument", "`before` must be the id of a checkpoint.", status=400)

        async def collect() -> bytes:
            states: AsyncIterator[Any] = graph.aget_state_history(config, limit=limit, before=before)
            shown: list[bytes] = []
            async for each in states:
                shown.append(encode(_snapshot(each, thread.thread_id)))
                await checkpoint()  # a saver need not, and there may be a thousand large ones
            return b"[%b]" % b",".join(shown)

        async with asyncio_host() as host:
            return answer_encoded(await host.run(collect))

    async def state_at(self, request: Request) -> Response:
        """`POST /threads/{id}/state/checkpoint`, `GET /threads/{id}/state/{checkpoint}`: the state then, or now."""
        service = self._service
        thread = await known_thread(service, request)
        checkpoint_id = request.path_params.get("checkpoint_id")
        if checkpoint_id is None:
            body = await body_of(service, request, thread.owner)
            only(body, {"checkpoint"}, {"subgraphs"})
            checkpoint_id = _checkpoint_id(body.get("checkpoint"))
        graph = _checkpointed(service, thread)
        if graph is None and checkpoint_id is None:
            return answer(_standing(thread))
        if graph is None:
            raise Refusal("invalid_argument", "there is no such checkpoint.", status=404)
        config = {"configurable": {"thread_id": thread.checkpoint_thread}}
        if checkpoint_id is not None:
            config["configurable"]["checkpoint_id"] = checkpoint_id
        async with asyncio_host() as host:
            state = await host.run(graph.aget_state, config)
        if state.created_at is None:
            raise Refusal("invalid_argument", "there is no such checkpoint.", status=404)
        return answer(_snapshot(state, thread.thread_id))


async def at_rest(thread: Thread) -> list[str]:
    """Wait until runs that have told their end are over; the ids of those that go on."""
    for job in thread.jobs:
        if job.ended:
            await job.done.wait()
    return [job.run_id for job in thread.jobs]


async def forget(service: Service, thread: Thread) -> None:
    """Erase a thread everywhere."""
    graph = _checkpointed(service, thread)
    if graph is not None:
        async with asyncio_host() as host:
            await host.run(graph.checkpointer.adelete_thread, thread.checkpoint_thread)
    await service.erase(thread)


def _checkpointed(service: Service, thread: Thread) -> Any:
    """The graph of the thread's last run, if it keeps checkpoints."""
    assistant = service.assistants.get(thread.fold.assistant_id)
    if assistant is None or not assistant.takes_config or not hasattr(assistant.graph.checkpointer, "adelete_thread"):
        return None
    return assistant.graph


def _standing(thread: Thread) -> dict[str, Any]:
    """Where a thread without checkpoints stands."""
    where = {"thread_id": thread.thread_id, "checkpoint_ns": "", "checkpoint_id": None}
    about = {"checkpoint": where, "parent_checkpoint": None, "metadata": {}, "created_at": None}
    state = thread.state()
    nothing = {"error": None, "checkpoint": None, "state": None}
    state["tasks"] = [{**nothing, **task} for task in state["tasks"]]
    return {**state, **about, "interrupts": [asked for task in state["tasks"] for asked in task.get("interrupts", ())]}


def _checkpoint_id(given: Any) -> str | None:
    """The id of a checkpoint of the outermost graph; the thread is that of the path."""
    if given is None:
        return None
    if (
        not isinstance(given, dict)
        or given.get("checkpoint_ns")
        or not isinstance(given.get("checkpoint_id", ""), str | None)
    ):
        raise Refusal("not_supported", "a `checkpoint` must be the id of one of the outermost graph.", status=400)
    return given.get("checkpoint_id")


def _metadata(thread: Thread) -> dict[str, str]:
    name = thread.fold.assistant_id
    return {"graph_id": name, "assistant_id": name} if name else {}


def _status(thread: Thread) -> str:
    return "busy" if any(not job.ended for job in thread.jobs) else "interrupted" if thread.waits else "idle"


def _shown(thread: Thread) -> dict[str, Any]:
    state = thread.state()
    asked = {task["id"]: task["interrupts"] for task in state["tasks"] if task.get("interrupts")}
    return {
        "thread_id": thread.thread_id,
        "created_at": None,
        "updated_at": None,
        "metadata": _metadata(thread),
        "status": _status(thread),
        "config": {},
        "values": state["values"],
        "interrupts": asked,
    }


def _snapshot(state: Any, thread_id: str) -> dict[str, Any]:
    """A `StateSnapshot` of LangGraph's, without the server's own data."""
    asked_by = {
        each.id: [{"id": asked.id, "value": plain(asked.value)} for asked in each.interrupts] for each in state.tasks
    }
    tasks = [
        {"id": each.id, "name": each.name, "error": each.error and "the node failed", "checkpoint": None, "state": None,
         "interrupts": asked_by[each.id]}
        for each in state.tasks
    ]  # fmt: skip
    return {
        "values": plain(state.values),
        "next": list(state.next),
        "tasks": tasks,
        "checkpoint": _place(state.config, thread_id),
        "parent_checkpoint": state.parent_config and _place(state.parent_config, thread_id),
        "metadata": {name: plain((state.metadata or {}).get(name)) for name in ("source", "step")},
        "created_at": state.created_at,
        "interrupts": list(chain.from_iterable(asked_by.values())),
    }


def _place(config: Any, thread_id: str) -> dict[str, Any]:
    where = config["configurable"]
    namespace = where.get("checkpoint_ns", "")
    return {"thread_id": thread_id, "checkpoint_ns": namespace, "checkpoint_id": where["checkpoint_id"]}
