"""What a log is told of an exception: whatever its texts are, each has one line."""

from __future__ import annotations

import io
import logging
import sys
from typing import Any, NoReturn

import pytest

from anyiostream.logged import loggable, visible

FORGED = "x\nERROR root forged\r\x1b[2J\u2028\u2029\x85\u202e"


class Told(Exception):
    """Has a text of its own."""

    def __str__(self) -> str:
        return FORGED


class Hidden(Exception):
    """Ends whatever looks at it."""

    @property
    def __notes__(self) -> NoReturn:
        raise SystemExit

    def __str__(self) -> NoReturn:
        raise SystemExit


class Sly:
    """Ends whatever wants to know what it has."""

    def __dir__(self) -> NoReturn:
        raise SystemExit


def noted() -> Exception:
    """An exception whose note would forge a line."""
    error = ValueError("plain")
    error.add_note(FORGED)
    return error


def caused() -> Exception:
    """One whose cause and context would."""
    error = ValueError("plain")
    error.__cause__, error.__context__ = ValueError(FORGED), TypeError(FORGED)
    return error


def round_about() -> Exception:
    """A group that its own error refers to."""
    inner = ValueError(FORGED)
    group = ExceptionGroup("g", [inner])
    inner.__cause__ = group
    return group


KINDS = {
    "text": lambda: ValueError(FORGED),
    "own text": Told,
    "note": noted,
    "cause": caused,
    "group": lambda: ExceptionGroup(FORGED, [ValueError(FORGED), Told()]),
    "round about": round_about,
    "name": type(FORGED, (Exception,), {"__module__": FORGED, "__qualname__": FORGED}),
    "syntax": lambda: SyntaxError("bad", ("f\nERROR root forged", 1, 1, FORGED)),
    "hidden": Hidden,
    "sly": lambda: AttributeError("plain", name="x", obj=Sly()),
}


def written(error: BaseException) -> str:
    """What a handler writes, with the formatter that programs have."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    record = logging.makeLogRecord({"msg": "said", "exc_info": (type(error), error, error.__traceback__)})
    handler.emit(record)
    return stream.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_begins_a_line(kind: str) -> None:
    """Nor moves a cursor; the traceback is there, and what was raised is named."""
    make: Any = KINDS[kind]
    try:
        raise make()
    except Exception as exc:
        shown = loggable(exc)
    assert shown is not None
    text = written(shown)
    assert "in test_no_text_begins_a_line" in text
    assert not [line for line in text.splitlines() if line.strip(" |").startswith("ERROR")]
    assert visible(text.replace("\n", "")) == text.replace("\n", "")
    if kind not in {"syntax", "hidden", "sly"}:
        assert "\\nERROR root forged\\r\\x1b[2J\\u2028\\u2029\\x85\\u202e" in text


def test_an_error_without_anything_of_that_is_itself() -> None:
    """For handlers that look at its class."""

    class Own(Exception):
        pass

    for error in (Own("x"), OSError(2, "no such file"), ExceptionGroup("g", [ValueError(1)])):
        assert loggable(error) is error


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python does not write them to logs")
def test_names_that_might_have_been_meant_are_told() -> None:
    """As Python does it."""
    try:
        "".uper()  # type: ignore[attr-defined]
    except AttributeError as exc:
        shown = loggable(exc)
    assert shown is not None
    assert "Did you mean: 'upper'" in written(shown)
