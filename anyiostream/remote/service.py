"""`Service`: the assistants, threads and connections of one server, and the task group that its runs live in."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, final

import anyio
from anyio.abc import TaskGroup

from anyiostream.remote.accepted import Accepted
from anyiostream.remote.access import Access, Action, Authorize, Caller, authorized, check_thread_id
from anyiostream.remote.answers import Answers
from anyiostream.remote.assistants import Assistant
from anyiostream.remote.commands import Command, GetState, GetTree, InputRespond, RunStart
from anyiostream.remote.containing import contained_tasks
from anyiostream.remote.health import Health
from anyiostream.remote.identity import CheckpointThread, ThreadKey, checkpoint_thread
from anyiostream.remote.intake import Intake
from anyiostream.remote.jobs import Begun, GoesOn, Job, not_draining
from anyiostream.remote.limits import Limits
from anyiostream.remote.lines import Lines
from anyiostream.remote.listing import Listing
from anyiostream.remote.metrics import reported, statistics
from anyiostream.remote.pulse import Pulse
from anyiostream.remote.refusals import Refusal, not_started, stopping
from anyiostream.remote.runner import Runner
from anyiostream.remote.store import Store, latencies_of, thread_key
from anyiostream.remote.streams import Streams
from anyiostream.remote.thread import Thread

__all__ = ["Service"]

ENDS_UNSAID: Final = 0.5
"""Seconds after which it is looked whether a run has ended of whose end the log has nothing to say."""


@final
class Service:
    """What a server serves. `running` is entered for as long as it does.

    Attributes:
        assistants: Name -> graph.
        limits: How much it takes on.
        pulse: When a stream has to say that it is alive.
        closing: Whether it is being stopped.
        store: Where threads live.
        streams: Those who read along.
        runner: What runs here.
        lines: The clients that it is sending something.
        answers: The large ones among that.
        intake: What they send.
    """

    def __init__(
        self,
        assistants: Mapping[str, Assistant],
        *,
        authorize: Authorize | None,
        operators: Collection[str] = (),
        limits: Limits,
        store: Store,
        heartbeat: float,
        checkpoint_thread: CheckpointThread = checkpoint_thread,
    ) -> None:
        self.assistants: Final = assistants
        self.limits: Final = limits
        self.pulse: Final = Pulse(heartbeat)
        self.closing = False
        self._authorize = authorize
        owned = authorize is not None
        self.store: Final = store
        self.streams: Final = Streams(limits, owned=owned)
        cut, cut_all_of = self.streams.cut, self.streams.cut_all_of
        self.runner: Final = Runner(
            store, assistants, limits, checkpoint_thread, owned=owned, gone=cut, erased=cut_all_of
        )
        self._operators = operators
        self._health: Health | None = None
        self._tasks: TaskGroup | None = None
        self.answers: Final = Answers(limits, owned=owned)
        self.lines = Lines(limits.send)
        self.intake = Intake(limits, owned=owned)

    # --- its life ---

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """A block in which runs are run: those that were left unfinished, and what clients ask for.

        At its end, runs that can go on from their checkpoints are left to the store's next server; the others are
        aborted. Nothing of them is alive after it.

        Raises:
            StoreUnfit: The store cannot be used.
            StoreInUse: Another server uses it.
        """
        with contained_tasks():
            async with self._running():
                yield

    @asynccontextmanager
    async def _running(self) -> AsyncGenerator[None]:
        async with self.runner.running() as tasks:
            self._tasks = tasks
            self.closing = False
            self.lines = Lines(self.limits.send)
            self.intake = Intake(self.limits, owned=self._authorize is not None)
            read = partial(statistics, self.runner, self.streams, self.intake)
            self._health = Health(
                self.store, self.runner.fleet, authorize=self._authorize, operators=self._operators, statistics=read
            )
            tasks.start_soon(self.lines.watch)
            tasks.start_soon(self._health.run)
            tasks.start_soon(self.pulse.run, self.streams.readers)
            try:
                with reported(read, latencies_of(self.store)):
                    yield
            finally:
                self.close_streams()
                self._tasks = self._health = None

    def close_streams(self) -> None:
        """Accept nothing more, and end every stream so that its client connects again. Runs go on. Idempotent."""
        self.closing = True
        self.runner.close()
        self.lines.hurry()
        self.streams.cut_all()

    # --- what clients ask for ---

    async def admit(
        self,
        caller: Caller,
        action: Action,
        thread_id: str | None = None,
        assistant_id: str | None = None,
        steers: frozenset[str] = frozenset(),
    ) -> str:
        """On whose behalf a request is made. While a server is stopped, others that share its store do what it accepts.

        Raises:
            Refusal: It is not allowed, or the server is being stopped (503).
        """
        if self.closing and not self.runner.others_run:
            raise stopping()
        if thread_id is not None:
            check_thread_id(thread_id)
        access = Access(action, thread_id, assistant_id, caller.headers, caller.client, steers)
        return await authorized(self._authorize, access)

    async def thread(self, thread_id: str, identity: str) -> Thread:
        """This owner's thread of that id, which is made if there is none.

        Raises:
            Refusal: There are too many.
        """
        return await self.runner.thread(ThreadKey(identity, thread_id))

    async def known_thread(self, thread_id: str, identity: str) -> Thread | None:
        """This owner's thread of that id, or `None`. Other owners' threads of that id do not count."""
        return await self.runner.find(ThreadKey(identity, thread_id))

    @property
    def listing(self) -> Listing:
        """Lists an owner's threads, wherever they are run."""
        return self.runner.listing

    async def erase(self, thread: Thread) -> None:
        """Forget a thread that has no run, with its log. Its viewers connect again, to a new one of that name."""
        self.runner.threads.drop(thread)
        self.streams.cut(thread)
        await self.store.erase(thread.log.key)

    def assistant(self, assistant_id: str) -> Assistant:
        """The assistant of that name.

        Raises:
            Refusal: There is none.
        """
        try:
            return self.assistants[assistant_id]
        except KeyError:
            raise Refusal("invalid_argument", "there is no such assistant.") from None

    async def execute(
        self, caller: Caller, thread_id: str, command: Command, once: str | None = None
    ) -> dict[str, Any]:
        """Do what a command asks for, other than about subscriptions; its result.

        Args:
            caller: Who sends it.
            thread_id: For which thread.
            command: What is to be done.
            once: Identifies a command that starts a run, if it is sent again.

        Raises:
            Refusal: It cannot be done; the text says why.
        """
        if isinstance(command, RunStart | InputRespond):
            return await self._run(caller, thread_id, command, once)
        if isinstance(command, GetTree):
            identity = await self.admit(caller, "read", thread_id)
            found = await self.known_thread(thread_id, identity)
            if found is None:
                raise Refusal("no_such_run", "this thread has not had a run yet.")
            return {"tree": found.tree.shown()}
        if isinstance(command, GetState):
            return await self._state(thread_id, await self.admit(caller, "read", thread_id), command)
        raise Refusal("not_supported", "subscriptions need a WebSocket, or a stream of their own.")

    async def cancel(
        self, caller: Caller, thread_id: str, run_id: str, *, wait: bool, drain: bool = False
    ) -> dict[str, Any]:
        """Stop a run, at once or at the end of its step (`drain`).

        Returns when the store knows, so that no server goes on with the run should this one die; with `wait`, when
        nothing of it is alive, or when it has had `Limits.shutdown` for that.

        Returns:
            With `wait`, whether it has `stopped`, and the names of its nodes that are still `running`: synchronous ones
            cannot be stopped, and others may refuse to.

        Raises:
            Refusal: It is not allowed, there is no such run (404), or its graph cannot be drained.
            StoreFailed: The store does not know. The run is stopped here all the same, but may be gone on with.
        """
        identity = await self.admit(caller, "abort", thread_id)
        thread = await self.known_thread(thread_id, identity)
        found = None if thread is None else thread.find(run_id)
        if thread is None or found is None:
            if thread is not None and (stopped := thread.stopped_before(run_id)) is not None:
                await thread.log.cancel(stopped.place)  # whoever has stopped it may not have been answered yet
            raise Refusal("no_such_run", "no such run is under way.", status=404)
        if drain and (cannot := found.not_draining) is not None:
            raise not_draining(cannot)
        here = self.runner.find_job(thread, run_id)
        await self.stop(thread, [found], drain=drain)
        if not wait:
            return {}
        return await (self._ended_elsewhere(thread, found) if here is None else self._ended_here(here[1]))

    async def stop(self, thread: Thread, jobs: Sequence[Job], *, drain: bool) -> None:
        """Stop runs of a thread, at once or at the end of their step; return when the store knows.

        Raises:
            StoreFailed: It does not know of all of them. Those that are run here are stopped all the same.
        """
        assert self._tasks is not None
        # The last one first, so that none begins when the one before it has been stopped.
        here = [self.runner.find_job(thread, job.run_id) for job in reversed(jobs)]
        for found in here:
            if found is not None and not drain:
                # The caller may leave, and the run is stopped all the same.
                self._tasks.start_soon(self.runner.workload.abort, *found)
        for job, found in zip(reversed(jobs), here, strict=True):
            if found is not None and drain:
                await found[0].drain(found[1])
            else:
                await thread.log.cancel(job.place, drain=drain)

    async def _ended_here(self, job: Job) -> dict[str, Any]:
        with anyio.move_on_after(self.limits.shutdown):
            await job.done.wait()
        tasks = sorted(set(job.tasks.values()))
        stopped = job.done.is_set() and job.assistant is not None
        running = job.assistant.left_running(tasks) if job.assistant is not None and stopped else tasks
        return {"stopped": job.done.is_set() and not running, "running": running}

    async def _ended_elsewhere(self, thread: Thread, job: Job) -> dict[str, Any]:
        """Of a run that another server has. Only that one knows its nodes.

        It is over when its command has left the inbox; one that others are before will not be run.
        """
        with anyio.move_on_after(self.limits.shutdown):
            thread = await self.runner.thread(thread.key)
            while True:
                last = thread.log.last  # before it is looked at: what is written meanwhile may be the end
                standing = await self.store.look(thread.log.key)
                if standing is None or not standing.inbox or standing.inbox[0].place != job.place:
                    break
                with anyio.move_on_after(ENDS_UNSAID):
                    await thread.log.wait(last)
            return {"stopped": True, "running": []}
        return {"stopped": False, "running": []}

    def check_connection(self, thread: Thread, *, begun: bool = False) -> None:
        """Refuse one more stream of `thread`. Called right before `streams.to_viewer`.

        The stream of a run that the same request has `begun` is refused for a full server by `check_room` only.

        Raises:
            Refusal: There are too many (429), the thread was forgotten just now and restarted, or the server is being
                stopped (503).
        """
        if self.closing:
            raise stopping()
        if not begun:
            self.streams.check(thread.owner)
        if not self.runner.is_shown(thread):
            raise Refusal("unknown_error", "this thread has been restarted; connect again.", status=503)

    def check_room(self, owner: str) -> None:
        """Refuse one more stream, before a run is begun whose stream it would be: its client will ask once more.

        Raises:
            Refusal: There are too many (429), or the server is being stopped (503).
        """
        if self.closing:
            raise stopping()
        self.streams.check(owner)

    async def unready(self) -> str | None:
        """Why runs and streams are not accepted; `None` if they are. Takes a second at most.

        They are if its lifespan runs, it is not being stopped, it has its lease, and the store has answered a write.
        """
        if self._health is None:
            return "its lifespan is not running"
        return "it is being stopped" if self.closing else await self._health.unready()

    async def observed(self, caller: Caller) -> dict[str, Any]:
        """What the server counts of itself, for its operators, also while it is being stopped.

        Raises:
            Refusal: The caller is none (401, 403), or the server has not been started (503).
        """
        if self._health is None:
            raise not_started()
        return await self._health.observed(caller)

    # --- inside ---

    async def _run(
        self, caller: Caller, thread_id: str, command: RunStart | InputRespond, once: str | None
    ) -> dict[str, Any]:
        """Accept a run; the command's result. A command that was accepted before gets the same run."""
        if isinstance(command, RunStart):
            identity = await self.admit(caller, "start", thread_id, command.assistant_id)
        else:
            identity = await self.admit(caller, "respond", thread_id, steers=command.steers)
        try:
            return await self._accept(caller, ThreadKey(identity, thread_id), command, once)
        except Refusal:
            if once is None or self._tasks is None:
                raise
            reply = await self.store.recall(thread_key(identity, thread_id), once, within=self.limits.repeat)
            if reply is None:
                raise
            return {"run_id": reply.decode()}

    async def _state(self, thread_id: str, identity: str, command: GetState) -> dict[str, Any]:
        thread = await self.known_thread(thread_id, identity)
        if thread is None:
            raise Refusal("no_such_run", "this thread has not had a run yet.")
        if command.namespace:
            raise Refusal("no_such_namespace", "only the state of the outermost graph is kept.")
        state = thread.state()
        if command.keys is not None and isinstance(state["values"], dict):
            state["values"] = {key: state["values"][key] for key in command.keys if key in state["values"]}
        return state

    async def _accept(
        self, caller: Caller, key: ThreadKey, command: RunStart | InputRespond, once: str | None
    ) -> dict[str, Any]:
        if self._tasks is None:
            raise not_started()
        await self.runner.check_runs(key.owner)
        with self.runner.accepting(key.owner):
            if isinstance(command, RunStart):
                assistant = self.assistant(command.assistant_id)
                thread = await self.runner.to_start(key)
                accept = partial(self._start, caller, thread, command, assistant, once)
            else:
                found = await self.runner.find(key)
                if found is None:
                    raise Refusal("no_such_run", "this thread has not had a run yet.")
                thread = found
                accept = partial(thread.respond, command, once)
            begun = await accept()
            self.runner.claims.accepted(thread)
        # The run of a command that was accepted before may have begun; it is not known here where.
        return {"run_id": begun.run_id} if begun.after is None else Accepted(thread, begun.run_id, begun.after)

    async def _start(
        self, caller: Caller, thread: Thread, command: RunStart, assistant: Assistant, once: str | None
    ) -> Begun:
        """Start a run. Whoever goes on where the graph waits for its user has to be allowed to respond."""
        try:
            return await thread.start(command, assistant, once, goes_on=False)
        except GoesOn:
            identity = await self.admit(caller, "respond", thread.thread_id, command.assistant_id)
            if identity != thread.owner:
                raise Refusal("permission_denied", "this thread waits for somebody else.", status=401) from None
        return await thread.start(command, assistant, once)
