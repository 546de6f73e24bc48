"""The registry: the transformers of one scope, and the projections that they contribute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from anyiostream import (
    CustomTransformer,
    LifecycleTransformer,
    Promise,
    StreamChannel,
    StreamTransformer,
    SubgraphTransformer,
    UpdatesTransformer,
    ValuesTransformer,
)
from anyiostream.errors import AsyncTransformerRefused, InvalidHook, InvalidProjection, ProjectionConflict
from anyiostream.mux.registry import Registry
from anyiostream.mux.run_state import RunState
from anyiostream.mux.scope import Scope
from anyiostream.mux.stages import StageKind
from anyiostream.outcome import COMPLETED
from anyiostream.subgraphs import Subgraph

NODE = ("node:1",)


class Maker:
    """What handles are made with; these tests make none."""

    state = shows_children = can_show_children = None


@pytest.fixture
def run(make_port: Any) -> RunState:
    """What the scopes of a run on the sync lane share."""
    port = make_port()
    return RunState(port)


@pytest.fixture
def make(run: RunState) -> Callable[..., Registry]:
    """Makes a registry with given factories, of the root or below another one."""

    def registry(*factories: Any, transformers: Any = (), parent: Registry | None = None) -> Registry:
        above = None if parent is None else parent.scope
        scope = Scope(() if parent is None else NODE, above, run.port.stamp)
        made = Registry(scope, parent, run, Maker())  # type: ignore[arg-type]  # see there
        made.register(factories, transformers)
        return made

    return registry


class Mine(StreamTransformer):
    """A transformer of the user's, with a channel and a promise."""

    def init(self) -> dict[str, Any]:
        """Two projections."""
        self.channel: StreamChannel[Any] = StreamChannel("mine")
        self.promise: Promise[Any] = Promise()
        return {"mine": self.channel, "total": self.promise}

    def process(self, event: Any) -> bool:
        """Keep the event."""
        return True


def made(registry: Registry) -> list[str]:
    """Names of the transformers that have been made."""
    return [each.kind.__name__ for each in registry.used() if each.transformer is not None]


# --- registration ---


def test_the_librarys_own_are_made_when_they_are_needed(make: Any) -> None:
    """Asking for a projection makes its transformer, and no other one."""
    registry = make(ValuesTransformer, UpdatesTransformer, CustomTransformer)
    assert made(registry) == []
    channel = registry.projection("updates")
    assert made(registry) == ["UpdatesTransformer"]
    assert registry.projection("updates") is channel
    assert list(registry.made_channels()) == [channel]


def test_the_users_are_made_at_registration(make: Any) -> None:
    """They may be watching from the start; the library's own beside them are still made when needed."""
    registry = make(ValuesTransformer, Mine)
    assert made(registry) == ["Mine"]
    assert not registry.all_builtin
    assert make(ValuesTransformer).all_builtin


def test_projections_are_in_order_of_registration(make: Any) -> None:
    """Whichever was made first."""
    registry = make(ValuesTransformer, Mine, UpdatesTransformer)
    registry.projection("updates")
    assert list(registry.projections()) == ["values", "mine", "total", "updates"]


def test_a_projection_that_nobody_contributes_is_a_key_error(make: Any) -> None:
    """Asking for it makes nothing."""
    registry = make(ValuesTransformer)
    with pytest.raises(KeyError):
        registry.projection("mine")
    assert registry.transformer_by_key("mine") is None
    assert made(registry) == []


@pytest.mark.parametrize("factories", [(ValuesTransformer, ValuesTransformer), (Mine, Mine)])
def test_no_two_contribute_the_same_projection(make: Any, factories: Any) -> None:
    """Of whatever kind they are."""
    with pytest.raises(ProjectionConflict, match=factories[0].__name__):
        make(*factories)


def test_a_projection_is_a_dict(make: Any) -> None:
    """Anything else names the transformer."""

    class Wrong(Mine):
        def init(self) -> Any:
            return ["mine"]

    with pytest.raises(InvalidProjection, match="Wrong"):
        make(Wrong)


def test_a_transformer_overrides_a_hook_for_events(make: Any) -> None:
    """One that overrides neither is refused."""

    class Idle(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

    with pytest.raises(InvalidHook, match="Idle"):
        make(Idle)


def test_the_sync_lane_refuses_async_hooks(make: Any) -> None:
    """A transformer that must be awaited names its reason."""

    class Awaited(Mine):
        async def aprocess(self, event: Any) -> bool:
            return True

    with pytest.raises(AsyncTransformerRefused, match="aprocess"):
        make(Awaited)


def test_instances_come_after_what_factories_make(make: Any) -> None:
    """Those with `before_builtins` come first among each."""

    class Early(Mine):
        before_builtins = True

        def init(self) -> dict[str, Any]:
            return {}

    registry = make(ValuesTransformer, Early, transformers=(Mine(), Early()))
    assert [each.kind.__name__ for each in registry.used()] == ["Early", "ValuesTransformer", "Early", "Mine"]


def test_required_modes_are_named_once(make: Any) -> None:
    """In order of first mention, without making anything."""
    registry = make(ValuesTransformer, LifecycleTransformer, SubgraphTransformer, CustomTransformer)
    assert registry.required_modes() == ["values", "tasks", "custom"]
    assert made(registry) == []


# --- stages ---


def test_a_stage_is_by_scope_and_kind(make: Any) -> None:
    """A built-in one is called with payloads, a user's with events; both have the bit of their scope."""
    registry = make(CustomTransformer, Mine)
    readers = registry.readers("custom", own=True)
    stages = registry.stages((*readers.before, *readers.after))
    assert [stage.kind for stage in stages] == [StageKind.PAYLOAD, StageKind.HOOK]
    assert {stage.bit for stage in stages} == {registry.scope.bit}
    assert registry.readers("custom", own=False).before == (1,)


def test_only_following_tasks_is_known_from_the_start(make: Any) -> None:
    """Where built-ins observe subgraphs, and none reads `tasks` events."""
    assert make(ValuesTransformer, SubgraphTransformer).only_follows_tasks
    assert not make(ValuesTransformer).only_follows_tasks
    assert not make(SubgraphTransformer, Mine).only_follows_tasks


# --- readers of projections ---


def test_a_reader_makes_routes_stale(make: Any) -> None:
    """When it comes and when it leaves; an observer's projection is on no route."""
    registry = make(CustomTransformer, SubgraphTransformer)
    tables = registry.scope
    for key, forgotten in (("custom", True), ("subgraphs", False)):
        channel = registry.projection(key)
        for change in (lambda c=channel: iter(c), lambda c=channel: c.unsubscribe(c.buffers[0])):
            tables.passages["custom"] = object()
            change()
            assert (not tables.passages) is forgotten


def test_what_is_retained_waits_for_its_reader(make: Any) -> None:
    """Also in projections that are made afterwards."""
    registry = make(CustomTransformer, UpdatesTransformer)
    early = registry.projection("custom")
    registry.retain()
    late = registry.projection("updates")
    early.push(1)
    late.push(2)
    assert (list(early), list(late)) == ([1], [2])


def test_projections_end_with_the_scope(make: Any) -> None:
    """Those that are made afterwards end at once."""
    registry = make(ValuesTransformer, CustomTransformer, Mine)
    early = registry.projection("custom")
    registry.end(COMPLETED)
    assert early.ended
    assert registry.projection("mine").ended
    assert registry.projection("total").done
    assert registry.log.channel.ended
    assert made(registry) == ["CustomTransformer", "Mine"]
    assert registry.projection("values").ended


# --- observers ---


def test_observers_are_from_the_root_inwards(make: Any) -> None:
    """Of subgraphs further down only those above that want to know of all depths."""
    root = make(LifecycleTransformer, SubgraphTransformer)
    child = make(LifecycleTransformer, SubgraphTransformer, parent=root)
    of = {
        (registry, key): registry.transformer_by_key(key)
        for registry in (root, child)
        for key in ("lifecycle", "subgraphs")
    }
    assert root.observers(direct=True) == (of[root, "lifecycle"], of[root, "subgraphs"])
    assert root.observers(direct=False) == (of[root, "lifecycle"],)
    assert child.observers(direct=True) == (of[root, "lifecycle"], of[child, "lifecycle"], of[child, "subgraphs"])


def test_an_observer_that_can_be_late_is_not_made_for_a_handle(make: Any) -> None:
    """What it would have shown is noted, and shown once its projection is asked for."""
    registry = make(LifecycleTransformer, SubgraphTransformer)
    registry.retain()
    subgraph = Subgraph(NODE, "node", "1", None)
    for observer in registry.observers(direct=True):
        observer.subgraph_started(subgraph)
        observer.subgraph_ended(subgraph, COMPLETED, by_result=True)
    assert made(registry) == ["SubgraphTransformer"]
    assert [each["event"] for each in registry.projection("lifecycle")] == ["started", "completed"]


def test_an_observer_is_made_where_nothing_is_retained(make: Any) -> None:
    """What it would show before its projection is read is not kept anyway."""
    registry = make(LifecycleTransformer)
    registry.observers(direct=True)
    assert made(registry) == ["LifecycleTransformer"]


def test_a_reader_of_the_log_makes_observers(make: Any) -> None:
    """The log shows what they push, when they push it."""
    registry = make(LifecycleTransformer, CustomTransformer)
    registry.retain()
    (observer,) = registry.observers(direct=True)
    log = iter(registry.log.channel)
    assert made(registry) == ["LifecycleTransformer"]
    observer.subgraph_started(Subgraph(NODE, "node", "1", None))
    assert [event["method"] for event in log] == ["lifecycle"]
