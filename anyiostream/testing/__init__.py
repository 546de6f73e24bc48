"""What tests of transformers and of applications want: event loops that a seed makes repeatable, and faults on cue."""

from anyiostream.testing.deadlock import Deadlock
from anyiostream.testing.loops import SeededLoop, run_seeded
from anyiostream.testing.steps import Cancellation, Means, StepWatch, at_suspension, at_time, at_turn

__all__ = [
    "Cancellation",
    "Deadlock",
    "Means",
    "SeededLoop",
    "StepWatch",
    "at_suspension",
    "at_time",
    "at_turn",
    "run_seeded",
]
