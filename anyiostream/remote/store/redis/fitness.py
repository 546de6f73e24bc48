"""Whether a server can keep threads, checked before it keeps any: its version, its role, its schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import anyio
from coredis.exceptions import AuthenticationError, AuthorizationError, RedisError

from anyiostream.remote.store.failures import StoreFailed, StoreUnfit
from anyiostream.remote.store.redis.address import Address
from anyiostream.remote.store.redis.lane import Lane, Lost, Reply
from anyiostream.remote.store.redis.scripts import Script
from anyiostream.remote.store.sealing import ENCODED, NO_CODEC, WRONG_CODEC, Sealing

__all__ = ["SCHEMA", "check_facts", "check_fit"]

SCHEMA: Final = 1
"""Of the keys. A server also works with the schema before its own, so that servers can be replaced one by
one."""

OLDEST: Final = (6, 2)
"""Of Redis: exact trimming of streams by place, and ranges of them that leave their beginning out."""

SECTIONS: Final = ("server", "memory", "replication", "cluster")


async def check_fit(script: Script, lane: Lane, address: Address, patience: float, sealing: Sealing) -> None:
    """Refuse a server that cannot keep threads. One that does not answer is asked again for `patience` seconds.

    Raises:
        StoreUnfit: It cannot, and what to do about it.
    """
    name = str(address)
    replies = await _asked(lane, name, patience)
    for reply in replies:
        if isinstance(reply, RedisError):
            raise StoreUnfit(name, f"its user may not ask what it is ({reply}). Allow INFO, see docs/stores.md")
    check_facts(name, _facts(b"\r\n".join(replies)))
    try:
        found = int(await script.call(lane, "schema", SCHEMA, patience=patience))
        if not SCHEMA - 1 <= found % ENCODED <= SCHEMA:
            raise StoreUnfit(
                name,
                f"its threads are of version {found}, this server reads {SCHEMA}. Use a server of that version, or "
                "another prefix",
            )
        await _check_codec(script, lane, name, patience, sealing, found)
    except StoreFailed as exc:
        raise StoreUnfit(name, f"it does not run what it is asked to: {exc.__cause__ or exc}") from exc


async def _check_codec(script: Script, lane: Lane, name: str, patience: float, sealing: Sealing, schema: int) -> None:
    """Refuse a store whose content the codec cannot decode; note that it encodes some from now on."""
    if not sealing.encodes:
        if schema >= ENCODED:
            raise StoreUnfit(name, NO_CODEC)
        return
    before = await script.call(lane, "canary", patience=patience)
    if before is None or sealing.knows(before):
        # Written anew, so that a key is no longer needed when all that it has encoded is gone.
        version = schema % ENCODED + ENCODED
        before = await script.call(lane, "encode", version, sealing.canary(), before or b"", patience=patience)
    if not sealing.knows(before):
        raise StoreUnfit(name, WRONG_CODEC)


async def _asked(lane: Lane, name: str, patience: float) -> list[Reply]:
    """What a server says of itself. Raises as `check_fit`."""
    until = anyio.current_time() + patience
    while True:
        try:
            left = max(0.0, until - anyio.current_time())
            return await lane.ask(*([b"INFO", section] for section in SECTIONS), within=left)
        except Lost as exc:
            if isinstance(lane.refused, (AuthenticationError, AuthorizationError)):
                raise StoreUnfit(name, f"it refuses the user or the password ({lane.refused})") from exc
            if lane.closed or anyio.current_time() >= until:
                reason = f"it cannot be reached ({exc}); see whether it runs, and whether its address is right"
                raise StoreUnfit(name, reason) from exc


def _facts(said: bytes) -> Mapping[str, str]:
    parts = (line.partition(":") for line in said.decode("utf-8", "replace").splitlines())
    return {name: value for name, _, value in parts}


def check_facts(name: str, facts: Mapping[str, str]) -> None:
    """Refuse a server by what it says of itself. Raises as `check_fit`."""
    version = tuple(map(int, re.findall(r"\d+", facts.get("redis_version", "0"))[:2]))
    if version < OLDEST:
        raise StoreUnfit(name, f"it is Redis {facts.get('redis_version')}; 6.2 is the oldest that can")
    if facts.get("cluster_enabled") == "1":
        raise StoreUnfit(name, "it is a Cluster, in which threads cannot be changed atomically. Use one primary")
    if facts.get("role") != "master":
        raise StoreUnfit(name, "it is a replica, which cannot be written to. Name the primary, or its Sentinels")
    policy = facts.get("maxmemory_policy")
    if policy != "noeviction":
        raise StoreUnfit(name, f"it evicts keys when it is full. Set maxmemory-policy noeviction, not {policy}")
