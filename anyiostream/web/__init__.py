"""A run as the response to a request: `RunResponse`, for Starlette and FastAPI. Needs the `web` extra.

```python
from anyiostream.web import RunResponse


@app.get("/answer")
async def answer(question: str) -> RunResponse:
    return RunResponse(open_run(agent, question))
```

Runs that outlive their request, several viewers of one and authorization are `anyiostream.remote`'s.
"""

from __future__ import annotations

from anyiostream.errors import MissingExtra

try:
    from anyiostream.web.response import RunResponse, UnknownOnDisconnect
except ModuleNotFoundError as exc:
    if exc.name is None or exc.name.partition(".")[0] != "starlette":
        raise
    raise MissingExtra("anyiostream.web", "web") from exc

__all__ = ["RunResponse", "UnknownOnDisconnect"]
