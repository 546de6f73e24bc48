"""The faults, as rows of one table. What a row's fields mean is done in `world`, `roles`, `sources` and `witnesses`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal

import attrs

from anyiostream import parts
from anyiostream.testing import Means

__all__ = ["ALL_SOURCES", "ASYNC_LOOPS", "FAULTS", "Fault", "InjectedError"]

ASYNC_LOOPS: Final = ("asyncio", "trio", "debug", "uvloop")
ON_ASYNCIO: Final = ("asyncio", "debug", "uvloop")
IN_VIRTUAL_TIME: Final = ("asyncio", "trio")
EVERYWHERE: Final = (*ASYNC_LOOPS, "sync")

SCRIPTED: Final = ("generator", "iterator", "iterable", "function")
"""Sources whose parts are those of the script, one by one."""

HOSTED: Final = ("generator", "iterator", "function", "writer")
"""Sources that may wait."""

AGENTS: Final = ("pydantic-ai", "openai-agents")
"""Agents of other frameworks, whose models and tools wait."""

ALL_SOURCES: Final = (*SCRIPTED, "writer", "langgraph", *AGENTS)


class InjectedError(Exception):
    """What fails on purpose, fails with this."""


@attrs.frozen
class Fault:
    """One way in which something goes wrong.

    Attributes:
        name: What it is called.
        family: Which line of the report it belongs to.
        statuses: How the run may have ended if it landed.
        loops: Where it can happen.
        sources: To which sources.
        swept: Whether `k` means something: otherwise there is only `k = 1`.
        cancels: The role that is cancelled at its `k`-th step: `reader`, `output`, `aborter`, `scheduled` or `outer`.
        means: How.
        at: Of what the `k`-th is meant: suspensions of the role, turns of the loop, or ticks of the clock.
        raises: What the source raises in place of its `k`-th part.
        source: What else the source does wrong.
        hook: The transformer's hook that does wrong, at its `k`-th call.
        does: What the hook, or the scheduled work, does.
        on_error: How scheduled work was scheduled.
        reader: What one of the readers does, after `k` items.
        aborts: When the run is aborted.
        around: What happens beside the run.
        part: What the source gives as its `k`-th part.
        leaves_at: Virtual time, in s, at which the application loses patience and leaves.
    """

    name: str
    family: str
    statuses: frozenset[str] = frozenset({"completed"})
    loops: tuple[str, ...] = ASYNC_LOOPS
    sources: tuple[str, ...] = ALL_SOURCES
    swept: bool = True
    cancels: str = ""
    means: Means = "scope"
    at: Literal["suspension", "turn", "time"] = "suspension"
    raises: type[BaseException] | None = None
    source: str = ""
    hook: str = ""
    does: str = ""
    on_error: Literal["log", "raise"] = "raise"
    reader: str = ""
    aborts: str = ""
    around: str = ""
    part: Callable[[], Any] | None = None
    leaves_at: float | None = None


COMPLETED: Final = frozenset({"completed"})
FAILED: Final = frozenset({"failed"})
ABORTED: Final = frozenset({"aborted"})
OVER: Final = frozenset({"completed", "aborted"})
PATIENCE: Final = 100.0


def cancellations() -> Iterator[Fault]:
    """Each role, at each step, by each means."""
    for role in ("reader", "output", "aborter", "scheduled", "outer"):
        statuses = {"aborter": OVER, "outer": OVER}.get(role, COMPLETED)
        for means in ("scope", "task", "deadline"):
            for at in ("suspension", "turn") + (("time",) if role == "reader" else ()):
                yield Fault(
                    f"cancel-{role}-by-{means}-at-{at}",
                    f"cancel {role} by {means}",
                    statuses,
                    ON_ASYNCIO if means == "task" else ASYNC_LOOPS,
                    # Agents make no custom items, for which work is scheduled.
                    (*SCRIPTED, "writer", "langgraph") if role == "scheduled" else ALL_SOURCES,
                    cancels=role,
                    means=means,
                    at=at,
                )


def raising_sources() -> Iterator[Fault]:
    """The source raises in place of each part."""
    for error in (InjectedError, asyncio.CancelledError, KeyboardInterrupt, SystemExit, StopIteration):
        wild = error is not InjectedError
        # Nodes of LangGraph run in tasks of its own, which have ideas of their own of such exceptions.
        yield Fault(
            f"source-raises-{error.__name__}",
            f"source raises {error.__name__}",
            FAILED,
            EVERYWHERE,
            sources=(*SCRIPTED, "writer") if wild else ALL_SOURCES,
            raises=error,
        )


def bad_sources() -> Iterator[Fault]:
    """The source hangs, does not listen, or fails to close."""
    yield Fault(
        "source-never-yields",
        "source never yields",
        ABORTED,
        IN_VIRTUAL_TIME,
        (*HOSTED, *AGENTS),
        source="hangs",
        leaves_at=PATIENCE,
    )
    yield Fault(
        "source-ignores-cancellation",
        "source ignores cancellation",
        ABORTED,
        IN_VIRTUAL_TIME,
        (*HOSTED, *AGENTS),
        source="ignores cancellation",
        leaves_at=PATIENCE,
    )
    yield Fault(
        "source-ignores-cancellation-long",
        "source ignores cancellation",
        ABORTED,
        IN_VIRTUAL_TIME,
        (*HOSTED, *AGENTS),
        source="ignores cancellation long",
        leaves_at=PATIENCE,
    )
    yield Fault(
        "source-raises-in-closing",
        "source raises in closing",
        frozenset({"aborted", "completed", "failed"}),
        sources=("generator", "iterable", "function", "writer", *AGENTS),
        source="raises in closing when left",
        cancels="outer",
        at="turn",
    )
    yield Fault(
        "source-raises-at-its-close",
        "source raises in closing",
        FAILED,
        EVERYWHERE,
        ("generator", "iterator", "iterable", "function", "writer", *AGENTS),
        swept=False,
        source="raises in closing",
    )


def bad_hooks() -> Iterator[Fault]:
    """Each hook of a transformer raises, hangs, or re-enters the run."""
    sync, both = ("process", "finalize", "fail"), ("aprocess", "afinalize", "afail")
    for hook in (*sync, *both):
        fails = hook.endswith("fail")
        yield Fault(
            f"{hook}-raises",
            f"{hook} raises",
            FAILED,
            EVERYWHERE if hook in sync else ASYNC_LOOPS,
            swept=not hook.endswith("finalize"),
            hook=hook,
            does="raises",
            raises=InjectedError if fails else None,
            sources=SCRIPTED if fails else ALL_SOURCES,
        )
    for hook in both:
        fails = hook == "afail"
        for does in ("hangs", "re-enters"):
            statuses = ABORTED if does == "hangs" and not fails else FAILED
            yield Fault(
                f"{hook}-{does}",
                f"{hook} {does}",
                statuses,
                IN_VIRTUAL_TIME,
                swept=hook != "afinalize",
                hook=hook,
                does=does,
                raises=InjectedError if fails else None,
                sources=SCRIPTED if fails else ALL_SOURCES,
                leaves_at=PATIENCE if does == "hangs" else None,
            )
    yield Fault("init-raises", "init raises", frozenset(), EVERYWHERE, swept=False, hook="init", does="raises")


def bad_work() -> Iterator[Fault]:
    """Scheduled work goes wrong."""
    scripted = (*SCRIPTED, "writer")
    for does in ("fails early", "fails late", "reads the run"):
        for on_error in ("raise", "log"):
            yield Fault(
                f"scheduled-{does.replace(' ', '-')}-{on_error}",
                f"scheduled work {does}",
                FAILED if on_error == "raise" else COMPLETED,
                sources=scripted,
                does=does,
                on_error=on_error,
            )
    yield Fault(
        "scheduled-never-ends", "scheduled work never ends", ABORTED, IN_VIRTUAL_TIME, scripted, does="never ends",
        leaves_at=PATIENCE,
    )  # fmt: skip
    yield Fault(
        "scheduled-schedules-itself", "scheduled work schedules itself", COMPLETED, sources=scripted,
        does="schedules itself",
    )  # fmt: skip


def bad_readers() -> Iterator[Fault]:
    """A reader leaves after `k` items, is slow, has deadlines, or reads two cursors in turn."""
    for how in ("break", "return", "exception", "collected"):
        yield Fault(f"reader-leaves-by-{how}", f"reader leaves by {how}", COMPLETED, EVERYWHERE, reader=how)
    yield Fault("reader-slow", "reader is slow", COMPLETED, swept=False, reader="slow")
    yield Fault("reader-with-deadlines", "reader has a deadline per item", COMPLETED, reader="deadlines")
    yield Fault(
        "reader-in-turn",
        "one task reads two cursors in turn",
        COMPLETED,
        (*IN_VIRTUAL_TIME, "sync"),
        swept=False,
        reader="in turn",
    )


def aborting() -> Iterator[Fault]:
    """`abort()` at a bad moment."""
    for when in ("pull", "push", "close", "abort", "turn", "inside"):
        yield Fault(
            f"abort-in-{when}",
            f"abort in {when}",
            OVER,
            ASYNC_LOOPS,
            sources=("generator", "iterator", "function", "writer")
            if when in ("pull", "inside", "close")
            else ALL_SOURCES,
            swept=when != "close",
            aborts=when,
        )
    yield Fault("abort-between-items", "abort between items", OVER, ("sync",), aborts="item")


def surroundings() -> Iterator[Fault]:
    """Other runs, other tasks."""
    yield Fault("nested-run", "nested run", COMPLETED, EVERYWHERE, around="nested run")
    yield Fault("failing-sibling", "failing sibling", OVER, around="failing sibling")


def cyclic() -> Any:
    """A state that contains itself."""
    state: dict[str, Any] = {}
    state["itself"] = state
    return parts.custom(state)


def malformed() -> Iterator[Fault]:
    """Parts that are none, or unusual."""
    refused: dict[str, Callable[[], Any]] = {
        "no-mapping": lambda: 42,
        "none": lambda: None,
        "no-type": lambda: {"ns": (), "data": 1},
        "no-data": lambda: {"type": "values", "ns": ()},
        "no-ns": lambda: {"type": "values", "data": 1},
        "ns-a-string": lambda: {"type": "values", "ns": "inner", "data": 1},
        "ns-of-numbers": lambda: {"type": "values", "ns": (1, 2), "data": 1},
        "message-no-pair": lambda: {"type": "messages", "ns": (), "data": ["no", "pair", "at", "all"]},
        "task-no-mapping": lambda: {"type": "tasks", "ns": (), "data": ["no mapping"]},
    }
    for name, part in refused.items():
        yield Fault(f"part-{name}", f"part {name}", FAILED, EVERYWHERE, sources=SCRIPTED, part=part)
    accepted: dict[str, Callable[[], Any]] = {
        "message-without-metadata": lambda: {"type": "messages", "ns": (), "data": ({"event": "?"}, None)},
        "unknown-method": lambda: {"type": "no such thing", "ns": (), "data": 1},
        "ten-megabytes": lambda: parts.custom("x" * 10_000_000),
        "cyclic": cyclic,
    }
    for name, part in accepted.items():
        yield Fault(f"part-{name}", f"part {name}", COMPLETED, EVERYWHERE, sources=SCRIPTED, part=part)


FAULTS: Final[dict[str, Fault]] = {
    fault.name: fault
    for rows in (
        [Fault("none", "none", COMPLETED, EVERYWHERE, swept=False)],
        cancellations(),
        raising_sources(),
        bad_sources(),
        bad_hooks(),
        bad_work(),
        bad_readers(),
        aborting(),
        surroundings(),
        malformed(),
    )
    for fault in rows
}
"""Name -> fault."""
