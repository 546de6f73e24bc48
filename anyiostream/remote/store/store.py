"""`Store`: where threads live."""

from __future__ import annotations

from typing import Protocol

from anyiostream.remote.store.handle import StoredLog
from anyiostream.remote.store.protocol import Claim, Records

__all__ = ["Store"]


class Store(Records, Protocol):
    """Where threads live. `open` is entered for as long as anything else is asked of it."""

    def log(self, claim: Claim) -> StoredLog:
        """The log of a thread that has been claimed here."""
        ...
