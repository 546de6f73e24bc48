"""Our own parts of the AI SDK's messages, as types: in Python, and for TypeScript.

```console
$ python -m anyiostream.sinks.ai_sdk_types > parts.ts
```

`parts.ts` then has `AnyiostreamParts`, for `useChat<UIMessage<unknown, AnyiostreamParts>>()`. A program's own channels
are added by `typescript(progress=Progress)`, where `Progress` is a `TypedDict` or a dataclass.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import types
from collections import Counter, OrderedDict, abc, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, islice
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NewType,
    NotRequired,
    TypedDict,
    Union,
    final,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

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


ARRAYS = frozenset({
    list, set, frozenset, tuple, deque, abc.Sequence, abc.MutableSequence, abc.Set, abc.MutableSet, abc.Collection,
    abc.Iterable, abc.Reversible, abc.KeysView, abc.ValuesView,
})  # fmt: skip
"""What is written as an array in JSON."""

RECORDS = frozenset({dict, defaultdict, OrderedDict, abc.Mapping, abc.MutableMapping})

QUALIFIERS = frozenset({"Required", "NotRequired", "ReadOnly"})
"""What the annotation of a field may begin with, by name: they are also `typing_extensions`' own."""

PLAIN = (str, int, float, bool, type(None))
"""Values that have a type of their own."""

OURS = "AnyiostreamParts"


def typescript(**channels: Any) -> str:
    """The types of all parts, as a module of TypeScript.

    A class that refers to itself is a type of its own name, which is exported, too.

    ```python
    from anyiostream.sinks.ai_sdk_types import typescript

    assert "  progress: number;" in typescript(progress=float)
    ```

    Args:
        channels: Name of a channel of the graph's -> type of what it writes there.
    """
    writer = _Writer()
    parts = "".join(f"  {_key(name)}: {writer.type(kind, 1)};\n" for name, kind in {**PARTS, **channels}.items())
    named = "".join(f"export type {name} = {shown};\n" for name, shown in writer.named.items())
    return f"// Made by `python -m {__spec__.name}`.\n{named}export type {OURS} = {{\n{parts}}};\n"


@final
class _Writer:
    """Writes types, and keeps those that have to have a name.

    Attributes:
        named: Name -> what it stands for.
    """

    def __init__(self) -> None:
        self.named: Final[dict[str, str]] = {}
        self._names: dict[Any, str] = {}
        self._open: list[Any] = []

    def type(self, kind: Any, depth: int) -> str:
        """The type of what is written for `kind`, `depth` levels inside."""
        kind = _bare(kind)
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is Literal:
            return " | ".join(map(_literal, arguments))
        if origin in {Union, types.UnionType}:
            return " | ".join(dict.fromkeys(self.type(each, depth) for each in arguments))
        if kind in SCALARS:
            return SCALARS[kind]
        shown = self._class(kind, depth) if isinstance(kind, type) and origin is None else None
        return shown or self._collection(kind, depth)

    def _collection(self, kind: Any, depth: int) -> str:
        """Without arguments, it may have anything in it."""
        arguments = get_args(kind)
        collection = get_origin(kind) or kind
        # `typing.Tuple` by itself has `tuple` for its origin, as `tuple[()]` has.
        if collection is tuple and Ellipsis not in arguments and "[" in repr(kind):
            return self._tuple(arguments, depth)
        if collection is Counter:
            return "Record<string, number>"
        if collection in RECORDS:
            return f"Record<string, {self._inside(arguments, depth)}>"
        return f"Array<{self._inside(arguments[:1], depth)}>" if collection in ARRAYS else "unknown"

    def _inside(self, arguments: Sequence[Any], depth: int) -> str:
        return self.type(arguments[-1], depth) if arguments else "unknown"

    def _class(self, kind: Any, depth: int) -> str | None:
        """A class that says what it has, or `None`."""
        if issubclass(kind, enum.Enum):
            # Flags are combined.
            is_flag = issubclass(kind, enum.Flag)
            return "number" if is_flag else " | ".join(dict.fromkeys(map(_literal, kind))) or "never"
        if _is_typed_dict(kind) or dataclasses.is_dataclass(kind):
            return self._named(kind, depth)
        names: Any = getattr(kind, "_fields", None) if issubclass(kind, tuple) else None
        if names is None:
            return None
        hints = get_type_hints(kind, include_extras=True)
        return self._tuple([hints.get(name, Any) for name in names], depth)

    def _tuple(self, arguments: Iterable[Any], depth: int) -> str:
        return f"[{', '.join(self.type(each, depth) for each in arguments)}]"

    def _named(self, kind: Any, depth: int) -> str:
        """A class with fields: by its name if it refers to itself, or else what it has."""
        if kind in self._open and kind not in self._names:
            wanted = kind.__name__
            taken = {OURS, *self._names.values()}
            numbered = (f"{wanted}{number}" for number in count(2))
            self._names[kind] = next(each for each in (wanted, *islice(numbered, len(taken))) if each not in taken)
        if kind in self._names:
            return self._names[kind]
        self._open.append(kind)
        shown = self._object(kind, depth)
        if kind in self._names:
            self.named[self._names[kind]] = self._object(kind, 0)
            shown = self._names[kind]
        self._open.pop()
        return shown

    def _object(self, kind: Any, depth: int) -> str:
        inside, shown = "  " * (depth + 1), ""
        for name, field, optional in _fields(kind):
            readonly = "readonly " if "ReadOnly" in _qualifiers(field) else ""
            written = self.type(field, depth + 1)
            shown += f"{inside}{readonly}{_key(name)}{'?' if optional else ''}: {written};\n"
        return f"{{\n{shown}{'  ' * depth}}}"


def _fields(kind: Any) -> Iterator[tuple[str, Any, bool]]:
    """Name, annotation, and whether it may be missing.

    The class knows of each key, inherited ones included, whether it is required; but not if its annotations are
    strings: then only they say what is `NotRequired`.
    """
    hints = get_type_hints(kind, include_extras=True)
    if not _is_typed_dict(kind):
        for each in dataclasses.fields(kind):
            yield each.name, hints[each.name], False
        return
    for name, field in hints.items():
        said = _qualifiers(field)
        yield name, field, "NotRequired" in said or ("Required" not in said and name not in kind.__required_keys__)


def _bare(kind: Any) -> Any:
    """A type without what is said about it, and without a name of its own."""
    while True:
        origin = get_origin(kind)
        if origin is Annotated or _qualifier(origin):
            kind = get_args(kind)[0]
        elif isinstance(kind, NewType):
            kind = kind.__supertype__
        else:
            return kind


def _qualifiers(field: Any) -> set[str]:
    """What the annotation of a field begins with, in any order."""
    found: set[str] = set()
    while (origin := get_origin(field)) is Annotated or _qualifier(origin):
        found.add(_qualifier(origin))
        field = get_args(field)[0]
    return found


def _qualifier(origin: Any) -> str:
    name = getattr(origin, "_name", None)
    return name if isinstance(name, str) and name in QUALIFIERS else ""


def _is_typed_dict(kind: Any) -> bool:
    # `typing_extensions` has a `TypedDict` of its own.
    return is_typeddict(kind) or (isinstance(kind, type) and issubclass(kind, dict) and hasattr(kind, "__total__"))


def _literal(value: Any) -> str:
    """A value as a type. A member of an enumeration is written as its value."""
    while isinstance(value, enum.Enum):
        value = value.value
    return json.dumps(value) if isinstance(value, PLAIN) else "unknown"


def _key(name: str) -> str:
    return name if name.isidentifier() else json.dumps(name)


if __name__ == "__main__":
    print(typescript(), end="")  # noqa: T201 -- what it is for
