"""`WireRun`: a run of this process, as the events of the wire that a server would have in its log."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Any, Final, Self, final
from uuid import uuid4

from anyiostream import AnyioStreamError, AsyncGraphRunStream, PreparedRun, ProtocolEvent
from anyiostream.tooling import name_of
from anyiostream.wire.drafts import Draft, Placed
from anyiostream.wire.encoder import WireEncoder
from anyiostream.wire.transformer import WireTransformer

__all__ = ["NotPrepared", "WireRun"]


@final
class NotPrepared(AnyioStreamError, TypeError):
    """The run to be shown can no longer be prepared for that."""

    def __init__(self, given: object) -> None:
        super().__init__(
            f"a {name_of(given)} cannot be shown: a run has to be prepared for that before it is entered. Pass what "
            "`open_run(...)` returns, without `async with`."
        )


@final
class WireRun:
    """A run and its events, in order. Entered and read by one task, once.

    What the graph raises becomes an event, not an exception: the last event says how the run has ended. Leaving the
    block leaves the run's block: a run that has not ended is aborted, and nothing of it is alive.

    ```python
    from anyiostream.wire import WireRun

    async def main():
        async with WireRun(open_run(graph, "Bergen")) as run:
            async for event in run:
                print(event.seq, event.draft.method)
    ```

    Args:
        prepared: What `open_run` has returned.
        run_id: The run's id; by default a new one.

    Attributes:
        run_id: The run's id.
        error: What the graph has raised, after the last event.

    Raises:
        NotPrepared: It is something else.
        RunReentered: It has been entered already.
    """

    def __init__(self, prepared: PreparedRun[Any], run_id: str | None = None) -> None:
        if not isinstance(prepared, PreparedRun):
            raise NotPrepared(prepared)
        self.run_id: Final = run_id or uuid4().hex
        self.error: Exception | None = None
        self._prepared = prepared.extended(WireTransformer, root_lifecycle=True)
        self._encoder = WireEncoder()
        self._events: AsyncIterator[ProtocolEvent] | None = None
        self._run: AsyncGraphRunStream[Any] | None = None
        self._pending: deque[Placed] = deque()
        self._seq = 0

    async def __aenter__(self) -> Self:
        """Enter the run. Raises what `open_run` says is raised on entering."""
        self._run = await self._prepared.__aenter__()
        self._events = aiter(self._run)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the run."""
        await self._prepared.__aexit__(exc_type, exc, traceback)

    async def abort(self) -> None:
        """Stop the run. Its end is still an event."""
        assert self._run is not None
        await self._run.abort()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Placed:
        """The next event. Checkpoints as the run's raw log does; a cancellation takes no event."""
        while not self._pending:
            if self._events is None:
                raise StopAsyncIteration
            try:
                event = await anext(self._events)
            except StopAsyncIteration:
                self._events = None
            except Exception as exc:  # noqa: BLE001 -- what the graph raises is told as an event
                self._events, self.error = None, exc
                self._place(self._encoder.fail(exc))
            else:
                self._place(self._encoder.encode(event))
        return self._pending.popleft()

    def _place(self, drafts: Iterable[Draft]) -> None:
        for draft in drafts:
            self._seq += 1
            self._pending.append(Placed(self._seq, f"{self.run_id}-{self._seq}", draft))
