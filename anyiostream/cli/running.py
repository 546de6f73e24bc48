"""`run`: one run of a graph, shown as it happens."""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Final, TextIO

import anyio

from anyiostream.cli.json_lines import JsonLines
from anyiostream.cli.loading import UsageError, load_graph, load_json, load_transformer
from anyiostream.cli.outcome import STOPPED, Outcome, Output, OutputClosed
from anyiostream.cli.watching import NotOpened, watch, watch_inline
from anyiostream.errors import MissingExtra
from anyiostream.projections.data import (
    CheckpointsTransformer,
    CustomTransformer,
    DebugTransformer,
    TasksTransformer,
    UpdatesTransformer,
)
from anyiostream.projections.tool_calls import ToolCallTransformer
from anyiostream.run import OpenRun, open_run
from anyiostream.transformer import TransformerFactory

__all__ = ["BROKEN_PIPE", "add_parser"]

BROKEN_PIPE: Final = 141
"""Exit code when nobody reads the output any more, as shells have it: 128 + SIGPIPE."""

DUMB: Final = ("dumb", "unknown")
"""Terminals on which nothing can be drawn."""

MODES: Final[Mapping[str, TransformerFactory]] = {
    "updates": UpdatesTransformer,
    "tasks": TasksTransformer,
    "checkpoints": CheckpointsTransformer,
    "debug": DebugTransformer,
}
"""What may be shown beyond what always is."""

EPILOG: Final = """\
On a terminal the run is shown live: finished messages, tool calls and custom data as a log, and beneath it the tree of
subgraphs and what is under way. Elsewhere, and with --json, each event is a line of JSON, and the last line is
{"type": "result", "status": ..., "output": ...}.

exit codes: 0 completed, 1 failed, 2 the arguments cannot be used, 3 interrupted (the graph waits for its user),
130 stopped with Ctrl-C, 141 nobody reads the output any more.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "run",
        help="run a graph, and show the run as it happens",
        description="Run a graph, and show the run as it happens.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("graph", help="module:attribute or path/to/file.py:attribute; a graph, or what builds one")
    parser.add_argument("--input", metavar="JSON", help="the input; `-` for standard input, `@path` for a file")
    parser.add_argument("--config", metavar="JSON", help="LangGraph's configuration, an object; likewise")
    parser.add_argument("--backend", choices=("asyncio", "trio", "sync"), default="asyncio", help="default: asyncio")
    parser.add_argument(
        "--transformer", action="append", default=[], metavar="MODULE:CLASS", help="register a transformer; repeatable"
    )
    parser.add_argument(
        "--mode", action="append", default=[], choices=sorted(MODES), help="show these parts as well; repeatable"
    )
    parser.add_argument("--json", action="store_true", help="lines of JSON, also on a terminal")
    parser.add_argument("--traceback", action="store_true", help="if the run fails, show where")
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Run a graph as the arguments say; the exit code.

    Raises:
        UsageError: The arguments cannot be used.
    """
    stream = sys.stdout
    live = stream.isatty() and not arguments.json and os.environ.get("TERM") not in DUMB
    try:
        if live:
            outcome = _run_live(_opening(arguments), arguments, stream)
        else:
            # What the graph prints must not end up between the lines.
            with redirect_stdout(sys.stderr):
                outcome = _run_for_programs(_opening(arguments), arguments.backend, stream.fileno())
    except NotOpened as exc:
        raise UsageError(str(exc.__cause__)) from exc
    except OutputClosed:
        # What Python itself would write to it at its end must not fail as well.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return STOPPED
    if outcome.error is not None and (arguments.traceback or not live):
        _tell(outcome.error, whole=arguments.traceback)
    if outcome.error is not None and not arguments.traceback:
        sys.stderr.write("With --traceback it shows where.\n")
    return outcome.exit_code


def _opening(arguments: argparse.Namespace) -> OpenRun:
    config = load_json(arguments.config, "--config")
    if config is not None and not isinstance(config, dict):
        raise UsageError(f"--config is an object, not {type(config).__name__}")
    if arguments.input == arguments.config == "-":
        raise UsageError("--input and --config cannot both be read from standard input")
    given = load_json(arguments.input, "--input")
    transformers: list[Any] = [CustomTransformer, ToolCallTransformer]
    transformers += [MODES[mode] for mode in dict.fromkeys(arguments.mode)]
    transformers += [load_transformer(target) for target in arguments.transformer]
    return _opened(load_graph(arguments.graph, config), given, config, transformers)


def _opened(graph: Any, given: Any, config: Any, transformers: list[Any]) -> OpenRun:
    try:
        return open_run(graph, given, config=config, transformers=transformers, root_lifecycle=True)
    except TypeError as exc:
        raise UsageError(str(exc)) from exc


def _run_for_programs(opening: OpenRun, backend: str, descriptor: int) -> Outcome:
    output = JsonLines(descriptor)
    outcome = _watched(opening, output, backend)
    if outcome.unread:
        raise OutputClosed
    output.result(outcome)
    return outcome


def _run_live(opening: OpenRun, arguments: argparse.Namespace, stream: TextIO) -> Outcome:
    try:
        from anyiostream.cli.view.live import LiveView  # noqa: PLC0415 -- an extra
        from anyiostream.cli.view.screen import Screen  # noqa: PLC0415 -- likewise
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] != "rich":
            raise
        raise UsageError(f"{MissingExtra('the live view', 'cli')} Or use --json.") from exc
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")  # what the terminal has no characters for
    view = LiveView(Screen(stream), Path(arguments.graph).name, time.monotonic)
    with view:
        outcome = _watched(opening, view, arguments.backend)
    view.result(outcome)
    return outcome


def _watched(opening: OpenRun, output: Output, backend: str) -> Outcome:
    outcome = Outcome(stopped=True)
    try:
        if backend == "sync":
            outcome = watch_inline(opening, output)
        else:
            outcome = anyio.run(watch, opening, output, backend=backend)
    except* KeyboardInterrupt:
        pass  # Before the run was opened, or a second one; trio may have wrapped it.
    return outcome


def _tell(error: BaseException, *, whole: bool) -> None:
    """Say on standard error what the run failed with; the graph's own words are shown as characters only."""
    lines = traceback.format_exception(error) if whole else traceback.format_exception_only(error)
    text = "".join(lines)
    visible = "".join(character if character.isprintable() or character in "\n\t" else "\ufffd" for character in text)
    sys.stderr.write(visible.encode(sys.stderr.encoding or "utf-8", "replace").decode(sys.stderr.encoding or "utf-8"))
