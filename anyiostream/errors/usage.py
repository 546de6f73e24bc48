"""A run, or what belongs to it, used at the wrong time, in the wrong place, or on the wrong lane."""

from __future__ import annotations

from anyiostream.errors.root import ProgrammingError

__all__ = [
    "CannotDrain",
    "ForeignAwait",
    "ForeignExit",
    "NotAwaited",
    "RunBusy",
    "RunClosed",
    "RunNotEntered",
    "RunReentered",
    "RunWaitsForItself",
    "WriterClosed",
    "WrongLane",
]


class RunClosed(ProgrammingError, RuntimeError):
    """A new cursor was asked of a run whose block has been left."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"cannot subscribe to {what}: the run's block has been left. Open cursors inside the block; "
            "output(), status and finished messages stay readable after it."
        )


class CannotDrain(ProgrammingError, RuntimeError):
    """Something was asked to stop at the end of its step that can only be stopped at once."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what} cannot be asked to stop at the end of a step: {remedy}")


class RunReentered(ProgrammingError, RuntimeError):
    """One `open_run(...)` object was entered twice."""

    def __init__(self) -> None:
        super().__init__(
            "this open_run(...) has been entered already, and one object is one run. Call open_run(...) again."
        )


class RunNotEntered(ProgrammingError, TypeError, AttributeError):
    """An `open_run(...)` object was used as if it were the run that entering it gives."""

    def __init__(self, used: str) -> None:
        super().__init__(
            f"open_run(...) {used}: it is a context manager, and entering it gives the run. Write "
            "`async with open_run(...) as run:` (no await before open_run), or where there is no event loop "
            "`with open_run(...) as run:`, and use `run` inside the block."
        )


class NotAwaited(ProgrammingError, TypeError, AttributeError):
    """The result of an async method was used before it was awaited."""

    def __init__(self, what: str, *, example: str = "") -> None:
        super().__init__(
            f"{what} has not been awaited, so there is no result yet: write `{example or f'await {what}'}`."
        )


class RunWaitsForItself(ProgrammingError, RuntimeError):
    """A hook or a scheduled task waits for the run that waits for it."""

    def __init__(self, waiter: str, target: str) -> None:
        super().__init__(
            f"{waiter} waits for {target} of its own run, which in turn waits for it to finish. "
            "Push what you know to a channel and let the application read it."
        )


class RunBusy(ProgrammingError, RuntimeError):
    """On the sync lane, a run was used while another thread was running its graph. Neither thread is harmed."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} was asked for while another thread runs the graph of this run. On the sync lane a run serves one "
            "thread at a time: read several projections in one thread with interleave(), hold a lock around each use, "
            "or open the run with `async with` and read it in tasks."
        )


class ForeignExit(ProgrammingError, RuntimeError):
    """On trio, a run's block was left in another task than it was entered in."""

    def __init__(self, entered: str, left: str) -> None:
        super().__init__(
            f"the run was entered in task {entered} but its block is being left in task {left}; trio forbids that, "
            "because a nursery belongs to one task. This is what happens when an async generator that holds "
            "`async with open_run(...)` around a `yield` is abandoned. The run has been cancelled. Close the "
            "generator with `async with contextlib.aclosing(...)`, or wrap it in `trio.as_safe_channel`."
        )


class WrongLane(ProgrammingError, TypeError):
    """Something of the async lane was used on the sync lane, or the other way round."""

    def __init__(self, what: str, bound_to: str, remedy: str) -> None:
        super().__init__(f"{what} is bound to {bound_to} mode: {remedy}")


class ForeignAwait(ProgrammingError, RuntimeError):
    """On the sync lane, a graph or a hook awaited something that needs an event loop."""

    def __init__(self, what: str, awaited: object) -> None:
        super().__init__(
            f"{what} awaited {type(awaited).__name__}, but the sync lane has no event loop: there it may await its "
            "writer only. Open the run with `async with open_run(...)`."
        )


class WriterClosed(ProgrammingError, RuntimeError):
    """A graph's writer was used after the graph, message, tool call or subgraph that it writes had ended."""

    def __init__(self, writer: str, ended: str) -> None:
        super().__init__(
            f"{writer} was used after {ended}, so nobody would read this. Await everything that writes before that: "
            "run it in a task group inside the block."
        )
