"""The files of the page, and what browsers are told about them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from gzip import compress
from hashlib import sha256
from pathlib import Path
from typing import Final, final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

__all__ = ["POLICY", "asset_routes", "takes_gzip"]

STATIC: Final = Path(__file__).with_name("static")

KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    "": "text/plain; charset=utf-8",
}

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
"""Nothing from elsewhere, no script but the page's own files, and no text that becomes markup."""

HEADERS: Final = {
    "cache-control": "no-cache",
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "vary": "accept-encoding",
    "x-content-type-options": "nosniff",
}


GZIP: Final = frozenset({"gzip", "x-gzip"})
"""Its names."""

NOT: Final = re.compile(r"q\s*=\s*0(\.0*)?")
"""What excludes an encoding."""


def takes_gzip(accepted: str) -> bool:
    """Whether an `Accept-Encoding` takes gzip: in whatever case, unless it is excluded; `*` is what is not named."""
    taken: dict[str, bool] = {}
    for each in accepted.lower().split(","):
        name, *parameters = (part.strip() for part in each.split(";"))
        taken[name] = not any(map(NOT.fullmatch, parameters))
    named = [taken[name] for name in GZIP if name in taken]
    return any(named) if named else taken.get("*", False)


@final
class Asset:
    """One file, as it was when the application was made; compressed for whoever takes that, once and for all."""

    def __init__(self, path: Path) -> None:
        body = path.read_bytes()
        digest = sha256(body).hexdigest()[:32]
        self._kind: Final = KINDS[path.suffix]
        self._plain: Final = (body, {"etag": f'"{digest}"'})
        self._packed: Final = (compress(body, mtime=0), {"etag": f'"{digest}-gzip"', "content-encoding": "gzip"})

    async def answer(self, request: Request) -> Response:
        """The file, unless the browser has it already."""
        accepted = ",".join(request.headers.getlist("accept-encoding"))
        body, own = self._packed if takes_gzip(accepted) else self._plain
        headers = {**HEADERS, **own}
        if own["etag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type=self._kind)


Endpoint = Callable[[Request], Awaitable[Response]]


def asset_routes(guard: Callable[[Endpoint], Endpoint] = lambda endpoint: endpoint) -> Sequence[BaseRoute]:
    """`/`, and `/page/*` for the files that it is made of, each behind a guard, if there is one."""
    files = {f"/page/{path.relative_to(STATIC).as_posix()}": path for path in sorted(STATIC.rglob("*"))}
    files = {"/": STATIC / "index.html", **{address: path for address, path in files.items() if path.is_file()}}
    return [Route(address, guard(Asset(path).answer), methods=["GET"]) for address, path in files.items()]
