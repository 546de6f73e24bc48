"""Raising one exception object for many readers."""

from __future__ import annotations

import traceback

import pytest

from anyiostream.channels.raising import Recorded


def failed(message: str = "no") -> ValueError:
    """An exception that has been raised once, from another one, while a third was handled."""
    try:
        try:
            raise KeyError("context")
        except KeyError:
            raise ValueError(message) from OSError("cause")
    except ValueError as exc:
        return exc


def raise_afresh(recorded: Recorded) -> BaseException:
    """What a reader gets that catches it while it handles something else."""
    try:
        raise LookupError("the reader's own trouble")
    except LookupError:
        with pytest.raises(ValueError, match="no") as caught:
            raise recorded.fresh()  # noqa: B904 -- what happens without `from` is what is tested
        return caught.value


def test_the_object_is_the_original() -> None:
    """Every reader gets the very object that ended the run."""
    error = failed()
    recorded = Recorded.of(error)
    assert recorded.error is error
    assert raise_afresh(recorded) is error
    assert raise_afresh(recorded) is error


def test_the_traceback_does_not_grow() -> None:
    """Raising it for a thousand readers leaves no frame of theirs in the traceback of the next."""
    error = failed()
    frames = len(traceback.extract_tb(error.__traceback__))
    recorded = Recorded.of(error)
    for _ in range(1000):
        raise_afresh(recorded)
    assert len(traceback.extract_tb(recorded.fresh().__traceback__)) == frames


def test_cause_and_context_are_those_of_the_failure() -> None:
    """What a reader was handling when it got the error is not left as the error's context."""
    error = failed()
    cause, context, suppressed = error.__cause__, error.__context__, error.__suppress_context__
    recorded = Recorded.of(error)
    raise_afresh(recorded)
    fresh = recorded.fresh()
    assert fresh.__cause__ is cause
    assert fresh.__context__ is context
    assert fresh.__suppress_context__ is suppressed


def test_setting_the_cause_does_not_unsuppress_the_context() -> None:
    """An error without a cause keeps showing its context, and one raised `from None` keeps hiding it."""
    shown = ValueError("no")
    shown.__context__ = KeyError("context")
    assert Recorded.of(shown).fresh().__suppress_context__ is False
    hidden = ValueError("no")
    hidden.__suppress_context__ = True
    assert Recorded.of(hidden).fresh().__suppress_context__ is True


def test_an_error_that_was_never_raised_can_be_recorded() -> None:
    """An exception object made by hand has no traceback, and gets none that lasts."""
    recorded = Recorded.of(ValueError("no"))
    raise_afresh(recorded)
    assert recorded.fresh().__traceback__ is None
