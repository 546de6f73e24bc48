"""Calls of tools that are under way at once and have one id.

A model may give several of its calls the same id, and models side by side know nothing of each other. The parts of a
LangGraph graph have this id only. LangChain's callbacks tell the calls apart, and are given the very objects that the
parts have. So the parts of every such call but the first get its `run_id`; what it puts out on its way does not.

It relies on this, which is not documented, and which `tests/messages/test_tool_call_ids.py` tests: callbacks that a
context variable brings are called before those of LangGraph that make the parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias, final
from uuid import UUID

from anyiostream.events import Namespace

__all__ = ["TwinCalls"]

Shared: TypeAlias = tuple[Namespace, str]
"""The namespace of calls, and their id."""

SAID: Final = {"tool-started": "input", "tool-finished": "output", "tool-error": "message"}
"""Type of an event -> the field by which it is found."""


@final
class TwinCalls:
    """The calls of one run that are under way, and what the stream has not shown yet of those that have a twin."""

    __slots__ = ("_under_way", "_unshown")

    def __init__(self) -> None:
        self._under_way: dict[Shared, dict[UUID, str | None]] = {}
        self._unshown: dict[Shared, list[tuple[str, Any, str]]] = {}

    def __bool__(self) -> bool:
        """Whether a part of the stream may have to be marked."""
        return bool(self._unshown)

    def started(self, shared: Shared, run_id: UUID, given: Any) -> str | None:
        """A call has begun; returns the mark of one that has a twin."""
        twins = self._under_way.setdefault(shared, {})
        mark = twins[run_id] = str(run_id) if twins else None
        if mark is not None:
            self._unshown.setdefault(shared, []).append(("tool-started", given, mark))
        return mark

    def ended(self, shared: Shared, run_id: UUID, event: str | None = None, said: Any = None) -> None:
        """A call has ended.

        Args:
            shared: Its namespace and id.
            run_id: Its run.
            event: The type of the event that the stream shows of that, if it shows one.
            said: Its output, or its error's text.
        """
        twins = self._under_way.get(shared, {})
        mark = twins.pop(run_id, None)
        if not twins:
            self._under_way.pop(shared, None)
        if mark is not None and event is not None:
            self._unshown.setdefault(shared, []).append((event, said, mark))

    def marked(self, namespace: Namespace, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """An event of a tool, with the mark of its call if that has one."""
        shared, kind = (namespace, str(data.get("tool_call_id"))), data.get("event")
        said = data.get(SAID.get(str(kind), ""))
        unshown = self._unshown.get(shared, [])
        for each in unshown:
            event, expected, mark = each
            if event == kind and (expected is said or (event == "tool-error" and expected == said)):
                unshown.remove(each)
                if not unshown:
                    del self._unshown[shared]
                return {**data, "run_id": mark}
        return data
