"""`nox -s bench`: what reading a run costs, against `langgraph.stream`, and against the bare source.

Only ratios carry over to another machine. Results that miss their target are shown like any others.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import comparison, end_to_end, growth, hosting, memory, supersteps, ticker
from benchmarks.measuring import CLOCKS, Options, machine
from benchmarks.tables import Section, rewrite

SECTIONS: Mapping[str, Callable[[Options], Section]] = {
    module.SECTION: module.section for module in (comparison, growth, memory, supersteps, end_to_end, hosting, ticker)
}


def main() -> None:
    """Measure and print."""
    options, arguments = parse(sys.argv[1:])
    # LangGraph says so once for each line that opens a run of the original.
    warnings.filterwarnings("ignore", message="The v3 streaming protocol")
    # What has been imported is no garbage; collecting it again and again takes longer than most measurements.
    gc.collect()
    gc.freeze()
    facts = environment(options)
    print(facts, flush=True)
    sections = []
    for name, measure in SECTIONS.items():
        section = measure(options)
        if section.tables:
            sections.append(section)
            print(f"\n## {name}\n\n{section}", flush=True)
    if not sections:
        sys.exit(f"nothing is called {options.only!r}")
    record(sections, facts, options, arguments)


def parse(arguments: list[str]) -> tuple[Options, argparse.Namespace]:
    """What is to be measured, and where results go."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds; under a minute")
    parser.add_argument("--rounds", type=int, help="how often each contender runs (5; 3 with --quick)")
    parser.add_argument("--only", help=f"rows whose `section: name` contains this; sections: {', '.join(SECTIONS)}")
    parser.add_argument(
        "--clock", choices=sorted(CLOCKS), default="cpu", help="CPU time of the process, or wall time (cpu)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument(
        "--markdown",
        type=Path,
        metavar="FILE",
        help="replace the tables of whole sections, between a document's markers",
    )
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw how costs grow, as SVG")
    given = parser.parse_args(arguments)
    rounds = given.rounds or (3 if given.quick else 5)
    return Options(rounds=rounds, quick=given.quick, clock=given.clock, only=given.only), given


def environment(options: Options) -> str:
    """The machine, the versions, and how it is measured."""
    size = "small sizes" if options.quick else "full sizes"
    return f"{machine('anyio', 'trio', 'langgraph')}; {options.rounds} rounds, {size}"


def record(sections: list[Section], facts: str, options: Options, arguments: argparse.Namespace) -> None:
    """Write what was asked for."""
    found: dict[str, Any] = {section.name: section.data for section in sections}
    if arguments.json is not None:
        content = {"environment": facts, "clock": options.clock, "sections": found}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if arguments.markdown is not None:
        whole = {section.name: str(section) for section in sections if options.wants_all(section.name)}
        shown = {"environment": f"{facts}.", **whole} if whole else {}
        print(f"\n{arguments.markdown}: {', '.join(rewrite(arguments.markdown, shown))}")
    if arguments.plots is not None:
        from benchmarks.plots import draw  # noqa: PLC0415 -- only here; it needs matplotlib

        for path in draw(found, arguments.plots):
            print(path)


if __name__ == "__main__":
    main()
