"""Who may do what: the `authorize` hook, and which hosts and origins are served. The decisions are pure."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final, Literal, final
from urllib.parse import urlsplit

import attrs

from anyiostream.errors import AnyioStreamError
from anyiostream.remote.containing import pass_on_own
from anyiostream.remote.refusals import Refusal
from anyiostream.tooling import name_of

__all__ = [
    "LOOPBACK",
    "Access",
    "Action",
    "Authorize",
    "Caller",
    "HookFailed",
    "authorized",
    "check_host",
    "check_origin",
    "check_thread_id",
]

Action = Literal["start", "respond", "read", "abort", "delete", "describe", "observe"]
"""What somebody wants to do: `start` a run, `respond` to an interrupt, `read` a thread's events or state, `abort` a
run, `delete` a thread, have an assistant `describe`d, or `observe` the server, which only its operators may. A run that
goes on where its graph waits for its user is asked for twice: to `start` it, and to `respond`."""

LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")
"""The hosts that are served by default: those that only this machine can reach."""

ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[!-.0->A-~]+")

THREAD_ID = re.compile(r"[\w.:@~+=-]{1,200}")


@final
@attrs.frozen
class Access:
    """What the `authorize` hook decides on.

    Attributes:
        action: What is wanted.
        thread_id: Which thread it concerns, if any. The hook's answer decides whose that is.
        assistant_id: With which assistant, if the client says.
        headers: The request's headers, by lower-case name.
        client: The address it comes from.
        steers: What an answer (`respond`) does besides answering: `update` the state, make the graph `goto` other
            nodes. The assistant has to allow it, too.
    """

    action: Action
    thread_id: str | None
    assistant_id: str | None
    headers: Mapping[str, str]
    client: str | None
    steers: frozenset[str] = frozenset()


Authorize = Callable[[Access], Awaitable[str | None] | str | None]
"""Returns on whose behalf the request is made: every owner has threads of their own, and the request concerns one of
theirs, whatever it is called. `None` refuses it. To let a caller use another owner's thread, return that owner's name.
Sync or async."""


@final
class HookFailed(AnyioStreamError):
    """The `authorize` hook has raised what would have ended more than its request."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"authorize has raised {name_of(error)}; a hook refuses by returning None.")


async def authorized(hook: Authorize | None, access: Access) -> str:
    """On whose behalf a request is made; `""` without a hook.

    Raises:
        Refusal: The hook refuses it (401).
        TypeError: The hook returned neither a string nor `None`.
        HookFailed: The hook has raised what is no `Exception`, such as `SystemExit`, which is the cause.
    """
    if hook is None:
        return ""
    try:
        answer = hook(access)
        identity = await answer if inspect.isawaitable(answer) else answer
    except BaseException as exc:
        if isinstance(exc, Exception):
            raise
        await pass_on_own(exc, "the `authorize` hook")
        raise HookFailed(exc) from exc
    if identity is None:
        raise Refusal("permission_denied", "the credentials are missing or wrong.", status=401)
    if not isinstance(identity, str):
        raise TypeError(f"authorize must return an owner's name or None, got {type(identity).__name__}.")
    return identity


@final
class Caller:
    """Who makes a request.

    Attributes:
        headers: The request's headers, by lower-case name.
        client: The address it comes from.
    """

    __slots__ = ("client", "headers")

    def __init__(self, headers: Mapping[str, str], client: str | None) -> None:
        self.headers = headers
        self.client = client


def check_host(host: str | None, allowed: Collection[str]) -> None:
    """Refuse a request for a host that is not served, as a browser may be tricked into sending.

    Raises:
        Refusal: With status 421.
    """
    if "*" not in allowed and _without_port(host or "") not in allowed:
        raise Refusal("permission_denied", "this host is not served here.", status=421)


def check_origin(origin: str | None, host: str | None, allowed: Collection[str]) -> None:
    """Refuse requests of other sites' pages. A request without an `Origin` does not come from a browser's page.

    Raises:
        Refusal: With status 403; with 400 if it is not an origin at all.
    """
    if origin is None:
        return
    if origin != "null" and not _is_origin(origin):
        raise Refusal(
            "invalid_argument", "`Origin` must be `null`, or a scheme, a host and optionally a port.", status=400
        )
    if "*" in allowed or origin in allowed:
        return
    if origin == "null" or urlsplit(origin).netloc != host:
        raise Refusal("permission_denied", "pages of this origin are not served here.", status=403)


def check_thread_id(thread_id: str) -> str:
    """A thread's id, if it can be one.

    Raises:
        Refusal: With status 400.
    """
    if THREAD_ID.fullmatch(thread_id) is None:
        raise Refusal("invalid_argument", "a thread id must be 1 to 200 letters, digits and _.:@~+=-", status=400)
    return thread_id


def _is_origin(origin: str) -> bool:
    try:
        parsed = urlsplit(origin)
        _ = parsed.port  # which is looked at only now
        return ORIGIN.fullmatch(origin) is not None and bool(parsed.hostname) and parsed.username is None
    except ValueError:  # brackets without an address, an invalid port
        return False


def _without_port(host: str) -> str:
    name, _, port = host.rpartition(":")
    return (name if name and port.isdigit() else host).lower()
