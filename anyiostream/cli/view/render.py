"""What a run looks like: pure functions from the model, and the figures of the run, to lines of rich text.

No markup is parsed anywhere, and everything that the graph said passes through `text`, so that nothing of it is taken
for more than characters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from rich.text import Text

from anyiostream.cli.view.model import Data, Entry, Message, Node, RunModel, Speech, ToolCall, ToolUse
from anyiostream.cli.view.text import one_line, printable, shortened, tail
from anyiostream.encoding import encode
from anyiostream.statistics import ChannelStatistics, RunStatistics

__all__ = ["duration", "entry_lines", "region_lines", "result_lines", "waits"]

SPINNER: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
PACE: Final = 10
"""Turns of the spinner, in 1/s."""

MARKS: Final = {
    "completed": ("✓", "green"),
    "failed": ("✗", "red"),
    "interrupted": ("‖", "yellow"),
    "drained": ("‖", "yellow"),
    "aborted": ("■", "yellow"),
}
"""Status -> sign and style."""

LONGEST_TEXT: Final = 20_000
"""Characters of one message that the log shows."""

LONGEST_VALUE: Final = 400
"""Characters of one value that the log shows on its line."""

LONGEST_STATE: Final = 4_000
"""Characters of the final state that are shown."""

TAIL: Final = 4
"""Lines of a message under way that are shown, if there is room."""

BAR: Final = 10
"""Cells of the bar that shows how full a buffer is."""


def region_lines(
    model: RunModel, statistics: RunStatistics | None, now: float, *, width: int, height: int
) -> list[Text]:
    """The region at the bottom of the screen: at most `height` lines of at most `width` cells each."""
    footer = [] if statistics is None else _levels(statistics)
    room = max(1, height - len(footer))
    rows = list(_node_rows(model.root, now, width, tail_lines=TAIL))
    if len(rows) > room:
        rows = list(_node_rows(model.root, now, width, tail_lines=1, ended=False))
    if len(rows) > room:
        rest = len(rows) - room + 1
        rows = [*rows[: room - 1], Text(f"… {rest} more lines", style="dim")]
    head = rows[0]
    head.append(f"  {model.events} events", style="dim")
    lines = [*rows, *footer][:height]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


def entry_lines(entry: Entry) -> list[Text]:
    """An entry of the log, as lines of any length."""
    if isinstance(entry, Message):
        return list(_message_lines(entry))
    if isinstance(entry, ToolUse):
        return [_tool_line(entry)]
    return [_data_line(entry)]


def result_lines(
    model: RunModel, now: float, *, output: Any = None, interrupts: Sequence[Any] = (), error: str | None = None
) -> list[Text]:
    """How the run ended: its status and time, what it waits for or failed with, and its final state."""
    root = model.root
    line = _node_line(root, now)
    line.append(f"  {model.events} events", style="dim")
    lines = [line, *(_labelled("interrupt", _value(each, LONGEST_STATE), style="yellow") for each in interrupts)]
    if error is not None:
        lines.append(_labelled("error", printable(shortened(error, LONGEST_STATE)), style="red"))
    if output is not None:
        lines.append(_labelled("output", _value(output, LONGEST_STATE), style="bold"))
    return lines


def waits(statistics: RunStatistics) -> list[str]:
    """Who waits for whom, as far as the figures tell."""
    told = []
    full = [channel for channel in statistics.channels.values() if channel.waiting]
    if statistics.outbox and full:
        names = " and ".join(repr(channel.name) for channel in full)
        told.append(f"the graph waits for room in {names}")
    elif statistics.inbox and not statistics.parked:
        told.append(f"{_count(statistics.inbox, 'part')} read ahead, waiting for a reader")
    elif statistics.parked:
        told.append(f"{_count(statistics.parked, 'reader')} waiting for the graph")
    if statistics.scheduled:
        told.append(f"{_count(statistics.scheduled, 'scheduled task')} at work")
    return told


def duration(seconds: float) -> str:
    """A time span, for people."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:  # noqa: PLR2004 -- s in a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


# --- the region ---


def _node_rows(
    node: Node, now: float, width: int, *, tail_lines: int, ended: bool = True, prefix: str = ""
) -> Iterator[Text]:
    """A subgraph and everything inside, a line each; deep trees need no deep recursion."""
    pending: list[tuple[Node, str, str]] = [(node, prefix, prefix)]
    while pending:
        current, first, inner = pending.pop()
        yield _node_line(current, now, first)
        children = [child for child in current.children.values() if ended or child.is_open]
        under_way = inner + ("│ " if children else "  ")
        for speech in current.messages.values():
            yield from _speech_rows(speech, now, width, under_way, tail_lines)
        for tool in current.tools.values():
            yield _tool_row(tool, now, under_way)
        hidden = current.forgotten + len(current.children) - len(children)
        if hidden:
            yield Text(f"{under_way}· {hidden} more ended", style="dim")
        last = children[-1] if children else None
        pending += [
            (child, inner + ("└ " if child is last else "├ "), inner + ("  " if child is last else "│ "))
            for child in reversed(children)
        ]


def _node_line(node: Node, now: float, prefix: str = "") -> Text:
    mark, style = MARKS.get(node.status, (SPINNER[int(now * PACE) % len(SPINNER)], "cyan"))
    line = Text(prefix, style="dim", end="")
    line = Text.assemble(line, (mark, style), " ", (one_line(node.name, 60), "bold"), " ", (node.status, style))
    line.append(f" {duration((node.until if node.until is not None else now) - node.since)}", style="dim")
    if node.snapshots:
        line.append(f"  {_count(node.snapshots, 'state')}", style="dim")
    if node.error:
        line.append(f"  {one_line(node.error, LONGEST_VALUE)}", style="red")
    return line


def _speech_rows(speech: Speech, now: float, width: int, prefix: str, lines: int) -> Iterator[Text]:
    record = speech.record
    head = Text.assemble((prefix, "dim"), ("▸ ", "magenta"), (one_line(speech.node or "message", 60), "magenta"))
    head.append(f" {duration(now - speech.since)}", style="dim")
    text, style = record.final_text(), ""
    if not text:
        text, style = record.final_reasoning(), "italic dim"
    head.append(f"  {_count(len(text), 'character')}" if text else "", style="dim")
    yield head
    indent = f"{prefix}  "
    for row in tail(text, max(2, width - len(indent)), lines):
        yield Text.assemble((indent, "dim"), (row, style))


def _tool_row(tool: ToolCall, now: float, prefix: str) -> Text:
    line = Text.assemble((prefix, "dim"), ("⚙ ", "blue"), (one_line(tool.name, 60), "blue"))
    line.append(f"({_arguments(tool.given)}) {duration(now - tool.since)}")
    if tool.latest is not None:
        line.append(f"  {_value(tool.latest, LONGEST_VALUE)}", style="dim")
    return line


def _levels(statistics: RunStatistics) -> list[Text]:
    line = Text("buffers ", style="dim")
    for name, channel in statistics.channels.items():
        if channel.readers or channel.waiting:
            line.append_text(_level(name, channel))
            line.append("  ")
    if statistics.inbox:
        line.append(f"read ahead {statistics.inbox}  ", style="dim")
    told = "; ".join(waits(statistics))
    return [line, Text(told, style="dim")] if told else [line]


def _level(name: str, channel: ChannelStatistics) -> Text:
    level = channel.depth / channel.maxlen  # 0 if there is no bound
    filled = min(BAR, round(level * BAR))
    style = "red" if channel.waiting or level >= 1 else "green"
    most = "∞" if channel.maxlen == float("inf") else f"{channel.maxlen:.0f}"
    text = Text.assemble(f"{one_line(name, 30)} ", ("█" * filled, style), ("░" * (BAR - filled), "dim"))
    text.append(f" {channel.depth}/{most}")
    if channel.waiting:
        text.append(f" +{channel.waiting} waiting", style="red")
    if channel.dropped:
        text.append(f" {channel.dropped} dropped", style="yellow")
    return text


# --- the log ---


def _message_lines(message: Message) -> Iterator[Text]:
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
    for text, style in ((message.reasoning, "italic dim"), (message.text, "")):
        if text:
            yield from _paragraphs(text, style)
    for name, args in message.tool_calls:
        yield Text.assemble("  → ", (one_line(str(name), 60), "blue"), f"({_arguments(args)})")


USAGE: Final = ("input_tokens", "output_tokens")


def _paragraphs(text: str, style: str) -> Iterator[Text]:
    for line in printable(text[:LONGEST_TEXT]).split("\n"):
        yield Text(f"  {line}", style=style)
    if len(text) > LONGEST_TEXT:
        yield Text(f"  … {len(text) - LONGEST_TEXT} more characters, which --json shows", style="dim")


def _tool_line(tool: ToolUse) -> Text:
    line = _place(tool.where, "", "blue")
    line.append("⚙ ", style="blue")
    line.append(one_line(tool.name, 60), style="blue")
    line.append(f"({_arguments(tool.given)})")
    if tool.error is None:
        line.append(f" = {_value(getattr(tool.output, 'content', tool.output), LONGEST_VALUE)}")
    else:
        line.append(f" ✗ {one_line(tool.error, LONGEST_VALUE)}", style="red")
    line.append(f"  {duration(tool.seconds)}", style="dim")
    return line


def _data_line(data: Data) -> Text:
    line = _place(data.where, data.label, "cyan")
    line.append(f" {_value(data.payload, LONGEST_VALUE)}")
    return line


def _place(where: Iterable[str], name: str, style: str) -> Text:
    outer = "".join(f"{one_line(each, 60)} / " for each in where)
    return Text.assemble((outer, "dim"), (one_line(name, 60), style))


def _labelled(label: str, text: str, *, style: str) -> Text:
    return Text.assemble((f"{label} ", style), text)


def _arguments(given: Any) -> str:
    if isinstance(given, dict):
        return one_line(", ".join(f"{key}={_value(value, 100)}" for key, value in given.items()), LONGEST_VALUE)
    return "" if given is None else _value(given, LONGEST_VALUE)


def _value(value: Any, most: int) -> str:
    """A value on one line: text as it is, all else as JSON."""
    return one_line(value if isinstance(value, str) else encode(value, ascii_only=False), most)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
