"""Our own parts of the AI SDK's messages, as types: in Python, and for TypeScript.

```console
$ python -m anyiostream.sinks.ai_sdk_types > parts.ts
```

`parts.ts` then has `AnyiostreamParts`, for `useChat<UIMessage<unknown, AnyiostreamParts>>()`. A program's own channels
are added by `typescript(progress=Progress)`, where `Progress` is a `TypedDict` or a dataclass.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict, Union, get_args, get_origin, get_type_hints, is_typeddict

__all__ = ["PARTS", "InterruptData", "SubgraphData", "typescript"]


class InterruptData(TypedDict):
    """What a graph waits for its user with: `data-interrupt`."""

    interruptId: str
    namespace: list[str]
    value: Any


class SubgraphData(TypedDict):
    """How a graph inside the run's stands: `data-subgraph`."""

    namespace: list[str]
    name: str
    status: Literal["running", "completed", "failed", "interrupted", "aborted", "drained", "cut"]
    error: NotRequired[str]


PARTS: Mapping[str, Any] = {
    "interrupt": InterruptData,
    "subgraph": SubgraphData,
    "values": Any,
    "updates": dict[str, Any],
    "checkpoints": Any,
    "tasks": Any,
    "restarted": Any,
    "custom": Any,
}
"""Type of a part, without `data-` -> type of its data."""

SCALARS: Mapping[Any, str] = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    None: "null",
    type(None): "null",
    Any: "unknown",
    object: "unknown",
}


ARRAYS = frozenset({list, set, frozenset, tuple, Sequence})


def typescript(**channels: Any) -> str:
    """The types of all parts, as a module of TypeScript.

    ```python
    from anyiostream.sinks.ai_sdk_types import typescript

    assert "  progress: number;" in typescript(progress=float)
    ```

    Args:
        channels: Name of a channel of the graph's -> type of what it writes there.
    """
    parts = "".join(f"  {_key(name)}: {_type(kind, 1)};\n" for name, kind in {**PARTS, **channels}.items())
    return f"// Made by `python -m {__spec__.name}`.\nexport type AnyiostreamParts = {{\n{parts}}};\n"


def _type(kind: Any, depth: int) -> str:
    if kind in SCALARS:
        return SCALARS[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " | ".join(json.dumps(each) for each in arguments)
    if origin is NotRequired:
        return _type(arguments[0], depth)
    if is_typeddict(kind) or dataclasses.is_dataclass(kind):
        return _object(kind, depth)
    inside = [_type(each, depth) for each in arguments if each is not Ellipsis]
    if origin in {Union, types.UnionType}:
        return " | ".join(inside)
    if origin in {dict, Mapping}:
        return f"Record<string, {inside[1]}>"
    if origin is tuple and Ellipsis not in arguments:
        return f"[{', '.join(inside)}]"
    return f"Array<{inside[0]}>" if origin in ARRAYS else "unknown"


def _object(kind: Any, depth: int) -> str:
    """A class with fields. The annotations say which may be missing, even if these are strings."""
    partial = getattr(kind, "__total__", True) is False
    inside, shown = "  " * (depth + 1), ""
    for name, field in get_type_hints(kind, include_extras=True).items():
        optional = "?" if partial or get_origin(field) is NotRequired else ""
        shown += f"{inside}{_key(name)}{optional}: {_type(field, depth + 1)};\n"
    return f"{{\n{shown}{'  ' * depth}}}"


def _key(name: str) -> str:
    return name if name.isidentifier() else json.dumps(name)


if __name__ == "__main__":
    print(typescript(), end="")  # noqa: T201 -- what it is for
