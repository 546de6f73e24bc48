"""A server that may be killed: `python -m tests.browser.restarting PORT STORE GATE`.

Its graph says what it does, and goes on when the file GATE is there; after a death it is called once more.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import anyio
import hypercorn.asyncio
import hypercorn.config

from anyiostream import GraphWriter
from anyiostream.page import add_page
from anyiostream.remote import Assistant, app

__all__ = ["main"]


def main(port: str, store: str, gate: str) -> None:
    """Serve until killed."""

    async def slow(_: Any, writer: GraphWriter) -> Any:
        async with writer.message(node="think") as message:
            await message.text("Working on it. ")
            while not released():
                await anyio.sleep(0.01)
            await message.text("Done.")
        return {"done": True}

    def released() -> bool:
        return Path(gate).exists()

    logging.disable(logging.WARNING)
    config = hypercorn.config.Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.errorlog = logging.getLogger("hypercorn.tests")
    assistants = {"slow": Assistant(graph=slow, on_crash="restart"), "fragile": Assistant(graph=slow)}
    application = add_page(app(assistants, store=f"sqlite:{store}", heartbeat=0.5))
    anyio.run(hypercorn.asyncio.serve, application, config)


if __name__ == "__main__":
    main(*sys.argv[1:])
