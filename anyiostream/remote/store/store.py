"""`Store`: where threads live."""

from __future__ import annotations

from typing import Protocol

from anyiostream.remote.store.handle import StoredLog
from anyiostream.remote.store.kept import Listed
from anyiostream.remote.store.protocol import (
    Claim,
    Records,
)

__all__ = ["Store"]


class Store(Records, Protocol):
    """Where threads live. `open` is entered for as long as anything else is asked of it."""

    def log(self, claim: Claim) -> StoredLog:
        """The log of a thread that has been claimed here."""
        ...

    async def label(self, listed: Listed, label: bytes) -> None:
        """Leave for lists what was read of a thread that has no label. That is no use of the thread.

        No change if something has happened to it since it was listed, or it has commands, or a label.
        """
        ...
