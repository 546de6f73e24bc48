"""How something ended, and raising one exception object for many readers."""

from __future__ import annotations

import traceback

import pytest
from langgraph.errors import GraphDrained

from anyiostream import GraphInterrupt, RunAborted
from anyiostream.outcome import COMPLETED, INTERRUPTED, Outcome


def failed(message: str = "no") -> ValueError:
    """An exception that has been raised once, from another one, while a third was handled."""
    try:
        try:
            raise KeyError("context")
        except KeyError:
            raise ValueError(message) from OSError("cause")
    except ValueError as exc:
        return exc


def raise_afresh(outcome: Outcome) -> BaseException:
    """What a reader gets that catches it while it handles something else."""
    try:
        raise LookupError("the reader's own trouble")
    except LookupError:
        with pytest.raises(ValueError, match="no") as caught:
            raise outcome.fresh()  # noqa: B904 -- what happens without `from` is what is tested
        return caught.value


def test_the_object_is_the_original() -> None:
    """Every reader gets the very object that ended the run."""
    error = failed()
    outcome = Outcome.by(error)
    assert outcome.error is error
    assert raise_afresh(outcome) is error
    assert raise_afresh(outcome) is error


def test_the_traceback_does_not_grow() -> None:
    """Raising it for a thousand readers leaves no frame of theirs in the traceback of the next."""
    error = failed()
    frames = len(traceback.extract_tb(error.__traceback__))
    outcome = Outcome.by(error)
    for _ in range(1000):
        raise_afresh(outcome)
    assert len(traceback.extract_tb(outcome.fresh().__traceback__)) == frames


def test_cause_and_context_are_those_of_the_failure() -> None:
    """What a reader was handling when it got the error is not left as the error's context."""
    error = failed()
    cause, context, suppressed = error.__cause__, error.__context__, error.__suppress_context__
    outcome = Outcome.by(error)
    raise_afresh(outcome)
    fresh = outcome.fresh()
    assert fresh.__cause__ is cause
    assert fresh.__context__ is context
    assert fresh.__suppress_context__ is suppressed


def test_setting_the_cause_does_not_unsuppress_the_context() -> None:
    """An error without a cause keeps showing its context, and one raised `from None` keeps hiding it."""
    shown = ValueError("no")
    shown.__context__ = KeyError("context")
    assert Outcome.by(shown).fresh().__suppress_context__ is False
    hidden = ValueError("no")
    hidden.__suppress_context__ = True
    assert Outcome.by(hidden).fresh().__suppress_context__ is True


def test_an_error_that_was_never_raised_can_be_recorded() -> None:
    """An exception object made by hand has no traceback, and gets none that lasts."""
    outcome = Outcome.by(ValueError("no"))
    raise_afresh(outcome)
    assert outcome.fresh().__traceback__ is None


# --- how it ended ---


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (GraphInterrupt(), "interrupted", None),
        (GraphDrained(), "drained", None),
        (RunAborted(), "aborted", None),
        (ValueError("no"), "failed", "no"),
    ],
)
def test_the_error_tells_the_status(error: BaseException, status: str, text: str | None) -> None:
    """Control flow is no failure."""
    outcome = Outcome.by(error)
    assert (outcome.status, outcome.message) == (status, text)


def test_subclasses_of_control_flow_exceptions_count() -> None:
    """LangGraph's own subclasses of an interrupt are interrupts."""

    class NodeInterrupt(GraphInterrupt):
        pass

    assert Outcome.by(NodeInterrupt()).status == "interrupted"


@pytest.mark.parametrize(
    ("outcome", "raises"),
    [
        (COMPLETED, False),
        (INTERRUPTED, False),
        (Outcome.by(ValueError("no")), True),
        (Outcome.by(RunAborted()), True),
        (Outcome.aborted(), False),
        (Outcome("failed", ValueError("no"), quiet=True), False),
    ],
)
def test_iteration_raises_unless_the_end_is_good_or_quiet(outcome: Outcome, raises: bool) -> None:
    """An abort, and an error that the graph has handled, just end it; an error that is an abort is still an error."""
    assert outcome.raises is raises


def test_an_abort_carries_what_there_was() -> None:
    """Asking for a value raises `RunAborted` with the value so far."""
    outcome = Outcome.aborted("the message", partial="Hel")
    with pytest.raises(RunAborted, match="the message was aborted") as caught:
        raise outcome.fresh()
    assert caught.value.partial == "Hel"
    assert outcome.message is None


def test_a_good_outcome_records_nothing() -> None:
    """It has no error to raise, and no text."""
    assert (COMPLETED.error, COMPLETED.message) == (None, None)
