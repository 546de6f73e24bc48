"""`HostedSource`: the source of whatever runs in a task.

Three things meet here, each of which varies independently:

- a `Routine` knows what runs: an async iterable (`iterables.py`), an async function (`functions.py`);
- an `Execution` is one routine at work: it begins with the first demand, goes on as the gate permits, and ends once;
- a source knows where the task runs: on the run's own loop (here), on asyncio in trio's thread (`hosted_in_trio.py`),
  or on asyncio in another thread (`portal.py`).

The graph has a task to itself instead of running in the reader's. So an async generator may hold cancel scopes, task
groups and context variables across its yields, and a reader's cancellation does not reach it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Any, Protocol, final

from anyiostream.driver.hosting import Host
from anyiostream.events import Namespace
from anyiostream.foreign import consists_of, interrupts_of, is_drain
from anyiostream.loops.interface import CancelScope, LoopTask
from anyiostream.projections.messages.assembling import assemble_chat_message
from anyiostream.projections.messages.record import Assembler
from anyiostream.source import readable
from anyiostream.sources.drains import RequestDrain, ask
from anyiostream.sources.gate import Gate, Parking
from anyiostream.sources.inbox import GatedInbox

__all__ = ["Execution", "HostLoop", "HostedSource", "Receiver", "Routine"]


class Receiver(Protocol):
    """Where the parts go."""

    @property
    def at_hand(self) -> deque[Any]:
        """Parts that have come and have not been taken.

        While there are some, and fewer than the gate has `room` for, one that ends no superstep may be appended: `put`
        would do no more.
        """
        ...

    def put(self, part: Any) -> bool:
        """Take a part; whether the next one may be produced at once, as the gate says then."""
        ...

    def end(self, error: BaseException | None) -> None:
        """The graph has ended."""


class HostLoop(Parking, Protocol):
    """The loop that the task runs on."""

    async def checkpoint(self) -> None:
        """Let others have their turn; a cancellation is raised here."""

    def is_cancellation(self, error: BaseException) -> bool:
        """Whether it is the loop's cancellation exception."""
        ...

    def scope(self) -> AbstractContextManager[CancelScope]:
        """A cancel scope."""
        ...


class Routine(Protocol):
    """A graph, as a task runs it."""

    @property
    def advancing(self) -> bool:
        """Whether the graph is at work right now, so that stopping it takes a cancellation of the task."""
        ...

    def produce(self, receiver: Receiver, gate: Gate, loop: HostLoop) -> Coroutine[Any, Any, None]:
        """Run the graph to its end, or until the gate tells it to stop. Raises what the graph raises."""
        ...

    async def close(self) -> BaseException | None:
        """Clean up after `produce`, however it ended; what that raised."""

    def outcome(self) -> BaseException | None:
        """The error of a graph that has come to its natural end, if it has one."""

    def abort_subgraph(self, namespace: Namespace) -> bool:
        """Stop one subgraph; whether that could be done."""
        ...


@final
class Execution:
    """One routine at work.

    Attributes:
        name: What the graph is called in messages.
        gate: When it may produce.
        assemble_message: Builds the final message of a model call, in the graph's own class.
        late_error: What the graph raised when it was stopped, other than being cancelled.
    """

    __slots__ = ("_request_drain", "_routine", "assemble_message", "gate", "late_error", "name")

    def __init__(
        self,
        routine: Routine,
        name: str,
        gate: Gate,
        assemble_message: Assembler = assemble_chat_message,
        request_drain: RequestDrain | None = None,
    ) -> None:
        self.name = name
        self.gate = gate
        self.assemble_message = assemble_message
        self._request_drain = request_drain
        self.late_error: BaseException | None = None
        self._routine = routine

    async def run(self, receiver: Receiver, loop: HostLoop) -> None:
        """Produce into `receiver`, and end it. Raises nothing."""
        routine = self._routine
        error: BaseException | None = None
        try:
            await routine.produce(receiver, self.gate, loop)
        except BaseException as exc:  # noqa: BLE001 -- handed to the receiver, or kept as `late_error`
            error = exc
        closing = await routine.close()
        is_cancelled = error is not None and consists_of(error, loop.is_cancellation)
        if self.gate.stopped:
            # The run is over. A cancellation is what was asked for, and a graph that is not inside a wait may come to a
            # question or a drain first; anything else is raised where the block is left.
            harmless = is_cancelled or (error is not None and (is_drain(error) or interrupts_of(error) is not None))
            self.late_error = closing or (None if harmless else error)
            receiver.end(None)
        elif error is not None and is_cancelled:
            receiver.end(readable(error, self.name))
        else:
            receiver.end(error or closing or routine.outcome())

    def abort_subgraph(self, namespace: Namespace) -> bool:
        """Stop one subgraph; whether that could be done."""
        return self._routine.abort_subgraph(namespace)

    def request_drain(self, reason: str) -> None:
        """Ask the graph to stop at the end of its step.

        Raises:
            CannotDrain: It has none.
        """
        ask(self._request_drain, self.name, reason)

    def stop(self, cancel: Callable[[], object]) -> None:
        """Let the task end; cancel it if it is inside the graph."""
        if not self.gate.stopped:
            self.gate.stop()
            if self._routine.advancing:
                cancel()

    def raise_late_error(self) -> None:
        """Raise what stopping the graph raised, once."""
        error, self.late_error = self.late_error, None
        if error is not None:
            raise error


class HostedSource:
    """A graph that runs in one task on the run's own loop."""

    spawns = True
    never_waits = False

    def __init__(self, execution: Execution) -> None:
        self.name = execution.name
        self._execution = execution
        self._inbox = GatedInbox(execution.gate)
        self._task: LoopTask | None = None
        self._host: Host | None = None
        self.at_hand = self._inbox.at_hand
        self.pull = self._inbox.pull
        self.demand: Callable[[], None] = execution.gate.demand

    @property
    def assemble_message(self) -> Assembler:
        """Builds the final message of a model call, in the graph's own class."""
        return self._execution.assemble_message

    def abort_subgraph(self, namespace: Namespace) -> bool:
        """Stop one subgraph, if the graph allows that; whether it does."""
        return self._execution.abort_subgraph(namespace)

    def request_drain(self, reason: str) -> None:
        """Ask the graph to stop at the end of its step."""
        self._execution.request_drain(reason)

    @property
    def has_part(self) -> bool:
        """Whether `pull` would return anything but `NOTHING`."""
        return self._inbox.has_part

    @property
    def read_ahead(self) -> int:
        """Parts that have arrived already."""
        return len(self._inbox)

    def start(self, host: Host) -> None:
        """Start the task; it waits for demand before it does anything."""
        self._inbox.notify(host.part_arrived, host.graph_stops)
        self._host = host
        self._task = host.host(lambda: self._execution.run(self._inbox, host.loop), self.name)

    def stop(self) -> None:
        """Let the graph end; cancel its task if it is at work."""
        self._execution.stop(self.stop_again)

    def stop_again(self) -> None:
        """Cancel the task."""
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """Wait for the task, and raise what the graph's clean-up raised."""
        if self._task is not None and self._host is not None and self._task.alive:
            await self._host.wait(self._task.finished)
        self._execution.raise_late_error()
