"""A page in the browser that shows runs as they happen. Needs the `remote` extra.

```python
from anyiostream.page import add_page
from anyiostream.remote import app

application = add_page(app({"assistant": graph}))  # the page is at /
```

It is one more viewer: it reads what every client may read, under the same limits and the same access control, and never
makes a run wait. Its scripts are in `static/`, as written: nothing is built, and nothing is loaded from elsewhere.
"""

from __future__ import annotations

from anyiostream.errors import MissingExtra

try:
    from anyiostream.page.endpoints import add_page
    from anyiostream.page.recording import Recording, recorded
except ModuleNotFoundError as exc:
    if exc.name is None or exc.name.partition(".")[0] not in {"hypercorn", "httpx", "starlette"}:
        raise
    raise MissingExtra("anyiostream.page", "remote") from exc

__all__ = ["Recording", "add_page", "recorded"]
