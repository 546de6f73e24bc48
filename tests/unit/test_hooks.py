"""Calling hooks: what they are called with, what their answers mean, and which one is blamed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from anyiostream import CustomTransformer, ProtocolEvent, StreamTransformer, convert_to_protocol_event, parts
from anyiostream.errors import HookStopped, InvalidHook
from anyiostream.mux.hooks import blame, call_stages, keep_of, stage_of
from anyiostream.mux.registrations import Registration
from anyiostream.mux.stages import Stage, StageKind

EVENT = convert_to_protocol_event(parts.custom("payload"))


class Mine(StreamTransformer):
    """A transformer to blame."""

    def init(self) -> dict[str, Any]:
        """No projections."""
        return {}

    def process(self, event: ProtocolEvent) -> bool:
        """Keeps the event."""
        return True


def nothing() -> None:
    """Called after each hook."""


def stage(kind: StageKind, call: Callable[[Any], Any] = print, bit: int = 1) -> Stage:
    """A stage of a transformer."""
    owner = None if kind in {StageKind.LOG, StageKind.SUBGRAPHS} else Mine()
    return Stage(kind, call, bit, owner)


def noted(notes: list[Any], answer: Any = True) -> Callable[[Any], Any]:
    """A call that notes its argument and answers `answer`."""

    def call(argument: Any) -> Any:
        notes.append(argument)
        return answer

    return call


# --- running stages ---


def test_stages_are_called_in_order_with_what_they_want() -> None:
    """A payload stage gets the data, the others the event."""
    notes: list[Any] = []
    stages = tuple(
        stage(kind, noted(notes)) for kind in (StageKind.PAYLOAD, StageKind.HOOK, StageKind.SUBGRAPHS, StageKind.LOG)
    )
    assert call_stages(stages, EVENT, 0, nothing) == 0
    assert notes == ["payload", EVENT, EVENT, EVENT]


@pytest.mark.parametrize("answer", [False, None, 0, ""])
def test_a_false_answer_suppresses_the_event_in_its_own_log(answer: Any) -> None:
    """A hook that answers falsely keeps the event out of its mux's log; later hooks see it, and other logs too."""
    seen: list[Any] = []
    own, other = [], []  # type: ignore[var-annotated]
    stages = (
        stage(StageKind.HOOK, noted([], answer), bit=2),
        stage(StageKind.HOOK, noted(seen), bit=2),
        stage(StageKind.LOG, noted(own), bit=2),
        stage(StageKind.LOG, noted(other), bit=1),
    )
    assert call_stages(stages, EVENT, 0, nothing) == 2
    assert seen == other == [EVENT]
    assert own == []


@pytest.mark.parametrize("answer", [True, 1, "yes"])
def test_a_true_answer_keeps_it(answer: Any) -> None:
    """Any true answer keeps the event."""
    assert call_stages((stage(StageKind.HOOK, noted([], answer)),), EVENT, 0, nothing) == 0


def test_suppression_is_carried_from_segment_to_segment() -> None:
    """What an earlier segment suppressed stays suppressed."""
    log: list[Any] = []
    assert call_stages((stage(StageKind.LOG, noted(log)),), EVENT, 1, nothing) == 1
    assert log == []


def test_something_is_done_after_each_hook() -> None:
    """`after_hook` is called after each hook, before the next stage, and after nothing else."""
    order: list[str] = []

    def hook(_: Any) -> bool:
        order.append("hook")
        return True

    stages = (
        stage(StageKind.PAYLOAD, lambda _: order.append("payload")),
        stage(StageKind.HOOK, hook),
        stage(StageKind.HOOK, hook),
        stage(StageKind.LOG, lambda _: order.append("log")),
    )
    call_stages(stages, EVENT, 0, lambda: order.append("after"))
    assert order == ["payload", "hook", "after", "hook", "after", "log"]


def test_an_error_names_the_hook_and_stops_the_rest() -> None:
    """An exception comes out as it is, with a note that names transformer, hook and method; no later stage runs."""
    error = ValueError("no")
    later: list[Any] = []

    def fails(_: Any) -> bool:
        raise error

    with pytest.raises(ValueError, match="no") as caught:
        call_stages((stage(StageKind.HOOK, fails), stage(StageKind.LOG, noted(later))), EVENT, 0, nothing)
    assert caught.value is error
    assert error.__notes__ == ["raised by Mine.process() while handling a 'custom' event"]
    assert later == []


def test_a_stray_stop_iteration_is_not_the_end_of_anything() -> None:
    """An exception that Python would misread becomes a `HookStopped`, with the original as its cause."""
    with pytest.raises(HookStopped, match=r"Mine\.process\(\)") as caught:
        call_stages((stage(StageKind.HOOK, lambda _: next(iter([]))),), EVENT, 0, nothing)
    assert isinstance(caught.value.__cause__, StopIteration)


def test_a_hook_that_forgot_to_wait_for_itself_is_told_so() -> None:
    """A plain hook that returns a coroutine is refused, and the coroutine closed."""

    async def process(_: Any) -> bool:
        return True

    with pytest.raises(InvalidHook, match="aprocess"):
        call_stages((stage(StageKind.HOOK, process),), EVENT, 0, nothing)


def test_the_meaning_of_an_answer() -> None:
    """An answer is its truth value."""
    hook = stage(StageKind.HOOK)
    assert keep_of(hook, [1]) is True
    assert keep_of(hook, None) is False


# --- blame ---


def test_blame_is_noted_once() -> None:
    """Blaming the same hook again adds no second note; another hook adds its own."""
    error = ValueError("no")
    assert blame(error, Mine(), "process", "custom") is error
    assert blame(error, Mine(), "process", "custom") is error
    blame(error, Mine(), "finalize")
    assert error.__notes__ == [
        "raised by Mine.process() while handling a 'custom' event",
        "raised by Mine.finalize()",
    ]


def test_nobody_to_blame() -> None:
    """Without an owner the exception is left as it is."""
    error = StopIteration()
    assert blame(error, None, "process") is error
    assert not hasattr(error, "__notes__")


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
def test_what_python_would_misread_is_replaced(kind: type[Exception]) -> None:
    """Blame for a stray stop is a `HookStopped` that names its kind."""
    blamed = blame(kind(), Mine(), "finalize")
    assert isinstance(blamed, HookStopped)
    assert kind.__name__ in str(blamed)


# --- stages of transformers ---


class Emits(Mine):
    """A transformer with an emitter."""

    def on_register(self, emitter: Any) -> None:
        """Keep nothing."""


class Awaited(Mine):
    """A transformer whose hook for events is awaited on the async lane."""

    supports_sync = True

    async def aprocess(self, event: ProtocolEvent) -> bool:
        """Keeps the event."""
        return True


@pytest.mark.parametrize(
    ("kind", "is_async", "expected", "hook"),
    [
        (CustomTransformer, True, StageKind.PAYLOAD, "consume"),
        (Mine, True, StageKind.HOOK, "process"),
        (Awaited, True, StageKind.ASYNC_HOOK, "aprocess"),
        (Awaited, False, StageKind.HOOK, "process"),
        (Emits, True, StageKind.ASYNC_HOOK, "process"),
        (Emits, False, StageKind.HOOK, "process"),
    ],
)
def test_how_a_transformer_is_called(kind: Any, is_async: bool, expected: StageKind, hook: str) -> None:
    """It depends on the hooks that it overrides and on the lane; what emits may always have to wait."""
    transformer = kind()
    made = stage_of(Registration.of(transformer), transformer, 4, is_async=is_async)
    assert (made.kind, made.bit, made.owner, made.hook) == (expected, 4, transformer, hook)


def test_only_a_hook_that_is_running_may_emit() -> None:
    """A transformer with an emitter is marked while it handles an event, also if it raises."""
    seen: list[bool] = []

    class Fails(Emits):
        def process(self, event: ProtocolEvent) -> bool:
            seen.append(registration.handling)
            raise ValueError("no")

    registration = Registration.of(Fails())
    assert registration.transformer is not None
    with pytest.raises(ValueError, match="no"):
        stage_of(registration, registration.transformer, 1, is_async=False).call(EVENT)
    assert seen == [True]
    assert not registration.handling
