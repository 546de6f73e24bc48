"""The sync lane: the application's own `for` loop runs the graph, without an event loop or a thread.

`driver/sync_driver.py` says what steps the pump, and how threads take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar, final

from anyiostream.channels.buffer import Buffer
from anyiostream.channels.port import next_stamp
from anyiostream.channels.producer import Producer
from anyiostream.driver.context_entry import enter
from anyiostream.driver.sync_driver import SyncDriver
from anyiostream.errors import RunBusy, RunClosed
from anyiostream.events import Namespace
from anyiostream.inline import run_inline
from anyiostream.lanes.figures import figures
from anyiostream.lanes.sync_cursors import SyncCursor
from anyiostream.mux.mux import Mux
from anyiostream.projections.messages.record import MessageRecord
from anyiostream.pump import Pump
from anyiostream.source import SyncSource
from anyiostream.statistics import RunStatistics
from anyiostream.step import CONTROL_FLOW
from anyiostream.subgraphs import Handle, Subgraph
from anyiostream.transformer import StreamTransformer, TransformerFactory

__all__ = ["SyncRun"]

T = TypeVar("T")


def _do_nothing() -> None:
    return None


@final
class SyncRun(SyncDriver):
    """One run on the sync lane: the mux's port, and its end.

    Attributes:
        maxlen: Bound, in items, of channels that were created without one.
        stamp: Returns a number that increases with each call.
        closed: Whether the block has been left.
    """

    is_async = False
    stamp = staticmethod(next_stamp)
    _source: SyncSource
    task_port = None

    def __init__(
        self,
        factories: list[TransformerFactory] | None,
        open_source: Callable[[Mux], SyncSource],
        make_handle: Callable[[SyncRun, Mux, Subgraph], Handle],
        *,
        transformers: Sequence[StreamTransformer] = (),
        maxlen: float,
        scope: Namespace,
    ) -> None:
        self.maxlen = maxlen
        self.application_producer = Producer("the application", self)
        self.closed = False

        def make_pump(producer: Producer) -> Pump:
            mux = Mux(
                self,
                factories=factories,
                make_handle=partial(make_handle, self),
                transformers=transformers,
                namespace=scope,
            )
            self._source = open_source(mux)
            return Pump(mux, self._source, producer, self._source_ended)

        super().__init__(make_pump)

    # --- the mux's port ---

    def admit(self, what: str) -> None:
        """Raise `RunClosed` once the block has been left, `RunBusy` while another thread runs the graph."""
        if self.closed:
            raise RunClosed(what)
        if not self.is_inside():
            enter(self, what, _do_nothing)

    def cursor(self, buffer: Buffer[T], released: Callable[[Buffer[T]], None]) -> SyncCursor[T]:
        """A cursor over `buffer`."""
        return SyncCursor(self, buffer, released)

    def assemble_message(self, record: MessageRecord) -> Any:
        """The final message of a model call, in the graph's own class."""
        return self._source.assemble_message(record)

    # --- the end ---

    def abort(self) -> None:
        """Stop the graph and end the run. Idempotent.

        Inside a hook, or while another thread runs the graph, it takes effect after the current event.
        """
        if self.pump.terminal.ready:
            return
        if self.is_inside():
            self.pump.abort_after_event()
            return
        try:
            enter(self, "abort()", self._abort_inside)
        except RunBusy:
            self.pump.abort_after_event()

    def close(self) -> list[BaseException]:
        """The block is left: abort what has not ended. The errors that no reader has received, in order.

        While another thread runs the graph it cannot be ended here; it ends after the current event.
        """
        try:
            if not self.pump.terminal.ready:
                enter(self, "the end of the run's block", self._abort_inside)
        except RunBusy as exc:
            self.pump.abort_after_event()
            return [exc]
        finally:
            self.closed = True
            with suppress(RunBusy):  # then whoever ends the run closes it
                enter(self, "the end of the run's block", self._close_source)
        return self.pump.undelivered()

    def statistics(self, mux: Mux) -> RunStatistics:
        """The figures of the run, with the channels of `mux`."""
        return figures(self.pump, mux)

    # --- inside ---

    def _abort_inside(self) -> None:
        self._close_source()
        run_inline(self.pump.abort(), "a transformer's fail()")

    def _source_ended(self) -> None:
        try:
            self._close_source()
        except CONTROL_FLOW as exc:
            # Raised by the pump. It may have come from between two lines here.
            if exc not in self.pump.errors:
                self.pump.keep(exc)

    def _close_source(self) -> None:
        try:
            self._source.close_now()
        except BaseException as exc:
            self.pump.keep(exc)
            if isinstance(exc, CONTROL_FLOW):
                raise
