"""The view's model, and what it looks like, without a run or a terminal."""

from __future__ import annotations

import io
import math
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from anyiostream import ChannelStatistics, ProtocolEvent, RunStatistics, convert_to_protocol_event, parts
from anyiostream.cli.terminal.entries import entry_lines, result_lines
from anyiostream.cli.terminal.given import GIVEN
from anyiostream.cli.terminal.live import PrintedLines
from anyiostream.cli.terminal.model import UNSHOWN, RunModel
from anyiostream.cli.terminal.nodes import KEPT, Data, Message, ToolUse
from anyiostream.cli.terminal.render import region_lines, waits
from anyiostream.cli.terminal.screen import Screen
from anyiostream.cli.terminal.text import one_line, printable, tail
from anyiostream.cli.terminal.values import duration

from ..messages.reading import delta, finish, part, start, text_message

SUB = ("inner:1",)
CHANNEL = ChannelStatistics(
    "events", 64, "wait", readers=1, depth=16, waiting=0, waits=0, peak=20, dropped=0, unread=0, ended=False
)
IDLE = RunStatistics("running", 10, 0, 0, 0, 0, 0, {"events": CHANNEL})


def lifecycle(event: str, *namespace: str, **fields: Any) -> ProtocolEvent:
    """An item of `run.lifecycle`, as an event."""
    data = {"event": event, "namespace": list(namespace), **fields}
    return convert_to_protocol_event({"type": "lifecycle", "ns": (), "data": data})


def model_of(*given: Any) -> RunModel:
    """A model that has taken parts or events, one each second."""
    model = RunModel("graph", 0)
    for second, each in enumerate(given, 1):
        model.apply(each if each.get("type") == "event" else convert_to_protocol_event(each), second)
    return model


def look(model: RunModel, now: float = 10, *, width: int = 80, height: int = 20, statistics: Any = None) -> list[str]:
    """The region's lines, as text."""
    return [line.plain for line in region_lines(model, statistics, now, width=width, height=height)]


def recorded(lines: list[Text]) -> str:
    """What a console shows of lines."""
    console = Console(file=io.StringIO(), record=True, width=200, force_terminal=True)
    for line in lines:
        console.print(line)
    return console.export_text()


# --- the model ---


def test_a_message_goes_from_the_tree_to_the_log() -> None:
    """While it is under way it is with its graph; when it ends, the log has it whole."""
    model = model_of(part(start(id="m"), langgraph_node="think"), part(delta("text", "Hel")))
    (speech,) = model.root.messages.values()
    assert (speech.node, speech.record.final_text()) == ("think", "Hel")
    assert model.take_log() == []
    for event in (delta("text", "lo"), finish(usage={"input_tokens": 3, "output_tokens": 1})):
        model.apply(convert_to_protocol_event(part(event)), 5)
    assert model.root.messages == {}
    assert model.take_log() == [
        Message((), "think", "Hello", "", (), {"input_tokens": 3, "output_tokens": 1}, 4, "finished")
    ]
    assert model.take_log() == []


def test_a_message_with_an_error_is_told() -> None:
    """Its text so far is kept."""
    model = model_of(part(start()), part(delta("text", "Hel")), part({"event": "error", "message": "lost"}))
    (message,) = model.take_log()
    assert isinstance(message, Message)
    assert (message.text, message.ended) == ("Hel", "failed")


def test_messages_of_several_calls_are_told_apart() -> None:
    """By their run id, also in one graph."""
    model = model_of(
        part(start(), "a"), part(start(), "b"), part(delta("text", "B"), "b"), part(delta("text", "A"), "a"),
        part(finish(), "b"), part(finish(), "a"),
    )  # fmt: skip
    assert [entry.text for entry in model.take_log() if isinstance(entry, Message)] == ["B", "A"]


def test_a_tool_call_goes_from_the_tree_to_the_log() -> None:
    """With its arguments, its output, and where it was made."""
    model = model_of(
        lifecycle("started", *SUB, graph_name="researcher"),
        parts.tools({"event": "tool-started", "tool_call_id": "t", "tool_name": "search", "input": {"q": 1}}, ns=SUB),
        parts.tools({"event": "tool-output-delta", "tool_call_id": "t", "delta": "half"}, ns=SUB),
    )
    (node,) = model.root.children.values()
    assert (node.tools["t"].name, node.tools["t"].latest) == ("search", "half")
    model.apply(
        convert_to_protocol_event(parts.tools({"event": "tool-error", "tool_call_id": "t", "message": "no"}, ns=SUB)), 9
    )
    assert model.take_log() == [ToolUse(("researcher",), "search", {"q": 1}, None, "no", 7)]
    assert node.tools == {}


def test_an_error_that_is_a_tools_answer_is_an_error() -> None:
    """As one that it raises."""
    answer = {"type": "tool", "content": "no", "tool_call_id": "t", "status": "error"}
    model = model_of(
        parts.tools({"event": "tool-started", "tool_call_id": "t", "tool_name": "search", "input": {}}),
        parts.tools({"event": "tool-finished", "tool_call_id": "t", "output": answer}),
    )
    (entry,) = model.take_log()
    assert isinstance(entry, ToolUse)
    assert (entry.output, entry.error) == (answer, "no")


@pytest.mark.parametrize(
    ("status", "text", "ended"),
    [
        ("interrupted", "interrupted", "interrupted"),
        ("aborted", "aborted", "aborted"),
        ("failed", "its graph failed", "failed"),
        ("completed", "it broke off", "failed"),
    ],
)
def test_a_tool_call_that_its_graph_leaves_open_says_why(status: str, text: str, ended: str) -> None:
    """One that asks its user has not failed."""
    model = model_of(
        lifecycle("started", *SUB, graph_name="researcher"),
        parts.tools({"event": "tool-started", "tool_call_id": "t", "tool_name": "search", "input": {}}, ns=SUB),
        lifecycle(status, *SUB),
    )
    (entry,) = model.take_log()
    assert isinstance(entry, ToolUse)
    assert (entry.error, entry.ended) == (text, ended)


def test_events_of_unknown_calls_are_passed_over() -> None:
    """Those whose start was not seen, and payloads of another shape."""
    model = model_of(
        part(delta("text", "?")),
        parts.tools({"event": "tool-finished", "tool_call_id": "t"}),
        {"type": "tools", "ns": (), "data": None},
        {"type": "messages", "ns": (), "data": 3},
    )
    assert model.take_log() == []
    assert model.events == 4


def test_the_tree_follows_lifecycle() -> None:
    """Subgraphs at any depth, with their status, times and errors."""
    model = model_of(
        lifecycle("running"),
        lifecycle("started", "a:1", graph_name="researcher"),
        lifecycle("started", "a:1", "b:2", graph_name="writer"),
        lifecycle("failed", "a:1", "b:2", error="no"),
        lifecycle("completed", "a:1"),
    )
    assert [(node.name, node.status, node.since, node.until, node.error) for node in model.root.walk()] == [
        ("graph", "running", 0, None, None),
        ("researcher", "completed", 2, 5, None),
        ("writer", "failed", 3, 4, "no"),
    ]


def test_a_subgraph_that_speaks_before_it_is_announced_is_in_the_tree() -> None:
    """With the name of its node, in the nearest graph round it that has been seen."""
    model = model_of(parts.values({}, ns=("a:1",)), parts.values({}, ns=("a:1", "called:2", "b:3")))
    assert [node.name for node in model.root.walk()] == ["graph", "a", "b"]
    assert [node.name for node in model.root.children.values()] == ["a"]


def test_further_calls_of_a_subgraph_are_its_siblings() -> None:
    """Each is named like the node, stands beside the first one, and ends alone."""
    starts = [lifecycle("started", *namespace) for namespace in (("a:1",), ("a:1", "1"), ("a:1", "1", "b:2"))]
    model = model_of(*starts, lifecycle("failed", "a:1", error="no"), parts.values({}, ns=("a:1", "1", "b:2")))
    first, second = model.root.children.values()
    assert [(first.name, first.status), (second.name, second.status)] == [("a", "failed"), ("a", "running")]
    assert [node.name for node in second.walk()] == ["a", "b"]


def test_ended_subgraphs_are_forgotten_but_counted() -> None:
    """A parent keeps the last few, so that a run of many stays small."""
    events = [
        event for n in range(50) for event in (lifecycle("started", f"lap:{n}"), lifecycle("completed", f"lap:{n}"))
    ]
    model = model_of(*events, lifecycle("started", "lap:last"))
    assert len(model.root.children) == KEPT + 1
    assert model.root.forgotten == 50 - KEPT
    assert [child.is_open for child in model.root.children.values()] == [False] * KEPT + [True]


def test_the_log_is_bounded() -> None:
    """What nobody takes gives way, and is counted."""
    model = model_of(*(parts.custom(n) for n in range(UNSHOWN + 7)))
    log = model.take_log()
    assert (len(log), model.missed) == (UNSHOWN, 7)
    assert log[-1] == Data((), "custom", UNSHOWN + 6)


def test_named_channels_are_shown_by_their_name() -> None:
    """And other modes by theirs."""
    model = model_of({"type": "custom:scores", "ns": (), "data": 1}, parts.updates({"n": 2}, ns=SUB))
    assert model.take_log() == [Data((), "scores", 1), Data(("inner",), "updates", {"n": 2})]


def test_interrupts_are_noted_once() -> None:
    """Those of the run itself."""
    model = model_of(parts.values(1, interrupts=["a"]), parts.values(2, interrupts=["a", "b"]))
    assert model.interrupts == ["a", "b"]
    assert model.root.snapshots == 2


def test_the_end_of_the_run_ends_everything() -> None:
    """What is under way goes to the log as it is."""
    model = model_of(lifecycle("started", *SUB), part(start(), ns=SUB), part(delta("text", "cut"), ns=SUB))
    model.conclude("aborted", 9)
    assert [node.status for node in model.root.walk()] == ["aborted", "aborted"]
    (message,) = model.take_log()
    assert isinstance(message, Message)
    assert (message.text, message.ended) == ("cut", "aborted")


# --- what it looks like ---


def test_the_region() -> None:
    """A line for each subgraph, message and tool call, the buffers, and who waits for whom."""
    model = model_of(
        lifecycle("started", "a:1", graph_name="researcher"),
        part(start(), ns=("a:1",), langgraph_node="think"),
        part(delta("text", "Let me\nsee"), ns=("a:1",)),
        lifecycle("started", "b:2", graph_name="writer"),
        lifecycle("completed", "b:2"),
        parts.tools({"event": "tool-started", "tool_call_id": "t", "tool_name": "search", "input": {"q": 1}}),
    )
    assert look(model, 10, statistics=attrs.evolve(IDLE, parked=1)) == [
        "⠋ graph running 10.0 s  6 events",
        "│ ⚙ search(q=1) 4.0 s",
        "├ ⠋ researcher running 9.0 s",
        "│   ▸ think 8.0 s  10 characters",
        "│     Let me",
        "│     see",
        "└ ✓ writer completed 1.0 s",
        "buffered events ██░░░░░░░░ 16 of 64  ",
        "everything is read; this view waits for the graph",
    ]


@given(
    st.integers(2, 60),
    st.integers(1, 12),
    st.lists(st.tuples(st.sampled_from("abcdef"), st.text(max_size=200)), max_size=12),
)
def test_the_region_fits(width: int, height: int, spoken: list[tuple[str, str]]) -> None:
    """Whatever is said where, there are never more lines than fit, and none is wider."""
    model = model_of(
        *(
            each
            for name, text in spoken
            for each in (part(start(), name, ns=(name,)), part(delta("text", text), name, ns=(name,)))
        )
    )
    lines = region_lines(model, IDLE, 3, width=width, height=height)
    assert 1 <= len(lines) <= height
    assert all(cell_len(line.plain) <= width and "\n" not in line.plain for line in lines)


def test_ended_subgraphs_give_way_first() -> None:
    """Where there is no room for all, those that run are shown."""
    ended = [event for n in range(6) for event in (lifecycle("started", f"e{n}:1"), lifecycle("completed", f"e{n}:1"))]
    model = model_of(*ended, lifecycle("started", "runs:1"))
    lines = look(model, height=4)
    assert "· 6 more ended" in lines[1]
    assert "runs running" in lines[2]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, []),
        ({"parked": 2}, ["everything is read; this view waits for the graph"]),
        ({"inbox": 3}, ["the graph is 3 parts ahead of this view"]),
        (
            {"outbox": 2, "parked": 1, "channels": {"custom": attrs.evolve(CHANNEL, name="custom", waiting=2)}},
            ["the graph waits until 'custom' has been read: its buffer is full"],
        ),
        ({"scheduled": 1}, ["1 scheduled task at work"]),
    ],
)
def test_who_waits_for_whom(changes: dict[str, Any], told: list[str]) -> None:
    """As far as the figures of the run tell."""
    assert waits(attrs.evolve(IDLE, **changes)) == told


def test_levels_of_buffers() -> None:
    """Full ones, dropped items, no bound, and none of channels without readers."""
    channels = {
        "full": attrs.evolve(CHANNEL, depth=64, waiting=3),
        "lossy": attrs.evolve(CHANNEL, depth=1, maxlen=1, dropped=9),
        "wide": attrs.evolve(CHANNEL, maxlen=math.inf, depth=1000),
        "unread": attrs.evolve(CHANNEL, readers=0),
    }
    (*_, line, told) = look(model_of(), width=200, statistics=attrs.evolve(IDLE, outbox=3, channels=channels))
    assert "full ██████████ 64 of 64, 3 waiting for room" in line
    assert "lossy ██████████ 1 of 1, 9 dropped" in line
    assert "wide ░░░░░░░░░░ 1000 of ∞" in line
    assert "unread" not in line
    assert told == "the graph waits until 'events' has been read: its buffer is full"


def test_entries_of_the_log() -> None:
    """A message with its tokens and tool calls, a tool call with its output, and data."""
    message = Message(
        ("researcher",), "think", "Yes.", "Hm.", (("search", {"q": "é"}),),
        {"input_tokens": 3, "output_tokens": 1}, 1.5, "finished",
    )  # fmt: skip
    assert recorded(entry_lines(message)).splitlines() == [
        "researcher / think  1.5 s  3 input, 1 output tokens",
        "  Hm.",
        "  Yes.",
        "  → search(q=é)",
    ]
    assert recorded(entry_lines(ToolUse((), "search", {"q": 1}, [2], None, 0.2))) == "⚙ search(q=1) = [2]  200 ms\n"
    asks = ToolUse((), "book", {}, None, "interrupted", 0.2, "interrupted")
    assert recorded(entry_lines(asks)) == "⚙ book() ‖ interrupted  200 ms\n"
    assert recorded(entry_lines(ToolUse((), "book", {}, None, "no", 0.2))) == "⚙ book() ✗ no  200 ms\n"
    assert recorded(entry_lines(Data(("a", "b"), "custom", {"n": 1}))) == 'a / b / custom {"n": 1}\n'


def test_parallel_subgraphs_are_told_apart() -> None:
    """By their number and what they were given; in the log by their number. What has ended alike is one line."""
    told = [{"place": [f"worker:{n}"], "given": {"topic": n}} for n in range(5)]
    tasks = [{"type": GIVEN, "ns": (), "data": each} for each in told]
    begun = [lifecycle("started", f"worker:{n}") for n in range(5)]
    ended = [lifecycle("completed", f"worker:{n}") for n in range(3)]
    model = RunModel("graph", 0)
    for event in (*tasks, *begun, *ended, parts.custom(1, ns=("worker:4",))):
        model.apply(event if event.get("type") == "event" else convert_to_protocol_event(event), 1)
    lines = look(model, 2)
    assert "✓ 3 worker completed" in lines[1]
    assert 'worker #4 {"topic": 3} running' in lines[2]
    assert 'worker #5 {"topic": 4} running' in lines[3]
    assert [entry.where for entry in model.take_log()] == [("worker #5",)]


def test_markdown_is_shown_as_it_is_meant() -> None:
    """Lists, code and emphasis; line breaks stay; what looks like HTML is text."""
    said = "# Plan\n\n- **one**\n- two\n\nfirst\nsecond\n\n```python\nx = 1\n```\n\n<tool>kept</tool>"
    message = Message((), "think", said, "", (), None, 1, "finished")
    text = "\n".join(line.plain for line in entry_lines(message, 60))
    for shown in ("Plan", " • one", " • two", "first\n  second", "x = 1", "<tool>kept</tool>"):
        assert shown in text
    assert "**" not in text


@pytest.mark.parametrize("width", [30, 80, 120])
def test_text_is_broken_between_words(width: int) -> None:
    """In the log and in the region."""
    said = "some words that are longer than a line of this terminal is wide " * 3
    message = Message((), "think", said, said, (), None, 1, "finished")
    for line in entry_lines(message, width)[1:]:
        assert cell_len(line.plain) < width
        assert set(line.plain.split()) <= set(said.split())
    assert set(" ".join(tail(said, width, 10)[1:]).split()) <= set(said.split())


def test_a_long_state_is_readable() -> None:
    """A line for each value; a short one stays on its line."""
    model = model_of()
    model.conclude("completed", 1)
    lines = [line.plain for line in result_lines(model, 1, 40, output={"plan": ["one", "two"], "note": "n" * 40})]
    assert lines[1:4] == ["output", "  {", '    "plan": [']
    message = {"type": "ai", "content": [{"type": "text", "text": "x" * 40}], "additional_kwargs": {}, "id": "m"}
    call = {**message, "content": "", "tool_calls": [{"name": "search", "args": {"q": 1}, "id": "c"}]}
    lines = [line.plain for line in result_lines(model, 1, 40, output={"messages": [message, call]})]
    assert lines[-4:] == [f'      "ai: {"x" * 40}",', '      "ai: search(q=1)"', "    ]", "  }"]


def test_the_result() -> None:
    """The status, and the final state, the interrupts or the error."""
    model = model_of(parts.values(1))
    model.conclude("interrupted", 4)
    lines = result_lines(model, 4, output={"n": 1}, interrupts=["Shall I?"])
    assert [line.plain for line in lines] == [
        "‖ graph interrupted 4.0 s  1 state  1 events",
        "interrupt Shall I?",
        'output {"n": 1}',
    ]
    assert result_lines(model, 4, error="ValueError: \x1b[0m")[-1].plain == "error ValueError: ␛[0m"


def test_a_question_of_langgraph_is_shown_without_its_id() -> None:
    """What is asked is what matters."""
    interrupt = pytest.importorskip("langgraph.types").Interrupt(value={"ask": "this?"}, id="1234")
    model = model_of()
    model.conclude("interrupted", 1)
    assert result_lines(model, 1, interrupts=[interrupt])[1].plain == 'interrupt {"ask": "this?"}'


def test_markup_is_text() -> None:
    """Nothing that the graph says is taken for markup, wherever it turns up."""
    evil = "[red]x[/red] [link=http://a]b[/link]"
    entries = [
        Message((evil,), evil, evil, evil, ((evil, {evil: evil}),), None, 1, "finished"),
        ToolUse((), evil, {evil: evil}, evil, None, 1),
        ToolUse((), evil, evil, None, evil, 1),
        Data((evil,), evil, {evil: evil}),
    ]
    for entry in entries:
        text = recorded(entry_lines(entry))
        assert text.count("[red]x[/red]") >= 3


def test_no_escape_passes_anywhere() -> None:
    """Wherever hostile text turns up, in the log, the region or the result, it is made fit for the terminal."""
    evil = "a\x1b[31m\x9b0m\x07b"
    model = model_of(
        lifecycle("started", f"{evil}:1", graph_name=evil),
        lifecycle("failed", f"{evil}:1", error=evil),
        part(start(), langgraph_node=evil),
        part(delta("text", evil)),
        parts.tools({"event": "tool-started", "tool_call_id": "t", "tool_name": evil, "input": {evil: evil}}),
        parts.tools({"event": "tool-output-delta", "tool_call_id": "t", "delta": evil}),
        parts.tools({"event": "tool-started", "tool_call_id": "u", "tool_name": evil, "input": evil}),
        parts.tools({"event": "tool-error", "tool_call_id": "u", "message": evil}),
        parts.custom({evil: [evil]}, ns=(f"{evil}:1",)),
        {"type": f"custom:{evil}", "ns": (), "data": evil},
    )
    channels = {evil: attrs.evolve(CHANNEL, name=evil, waiting=1)}
    lines = region_lines(model, attrs.evolve(IDLE, outbox=1, channels=channels), 20, width=300, height=50)
    model.conclude("failed", 20, evil)
    for entry in model.take_log():
        lines += entry_lines(entry)
    lines += result_lines(model, 20, output={evil: evil}, interrupts=[evil], error=evil)
    assert len(lines) > 10
    for line in lines:
        assert line.plain.isprintable(), line.plain


@given(st.text())
def test_printable_text_has_nothing_to_act_upon(text: str) -> None:
    """No control characters but newlines and tabs, no halves of characters; and printable text stays as it is."""
    shown = printable(text)
    assert all(c in "\n\t" or not (c < " " or "\x7f" <= c <= "\x9f") for c in shown)
    shown.encode("utf-8")
    assert printable(shown) == shown


def test_text_is_told_from_what_acts() -> None:
    """Escape sequences of either kind, directions, and tags become visible; letters of any script stay."""
    assert printable("\x1b[31m\x9b0m\u202e\U000e0041\r\n\x7f") == "␛[31m\ufffd0m\ufffd\ufffd\n␡"
    assert printable("naïve 日本語 👩\u200d👩 \tabc") == "naïve 日本語 👩\u200d👩 \tabc"
    assert one_line("a\n b\tc" + "x" * 100, 10) == "a b cxxx…"


@given(st.text(), st.integers(2, 30), st.integers(1, 5))
def test_a_tail_fits(text: str, width: int, lines: int) -> None:
    """Lines no wider than the column, and no more than wanted."""
    rows = tail(text, width, lines)
    assert len(rows) <= lines
    assert all(cell_len(row) <= width for row in rows)


def test_a_tail_is_the_end() -> None:
    """Also of text that is megabytes long."""
    assert " ".join(tail("x" * 10_000_000 + "the end", 10, 2)).endswith("the end")
    assert tail("one\ntwo\n\n", 10, 5) == ["one", "two"]
    assert tail("日本語", 4, 5) == ["日本", "語"]


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0123, "12 ms"), (1, "1.0 s"), (61.9, "1:01 min"), (3 * 3600 + 62, "3:01:02 h")]
)
def test_durations(seconds: float, said: str) -> None:
    """In the unit that people would use."""
    assert duration(seconds) == said


# --- the screen ---


def screen_of(width: int = 20) -> tuple[Screen, io.StringIO, Console]:
    """A screen that writes to memory."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, height=10, force_terminal=True, color_system=None)
    return Screen(stream, console), stream, console


def written(stream: io.StringIO) -> str:
    """What has been written since it was last asked."""
    text = stream.getvalue()
    stream.seek(0)
    stream.truncate()
    return text.removeprefix("\x1b[?2026h").removesuffix("\x1b[?2026l")


def test_a_frame_replaces_the_one_before() -> None:
    """The cursor goes up as many lines as there were; the log comes in their place, the region beneath it."""
    screen, stream, _ = screen_of()
    screen.draw([], [Text("one"), Text("two")])
    assert written(stream) == "one\ntwo"
    screen.draw([Text("log")], [Text("three")])
    assert written(stream) == "\r\x1b[1A\x1b[0Jlog\nthree"
    screen.finish([Text("end")])
    assert written(stream) == "\r\x1b[0Jend\n"


def test_a_frame_that_is_the_same_is_not_written() -> None:
    """A run that waits costs the terminal nothing."""
    screen, stream, _ = screen_of()
    screen.draw([], [Text("one")])
    written(stream)
    screen.draw([], [Text("one")])
    assert stream.getvalue() == ""


def test_a_terminal_that_became_narrower() -> None:
    """Has wrapped the lines, and the cursor goes up by what they take now."""
    screen, stream, console = screen_of(20)
    screen.draw([], [Text("x" * 19), Text("y")])
    written(stream)
    console.width = 10
    screen.draw([], [Text("z")])
    assert written(stream) == "\r\x1b[2A\x1b[0Jz"


def test_lines_of_the_log_are_not_cut() -> None:
    """They wrap by themselves, so that they can be copied whole."""
    screen, stream, _ = screen_of(10)
    screen.draw([Text("a" * 35)], [])
    assert written(stream) == "a" * 35 + "\n"


def test_printed_text_becomes_lines() -> None:
    """Whole ones as they come, the last one when the view ends."""
    from collections import deque

    lines: deque[str] = deque()
    stream = PrintedLines(lines)
    print("one\ntwo", end="", file=stream)
    assert list(lines) == ["one"]
    print(" and more", file=stream)
    stream.write("three")
    stream.finish()
    stream.finish()
    assert list(lines) == ["one", "two and more", "three"]


def test_whole_messages_are_read_too() -> None:
    """Parts of plain text messages, as scripts of other tests have them."""
    model = model_of(*text_message("Hel", "lo", langgraph_node="n"))
    assert [entry.text for entry in model.take_log() if isinstance(entry, Message)] == ["Hello"]
