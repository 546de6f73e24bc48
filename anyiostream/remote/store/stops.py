"""How a store keeps that the run of a command is to be stopped: as a number, the same one in every store. Pure."""

from __future__ import annotations

from typing import Final

from anyiostream.remote.store.kept import Stored
from anyiostream.remote.store.sealing import Decode, unsealed

__all__ = ["DRAIN", "STOP", "kept_stop", "stored"]

STOP: Final = 1
"""At once. 0 where the run goes on. `scripts.lua` has it, too."""

DRAIN: Final = 2
"""At the end of its step. Servers of 0.1, which do not know it, stop at once."""


def kept_stop(*, drain: bool) -> int:
    """What a store keeps of a run that is to be stopped."""
    return DRAIN if drain else STOP


def stored(place: int, run_id: str, body: bytes, attempts: int, stop: int, *, decode: Decode = unsealed) -> Stored:
    """A command of which a store has kept that."""
    return Stored(
        place=place,
        run_id=run_id,
        body=body,
        attempts=attempts,
        cancelled=stop == STOP,
        drained=stop == DRAIN,
        decode=decode,
    )
