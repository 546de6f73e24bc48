"""Ports for servers that are started at a known address, or begun anew at it."""

from __future__ import annotations

import atexit
import itertools
import os
import socket
from collections.abc import Iterator
from typing import Final

__all__ = ["free_port"]

FIRST: Final = 10_240
BLOCK: Final = 1024
BLOCKS: Final = 20
"""Below the ports that Linux gives to sockets which ask for none, where it might give one away before it is used."""


def free_port() -> int:
    """A port that nobody listens on, and that nobody else of these tests is given while this process lives.

    Each worker has a block of ports. Another run of the tests may have the same one, and a server that is killed leaves
    its port for a moment: so the port of that number for datagrams is held as a sign that it is taken.
    """
    for port in _own:
        sign = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sign.bind(("127.0.0.1", port))
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            sign.close()
            continue
        atexit.register(sign.close)
        return port
    raise AssertionError


def _ports() -> Iterator[int]:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    begin = FIRST + worker % BLOCKS * BLOCK
    # Another run of the tests may have used the first ones just now.
    offset = os.getpid()
    for n in itertools.count(offset):
        yield begin + n % BLOCK


_own: Final = _ports()
