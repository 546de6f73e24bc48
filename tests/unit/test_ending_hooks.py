"""Ending hooks: which is called, in which order, and what errors and cancellations leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anyiostream import ProtocolEvent, StreamTransformer
from anyiostream.errors import HookStopped
from anyiostream.mux.ending_hooks import call_ending_hooks
from anyiostream.mux.registrations import Registration
from anyiostream.outcome import COMPLETED, Outcome


class Mine(StreamTransformer):
    """A transformer without an ending hook."""

    def init(self) -> dict[str, Any]:
        """No projections."""
        return {}

    def process(self, event: ProtocolEvent) -> bool:
        """Keeps the event."""
        return True


class Ends(Mine):
    """Notes the ending hook that is called, and may raise or wait there."""

    def __init__(self, notes: list[Any], name: str, act: Callable[[], Any] = lambda: None) -> None:
        super().__init__()
        self.notes, self.name, self.act = notes, name, act

    def finalize(self) -> Any:
        """A good end."""
        self.notes.append((self.name, "finalize"))
        return self.act()

    def fail(self, err: BaseException) -> Any:
        """A bad one."""
        self.notes.append((self.name, err))
        return self.act()


def raises(error: BaseException) -> Callable[[], Any]:
    """Raises `error`."""

    def act() -> None:
        raise error

    return act


def test_each_gets_the_hook_of_the_ending(drive: Any) -> None:
    """In order, and none of them again; one that has no such hook counts as called."""
    notes: list[Any] = []
    error = ValueError("no")
    given = [Registration.of(each) for each in (Ends(notes, "a"), Mine(), Ends(notes, "b"))]
    assert drive(call_ending_hooks(given, None, Outcome.by(error), None)).result == []
    assert drive(call_ending_hooks(given, None, COMPLETED, None)).result == []
    assert notes == [("a", error), ("b", error)]
    assert all(each.ended for each in given)


def test_the_errors_of_ending_hooks_are_collected(drive: Any) -> None:
    """One that raises keeps none of the others from being called; each error names its hook."""
    notes: list[Any] = []
    error = ValueError("no")
    given = [Registration.of(each) for each in (Ends(notes, "a", raises(error)), Ends(notes, "b"))]
    assert drive(call_ending_hooks(given, None, COMPLETED, None)).result == [error]
    assert notes == [("a", "finalize"), ("b", "finalize")]
    assert error.__notes__ == ["raised by Ends.finalize()"]


def test_a_stray_stop_of_an_ending_hook_is_replaced(drive: Any) -> None:
    """As while events come."""
    given = [Registration.of(Ends([], "a", raises(StopIteration())))]
    (error,) = drive(call_ending_hooks(given, None, COMPLETED, None)).result
    assert isinstance(error, HookStopped)
    assert isinstance(error.__cause__, StopIteration)


def test_subgraphs_end_at_the_place_of_their_observer(drive: Any) -> None:
    """Before the hook of the transformer that observes them, which is called also if that fails."""
    notes: list[Any] = []
    error = ValueError("no")
    first, second = Registration.of(Ends(notes, "a")), Registration.of(Ends(notes, "b"))
    second.observer = object()  # type: ignore[assignment]  # not called here

    async def end_subgraphs(outcome: Outcome) -> None:
        notes.append("subgraphs")
        raise error

    assert drive(call_ending_hooks([first, second], None, COMPLETED, end_subgraphs)).result == [error]
    assert notes == [("a", "finalize"), "subgraphs", ("b", "finalize")]


def test_a_cancelled_hook_counts_as_called(make_port: Any, drive: Any, suspension: Any) -> None:
    """The next call goes on with the transformers after it."""
    notes: list[Any] = []

    class Waits(Mine):
        async def afinalize(self) -> None:
            notes.append("waits")
            await suspension()

    port = make_port(is_async=True)
    given = [Registration.of(Waits()), Registration.of(Ends(notes, "b"))]
    calling = drive(call_ending_hooks(given, port, COMPLETED, None))
    assert not calling.done
    calling.cancel()
    assert drive(call_ending_hooks(given, port, COMPLETED, None)).result == []
    assert notes == ["waits", ("b", "finalize")]
