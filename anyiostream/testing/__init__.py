"""What tests of transformers, graphs and readers want: scripted graphs and models, recordings, comparisons.

The LangChain model is in `anyiostream.testing.langchain`, as it needs the extra `langgraph`.
"""

from __future__ import annotations

from anyiostream.testing.comparing import Difference, assert_items, compare_items
from anyiostream.testing.feeding import HookReturnedNothing, afeed, feed
from anyiostream.testing.models import FakeChatModel, Reply, ScriptExhausted
from anyiostream.testing.recording import EventRecorder, Recording, arecord, record
from anyiostream.testing.sources import Gate, GateHeld, Pause, ScriptedSource, Step

__all__ = [
    "Difference",
    "EventRecorder",
    "FakeChatModel",
    "Gate",
    "GateHeld",
    "HookReturnedNothing",
    "Pause",
    "Recording",
    "Reply",
    "ScriptExhausted",
    "ScriptedSource",
    "Step",
    "afeed",
    "arecord",
    "assert_items",
    "compare_items",
    "feed",
    "record",
]
