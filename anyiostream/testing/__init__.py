"""What tests of transformers, graphs and readers want.

Scripted graphs and models, recordings and comparisons; event loops that a seed makes repeatable, and faults on cue. The
LangChain model is in `anyiostream.testing.langchain`, as it needs the `langgraph` extra.
"""

from __future__ import annotations

from anyiostream.testing.comparing import Difference, assert_items, compare_items
from anyiostream.testing.deadlock import Deadlock
from anyiostream.testing.feeding import HookReturnedNothing, afeed, feed
from anyiostream.testing.loops import SeededLoop, run_seeded
from anyiostream.testing.models import FakeChatModel, Reply, ScriptExhausted
from anyiostream.testing.recording import EventRecorder, Recording, arecord, record
from anyiostream.testing.sources import Gate, GateHeld, Pause, ScriptedSource, Step
from anyiostream.testing.steps import Cancellation, Means, StepWatch, at_suspension, at_time, at_turn

__all__ = [
    "Cancellation",
    "Deadlock",
    "Difference",
    "EventRecorder",
    "FakeChatModel",
    "Gate",
    "GateHeld",
    "HookReturnedNothing",
    "Means",
    "Pause",
    "Recording",
    "Reply",
    "ScriptExhausted",
    "ScriptedSource",
    "SeededLoop",
    "Step",
    "StepWatch",
    "afeed",
    "arecord",
    "assert_items",
    "at_suspension",
    "at_time",
    "at_turn",
    "compare_items",
    "feed",
    "record",
    "run_seeded",
]
