"""A turn in fewer events, for readers that read it from its start and fold it.

The text of a block, the arguments of a call and the output of a tool are one event each, where the first piece was; a
graph's snapshot is the last one, where the first was. Readers end up with the same, and in the same order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from anyiostream.wire.drafts import Draft

__all__ = ["compacted"]

PIECES = {"text-delta": "text", "reasoning-delta": "reasoning", "tool-call-delta": "args"}
"""Kinds of deltas that are pieces of a text -> the field that has it."""


def compacted(drafts: Iterable[Draft]) -> list[Draft]:
    """The events of a turn in fewer events, in order. Does not change the given ones.

    ```python
    from anyiostream.wire import Draft, compacted

    pieces = [Draft("tools", (), {"event": "tool-output-delta", "tool_call_id": "1", "delta": x}, 0) for x in "ab"]
    assert [draft.data["delta"] for draft in compacted(pieces)] == ["ab"]
    ```
    """
    made: list[Draft] = []
    open_at: dict[Any, int] = {}
    for draft in drafts:
        key = _key(draft)
        if key is None:
            for each in [each for each in open_at if _bounds(draft, each)]:
                del open_at[each]
        elif key in open_at:
            place = open_at[key]
            made[place] = _joined(made[place], draft)
            continue
        else:
            open_at[key] = len(made)
        made.append(draft)
    return made


def _key(draft: Draft) -> Any:
    """What it is a piece of, or a newer form; `None` if it stands for itself, or cannot be told from others."""
    key = _piece_of(draft)
    return key if key is None or all(isinstance(each, (int, str, tuple)) for each in key) else None


def _piece_of(draft: Draft) -> Any:
    data = draft.data
    if draft.method == "values":
        return ("values", draft.namespace)
    if not isinstance(data, Mapping):
        return None
    if draft.method == "messages" and data.get("event") == "content-block-delta":
        delta = data.get("delta")
        if isinstance(delta, Mapping) and isinstance(delta.get(PIECES.get(str(delta.get("type")), "")), str):
            return (*_message(draft), data.get("index"), delta["type"])
        return None
    if draft.method == "tools" and data.get("event") == "tool-output-delta" and isinstance(data.get("delta"), str):
        return ("tools", draft.namespace, data.get("tool_call_id"))
    return None


def _message(draft: Draft) -> tuple[Any, ...]:
    return ("messages", draft.namespace, draft.data.get("run_id"), draft.data.get("id"))


def _bounds(draft: Draft, key: Any) -> bool:
    """Whether what comes after `draft` no longer continues the same thing."""
    data = draft.data
    if not isinstance(data, Mapping):
        return False
    if draft.method == "messages" and key[0] == "messages":
        of_message = key[:4] == _message(draft)
        # Another kind of delta ends the pieces before it: they would be joined across it.
        return of_message and ("index" not in data or data["index"] == key[4])
    if draft.method == "tools" and key[0] == "tools":
        return bool(key[2] == data.get("tool_call_id"))
    return False


def _joined(first: Draft, then: Draft) -> Draft:
    if first.method == "values":
        return attrs.evolve(first, data=then.data, extra=then.extra)
    first = attrs.evolve(first, extra={**then.extra, **first.extra})  # one of them may say that it is abridged
    if first.method == "tools":
        return attrs.evolve(first, data={**first.data, "delta": first.data["delta"] + then.data["delta"]})
    delta, more = first.data["delta"], then.data["delta"]
    field = PIECES[delta["type"]]
    piece = delta[field] + more[field]
    data = {**first.data, "delta": {**delta, field: piece}}
    content = data.get("content")
    if isinstance(content, Mapping) and field in content:
        data["content"] = {**content, field: piece}
    return attrs.evolve(first, data=data)
