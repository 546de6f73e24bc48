"""A server that says what it is told to, for clients that must not believe everything."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["event", "scripted"]


def event(seq: int, data: Any, method: str = "values", *, log: str = "log") -> dict[str, Any]:
    """An event of the wire at the root."""
    params = {"namespace": [], "timestamp": 0, "data": data}
    return {"type": "event", "event_id": f"{log}-{seq}", "seq": seq, "method": method, "params": params}


@contextmanager
def scripted(*connections: Sequence[Any]) -> Iterator[tuple[str, list[str | None]]]:
    """A server whose streams are these events, one connection after the other, each cut after its last one.

    Its address, and the `Last-Event-ID` of each connection.
    """
    left = list(connections)
    resumed: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            if self.path.endswith("commands"):
                body = b'{"type": "success", "id": 1, "result": {"run_id": "r"}}'
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return
            resumed.append(self.headers["last-event-id"])
            self.send_response(200 if left else 404)
            self.send_header("content-length", "1000000")
            self.end_headers()
            for each in left.pop(0) if left else ():
                self.wfile.write(b"data: " + json.dumps(each).encode() + b"\n\n")
            self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", resumed
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
