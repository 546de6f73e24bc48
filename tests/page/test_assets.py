"""The page's files are sent compressed to whoever takes that."""

from __future__ import annotations

import time
from gzip import decompress

import pytest
from starlette.applications import Starlette

from anyiostream.page.assets import asset_routes, takes_gzip

from ..browsing import Browser

pytestmark = pytest.mark.anyio

TAKING = (
    "gzip", "GZIP", "Gzip, deflate", "br;q=1.0, gzip;q=0.8, *;q=0.1", "x-gzip", "*", "gzip ; q=0.001", "deflate,gzip",
    "gzip;q=1", "*;q=0, gzip", "br, *;q=0.5", "gzip;q=0.05", "gzip;q=0, X-GZIP", "\tgzip\t",
)  # fmt: skip

NOT_TAKING = (
    "", "identity", "gzip;q=0", "gzip;Q=0", "GZIP; q=0.000", "gzip;q=0 , br", "*, gzip;q=0", "gzip ;q = 0.0, *",
    "br", "gzip-9", "xgzip", "notgzip, br", "*;q=0", "br;q=0, *;q=0", ",;,", ";q=1", "deflate;gzip",
)  # fmt: skip


async def sent(*accepted: str) -> tuple[str | None, bytes]:
    """How a file of the page is sent, and the file."""
    browser = Browser()
    scope = {
        **browser.scope, "path": "/page/fold.js", "query_string": b"", "root_path": "",
        "headers": [(b"accept-encoding", each.encode()) for each in accepted],
    }  # fmt: skip
    await Starlette(routes=list(asset_routes()))(scope, browser.receive, browser.send)
    return browser.headers.get("content-encoding"), browser.messages[1]["body"]


@pytest.mark.parametrize("accepted", TAKING)
async def test_whoever_takes_gzip_is_sent_it(accepted: str) -> None:
    """Names of encodings have no case, and `*` is one that is not named."""
    how, body = await sent(accepted)
    assert how == "gzip"
    assert (None, decompress(body)) == await sent()


@pytest.mark.parametrize("accepted", NOT_TAKING)
async def test_nobody_else_is(accepted: str) -> None:
    """Not who excludes it, nor who takes something whose name has it as a part."""
    assert (await sent(accepted))[0] is None


async def test_the_header_may_come_in_several() -> None:
    """As proxies make it."""
    assert (await sent("br", "gzip"))[0] == "gzip"
    assert (await sent("gzip;q=0", "*"))[0] is None


def test_a_long_header_costs_little() -> None:
    """Servers take 64 KiB of headers."""
    began = time.perf_counter()
    for accepted in ("gzip;" * 13_000, "," * 65_000, "gzip;q=0" + " " * 65_000 + "x", "q=0." + "0" * 65_000):
        takes_gzip(accepted)
    assert time.perf_counter() - began < 1
