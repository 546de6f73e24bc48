"""A turn in fewer events, which amount to the same."""

from __future__ import annotations

from typing import Any

import attrs

from anyiostream.wire import Draft, compacted


def message(event: str, **fields: Any) -> Draft:
    """An event of a message."""
    return Draft("messages", (), {"event": event, "id": "m", "run_id": "r", **fields}, 1)


def text(said: str, index: int = 0) -> Draft:
    """A piece of a text."""
    return message("content-block-delta", index=index, delta={"type": "text-delta", "text": said})


def values(state: Any, *at: str) -> Draft:
    """A snapshot."""
    return Draft("values", at, state, 1)


def output(delta: Any, call: str = "c") -> Draft:
    """A piece of a tool's output."""
    return Draft("tools", (), {"event": "tool-output-delta", "tool_call_id": call, "delta": delta}, 1)


def test_pieces_are_joined_where_the_first_one_was() -> None:
    """Whatever else is said meanwhile; what was given is left as it is."""
    given = [text("a"), text("1", index=1), text("b"), output("x"), output("y"), text("2", index=1)]
    assert compacted(given) == [text("ab"), text("12", index=1), output("xy")]
    assert given[0] == text("a")


def test_arguments_say_twice_what_they_are() -> None:
    """Both ways are joined."""

    def piece(args: str) -> Draft:
        delta, content = {"type": "tool-call-delta", "args": args}, {"type": "tool_call_chunk", "args": args}
        return message("content-block-delta", index=0, delta=delta, content=content)

    assert compacted([piece("{"), piece("}")]) == [piece("{}")]


def test_a_block_that_has_ended_is_not_gone_on_with() -> None:
    """Nor is a message that begins anew under its id, or a tool that is called once more."""
    for bound in (message("content-block-finish", index=0, content={}), message("message-start")):
        assert compacted([text("a"), bound, text("b")]) == [text("a"), bound, text("b")]
    other = message("content-block-finish", index=1, content={})
    assert compacted([text("a"), other, text("b")]) == [text("ab"), other]
    again = Draft("tools", (), {"event": "tool-started", "tool_call_id": "c"}, 1)
    assert compacted([output("x"), again, output("y")]) == [output("x"), again, output("y")]


def test_the_last_snapshot_of_each_graph_stands() -> None:
    """Where its first one was."""
    assert compacted([values(1), values(2, "a"), values(3)]) == [values(3), values(2, "a")]


def test_what_is_no_piece_of_a_text_stays() -> None:
    """Of tools that write something else, and of events that cannot be read."""
    odd = [output({"a": 1}), output({"b": 2}), Draft("messages", (), None, 1), Draft("tools", (), 3, 1)]
    assert compacted(odd) == odd


def test_what_is_abridged_says_so() -> None:
    """A piece of several does; a snapshot does if it is the one that stands."""
    mark = {"abridged": {"bytes": 2, "limit": 1}}
    for pieces in ([attrs.evolve(text("a"), extra=mark), text("b")], [text("a"), attrs.evolve(text("b"), extra=mark)]):
        assert compacted(pieces) == [attrs.evolve(text("ab"), extra=mark)]
    whole, part = values(1), attrs.evolve(values(2), extra=mark)
    assert compacted([whole, part]) == [part]
    assert compacted([part, whole]) == [whole]
