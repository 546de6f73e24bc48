"""`KeyboardInterrupt` at a chosen line of the package, as Ctrl-C would raise it there, and programs to raise it in."""

from __future__ import annotations

import asyncio
import contextlib
import linecache
import logging
import os
import random
import signal
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final, TypedDict

import anyio
import attrs
import sniffio
import trio
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph

import anyiostream
from anyiostream import CustomTransformer, GraphWriter, open_run, parts
from anyiostream.loops.trio_host import hosted_tasks

from ..thorough import THOROUGH
from ..waiting import PATIENCE

__all__ = [
    "BACKENDS",
    "GRAPHS",
    "WHICH",
    "Hung",
    "Line",
    "Outcome",
    "Tracer",
    "occurrence",
    "reference",
    "run_program",
    "some_of",
    "violations",
]

ROOT: Final = str(Path(anyiostream.__file__).parent) + "/"

WHICH: Final = os.environ.get("ANYIOSTREAM_INTERRUPTS", "some")
"""Which lines are interrupted: `some` of the distinct ones, each of them `once`, or `all`, each time that they run."""

HANG: Final = PATIENCE / 10
"""s after which a program counts as hung."""

Line = tuple[str, int]
"""File below the package, and number."""


def some_of(lines: Iterable[Line]) -> list[Line]:
    """One in eight, chosen at random, or more of them if all is to be thorough; each, if it is to be interrupted."""
    lines = list(lines)
    count = min(len(lines), THOROUGH * len(lines) // 8)
    return lines if WHICH != "some" else sorted(random.sample(lines, count), key=lines.index)


class Hung(BaseException):
    """A program did not end."""


class Tracer:
    """Notes the lines of the package that run in this thread while it is armed, and interrupts one of them.

    Left out are lines that run because the garbage collector finalises something, where whatever is raised goes
    nowhere, and what trio protects from interrupts.

    Attributes:
        lines: The lines so far, in order.
        interrupted: The line that was.
        function: Its function.
        out_of_reach: Whether a line that was to be was left out instead.
        at: What `probe` told at that moment.
        error: What it is interrupted with.
    """

    error: type[BaseException] = KeyboardInterrupt

    def __init__(self, when: Callable[[int, Line], bool] = lambda index, line: False) -> None:
        """Interrupt the first line for which `when` holds, given the number of lines before it."""
        self._when = when
        self.lines: list[Line] = []
        self.interrupted: Line | None = None
        self.function = ""
        self.out_of_reach = False
        self.armed = True
        self.at: Any = None
        self.probe: Callable[[], Any] = lambda: None

    @contextlib.contextmanager
    def tracing(self) -> Iterator[None]:
        """Trace this thread."""
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            yield
        finally:
            self.armed = False
            sys.settrace(before)

    def _enter(self, frame: FrameType, event: str, arg: object) -> Any:
        return self._line if frame.f_code.co_filename.startswith(ROOT) else None

    def _line(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "line" and self.armed:
            line = frame.f_code.co_filename[len(ROOT) :], frame.f_lineno
            if not self._when(len(self.lines), line):
                pass
            elif _out_of_reach(frame):
                self.out_of_reach = True
            else:
                self.armed = False
                self.interrupted = line
                self.function = frame.f_code.co_qualname
                self.at = self.probe()
                raise self.error
            self.lines.append(line)
        return self._line


def _out_of_reach(frame: FrameType | None) -> bool:
    assert frame is not None
    if linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip() == "try:":
        # A line without an instruction at which a signal would be looked for.
        return True
    with contextlib.suppress(RuntimeError):
        if trio.lowlevel.in_trio_run() and trio.lowlevel.currently_ki_protected():
            return True
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


# --- the graphs ---


class Work(TypedDict):
    """The state of the compiled graph."""

    n: int


@attrs.define
class Opened:
    """What a graph opened and closed.

    Attributes:
        opened: How often it, or a node of it, began.
        closed: How often that ended.
    """

    opened: int = 0
    closed: int = 0

    @contextlib.contextmanager
    def noting(self) -> Iterator[None]:
        """Note that something begins, and that it ends."""
        self.opened += 1
        try:
            yield
        finally:
            self.closed += 1


SCRIPT: Final = [
    parts.values({"n": 0}),
    parts.messages({"event": "message-start", "message_id": "m", "role": "ai"}, {"run_id": "r"}),
    parts.messages(
        {"event": "content-block-start", "index": 0, "content": {"type": "text", "text": ""}}, {"run_id": "r"}
    ),
    parts.messages(
        {"event": "content-block-delta", "index": 0, "delta": {"type": "text-delta", "text": "hello"}}, {"run_id": "r"}
    ),
    parts.messages(
        {"event": "content-block-finish", "index": 0, "content": {"type": "text", "text": "hello"}}, {"run_id": "r"}
    ),
    parts.messages({"event": "message-finish"}, {"run_id": "r"}),
    parts.custom("c"),
    parts.task_start("t", "child"),
    parts.task_start("i", "inner", ns=("child:t",)),
    parts.values({"n": 10}, ns=("child:t",)),
    parts.task_result("t", "child"),
    parts.values({"n": 1}),
]


def generator(opened: Opened, *, is_async: bool) -> Any:
    """A generator function of parts."""

    def produce(given: Any) -> Iterator[Any]:
        with opened.noting():
            yield from SCRIPT

    async def produce_async(given: Any) -> AsyncIterator[Any]:
        with opened.noting():
            for number, part in enumerate(SCRIPT):
                if number % 4 == 3:
                    await anyio.lowlevel.checkpoint()
                yield part

    return produce_async if is_async else produce


def function(opened: Opened, *, is_async: bool) -> Any:
    """An async function that writes."""

    async def graph(given: Any, writer: GraphWriter) -> dict[str, int]:
        with opened.noting():
            await writer.values({"n": 0})
            async with writer.message() as message:
                await message.text("hello")
            await writer.custom("c")
            if is_async:
                await anyio.lowlevel.checkpoint()
            async with writer.subgraph("child") as inner:
                await inner.values({"n": 10})
            return {"n": 1}

    return graph


def compiled(opened: Opened, *, is_async: bool) -> Any:
    """A compiled graph with a subgraph."""

    def note(state: Work) -> Work:
        with opened.noting():
            get_stream_writer()("c")
            return {"n": state["n"] + 1}

    async def note_async(state: Work) -> Work:
        with opened.noting():
            get_stream_writer()("c")
            await asyncio.sleep(0)
            return {"n": state["n"] + 1}

    inner = StateGraph(Work)
    inner.add_node("note", note_async if is_async else note)
    inner.add_edge(START, "note")
    inner.add_edge("note", END)
    outer = StateGraph(Work)
    outer.add_node("first", note_async if is_async else note)
    outer.add_node("child", inner.compile())
    outer.add_edge(START, "first")
    outer.add_edge("first", "child")
    outer.add_edge("child", END)
    return outer.compile()


GRAPHS: Final[dict[str, Callable[..., Any]]] = {"generator": generator, "function": function, "compiled": compiled}

BACKENDS: Final = ("sync", "asyncio", "trio")


# --- the programs ---


@attrs.define
class Outcome:
    """What became of a program.

    Attributes:
        left: What left the event loop, or the block on the sync lane.
        left_block: What left the block.
        status: The run's status after its block, or `None` if the block was never entered.
        output: What `output()` gave or raised after the block.
        alive: What was alive after the block and not before it.
        opened: What the graph opened and closed.
        read: What each reader got that came to an end, without an error.
    """

    left: BaseException | None = None
    left_block: BaseException | None = None
    status: str | None = None
    output: Any = None
    alive: set[str] = attrs.field(factory=set)
    opened: Opened = attrs.field(factory=Opened)
    read: dict[str, list[Any]] = attrs.field(factory=dict)


def read_all(run: Any, read: dict[str, list[Any]]) -> None:
    """Read everything of a run on the sync lane."""
    items: list[Any] = []
    for name, item in run.interleave("values", "messages", "subgraphs", "custom", "lifecycle"):
        items.append(name)
        if name == "messages":
            items.append("".join(item.text))
        elif name == "subgraphs":
            items.append(list(item.values))
        elif name != "lifecycle":
            items.append(item)
    read["everything"] = items


async def read_all_async(run: Any, read: dict[str, list[Any]]) -> None:
    """Read everything of a run in several tasks, which have subscribed before any of them reads."""

    async def read_plainly(name: str) -> None:
        read[name] = [item async for item in cursors[name]]

    async def read_messages() -> None:
        read["messages"] = [[token async for token in message.text] async for message in cursors["messages"]]

    async def read_subgraphs() -> None:
        read["subgraphs"] = [[value async for value in handle.values] async for handle in cursors["subgraphs"]]

    cursors = {name: aiter(run.extensions[name]) for name in ("values", "custom", "messages", "subgraphs")}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read_plainly, "values", name="reader")
        tasks.start_soon(read_messages, name="reader")
        tasks.start_soon(read_subgraphs, name="reader")
        tasks.start_soon(read_plainly, "custom", name="reader")


def alive() -> set[str]:
    """Tasks and threads, by name; not the workers that loops and executors keep."""
    names = {each.name for each in threading.enumerate() if not each.name.startswith(KEPT_THREADS)}
    try:
        library = sniffio.current_async_library()
    except sniffio.AsyncLibraryNotFoundError:
        return names
    if library == "asyncio":
        return names | {task.get_name() for task in asyncio.all_tasks() if not task.done()}
    return names | {task.get_name() for task in hosted_tasks()} | {f"{sum(1 for _ in trio_tasks())} trio tasks"}


def trio_tasks() -> Iterator[trio.lowlevel.Task]:
    """All tasks of the running trio but those that drive asyncio, which stay."""
    root = trio.lowlevel.current_root_task()
    pending = [] if root is None else [root]
    while pending:
        task = pending.pop()
        if not task.name.startswith("anyiostream asyncio"):
            yield task
        for nursery in task.child_nurseries:
            pending += nursery.child_tasks


KEPT_THREADS: Final = ("Trio thread", "AnyIO worker thread", "asyncio_", "ThreadPoolExecutor")


def run_program(backend: str, graph: str, tracer: Tracer) -> Outcome:
    """Open a graph, read everything, ask for its output and leave; the tracer is disarmed before the block is left."""
    outcome = Outcome()
    make = GRAPHS[graph]
    with hang_guard(), quiet():
        try:
            if backend == "sync":
                next(on_its_own(run_sync, make(outcome.opened, is_async=False), tracer, outcome))
            else:
                program = partial(anyio.run, run_async, backend=backend)
                next(on_its_own(program, make(outcome.opened, is_async=True), tracer, outcome))
        except BaseException as exc:
            if isinstance(exc, Hung):
                raise
            outcome.left = exc
    return outcome


def on_its_own(function: Callable[..., object], *args: Any) -> Iterator[None]:
    """Call it with an exception state of its own, as a generator has one.

    Python leaves `sys.exc_info()` set if a tracer raises right where an `except` clause ends: later tests in the
    same thread would find a `__context__` on whatever they raise.
    """
    function(*args)
    yield


def run_sync(graph: Any, tracer: Tracer, outcome: Outcome) -> None:
    """A program on the sync lane."""
    run: Any = None
    before = alive()
    try:
        with tracer.tracing(), open_run(graph, {"n": 0}, transformers=[CustomTransformer]) as run:
            tracer.probe = lambda: run.status
            read_all(run, outcome.read)
            _ = run.output
            tracer.armed = False
    except BaseException as exc:
        outcome.left_block = exc
        raise
    finally:
        outcome.alive = alive() - before
        if run is not None:
            outcome.status = run.status
            try:
                outcome.output = run.output
            except BaseException as exc:
                outcome.output = exc


async def run_async(graph: Any, tracer: Tracer, outcome: Outcome) -> None:
    """A program on the async lane."""
    run: Any = None
    before = alive()
    try:
        with tracer.tracing():
            async with open_run(graph, {"n": 0}, transformers=[CustomTransformer]) as run:
                tracer.probe = lambda: run.status
                await read_all_async(run, outcome.read)
                await run.output()
                tracer.armed = False
    except BaseException as exc:
        outcome.left_block = exc
        raise
    finally:
        outcome.alive = alive() - before
        if run is not None:
            outcome.status = run.status
            try:
                outcome.output = await run.output()
            except BaseException as exc:
                outcome.output = exc


@contextlib.contextmanager
def hang_guard() -> Iterator[None]:
    """Raise `Hung` in a program that does not end."""

    def expired(signum: int, frame: object) -> None:
        raise Hung

    before = signal.signal(signal.SIGALRM, expired)
    remaining, _ = signal.setitimer(signal.ITIMER_REAL, HANG)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, remaining)  # pytest's own


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what is reported of tasks and objects that an interrupt left half made, and of errors beside it."""
    loggers = [logging.getLogger(name) for name in ("asyncio", "anyiostream")]
    before = [logger.disabled for logger in loggers]
    hook, sys.unraisablehook = sys.unraisablehook, lambda unraisable: None
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled


def reference(backend: str, graph: str) -> tuple[list[Line], Outcome]:
    """The lines that a program runs when nothing interrupts it, in order, and what becomes of it."""
    tracer = Tracer()
    outcome = run_program(backend, graph, tracer)
    assert outcome.left is None
    assert outcome.status == "completed"
    return tracer.lines, outcome


def occurrence(line: Line, number: int) -> Callable[[int, Line], bool]:
    """Holds at a line's `number`-th time."""
    seen: Counter[Line] = Counter()

    def when(index: int, now: Line) -> bool:
        if now != line:
            return False
        seen[now] += 1
        return seen[now] == number

    return when


def interrupts(exc: BaseException | None) -> bool:
    """Whether it is an interrupt, or a group with one."""
    if isinstance(exc, BaseExceptionGroup):
        return any(interrupts(each) for each in exc.exceptions)
    return isinstance(exc, KeyboardInterrupt)


def violations(outcome: Outcome, tracer: Tracer, whole: Outcome) -> list[str]:
    """What a program that was interrupted did and should not have done.

    Other tasks of the program may have taken the run to its real end before they were stopped.

    Args:
        outcome: What became of it.
        tracer: Tells where it was.
        whole: What becomes of it when it is not interrupted.
    """
    found = []
    if not interrupts(outcome.left):
        found.append(f"the interrupt did not leave: {outcome.left!r}")
    if outcome.opened.opened != outcome.opened.closed:
        found.append(f"the graph is still open: {outcome.opened}")
    if outcome.alive:
        found.append(f"alive: {outcome.alive}")
    if outcome.status == "running":
        found.append("the run is still running")
    if outcome.status is not None and outcome.status != "completed" and not isinstance(outcome.output, BaseException):
        found.append(f"the run is {outcome.status}, its output {outcome.output!r}")
    if outcome.status == "completed":
        if outcome.output != whole.output:
            found.append(f"the run is completed, its output {outcome.output!r}")
        if any(outcome.read[name] != whole.read[name] for name in outcome.read):
            found.append(f"the run is completed, and readers got {outcome.read}, not {whole.read}")
        if tracer.at == "running" and len(whole.read) == 1:
            found.append("the run is completed without another task")
    return found
