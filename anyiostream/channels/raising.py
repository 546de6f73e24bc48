"""Raising one exception object for many readers."""

from __future__ import annotations

from types import TracebackType

import attrs

from anyiostream.errors import SubgraphFailed

__all__ = ["Recorded"]


@attrs.frozen(eq=False)
class Recorded:
    """An exception as it was when it ended a run, to be raised for each reader anew.

    Each `raise` extends the object's traceback and may set its context, so that without a reset every reader would
    pin the frames of all readers before it.

    Attributes:
        error: The original object.
    """

    error: BaseException
    _traceback: TracebackType | None
    _cause: BaseException | None
    _context: BaseException | None
    _suppressed: bool

    @classmethod
    def of(cls, error: BaseException) -> Recorded:
        """Record `error` as it is now."""
        return cls(error, error.__traceback__, error.__cause__, error.__context__, error.__suppress_context__)

    def fresh(self) -> BaseException:
        """The original object, in the state in which it was recorded: `raise recorded.fresh()`."""
        error = self.error
        error.__traceback__ = self._traceback
        if not isinstance(error, SubgraphFailed):
            error.__cause__ = self._cause  # of that one, the cause becomes known later
        error.__context__ = self._context
        error.__suppress_context__ = self._suppressed
        return error
