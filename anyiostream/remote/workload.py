"""`Workload`: the threads whose runs are run here, each by one task, and how these are stopped."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import final

import anyio
import attrs
from anyio.abc import TaskGroup

from anyiostream.remote.containing import done_apart, pass_on_own
from anyiostream.remote.jobs import Job
from anyiostream.remote.thread import Thread
from anyiostream.tooling import loggable

__all__ = ["Workload"]

logger = logging.getLogger(__name__)


@final
@attrs.define(eq=False)
class Work:
    """The task that runs what a thread has to run.

    Attributes:
        scope: Cancelled where another server has the thread.
        ended: Set when the task has ended, which sees to the thread after its runs.
    """

    scope: anyio.CancelScope = attrs.field(factory=anyio.CancelScope)
    ended: anyio.Event = attrs.field(factory=anyio.Event)


@final
class Workload:
    """What a server runs.

    Attributes:
        tasks: Where it is run; `None` while the server does not.
        leaving: Whether what has not begun is left to others.
    """

    def __init__(self) -> None:
        self.tasks: TaskGroup | None = None
        self.leaving = False
        self._works: dict[Thread, Work] = {}

    def __contains__(self, thread: object) -> bool:
        return thread in self._works

    @property
    def jobs(self) -> Iterable[tuple[str, int]]:
        """Owner and number of runs, of each thread that has any here."""
        return [(thread.owner, len(thread.jobs)) for thread in self._works]

    def running(self, key: str) -> Thread | None:
        """The thread of that name in the store, if its runs are run here."""
        return next((thread for thread in self._works if thread.log.key == key), None)

    def begin(self, thread: Thread, task: Callable[[Thread], Awaitable[None]]) -> None:
        """Run what a thread has to run, if that is not under way, in a task that calls `run`, and may do more.

        What comes when the server does not run any more is left to the store's next one.
        """
        if self.tasks is not None and thread.busy and thread not in self._works:
            if self.leaving:
                thread.leave()  # it was claimed when that began
            work = self._works[thread] = Work()
            self.tasks.start_soon(self._do, thread, work, task)

    async def run(self, thread: Thread) -> bool:
        """Run what a thread has to run until nothing is left; `False` if the thread was lost before. Raises its errors.

        Called by the task that `begin` has made for it.
        """
        try:
            with self._works[thread].scope as scope:
                while True:
                    async with thread.recorder.beside():
                        await thread.work()
                    if not thread.has_work:  # something may have come while that block was left
                        break
        finally:
            del self._works[thread]
        return not scope.cancelled_caught

    def lose(self, key: str | None) -> None:
        """Stop the runs of a thread that another server has, or of all."""
        for thread, work in self._works.items():
            if key is None or thread.log.key == key:
                thread.lost = True
                work.scope.cancel()

    def leave(self) -> None:
        """Begin nothing more, and let runs that can go on elsewhere stop at the end of their step."""
        self.leaving = True
        for thread in self._works:
            thread.leave()

    async def wait(self) -> None:
        """Wait until nothing runs."""
        while self._works:
            await next(iter(self._works.values())).ended.wait()

    async def abort_all(self) -> None:
        """Stop the runs that cannot go on elsewhere."""
        async with anyio.create_task_group() as aborting:
            for thread in self._works:
                # The last one first, so that none begins when the one before it has been stopped.
                for job in reversed(thread.jobs):
                    if not thread.can_go_on(job):
                        aborting.start_soon(self.abort, thread, job)

    async def abort(self, thread: Thread, job: Job) -> None:
        """Stop a run that is run here. Its errors are its own."""
        try:
            await thread.abort(job)
        except BaseException as exc:
            await pass_on_own(exc, f"run {job.run_id} of thread {thread.thread_id}")
            # The other runs go on.
            logger.warning(
                "run %s of thread %s failed while it was stopped", job.run_id, thread.thread_id, exc_info=loggable(exc)
            )
            await job.done.wait()

    async def _do(self, thread: Thread, work: Work, task: Callable[[Thread], Awaitable[None]]) -> None:
        try:
            await done_apart(f"thread {thread.thread_id}", task, thread)
        finally:
            work.ended.set()
