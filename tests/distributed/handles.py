"""Handles on a store in Redis or Valkey, for a `Workload`. For another kind of store, this is what to replace."""

from __future__ import annotations

from typing import Any

from anyiostream.remote.store.redis import RedisStore

__all__ = ["handles"]


def handles(*urls: str, **options: Any) -> list[RedisStore]:
    """A handle for each address, with a lease of two seconds. They give a connection up soon, and a call late."""
    given = {"lease": 2.0, "deadline": 0.5, "patience": 30.0, **options}
    return [RedisStore(f"{url}?prefix=faults", **given) for url in urls]
