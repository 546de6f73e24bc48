"""Events of the wire, and how a run's raw log becomes them. Plain JSON; no server, no web framework.

- `transformer.WireTransformer` has a run's raw log complete.
- `encoder.WireEncoder` turns its events into drafts; `messages` is its part for model calls.
- `drafts` has an event without a place in a log, and one with it.
- `local.WireRun` is a run of this process, entered so that all of this holds.
- `compaction` has a turn in fewer events, `abridging` one that is too large as a small one.
- `sse` has the frames of event streams.
- `jsonable` and `redaction` say how values and errors are shown to strangers.
"""

from __future__ import annotations

from anyiostream.wire.compaction import compacted
from anyiostream.wire.drafts import Draft, Entry, Placed, channel_of
from anyiostream.wire.encoder import WireEncoder, WireInterrupt, failure_text, now
from anyiostream.wire.jsonable import encode, plain
from anyiostream.wire.local import NotPrepared, WireRun
from anyiostream.wire.redaction import one_line, redacted
from anyiostream.wire.sse import checked_heartbeat, frame, id_frame
from anyiostream.wire.transformer import WireTransformer

__all__ = [
    "Draft",
    "Entry",
    "NotPrepared",
    "Placed",
    "WireEncoder",
    "WireInterrupt",
    "WireRun",
    "WireTransformer",
    "channel_of",
    "checked_heartbeat",
    "compacted",
    "encode",
    "failure_text",
    "frame",
    "id_frame",
    "now",
    "one_line",
    "plain",
    "redacted",
]
