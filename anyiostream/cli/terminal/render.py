"""What a run looks like: pure functions from the model, and the run's statistics, to lines of rich text.

No markup is parsed anywhere, and all of the graph's output passes through `text`, so that none of it is taken for more
than characters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from rich.text import Text

from anyiostream import ChannelStatistics, RunStatistics
from anyiostream.cli.terminal.model import RunModel
from anyiostream.cli.terminal.nodes import Node, Speech, ToolCall
from anyiostream.cli.terminal.text import one_line, tail
from anyiostream.cli.terminal.values import LONGEST_VALUE, arguments_line, count, duration, value_line

__all__ = ["MARKS", "node_line", "region_lines", "waits"]

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

TAIL: Final = 4
"""Lines of a message under way that are shown, if there is room."""

LONGEST_GIVEN: Final = 40
"""Characters of a subgraph's input, by which it is told from the others."""

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


def waits(statistics: RunStatistics) -> list[str]:
    """Who waits for whom, as far as the statistics tell."""
    told = []
    full = [channel for channel in statistics.channels.values() if channel.waiting]
    if statistics.outbox and full:
        names = " and ".join(repr(channel.name) for channel in full)
        told.append(f"the graph waits until {names} has been read: its buffer is full")
    elif statistics.inbox and not statistics.parked:
        told.append(f"the graph is {count(statistics.inbox, 'part')} ahead of this view")
    elif statistics.parked:
        told.append("everything is read; this view waits for the graph")
    if statistics.scheduled:
        told.append(f"{count(statistics.scheduled, 'scheduled task')} at work")
    return told


# --- the region ---


def _node_rows(
    node: Node, now: float, width: int, *, tail_lines: int, ended: bool = True, prefix: str = ""
) -> Iterator[Text]:
    """A subgraph and everything inside, a line each; deep trees need no deep recursion."""
    pending: list[tuple[Node, str, str, bool]] = [(node, prefix, prefix, False)]
    while pending:
        current, first, inner, several = pending.pop()
        yield node_line(current, now, first, several=several)
        children, groups = _grouped(current, ended=ended)
        under_way = inner + ("│ " if children else "  ")
        for speech in current.messages.values():
            yield from _speech_rows(speech, now, width, under_way, tail_lines)
        for tool in current.tools.values():
            yield _tool_row(tool, now, under_way)
        for (name, status), number in groups.items():
            mark, style = MARKS.get(status, ("·", ""))
            yield Text.assemble((under_way, "dim"), (mark, style), f" {number} {one_line(name, 60)} ", (status, style))
        shown = sum(groups.values()) + len(children)
        hidden = current.forgotten + len(current.children) - shown
        if hidden:
            yield Text(f"{under_way}· {hidden} more ended", style="dim")
        last = children[-1] if children else None
        pending += [
            (
                child,
                inner + ("└ " if child is last else "├ "),
                inner + ("  " if child is last else "│ "),
                current.has_several(child),
            )
            for child in reversed(children)
        ]


def _grouped(node: Node, *, ended: bool) -> tuple[list[Node], Counter[tuple[str, str]]]:
    """The subgraphs of a node that have a line of their own, and how many workers of a kind have ended alike."""
    alike = Counter((child.name, child.status) for child in node.children.values() if not child.is_open)
    groups = Counter({kind: number for kind, number in alike.items() if number > 1 and ended})
    own = [
        child
        for child in node.children.values()
        if child.is_open or (ended and (child.name, child.status) not in groups)
    ]
    return own, groups


def node_line(node: Node, now: float, prefix: str = "", *, several: bool = False) -> Text:
    """A graph, on one line: how it stands, which it is of several, what it was given, and for how long."""
    mark, style = MARKS.get(node.status, (SPINNER[int(now * PACE) % len(SPINNER)], "cyan"))
    line = Text(prefix, style="dim", end="")
    line = Text.assemble(line, (mark, style), " ", (one_line(node.name, 60), "bold"))
    if several:
        line.append(f" #{node.number}", style="bold")
        line.append(f" {value_line(node.given, LONGEST_GIVEN)}" if node.given is not None else "")
    line.append(f" {node.status}", style=style)
    line.append(f" {duration((node.until if node.until is not None else now) - node.since)}", style="dim")
    if node.snapshots:
        line.append(f"  {count(node.snapshots, 'state')}", style="dim")
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
    head.append(f"  {count(len(text), 'character')}" if text else "", style="dim")
    yield head
    indent = f"{prefix}  "
    for row in tail(text, max(2, width - len(indent)), lines):
        yield Text.assemble((indent, "dim"), (row, style))


def _tool_row(tool: ToolCall, now: float, prefix: str) -> Text:
    line = Text.assemble((prefix, "dim"), ("⚙ ", "blue"), (one_line(tool.name, 60), "blue"))
    line.append(f"({arguments_line(tool.given)}) {duration(now - tool.since)}")
    if tool.latest is not None:
        line.append(f"  {value_line(tool.latest, LONGEST_VALUE)}", style="dim")
    return line


def _levels(statistics: RunStatistics) -> list[Text]:
    line = Text("buffered ", style="dim")
    for name, channel in statistics.channels.items():
        if channel.readers or channel.waiting:
            line.append_text(_level(name, channel))
            line.append("  ")
    if statistics.inbox:
        line.append(f"read ahead: {statistics.inbox}  ", style="dim")
    told = "; ".join(waits(statistics))
    return [line, Text(told, style="dim")] if told else [line]


def _level(name: str, channel: ChannelStatistics) -> Text:
    level = channel.depth / channel.maxlen  # 0 if there is no bound
    filled = min(BAR, round(level * BAR))
    style = "red" if channel.waiting or level >= 1 else "green"
    most = "∞" if channel.maxlen == float("inf") else f"{channel.maxlen:.0f}"
    text = Text.assemble(f"{one_line(name, 30)} ", ("█" * filled, style), ("░" * (BAR - filled), "dim"))
    text.append(f" {channel.depth} of {most}")
    if channel.waiting:
        text.append(f", {channel.waiting} waiting for room", style="red")
    if channel.dropped:
        text.append(f", {channel.dropped} dropped", style="yellow")
    return text
