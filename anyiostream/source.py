"""What a run needs of a graph: the next part, if there is one, without waiting for it."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol, final

from anyiostream.errors import SourceStopped
from anyiostream.events import Namespace
from anyiostream.foreign import is_cancellation
from anyiostream.projections.messages.record import Assembler

__all__ = ["END", "NONE_AT_HAND", "NOTHING", "Source", "SyncSource", "readable"]


@final
class Marker(enum.Enum):
    """What a source returns in place of a part."""

    NOTHING = enum.auto()
    END = enum.auto()


NOTHING: Final = Marker.NOTHING
"""No part is there yet."""

END: Final = Marker.END
"""The graph has ended well."""


NONE_AT_HAND: Final[deque[Any]] = deque(maxlen=0)
"""The `at_hand` of a source all of whose parts are pulled."""


class Source(Protocol):
    """Where the parts of a run come from.

    ```python
    from anyiostream import parts
    from anyiostream.source import END
    from anyiostream.sources.iterables import IterableSource

    source = IterableSource([parts.values(1)], "a list")
    assert source.has_part
    assert source.pull() == parts.values(1)
    assert source.pull() is END
    ```
    """

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    @property
    def assemble_message(self) -> Assembler:
        """Builds the final message of a model call, in the graph's own class."""
        ...

    def abort_subgraph(self, namespace: Namespace) -> bool:
        """Stop one subgraph, if the graph allows that; whether it does."""
        ...

    def request_drain(self, reason: str, /) -> None:
        """Ask the graph to stop at the end of its step, and to raise `RunDrained` there. May be called in any thread.

        Raises:
            CannotDrain: It has no steps at whose end it could stop.
        """

    @property
    def has_part(self) -> bool:
        """Whether `pull` would return something other than `NOTHING`."""
        ...

    @property
    def at_hand(self) -> deque[Any]:
        """Parts that come next and may be taken from the left without calling `pull`; always the same object."""
        ...

    @property
    def never_waits(self) -> bool:
        """Whether the next part can always be pulled at once. Such a source lets its run have parts `at_hand`."""
        ...

    @property
    def pull(self) -> Callable[[], Any]:
        """Returns the next part, `NOTHING`, or `END`; raises the graph's error. Never waits."""
        ...


class SyncSource(Source, Protocol):
    """A source that is closed without waiting."""

    def close_now(self) -> None:
        """Stop the graph. Idempotent."""


def readable(error: BaseException, source: str) -> BaseException:
    """The error to end a run with when its source raised `error`: itself, or one that readers cannot misread."""
    if isinstance(error, (StopIteration, StopAsyncIteration)) or is_cancellation(error):
        stopped = SourceStopped(source, type(error).__name__)
        stopped.__cause__ = error
        return stopped
    return error
