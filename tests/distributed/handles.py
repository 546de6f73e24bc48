"""Handles on a store in Redis or Valkey, for a `Workload`. For another kind of store, this is what to replace."""

from __future__ import annotations

from typing import Any

from anyiostream.remote.store.redis import RedisStore

from ..waiting import PATIENCE

__all__ = ["handles"]


def handles(*urls: str, **options: Any) -> list[RedisStore]:
    """A handle for each address, with a lease of two seconds; by default, no answer is late on any machine."""
    given = {"lease": 2.0, "deadline": PATIENCE, "patience": PATIENCE, **options}
    return [RedisStore(f"{url}?prefix=faults", **given) for url in urls]
