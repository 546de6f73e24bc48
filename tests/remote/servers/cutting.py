"""A TCP proxy that cuts its connections when it is told to, as a bad network does."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

__all__ = ["Proxy", "proxied"]

RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Passes connections on to a server.

    Attributes:
        url: Its address.
        accepted: Connections so far.
        cuts: Whole counts of bytes from the server after which the connection that carries them is cut, in order.
    """

    def __init__(self, target: str) -> None:
        address = urlsplit(target)
        self._target = (address.hostname, address.port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.accepted = 0
        self.cuts: list[int] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Reset every connection."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            self._end(pair, reset=True)

    def close(self) -> None:
        """Accept nothing more, and reset what there is."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # which ends a waiting accept
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)  # type: ignore[arg-type]
            except OSError:
                client.close()
                continue
            pair = (client, server)
            with self._lock:
                self.accepted += 1
                self._pairs.add(pair)
            threading.Thread(target=self._pipe, args=(client, server, pair, False), daemon=True).start()
            threading.Thread(target=self._pipe, args=(server, client, pair, True), daemon=True).start()

    def _pipe(
        self, source: socket.socket, sink: socket.socket, pair: tuple[socket.socket, socket.socket], counts: bool
    ) -> None:
        left: int | None = None
        try:
            while data := source.recv(65536):
                if counts and self.cuts and left is None:
                    left = self.cuts[0]
                if counts and left is not None:
                    if len(data) >= left:
                        sink.sendall(data[:left])
                        with self._lock:
                            if self.cuts:
                                self.cuts.pop(0)
                        self._end(pair, reset=True)
                        return
                    left -= len(data)
                sink.sendall(data)
        except OSError:
            pass
        self._end(pair, reset=False)

    def _end(self, pair: tuple[socket.socket, socket.socket], *, reset: bool) -> None:
        with self._lock:
            if pair not in self._pairs:
                return
            self._pairs.discard(pair)
        for each in pair:
            with contextlib.suppress(OSError):
                if reset:
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@contextmanager
def proxied(target: str) -> Iterator[Proxy]:
    """A proxy before a server."""
    proxy = Proxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
