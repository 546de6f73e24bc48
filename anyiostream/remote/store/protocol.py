"""`Store`: where the threads of a server live: their logs, what was asked of them, and whose they are. The contract.

`tests/remote/store/` checks it for every store. Rules:

- A thread has a log, an inbox and a record. One handle at a time writes its log: the one that has claimed the thread
  last. Each claim raises the thread's epoch; what an earlier handle still writes is refused (`Fenced`).
- A call is atomic. When it returns, its effect survives what the store survives. A cancellation waits for a call under
  way: nothing is half done, and nobody is left to guess.
- An append says after which place it comes. Repeated unchanged, because its answer was lost, it succeeds and changes
  nothing.
- Epochs and places of commands are never given twice either: a server that the store has forgotten, and that goes on
  with one, is not taken for another one.
- Places rise along a log. No place is used twice, whatever the store has lost, and whenever the thread was begun: a
  claim skips all places that may have been used up by now (`next_place`). So a log may have holes. A reader that has
  read up to one does not notice it; for one that has read events that are lost, it is a gap.
- A command stays in the inbox until the append that ends its run says that it is done.
- A pending question is taken when its answer is accepted, and is pending again if the answer is withdrawn.
- Only the store's clock decides anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol, final

import attrs

from anyiostream.remote.limits import Limits
from anyiostream.remote.store.kept import Listed, Record, Stored
from anyiostream.remote.store.sealing import Sealing
from anyiostream.wire.drafts import Entry

__all__ = [
    "NOTHING",
    "REMEMBERED",
    "Acceptance",
    "Changes",
    "Claim",
    "News",
    "Offer",
    "Records",
    "Standing",
    "next_place",
    "thread_key",
]

REMEMBERED: Final = 256
"""Replies of a thread that are remembered for commands that are sent again."""

EPOCH_2024: Final = 1_704_067_200_000_000
"""2024-01-01 in µs since 1970; places count from there, so that they fit JavaScript's integers for 250 years."""

Clock = Callable[[], int]
"""The store's time, in µs since 1970."""


def thread_key(owner: str, thread_id: str) -> str:
    """The name of a thread in a store. Nobody can reach another owner's thread by its id."""
    parts = tuple(part.encode(errors="surrogatepass") for part in (owner, thread_id))
    return hashlib.sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts)).hexdigest()


def next_place(last: int, now: int) -> int:
    """The first place that a claim may give, given the newest one and the store's time.

    There are 1,024 places for each ms since 2024. Nobody writes as fast as that, so every place that a lost log has
    given out is lower.
    """
    return max(last + 1, (now - EPOCH_2024) // 1000 << 10)


@final
@attrs.frozen(kw_only=True)
class Offer:
    """A command that a client has sent.

    Attributes:
        owner: On whose behalf.
        thread_id: For which thread, as its owner has it. It is made if there is none.
        run_id: The id of the run that it starts.
        body: All that has to be known to run it, encoded.
        reply: What the client is told, encoded.
        answers: Ids of the questions that it answers; each of them must be pending.
        once: Tells a repeated command from a new one; `None` if it cannot be repeated.
    """

    owner: str
    thread_id: str
    run_id: str
    body: bytes
    reply: bytes
    answers: Collection[str] = ()
    once: str | None = None

    def sealed(self, sealing: Sealing) -> Offer:
        """The command as it is stored."""
        if not sealing.encodes:
            return self
        return attrs.evolve(self, body=sealing.seal(self.body), reply=sealing.seal(self.reply))


@final
@attrs.frozen(kw_only=True)
class Acceptance:
    """That a command has been accepted.

    Attributes:
        place: Its place in the inbox.
        reply: What its client is told.
        repeated: Whether it had been accepted before: then nothing has been done, and the reply is the first one.
    """

    place: int
    reply: bytes
    repeated: bool = False


@final
@attrs.frozen(kw_only=True)
class Changes:
    """What an append changes besides the log.

    Attributes:
        done: Places of commands that leave the inbox.
        attempts: Place of a command -> how often its run has been begun.
        pending: What the graph waits for its user with from now on; `None` for no change.
        fold: The thread's state after the append; `None` for no change.
        label: What lists are to know of the thread without reading its state, encoded; `None` for no change.
    """

    done: Collection[int] = ()
    attempts: tuple[int, int] | None = None
    pending: tuple[str, ...] | None = None
    fold: bytes | None = None
    label: bytes | None = None

    def sealed(self, sealing: Sealing) -> Changes:
        """The changes as they are stored."""
        if not sealing.encodes or self.fold is self.label is None:
            return self
        return attrs.evolve(self, fold=sealing.seal(self.fold), label=sealing.seal(self.label))


NOTHING: Final = Changes()


@final
@attrs.frozen(kw_only=True)
class Claim:
    """A thread that has been claimed, to be written by the claimant alone.

    Attributes:
        record: The thread, with the epoch of this claim.
        next: The place of its next event.
        inbox: Its commands, in order.
    """

    record: Record
    next: int
    inbox: Sequence[Stored] = ()


@final
@attrs.frozen(kw_only=True)
class Standing:
    """How a thread stands, for a server that has not claimed it.

    Attributes:
        record: What is known of it.
        inbox: Its commands, in order.
    """

    record: Record
    inbox: Sequence[Stored] = ()


@final
@attrs.frozen(kw_only=True)
class News:
    """News for a server that shares its store with others.

    Attributes:
        inbox: Keys of threads that it has claimed, for whose inboxes others have done something.
        lost: Keys of threads that it had claimed, and that others have.
        erased: Keys of threads that are no longer there, whoever had them: they may be read here.
        ready: Whether there may be threads with commands that nobody has.
    """

    inbox: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()
    erased: frozenset[str] = frozenset()
    ready: bool = False


class Records(Protocol):
    """What is stored of threads: a `Store`, as the log of a thread sees it."""

    @property
    def survives(self) -> bool:
        """Whether threads outlive the process that wrote them."""
        ...

    def open(self, limits: Limits) -> AbstractAsyncContextManager[None]:
        """A block in which the store is used.

        Raises:
            StoreUnfit: It cannot be one, or not for this version.
            StoreInUse: It serves one process at a time, and another one has it.
        """
        ...

    async def record(self, key: str) -> Record | None:
        """What is known of a thread, if there is such."""
        ...

    async def look(self, key: str) -> Standing | None:
        """How a thread stands, if there is such."""
        ...

    async def listed(self, owner: str, *, since: int = 0, skip: int = 0, most: int) -> Sequence[Listed]:
        """An owner's threads, the one that was touched last first. Costs what it returns, whatever else is stored.

        Args:
            owner: Whose.
            since: Only those that were touched then or later, in µs.
            skip: How many to pass over.
            most: How many at most.
        """
        ...

    async def unfinished(self) -> Sequence[str]:
        """Keys of the threads that have commands: those whose runs had begun first, then in order of acceptance."""
        ...

    async def accept(self, offer: Offer, *, most: int, within: float) -> Acceptance:
        """Put a command into a thread's inbox.

        Args:
            offer: The command.
            most: Commands that an inbox may hold.
            within: Seconds for which a repeated command is known.

        Raises:
            InboxFull: It holds that many already.
            NotPending: It answers a question that nobody asks, or that has been answered.
        """
        ...

    async def recall(self, key: str, once: str, *, within: float) -> bytes | None:
        """The reply to the same command, if it was accepted within so many seconds."""
        ...

    async def cancel(self, key: str, place: int, *, drain: bool = False) -> None:
        """Note that the run of a command is to be stopped, whoever runs it. No change if it has gone, or is noted.

        Args:
            key: The thread.
            place: The command's place in its inbox.
            drain: Whether at the end of its step, which does not take back that it is to be stopped at once.
        """
        ...

    async def claim(self, owner: str, thread_id: str, *, holder: str, nonce: str) -> Claim | None:
        """Become the one that writes a thread, which is made if there is none.

        Args:
            owner: Whose thread.
            thread_id: Which one.
            holder: Who claims it.
            nonce: Tells a repeated claim, which gives the same epoch, from a new one.

        Returns:
            The claim; `None` while somebody else's lease has not run out.
        """
        ...

    async def renew(self, holder: str) -> bool:
        """Renew the lease of `holder`; whether it still has what it has claimed.

        A store that outlives the process writes something, even where there are no leases: by that a server knows
        whether it can.

        Raises:
            StoreFailed: It cannot be written.
        """
        ...

    async def release(self, key: str, epoch: int) -> None:
        """Give a thread up, so that others need not wait for a lease to run out."""
        ...

    async def append(
        self, key: str, epoch: int, after: int, entries: Sequence[Entry], changes: Changes = NOTHING
    ) -> None:
        """Write events to a log, and what changes with them. Forgets its oldest ones beyond the limits.

        Args:
            key: The thread.
            epoch: That of the writer's claim.
            after: The place of the newest event before these.
            entries: The events, maybe none.
            changes: What changes with them.

        Raises:
            Fenced: Somebody else has claimed the thread since.
            OutOfStep: The newest event is another one, and this append is not the last one repeated.
            StoreFailed: It cannot be written; nothing is.
        """
        ...

    async def read(self, key: str, after: int, most: int = 256) -> Sequence[Entry]:
        """The events after a place, at most `most`; fewer if they are large.

        Raises:
            LogGap: Events after that place are no longer there.
        """
        ...

    def discard(self, key: str) -> None:
        """This process no longer has a thread, though it may show it. A store that does not outlive it forgets it."""
        ...

    async def erase(self, key: str) -> None:
        """Forget a thread with everything in it, for good."""
        ...

    async def expire(self, idle: float, waiting: float) -> int:
        """Forget the threads without commands that have been idle for `idle` seconds.

        Those that wait for their user are kept for `waiting` seconds. Returns how many were forgotten.
        """
        ...
