"""A channel's bound, and what happens to an item that does not fit: the overflow policies, one row each.

A new policy is one more name in `Overflow` and one more row of `POLICIES`. Buffers, tees and backlogs ask only for
the two facts of the row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final, Literal, Protocol, final

import attrs

from anyiostream.errors import InvalidBound

__all__ = ["POLICIES", "FullQueue", "Overflow", "Policy", "check_maxlen", "check_overflow"]

Overflow = Literal["wait", "drop_oldest", "drop_newest", "fail"]
"""What a push to a full channel does: wait for room, drop an item (and count it), or raise `ChannelFull`."""


class FullQueue(Protocol):
    """A queue without room, as a policy sees it."""

    def drop_oldest(self) -> None:
        """Drop its first item, and count it."""


@final
@attrs.frozen
class Policy:
    """One overflow policy.

    Attributes:
        waits: Whether an item that does not fit waits for room. A policy that neither waits nor drops refuses it with
            `ChannelFull`.
        make_room: Called with the full queue; drops what the policy drops of it, and returns whether the new item is
            to be added. If not, the new item is dropped. `None` for a policy that drops nothing.
    """

    waits: bool = False
    make_room: Callable[[FullQueue], bool] | None = None


def _drop_oldest(queue: FullQueue) -> bool:
    queue.drop_oldest()
    return True


def _drop_newest(queue: FullQueue) -> bool:  # noqa: ARG001 -- keeps what it has
    return False


POLICIES: Final[Mapping[Overflow, Policy]] = {
    "wait": Policy(waits=True),
    "drop_oldest": Policy(make_room=_drop_oldest),
    "drop_newest": Policy(make_room=_drop_newest),
    "fail": Policy(),
}
"""Name of the policy -> what it does."""


def check_maxlen(maxlen: float | None) -> None:
    """Raise `InvalidBound` unless `maxlen` is a positive int, `math.inf` or `None`."""
    if maxlen is None or maxlen == math.inf:
        return
    if isinstance(maxlen, bool) or not isinstance(maxlen, int) or maxlen <= 0:
        raise InvalidBound("StreamChannel maxlen", maxlen, "a positive int or None (math.inf for no bound)")


def check_overflow(overflow: str) -> None:
    """Raise `InvalidBound` unless `overflow` is the name of a policy."""
    if overflow not in POLICIES:
        raise InvalidBound("overflow", overflow, f"one of {', '.join(map(repr, POLICIES))}")
