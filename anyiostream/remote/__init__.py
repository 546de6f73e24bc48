"""Runs over SSE and WebSocket, for the official LangGraph clients. Needs the extra `remote`.

```python
from anyiostream.remote import app, close_streams

application = app({"assistant": graph})  # then: uvicorn module:application
```
"""

from __future__ import annotations

from anyiostream.remote.access import LOOPBACK, Access, Authorize
from anyiostream.remote.app import app, close_streams
from anyiostream.remote.assistants import Assistant, Resumption, RunContext, run_context
from anyiostream.remote.client import Reconnection, RemoteClient, RemoteThread, connect
from anyiostream.remote.limits import Limits
from anyiostream.remote.log import Draft, Entry, LogFactory, LogGap, MemoryLog, ThreadLog
from anyiostream.remote.receiving import RemoteGap, RemoteRefused, RemoteRunFailed, RemoteUnreachable

__all__ = [
    "LOOPBACK",
    "Access",
    "Assistant",
    "Authorize",
    "Draft",
    "Entry",
    "Limits",
    "LogFactory",
    "LogGap",
    "MemoryLog",
    "Reconnection",
    "RemoteClient",
    "RemoteGap",
    "RemoteRefused",
    "RemoteRunFailed",
    "RemoteThread",
    "RemoteUnreachable",
    "Resumption",
    "RunContext",
    "ThreadLog",
    "app",
    "close_streams",
    "connect",
    "run_context",
]
