"""An event that is too large for a log as a small one: `...` stands for what is left out of it.

Rules:

- What an event is, and what it belongs to, stays: its method, its namespace, its channel, and the fields by which
  readers know messages, calls, tasks and questions. Each question keeps its id, and so can be answered.
- The largest parts give way first. Objects keep their keys, lists their items, and texts their beginnings, as far as
  there is room for something of each.
- The event says that it has been abridged, how large it was, and what the limit is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, final

import attrs

from anyiostream.tooling import CUT
from anyiostream.wire.drafts import Draft

__all__ = ["ABRIDGED", "abridged"]

ABRIDGED: Final = "abridged"
"""The parameter of an event that says so."""

PART: Final = 16
"""What an abridged event shows takes a part in so many of what an event may take."""

LEAST: Final = 1024
"""Characters that are shown however small the limit is."""

SHARE: Final = 64
"""Characters that a part is shown with at least; what has more parts than there is room for ends before."""

OBJECT: Final = 256
"""The same for an item of a long list that has parts itself."""

FEW: Final = 64
"""Items of a list that is not long: those of a question are answered one by one."""

NAME: Final = 256
"""Characters up to which a field of the protocol is left as it is."""

NAMES: Final = frozenset(
    {
        "event", "id", "run_id", "message_id", "tool_call_id", "interrupt_id", "parent_id", "index", "type", "role",
        "name", "tool_name", "graph_name", "status", "reason", "step", "source", "error", "node", "written",
        "data", "payload", "value", "content", "delta", "input", "output", "result", "interrupts",
    }
)  # fmt: skip
"""Fields of the protocol, which stay when others have to give way."""

ASKED: Final = frozenset({"interrupts", "__interrupt__"})
"""Those with a list of questions."""


def abridged(draft: Draft, size: int, most: int) -> Draft:
    """A small event for one that takes `size` bytes, which are more than the `most` that it may take.

    It is the same one if nothing of it is large but names, such as those of nodes.
    """
    room, shortener = max(int(most) // PART, LEAST), Shortener()
    shown = {"data": draft.data, **draft.extra}
    if shortener.measure(shown) <= room:
        return draft
    extra = shortener.mapping(shown, room, outer=True)
    data = extra.pop("data")
    said = f"it had {size} bytes, and Limits.event is {most}: `{CUT}` stands for what is left out."
    extra[ABRIDGED] = {"bytes": size, "limit": most, "message": said}
    return attrs.evolve(draft, data=data, extra=extra)


@final
class Shortener:
    """Shortens one value. It counts characters, each of which is a few bytes, and looks at each part's size once."""

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}

    def measure(self, value: Any) -> int:
        """About how many characters a value takes as JSON."""
        if isinstance(value, str):
            return len(value) + 2
        if isinstance(value, int):
            return value.bit_length() // 3 + 4
        if not isinstance(value, (dict, list)):
            return 24
        found = self._sizes.get(id(value))
        if found is None:
            if isinstance(value, dict):
                found = 2 + sum(_cost(name) + self.measure(each) for name, each in value.items())
            else:
                found = 2 + sum(1 + self.measure(each) for each in value)
            self._sizes[id(value)] = found
        return found

    def fitted(self, value: Any, room: int) -> Any:
        """As much of a value as there is room for."""
        if self.measure(value) <= room:
            return value
        if isinstance(value, str):
            return value[: max(room - len(CUT) - 2, 0)] + CUT
        if isinstance(value, dict):
            return self.mapping(value, room)
        return self._list(value, room) if isinstance(value, list) else CUT

    def mapping(self, fields: Mapping[str, Any], room: int, *, outer: bool = False) -> dict[str, Any]:
        """As much of an object; an `outer` one is an event's, or what the event has as its data."""
        sizes = {name: self.measure(each) for name, each in fields.items()}
        whole = {name for name, size in sizes.items() if outer and name in NAMES and size <= NAME}
        room -= sum(_cost(name) + sizes[name] for name in whole)
        others = [name for name in fields if name not in whole]
        level = _level([sizes[name] for name in others], room - sum(map(_cost, others)))
        admitted = whole.union(others)
        if level < SHARE:
            level, admitted = SHARE, whole
            for name in sorted(others, key=lambda name: name not in NAMES):
                cost = _cost(name) + min(sizes[name], SHARE)
                if cost <= room:
                    admitted.add(name)
                    room -= cost
        shown = {
            name: each if name in whole else self._field(name, each, level, outer=outer)
            for name, each in fields.items()
            if name in admitted
        }
        return shown if len(shown) == len(fields) else {**shown, CUT: CUT}

    def _field(self, name: str, value: Any, room: int, *, outer: bool) -> Any:
        if outer and name in ASKED and isinstance(value, list) and all(isinstance(each, dict) for each in value):
            return self._questions(value, room)
        if outer and name == "data" and isinstance(value, dict) and self.measure(value) > room:
            return self.mapping(value, room, outer=True)
        return self.fitted(value, room)

    def _list(self, items: Sequence[Any], room: int) -> list[Any]:
        sizes = [self.measure(each) for each in items]
        least = OBJECT if len(items) > FEW and any(isinstance(each, (dict, list)) for each in items) else SHARE
        level = _level(sizes, room - len(items))
        if level >= least:
            return [self.fitted(each, level) for each in items]
        shown: list[Any] = []
        for each, size in zip(items, sizes, strict=True):
            room -= 1 + min(size, least)
            if room < 0:
                break
            shown.append(self.fitted(each, least))
        return [*shown, CUT]

    def _questions(self, asked: Sequence[Mapping[str, Any]], room: int) -> list[Any]:
        """All questions, however many there are: each is to be answered by its id."""
        level = max(room // max(len(asked), 1), OBJECT)
        return [{"value": CUT, **self.mapping(each, level, outer=True)} for each in asked]


def _cost(name: object) -> int:
    """About how many characters a field takes besides its value."""
    return len(str(name)) + 4


def _level(sizes: Collection[int], room: int) -> int:
    """The size to which the larger parts are cut so that all of them fit; less than 0 if there is no room at all."""
    rising = sorted(sizes)
    for n, size in enumerate(rising):
        share = room // (len(rising) - n)
        if size > share:
            return share
        room -= size
    return max([SHARE, *rising[-1:]])
