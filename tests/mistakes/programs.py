"""The wrong programs of `docs/guides/mistakes.md`: finding them, running them, and what comes of them."""

from __future__ import annotations

import gc
import logging
import re
import textwrap
import warnings
from pathlib import Path
from typing import Any

import anyio
import attrs

import anyiostream
from anyiostream.testing import FakeChatModel

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "mistakes.md"
SECTION = re.compile(
    r"^### (?P<title>.+?)\n\n```py\n(?P<code>.*?)^```\n+```text\n(?P<said>.*?)^```$", re.DOTALL | re.MULTILINE
)
TITLE = re.compile(r"^### (.+)$", re.MULTILINE)


@attrs.frozen
class Mistake:
    """One section of the page."""

    title: str
    code: str
    said: str

    @property
    def is_async(self) -> bool:
        """Whether the program needs an event loop: it is asynchronous outside the functions that it defines."""
        tops = [line for line in self.code.split("\n") if line and not line.startswith((" ", "async def", "@", "#"))]
        return (
            any(re.search(r"\b(async with|async for|await)\b", line) for line in tops)
            or "# in a coroutine" in self.code
        )


def mistakes() -> list[Mistake]:
    """All sections, in order."""
    text = PAGE.read_text(encoding="utf-8")
    return [Mistake(**found.groupdict()) for found in SECTION.finditer(text)]


def titles() -> list[str]:
    """All headings of sections."""
    return TITLE.findall(PAGE.read_text(encoding="utf-8"))


def names() -> dict[str, Any]:
    """What the programs use without defining it, as the page's introduction says."""

    async def graph(question: str, writer: anyiostream.GraphWriter) -> dict[str, str]:
        await FakeChatModel("It is a library.")(writer)
        return {"answer": "It is a library."}

    graph.__qualname__ = "answer"
    return {**{name: getattr(anyiostream, name) for name in anyiostream.__all__}, "anyio": anyio, "graph": graph}


def outcomes(mistake: Mistake, backend: str, caplog: Any) -> list[str]:
    """What a program gets: the error that leaves it with its notes, warnings, and what is logged."""
    source = mistake.code
    if mistake.is_async:
        source = "async def main():\n" + textwrap.indent(source, "    ")
    namespace = names()
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.WARNING, "anyiostream"):
        warnings.simplefilter("always")
        try:
            exec(compile(source, "<mistake>", "exec"), namespace)
            if mistake.is_async:
                anyio.run(namespace.pop("main"), backend=backend)
        except BaseException as exc:
            said.append(described(exc))
            del exc
        namespace.clear()
        gc.collect()
    said += [f"{each.category.__name__}: {each.message}" for each in caught]
    said += [f"{record.levelname} {record.name}: {record.getMessage()}" for record in caplog.records]
    return [plain(each) for each in said]


def described(error: BaseException) -> str:
    """An exception as a traceback's last line shows it, without module."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return "\n".join((f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())))


def matches(said: str, shown: str) -> bool:
    """Whether a program said what the page shows, where `[...]` stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, plain(shown).split("[...]"))), said) is not None


def plain(text: str) -> str:
    """Text without line breaks, and without the function that a program is wrapped in."""
    return " ".join(text.split()).replace("main.<locals>.", "")
