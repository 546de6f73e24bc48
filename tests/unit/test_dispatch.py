"""Dispatch: each part to the scopes that want it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from anyiostream import (
    CustomTransformer,
    MalformedPart,
    PayloadTransformer,
    ProtocolEvent,
    StreamEmitter,
    StreamTransformer,
    SubgraphTransformer,
    ValuesTransformer,
    convert_to_protocol_event,
    parts,
)
from anyiostream.events import synthetic_event
from anyiostream.mux.mux import Mux
from anyiostream.outcome import COMPLETED
from anyiostream.subgraphs import Subgraph

NODE = ("node:1",)


@pytest.fixture
def port(make_port: Any) -> Any:
    """A run on the sync lane."""
    return make_port()


@pytest.fixture
def make(port: Any) -> Callable[..., Mux]:
    """Makes the root's mux with given factories."""

    def mux(*factories: Any, **options: Any) -> Mux:
        return Mux(port, factories=factories, make_handle=port.make_handle, **options)

    return mux


class Watcher(StreamTransformer):
    """Notes the method, namespace and data of each event."""

    seen: ClassVar[list[tuple[str, tuple[str, ...], Any]]] = []

    def init(self) -> dict[str, Any]:
        """No projections; a fresh list for the root's instance."""
        if not self.scope:
            type(self).seen = []
        return {}

    def process(self, event: ProtocolEvent) -> bool:
        """Note it."""
        params = event["params"]
        self.seen.append((event["method"], tuple(params["namespace"]), params["data"]))
        return True


def dispatch(mux: Mux, *given: Any) -> None:
    """Take parts through the routes; nothing has to be awaited."""
    for part in given:
        dispatcher, data = mux.dispatch.dispatcher_of(part)
        assert dispatcher(part, data) is None


def counted(mux: Mux) -> int:
    """How many events the raw log has numbered, though it had no reader."""
    log = iter(mux.events)
    dispatch(mux, parts.updates({}))
    return next(log)["seq"] - 1


def open_child(mux: Mux, namespace: tuple[str, ...] = NODE) -> Mux:
    """A mux for the subgraph at `namespace`."""
    return mux.make_child(namespace)


# --- parts ---


def test_a_part_reaches_the_transformers_of_its_method(make: Any) -> None:
    """A transformer that declares what it reads is called for nothing else."""

    class Picky(Watcher):
        methods = ("custom",)

    mux = make(Picky)
    dispatch(mux, parts.custom(1), parts.values({}), parts.custom(2))
    assert Picky.seen == [("custom", (), 1), ("custom", (), 2)]


def test_a_transformer_without_methods_reads_all(make: Any) -> None:
    """`methods = None` is every method."""
    mux = make(Watcher)
    dispatch(mux, parts.custom(1), parts.updates({"a": 2}))
    assert Watcher.seen == [("custom", (), 1), ("updates", (), {"a": 2})]


def test_own_scope_is_the_level_of_the_mux(make: Any) -> None:
    """A transformer with `own_scope` is not called for the levels below; others are."""

    class Own(Watcher):
        own_scope = True

    mux = make(Own, Watcher)
    dispatch(mux, parts.custom(1), parts.custom(2, ns=NODE))
    assert Own.seen == [("custom", (), 1)]
    assert Watcher.seen == [("custom", (), 1), ("custom", NODE, 2)]


def test_payloads_are_handed_over_without_an_event(make: Any) -> None:
    """A payload transformer gets the very object; the log counts the event although nobody reads it."""
    payload = object()
    mux = make(CustomTransformer)
    cursor = iter(mux.extensions["custom"])
    dispatch(mux, parts.custom(payload))
    assert list(cursor) == [payload]
    assert counted(mux) == 1


@pytest.mark.parametrize("namespace", [(), []])
def test_a_namespace_may_come_as_a_list(make: Any, namespace: Any) -> None:
    """A part with a list for its namespace is the same part."""
    mux = make(CustomTransformer)
    cursor = iter(mux.extensions["custom"])
    dispatch(mux, {"type": "custom", "ns": namespace, "data": 1})
    assert list(cursor) == [1]


@pytest.mark.parametrize("part", [None, 3, "custom", {}, {"type": "custom"}, {"type": "custom", "ns": 3, "data": 1}])
def test_what_is_no_part_is_refused(make: Any, part: Any) -> None:
    """Anything else raises `MalformedPart` and counts nowhere."""
    mux = make(CustomTransformer)
    with pytest.raises(MalformedPart):
        dispatch(mux, part)
    assert counted(mux) == 0


def test_the_state_is_observed_whether_or_not_anybody_reads_it(make: Any) -> None:
    """A `values` part of the scope itself is the latest state; one from below is not."""
    mux = make()
    dispatch(mux, parts.values({"n": 1}, interrupts=["wait"]), parts.values({"n": 2}, ns=NODE))
    assert mux.state.latest == {"n": 1}
    assert mux.state.interrupts == ("wait",)


# --- the raw log ---


def test_the_log_has_each_event_numbered_from_1(make: Any) -> None:
    """`seq` rises by one, over parts of all namespaces."""
    mux = make(CustomTransformer)
    log = iter(mux.events)
    dispatch(mux, parts.custom(1), parts.custom(2, ns=NODE), parts.updates({}))
    events = list(log)
    assert [event["seq"] for event in events] == [1, 2, 3]
    assert [event["params"]["namespace"] for event in events] == [[], ["node:1"], []]


def test_events_that_nobody_read_are_numbered_too(make: Any) -> None:
    """A reader that comes later sees numbers that count what it missed."""
    mux = make(CustomTransformer)
    dispatch(mux, parts.custom(1), parts.custom(2))
    log = iter(mux.events)
    dispatch(mux, parts.custom(3))
    assert [event["seq"] for event in log] == [3]


def test_routes_follow_the_readers_of_the_log(make: Any) -> None:
    """A reader of the log may come and go while the run goes on."""
    mux = make(CustomTransformer)
    custom = iter(mux.extensions["custom"])
    dispatch(mux, parts.custom(1))
    log: Any = iter(mux.events)
    dispatch(mux, parts.custom(2))
    assert [event["params"]["data"] for event in log] == [2]
    log.leave()
    dispatch(mux, parts.custom(3))
    assert list(custom) == [1, 2, 3]


def test_a_suppressed_event_stays_out_of_the_log_only(make: Any) -> None:
    """It has no number, and later transformers see it."""

    class Suppressor(Watcher):
        methods = ("custom",)

        def process(self, event: ProtocolEvent) -> bool:
            return event["params"]["data"] != "secret"

    mux = make(Suppressor, Watcher)
    log = iter(mux.events)
    dispatch(mux, parts.custom("open"), parts.custom("secret"), parts.custom("open again"))
    assert [(event["seq"], event["params"]["data"]) for event in log] == [(1, "open"), (2, "open again")]
    assert [data for _, _, data in Watcher.seen] == ["open", "secret", "open again"]


def test_registration_order_is_call_order(make: Any) -> None:
    """Transformers are called in the order of their registration, those with `before_builtins` before the others."""
    order: list[str] = []

    def named(name: str, early: bool) -> type[StreamTransformer]:
        class Named(StreamTransformer):
            before_builtins = early

            def init(self) -> dict[str, Any]:
                return {}

            def process(self, event: ProtocolEvent) -> bool:
                order.append(name)
                return True

        return Named

    mux = make(named("a", False), named("b", True), named("c", False), named("d", True))
    dispatch(mux, parts.custom(1))
    assert order == ["b", "d", "a", "c"]


def test_an_error_in_a_consumer_names_its_transformer(make: Any) -> None:
    """Of several payload transformers the one that raised is named."""

    class Fails(PayloadTransformer):
        methods = ("custom",)

        def init(self) -> dict[str, Any]:
            return {}

        def consume(self, data: Any) -> None:
            raise ValueError("no")

    mux = make(CustomTransformer, Fails)
    with pytest.raises(ValueError, match="no") as caught:
        dispatch(mux, parts.custom(1))
    assert caught.value.__notes__ == ["raised by Fails.consume() while handling a 'custom' event"]


# --- events ---


def test_an_event_takes_the_same_way_as_its_part(make: Any) -> None:
    """`dispatch_event` reaches the same projections, the state and the log."""
    mux = make(ValuesTransformer)
    values, log = iter(mux.extensions["values"]), iter(mux.events)
    event = convert_to_protocol_event(parts.values({"n": 1}))
    assert mux.dispatch.dispatch_event(event) is None
    assert list(values) == [{"n": 1}]
    assert list(log) == [event]
    assert mux.state.latest == {"n": 1}


# --- muxes below ---


def test_a_child_sees_its_own_level_from_its_start_to_its_end(make: Any) -> None:
    """Parts of a namespace go to its mux while there is one, whatever was dispatched there before."""
    root = make(CustomTransformer, SubgraphTransformer)
    dispatch(root, parts.custom("before", ns=NODE))
    child = open_child(root)
    own = iter(child.extensions["custom"])
    above = iter(root.extensions["custom"])
    dispatch(root, parts.custom("root"), parts.custom("child", ns=NODE))
    child.end_silently(COMPLETED)
    dispatch(root, parts.custom("after", ns=NODE))
    assert list(own) == ["child"]
    assert list(above) == ["root"]


def test_the_levels_below_a_child_are_seen_by_its_wide_transformers(make: Any) -> None:
    """A transformer without `own_scope` is called for every level from its own inwards, a child's in the middle."""
    order: list[tuple[str, tuple[str, ...]]] = []

    def wide(name: str) -> type[StreamTransformer]:
        class Wide(StreamTransformer):
            methods = ("custom",)

            def init(self) -> dict[str, Any]:
                return {}

            def process(self, event: ProtocolEvent) -> bool:
                order.append((name, self.scope))
                return True

        return Wide

    root = make(wide("early"), SubgraphTransformer, wide("late"))
    open_child(root)
    dispatch(root, parts.custom(1, ns=(*NODE, "deep:2")))
    assert order == [("early", ()), ("early", NODE), ("late", NODE), ("late", ())]


def test_each_level_has_a_state_of_its_own(make: Any) -> None:
    """A child's snapshots are its own state."""
    root = make(ValuesTransformer)
    child = open_child(root)
    dispatch(root, parts.values("outer"), parts.values("inner", ns=NODE))
    assert (root.state.latest, child.state.latest) == ("outer", "inner")


def test_a_childs_log_has_the_events_of_its_level_and_below(make: Any) -> None:
    """The child's log gets the very events, once it has a reader."""
    root = make(CustomTransformer, SubgraphTransformer)
    child = open_child(root)
    log = iter(child.events)
    dispatch(root, parts.custom(1), parts.custom(2, ns=NODE), parts.custom(3, ns=(*NODE, "deep:2")))
    assert [event["params"]["data"] for event in log] == [2, 3]
    assert counted(root) == 3


def test_a_run_inside_a_node_of_another_has_its_own_level(make: Any) -> None:
    """With a scope, events of that namespace are the mux's own; what comes from elsewhere is not lost."""
    mux = make(CustomTransformer, namespace=NODE)
    own, log = iter(mux.extensions["custom"]), iter(mux.events)
    dispatch(mux, parts.custom("own", ns=NODE), parts.custom("outside"), parts.custom("below", ns=(*NODE, "x:1")))
    assert list(own) == ["own"]
    assert [event["params"]["data"] for event in log] == ["own", "outside", "below"]


def test_depth_is_no_recursion(make: Any) -> None:
    """A namespace of a thousand levels, each with a mux, is routed."""
    mux = make(ValuesTransformer, SubgraphTransformer)
    namespace: tuple[str, ...] = ()
    root = mux
    for level in range(1000):
        namespace = (*namespace, f"n:{level}")
        mux = mux.make_child(namespace)
    values = iter(mux.extensions["values"])
    dispatch(root, parts.values("deep", ns=namespace))
    assert list(values) == ["deep"]


# --- emitting ---


class Emitting(StreamTransformer):
    """Emits an event at another namespace for each `custom` event whose data is a number above 0."""

    methods = ("custom", "synthetic")

    def init(self) -> dict[str, Any]:
        """No projections."""
        return {}

    def on_register(self, emitter: StreamEmitter) -> None:
        """Keep the emitter."""
        self.emitter = emitter

    def process(self, event: ProtocolEvent) -> bool:
        """Count down with synthetic events."""
        data = event["params"]["data"]
        if data:
            self.emitter.push(("made:1",), synthetic_event("synthetic", (), data - 1))
        return True


def test_what_a_hook_emits_comes_before_what_it_handles(make: Any) -> None:
    """A synthetic event passes through every transformer, and enters the log before the event being handled."""
    mux = make(Emitting, Watcher)
    log = iter(mux.events)
    dispatch(mux, parts.custom(1), parts.custom(0))
    assert [(e["method"], e["params"]["data"], e["seq"]) for e in log] == [
        ("synthetic", 0, 1),
        ("custom", 1, 2),
        ("custom", 0, 3),
    ]
    assert Watcher.seen == [("synthetic", ("made:1",), 0), ("custom", (), 1), ("custom", (), 0)]


def test_what_is_emitted_may_emit_again(make: Any) -> None:
    """A synthetic event passes through the transformer that made it, too."""
    mux = make(Emitting)
    log = iter(mux.events)
    dispatch(mux, parts.custom(3))
    assert [(e["method"], e["params"]["data"]) for e in log] == [
        ("synthetic", 0),
        ("synthetic", 1),
        ("synthetic", 2),
        ("custom", 3),
    ]


def test_the_namespace_of_an_emission_is_the_one_given(make: Any) -> None:
    """`push(namespace, event)` replaces the event's own namespace."""
    mux = make(Emitting)
    log = iter(mux.events)
    dispatch(mux, parts.custom(1))
    assert next(log)["params"]["namespace"] == ["made:1"]


# --- subgraphs ---


def test_tasks_open_and_end_subgraphs(make: Any, port: Any) -> None:
    """A `tasks` part below the scope makes a handle if somebody reads `subgraphs`; its task's result ends it."""
    mux = make(ValuesTransformer, SubgraphTransformer)
    shown = iter(mux.extensions["subgraphs"])
    dispatch(mux, parts.task_start("t", "inner", ns=NODE))
    (handle,) = shown
    assert isinstance(handle.subgraph, Subgraph)
    assert handle.subgraph.namespace == NODE
    assert handle.mux.scope.namespace == NODE
    dispatch(mux, parts.values("inner", ns=NODE), parts.task_result("1", "node", error="no"))
    assert (handle.outcome.status, handle.outcome.message) == ("failed", "no")
    assert handle.mux.state.latest == "inner"
    assert handle.mux.scope.ended


def test_nobody_to_see_it_nothing_made(make: Any, port: Any) -> None:
    """Without a reader of `subgraphs` and without a transformer of the user's, a subgraph has no mux."""
    mux = make(ValuesTransformer, SubgraphTransformer)
    dispatch(mux, parts.task_start("t", "inner", ns=NODE))
    assert port.handles == []
    assert mux.extensions["subgraphs"].statistics().unread == 1


def test_a_users_transformer_gets_an_instance_per_subgraph(make: Any, port: Any) -> None:
    """With a factory of the user's a subgraph has a mux although nobody reads `subgraphs`."""
    mux = make(SubgraphTransformer, Watcher)
    dispatch(mux, parts.task_start("t", "inner", ns=NODE), parts.custom(1, ns=NODE))
    assert [handle.subgraph.namespace for handle in port.handles] == [NODE]
    assert ("custom", NODE, 1) in Watcher.seen


def test_tasks_stay_out_of_the_log(make: Any) -> None:
    """`tasks` events are folded into `subgraphs`."""
    mux = make(SubgraphTransformer)
    log = iter(mux.events)
    dispatch(mux, parts.task_start("1", "node"), parts.custom(1), parts.task_result("1", "node"))
    assert [event["method"] for event in log] == ["custom"]


def test_a_task_payload_is_a_dict(make: Any) -> None:
    """A `tasks` part with any other payload is no part."""
    mux = make(SubgraphTransformer)
    with pytest.raises(MalformedPart, match="dict"):
        dispatch(mux, {"type": "tasks", "ns": (), "data": "started"})
