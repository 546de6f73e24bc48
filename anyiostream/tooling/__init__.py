"""What tools around runs are built with: servers, views, tracers, kits for tests.

`anyiostream` itself has the names for programs that run graphs and read them. These are for programs that show,
transport or check other programs' runs. The server, the command line, tracing and the testing kit use these names and
those of `anyiostream`, `anyiostream.errors` and `anyiostream.parts`, and nothing else of the package.

```python
calls = ModelCalls()
for event in calls.events((), ({"event": "message-start", "message_id": "m1"}, {"run_id": "1"})):
    print(event)
print(encode({"namespace": task_path(("research:7", "1"))}))
```
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from anyiostream.encoding import CUT, Encoder, encode
from anyiostream.foreign import leaves
from anyiostream.forms import name_of, text_of
from anyiostream.keyboard import is_interrupt
from anyiostream.logged import loggable, visible
from anyiostream.loops import on_trio
from anyiostream.mux.registrations import make_transformer
from anyiostream.namespaces import around, is_call, task_path
from anyiostream.outcome import COMPLETED, INTERRUPTED, Outcome, OutcomeStatus
from anyiostream.projections.messages.calls import ENDS, CallEvent, ModelCall, ModelCalls
from anyiostream.projections.messages.record import MessageRecord
from anyiostream.projections.tool_calls import tool_failure, tool_key
from anyiostream.sources.compiled import is_langgraph
from anyiostream.sources.langgraph_threads import still_running, threaded_nodes
from anyiostream.sources.lookalikes import Lookalike, called, holds_parts, lookalike, wraps, wrong_call
from anyiostream.state import GraphState
from anyiostream.subgraph_tracker import SubgraphTracker
from anyiostream.subgraphs import HandleMaker, Subgraph, SubgraphObserver, outcome_of_result
from anyiostream.transformer import TransformerPort

__all__ = [
    "COMPLETED",
    "CUT",
    "ENDS",
    "INTERRUPTED",
    "CallEvent",
    "Encoder",
    "GraphState",
    "HandleMaker",
    "Lookalike",
    "MessageRecord",
    "ModelCall",
    "ModelCalls",
    "Outcome",
    "OutcomeStatus",
    "Subgraph",
    "SubgraphObserver",
    "SubgraphTracker",
    "TransformerPort",
    "around",
    "called",
    "close_asyncio",
    "encode",
    "holds_parts",
    "hosted_tasks",
    "is_call",
    "is_interrupt",
    "is_langgraph",
    "leaves",
    "loggable",
    "lookalike",
    "make_transformer",
    "name_of",
    "on_trio",
    "outcome_of_result",
    "still_running",
    "task_path",
    "text_of",
    "threaded_nodes",
    "tool_failure",
    "tool_key",
    "visible",
    "wraps",
    "wrong_call",
]


async def close_asyncio() -> None:
    """End the asyncio loop beside trio, if there is one. For code that runs a trio program to its end itself."""
    from anyiostream.loops import trio_host  # noqa: PLC0415 -- trio only where it runs

    await trio_host.close_asyncio()


def hosted_tasks() -> Iterable[Any]:
    """The tasks on the asyncio loop beside trio."""
    from anyiostream.loops import trio_host  # noqa: PLC0415 -- as above

    return trio_host.hosted_tasks()
