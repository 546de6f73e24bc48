"""Whatever an application does, in whatever order: the run agrees with a pure list model at each step.

`ANYIOSTREAM_THOROUGH=4` has each machine run three hundred programs. `ANYIOSTREAM_LONG=1` explores for minutes, with
other random choices each time (with pytest's `-o faulthandler_timeout=0`, which would end it before).
"""

from __future__ import annotations

import copy
import os
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import anyio.from_thread
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ..thorough import THOROUGH
from ..waiting import PATIENCE
from .machine import DEADLOCK, END, NAMES, AsyncDriver, Model, Reader, SyncDriver, plain

LONG: Final = os.environ.get("ANYIOSTREAM_LONG") == "1"

EFFORT: Final = settings(
    max_examples=5000 if LONG else 75 * THOROUGH,
    stateful_step_count=60 if LONG else 40,
    derandomize=not LONG,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink) if LONG else (Phase.generate,),
)

KINDS: Final = st.sampled_from(["values", "custom", "updates", "child", "child"])

SELDOM: Final = st.sampled_from([False, False, False, True])
"""Whether to take a step that ends most runs."""

TOGETHER: Final = ("values", "custom", "updates", "lifecycle")
"""What is interleaved."""


class Application(RuleBasedStateMachine):
    """An application of one task."""

    make_driver: Any = None
    graphs: tuple[str, ...] = ()
    reached: Counter[tuple[str, str, str]]

    def __init__(self) -> None:
        super().__init__()
        self.driver: Any = type(self).make_driver()
        self.model: Any = None
        self.cursors: list[tuple[Reader, Any]] = []
        self.handles: dict[int, Any] = {}
        self.in_block = False
        self.echoed = False
        self.bounds: dict[str, float] = {}

    @initialize(
        script=st.one_of(st.lists(KINDS, max_size=8), st.lists(KINDS, min_size=10, max_size=40)),
        fails=st.booleans(),
        buffer=st.integers(1, 3),
        which=st.integers(0, 2),
        prefetch=st.sampled_from([0, 1, 32]),
    )
    def open(self, script: list[str], fails: bool, buffer: int, which: int, prefetch: int) -> None:
        """Open a run."""
        self.model = Model(script, fails, buffer)
        graph = self.graphs[which % len(self.graphs)]
        options = {"prefetch": prefetch} if self.driver.lane.is_async else {}
        self.driver.do(partial(self.driver.open, self.model, graph, **options))
        self.in_block = True

    # --- what an application does ---

    @rule(name=st.sampled_from(NAMES))
    def subscribe(self, name: str) -> None:
        """Iterate a channel."""
        cursor = self.driver.do(self.driver.cursor, self._channel(name))
        if name in self.model.taken:
            self._note("subscribe", cursor)
            assert cursor == "taken"
        else:
            self._note("subscribe", "subscribed")
            (reader,) = self.model.subscribe((name,), self.model.buffer)
            self.cursors.append((reader, cursor))

    @rule(name=st.sampled_from(NAMES))
    def begin_to_read(self, name: str) -> None:
        """Iterate a channel, and take its first item: from then on this task counts as its reader."""
        if name not in self.model.taken:
            self.subscribe(name)
            self.advance(len(self.cursors) - 1, 1)

    @rule(name=st.sampled_from(NAMES[:5]), count=st.integers(1, 3), maxlen=st.integers(1, 4))
    def tee(self, name: str, count: int, maxlen: int) -> None:
        """Iterate a channel several times."""
        branches = self.driver.do(self.driver.tee, self._channel(name), count, maxlen)
        if name in self.model.taken:
            self._note("tee", branches)
            assert branches == "taken"
        else:
            self._note("tee", "subscribed")
            readers = self.model.subscribe((name,), maxlen, count)
            self.cursors += zip(readers, branches, strict=True)

    @rule(names=st.lists(st.sampled_from(TOGETHER), min_size=1, unique=True))
    def interleave(self, names: list[str]) -> None:
        """Iterate several channels in order of arrival."""
        taken = self.model.taken & set(names)
        try:
            cursor = self.driver.run.interleave(*names)
        except RuntimeError:
            self._note("interleave", "taken")
            assert taken
        else:
            self._note("interleave", "subscribed")
            assert not taken
            (reader,) = self.model.subscribe(tuple(names), self.model.buffer, together=True)
            self.cursors.append((reader, cursor))

    @precondition(lambda self: self.cursors)
    @rule(which=st.integers(0, 100), times=st.integers(1, 5))
    def advance(self, which: int, times: int) -> None:
        """Ask a cursor for items."""
        reader, cursor = self.cursors[which % len(self.cursors)]
        for _ in range(times):
            if self._would_wait(reader):
                return
            expected = self.model.advance(reader)
            got = self.driver.do(self.driver.next, cursor)
            self._note("advance", expected if expected in {END, DEADLOCK, "failed"} else "item")
            if expected not in {END, DEADLOCK, "failed"}:
                got = self._plain(reader, got)
            assert got == expected
            if expected == END:
                return

    @precondition(lambda self: self.handles)
    @rule(which=st.integers(0, 100), at_once=st.booleans())
    def read_handle(self, which: int, at_once: bool) -> None:
        """Iterate the snapshots of a subgraph, which may have ended."""
        child = sorted(self.handles)[which % len(self.handles)]
        if not at_once and child not in self.model.closed_children:
            return
        cursor = self.driver.do(self.driver.cursor, self.handles.pop(child).values)
        self._note("read_handle", "ended" if child in self.model.closed_children else "open")
        self.cursors.append((self.model.subscribe_child(child), cursor))

    @precondition(lambda self: self.cursors)
    @rule(which=st.integers(0, 100))
    def leave(self, which: int) -> None:
        """Leave a cursor, full, empty or ended."""
        reader, cursor = self.cursors.pop(which % len(self.cursors))
        self._note("leave", "ended" if reader.over else "full" if reader.overfull else "open")
        self.model.leave(reader)
        self.driver.do(self.driver.leave, cursor)

    @rule(seldom=SELDOM)
    def ask_for_output(self, seldom: bool) -> None:
        """Run to the end."""
        if seldom and not self._would_wait(None):
            expected = self.model.output()
            got = self.driver.do(self.driver.output)
            self._note("output", expected if expected == DEADLOCK else str(self.model.outcome))
            assert self._as_told(got) == expected

    @rule(seldom=SELDOM)
    def ask_for_promise(self, seldom: bool) -> None:
        """Run until a promise is settled."""
        if seldom and not self._would_wait(None):
            expected = self.model.promise()
            got = self.driver.do(self.driver.promise)
            self._note("promise", expected if expected == DEADLOCK else str(self.model.outcome))
            assert self._as_told(got) == expected

    @rule(seldom=SELDOM)
    def abort(self, seldom: bool) -> None:
        """Abort the run."""
        if seldom:
            self._note("abort", str(self.model.outcome))
            self.model.abort()
            self.driver.do(self.driver.abort)

    @precondition(lambda self: self.driver.lane.is_async and self.model.outcome is not None and not self.echoed)
    @rule()
    def read_echoes(self) -> None:
        """Read what scheduled work has pushed by the end: all of it, if the run has ended well."""
        self.echoed = True
        items, failed = self.driver.do(self.driver.echoes)
        self._note("read_echoes", str(self.model.outcome))
        given = [number for number, kind in enumerate(self.model.script) if kind == "custom"]
        assert failed == (self.model.outcome == "failed")
        assert len(set(items)) == len(items)
        assert set(items) == set(given) if self.model.outcome == "completed" else set(items) <= set(given)

    # --- what always holds ---

    @invariant()
    def status_agrees(self) -> None:
        """The run's status is the model's."""
        if self.in_block:
            assert self.driver.run.status == (self.model.outcome or "running")

    @invariant()
    def bounds_hold(self) -> None:
        """No buffer holds more than its bound."""
        if self.in_block:
            for channel in self.driver.run.statistics().channels.values():
                if channel.readers:
                    # The peak may be that of an earlier reader, with a larger bound.
                    self.bounds[channel.name] = max(channel.maxlen, self.bounds.get(channel.name, 0))
                    assert channel.depth <= channel.maxlen
                    assert channel.depth <= channel.peak <= self.bounds[channel.name]

    def teardown(self) -> None:
        """Leave the run's block: what has not ended is aborted; an error that nobody got is raised."""
        if self.in_block:
            left = self.driver.do(self.driver.leave_block)
            assert left in {None, "failed"}
            assert self.driver.run.status == (self.model.outcome or "aborted")
            self._note("leave block", str(self.model.outcome))
        self.driver.close()

    # --- inside ---

    def _channel(self, name: str) -> Any:
        return self.driver.run if name == "events" else self.driver.run.extensions[name]

    def _plain(self, reader: Reader, item: Any) -> Any:
        if reader.together:
            return item[0], plain(*item)
        if reader.names == ("subgraphs",):
            self.handles.setdefault(plain("subgraphs", item), item)
        return plain(reader.names[0], item)

    def _as_told(self, got: Any) -> Any:
        return got if got == DEADLOCK else (got,)

    def _would_wait(self, reader: Reader | None) -> bool:
        """Whether the step would wait, as it should, for a reader that nobody has ever advanced."""
        if not self.driver.lane.is_async:
            return False
        there = copy.deepcopy(self.model)
        if reader is None:
            there.demand(lambda: there.outcome is not None)
        elif not reader.items and not reader.over:
            twin = there.readers[next(i for i, each in enumerate(self.model.readers) if each is reader)]
            twin.advanced = True
            there.demand(lambda: bool(twin.items) or there.ended(twin))
        return there.stuck()

    def _note(self, what: str, outcome: Any) -> None:
        self.reached[what, str(outcome), "ended" if self.model.outcome else "running"] += 1


EXPECTED: Final = {
    ("subscribe", "subscribed"),
    ("subscribe", "taken"),
    ("tee", "subscribed"),
    ("tee", "taken"),
    ("interleave", "subscribed"),
    ("interleave", "taken"),
    ("advance", "item"),
    ("advance", END),
    ("advance", DEADLOCK),
    ("advance", "failed"),
    ("read_handle", "open"),
    ("read_handle", "ended"),
    ("leave", "open"),
    ("leave", "full"),
    ("leave", "ended"),
    ("output", "completed"),
    ("output", "failed"),
    ("output", "aborted"),
    ("output", DEADLOCK),
    ("promise", "None"),
    ("promise", "completed"),
    ("promise", "failed"),
    ("promise", "aborted"),
    ("abort", "None"),
    ("abort", "aborted"),
    ("abort", "failed"),
    ("leave block", "None"),
    ("leave block", "completed"),
    ("leave block", "failed"),
}
"""What has to have happened for the exploration to count: steps, and what came of them.

A promise that is waited for while a channel is full is too rare to be asked for.
"""


ECHOES: Final = {("read_echoes", outcome) for outcome in ("completed", "failed", "aborted")}
"""The same for scheduled work, which the async lane has."""


def explore(machine: type[Application], expected: set[tuple[str, str]], record_property: Any) -> None:
    """Run a machine, and see that it has got everywhere; few programs get to most places only."""
    machine.reached = Counter()
    run_state_machine_as_test(machine, settings=EFFORT)
    steps, transitions = machine.reached.total(), len(machine.reached)
    record_property("steps", steps)
    record_property("transitions", transitions)
    print(f"{machine.__name__}: {steps} steps, {transitions} transitions")  # noqa: T201 -- shown by `pytest -s`
    reached = {(what, outcome) for what, outcome, _ in machine.reached}
    assert len(expected - reached) <= (0 if LONG or THOROUGH >= 4 else len(expected) // 3)


@pytest.mark.timeout(0 if LONG else PATIENCE)
@pytest.mark.filterwarnings("ignore::anyiostream.errors.ItemsDroppedWarning")
def test_the_sync_lane_agrees_with_the_model(record_property: Any) -> None:
    """Each step of a random application gives what the list model gives."""

    class OnTheSyncLane(Application):
        make_driver = SyncDriver
        graphs = ("generator", "function")

    explore(OnTheSyncLane, EXPECTED, record_property)


@pytest.fixture
def portal(backend: str) -> Iterator[anyio.from_thread.BlockingPortal]:
    """An event loop in another thread."""
    with anyio.from_thread.start_blocking_portal(backend) as portal:
        yield portal


@pytest.mark.timeout(0 if LONG else PATIENCE)
@pytest.mark.filterwarnings("ignore::anyiostream.errors.ItemsDroppedWarning")
def test_the_async_lane_agrees_with_the_model(portal: anyio.from_thread.BlockingPortal, record_property: Any) -> None:
    """The same on both event loops, with graphs that run in a task of their own, and read ahead."""

    class OnTheAsyncLane(Application):
        graphs = ("generator", "async generator", "function")

        @staticmethod
        def make_driver() -> AsyncDriver:
            return AsyncDriver(portal)

    explore(OnTheAsyncLane, EXPECTED | ECHOES, record_property)
