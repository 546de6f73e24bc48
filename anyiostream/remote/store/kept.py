"""What a store has of threads, as it is read back: `Record`, `Stored`, `Listed`.

What users have written is decoded when it is looked at, and not before: see `sealing.py`. Looking at it raises
`CodecFailed` if it cannot be decoded.
"""

from __future__ import annotations

from typing import final

import attrs

from anyiostream.remote.store.sealing import Decode, unsealed

__all__ = ["Listed", "Record", "Stored"]


@final
@attrs.frozen(kw_only=True)
class Record:
    """What a store knows of a thread besides its events and commands.

    Attributes:
        key: Its name in the store.
        owner: Whose it is.
        thread_id: Its id, as its owner has it.
        generation: When it was made, in µs; tells it from an earlier thread of that name.
        epoch: Rises with each claim; 0 before the first one.
        holder: Who has claimed it last.
        floor: The place of the newest event that has been forgotten; 0 if none has.
        last: The place of the newest event; 0 if there never was one.
        pending: Ids of what its graph waits for its user with.
        fold: Its state after the event at `folded`, as its writer has encoded it; `None` before the first one.
        folded: The place that the fold belongs to.
        watched: The greatest place of a run's end that a client's watcher has been told of, where servers share it.
    """

    key: str
    owner: str
    thread_id: str
    generation: int
    epoch: int = 0
    holder: str = ""
    floor: int = 0
    last: int = 0
    pending: tuple[str, ...] = ()
    _fold: bytes | None = attrs.field(default=None, alias="fold")
    folded: int = 0
    watched: int = 0
    _decode: Decode = attrs.field(default=unsealed, alias="decode", eq=False, repr=False)

    @property
    def fold(self) -> bytes | None:
        """The fold, decoded."""
        return None if self._fold is None else self._decode(self._fold)


@final
@attrs.frozen(kw_only=True)
class Stored:
    """A command in an inbox.

    Attributes:
        place: Its place in the inbox; they rise in order of acceptance.
        run_id: The id of its run.
        body: What was offered.
        attempts: How often its run has been begun, since it last made progress.
        cancelled: Whether somebody wants its run stopped.
        drained: Whether somebody wants it to stop at the end of its step.
    """

    place: int
    run_id: str
    _body: bytes = attrs.field(alias="body")
    attempts: int = 0
    cancelled: bool = False
    drained: bool = False
    _decode: Decode = attrs.field(default=unsealed, alias="decode", eq=False, repr=False)

    @property
    def body(self) -> bytes:
        """What was offered, decoded."""
        return self._decode(self._body)


@final
@attrs.frozen(kw_only=True)
class Listed:
    """What a list of threads has of one: little, whatever the thread holds.

    Attributes:
        key: Its name in the store.
        thread_id: Its id, as its owner has it.
        generation: When it was made, in µs; tells it from an earlier thread of that name.
        touched: When something was last accepted, cancelled or written, in µs.
        last: The place of its newest event; 0 if there never was one.
        commands: How many there are in its inbox.
        label: What its writer, or whoever has read it, has left for lists; `None` before that.
    """

    key: str
    thread_id: str
    generation: int
    touched: int
    last: int
    commands: int
    _label: bytes | None = attrs.field(alias="label")
    _decode: Decode = attrs.field(default=unsealed, alias="decode", eq=False, repr=False)

    @property
    def label(self) -> bytes | None:
        """The label, decoded."""
        return None if self._label is None else self._decode(self._label)
