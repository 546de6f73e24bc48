"""TypeScript has types of the parts of our own, and its compiler agrees with them."""

from __future__ import annotations

import dataclasses
import enum
import subprocess
import typing
from collections import Counter, OrderedDict, abc, defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, NewType, NotRequired, Required, TypedDict

import pytest
import typing_extensions

from anyiostream.sinks.ai_sdk_types import typescript

from ..npm import installed
from .readers import FOLDER


class Progress(TypedDict):
    """What a program writes to a channel of its own."""

    done: int
    of: NotRequired[float | None]
    names: Sequence[str]


@dataclasses.dataclass
class Place:
    at: tuple[int, str]
    seen: dict[str, bool]
    marks: tuple[Literal["a", "b"], ...]


class Base(TypedDict):
    """What has to be there."""

    there: int


class Further(Base, total=False):
    """What may be there, besides."""

    maybe: str
    sure: Required[str]


class Partial(TypedDict, total=False):
    """What may be there."""

    maybe: int


class Whole(Partial):
    """What has to be there, besides."""

    there: str
    seldom: NotRequired[Annotated[int, "seldom"]]


class Fixed(typing_extensions.TypedDict):
    """What stays as it is."""

    name: typing_extensions.ReadOnly[str]
    size: NotRequired[typing_extensions.ReadOnly[int]]


class Colour(enum.Enum):
    """By its value."""

    RED = "red"
    GREEN = 2
    ALSO_RED = "red"  # noqa: PIE796 -- another name of the same
    OTHER = (1, 2)


class Size(enum.StrEnum):
    SMALL = "s"


class Rank(enum.IntEnum):
    FIRST = 1


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    name: str


@dataclasses.dataclass
class Counted:
    kept: int = 0
    counted: ClassVar[int] = 0


UserId = NewType("UserId", str)


class Tree(TypedDict):
    """A class that refers to itself."""

    name: str
    below: list[Tree]


class Author(TypedDict):
    """And two that refer to each other."""

    books: NotRequired[list[Book]]


@dataclasses.dataclass
class Book:
    author: Author | None
    tree: Tree


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        (str, "string"),
        (bool | None, "boolean | null"),
        (list[dict[str, int]], "Array<Record<string, number>>"),
        (Mapping[str, Any], "Record<string, unknown>"),
        (set[str], "Array<string>"),
        (Literal["a", 1], '"a" | 1'),
        (complex, "unknown"),
        (Further, "{\n    there: number;\n    maybe?: string;\n    sure: string;\n  }"),
        (Whole, "{\n    maybe?: number;\n    there: string;\n    seldom?: number;\n  }"),
        (Fixed, "{\n    readonly name: string;\n    readonly size?: number;\n  }"),
        (Counted, "{\n    kept: number;\n  }"),
        (Annotated[int, "of something"], "number"),
        (Annotated[Base, 1] | None, "{\n    there: number;\n  } | null"),
        (Colour, '"red" | 2 | unknown'),
        (Size, '"s"'),
        (Rank, "1"),
        (Rights, "number"),
        (Literal[Size.SMALL, b"x"] | None, '"s" | unknown | null'),
        (UserId, "string"),
        (NewType("Ids", list[UserId]), "Array<string>"),
        (Point, "[number, string]"),
        (tuple, "Array<unknown>"),
        (tuple[()], "[]"),
        (tuple[int, ...], "Array<number>"),
        (list, "Array<unknown>"),
        (typing.__dict__["List"], "Array<unknown>"),
        (typing.__dict__["Tuple"], "Array<unknown>"),
        (dict, "Record<string, unknown>"),
        (Counter[str], "Record<string, number>"),
        *[(kind[str], "Array<string>") for kind in (Iterable, Collection, abc.Set, abc.MutableSequence, deque)],
        *[(kind[str, int], "Record<string, number>") for kind in (abc.MutableMapping, defaultdict, OrderedDict)],
        (Iterator[str], "unknown"),
        (abc.Callable[[int], int], "unknown"),
        (Annotated[list[int], []], "Array<number>"),
        (Progress, "{\n    done: number;\n    of?: number | null;\n    names: Array<string>;\n  }"),
        (
            Place,
            '{\n    at: [number, string];\n    seen: Record<string, boolean>;\n    marks: Array<"a" | "b">;\n  }',
        ),
    ],
)
def test_a_type_of_python_is_one_of_typescript(kind: Any, shown: str) -> None:
    """Structures as they are written in JSON; what has no form there is `unknown`."""
    assert f"  channel: {shown};\n" in typescript(channel=kind)


def test_a_class_that_refers_to_itself_is_a_type_of_its_own() -> None:
    """Each by its name, once; another one of the same name has another."""
    tree, author = "{\n  name: string;\n  below: Array<Tree>;\n}", "{\n    author: Author | null;\n    tree: Tree;\n  }"
    shown = typescript(tree=Tree, again=list[Tree], author=Author, book=Book)
    assert shown.count("export type ") == 3
    assert f"export type Tree = {tree};\n" in shown
    assert "export type Author = {\n  books?: Array<{\n" in shown
    assert "  tree: Tree;\n  again: Array<Tree>;\n  author: Author;\n" in shown
    assert f"  book: {author};\n" in shown


def test_two_classes_of_one_name_are_two_types() -> None:
    """Also if the name is that of the parts."""
    others = [TypedDict(name, {"inner": "Any"}) for name in ("Tree", "AnyiostreamParts")]  # type: ignore[operator]
    for other in others:
        other.__annotations__["inner"] = other
    shown = typescript(tree=Tree, second=others[0], third=others[1])
    assert "  tree: Tree;\n  second: Tree2;\n  third: AnyiostreamParts2;\n" in shown
    assert "export type Tree2 = {\n  inner: Tree2;\n};\n" in shown


USE = """
import type { UIMessage } from "ai";
import type { AnyiostreamParts, Tree } from "./parts.ts";

function names(tree: Tree): string[] {
  return [tree.name, ...tree.below.flatMap(names)];
}

export function told(message: UIMessage<unknown, AnyiostreamParts>): string[] {
  return message.parts.flatMap((part) => {
    if (part.type === "data-subgraph") return [part.data.name, part.data.status, part.data.error ?? ""];
    if (part.type === "data-progress") return [String(part.data.done + 1)];
    if (part.type === "data-interrupt") return part.data.namespace;
    if (part.type === "data-tree") return part.data.below.flatMap(names);
    if (part.type === "data-author") return (part.data.books ?? []).map((book) => book.tree.name);
    if (part.type === "data-further") return [part.data.sure, part.data.maybe ?? ""];
    return [];
  });
}
"""


WRONG = [("data.done", "data.dont"), ("tree.below", "tree.above"), ('data.maybe ?? ""', "data.maybe")]
"""What a program may have for something else, and be wrong."""


@pytest.mark.parametrize(("program", "right"), [(USE, True)] + [(USE.replace(*each), False) for each in WRONG])
def test_the_compiler_takes_them(program: str, *, right: bool) -> None:
    """With `UIMessage` of the AI SDK; and tells a wrong program from a right one."""
    installed(FOLDER)
    folder = FOLDER / "node_modules" / ".anyiostream"
    folder.mkdir(exist_ok=True)
    (folder / "parts.ts").write_text(
        typescript(progress=Progress, tree=Tree, author=Author, further=Further), encoding="utf-8"
    )
    (folder / "use.ts").write_text(program, encoding="utf-8")
    options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler"]
    options += ["--target", "esnext", "--allowImportingTsExtensions", "--lib", "esnext,dom", "use.ts"]
    compiler = Path("..") / "typescript" / "bin" / "tsc"
    done = subprocess.run(["node", str(compiler), *options], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is right, done.stdout
