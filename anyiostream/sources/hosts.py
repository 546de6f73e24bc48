"""Where graphs for asyncio only run, as those of most agent frameworks are.

On asyncio it runs on the loop of the run. On trio it runs on an asyncio loop beside it: in trio's own thread (see
`hosted_in_trio.py`), or in a thread of its own (see `portal.py`).
"""

from __future__ import annotations

from anyiostream.driver.hosting import AsyncSource
from anyiostream.loops import on_trio
from anyiostream.sources.hosted import Execution, HostedSource

__all__ = ["asyncio_source"]


def asyncio_source(execution: Execution) -> AsyncSource:
    """A graph for asyncio as a source of a run on the event loop that is running."""
    if not on_trio():
        return HostedSource(execution)
    from anyiostream.loops.trio_host import in_thread  # noqa: PLC0415 -- trio only where it runs

    if in_thread():
        from anyiostream.sources.portal import BridgedSource  # noqa: PLC0415 -- only where it is needed

        return BridgedSource(execution)
    from anyiostream.sources.hosted_in_trio import SourceInTrio  # noqa: PLC0415 -- likewise

    return SourceInTrio(execution)
