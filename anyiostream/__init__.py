"""Typed projections of an agent graph's stream, on trio, on asyncio and without an event loop.

```python
async with open_run(graph, {"question": "..."}) as run:
    async for snapshot in run.values:
        ...
    state = await run.output()
```
"""

from __future__ import annotations

from anyiostream import parts
from anyiostream.channels.channel import StreamChannel
from anyiostream.channels.promise import Promise
from anyiostream.run import OpenRun, open_run
from anyiostream.transformer import StreamEmitter, StreamTransformer
