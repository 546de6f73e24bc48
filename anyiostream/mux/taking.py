"""Compiled routes: one callable per method and namespace that takes a part through its route.

This is the way of every part, so each callable has at hand what it needs, and asks for nothing that was known when it
was compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from time import time_ns
from typing import Any, Protocol

from anyiostream.events import Namespace, ProtocolEvent, ProtocolEventParams
from anyiostream.mux.routes import PayloadRoute, Route, blame
from anyiostream.state import GraphState

__all__ = ["Take", "taking_events", "taking_payloads", "taking_tasks"]

Take = Callable[[Any, Any], Coroutine[Any, Any, None] | None]
"""Takes a part, given with its data, through its route: `None`, or a coroutine that has to be awaited."""


class Books(Protocol):
    """What the router keeps books of."""

    seq: int
    """The `seq` of the last event of the root's raw log."""
    namespace: Namespace
    """Namespace of the event being dispatched."""

    def run(self, route: Route, event: ProtocolEvent) -> Coroutine[Any, Any, None] | None:
        """Take an event through the stages of its route."""
        ...


def taking_payloads(
    books: Books,
    route: PayloadRoute,
    method: str,
    state: GraphState | None,
    log: Callable[[ProtocolEvent], None] | None,
) -> Take:
    """Calls the consumers, after `state` has taken note if it is given; then, for `log` if given, builds the event."""
    take = _taking_data(books, route, method, state)
    if log is None or not route.logged:
        return take
    consumed = bool(route.consumers) or state is not None

    def take_and_log(part: Any, data: Any) -> None:
        if consumed:
            take(part, data)
        else:
            books.namespace = part["ns"]
            books.seq += 1
        # As `event_of`, with its `seq` from the start: 9 to 17 % off an event.
        params: ProtocolEventParams = {"namespace": [*part["ns"]], "timestamp": time_ns() // 1_000_000, "data": data}
        if "interrupts" in part:
            params["interrupts"] = part["interrupts"]
        log({"type": "event", "method": method, "params": params, "seq": books.seq})

    return take_and_log


def _taking_data(books: Books, route: PayloadRoute, method: str, state: GraphState | None) -> Take:
    consumers, counted = route.consumers, int(route.logged)

    def take(part: Any, data: Any) -> None:
        books.namespace = part["ns"]
        if state is not None:
            # As state.observe does, without the call: a values part is the commonest there is.
            state.latest = data
            interrupts = part.get("interrupts")
            if interrupts:
                state.observe(data, interrupts)
        consume = None
        try:
            for consume in consumers:
                consume(data)
        except BaseException as exc:
            owners = (owner for each, owner in zip(consumers, route.owners, strict=True) if each is consume)
            owner = next(owners, None)  # None, if an interrupt came before the first was called
            blamed = blame(exc, owner, "consume", method)
            if blamed is exc:
                raise
            raise blamed from exc
        books.seq += counted

    return take


def taking_tasks(books: Books, track: Callable[[Namespace, Any], Coroutine[Any, Any, None] | None]) -> Take:
    """Starts and ends subgraphs, where no transformer wants the event: saves making one."""

    def take(part: Any, data: Any) -> Coroutine[Any, Any, None] | None:
        books.namespace = namespace = tuple(part["ns"])
        return track(namespace, data)

    return take


def taking_events(books: Books, route: Route, method: str, state: GraphState | None) -> Take:
    """Builds the event and takes it through the stages, after `state` has taken note of it, if it is given."""

    def take(part: Any, data: Any) -> Coroutine[Any, Any, None] | None:
        books.namespace = tuple(part["ns"])
        if state is not None:
            state.observe(data, part.get("interrupts", ()))
        return books.run(route, event_of(part, method, data))

    return take


def event_of(part: Any, method: str, data: Any) -> ProtocolEvent:
    """As `convert_to_protocol_event`, whose checks have been made when the part found its route."""
    params: ProtocolEventParams = {"namespace": [*part["ns"]], "timestamp": time_ns() // 1_000_000, "data": data}
    if "interrupts" in part:
        params["interrupts"] = part["interrupts"]
    return {"type": "event", "method": method, "params": params}
