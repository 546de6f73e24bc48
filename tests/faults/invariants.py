"""The invariants, each checked in one place on what a run has left behind."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any, Final

from anyiostream import AnyioStreamError, RunAborted, SourceStopped
from anyiostream.errors import HookStopped
from anyiostream.testing.models import pieces

from .agents import AGENTS, calls_of, texts_of
from .scripts import TREES, flatten, said
from .witnesses import First
from .world import Reader, World

__all__ = ["INVARIANTS", "check"]

Finding = Iterator[str]

INVARIANTS: Final[dict[str, str]] = {
    "I1": "each reader gets exactly the expected sequence",
    "I2": "a reader that was cancelled and resumes has lost nothing",
    "I3": "a buffer is never above its bound",
    "I4": "one task advances the source, which is closed once",
    "I5": "nothing is alive after exit",
    "I6": "exactly one terminal hook per transformer, after its last process",
    "I7": "scheduled work is drained before the raw log closes",
    "I8": "an error reaches every reader once, as the same object",
    "I9": "success implies the final state",
    "I10": "a cancellation is never swallowed and never invented",
    "I11": "no silent wait",
    "I12": "a reader that leaves frees its buffer and wakes the pump",
    "I13": "finished children are released",
    "I14": "a traceback does not grow with the readers",
    "I15": "an event is seen by every transformer, or the run fails",
}
"""What must hold."""


def check(world: World) -> None:
    """Add what does not hold to the world's violations."""
    if world.stuck or any(name == "I11" for name, _ in world.violations):
        world.violations[:] = [each for each in world.violations if each[0] == "I11"]
        world.left.clear()
        return  # it was stopped from outside: nothing else is to be expected of it
    for name, rule in RULES:
        for what in rule(world):
            world.violated(name, what)


def expected(world: World, reader: Reader) -> list[Any] | None:
    """What the reader would get of a whole run, as far as that is known."""
    if world.scenario.source in AGENTS:
        return expected_of_an_agent(world.scenario.tree, reader)
    steps = list(said(TREES[world.scenario.tree]))
    langgraph = world.scenario.source == "langgraph"
    name = reader.name.removeprefix("late ")
    if name == "custom":
        return [data for path, kind, data in steps if kind == "custom" and path == reader.path]
    if name == "values" and not langgraph:
        return [data for path, kind, data in steps if kind == "values" and path == reader.path]
    if name == "values+custom" and not langgraph:
        return [(kind, data) for path, kind, data in steps if path == reader.path]
    if name == "echo":
        items = [data for path, kind, data in steps if kind == "custom" and not path]
        if world.fault.does == "schedules itself" and world.landed and len(items) >= world.k:
            return None
        return items
    return None


def expected_of_an_agent(tree: str, reader: Reader) -> list[Any] | None:
    """The same of an agent: what its model says is a text, its tools and other agents are calls."""
    name = reader.name.removeprefix("late ")
    if name == "messages":
        return ["messages"] * len(texts_of(tree, reader.path))
    if name.startswith("text "):
        text = texts_of(tree, reader.path)[int(name.removeprefix("text ")) - 1]
        return pieces(text)
    return calls_of(tree, reader.path) if name == "tool_calls" else None


def sequences(world: World) -> Finding:
    """I1: whole if the run was whole, else a beginning; I2 for the one that was cancelled."""
    for reader in world.readers:
        if reader.name == "events":
            yield from raw_log(world, reader)
            continue
        whole = expected(world, reader)
        if whole is None or reader.name.startswith("late"):
            continue
        got = [item for item in reader.items if not foreign(world, item)]
        if reader.name == "echo":
            got, whole = sorted(map(str, got)), sorted(map(str, whole))
            if len(set(got)) != len(got) or not set(got) <= set(whole):
                yield f"echo got {got} of {whole}"
            elif complete(world, reader) and got != whole and world.fault.on_error == "raise":
                yield f"echo got {got} instead of {whole}"
        elif got != whole[: len(got)]:
            yield f"{where(reader)} got {got} instead of {whole}"
        elif len(got) < len(whole) and complete(world, reader):
            yield f"{where(reader)} got only {got} of {whole}"
        elif world.raised_at is not None and exact(world, reader):
            upto = before_the_error(world, reader)
            if got != upto:
                yield f"{where(reader)} got {got} and then the error, instead of {upto}"


def complete(world: World, reader: Reader) -> bool:
    """Whether the reader saw its projection to the end of a whole run."""
    return world.status == "completed" and reader.end == "end"


def exact(world: World, reader: Reader) -> bool:
    """Whether every item before the source's error has to have arrived."""
    scripted = world.scenario.source in {"generator", "iterator", "iterable", "function"}
    return scripted and reader.end == "error" and not reader.path and reader.name in {"values", "custom"}


def before_the_error(world: World, reader: Reader) -> list[Any]:
    """What the source gave before it failed."""
    given = list(flatten(TREES[world.scenario.tree]))[: world.raised_at]
    return [part["data"] for part in given if part["type"] == reader.name and part["ns"] == reader.path]


def foreign(world: World, item: Any) -> bool:
    """Whether it is the part that the fault inserted."""
    inserted = world.inserted
    if not isinstance(inserted, dict):
        return False
    data = item[1] if isinstance(item, tuple) and len(item) > 1 else item
    return data is inserted.get("data") or (isinstance(data, str) and data in {"...", "itself"})


def raw_log(world: World, reader: Reader) -> Finding:
    """Consecutive numbers, and what the graph said in order."""
    numbers = [item[0] for item in reader.items]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"the raw log is numbered {numbers}"
    kinds = {"custom"} if world.scenario.source == "langgraph" else {"values", "custom"}
    if world.scenario.source in AGENTS:
        kinds = set()
    got = [(path, kind, data) for _, path, kind, data in reader.items if kind in kinds and not foreign(world, data)]
    whole = [(path, kind, data) for path, kind, data in said(TREES[world.scenario.tree]) if kind in kinds]
    if got != whole[: len(got)]:
        yield f"the raw log has {got} instead of {whole}"
    elif complete(world, reader) and len(got) < len(whole):
        yield f"the raw log has only {got} of {whole}"


def where(reader: Reader) -> str:
    """The reader's place."""
    return "/".join((*reader.path, reader.name))


def unfinished(world: World) -> Finding:
    """I2: whoever was cancelled and came back has come to an end like all others."""
    if world.cancelled & {"reader"} and world.status == "completed":
        for reader in world.readers:
            if reader.end == "":
                yield f"{where(reader)} has not come to its end"


def closed_once(world: World) -> Finding:
    """I4, what is left of it."""
    feed = world.feed
    if feed.opened and feed.closed != 1:
        yield f"the source was closed {feed.closed} times"


def nothing_left(world: World) -> Finding:
    """I5."""
    if world.left:
        yield f"alive after exit: {world.left}"


def terminal_hooks(world: World) -> Finding:
    """I6."""
    for witness in world.witnesses:
        if world.run is not None and len(witness.endings) != 1:
            yield f"{witness.label} at {witness.scope} got {witness.endings or 'no terminal hook'}"
        if not witness.scope and world.status == "completed" and witness.endings != ["finalize"]:
            yield f"{witness.label} got {witness.endings} in a completed run"


def drained(world: World) -> Finding:
    """I7."""
    begun, ended = world.works
    lost = 1 if world.landed and world.fault.on_error == "log" else 0
    if world.status == "completed" and ended < begun - lost:
        yield f"{begun - ended} scheduled coroutines have not ended"
    if world.status == "completed":
        for reader in world.readers:
            if reader.name == "events" and reader.end == "end":
                repeated = sum(1 for item in reader.items if item[2] == "custom:echo")
                if world.works[1] and repeated < ended:
                    yield f"{ended} were repeated, the raw log has {repeated}"


def errors(world: World) -> Finding:
    """I8."""
    readers = [reader for reader in world.readers if not of_a_message(reader)]
    seen = [(where(reader), reader.error) for reader in readers if reader.error is not None and not reader.path]
    seen += [("output()", value) for how, value, _ in world.outputs if how == "error"]
    if world.status == "failed":
        if len({id(error) for _, error in seen}) > 1:
            yield f"different objects: {[(name, repr(error)) for name, error in seen]}"
        for name, error in seen[:1]:
            if error is not None and not rooted(world, error):
                yield f"{name} got {error!r}, which comes from none of {world.injected!r}"
        for reader in readers:
            if not reader.path and reader.end == "end" and not reader.name.startswith("late") and world.landed:
                yield f"{where(reader)} ended well in a failed run"
            # Control flow passes whoever meets it, and is the run's error as well.
            if reader.again not in {"", "end"} and not isinstance(reader.error, (KeyboardInterrupt, SystemExit)):
                yield f"{where(reader)} got {reader.again} after the error"
    elif world.status != "failed":
        for name, error in seen:
            if not isinstance(error, RunAborted):
                yield f"{name} got {error!r} in a run that is {world.status}"
    left_with = world.left_with
    if left_with is not None and not world.cancelled and not acceptable(world, left_with):
        yield f"the block raised {left_with!r}"


def of_a_message(reader: Reader) -> bool:
    """Whether it reads the text of one message, which has its own end, and an error of its own class."""
    return reader.name.startswith("text ")


def rooted(world: World, error: BaseException) -> bool:
    """Whether the error is, or comes from, what was injected."""
    pending: list[BaseException | None] = [error]
    while pending:
        each = pending.pop()
        if each is None:
            continue
        if any(each is injected for injected in world.injected) or world.fault.part is not None:
            return True
        pending += [each.__cause__, each.__context__]
    return isinstance(error, (SourceStopped, HookStopped))


def acceptable(world: World, error: BaseException) -> bool:
    """Whether the block may raise it: it was injected and nobody got it, or says how the run failed."""
    if isinstance(error, BaseExceptionGroup):
        return all(acceptable(world, each) for each in error.exceptions)
    return rooted(world, error) or (world.fault.part is not None and isinstance(error, AnyioStreamError))


def final_state(world: World) -> Finding:
    """I9."""
    allowed = world.fault.statuses
    if world.run is not None and world.landed and allowed and world.status not in allowed:
        yield f"the run is {world.status} instead of {' or '.join(sorted(allowed))}"
    aborted = world.fault.cancels == "aborter" and world.status == "aborted"
    if world.run is not None and not world.landed and world.status != "completed" and not aborted:
        yield f"the run is {world.status}, though nothing happened to it"
    last = [data for path, kind, data in said(TREES[world.scenario.tree]) if kind == "values" and not path][-1]
    for how, value, status in world.outputs:
        if how == "value":
            if status != "completed":
                yield f"output() returned {value!r} while the run was {status}"
            if value != last and not (isinstance(value, dict) and value.get("output") == f"snapshot {last['n']}"):
                yield f"output() returned {value!r} instead of {last!r}"
        elif status == "completed":
            yield f"output() raised {value!r} in a completed run"


def released(world: World) -> Finding:
    """I13."""
    if world.open_subgraphs and world.status == "completed":
        yield f"{world.open_subgraphs} subgraphs are still open"
    # Exceptions on their way out hold frames, and these the handles that they were reading.
    quiet = not world.cancelled and world.left_with is None
    if world.handles and quiet and world.status == "completed" and world.options.target % 6 == 0:
        gc.collect()
        kept = sum(handle() is not None for handle in world.handles)
        if kept:
            yield f"{kept} of {len(world.handles)} handles are kept after their end"


def tracebacks(world: World) -> Finding:
    """I14: readers of one kind see tracebacks of one depth, whoever comes first."""
    if len(set(world.late_frames)) > 1:
        yield f"tracebacks of late callers have {world.late_frames} frames"
    for kind in ("late", ""):
        frames = [
            reader.frames
            for reader in world.readers
            if reader.error is not None
            and reader.name.startswith("late") == bool(kind)
            and not reader.path
            and not of_a_message(reader)
        ]
        if frames and max(frames) - min(frames) > GROWTH:
            yield f"tracebacks of {frames} frames"


GROWTH: Final = 24
"""Frames by which tracebacks of readers may differ: whoever pulls the source sees where it failed."""


def seen_by_all(world: World) -> Finding:
    """I15."""
    scopes = {witness.scope for witness in world.witnesses}
    for scope in scopes:
        first = [each.events for each in world.witnesses if each.scope == scope and isinstance(each, First)]
        last = [each.events for each in world.witnesses if each.scope == scope and not isinstance(each, First)]
        if len(first) != 1 or len(last) != 1:
            continue
        if first[0] != last[0]:
            torn = first[0][: len(last[0])] == last[0] and len(first[0]) == len(last[0]) + 1
            if world.status == "completed" or not torn:
                yield f"at {scope} one transformer saw {first[0]}, another {last[0]}"


RULES: Final[tuple[tuple[str, Callable[[World], Finding]], ...]] = (
    ("I1", sequences),
    ("I2", unfinished),
    ("I4", closed_once),
    ("I5", nothing_left),
    ("I6", terminal_hooks),
    ("I7", drained),
    ("I8", errors),
    ("I9", final_state),
    ("I13", released),
    ("I14", tracebacks),
    ("I15", seen_by_all),
)
