"""Scripted sources: graphs that do exactly what a test says, when it says so.

Rules:

- A script is a sequence of steps, taken one at a time as the run asks for parts: parts, exceptions, pauses, gates,
  and functions to call.
- One source serves every lane. It is an iterable and an async iterable; each lane takes the one that it can read.
- Nothing here looks at a real clock. A pause sleeps on whatever clock the loop has, and the sync lane has none.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from typing import Any, final

import anyio
import attrs

from anyiostream import StreamPart

__all__ = ["Gate", "GateHeld", "Pause", "ScriptedSource", "Step"]


class GateHeld(AssertionError):
    """A script stands at a closed gate on the sync lane, where nobody else could open it.

    ```python
    with open_run(ScriptedSource(Gate(), parts.values(1))) as run:
        try:
            print(run.output)
        except GateHeld as exc:
            print(exc)
    ```
    """

    def __init__(self, gate: str) -> None:
        super().__init__(
            f"{gate} is closed and the sync lane waits for nobody: call release() before the graph gets there, or run "
            "the test on the async lane."
        )


@final
@attrs.frozen
class Pause:
    """A step that waits.

    ```python
    async def main():
        async with open_run(ScriptedSource(parts.values(1), Pause(3600), parts.values(2))) as run:
            return [state async for state in run.values]

    assert run_seeded(main) == [1, 2]  # an hour later, at once
    ```

    Attributes:
        seconds: How long, in s of the loop's clock: no time at all under a virtual one. On the sync lane, which has no
            clock, it is passed over.
    """

    seconds: float


@final
class Gate:
    """A step at which the script stands until the test lets it go on.

    ```python
    gate = Gate()
    source = ScriptedSource(parts.custom(1), gate, parts.custom(2))
    async with open_run(source, transformers=[CustomTransformer]) as run:
        items = aiter(run.custom)
        assert await anext(items) == 1
        await gate.reached()  # the graph stands there
        gate.release()
        assert await anext(items) == 2
    ```

    For tasks of one event loop. Once released it stays open.
    """

    def __init__(self, name: str = "the gate") -> None:
        """Make a closed gate.

        Args:
            name: What it is called in messages.
        """
        self.name = name
        self._waiting: set[anyio.Event] = set()
        self._arrived = False
        self._open = False

    def __repr__(self) -> str:
        return f"<{self.name}, {'open' if self._open else 'closed'}>"

    @property
    def is_open(self) -> bool:
        """Whether it has been released."""
        return self._open

    @property
    def was_reached(self) -> bool:
        """Whether a script has come to it."""
        return self._arrived

    def release(self) -> None:
        """Let the script go on, now and whenever it comes here. Idempotent."""
        self._open = True
        self._wake()

    async def reached(self) -> None:
        """Wait until a script has come to the gate. A checkpoint only if it has to wait.

        Somebody must want a part of the run meanwhile: a graph is not advanced without demand.
        """
        while not self._arrived:
            await self._next_change()

    async def hold(self) -> None:
        """Wait until the gate is open. What scripts do; a hook or a node of a test's own may do it too."""
        self._arrive()
        while not self._open:
            await self._next_change()

    def check(self) -> None:
        """Go through without waiting.

        Raises:
            GateHeld: It is closed.
        """
        self._arrive()
        if not self._open:
            raise GateHeld(self.name)

    def _arrive(self) -> None:
        self._arrived = True
        self._wake()

    def _wake(self) -> None:
        for event in self._waiting:
            event.set()

    async def _next_change(self) -> None:
        event = anyio.Event()
        self._waiting.add(event)
        try:
            await event.wait()
        finally:
            self._waiting.discard(event)


Step = StreamPart | BaseException | Pause | Gate | Callable[[], object | Awaitable[object]]
"""What a script consists of."""


@final
class ScriptedSource:
    """A graph that follows a script: pass it to `open_run` on any lane.

    ```python
    source = ScriptedSource(parts.values(1), Pause(0.5), parts.values(2), ValueError("no more"))
    ```

    A part is produced. An exception is raised, and ends the script; `GraphInterrupt` ends it as interrupted. A `Pause`
    waits, a `Gate` holds. Any other callable is called with no argument, and awaited on the async lane if it returns an
    awaitable.

    Attributes:
        steps: The script.
        produced: The parts handed to runs, in order.
        opened: How many runs began to read it.
        closed: How many times it was left: at its end, by an error, or because the run closed it.
        cancelled: Whether it was left by a cancellation while it waited.
    """

    def __init__(self, *steps: Step) -> None:
        """Write the script; each run follows it from its start.

        Raises:
            TypeError: A step is nothing that a script can consist of.
        """
        for step in steps:
            if not (isinstance(step, (Mapping, BaseException, Pause, Gate)) or callable(step)):
                raise TypeError(
                    f"a script consists of parts, exceptions, Pause, Gate and callables, got {step!r}. "
                    "The functions in anyiostream.parts build parts."
                )
        self.steps = steps
        self.produced: list[Any] = []
        self.opened = 0
        self.closed = 0
        self.cancelled = False

    def __iter__(self) -> Generator[Any]:
        """Follow the script on the sync lane.

        Raises:
            GateHeld: It comes to a closed gate.
        """
        self.opened += 1
        try:
            for step in self.steps:
                if isinstance(step, Mapping):
                    self.produced.append(step)
                    yield step
                elif isinstance(step, BaseException):
                    raise step
                elif isinstance(step, Gate):
                    step.check()
                elif not isinstance(step, Pause):
                    returned = step()
                    if inspect.isawaitable(returned):
                        _close(returned)
                        raise TypeError(f"{step!r} returned an awaitable, and the sync lane awaits nothing.")
        finally:
            self.closed += 1

    async def __aiter__(self) -> AsyncGenerator[Any]:
        """Follow the script on the async lane."""
        self.opened += 1
        finished = False
        try:
            for step in self.steps:
                if isinstance(step, Mapping):
                    self.produced.append(step)
                    yield step
                elif isinstance(step, BaseException):
                    finished = True
                    raise step
                else:
                    await self._wait(step)
            finished = True
        except GeneratorExit:
            finished = True
            raise
        finally:
            self.cancelled = self.cancelled or not finished
            self.closed += 1

    @staticmethod
    async def _wait(step: Pause | Gate | Callable[[], object]) -> None:
        if isinstance(step, Pause):
            await anyio.sleep(step.seconds)
        elif isinstance(step, Gate):
            await step.hold()
        else:
            returned = step()
            if inspect.isawaitable(returned):
                await returned


def _close(awaitable: Awaitable[object]) -> None:
    if inspect.iscoroutine(awaitable):
        awaitable.close()
