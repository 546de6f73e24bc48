"""What one run of the battery leaves behind: the trace of its events, and the facts that the invariants are about."""

from __future__ import annotations

import asyncio
import hashlib
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, TypeVar

import anyio
import attrs
from anyio.lowlevel import checkpoint

from anyiostream.testing import Cancellation, StepWatch, at_suspension, at_time, at_turn
from anyiostream.tooling import on_trio

from .agents import AGENTS
from .faults import FAULTS, Fault, InjectedError
from .scenarios import Options, Scenario

__all__ = ["Reader", "World"]

T = TypeVar("T")

FAN_OUT: Final = 24
"""More items than any event of the scripts fans out to, over all channels and branches."""

NESTED: Final = 2
"""Subgraphs of the scripts that are open at a time."""

SIDE_BY_SIDE: Final = 3
"""The same where an agent calls others at once."""

End = Literal["", "end", "error", "left", "cancelled"]


@attrs.define(eq=False)
class Reader:
    """One reader of one projection, and what became of it.

    Attributes:
        name: Of the projection; `"events"` is the raw log.
        path: Names of the subgraphs that lead to it.
        items: What it got.
        end: How its reading ended.
        error: The exception that it got.
        frames: Frames of that exception's traceback.
        again: What it got when it asked once more after the end.
    """

    name: str
    path: tuple[str, ...] = ()
    items: list[Any] = attrs.field(factory=list)
    end: End = ""
    error: BaseException | None = None
    frames: int = 0
    again: str = ""
    steps: StepWatch[Any] | None = None
    streak: int = 0
    _suspensions: int = -1

    def stepwise(self, awaitable: Awaitable[T]) -> StepWatch[T]:
        """Await something and know how often it has suspended."""
        self.steps = at_suspension(awaitable, 0, lambda: None)
        self._suspensions = -1
        return self.steps

    def count(self) -> int:
        """One more item; how many there were since the reader last let others run."""
        if self.steps is not None:
            if self.steps.suspensions != self._suspensions:
                self._suspensions = self.steps.suspensions
                self.streak = 0
            self.streak += 1
        return self.streak

    def failed(self, error: BaseException) -> None:
        """It got an exception."""
        self.end = "error"
        self.error = error
        self.frames = 0
        traceback = error.__traceback__
        while traceback is not None:
            self.frames += 1
            traceback = traceback.tb_next


async def strikes_now() -> bool:
    """Whether a cancellation that came too late for what the task awaited is still to come. It comes here, then."""
    task = None if on_trio() else asyncio.current_task()
    if task is None or not task.cancelling():
        return False
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        task.uncancel()
        return True
    return False


@attrs.define(eq=False)
class World:
    """One run.

    Attributes:
        landed: Whether the fault has struck.
        injected: The exceptions that were raised on purpose.
        readers: All readers.
        outputs: What each call of `output()` gave: (how, value or exception, how the run stood then).
        witnesses: All transformers of the battery, over all scopes.
        violations: (invariant, what happened), found on the way.
        inserted: An extra part that the source gave, or `None`.
        peaks: (channel, most items buffered, bound).
        outbox: The most items that were seen to wait in the event's outbox.
        left: What was alive after the block.
        left_with: What the block raised.
        status: How the run stood after the block.
        works: Scheduled coroutines: begun, and ended by themselves.
        open_subgraphs: Subgraphs open after the block.
        generators: The async generators that have begun on an asyncio loop.
        dropped: Those that were collected before their end.
    """

    scenario: Scenario
    fault: Fault = attrs.field(init=False)
    options: Options = attrs.field(init=False)
    run: Any = None
    landed: bool = False
    injected: list[BaseException] = attrs.field(factory=list)
    readers: list[Reader] = attrs.field(factory=list)
    outputs: list[tuple[str, Any, str]] = attrs.field(factory=list)
    witnesses: list[Any] = attrs.field(factory=list)
    violations: list[tuple[str, str]] = attrs.field(factory=list)
    inserted: Any = None
    peaks: list[tuple[str, int, float]] = attrs.field(factory=list)
    outbox: int = 0
    left: list[str] = attrs.field(factory=list)
    left_with: BaseException | None = None
    status: str = ""
    works: list[int] = attrs.field(factory=lambda: [0, 0])
    open_subgraphs: int = 0
    handles: list[Any] = attrs.field(factory=list)
    generators: list[weakref.ref[Any]] = attrs.field(factory=list)
    dropped: list[Any] = attrs.field(factory=list)
    late_frames: list[int] = attrs.field(factory=list)
    feed: Any = None
    outer: Cancellation | None = None
    cancelled: set[str] = attrs.field(factory=set)
    raised_at: int | None = None
    alarm: Any = None
    stall_said: bool = False
    stuck: bool = False
    _trace: Any = attrs.field(factory=lambda: hashlib.blake2b(digest_size=12))
    _taken: set[str] = attrs.field(factory=set)
    lines: list[str] | None = None

    def __attrs_post_init__(self) -> None:
        self.fault = FAULTS[self.scenario.fault]
        self.options = self.scenario.options

    @property
    def comes_back(self) -> bool:
        """Whether those who are cancelled take up again what they did."""
        return self.options.target % 4 != 3

    @property
    def k(self) -> int:
        return self.scenario.k

    # --- the trace ---

    def note(self, *what: object) -> None:
        """Something has happened that an application can see."""
        line = " ".join(map(str, what))
        self._trace.update(line.encode())
        self._trace.update(b"\n")
        if self.lines is not None:
            self.lines.append(line)

    @property
    def trace(self) -> str:
        """The trace so far, hashed."""
        return self._trace.copy().hexdigest()

    def open_generators(self) -> set[str]:
        """The async generators of asyncio's loops that have begun and not ended."""
        known = [*(each() for each in self.generators), *self.dropped]
        return {
            f"generator {each.__qualname__} {id(each)}"
            for each in known
            if each is not None and each.ag_frame is not None
        }

    def violated(self, invariant: str, what: str) -> None:
        """An invariant does not hold."""
        self.violations.append((invariant, what))

    # --- the fault ---

    def land(self) -> None:
        """The fault strikes now."""
        if not self.landed:
            self.landed = True
            self.note("fault")

    def inject(self, error: BaseException) -> BaseException:
        """An exception to raise on purpose."""
        self.land()
        self.injected.append(error)
        return error

    def error(self) -> BaseException:
        """As `inject`, a plain one."""
        return self.inject(InjectedError("injected"))

    def strikes(self, role: str, number: int, count: int) -> bool:
        """Whether the fault strikes the one of `count` players of a role that has this number."""
        return bool(self.fault.cancels == role) and self.options.target % count == number

    async def play(self, role: str, call: Callable[[], Awaitable[T]], *, struck: bool = True) -> tuple[bool, T | None]:
        """Await `call()`; the fault may cancel it. Whether it did, and the result."""
        fault = self.fault
        if not struck or fault.cancels != role or role in self._taken:
            return False, await call()
        self._taken.add(role)
        cancellation = Cancellation(fault.means)

        thrown: list[BaseException] = []

        def strike() -> None:
            before = cancellation.requested
            cancellation.cancel()
            if cancellation.requested and not before:
                thrown.extend(watch[0].thrown)
                self.cancelled.add(role)
                self.land()

        watch: list[StepWatch[T]] = []

        def watched() -> StepWatch[T]:
            made = at_suspension(call(), self.k if fault.at == "suspension" else 0, strike)
            watch.append(made)
            return made

        if role == "outer":
            self.outer = cancellation
        if fault.at == "turn":
            at_turn(self.k, strike)
        elif fault.at == "time":
            at_time(self.k * 0.004, strike)
        result = await cancellation.run(watched)
        survived = cancellation.requested and len(watch[0].thrown) > len(thrown) and not cancellation.caught
        if survived and not await strikes_now():
            self.violated("I10", f"the cancellation of {role} was swallowed")
        return cancellation.caught, result

    async def pause(self) -> None:
        """Let the others run, or let time pass."""
        if self.options.sleeps:
            await anyio.sleep(0.005)
        else:
            await checkpoint()

    # --- what is measured on the way ---

    def sample(self) -> None:
        """Look at the run's figures."""
        if self.run is None:
            return
        figures = self.run.statistics()
        self.outbox = max(self.outbox, figures.outbox)
        if figures.outbox > FAN_OUT:
            self.violated("I3", f"{figures.outbox} items of one event wait")
        if figures.subgraphs > (SIDE_BY_SIDE if self.scenario.source in AGENTS else NESTED):
            self.violated("I13", f"{figures.subgraphs} subgraphs are open at a time")
        for name, channel in figures.channels.items():
            if channel.depth > channel.maxlen or channel.peak > channel.maxlen:
                self.violated("I3", f"{name} holds {channel.depth}, held {channel.peak}, of {channel.maxlen:g}")

    def measure(self, stream: Any) -> None:
        """Keep the figures of a run's, or a handle's, channels."""
        for name, channel in stream.statistics().channels.items():
            self.peaks.append((name, channel.peak, channel.maxlen))
            if channel.peak > channel.maxlen:
                self.violated("I3", f"{name} held {channel.peak} of {channel.maxlen:g}")
