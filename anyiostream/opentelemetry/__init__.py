"""Tracing of runs with OpenTelemetry, for the `opentelemetry` extra.

```python
from anyiostream.opentelemetry import TracingTransformer

async with open_run(graph, question, transformers=[TracingTransformer]) as run: ...
```
"""

from __future__ import annotations

from anyiostream.errors import MissingExtra

try:
    from anyiostream.opentelemetry.transformer import TracingTransformer
except ModuleNotFoundError as exc:
    if exc.name is None or exc.name.partition(".")[0] != "opentelemetry":
        raise
    raise MissingExtra("tracing", "opentelemetry") from exc

__all__ = ["TracingTransformer"]
