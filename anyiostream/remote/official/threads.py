"""`threads.create`, `get`, `search`, `delete`, `get_history`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from itertools import chain
from typing import Any, Final, TypeVar, final
from uuid import uuid4

import attrs
from anyio.lowlevel import checkpoint
from starlette.requests import Request
from starlette.responses import Response

from anyiostream import asyncio_host
from anyiostream.remote.access import check_thread_id
from anyiostream.remote.failing import unreadable
from anyiostream.remote.label import Label
from anyiostream.remote.listing import PAGE, Listing
from anyiostream.remote.official.bodies import body_of, checkpoint_in, known_thread, number, only, text
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.requests import caller_of
from anyiostream.remote.service import Service
from anyiostream.remote.store import Listed
from anyiostream.remote.thread import Thread
from anyiostream.wire.jsonable import encode, plain

__all__ = ["ThreadEndpoints", "at_rest", "forget"]

T = TypeVar("T")

READ_AT_A_TIME: Final = 16
"""Checkpoints."""

LARGEST: Final = 8 * PAGE
"""How many threads a search asks for at a time, at most."""


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
        thread_id = text(body, "thread_id") or str(uuid4())
        if_exists = text(body, "if_exists")
        check_thread_id(thread_id)
        identity = await service.admit(caller_of(request), "start", thread_id)
        found = await service.known_thread(thread_id, identity)
        if found is not None and if_exists != "do_nothing":
            raise Refusal("invalid_argument", "this thread exists already.", status=409)
        return service.answers.encoded(identity, *_shown(found or await service.thread(thread_id, identity)))

    async def get(self, request: Request) -> Response:
        """`GET /threads/{id}`."""
        thread = await known_thread(self._service, request)
        return self._service.answers.encoded(thread.owner, *_shown(thread))

    async def search(self, request: Request) -> Response:
        """`POST /threads/search`: the caller's threads, wherever they are run, the last used ones first."""
        service = self._service
        identity = await service.admit(caller_of(request), "read")
        body = await body_of(service, request, identity)
        only(body, {"metadata", "status", "ids", "limit", "offset"}, {"sort_by", "sort_order", "select"})
        first, most = number(body, "offset", 0), number(body, "limit", 10)
        return await service.answers.listed(
            identity, _encoded(service.listing, identity, _filter(body), skip=first, most=most)
        )

    async def delete(self, request: Request) -> Response:
        """`DELETE /threads/{id}`: with its log, and with its checkpoints. Not while it runs."""
        thread = await known_thread(self._service, request, "delete")
        if not await forget(self._service, thread):
            raise Refusal("invalid_argument", "a run of this thread is under way; cancel it first.", status=409)
        return Response(status_code=204)

    async def history(self, request: Request) -> Response:
        """`POST /threads/{id}/history`: the checkpoints of a LangGraph graph, else the state."""
        service = self._service
        thread = await known_thread(service, request)
        body = await body_of(service, request, thread.owner)
        only(body, {"limit", "before", "checkpoint"})
        checkpoint_in(body)
        limit = number(body, "limit", 10)
        graph = _checkpointed(service, thread)
        if graph is None:
            return service.answers.of(thread.owner, [_standing(thread)][:limit])
        config = {"configurable": {"thread_id": thread.checkpoint_thread}}
        before = body.get("before")
        if isinstance(before, str):
            before = {"configurable": {**config["configurable"], "checkpoint_id": before}}
        elif before is not None:
            raise Refusal("invalid_argument", "`before` must be the id of a checkpoint.", status=400)
        return await service.answers.listed(thread.owner, _history(graph, thread, config, before, limit))

    async def state_at(self, request: Request) -> Response:
        """`POST /threads/{id}/state/checkpoint`, `GET /threads/{id}/state/{checkpoint}`: the state then, or now."""
        service = self._service
        thread = await known_thread(service, request)
        checkpoint_id = request.path_params.get("checkpoint_id")
        if checkpoint_id is None:
            body = await body_of(service, request, thread.owner)
            only(body, {"checkpoint"}, {"subgraphs"})
            checkpoint_id = checkpoint_in(body)
        graph = _checkpointed(service, thread)
        if graph is None and checkpoint_id is None:
            return service.answers.of(thread.owner, _standing(thread))
        if graph is None:
            raise Refusal("invalid_argument", "there is no such checkpoint.", status=404)
        config = {"configurable": {"thread_id": thread.checkpoint_thread}}
        if checkpoint_id is not None:
            config["configurable"]["checkpoint_id"] = checkpoint_id

        async def read() -> bytes | None:
            state = await graph.aget_state(config)
            return None if state.created_at is None else encode(_snapshot(state, thread.thread_id))

        found = await _read(thread, read)
        if found is None:
            raise Refusal("invalid_argument", "there is no such checkpoint.", status=404)
        return service.answers.encoded(thread.owner, found)


async def _read(thread: Thread, read: Callable[[], Awaitable[T]]) -> T:
    """What is read of a thread's checkpoints, and encoded. It is made of a graph's objects, which may raise anything.

    Raises:
        Refusal: They have (500).
    """
    try:
        async with asyncio_host() as host:
            return await host.run(read)
    except BaseException as exc:
        raise await unreadable(exc, thread.thread_id) from exc


async def at_rest(thread: Thread) -> None:
    """Wait until runs that have told their end are over."""
    for job in thread.jobs:
        if job.ended:
            await job.done.wait()


async def forget(service: Service, thread: Thread) -> bool:
    """Erase a thread everywhere, unless a run of it is under way; whether it has. Meanwhile it accepts none."""
    await at_rest(thread)
    if not await thread.close():
        return False
    graph = _checkpointed(service, thread)
    try:
        if graph is not None:
            async with asyncio_host() as host:
                await host.run(graph.checkpointer.adelete_thread, thread.checkpoint_thread)
    except BaseException:
        thread.lost = False
        raise
    await service.erase(thread)
    return True


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


@attrs.frozen
class Filter:
    """Which threads a search asks for.

    Attributes:
        ids: Those of these ids; of all if there are none.
        about: What is to be said of a thread.
    """

    ids: frozenset[str]
    about: Mapping[str, Any]

    def takes(self, about: Mapping[str, Any]) -> bool:
        """Whether it asks for a thread of which that is said."""
        return all(about.get(name) == value for name, value in self.about.items())


def _filter(body: Mapping[str, Any]) -> Filter:
    ids, metadata, status = body.get("ids"), body.get("metadata"), text(body, "status")
    ids, metadata = [] if ids is None else ids, {} if metadata is None else metadata
    is_list = isinstance(ids, list) and all(isinstance(each, str) for each in ids)
    if not is_list or not isinstance(metadata, dict):
        raise Refusal("invalid_argument", "`metadata` must be an object, `ids` a list of ids.", status=400)
    return Filter(frozenset(ids), {**metadata, **({"status": status} if status else {})})


async def _encoded(listing: Listing, owner: str, wanted: Filter, *, skip: int, most: int) -> AsyncGenerator[bytes]:
    """An owner's threads that are asked for, encoded, one by one."""
    async with aclosing(_found(listing, owner, wanted, skip + most)) as found:
        async for listed, thread in found:
            if not most:
                break
            if skip:
                skip -= 1
            elif (each := thread or await listing.thread(owner, listed)) is not None:
                await checkpoint()  # each may take a while to be decoded, and encoded
                most -= 1
                yield b"".join(_shown(each))


async def _history(graph: Any, thread: Thread, config: Any, before: Any, limit: int) -> AsyncGenerator[bytes]:
    """A thread's checkpoints, encoded, the newest first. Few are read at a time: savers hold all that they read."""

    async def read() -> tuple[list[bytes], Any]:
        states: AsyncIterator[Any] = graph.aget_state_history(config, limit=min(limit, READ_AT_A_TIME), before=before)
        shown: list[bytes] = []
        last = None
        async for each in states:
            shown.append(encode(_snapshot(each, thread.thread_id)))
            last = each.config
            await checkpoint()  # a saver need not
        return shown, last

    while limit:
        found, before = await _read(thread, read)
        for each in found:
            yield each
        if len(found) < READ_AT_A_TIME:
            return
        limit -= len(found)


async def _found(
    listing: Listing, owner: str, wanted: Filter, most: int
) -> AsyncGenerator[tuple[Listed, Thread | None]]:
    """An owner's threads that are asked for, the last used ones first; each with what had to be read of it.

    Little is read of the others. `most` is how many are taken, at most.
    """
    size = PAGE if wanted.ids or wanted.about else min(PAGE, most)
    missing = set(wanted.ids)
    seen: set[str] = set()
    skip = 0
    while size and (page := await listing.page(owner, skip=skip, most=size)):
        skip += len(page)
        size = min(2 * size, LARGEST)  # whoever passes over many is to ask seldom
        await checkpoint()  # a store need not, and there may be many that nobody asks for
        for listed in page:
            # One that is used meanwhile comes first, and another one comes once more.
            if listed.key in seen or (wanted.ids and listed.thread_id not in wanted.ids):
                continue
            seen.add(listed.key)
            missing.discard(listed.thread_id)
            thread = listing.in_memory(owner, listed)
            if thread is None and wanted.about and listed.label is None:
                thread = await listing.thread(owner, listed)
            label = Label() if listed.label is None else Label.load(listed.label)
            about = _about(label, busy=listed.commands > 0) if thread is None else _described(thread)
            if wanted.takes(about):
                yield listed, thread
        if wanted.ids and not missing:
            return


def _about(label: Label, *, busy: bool) -> dict[str, str]:
    """What a search may ask for of a thread."""
    return {**_metadata(label.assistant_id), "status": "busy" if busy else "interrupted" if label.waits else "idle"}


def _described(thread: Thread) -> dict[str, str]:
    busy = any(not job.ended for job in thread.jobs)
    return _about(Label(thread.fold.assistant_id, thread.waits), busy=busy)


def _metadata(name: str) -> dict[str, str]:
    return {"graph_id": name, "assistant_id": name} if name else {}


def _shown(thread: Thread) -> tuple[bytes, ...]:
    """A thread, encoded in parts: the values of an idle one are not copied."""
    tasks = thread.snapshot.shown(running=thread.running)["tasks"]
    about = {
        "thread_id": thread.thread_id,
        "created_at": None,
        "updated_at": None,
        "metadata": _metadata(thread.fold.assistant_id),
        "status": _described(thread)["status"],
        "config": {},
        "interrupts": {task["id"]: task["interrupts"] for task in tasks if task.get("interrupts")},
    }
    return encode(about)[:-1] + b',"values":', thread.encoded_values(), b"}"


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
