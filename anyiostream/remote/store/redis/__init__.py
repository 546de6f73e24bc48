"""`RedisStore`: threads in Redis or Valkey, for any number of servers. Needs the `redis` extra."""

from __future__ import annotations

from anyiostream.errors import MissingExtra

try:
    from anyiostream.remote.store.redis.store import RedisStore
except ModuleNotFoundError as exc:
    if exc.name is None or exc.name.partition(".")[0] != "coredis":
        raise
    raise MissingExtra("a store in Redis", "redis") from exc

__all__ = ["RedisStore"]
