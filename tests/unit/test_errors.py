"""The exception tree."""

from __future__ import annotations

import inspect
import re

import pytest

import anyiostream
from anyiostream import errors
from anyiostream.errors.spelling import suggestion

EXAMPLES: dict[str, tuple[type[BaseException], BaseException]] = {
    "AlreadyBound": (RuntimeError, errors.AlreadyBound("channel 'values'")),
    "AlreadySubscribed": (RuntimeError, errors.AlreadySubscribed("channel 'values'", left=True, fan_out="atee")),
    "AnyioStreamError": (Exception, errors.AnyioStreamError("what the library itself raises.")),
    "AsyncTransformerRefused": (RuntimeError, errors.AsyncTransformerRefused("Mine", "it overrides aprocess")),
    "BackpressureDeadlock": (
        RuntimeError,
        errors.BackpressureDeadlock(full="channel 'values'", maxlen=64, waits_for="channel 'custom'", fan_out="atee"),
    ),
    "AgentAnswerInvalid": (ValueError, errors.AgentAnswerInvalid.no_approval("c1", "perhaps")),
    "AgentInputInvalid": (ValueError, errors.AgentInputInvalid("the key 'question'")),
    "AnswersMayMixWarning": (RuntimeWarning, errors.AnswersMayMixWarning(["pay", "refund"])),
    "CannotDrain": (RuntimeError, errors.CannotDrain("the graph list", "stop it with abort().")),
    "ChannelClosed": (RuntimeError, errors.ChannelClosed("channel 'mine'")),
    "ChannelFull": (RuntimeError, errors.ChannelFull("channel 'mine'", 64, waiting=3)),
    "ChannelUnbound": (TypeError, errors.ChannelUnbound("StreamChannel('mine')")),
    "ChildrenRefused": (RuntimeError, errors.ChildrenRefused()),
    "CursorBusy": (RuntimeError, errors.CursorBusy("channel 'mine'", "atee")),
    "EmitterMisused": (RuntimeError, errors.EmitterMisused("Mine")),
    "ForeignAwait": (RuntimeError, errors.ForeignAwait("Mine.process()", object())),
    "ForeignExit": (RuntimeError, errors.ForeignExit("one", "other")),
    "GraphInterrupt": (Exception, errors.GraphInterrupt(["a", "b"])),
    "HookStopped": (RuntimeError, errors.HookStopped("Mine.process()", "StopIteration")),
    "InvalidBound": (ValueError, errors.InvalidBound("StreamChannel maxlen", 0, "a positive int or None")),
    "InvalidHook": (TypeError, errors.InvalidHook("Mine", "must override process() or aprocess().")),
    "InvalidProjection": (TypeError, errors.InvalidProjection("Mine", "list")),
    "ItemsDroppedWarning": (UserWarning, errors.ItemsDroppedWarning("3 item(s) passed by. Subscribe earlier.")),
    "ItemsMissed": (Exception, errors.ItemsMissed("channel 'values'", 65, 64)),
    "MalformedPart": (TypeError, errors.MalformedPart(3, "a part is a mapping, not int")),
    "MessageFailed": (RuntimeError, errors.MessageFailed("the model's own words")),
    "MissingExtra": (ImportError, errors.MissingExtra("the demo", "demo")),
    "MissingProjection": (
        AttributeError,
        errors.MissingProjection("GraphRunStream", "vlaues", ["values"], suggestion("vlaues", ["values"])),
    ),
    "NotAChannel": (TypeError, errors.NotAChannel("mine", "int")),
    "NotAGraph": (TypeError, errors.NotAGraph(3, "sync")),
    "NotATransformer": (TypeError, errors.NotATransformer("Mine", "does not derive from StreamTransformer")),
    "NotAwaited": (TypeError, errors.NotAwaited("run.output()")),
    "NotAwaitedWarning": (RuntimeWarning, errors.NotAwaitedWarning("run.output()")),
    "PrebuiltTransformer": (TypeError, errors.PrebuiltTransformer("Mine")),
    "ProjectionConflict": (ValueError, errors.ProjectionConflict("Mine", {"values": "ValuesTransformer"})),
    "ProgrammingError": (Exception, errors.ProgrammingError("the program is wrong.")),
    "PromiseUnresolved": (RuntimeError, errors.PromiseUnresolved("promise 'total'")),
    "RunAborted": (Exception, errors.RunAborted(partial={"n": 1})),
    "RunBlocksLoopWarning": (RuntimeWarning, errors.RunBlocksLoopWarning("the run of the graph g")),
    "RunBusy": (RuntimeError, errors.RunBusy("output()")),
    "RunClosed": (RuntimeError, errors.RunClosed("channel 'values'")),
    "RunDrained": (Exception, errors.RunDrained("a deploy", partial={"n": 1})),
    "RunNotEntered": (TypeError, errors.RunNotEntered("cannot be iterated")),
    "RunReentered": (RuntimeError, errors.RunReentered()),
    "RunUnclosedWarning": (ResourceWarning, errors.RunUnclosedWarning("a run's block was never left. Use `with`.")),
    "RunWaitsForItself": (RuntimeError, errors.RunWaitsForItself("Mine.process()", "output()")),
    "ScheduleRefused": (RuntimeError, errors.ScheduleRefused("Mine", "this run is on the sync lane")),
    "HostClosed": (RuntimeError, errors.HostClosed("graph g")),
    "HostedCallCancelled": (RuntimeError, errors.HostedCallCancelled("connect")),
    "SourceStopped": (RuntimeError, errors.SourceStopped("the graph g", "StopIteration")),
    "SubgraphFailed": (RuntimeError, errors.SubgraphFailed("ValueError('no')")),
    "UnknownOption": (TypeError, errors.UnknownOption("stream_mode", "register a transformer for another one.")),
    "UnknownProjection": (KeyError, errors.UnknownProjection("nope", ["values", "custom"])),
    "WriterClosed": (RuntimeError, errors.WriterClosed("the writer", "the graph g returned")),
    "WrongLane": (TypeError, errors.WrongLane("channel 'values'", "async", "use 'async for' instead.")),
}

CARRIERS = {"AnyioStreamError", "GraphInterrupt", "MessageFailed", "ProgrammingError", "SubgraphFailed"}
"""Those whose message is somebody else's text, or that no reader ever sees."""

WARNINGS = {"ItemsDroppedWarning", "RunUnclosedWarning"}
"""Those whose message is composed where they are issued."""

DEFINED = {
    name
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__ == errors.__name__
}


def test_every_exception_has_an_example_here() -> None:
    """The table of this module names every exception and warning that the tree defines, and no other."""
    assert set(EXAMPLES) == DEFINED


def test_the_module_exports_its_whole_tree() -> None:
    """`errors.__all__` names every exception and warning that the module defines, in order."""
    assert set(errors.__all__) == DEFINED
    assert errors.__all__ == sorted(errors.__all__)


CAUGHT = {
    "AgentAnswerInvalid",
    "AgentInputInvalid",
    "AnyioStreamError",
    "BackpressureDeadlock",
    "ChannelClosed",
    "ChannelFull",
    "GraphInterrupt",
    "HostedCallCancelled",
    "ItemsMissed",
    "MalformedPart",
    "MessageFailed",
    "RunAborted",
    "RunDrained",
    "SourceStopped",
    "SubgraphFailed",
}
"""What a program may want to catch: none of it is a mistake in that program."""

NEITHER = {"MissingExtra"}
"""Not a mistake of the program, but of its installation."""


def test_what_programs_catch_is_at_the_top() -> None:
    """As names of `anyiostream`, and no other exceptions: the rest is in `anyiostream.errors`."""
    at_the_top = {name for name in anyiostream.__all__ if isinstance(getattr(anyiostream, name), type)} & DEFINED
    assert at_the_top == CAUGHT
    assert all(getattr(anyiostream, name) is getattr(errors, name) for name in CAUGHT)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_mistakes_of_the_program_have_one_base(name: str) -> None:
    """`except ProgrammingError` catches each of them, and nothing that a correct program may meet."""
    is_mistake = not (name in CAUGHT | NEITHER or name.endswith("Warning"))
    assert issubclass(getattr(errors, name), errors.ProgrammingError) is is_mistake


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_every_exception_says_where_it_is_found(name: str) -> None:
    """Tracebacks and pickles name `anyiostream.errors`, not the module inside that defines it."""
    kind = getattr(errors, name)
    assert (kind.__module__, kind.__qualname__) == (errors.__name__, name)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_every_exception_is_in_one_tree(name: str) -> None:
    """Each exception derives from `AnyioStreamError`, and each warning from a `Warning`."""
    kind = getattr(errors, name)
    assert issubclass(kind, Warning) if name.endswith("Warning") else issubclass(kind, errors.AnyioStreamError)


@pytest.mark.parametrize(("name", "builtin"), [(name, builtin) for name, (builtin, _) in sorted(EXAMPLES.items())])
def test_every_exception_is_the_built_in_that_users_catch(name: str, builtin: type[BaseException]) -> None:
    """Each exception is also the built-in that users of `langgraph.stream` catch in its place."""
    assert issubclass(getattr(errors, name), builtin)


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - CARRIERS - WARNINGS))
def test_every_message_ends_with_what_to_do(name: str) -> None:
    """A message is made of sentences: it states facts and closes with a sentence of advice."""
    message = str(EXAMPLES[name][1])
    last = re.split(r"[.;] ", message.rstrip("."))[-1]
    assert message[0].strip()
    assert message.endswith("."), message
    assert len(last.split()) >= 3, message


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_no_message_is_empty_or_shows_an_object_address(name: str) -> None:
    """Messages name things by role, not by address."""
    message = str(EXAMPLES[name][1])
    assert message
    assert " at 0x" not in message


def test_an_abort_carries_what_there_was() -> None:
    """`RunAborted.partial` is the value so far, and `None` if there was none."""
    assert errors.RunAborted(partial={"n": 1}).partial == {"n": 1}
    assert errors.RunAborted().partial is None


def test_an_abort_names_what_was_aborted() -> None:
    """The message of `RunAborted` says what was aborted: the run, unless told otherwise."""
    assert str(errors.RunAborted()).startswith("the run was aborted")
    assert str(errors.RunAborted("the message 'm1'")).startswith("the message 'm1' was aborted")


def test_missed_items_are_counted() -> None:
    """`ItemsMissed.count` and its message tell how many items were dropped, and the bound."""
    error = errors.ItemsMissed("channel 'values'", 65, 64)
    assert error.count == 65
    assert "65" in str(error)
    assert "64" in str(error)


def test_an_interrupt_carries_its_payloads() -> None:
    """`GraphInterrupt.interrupts` is a tuple of the payloads, in order, whatever iterable they came in."""
    assert errors.GraphInterrupt(iter(["a", "b"])).interrupts == ("a", "b")
    assert errors.GraphInterrupt().interrupts == ()


def test_a_full_channel_without_bound_shows_as_inf() -> None:
    """Bounds read as numbers, `inf` among them."""
    assert "inf" in str(errors.ChannelFull("channel 'mine'", float("inf"), waiting=0))
    assert "64 items" in str(errors.ChannelFull("channel 'mine'", 64, waiting=0))


def test_a_second_subscriber_is_told_the_lanes_way_out() -> None:
    """The advice names `aiter` and `atee` on the async lane, `iter` and `tee` on the sync one."""
    there = str(errors.AlreadySubscribed("channel 'values'", left=False, fan_out="atee"))
    here = str(errors.AlreadySubscribed("channel 'values'", left=True, fan_out="tee"))
    assert "already has a subscriber" in there
    assert "aiter(channel)" in there
    assert ".atee(n)" in there
    assert "iter(channel)" in here
    assert "aiter" not in here
    assert "which has left" in here


def test_an_unknown_projection_reads_as_a_sentence() -> None:
    """`UnknownProjection` is a `KeyError` whose text is not the bare repr of the key."""
    error = errors.UnknownProjection("nope", ["values", "custom"])
    assert "'nope'" in str(error)
    assert "custom, values" in str(error)
    assert error.args == ("nope",)
    assert "none" in str(errors.UnknownProjection("nope", []))


def test_a_misspelt_name_is_suggested() -> None:
    """The nearest known name, if any is near."""
    assert suggestion("mesages", ["values", "messages"]) == "; did you mean 'messages'?"
    assert suggestion("nonsense", ["values", "messages"]) == ""
    assert suggestion("context", ["config"], likeness=0.8) == ""


def test_a_conflict_names_keys_and_owners() -> None:
    """`ProjectionConflict` names each key that is taken, and whose it is."""
    message = str(errors.ProjectionConflict("Mine", {"values": "ValuesTransformer", "a": "Other"}))
    assert "'values' (owned by ValuesTransformer)" in message
    assert "'a' (owned by Other)" in message


def test_a_malformed_part_is_kept_and_shown_in_brief() -> None:
    """`MalformedPart.part` is the object itself; its message shows no more than a glimpse of a large one."""
    part = {"type": "x" * 10_000}
    error = errors.MalformedPart(part, "it has no 'ns'")
    assert error.part is part
    assert len(str(error)) < 500
    assert "it has no 'ns'" in str(error)


@pytest.mark.parametrize(
    ("kind", "misread"),
    [
        ("StopIteration", "the end of the stream"),
        ("StopAsyncIteration", "the end of the stream"),
        ("CancelledError", "a cancellation"),
        ("BaseExceptionGroup", "a cancellation"),
        ("Other", "control flow"),
    ],
)
def test_stopped_says_what_it_would_be_misread_as(kind: str, misread: str) -> None:
    """Exceptions in place of ones that Python would misread say as what."""
    assert misread in str(errors.SourceStopped("the graph g", kind))
    assert misread in str(errors.HookStopped("Mine.process()", kind))


@pytest.mark.parametrize(("lane", "taken"), [("sync", "an iterable of parts"), ("async", "an async iterable of parts")])
def test_not_a_graph_lists_what_is_one(lane: str, taken: str) -> None:
    """`NotAGraph` names the type it was given, the lane, the problem if known, and what the lane takes."""
    message = str(errors.NotAGraph(3, lane, "it is a number"))
    assert "int" in message
    assert f"{lane} lane: it is a number" in message
    assert taken in message


@pytest.mark.parametrize("callable_wanted", [True, False])
def test_a_prebuilt_transformer_is_told_of_factories(callable_wanted: bool) -> None:
    """`PrebuiltTransformer` says what it got instead of a factory, and shows a factory."""
    message = str(errors.PrebuiltTransformer("Mine", callable_wanted=callable_wanted))
    assert ("not callable" in message) is callable_wanted
    assert ("pre-built instance" in message) is not callable_wanted
    assert "lambda scope" in message


def test_a_missing_extra_is_an_import_error() -> None:
    """`MissingExtra` names the feature and the extra to install."""
    message = str(errors.MissingExtra("the demo", "demo"))
    assert "the demo" in message
    assert "`python -m pip install 'anyiostream-runs[demo]'`" in message
