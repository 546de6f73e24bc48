"""Why a store does not do what it is asked to do."""

from __future__ import annotations

from typing import Final, final

from anyiostream.errors import AnyioStreamError

__all__ = [
    "Fenced",
    "InboxFull",
    "NotAsynchronous",
    "NotPending",
    "NotShared",
    "OutOfStep",
    "StoreFailed",
    "StoreInUse",
    "StoreUnfit",
    "shown",
]


def shown(url: str) -> str:
    """A store's address without its passwords, wherever somebody has put them."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return f"{url.partition(':')[0]}:..." if "@" in url else url
    place, _, options = rest.partition("?")
    if "@" in options:  # of which password it is the end, nobody can tell
        return f"{scheme}://..."
    _, at, where = place.rpartition("@")
    return f"{scheme}://...@{where}" if at else f"{scheme}://{place}"


class StoreFailed(AnyioStreamError):
    """A store did not do what it was asked to do; none of it has been done."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the store of the server's threads fails: {what}. Nothing has been written.")


@final
class Fenced(AnyioStreamError):
    """Somebody else has claimed the thread: what this handle writes is refused, and nothing of it is stored."""

    def __init__(self) -> None:
        super().__init__("the thread has been claimed by another handle since; stop its run here, or claim it again.")


@final
class OutOfStep(AnyioStreamError):
    """An append does not follow the newest event of the log.

    Attributes:
        after: The place that it says it follows.
        last: The place of the newest event.
    """

    def __init__(self, after: int, last: int) -> None:
        super().__init__(
            f"an append that follows event {after} comes to a log whose newest event is {last}; claim the thread again."
        )
        self.after: Final = after
        self.last: Final = last


@final
class InboxFull(AnyioStreamError):
    """As many runs wait on the thread as may."""

    def __init__(self, most: int) -> None:
        super().__init__(f"{most} runs are waiting on this thread already; try again later.")


@final
class NotPending(AnyioStreamError):
    """An answer to a question that the graph does not ask, or no longer asks."""

    def __init__(self) -> None:
        super().__init__("the graph is not (or no longer) waiting at this interrupt; read the thread's state.")


@final
class StoreUnfit(AnyioStreamError):
    """A store that cannot be used, and what to do about it."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} cannot keep threads: {reason}.")


@final
class NotShared(AnyioStreamError):
    """Servers share a store, but not the checkpoints of a graph that they serve."""

    def __init__(self, assistant: str, reason: str) -> None:
        super().__init__(
            f"assistant {assistant!r} cannot be served by several servers: {reason}, which the others do not see. "
            "Compile its graph with a checkpointer that they share, such as AsyncPostgresSaver, or without one; where "
            "they do share it, say Assistant(..., shared_checkpoints=True)."
        )


@final
class NotAsynchronous(AnyioStreamError):
    """A graph whose checkpointer works without an event loop only: none of its runs could begin on a server."""

    def __init__(self, assistant: str, checkpointer: str) -> None:
        super().__init__(
            f"assistant {assistant!r} cannot be served: {checkpointer} has no asynchronous methods. Compile its graph "
            f"with Async{checkpointer}, or another checkpointer that has them."
        )


@final
class StoreInUse(AnyioStreamError):
    """A store for one process, which another one uses."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} is in use by another server: it serves one process. Stop that one, or name another file."
        )
