"""`Service`: the assistants, threads and connections of one server, and the task group that its runs live in."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, final

import anyio
from anyio.abc import TaskGroup

from anyiostream.remote.access import Access, Action, Authorize, authorized, check_thread_id
from anyiostream.remote.assistants import Assistant
from anyiostream.remote.commands import Command, GetTree, InputRespond, RunStart
from anyiostream.remote.limits import Limits
from anyiostream.remote.log import LogFactory
from anyiostream.remote.performing import perform
from anyiostream.remote.refusals import Refusal
from anyiostream.remote.thread import Job, Reader, Thread

__all__ = ["Caller", "Service"]

logger = logging.getLogger(__name__)


@final
class Caller:
    """Who makes a request.

    Attributes:
        headers: The request's headers, by lower-case name.
        client: The address it comes from.
    """

    __slots__ = ("client", "headers")

    def __init__(self, headers: Mapping[str, str], client: str | None) -> None:
        self.headers = headers
        self.client = client


@final
class Service:
    """What a server serves. `running` is entered for as long as it does.

    Attributes:
        assistants: Name -> graph.
        limits: How much it takes on.
        heartbeat: Seconds of silence after which a stream says that it is alive.
        closing: Whether it is being stopped.
    """

    def __init__(
        self,
        assistants: Mapping[str, Assistant],
        *,
        authorize: Authorize | None,
        limits: Limits,
        log: LogFactory,
        heartbeat: float,
    ) -> None:
        self.assistants: Final = assistants
        self.limits: Final = limits
        self.heartbeat: Final = heartbeat
        self.closing = False
        self._authorize = authorize
        self._make_log = log
        self._threads: OrderedDict[str, Thread] = OrderedDict()
        self._tasks: TaskGroup | None = None
        self._busy: set[Thread] = set()
        self._streams: set[anyio.CancelScope] = set()

    # --- its life ---

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """A block in which runs are run. At its end they are aborted, and nothing of them is alive after it."""
        async with anyio.create_task_group() as tasks:
            # Served once more, maybe in another event loop, it is a new server.
            self._threads.clear()
            self._tasks = tasks
            self.closing = False
            try:
                yield
            finally:
                self.close_streams()
                with anyio.CancelScope(shield=True):
                    with anyio.move_on_after(self.limits.shutdown) as grace:
                        await self._abort_all()
                    if grace.cancelled_caught:
                        logger.warning("runs took more than %s s to stop, and are cancelled", self.limits.shutdown)
                tasks.cancel_scope.cancel()

    def close_streams(self) -> None:
        """Accept nothing more, and end every stream so that its client connects again. Runs go on. Idempotent."""
        self.closing = True
        for scope in self._streams:
            scope.cancel()

    async def _abort_all(self) -> None:
        async with anyio.create_task_group() as aborting:
            for thread in self._busy:
                # The last one first, so that none begins when the one before it has been stopped.
                for job in reversed(thread.jobs):
                    aborting.start_soon(self._abort, thread, job)

    async def _abort(self, thread: Thread, job: Job) -> None:
        try:
            await thread.abort(job)
        except Exception:
            # Nobody waits for it; the other runs go on.
            logger.exception("run %s of thread %s did not stop well", job.run_id, thread.thread_id)

    # --- what clients ask for ---

    async def admit(
        self, caller: Caller, action: Action, thread_id: str | None = None, assistant_id: str | None = None
    ) -> str:
        """On whose behalf a request is made.

        Raises:
            Refusal: It is not allowed, or the server is being stopped (503).
        """
        if self.closing:
            raise Refusal("unknown_error", "the server is being stopped; connect again later.", status=503)
        owner = None
        if thread_id is not None:
            check_thread_id(thread_id)
            known = self._threads.get(thread_id)
            owner = None if known is None else known.owner
        access = Access(action, thread_id, owner, assistant_id, caller.headers, caller.client)
        return await authorized(self._authorize, access)

    def thread(self, thread_id: str, identity: str) -> Thread:
        """The thread of that id, which is made if there is none.

        Raises:
            Refusal: It is somebody else's, or there are too many.
        """
        thread = self.known_thread(thread_id, identity)
        if thread is None:
            self._make_room()
            log = self._make_log(thread_id, self.limits)
            thread = self._threads[thread_id] = Thread(thread_id, identity, log, self.limits, perform)
        return thread

    def known_thread(self, thread_id: str, identity: str) -> Thread | None:
        """The thread of that id, or `None`.

        Raises:
            Refusal: It is somebody else's.
        """
        thread = self._threads.get(thread_id)
        if thread is not None:
            if thread.owner != identity:
                raise Refusal("permission_denied", "this thread is somebody else's.", status=403)
            self._threads.move_to_end(thread_id)
        return thread

    def assistant(self, assistant_id: str) -> Assistant:
        """The assistant of that name.

        Raises:
            Refusal: There is none.
        """
        try:
            return self.assistants[assistant_id]
        except KeyError:
            raise Refusal("invalid_argument", "there is no such assistant.") from None

    async def execute(self, caller: Caller, thread_id: str, command: Command) -> dict[str, Any]:
        """Do what a command asks for, other than about subscriptions; its result.

        Raises:
            Refusal: And says why.
        """
        if isinstance(command, RunStart):
            identity = await self.admit(caller, "start", thread_id, command.assistant_id)
            assistant = self.assistant(command.assistant_id)
            self._check_runs()
            thread = self.thread(thread_id, identity)
            return {"run_id": self._begin(thread, thread.start(command, assistant)).run_id}
        if isinstance(command, InputRespond):
            identity = await self.admit(caller, "respond", thread_id)
            self._check_runs()
            # The protocol has nothing in this result; which run it is helps those who read on.
            return {"run_id": self._begin(*self._respond(thread_id, identity, command)).run_id}
        if isinstance(command, GetTree):
            identity = await self.admit(caller, "read", thread_id)
            found = self.known_thread(thread_id, identity)
            if found is None:
                raise Refusal("no_such_run", "there was no run on this thread yet.")
            return {"tree": found.tree.shown()}
        raise Refusal("not_supported", "subscriptions belong to a WebSocket, or to a stream of their own.")

    async def cancel(self, caller: Caller, thread_id: str, run_id: str, *, wait: bool) -> None:
        """Stop a run; with `wait`, return when nothing of it is alive.

        Raises:
            Refusal: It is not allowed, or there is no such run (404).
        """
        identity = await self.admit(caller, "abort", thread_id)
        thread = self.known_thread(thread_id, identity)
        job = None if thread is None else thread.find(run_id)
        if thread is None or job is None:
            raise Refusal("no_such_run", "there is no such run under way.", status=404)
        if wait:
            await thread.abort(job)
        else:
            assert self._tasks is not None
            self._tasks.start_soon(self._abort, thread, job)

    def check_connection(self, thread: Thread) -> None:
        """Refuse one more stream of `thread`. Called right before `connection`.

        Raises:
            Refusal: There are too many (429), or the thread was forgotten just now and begun anew (503).
        """
        if len(self._streams) >= self.limits.connections:
            raise Refusal("unknown_error", "there are too many connections; try again later.", status=429)
        if self._threads.setdefault(thread.thread_id, thread) is not thread:
            raise Refusal("unknown_error", "this thread has been begun anew; connect again.", status=503)

    @contextmanager
    def connection(self, thread: Thread, viewer: Reader) -> Generator[None]:
        """A block in which a stream to a viewer is open; it is cancelled when the server is being stopped."""
        with anyio.CancelScope() as scope:
            self._streams.add(scope)
            thread.viewers.add(viewer)
            try:
                yield
            finally:
                self._streams.discard(scope)
                thread.viewers.discard(viewer)
                thread.advanced()

    # --- inside ---

    def _respond(self, thread_id: str, identity: str, command: InputRespond) -> tuple[Thread, Job]:
        thread = self.known_thread(thread_id, identity)
        if thread is None:
            raise Refusal("no_such_run", "there was no run on this thread yet.")
        return thread, thread.respond(command)

    def _check_runs(self) -> None:
        if self._tasks is None:
            raise Refusal("unknown_error", "the server has not been started: its lifespan does not run.", status=503)
        if sum(len(thread.jobs) for thread in self._busy) >= self.limits.runs:
            raise Refusal("unknown_error", "there are too many runs; try again later.", status=429)

    def _begin(self, thread: Thread, job: Job) -> Job:
        assert self._tasks is not None
        if thread not in self._busy:
            self._busy.add(thread)
            self._tasks.start_soon(self._work, thread)
        return job

    async def _work(self, thread: Thread) -> None:
        try:
            await thread.work()
        except Exception:
            # A log that cannot be written ends its thread's runs, not the server.
            logger.exception("thread %s cannot go on", thread.thread_id)
        finally:
            self._busy.discard(thread)

    def _make_room(self) -> None:
        """Forget the thread that has been idle for longest, if there are too many."""
        if len(self._threads) < self.limits.threads:
            return
        for thread_id, thread in self._threads.items():
            if not thread.busy and not thread.viewers:
                del self._threads[thread_id]
                return
        raise Refusal("unknown_error", "there are too many threads; try again later.", status=429)
