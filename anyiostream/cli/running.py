"""`run`: one run of a graph, shown as it happens."""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import anyio

from anyiostream import (
    CheckpointsTransformer,
    CustomTransformer,
    DebugTransformer,
    PreparedRun,
    TasksTransformer,
    ToolCallTransformer,
    TransformerFactory,
    UpdatesTransformer,
    open_run,
)
from anyiostream.cli.conversing import Conversation, said
from anyiostream.cli.json_lines import JsonLines
from anyiostream.cli.loading import UsageError, load_graph, load_json, load_transformer
from anyiostream.cli.options import add_run_options, run_options
from anyiostream.cli.outcome import STOPPED, Outcome, Output, OutputClosed, in_short
from anyiostream.cli.terminal.given import GivenTransformer
from anyiostream.cli.watching import NotOpened, watch, watch_inline
from anyiostream.errors import MissingExtra

if TYPE_CHECKING:
    from anyiostream.cli.recording import Recording

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
    parser.add_argument("--message", metavar="TEXT", help="the input of a graph with `messages`: what the user says")
    parser.add_argument(
        "--chat", action="store_true", help="ask for the next message after each run, and for answers; /quit ends it"
    )
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the run to a file, for `anyiostream view`")
    parser.add_argument("--input", metavar="JSON", help="the input; `-` for standard input, `@path` for a file")
    parser.add_argument("--config", metavar="JSON", help="LangGraph's configuration, an object; likewise")
    parser.add_argument("--backend", choices=("asyncio", "trio", "sync"), default="asyncio", help="default: asyncio")
    parser.add_argument(
        "--transformer", action="append", default=[], metavar="MODULE:CLASS", help="register a transformer; repeatable"
    )
    parser.add_argument(
        "--mode", action="append", default=[], choices=sorted(MODES), help="show these parts as well; repeatable"
    )
    add_run_options(parser)
    parser.add_argument("--json", action="store_true", help="lines of JSON, even on a terminal")
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
        # What the graph prints must not get between the lines.
        with nullcontext() if live else redirect_stdout(sys.stderr):
            outcome = _converse(arguments, stream, live=live)
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


def _converse(arguments: argparse.Namespace, stream: TextIO, *, live: bool) -> Outcome:
    """Run the graph until the user has nothing more to say; how the last run ended."""
    conversation = _conversation(arguments, live=live)
    show = partial(_run_live if live else _run_for_programs, arguments, stream)
    with _recording(arguments.record) as recording:
        while True:
            outcome = show(recording, _opening(arguments, conversation, live=live))
            if not conversation.goes_on(outcome):
                return outcome


def _recording(path: Path | None) -> AbstractContextManager[Recording | None]:
    if path is None:
        return nullcontext()
    from anyiostream.cli.recording import Recording  # noqa: PLC0415 -- only where a run is recorded

    return Recording(path)


def _conversation(arguments: argparse.Namespace, *, live: bool) -> Conversation:
    config = load_json(arguments.config, "--config")
    if config is not None and not isinstance(config, dict):
        raise UsageError(f"--config must be an object, not {type(config).__name__}")
    if arguments.input == arguments.config == "-":
        raise UsageError("--input and --config cannot both be read from standard input")
    if arguments.input is not None and arguments.message is not None:
        raise UsageError("--input and --message both give the input; pass only one of them")
    given = load_json(arguments.input, "--input") if arguments.message is None else said(arguments.message)
    asks = arguments.chat or (live and sys.stdin.isatty())
    graph = load_graph(arguments.graph, config)
    conversation = Conversation.of(graph, given, config, chat=arguments.chat, asks=asks)
    if arguments.chat and given is None:
        conversation.begin()
    return conversation


def _opening(arguments: argparse.Namespace, conversation: Conversation, *, live: bool) -> PreparedRun:
    transformers: list[Any] = [CustomTransformer, ToolCallTransformer]
    if arguments.record is not None:
        from anyiostream.wire import WireTransformer  # noqa: PLC0415 -- only where a run is recorded

        transformers.append(WireTransformer)
    transformers += [MODES[mode] for mode in dict.fromkeys(arguments.mode)]
    if live:
        transformers.append(GivenTransformer)
    transformers += [load_transformer(target) for target in arguments.transformer]
    return _opened(conversation.graph, conversation.given, conversation.config, transformers, run_options(arguments))


def _opened(graph: Any, given: Any, config: Any, transformers: list[Any], options: dict[str, Any]) -> PreparedRun:
    try:
        return open_run(graph, given, config=config, transformers=transformers, root_lifecycle=True, **options)
    except TypeError as exc:
        raise UsageError(str(exc)) from exc


def _run_for_programs(
    arguments: argparse.Namespace, stream: TextIO, recording: Recording | None, opening: PreparedRun
) -> Outcome:
    output = JsonLines(stream.fileno())
    outcome = _watched(opening, output, arguments, recording)
    if outcome.unread:
        raise OutputClosed
    output.result(outcome)
    return outcome


def _run_live(
    arguments: argparse.Namespace, stream: TextIO, recording: Recording | None, opening: PreparedRun
) -> Outcome:
    try:
        from anyiostream.cli.terminal.live import LiveView  # noqa: PLC0415 -- an extra
        from anyiostream.cli.terminal.screen import Screen  # noqa: PLC0415 -- likewise
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] != "rich":
            raise
        raise UsageError(f"{MissingExtra('the live view', 'cli')} Or use --json.") from exc
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")  # what the terminal has no characters for
    view = LiveView(Screen(stream), Path(arguments.graph).name, time.monotonic)
    with view:
        outcome = _watched(opening, view, arguments, recording)
    view.result(outcome)
    return outcome


def _watched(
    opening: PreparedRun, output: Output, arguments: argparse.Namespace, recording: Recording | None
) -> Outcome:
    outcome = Outcome(stopped=True)
    recorder = None if recording is None else recording.of(output, arguments.mode)
    try:
        if arguments.backend == "sync":
            outcome = watch_inline(opening, recorder or output)
        else:
            outcome = anyio.run(watch, opening, recorder or output, backend=arguments.backend)
    except* KeyboardInterrupt:
        pass  # Before the run was opened, or a second one; trio may have wrapped it.
    if recorder is not None:
        recorder.result(outcome)
    return outcome


def _tell(error: BaseException, *, whole: bool) -> None:
    """Say on standard error what the run failed with; the graph's own words are shown as characters only."""
    text = "".join(traceback.format_exception(error)) if whole else f"{in_short(error)}\n"
    visible = "".join(character if character.isprintable() or character in "\n\t" else "\ufffd" for character in text)
    sys.stderr.write(visible.encode(sys.stderr.encoding or "utf-8", "replace").decode(sys.stderr.encoding or "utf-8"))
