"""Reading a run for an output, on each lane, until the run, its user or its output ends it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Final

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup, TaskStatus

from anyiostream import AnyioStreamError, AsyncGraphRunStream, GraphRunStream, PreparedRun, RunAborted
from anyiostream.cli.outcome import STOPPED, Outcome, Output, OutputClosed

__all__ = ["NotOpened", "watch", "watch_inline"]

REPORT: Final = 0.1
"""s between two looks at a run's statistics."""


class NotOpened(Exception):
    """A run could not be opened; the cause says why."""


async def watch(opening: PreparedRun, output: Output) -> Outcome:
    """Read a run on the async lane to its end. Ctrl-C stops it; a second one ends the process at once.

    Raises:
        NotOpened: The package refuses the graph, or a transformer.
    """
    outcome = Outcome()
    opened = False
    try:
        async with opening as run:
            opened = True
            async with anyio.create_task_group() as beside:
                await beside.start(_stop_on_interrupt, run, outcome, beside)
                beside.start_soon(_report, run, output)
                await _read(run, output, outcome)
                beside.cancel_scope.cancel()
            outcome.status = run.status
            if outcome.error is None and run.status in {"completed", "interrupted"}:
                outcome.output, outcome.interrupts = await run.output(), await run.interrupts()
    except Exception as exc:  # noqa: BLE001 -- told by the outcome
        _take(exc, outcome, opened=opened)
    return outcome


def watch_inline(opening: PreparedRun, output: Output) -> Outcome:
    """Read a run on the sync lane to its end; as `watch`."""
    outcome = Outcome()
    opened = False
    try:
        with opening as run:
            opened = True
            try:
                _read_inline(run, output)
            except KeyboardInterrupt:
                outcome.stopped = True
                run.abort()
            except OutputClosed:
                outcome.unread = True
            except Exception as exc:  # noqa: BLE001 -- told by the outcome
                outcome.error = exc
            if not outcome.stopped:
                outcome.status = run.status
            if outcome.error is None and outcome.status in {"completed", "interrupted"}:
                outcome.output, outcome.interrupts = run.output, run.interrupts
    except KeyboardInterrupt:
        # If it hit the graph itself, it is the graph's failure, and is raised again here.
        if not opened:
            raise
        outcome.stopped = True
    except Exception as exc:  # noqa: BLE001 -- told by the outcome
        _take(exc, outcome, opened=opened)
    return outcome


async def _read(run: AsyncGraphRunStream, output: Output, outcome: Outcome) -> None:
    """Read to the end. Raises nothing: the task group that it is called in would wrap it."""
    try:
        async for event in run:
            output.event(event)
            if output.backlog:
                await anyio.to_thread.run_sync(output.flush, abandon_on_cancel=True)
    except OutputClosed:
        outcome.unread = True
    except Exception as exc:  # noqa: BLE001 -- told by the outcome
        outcome.error = exc


def _read_inline(run: GraphRunStream, output: Output, clock: Callable[[], float] = time.monotonic) -> None:
    reported = clock()
    for event in run:
        output.event(event)
        if output.backlog:
            output.flush()
        now = clock()
        if now - reported >= REPORT:
            reported = now
            output.statistics(run.statistics())


async def _report(run: AsyncGraphRunStream, output: Output) -> None:
    while True:
        output.statistics(run.statistics())
        await anyio.sleep(REPORT)


async def _stop_on_interrupt(
    run: AsyncGraphRunStream,
    outcome: Outcome,
    beside: TaskGroup,
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    with anyio.open_signal_receiver(signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            if outcome.stopped:
                # The graph refuses to end, most likely in a thread of its own; nothing less would end the program.
                os._exit(STOPPED)
            outcome.stopped = True
            beside.start_soon(run.abort)


def _take(error: Exception, outcome: Outcome, *, opened: bool) -> None:
    """An error that left the run's block."""
    if not opened and isinstance(error, AnyioStreamError):
        raise NotOpened from error
    if outcome.error is None and not isinstance(error, RunAborted):
        outcome.error = error
        if not outcome.stopped:
            outcome.status = "failed"
