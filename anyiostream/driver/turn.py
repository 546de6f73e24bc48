"""`Turn`: who has the pump of a run on the async lane, and who is next.

Why a reader moves the run, and not a task
------------------------------------------

A run has one pump, several readers, and a rule: one step at a time. The obvious designs cost a task, a lock, or both.
`langgraph.stream` starts an asyncio task for each pull, 62 % of what it costs per event, and takes a condition twice,
11 %. A separate task that feeds the readers costs a task switch per item: 4.9 us through an AnyIO memory stream, where
a lock takes 5.2 us (1.4 with `fast_acquire`), a round trip through an `Event` 8.4 us and one through a native future
3.6 us. The literal reading of the specification (await `send`, take an AnyIO lock, await each transformer) takes 1.14
to 1.38 times as long as `langgraph.stream`.

A step of our pump never waits. So whichever reader needs an item steps the pump itself, as a function call, until the
item is there: no task, no lock, no hand-over for an item that its own reader fetches. In strict lock-step, over a
source that can be pulled like that, it was measured to be 10 times as fast as `langgraph.stream`. Two consequences
matter more than the speed. Nothing is dispatched before a reader asks for it, so a late subscriber misses nothing that
lock-step would show it. And a reader's cancellation cannot tear an event apart, because there is no `await` inside one.

The idea is that of Leader/Followers (Schmidt and others): of several threads, the one that finds work handles it
itself, and promotes another before it goes. The form is that of `httpcore`'s connection pool: decide in a pure
function, act afterwards. This module decides; `driver.py` acts.

What remains to be decided
--------------------------

A reader that cannot go on parks. The pump must then not be forgotten: if a reader is satisfied, or cancelled, while
others wait and there is something to step, one of them is woken to do it. *One*: where all are woken, and all but one
go back to sleep, an event that costs `langgraph.stream` 8.5 us costs it 144 us beside 64 parked readers (here 1.2 times
as much). And woken *to look again*, not handed an item: an item given to a parked reader is lost if that reader is
cancelled in the same iteration of the event loop, as happens with AnyIO's own `receive()`.

Three others can have the pump instead of a reader:

- The *hook task*, while a user's hook has to be awaited. A reader must not do it: its cancellation would tear the
  event.
- *The graph's own task*, after a part at which the graph pauses, for the reader that has waited longest. Most parts at
  the end of a superstep have no reader, and waking one for each, so that it asks for the next, takes two iterations of
  the event loop; without those, a LangGraph graph of short supersteps takes a third of the iterations. It was measured
  to be worth 78 % of a superstep. The graph's task steps within one call, so this needs no state.
- *Nobody*, for good, once the run is shut down: closing its source would look like the graph's own end.

And one reader may have to go *first*: the reader that waits for a subgraph's handle takes it before anything else is
dispatched, so that it can subscribe before the subgraph's first items arrive.

The states
----------

There is one state: a `Holder`, and the reader that it names. The states exclude each other for these reasons:

- `FIRST` wins over `WOKEN`. A woken reader that finds the pump reserved would only park again; the first reader
  passes the pump on when it has run, and then wakes another.
- `HOOKS` wins over `WOKEN`, likewise: the hook task steps for readers itself, and passes the pump on at its end.
- `HOOKS` and `FIRST` can be true at once, because an event may push a handle and then meet a hook that waits. Neither
  can win: the hook has begun, and the handle has been pushed. So it is a separate state, `BOTH`.
- `CLOSED` wins over everything, and is final.

Priorities among readers
------------------------

`Turn.next_reader` is the only place that chooses, and it takes the reader that has waited longest. A priority would be
a key there, and `waiting` a heap of those that are not `woken`; the table would stay as it is, because it never asks
which reader it names. What would have to be decided is which reader the hook task and the graph's task then steps, and
how to keep a reader that is never chosen from stalling the run with a full buffer.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, final

from anyiostream.channels.latch import Awaited
from anyiostream.loops.interface import Waiter

__all__ = ["FREE", "ILLEGAL", "TABLE", "Act", "Event", "Holder", "IllegalOrder", "Turn"]


@final
class Holder(enum.Enum):
    """Who has the pump."""

    NOBODY = "nobody: any reader may step it"
    WOKEN = "a parked reader that has been woken to step it, and has not run yet; another one may still step it before"
    FIRST = "a reader that has something to take before anything else is dispatched"
    HOOKS = "the hook task"
    BOTH = "the hook task, and after it a reader that has something to take first"
    CLOSED = "nobody, for good: the run is being shut down"

    # Members are looked up for each hand-over, and enum's own hash is written in Python.
    __hash__ = object.__hash__


@final
class Event(enum.Enum):
    """What happens to the pump."""

    STEP = "a reader wants to step it"
    STOPS = "the graph stops, and its task would step the pump for the reader that has waited longest"
    LEFT = "whoever had it may have left it: a reader is satisfied or cancelled, or there is room again"
    WOKE = "a parked reader has been woken to step it"
    RAN = "the reader that the state names has run, woken or cancelled"
    JOB = "a step has met something that must be awaited"
    JOBS_DONE = "the hook task has nothing left to await"
    RESERVED = "a reader has been given something that it must take before anything else is dispatched"
    CLOSE = "the run is being shut down"

    __hash__ = object.__hash__


@final
class Act(enum.Enum):
    """What to do about it."""

    PASS = enum.auto()
    """Nothing."""
    STEP = enum.auto()
    """The caller steps the pump."""
    WAIT = enum.auto()
    """The caller waits: somebody else goes first."""
    HAND_ON = enum.auto()
    """If the pump can step, wake `next_reader`; if not, see to what it lacks."""
    AWAIT = enum.auto()
    """Have the hook task await the pump's job."""
    RESERVE = enum.auto()
    """The pump dispatches nothing more after this event."""
    RELEASE = enum.auto()
    """The pump may dispatch again."""


NOBODY, WOKEN, FIRST, HOOKS, BOTH, CLOSED = Holder
PASS, STEP, WAIT, HAND_ON, AWAIT, RESERVE, RELEASE = Act
____ = None

# fmt: off
ROWS: Final[Mapping[Event, tuple[Act | tuple[Holder, Act] | None, ...]]] = {
    #                 NOBODY            WOKEN             FIRST              HOOKS              BOTH              CLOSED
    Event.STEP:      (STEP,             STEP,             WAIT,              WAIT,              WAIT,             WAIT),
    Event.STOPS:     (STEP,             WAIT,             WAIT,              WAIT,              WAIT,             WAIT),
    Event.LEFT:      (HAND_ON,          PASS,             PASS,              PASS,              PASS,             PASS),
    Event.WOKE:      ((WOKEN, PASS),    ____,             ____,              ____,              ____,             ____),
    Event.RAN:       (____,             (NOBODY, PASS),   (NOBODY, RELEASE), ____,              (HOOKS, RELEASE), ____),
    # Again while the hook task is at work: an interrupt may have come before it knew of the job.
    Event.JOB:       ((HOOKS, AWAIT),   (HOOKS, AWAIT),   (BOTH, AWAIT),     AWAIT,             AWAIT,            PASS),
    Event.JOBS_DONE: (____,             ____,             ____,              (NOBODY, PASS),    (FIRST, PASS),    ____),
    Event.RESERVED:  ((FIRST, RESERVE), (FIRST, RESERVE), RESERVE,           (BOTH, RESERVE),   RESERVE,          PASS),
    Event.CLOSE:     ((CLOSED, PASS),   (CLOSED, PASS),   (CLOSED, PASS),    (CLOSED, PASS),    (CLOSED, PASS),   PASS),
}
# fmt: on
"""Event -> for each `Holder`, the act, preceded by the next holder if that changes; `None` if it cannot happen."""

TABLE: Final[Mapping[Event, Mapping[Holder, tuple[Holder, Act]]]] = {
    event: {
        holder: cell if isinstance(cell, tuple) else (holder, cell)
        for holder, cell in zip(Holder, row, strict=True)
        if cell is not None
    }
    for event, row in ROWS.items()
}
"""Event -> holder -> next holder, and act. An entry is missing if the event cannot happen."""

ILLEGAL: Final[Mapping[Event, str]] = {
    Event.WOKE: "a reader is woken to step the pump only while nobody has it",
    Event.RAN: "the state names no reader that could have run",
    Event.JOBS_DONE: "the hook task was not at work, or ends with the shutdown without asking for readers",
}
"""Why an event cannot happen where `TABLE` has no entry."""


class IllegalOrder(Exception):
    """Something has happened to the pump that cannot happen in this state: a bug of the driver."""

    def __init__(self, holder: Holder, event: Event) -> None:
        super().__init__(f"{event.name} while the pump is with {holder.name}: {ILLEGAL[event]}")


FREE: Final[tuple[Holder, object]] = (NOBODY, None)
"""The state of a pump that nobody has: a single object, so that it is recognised by identity."""

_STATES: Final[Mapping[Holder, tuple[Holder, object]]] = {NOBODY: FREE, HOOKS: (HOOKS, None), CLOSED: (CLOSED, None)}
"""The states that name no reader."""


@final
class Turn:
    """Who has the pump of one run, which readers wait, and which is next. It touches neither the pump nor the loop.

    Attributes:
        state: Who has the pump, and which reader the holder names. A single field, so that no interrupt finds half a
            change.
        waiting: The parked readers, longest first, and what each waits for. Some may have been woken.
        yielding: Readers that checkpoint before they go on, and what each waits for.
    """

    __slots__ = ("state", "waiting", "yielding")

    def __init__(self) -> None:
        self.state: tuple[Holder, object] = FREE
        self.waiting: OrderedDict[Waiter, Awaited] = OrderedDict()
        self.yielding: dict[object, Awaited] = {}

    def decide(self, event: Event, reader: object = None) -> Act:
        """What to do, now that `event` has happened; `reader` is the one that it is about, for `WOKE` and `RESERVED`.

        Raises:
            IllegalOrder: It cannot have happened.
        """
        holder, named = self.state
        try:
            after, act = TABLE[event][holder]
        except KeyError:
            raise IllegalOrder(holder, event) from None
        if after is not holder or reader is not None:
            self.state = _STATES.get(after) or (after, reader or named)
        return act

    def next_reader(self) -> Waiter | None:
        """The parked reader that has waited longest, and has not been woken."""
        for waiter in self.waiting:
            if not waiter.woken:
                return waiter
        return None
