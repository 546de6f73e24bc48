"""What type checkers know of a projection on each lane.

At run time a projection is a `StreamChannel`, which has the ways of both lanes and refuses the wrong one. For type
checkers a run's attributes are only what its lane can read, so that `for state in run.values` on the async lane is an
error before the program runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from anyiostream.statistics import ChannelStatistics

if TYPE_CHECKING:
    from anyio.abc import ObjectReceiveStream
    from typing_extensions import TypeVar  # with defaults, which Python has from 3.13

    StateT_co = TypeVar("StateT_co", covariant=True, default=Any)
    T_co = TypeVar("T_co", covariant=True, default=Any)
    PairT_co = TypeVar("PairT_co", covariant=True, default=tuple[str, Any])
else:
    from typing import TypeVar

    StateT_co = TypeVar("StateT_co", covariant=True)
    T_co = TypeVar("T_co", covariant=True)
    PairT_co = TypeVar("PairT_co", covariant=True)

__all__ = ["AsyncProjection", "Projection"]


class Projection(Protocol[T_co]):
    """A projection of a run on the sync lane, as its reader sees it. See `StreamChannel`."""

    def __iter__(self) -> Iterator[T_co]:
        """Subscribe. Advancing the cursor runs the graph as far as needed."""
        ...

    def tee(self, n: int = 2, *, maxlen: float | None = None) -> tuple[Iterator[T_co], ...]:
        """Subscribe once and read `n` times, each branch with all items in order."""
        ...

    def statistics(self) -> ChannelStatistics:
        """The projection's figures now."""
        ...


class AsyncProjection(Protocol[T_co]):
    """A projection of a run on the async lane, as its reader sees it. See `StreamChannel`."""

    def __aiter__(self) -> ObjectReceiveStream[T_co]:
        """Subscribe. Advancing the cursor runs the graph as far as needed."""
        ...

    def atee(self, n: int = 2, *, maxlen: float | None = None) -> tuple[AsyncIterator[T_co], ...]:
        """Subscribe once and read `n` times, each branch with all items in order."""
        ...

    def statistics(self) -> ChannelStatistics:
        """The projection's figures now."""
        ...
