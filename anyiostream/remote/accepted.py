"""`Accepted`: the result of a command that has started a run."""

from __future__ import annotations

from typing import Any, Final, final

from anyiostream.remote.thread import Thread

__all__ = ["Accepted"]


@final
class Accepted(dict[str, Any]):
    """The result of a command that has started a run.

    Attributes:
        after: The place of the last event before the run's own.
        place: That event's id, in the form of `Last-Event-ID`.
    """

    def __init__(self, thread: Thread, run_id: str, after: int) -> None:
        super().__init__(run_id=run_id)
        self.after: Final = after
        self.place: Final = f"{thread.log.log_id}-{after}"
