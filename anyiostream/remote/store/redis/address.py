"""`Address`: where a Redis or Valkey server is, and as whom one connects to it: directly, or by asking Sentinels."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, Final, Self, final
from urllib.parse import parse_qsl, unquote, urlsplit

import anyio
import attrs
from coredis.connection import TCPConnection, TCPLocation
from coredis.exceptions import RedisError

from anyiostream.remote.store.failures import StoreUnfit, shown

__all__ = ["Address", "discard"]

PORT: Final = 6379
SENTINEL_PORT: Final = 26379

LEASE: Final = 10.0
LONGEST_LEASE: Final = 3600
"""Seconds. With a shorter lease, servers that are merely late would count as dead."""

SCHEMES: Final = {
    "redis": (False, False),
    "rediss": (True, False),
    "redis+sentinel": (False, True),
    "rediss+sentinel": (True, True),
}
"""Scheme of an address -> whether it is TLS, and whether it names Sentinels."""

OPTIONS: Final = frozenset({"prefix", "lease", "ca", "cert", "key", "sentinel_user", "sentinel_password"})
"""What may stand behind the question mark of an address."""


BUFFERS: Final = ("_push_message_buffer", "_streamed_message_buffer", "_write_buffer")


def discard(connection: TCPConnection) -> None:
    """Close what a failed connection leaves open, instead of leaving it to the garbage collector."""
    for name in BUFFERS:
        for end in ("in", "out"):
            getattr(connection, f"{name}_{end}").close()


@final
@attrs.frozen(kw_only=True)
class Address:
    """Where the server is.

    Attributes:
        hosts: Hosts and ports: of the server, or of the Sentinels.
        service: What the Sentinels call the server; `""` without Sentinels.
        database: The number of its database.
        username: As whom; `None` for the default user.
        password: That user's, if there is one.
        sentinel_user: The same for the Sentinels.
        sentinel_password: Likewise.
        tls: How the server's certificate is checked; `None` for a connection without TLS.
        prefix: What the names of all keys begin with.
        lease: Seconds after which others go on with what a dead server had.
    """

    hosts: tuple[tuple[str, int], ...]
    service: str = ""
    database: int = 0
    username: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    sentinel_user: str | None = None
    sentinel_password: str | None = attrs.field(default=None, repr=False)
    tls: ssl.SSLContext | None = None
    prefix: str = "anyiostream"
    lease: float = LEASE

    @classmethod
    def parse(cls, url: str, lease: float | None = None) -> Self:
        """The address that a URL stands for; `RedisStore` has the forms, and says what a lease is.

        Raises:
            StoreUnfit: It is not one.
        """
        try:
            parts = urlsplit(url)
            tls, sentinel = SCHEMES[parts.scheme]
            given = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
            places = tuple(_place(each, SENTINEL_PORT if sentinel else PORT) for each in _hosts(parts.netloc))
            path = parts.path.strip("/").split("/")
            service = unquote(path.pop(0)) if sentinel else ""
            (database,) = path or ["0"]
            number = int(database or 0)
            lease = float(given.get("lease", LEASE)) if lease is None else lease
        except (KeyError, ValueError):  # which may tell the password
            raise StoreUnfit(shown(url), f"it is not an address ({FORMS})") from None
        if given.keys() - OPTIONS:
            raise StoreUnfit(shown(url), f"it has only the options {', '.join(sorted(OPTIONS))}")
        if not 1 <= lease <= LONGEST_LEASE:
            raise StoreUnfit(shown(url), f"a lease lasts 1 to {LONGEST_LEASE} s, not {lease:g}")
        if sentinel and not service:
            raise StoreUnfit(shown(url), "it does not name the service that the Sentinels watch (.../SERVICE)")
        return cls(
            hosts=places,
            service=service,
            database=number,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            sentinel_user=given.get("sentinel_user"),
            sentinel_password=given.get("sentinel_password"),
            tls=_tls(url, given) if tls else None,
            prefix=given.get("prefix") or "anyiostream",
            lease=lease,
        )

    def __str__(self) -> str:
        places = ",".join(f"{host}:{port}" for host, port in self.hosts)
        return f"the store at {places}{f'/{self.service}' if self.service else ''}"

    async def connection(self, name: str, deadline: float) -> TCPConnection:
        """A connection that is still to be run.

        Args:
            name: What the server calls it.
            deadline: Seconds after which it cannot be made.

        Raises:
            OSError: None of the Sentinels knows where the server is.
        """
        host, port = await self._primary(deadline) if self.service else self.hosts[0]
        return TCPConnection(
            TCPLocation(host, port),
            socket_keepalive=True,
            client_name=name,
            connect_timeout=deadline,
            username=self.username,
            password=self.password,
            db=self.database,
            ssl_context=self.tls,
        )

    async def _primary(self, deadline: float) -> tuple[str, int]:
        """Where the Sentinels say that the server is."""
        for host, port in self.hosts:
            asked = TCPConnection(
                TCPLocation(host, port),
                connect_timeout=deadline,
                username=self.sentinel_user,
                password=self.sentinel_password,
                ssl_context=self.tls,
            )
            found: Any = None
            try:
                with anyio.move_on_after(deadline):
                    async with anyio.create_task_group() as tasks:
                        await tasks.start(asked.run)
                        found = await asked.create_request(b"SENTINEL GET-MASTER-ADDR-BY-NAME", self.service)
                        tasks.cancel_scope.cancel()
            except* (RedisError, OSError):
                pass  # the next one may know
            finally:
                discard(asked)
            if found:
                return found[0].decode(), int(found[1])
        raise OSError(f"no Sentinel says where {self.service!r} is")


FORMS: Final = "redis://USER:PASSWORD@HOST:PORT/DATABASE, rediss:// with TLS, redis+sentinel://HOST,HOST/SERVICE"


def _hosts(netloc: str) -> list[str]:
    return netloc.rpartition("@")[2].split(",")


def _place(host: str, port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{host}")
    if not parts.hostname:
        raise ValueError(host)
    return parts.hostname, parts.port or port


def _tls(url: str, given: Mapping[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=given.get("ca"))
        if "cert" in given:
            context.load_cert_chain(given["cert"], given.get("key"))
    except OSError as exc:
        raise StoreUnfit(shown(url), f"its certificates cannot be read ({exc})") from exc
    return context
