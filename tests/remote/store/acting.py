"""What the tests of stores do with them."""

from __future__ import annotations

from typing import Any

from anyiostream.remote import Draft
from anyiostream.remote.store import Claim, Offer
from anyiostream.wire.drafts import Entry

__all__ = ["claimed", "draft", "entry", "offer"]


def draft(data: Any = None) -> Draft:
    """An event."""
    return Draft("values", ("a:1",), data, 123, {"node": "n"})


def entry(claim: Claim, n: int = 0, data: Any = None) -> Entry:
    """The event that is the `n`th of a claim."""
    seq = claim.next + n
    return Entry.of(draft(n if data is None else data), seq, f"{claim.record.generation}-{seq}")


async def claimed(store: Any, nonce: str = "1", thread_id: str = "t") -> Claim:
    """A claim of a thread."""
    claim: Claim = await store.claim("ann", thread_id, holder=f"server {nonce}", nonce=nonce)
    return claim


def offer(run_id: str = "r1", thread_id: str = "t", **fields: Any) -> Offer:
    """A command for a thread."""
    values = {"body": b"{}", "reply": run_id.encode(), **fields}
    return Offer(owner="ann", thread_id=thread_id, run_id=run_id, **values)
