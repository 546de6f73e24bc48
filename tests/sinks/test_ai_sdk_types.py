"""TypeScript has types of the parts of our own, and its compiler agrees with them."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import pytest

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


USE = """
import type { UIMessage } from "ai";
import type { AnyiostreamParts } from "./parts.ts";

export function told(message: UIMessage<unknown, AnyiostreamParts>): string[] {
  return message.parts.flatMap((part) => {
    if (part.type === "data-subgraph") return [part.data.name, part.data.status, part.data.error ?? ""];
    if (part.type === "data-progress") return [String(part.data.done + 1)];
    if (part.type === "data-interrupt") return part.data.namespace;
    return [];
  });
}
"""


@pytest.mark.parametrize(("program", "right"), [(USE, True), (USE.replace("data.done", "data.dont"), False)])
def test_the_compiler_takes_them(program: str, *, right: bool) -> None:
    """With `UIMessage` of the AI SDK; and tells a wrong program from a right one."""
    installed(FOLDER)
    folder = FOLDER / "node_modules" / ".anyiostream"
    folder.mkdir(exist_ok=True)
    (folder / "parts.ts").write_text(typescript(progress=Progress), encoding="utf-8")
    (folder / "use.ts").write_text(program, encoding="utf-8")
    options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler"]
    options += ["--target", "esnext", "--allowImportingTsExtensions", "--lib", "esnext,dom", "use.ts"]
    compiler = Path("..") / "typescript" / "bin" / "tsc"
    done = subprocess.run(["node", str(compiler), *options], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is right, done.stdout
