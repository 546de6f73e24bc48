"""Runs over SSE and WebSocket, for the official LangGraph clients. Needs the `remote` extra.

```python
from anyiostream.remote import app, close_streams

application = app({"assistant": graph})  # then: uvicorn module:application
```
"""

from __future__ import annotations

from anyiostream import Resumption
from anyiostream.errors import MissingExtra

try:
    from anyiostream.remote.access import LOOPBACK, Access, Authorize
    from anyiostream.remote.app import ServerApplication, app, close_streams
    from anyiostream.remote.assistants import Assistant, RunContext, run_context
    from anyiostream.remote.client import RemoteClient, RemoteThread, connect
    from anyiostream.remote.limits import Limits
    from anyiostream.remote.log import LogGap, ThreadLog
    from anyiostream.remote.receiving import (
        RemoteGap,
        RemoteMalformed,
        RemoteRefused,
        RemoteRunFailed,
        RemoteUnreachable,
    )
    from anyiostream.remote.reconnection import Reconnection
    from anyiostream.remote.store import Codec, CodecFailed, MemoryLog, MemoryStore, SqliteStore, Store
    from anyiostream.wire.drafts import Draft, Entry
except ModuleNotFoundError as exc:
    if exc.name is None or exc.name.partition(".")[0] not in {"hypercorn", "httpx", "starlette"}:
        raise
    raise MissingExtra("anyiostream.remote", "remote") from exc

__all__ = [
    "LOOPBACK",
    "Access",
    "Assistant",
    "Authorize",
    "Codec",
    "CodecFailed",
    "Draft",
    "Entry",
    "Limits",
    "LogGap",
    "MemoryLog",
    "MemoryStore",
    "Reconnection",
    "RemoteClient",
    "RemoteGap",
    "RemoteMalformed",
    "RemoteRefused",
    "RemoteRunFailed",
    "RemoteThread",
    "RemoteUnreachable",
    "Resumption",
    "RunContext",
    "ServerApplication",
    "SqliteStore",
    "Store",
    "ThreadLog",
    "app",
    "close_streams",
    "connect",
    "run_context",
]
