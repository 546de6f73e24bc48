"""The difference of two values, as a JSON Patch (RFC 6902): short if little has changed, as when a list has grown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["difference"]


def difference(before: Any, after: Any, path: str = "") -> Iterator[dict[str, Any]]:
    """The operations that make `after` of `before`; both are plain. None if they are equal.

    ```python
    from anyiostream.sinks.json_patch import difference

    assert list(difference({"a": [1]}, {"a": [1, 2]})) == [{"op": "add", "path": "/a/-", "value": 2}]
    ```
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for name in before.keys() - after.keys():
            yield {"op": "remove", "path": f"{path}/{_escaped(name)}"}
        for name, value in after.items():
            inside = f"{path}/{_escaped(name)}"
            if name in before:
                yield from difference(before[name], value, inside)
            else:
                yield {"op": "add", "path": inside, "value": value}
    elif isinstance(before, list) and isinstance(after, list) and len(before) <= len(after):
        for index, value in enumerate(before):
            yield from difference(value, after[index], f"{path}/{index}")
        for value in after[len(before) :]:
            yield {"op": "add", "path": f"{path}/-", "value": value}
    elif type(before) is not type(after) or before != after:
        yield {"op": "replace", "path": path, "value": after}


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
