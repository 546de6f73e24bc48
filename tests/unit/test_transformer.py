"""The extension point."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from anyiostream import (
    CustomTransformer,
    MalformedPart,
    PayloadTransformer,
    ProtocolEvent,
    StreamEmitter,
    StreamMux,
    StreamTransformer,
    ValuesTransformer,
    convert_to_protocol_event,
    parts,
)
from anyiostream.errors import EmitterMisused, InvalidHook
from anyiostream.inline import run_inline
from anyiostream.transformer import builtin_projections
from anyiostream.transformer_hooks import hooks_of, reason_for_async


class Plain(StreamTransformer):
    """Implements what it must, with plain hooks."""

    def init(self) -> dict[str, Any]:
        """No projections."""
        return {}

    def process(self, event: ProtocolEvent) -> bool:
        """Suppress what is secret."""
        return event["params"]["data"] != "secret"


class Hooks(Plain):
    """Notes the calls of its plain hooks."""

    def __init__(self, scope: tuple[str, ...] = ()) -> None:
        """Nothing noted yet."""
        super().__init__(scope)
        self.calls: list[Any] = []

    def finalize(self) -> None:
        """Note it."""
        self.calls.append("finalize")

    def fail(self, err: BaseException) -> None:
        """Note it."""
        self.calls.append(err)


EVENT = convert_to_protocol_event(parts.custom("open"))
SECRET = convert_to_protocol_event(parts.custom("secret"))


def test_init_is_required() -> None:
    """A transformer without `init` cannot be made."""

    class Incomplete(StreamTransformer):
        def process(self, event: ProtocolEvent) -> bool:
            return True

    with pytest.raises(TypeError, match="init"):
        Incomplete()  # type: ignore[abstract]


def test_the_defaults_are_those_of_a_plain_transformer() -> None:
    """A transformer reads everything of its scope and below, on either lane, after the built-in ones."""
    transformer = Plain()
    assert transformer.scope == ()
    assert transformer.methods is None
    assert transformer.required_stream_modes == ()
    assert not transformer.own_scope
    assert not transformer.before_builtins
    assert not transformer.requires_async
    assert not transformer.supports_sync


def test_a_class_is_a_factory() -> None:
    """Classes and partials of them take the scope."""
    assert Plain(("node:1",)).scope == ("node:1",)
    assert partial(Plain)(("node:1",)).scope == ("node:1",)


def test_without_process_there_is_an_explanation() -> None:
    """The inherited `process` says what to override."""

    class Nothing(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

    with pytest.raises(InvalidHook, match=r"Nothing must override process\(\) or aprocess\(\)"):
        Nothing().process(EVENT)


def test_async_hooks_do_what_the_plain_ones_do() -> None:
    """The inherited async hooks call the plain ones and return their answer."""
    transformer, error = Hooks(), ValueError("no")
    assert run_inline(transformer.aprocess(EVENT), "aprocess") is True
    assert run_inline(transformer.aprocess(SECRET), "aprocess") is False
    run_inline(transformer.afinalize(), "afinalize")
    run_inline(transformer.afail(error), "afail")
    assert transformer.calls == ["finalize", error]


def test_ending_hooks_are_optional() -> None:
    """The inherited `finalize`, `fail` and `on_register` do nothing."""
    transformer = Plain()
    transformer.finalize()
    transformer.fail(ValueError("no"))
    transformer.on_register(StreamEmitter("Plain", lambda *_: True))


def test_overrides_tells_what_a_class_defines() -> None:
    """A hook counts as overridden wherever in the subclass's own line it is defined."""

    class Child(Hooks):
        pass

    assert "finalize" in hooks_of(Child).overridden
    assert "afinalize" not in hooks_of(Child).overridden


# --- which lane ---


@pytest.mark.parametrize("hook", ["aprocess", "afinalize", "afail"])
def test_an_async_hook_asks_for_the_async_lane(hook: str) -> None:
    """Overriding one is a reason, which names the hook."""

    async def overridden(self: Any, *args: Any) -> bool:
        return True

    reason = reason_for_async(type("Async", (Plain,), {hook: overridden})())
    assert reason is not None
    assert hook in reason


def test_plain_hooks_serve_both_lanes() -> None:
    """A transformer without async hooks has no reason."""
    assert reason_for_async(Hooks()) is None


def test_requires_async_is_a_reason_by_itself() -> None:
    """A transformer that schedules says so."""

    class Scheduling(Plain):
        requires_async = True
        supports_sync = True

    assert "requires_async" in str(reason_for_async(Scheduling()))


def test_supports_sync_says_that_the_plain_hooks_suffice() -> None:
    """With `supports_sync` overridden async hooks are no reason."""

    class Both(Plain):
        supports_sync = True

        async def aprocess(self, event: ProtocolEvent) -> bool:
            return True

    assert reason_for_async(Both()) is None


# --- built-in ones ---


def test_only_the_librarys_own_are_built_in() -> None:
    """A subclass of a built-in transformer is the user's."""

    class Mine(ValuesTransformer):
        pass

    assert builtin_projections(ValuesTransformer) == ("values",)
    assert builtin_projections(Mine) == ()
    assert builtin_projections(Plain) == ()


# --- payload transformers ---


class Doubling(PayloadTransformer):
    """Notes the double of each payload."""

    methods = ("custom",)

    def init(self) -> dict[str, Any]:
        """A list of what was seen."""
        self.seen: list[Any] = []
        return {"doubled": self.seen}

    def consume(self, data: Any) -> None:
        """Note it."""
        self.seen.append(2 * data)


def test_a_payload_transformer_handles_events_too() -> None:
    """`process` hands on the payload of its own methods at its own scope, and keeps every event."""
    transformer = Doubling(("node:1",))
    transformer.init()
    for part in (parts.custom(1, ns=("node:1",)), parts.custom(2), parts.values(3, ns=("node:1",))):
        assert transformer.process(convert_to_protocol_event(part)) is True
    assert transformer.seen == [2]


def test_the_consumer_is_consume() -> None:
    """What the mux calls is `consume`, unless a subclass has something faster."""
    transformer = Doubling()
    transformer.init()
    transformer.consumer()(4)
    assert transformer.seen == [8]


def test_a_subclass_of_a_data_transformer_may_consume_otherwise() -> None:
    """Overriding `consume` of a built-in transformer takes effect wherever it is called."""

    class Shouting(CustomTransformer):
        def consume(self, data: Any) -> object:
            return super().consume(data.upper())

    mux = StreamMux([Shouting()])
    cursor = iter(mux.extensions["custom"])
    mux.push(convert_to_protocol_event(parts.custom("a")))
    _log = iter(mux.events)
    mux.push(convert_to_protocol_event(parts.custom("b")))
    assert list(cursor) == ["A", "B"]


# --- the emitter ---


def test_an_emitter_hands_on_namespace_and_event() -> None:
    """`push` passes the event on, with the namespace as a tuple."""
    emitted: list[Any] = []

    def emit(namespace: tuple[str, ...], event: ProtocolEvent) -> bool:
        emitted.append((namespace, event))
        return True

    StreamEmitter("Mine", emit).push(["a:1"], EVENT)  # type: ignore[arg-type]
    assert emitted == [(("a:1",), EVENT)]


def test_an_emitter_outside_its_hook_is_refused() -> None:
    """If nothing is being handled, `push` raises and names the transformer."""
    with pytest.raises(EmitterMisused, match="Mine"):
        StreamEmitter("Mine", lambda *_: False).push((), EVENT)


@pytest.mark.parametrize("namespace", ["a:1", None, (1,)])
def test_an_emitters_namespace_is_checked(namespace: Any) -> None:
    """What is no namespace is refused before anything is emitted."""
    emitted: list[Any] = []
    with pytest.raises(MalformedPart):
        StreamEmitter("Mine", lambda *args: bool(emitted.append(args))).push(namespace, EVENT)
    assert emitted == []


@pytest.mark.parametrize("attribute", ["required_stream_modes", "methods"])
def test_names_in_a_string_are_refused_where_the_class_is_written(attribute: str) -> None:
    """A string is a collection of letters, none of which is a method: the transformer would see nothing."""
    with pytest.raises(InvalidHook, match=rf"Letters\.{attribute} is the string 'custom'.*{attribute} = \('custom',\)"):
        type("Letters", (Plain,), {attribute: "custom"})


def test_names_may_be_any_collection_of_them() -> None:
    """A list, a set, a tuple, or nothing."""
    for names in (["custom"], {"custom"}, ("custom",), (), None):
        type("Named", (Plain,), {"methods": names})


def test_bases_are_told_of_a_subclass() -> None:
    """Those that come later are, too, with the keywords of the `class` statement."""
    told: list[str] = []

    class Mixin:
        def __init_subclass__(cls, name: str, **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            told.append(name)

    class Both(Plain, Mixin, name="both"):
        pass

    assert told == ["both"]
    assert Both().init() == {}
