"""A codec for tests: random, authenticated, with any number of keys. Not one to use: it shows where one is called."""

from __future__ import annotations

import hashlib
import hmac
import os
from itertools import count

__all__ = ["Toy", "codec"]


class Toy:
    """Encodes under its first key, and decodes what was encoded under any of them.

    Attributes:
        keys: The keys.
        encoded: How often it has encoded something.
        decoded: How often it has been asked to decode something.
    """

    def __init__(self, *keys: bytes, pad: int = 0) -> None:
        self.encoded = self.decoded = 0
        self.keys = keys
        self._pad = pad

    def encode(self, body: bytes) -> bytes:
        """Other bytes each time, of which none of `body` is one."""
        self.encoded += 1
        nonce = os.urandom(16)
        hidden = _mixed(self.keys[0], nonce, body + bytes(self._pad * len(body)))
        return nonce + hmac.digest(self.keys[0], nonce + hidden, "sha256") + hidden

    def decode(self, kept: bytes) -> bytes:
        """What was encoded."""
        self.decoded += 1
        nonce, tag, hidden = kept[:16], kept[16:48], kept[48:]
        for key in self.keys:
            if hmac.compare_digest(tag, hmac.digest(key, nonce + hidden, "sha256")):
                shown = _mixed(key, nonce, hidden)
                return shown[: len(shown) // (1 + self._pad)]
        raise ValueError("no key fits")


def _mixed(key: bytes, nonce: bytes, body: bytes) -> bytes:
    stream = b"".join(
        hashlib.sha256(key + nonce + n.to_bytes(8, "big")).digest() for n, _ in zip(count(), range(0, len(body), 32))
    )
    return bytes(a ^ b for a, b in zip(body, stream, strict=False))


codec = Toy(b"key")
"""One, by a name that a command line can have."""
