"""The figures of a run, on either lane."""

from __future__ import annotations

from anyiostream.mux.mux import Mux
from anyiostream.pump import Pump
from anyiostream.statistics import RunStatistics

__all__ = ["figures"]


def figures(pump: Pump, mux: Mux, *, inbox: int = 0, parked: int = 0) -> RunStatistics:
    """How a run stands, with the channels of one of its scopes.

    Args:
        pump: The run.
        mux: The scope.
        inbox: Parts that have arrived and have not been pulled.
        parked: Readers that wait.
    """
    return RunStatistics(
        status=pump.status,
        parts=pump.parts,
        inbox=inbox,
        outbox=pump.producer.pending,
        parked=parked,
        scheduled=pump.mux.scheduled_count,
        subgraphs=len(pump.mux.follower),
        channels=mux.channel_statistics(),
    )
