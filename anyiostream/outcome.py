"""`Outcome`: how a run, a subgraph, or the stream of one reader ended."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Final, Literal, final

import attrs

from anyiostream.errors import RunAborted, RunDrained, SubgraphFailed
from anyiostream.foreign import interrupts_of, is_drain
from anyiostream.forms import text_of

__all__ = ["COMPLETED", "INTERRUPTED", "Outcome", "OutcomeStatus"]

OutcomeStatus = Literal["completed", "failed", "interrupted", "drained", "aborted"]
"""`interrupted`: the graph waits for its user; `drained`: it stopped at the end of a step, having been asked to;
`aborted`: it was cancelled from outside."""

ErrorState = tuple[TracebackType | None, BaseException | None, BaseException | None, bool]
"""An exception's traceback, cause, context, and whether the context is suppressed."""


@final
@attrs.frozen(eq=False)
class Outcome:
    """How a run, a subgraph, or the stream of one reader ended.

    One exception object is raised for many readers. Each `raise` extends its traceback and may set its context, so
    that every reader would keep alive the frames of all readers before it. The outcome therefore records the error's
    state when it is made, and `fresh` resets the object to that state.

    Attributes:
        status: How it ended.
        error: What the `fail` hooks get, and what asking for a value raises; `None` if the `finalize` hooks are
            called instead.
        quiet: Whether iteration just ends although there is an error: the run was aborted or drained, or the graph went
            on because the subgraph's node tried again or caught the error.
    """

    status: OutcomeStatus
    error: BaseException | None = None
    quiet: bool = False
    _state: ErrorState | None = attrs.field(
        default=attrs.Factory(lambda outcome: _state_of(outcome.error), takes_self=True), init=False, repr=False
    )

    @classmethod
    def by(cls, error: BaseException) -> Outcome:
        """The outcome of something that `error` ended; iterating readers get the error."""
        if is_drain(error):
            return cls("drained", error)
        if interrupts_of(error) is not None:
            return cls("interrupted", error)
        return cls("aborted" if isinstance(error, RunAborted) else "failed", error)

    @classmethod
    def aborted(cls, what: str = "the run", *, partial: Any = None) -> Outcome:
        """The outcome of an abort: iteration just ends, asking for a value raises `RunAborted`."""
        return cls("aborted", RunAborted(what, partial=partial), quiet=True)

    @classmethod
    def drained(cls, error: RunDrained, what: str = "the run", *, partial: Any = None) -> Outcome:
        """The outcome of a drain: iteration just ends, asking for a value raises `RunDrained`."""
        return cls("drained", error.of(what, partial), quiet=True)

    @property
    def raises(self) -> bool:
        """Whether iterating readers get the error after their last item."""
        return self.error is not None and not self.quiet

    @property
    def message(self) -> str | None:
        """The error's text if it is a failure; the status of other outcomes says it all."""
        return text_of(self.error) if self.error is not None and self.status == "failed" else None

    def fresh(self) -> BaseException:
        """The error, in the state in which it was recorded: `raise outcome.fresh()`."""
        error = self.error
        assert error is not None
        assert self._state is not None
        error.__traceback__, cause, error.__context__, suppressed = self._state
        if not isinstance(error, SubgraphFailed):
            error.__cause__ = cause  # the cause of that one becomes known later, when the run fails with the same error
        error.__suppress_context__ = suppressed  # setting the cause has set it
        return error


def _state_of(error: BaseException | None) -> ErrorState | None:
    if error is None:
        return None
    return error.__traceback__, error.__cause__, error.__context__, error.__suppress_context__


COMPLETED: Final = Outcome("completed")
"""The usual outcome."""

INTERRUPTED: Final = Outcome("interrupted")
"""The graph waits for its user. Nothing failed: readers' iterations just end, and `finalize` hooks are called."""
