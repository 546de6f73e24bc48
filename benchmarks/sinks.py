"""How many events a second each sink shows, on one core: `python -m benchmarks.sinks`. A turn of many tokens."""

from __future__ import annotations

import time

from anyiostream.sinks import PROTOCOLS, open_sink
from anyiostream.wire import Draft, Placed

TOKENS = 20_000
ROUNDS = 5


def turn() -> list[Placed]:
    """The events of a turn."""
    of = {"id": "m", "run_id": "r"}
    delta = {"event": "content-block-delta", "index": 0, "delta": {"type": "text-delta", "text": "word "}, **of}
    drafts = [Draft("lifecycle", (), {"event": "running"}, 1)]
    drafts += [Draft("messages", (), {"event": "message-start", "role": "ai", **of}, 1)]
    drafts += [Draft("messages", (), delta, 1, {"node": "model"}) for _ in range(TOKENS)]
    drafts += [Draft("messages", (), {"event": "message-finish", **of}, 1)]
    drafts += [Draft("lifecycle", (), {"event": "completed"}, 1)]
    return [Placed(seq, f"r-{seq}", draft) for seq, draft in enumerate(drafts, 1)]


def seconds(protocol: str) -> float:
    """CPU time for a turn; each event is made anew, since it keeps its JSON."""
    events, sink = turn(), open_sink(protocol, run_id="r")
    before = time.process_time()
    for event in events:
        sink.encode(event)
    sink.end()
    return time.process_time() - before


def main() -> None:
    """Show the best of several rounds."""
    for protocol in PROTOCOLS:
        best = min(seconds(protocol) for _ in range(ROUNDS))
        print(f"{protocol:10} {TOKENS / best:10,.0f} events/s")


if __name__ == "__main__":
    main()
