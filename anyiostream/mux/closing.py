"""`Closings`: the ends of subgraphs whose scheduled work outlasts them, while the run goes on.

Rules:

- A closing waits for the scheduled work of its subgraph, and of those inside; then the hooks are called and the
  projections end. Inner scopes end before outer ones: the scope around a closing counts as busy until that is done.
- The run waits for all of them before its own end, if that is a good one. If it is not, or a scope around them ends
  with an error, they are cut short: transformers whose ending hook has not been called get the one for that outcome.
- Nothing but its own cancellation stops a closing. What a hook raises ends the run.
- Work is scheduled on the async lane only, so that the sync lane has no closings.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, final

import attrs

from anyiostream.channels.latch import Callback
from anyiostream.channels.producer import Producer, current_producer
from anyiostream.errors import HookStopped
from anyiostream.foreign import is_cancellation
from anyiostream.mux.ports import RunPort, SpawnedTask, TaskPort
from anyiostream.mux.scheduled import ScheduledWork
from anyiostream.mux.scope import Lineage, Scope
from anyiostream.outcome import Outcome

__all__ = ["Closings", "EndScope"]

EndScope = Callable[[Outcome], Coroutine[Any, Any, None]]
"""Ends a mux and its handle. If cancelled, it may be called again, and continues where it stopped."""


@final
@attrs.define(eq=False)
class Closing:
    """The end of one subgraph.

    Attributes:
        lineage: That of its scope.
        end: Ends it.
        name: What it is called in messages.
        task: The task that runs it.
        cut: Whether it has been cancelled, so that `finish` or `cut_short` ends the subgraph instead.
        held: Whether the scope around still waits for it.
    """

    lineage: Lineage
    end: EndScope
    name: str
    task: SpawnedTask | None = None
    cut: bool = False
    held: bool = True


@final
class Closings:
    """The closings of one run."""

    __slots__ = ("_left", "_port", "_scheduled")

    def __init__(self, port: RunPort, scheduled: ScheduledWork) -> None:
        self._port = port
        self._scheduled = scheduled
        self._left: dict[Lineage, Closing] = {}

    def begin(self, scope: Scope, end: EndScope, outcome: Outcome) -> None:
        """End a subgraph with `outcome` when its remaining scheduled work has ended, in a separate task."""
        tasks = self._port.task_port
        assert tasks is not None  # the subgraph has scheduled work
        namespace, lineage = scope.namespace, scope.lineage
        name = f"the end of subgraph {namespace[-1]!r}"
        closing = self._left[lineage] = Closing(lineage, end, name)
        context = tasks.context.copy()
        context.run(current_producer.set, Producer(name, self._port, scope=namespace, bounded=False))
        self._scheduled.hold(lineage[:-1])
        closing.task = tasks.spawn(lambda: self._run(closing, outcome, tasks), name, context)
        # If the task is cancelled before its first step, `_run` does not release it.
        closing.task.finished.park(Callback(lambda: self._release(closing)))

    def cut(self, lineage: Lineage) -> None:
        """Cancel those inside, for `finish` to end."""
        self._cut(self._inside(lineage))

    async def finish(self, lineage: Lineage, outcome: Outcome) -> None:
        """End with `outcome` what has been cut. If cancelled, it may be called again."""
        for closing in self._inside(lineage):
            await self._finish(closing, outcome)

    async def cut_short(self, lineage: Lineage, outcome: Outcome) -> None:
        """End this very subgraph now, and with `outcome`. Nothing if it has ended."""
        closing = self._left.get(lineage)
        if closing is not None:
            self._cut([closing])
            await self._finish(closing, outcome)

    # --- inside ---

    async def _run(self, closing: Closing, outcome: Outcome, tasks: TaskPort) -> None:
        try:
            if outcome.error is None:
                await self._scheduled.drain(closing.lineage, beside=True)
            if not closing.cut:
                await closing.end(outcome)
                self._left.pop(closing.lineage, None)
        except (Exception, KeyboardInterrupt, SystemExit) as exc:  # noqa: BLE001 -- the run ends with it
            tasks.interject(exc)
        except BaseException as exc:
            if closing.cut or not is_cancellation(exc):
                raise
            # As of scheduled work: the task was not cancelled.
            stopped = HookStopped(closing.name, type(exc).__name__)
            stopped.__cause__ = exc
            tasks.interject(stopped)
        finally:
            self._release(closing)

    def _inside(self, lineage: Lineage) -> list[Closing]:
        depth = len(lineage)
        return [each for each in self._left.values() if len(each.lineage) > depth and each.lineage[:depth] == lineage]

    def _cut(self, closings: list[Closing]) -> None:
        for closing in closings:
            closing.cut = True
            if closing.task is not None:
                closing.task.cancel()

    async def _finish(self, closing: Closing, outcome: Outcome) -> None:
        tasks = self._port.task_port
        if closing.task is not None and tasks is not None:
            await tasks.wait(closing.task.finished)
        await closing.end(outcome)
        self._left.pop(closing.lineage, None)

    def _release(self, closing: Closing) -> None:
        if closing.held:
            closing.held = False
            self._scheduled.release(closing.lineage[:-1])
