"""What ends a run, and what that does in each phase of one: the ways in which a run ends, and their legal orders."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final, Literal, final

__all__ = ["ENDS", "Effect", "End", "Phase", "RunStatus"]

RunStatus = Literal["running", "completed", "failed", "interrupted", "drained", "aborted"]
"""How a run stands. Everything but `running` is final."""


@final
class End(enum.Enum):
    """What ends a run."""

    COMPLETE = "the source has come to its end"
    INTERRUPT = "the source raised `GraphInterrupt`"
    DRAIN = "the source raised `RunDrained`"
    FAIL = "the source raised, or a hook that is called"
    JOB_FAIL = "a hook that is awaited raised"
    INTERJECT = "scheduled work failed, or an interrupt came between two steps"
    ABORT_INSIDE = "a hook, scheduled work or the graph asked for `abort()`"
    ABORT = "anybody else did, or the block is left"


@final
class Phase(enum.IntEnum):
    """How far a run has come: a column of `ENDS`."""

    RUNNING = 0  # parts are dispatched
    AWAITING = 1  # a hook of an event is awaited: there is a `job`
    ENDING = 2  # how it ends is known; hooks are being called, or the event in which that became known is dispatched
    ENDED = 3  # the terminal state has been published


@final
class Effect(enum.Enum):
    """What an end does."""

    NOW = "the run ends with it"
    NEXT = "the run ends with it at the next step"
    CUT = "the job is given up, and the run ends with it"
    KEPT = "a good ending becomes this one, if it still can; otherwise the error is kept for the exit"
    NONE = "nothing"


NOW, NEXT, CUT, KEPT, NONE = Effect

# fmt: off
ENDS: Final[Mapping[End, tuple[RunStatus, tuple[Effect | None, ...]]]] = {
    #                   status         RUNNING AWAITING ENDING ENDED
    End.COMPLETE:     ("completed",   (NOW,    None,    None,  None)),
    End.INTERRUPT:    ("interrupted", (NOW,    None,    None,  None)),
    End.DRAIN:        ("drained",     (NOW,    None,    None,  None)),
    End.FAIL:         ("failed",      (NOW,    None,    NOW,   None)),  # a hook may ask for an abort, and then raise
    End.JOB_FAIL:     ("failed",      (None,   NOW,     NOW,   NONE)),  # the last: of the end of a subgraph's handle
    End.INTERJECT:    ("failed",      (NEXT,   NEXT,    KEPT,  KEPT)),
    End.ABORT_INSIDE: ("aborted",     (NEXT,   NEXT,    NONE,  NONE)),
    End.ABORT:        ("aborted",     (NOW,    CUT,     CUT,   NONE)),
}
# fmt: on
"""What ends a run -> its status then, and what it does in each phase; `None` where it cannot come."""
