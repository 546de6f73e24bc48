"""Runs in the protocols of front ends. Pure: events of the wire in, bytes out; requests in, `Request` out.

```python
from anyiostream.sinks import Placed, open_sink
from anyiostream.wire import Draft

sink = open_sink("text", run_id="1")
event = {"event": "content-block-delta", "id": "m", "index": 0, "delta": {"type": "text-delta", "text": "Hi"}}
assert sink.encode(Placed(1, "1-1", Draft("messages", (), event, 0))) == b"Hi"
assert sink.end() == b""
```

`anyiostream.web` answers a request with a run, `anyiostream.remote` with a thread of a server; both use these.
"""

from __future__ import annotations

from anyiostream.sinks.protocols import PROTOCOLS, Protocol, UnknownProtocol, open_sink, parse
from anyiostream.sinks.sink import (
    INCLUDABLE,
    MalformedRequest,
    Request,
    Sink,
    Status,
    UnknownInclude,
)
from anyiostream.wire import Placed

__all__ = [
    "INCLUDABLE",
    "PROTOCOLS",
    "MalformedRequest",
    "Placed",
    "Protocol",
    "Request",
    "Sink",
    "Status",
    "UnknownInclude",
    "UnknownProtocol",
    "open_sink",
    "parse",
]
