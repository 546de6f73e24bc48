"""`Sealing`: what a store keeps of users' content, encoded by the operator's `Codec` if there is one.

Rules:

- What has been encoded begins with a mark, which no plain JSON begins with. So a store that has been used without a
  codec can be read on with one, and what needs a codec is never taken for plain.
- An event is encoded once, however often it is sent to the store: a codec may give other bytes each time, and repeated
  appends must be identical.
- Commands, folds and labels are decoded when they are looked at. A thread that cannot be decoded can still be found,
  claimed and given up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol, TypeVar, final, overload

import attrs

from anyiostream.errors import AnyioStreamError
from anyiostream.tooling import name_of
from anyiostream.wire.drafts import Entry

__all__ = [
    "ENCODED",
    "MARK",
    "NO_CODEC",
    "WAITING",
    "WRONG_CODEC",
    "Codec",
    "CodecFailed",
    "Decode",
    "Sealing",
    "readable",
    "unsealed",
]

K = TypeVar("K")
T = TypeVar("T")

MARK: Final = b"\0enc\0"
"""What encoded content begins with."""

CANARY: Final = b"anyiostream"
"""What a store has in its schema, encoded, so that a wrong key is found when it is opened."""

WAITING: Final = 1024
"""Events that are kept encoded until they are stored. Others are encoded once more."""

ENCODED: Final = 100
"""What is added to the version of a store whose content is encoded: servers that know no codecs refuse it."""

NO_CODEC: Final = "what is in it is encoded, and there is no codec. Give the one that has encoded it (codec=, --codec)"
WRONG_CODEC: Final = "the codec cannot decode what is in it. Give it the key that was used, or name another store"
"""Why a store is refused when it is opened."""

Decode = Callable[[bytes], bytes]


class Codec(Protocol):
    """Encodes what a store keeps of users' content, to encrypt it, say.

    The server's event loop waits for both methods, so they must be quick, and fetch no keys. What they raise is the
    cause of a `CodecFailed`.
    """

    def encode(self, body: bytes, /) -> bytes:
        """What is stored in place of `body`. It need not be the same each time."""
        ...

    def decode(self, kept: bytes, /) -> bytes:
        """What `encode` was given, by this server or another one, now or under an earlier key. Raises if it cannot."""
        ...


@final
class CodecFailed(AnyioStreamError):
    """Content of a thread cannot be encoded, or what the store has of it cannot be decoded.

    Attributes:
        why: What has failed, and what to do. What the codec has raised is the cause.
    """

    def __init__(self, why: str) -> None:
        super().__init__(f"the content of a thread {why}. Nothing has been changed.")
        self.why: Final = why


def unsealed(kept: bytes) -> bytes:
    """What was stored without a codec.

    Raises:
        CodecFailed: It was stored with one.
    """
    if kept.startswith(MARK):
        raise CodecFailed("is encoded, and this server has no codec; start it with the one that has encoded it")
    return kept


def readable(kept: Iterable[K], read: Callable[[K], T]) -> list[T]:
    """What `read` makes of each, up to the first one that cannot be decoded.

    Raises:
        CodecFailed: That is the first of them.
    """
    found: list[T] = []
    for each in kept:
        try:
            found.append(read(each))
        except CodecFailed:
            if not found:
                raise
            break
    return found


@final
class Sealing:
    """Encodes and decodes for a store.

    Args:
        codec: How; `None` to leave everything as it is.
    """

    def __init__(self, codec: Codec | None) -> None:
        self._codec = codec
        # Those whose size was asked for, and that have not been stored yet, by identity.
        self._sealed: dict[int, tuple[Entry, Entry]] = {}
        self.open: Final[Decode] = unsealed if codec is None else self._opened

    @property
    def encodes(self) -> bool:
        """Whether there is a codec."""
        return self._codec is not None

    @overload
    def seal(self, body: bytes) -> bytes: ...

    @overload
    def seal(self, body: bytes | None) -> bytes | None: ...

    def seal(self, body: bytes | None) -> bytes | None:
        """What is stored in place of `body`; of nothing, nothing.

        Raises:
            CodecFailed: The codec has raised, or returned something else than bytes.
        """
        if self._codec is None or body is None:
            return body
        try:
            return MARK + self._codec.encode(body)
        except Exception as exc:
            why = f"cannot be encoded: the codec has raised {name_of(exc)}; mend its encode()"
            raise CodecFailed(why) from exc

    def entries(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Events as they are stored. Raises as `seal`."""
        if self._codec is None:
            return entries
        return [self._sealed.pop(id(entry), (entry, None))[1] or self._entry(entry) for entry in entries]

    def size(self, entry: Entry) -> int:
        """Bytes of an event's body in the store. Of one that is to be stored soon. Raises as `seal`."""
        if self._codec is None:
            return len(entry.body)
        sealed = self._entry(entry)
        while len(self._sealed) >= WAITING:  # of runs that were left, or whose store has failed
            del self._sealed[next(iter(self._sealed))]
        self._sealed[id(entry)] = entry, sealed
        return len(sealed.body)

    def unsealed(self, entry: Entry) -> Entry:
        """A stored event as it was.

        Raises:
            CodecFailed: It cannot be decoded.
        """
        return attrs.evolve(entry, body=self.open(entry.body)) if entry.body.startswith(MARK) else entry

    # --- a store's own ---

    def canary(self) -> bytes:
        """What a store with a codec has in its schema. Raises as `seal`."""
        return self.seal(CANARY)

    def knows(self, canary: bytes) -> bool:
        """Whether what was encoded with such a canary can be decoded."""
        try:
            return self.open(canary) == CANARY
        except CodecFailed:
            return False

    # --- inside ---

    def _entry(self, entry: Entry) -> Entry:
        return attrs.evolve(entry, body=self.seal(entry.body))

    def _opened(self, kept: bytes) -> bytes:
        if not kept.startswith(MARK):
            return kept
        assert self._codec is not None
        try:
            body = self._codec.decode(kept[len(MARK) :])
        except Exception as exc:
            raise CodecFailed(
                f"cannot be decoded: the codec has raised {name_of(exc)}; give it the key that has encoded it, or "
                "delete the thread if that is lost"
            ) from exc
        if not isinstance(body, bytes):
            raise CodecFailed(f"cannot be decoded: the codec has returned {name_of(body)}; mend its decode()")
        return body
