"""Programs on trio with an asyncio loop in its thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import trio
import trio.testing

from anyiostream.loops.asyncio_in_trio import AsyncioInTrio
from anyiostream.loops.trio_host import current_asyncio

from ..waiting import PATIENCE


def on_trio(main: Callable[[], Any], **options: Any) -> Any:
    """Run `main`, and give up if it hangs."""

    async def bounded() -> Any:
        with trio.fail_after(1e6 if "clock" in options else PATIENCE):
            return await main()

    return trio.run(bounded, **options)


def hosting() -> tuple[AsyncioInTrio, asyncio.AbstractEventLoop]:
    """The host of the running trio, and its loop."""
    host = current_asyncio()
    return host, host.loop


def running_loop() -> object:
    """The loop that asyncio thinks is running in this thread."""
    return asyncio._get_running_loop()  # noqa: SLF001 -- relied on, for programs without one
