"""What the log shows: pure functions from its entries, and from how the run ended, to lines of rich text.

Models' output is rendered as Markdown: headings, lists, code, tables. No HTML is taken for markup, nothing can be
clicked, and no console markup is parsed.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console
from rich.markdown import Markdown
from rich.text import Text

from anyiostream.cli.terminal.model import RunModel
from anyiostream.cli.terminal.nodes import Data, Entry, Message, ToolUse
from anyiostream.cli.terminal.render import MARKS, node_line
from anyiostream.cli.terminal.text import one_line, printable, shortened, wrapped
from anyiostream.cli.terminal.values import LONGEST_VALUE, arguments_line, duration, labelled, value_line
from anyiostream.tooling import encode

__all__ = ["entry_lines", "result_lines"]

LONGEST_TEXT: Final = 20_000
"""Characters of one message that the log shows."""

LONGEST_STATE: Final = 4_000
"""Characters of the final state that are shown."""

INDENT: Final = "  "

LEAST: Final = 20
"""Cells that text gets at least, however narrow the terminal."""

USAGE: Final = ("input_tokens", "output_tokens")

PARSER: Final = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])


def entry_lines(entry: Entry, width: int = 80) -> list[Text]:
    """An entry of the log, as lines, wrapped between words to fit `width` cells."""
    if isinstance(entry, Message):
        return list(_message_lines(entry, max(LEAST, width - 1)))
    if isinstance(entry, ToolUse):
        return [_tool_line(entry)]
    return [_data_line(entry)]


def result_lines(
    model: RunModel,
    now: float,
    width: int = 80,
    *,
    output: Any = None,
    interrupts: Sequence[Any] = (),
    error: str | None = None,
) -> list[Text]:
    """How the run ended: its status and time, what it waits for or failed with, and its final state."""
    line = node_line(model.root, now)
    line.append(f"  {model.events} events", style="dim")
    asked = (getattr(each, "value", each) for each in interrupts)  # LangGraph's have ids, which mean nothing here
    lines = [line, *(labelled("interrupt", value_line(each, LONGEST_STATE), style="yellow") for each in asked)]
    if error is not None:
        lines.append(labelled("error", printable(shortened(error, LONGEST_STATE)), style="red"))
    if output is not None:
        lines += _state_lines(output, width)
    return lines


def _state_lines(output: Any, width: int) -> Iterator[Text]:
    """The final state: on one line if it fits there, else with a line for each of its values."""
    line = value_line(output, LONGEST_STATE)
    if len(line) + len("output ") < width or isinstance(output, str):
        yield labelled("output", line, style="bold")
        return
    yield Text("output", style="bold")
    written = json.dumps(_brief(json.loads(encode(output))), indent=2, ensure_ascii=False)
    for row in printable(shortened(written, LONGEST_STATE)).split("\n"):
        yield Text(f"{INDENT}{row}")
    if len(written) > LONGEST_STATE:
        yield Text(f"{INDENT}… {len(written) - LONGEST_STATE} more characters, which --json shows", style="dim")


def _brief(value: Any) -> Any:
    """A state's messages, each with its role."""
    if isinstance(value, list):
        return [_brief(each) for each in value]
    if not isinstance(value, dict):
        return value
    if not {"type", "content", "additional_kwargs"} <= value.keys():
        return {name: _brief(each) for name, each in value.items()}
    content = value["content"]
    blocks = content if isinstance(content, list) else [content]
    texts = [each.get("text", "") if isinstance(each, dict) else str(each) for each in blocks]
    calls = [f"{call.get('name')}({arguments_line(call.get('args'))})" for call in value.get("tool_calls") or ()]
    return f"{value['type']}: {' '.join(filter(None, [*texts, *calls]))}"


def _message_lines(message: Message, width: int) -> Iterator[Text]:
    head = _place(message.where, message.node or "message", "magenta")
    head.append(f"  {duration(message.seconds)}", style="dim")
    if message.usage:
        counts = [
            f"{message.usage[key]} {key.partition('_')[0]}" for key in USAGE if message.usage.get(key) is not None
        ]
        head.append(f"  {', '.join(counts)} tokens" if counts else "", style="dim")
    if message.ended != "finished":
        head.append(f"  {message.ended}", style="red")
    yield head
    for line in printable(shortened(message.reasoning, LONGEST_TEXT)).split("\n") if message.reasoning else ():
        for row in wrapped(line, width - len(INDENT)):
            yield Text(f"{INDENT}{row}", style="italic dim")
    if message.text:
        yield from _markdown_lines(printable(message.text[:LONGEST_TEXT]), width - len(INDENT))
    if len(message.text) > LONGEST_TEXT:
        left = len(message.text) - LONGEST_TEXT
        yield Text(f"{INDENT}… {left} more characters, which --json shows", style="dim")
    for name, args in message.tool_calls:
        yield Text.assemble(f"{INDENT}→ ", (one_line(str(name), 60), "blue"), f"({arguments_line(args)})")


def _markdown_lines(text: str, width: int) -> Iterator[Text]:
    shown = Markdown("", hyperlinks=False)
    shown.parsed = _parsed(text)
    console = Console(file=io.StringIO(), width=width, color_system="truecolor", force_terminal=True)
    rows = [Text.assemble(*((each.text, each.style or "") for each in row)) for row in console.render_lines(shown)]
    while rows and not rows[-1].plain.strip():
        rows.pop()
    for row in rows:
        row.rstrip()
        yield Text.assemble(INDENT, row)


def _parsed(text: str) -> list[Token]:
    """Markdown whose line breaks are line breaks, as models mean them."""
    tokens = PARSER.parse(text)
    for token in tokens:
        for child in token.children or ():
            if child.type == "softbreak":
                child.type = "hardbreak"
    return tokens


def _tool_line(tool: ToolUse) -> Text:
    line = _place(tool.where, "", "blue")
    line.append("⚙ ", style="blue")
    line.append(one_line(tool.name, 60), style="blue")
    line.append(f"({arguments_line(tool.given)})")
    if tool.error is None:
        line.append(f" = {value_line(getattr(tool.output, 'content', tool.output), LONGEST_VALUE)}")
    else:
        sign, style = MARKS[tool.ended]
        line.append(f" {sign} {one_line(tool.error, LONGEST_VALUE)}", style=style)
    line.append(f"  {duration(tool.seconds)}", style="dim")
    return line


def _data_line(data: Data) -> Text:
    line = _place(data.where, data.label, "cyan")
    line.append(f" {value_line(data.payload, LONGEST_VALUE)}")
    return line


def _place(where: Iterable[str], name: str, style: str) -> Text:
    outer = "".join(f"{one_line(each, 60)} / " for each in where)
    return Text.assemble((outer, "dim"), (one_line(name, 60), style))
