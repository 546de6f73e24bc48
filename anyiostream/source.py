"""What a run needs of a graph: the next part, if there is one, without waiting for it."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, Final, Protocol, final

from anyiostream.errors import SourceStopped
from anyiostream.events import Namespace
from anyiostream.projections.messages.output import Assembler

__all__ = ["END", "NOTHING", "Source", "readable"]


@final
class Marker(enum.Enum):
    """What a source answers in place of a part."""

    NOTHING = enum.auto()
    END = enum.auto()


NOTHING: Final = Marker.NOTHING
"""No part is there yet."""

END: Final = Marker.END
"""The graph has ended well."""


class Source(Protocol):
    """Where the parts of a run come from."""

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

    @property
    def has_part(self) -> bool:
        """Whether `pull` would answer something else than `NOTHING`."""
        ...

    @property
    def pull(self) -> Callable[[], Any]:
        """Returns the next part, `NOTHING`, or `END`; raises the graph's error. Never waits."""
        ...


def readable(error: BaseException, source: str) -> BaseException:
    """The error to end a run with when its source raised `error`: itself, or one that readers cannot misread."""
    if isinstance(error, (StopIteration, StopAsyncIteration)) or type(error).__name__ == "CancelledError":
        stopped = SourceStopped(source, type(error).__name__)
        stopped.__cause__ = error
        return stopped
    return error
