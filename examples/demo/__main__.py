"""Run both agents in every lane, and compare what was seen."""

from __future__ import annotations

import difflib
import faulthandler
import json
import sys
from collections.abc import Mapping
from typing import Any

from examples.demo.function_graph import agent
from examples.demo.lanes import watch_on_asyncio, watch_on_trio, watch_without_loop
from examples.demo.state_graph import compile_agent
from examples.demo.witness import Witness

HANGING = 50
"""After how long the whole demo is given up, in s, with a dump of what every thread does."""


def main() -> int:
    """Run the demo; the exit code is 0 only if every run showed the same."""
    faulthandler.dump_traceback_later(HANGING, exit=True)
    graphs = {"A LangGraph graph": compile_agent(), "The same as an async function": agent}
    lanes = {"on asyncio": watch_on_asyncio, "on trio": watch_on_trio, "without an event loop": watch_without_loop}
    seen: dict[str, Mapping[str, list[Any]]] = {}
    for kind, graph in graphs.items():
        for lane, watch in lanes.items():
            title = f"{kind}, {lane}"
            print(f"{title}\n{'-' * len(title)}")
            witness = Witness()
            watch(graph, witness)
            print()
            seen[title] = witness.seen
    return report(seen)


def report(seen: Mapping[str, Mapping[str, list[Any]]]) -> int:
    """Compare every run with the first one, and print the verdict; 0 if they showed the same, else 1."""
    first, *others = seen
    reference = as_lines(seen[first])
    differing = [title for title in others if as_lines(seen[title]) != reference]
    for title in differing:
        print(f"DISAGREEMENT: {title!r} did not show what {first!r} did:")
        print("\n".join(difflib.unified_diff(reference, as_lines(seen[title]), first, title, lineterm="")), "\n")
    if differing:
        return 1
    counts = ", ".join(f"{name} {len(items)}" for name, items in seen[first].items())
    print(f"All {len(seen)} runs showed the same items, in the same order in each projection:\n  {counts}")
    return 0


def as_lines(seen: Mapping[str, list[Any]]) -> list[str]:
    """What was seen, projection by projection, in lines that can be compared."""
    return json.dumps(seen, indent=2, sort_keys=True).splitlines()


if __name__ == "__main__":
    sys.exit(main())
