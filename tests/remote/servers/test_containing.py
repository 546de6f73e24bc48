"""A run's end is its own: whatever a graph raises, the server and the other runs go on."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any, NoReturn, TypedDict

import anyio
import pytest
import trio
from langgraph.graph import START, StateGraph

from anyiostream import GraphWriter, StreamTransformer
from anyiostream.remote import Assistant, RunContext, app, run_context
from anyiostream.remote.containing import TaskExit, contained_tasks
from anyiostream.tooling import is_interrupt

from ...waiting import PATIENCE
from ..graphs import endless
from .raw import Client, events
from .serving import SERVERS, serving


class Own(BaseException):
    """A framework's."""


class Mute(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError("no")


def leave() -> NoReturn:
    sys.exit("/srv/secret")


def fail(error: BaseException) -> NoReturn:
    raise error


ERRORS: dict[str, Any] = {
    "SystemExit": leave,
    "no code": lambda: fail(SystemExit()),
    "KeyboardInterrupt": lambda: fail(KeyboardInterrupt()),
    "GeneratorExit": lambda: fail(GeneratorExit()),
    "its own": lambda: fail(Own("boo /srv/secret/x")),
    "group": lambda: fail(BaseExceptionGroup("g", [Own("x"), ValueError("y")])),
    "exits": lambda: fail(BaseExceptionGroup("g", [SystemExit(1), KeyboardInterrupt()])),
    "cancelled": lambda: fail(asyncio.CancelledError("me")),
    "cancelled group": lambda: fail(BaseExceptionGroup("g", [asyncio.CancelledError(), ValueError("y")])),
    "mute": lambda: fail(Mute()),
    "StopIteration": lambda: fail(StopIteration()),
    "StopAsyncIteration": lambda: fail(StopAsyncIteration()),
    "MemoryError": lambda: fail(MemoryError()),
}


async def function(given: Any, writer: GraphWriter) -> Any:
    """A function graph that raises where it is told to."""
    await writer.values({"step": 1})
    fails = ERRORS[given["error"]]
    if given["where"] == "task":
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(in_task, fails)
    elif given["where"] == "thread":
        await anyio.to_thread.run_sync(fails)
    elif given["where"] == "clean-up":
        try:
            await anyio.sleep_forever()
        finally:
            fails()
    fails()


async def in_task(fails: Any) -> None:
    fails()


class State(TypedDict, total=False):
    given: Any


async def node(state: State) -> Any:
    given = state["given"]
    if given["where"] == "task":
        await asyncio.create_task(in_task(ERRORS[given["error"]]))
    ERRORS[given["error"]]()


def threaded(state: State) -> Any:
    ERRORS[state["given"]["error"]]()


class Hook(StreamTransformer):
    """Raises in one of its hooks."""

    methods = ("values",)
    own_scope = True

    def init(self) -> dict[str, Any]:
        return {}

    def process(self, event: Any) -> bool:
        given = event["params"]["data"].get("hook")
        if given is not None:
            ERRORS[given]()
        return True


async def hooked(given: Any, writer: GraphWriter) -> Any:
    """A function graph for `Hook`."""
    await writer.values({"hook": given["error"]})
    await writer.values({})


def graph(function: Any) -> Any:
    return StateGraph(State).add_node("node", function).add_edge(START, "node").compile()


@pytest.fixture(scope="module", params=SERVERS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server, all of whose runs but one come to a bad end."""
    assistants = {
        "function": function,
        "node": graph(node),
        "threaded": graph(threaded),
        "hooked": Assistant(graph=hooked, transformers=[Hook]),
        "endless": endless,
        "good": graph(lambda state: {"given": 1}),
    }
    with ExitStack() as stack:
        address = stack.enter_context(serving(request.param, app(assistants)))
        with Client(address, "other") as other:
            other.start("endless")
        yield address
        # The whole time.
        with Client(address, "other") as other:
            assert other.state().json()["next"]


def ended(client: Client) -> Any:
    """What is said of a run's end; once."""
    said = [each["params"]["data"] for each in client.ended() if each["method"] == "lifecycle"]
    assert [each["event"] for each in said if each["event"] != "running"] == ["failed"]
    return said[-1]["error"]


def assert_goes_on(client: Client) -> None:
    """The thread has a further run."""
    run_id = client.start("good", {})
    with client.stream() as response:
        data = (each["params"]["data"] for each in events(response))
        ends = (each["event"] for each in data if each.get("run_id") == run_id and each["event"] != "running")
        assert next(ends) == "completed"


PLACES = [("function", where) for where in ("", "task", "thread")]
PLACES += [("node", ""), ("node", "task"), ("threaded", ""), ("hooked", "")]


@pytest.mark.parametrize(("assistant", "where"), PLACES)
def test_whatever_is_raised_fails_its_run(url: str, assistant: str, where: str) -> None:
    """And no other: in the graph, in a task of its own, in a thread, in a transformer."""
    with ExitStack() as stack:
        clients = {}
        for error in ERRORS:
            name = f"{assistant}-{where}-{error}".replace(" ", "-")
            client = clients[error] = stack.enter_context(Client(url, name))
            given = {"error": error, "where": where}
            client.start(assistant, {"given": given, **given})
        for error, client in clients.items():
            text = ended(client)
            assert text, error
            assert "secret" not in text
        assert_goes_on(client)


@pytest.mark.parametrize("error", ["SystemExit", "its own", "group"])
@pytest.mark.parametrize("wait", [0, 1])
def test_whatever_is_raised_when_a_run_is_stopped(url: str, error: str, wait: int) -> None:
    """Is its run's, and not that of the request that has stopped it."""
    with Client(url, f"stopped-{error}-{wait}".replace(" ", "-")) as client:
        run_id = client.start("function", {"error": error, "where": "clean-up"})
        with client.stream(channels=["values"]) as response:
            next(line for line in response.iter_lines() if line.startswith("data: "))
        assert client.post(f"runs/{run_id}/cancel?wait={wait}", {}).status_code in {200, 202}
        assert client.ended()[-1]["params"]["data"]["event"] == "failed"
        assert_goes_on(client)


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_stops_in_spite_of_them(server: str) -> None:
    """What runs raise when they are stopped with it does not keep it, or the others, from it."""
    with serving(server, app({"function": function})) as address:
        for error in ("SystemExit", "KeyboardInterrupt", "its own", "group"):
            with Client(address, error.replace(" ", "-")) as client:
                client.start("function", {"error": error, "where": "clean-up"})
                with client.stream(channels=["values"]) as response:
                    next(line for line in response.iter_lines() if line.startswith("data: "))


# --- interrupts ---

WORKING = """
import signal, sys
import anyio
from anyiostream import GraphWriter
from anyiostream.remote import Limits, MemoryLog
from anyiostream.remote.assistants import Assistant
from anyiostream.remote.commands import RunStart
from anyiostream.remote.performing import perform
from anyiostream.remote.thread import Thread

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it

async def graph(given, writer):
    await writer.values({})
    if sys.argv[2] == "thrown":
        generator = (each for each in "ab")
        next(generator)
        generator.throw(KeyboardInterrupt())
    signal.raise_signal(signal.SIGINT)
    while True:
        await anyio.sleep(0) if sys.argv[2] == "waiting" else sum(range(1000))

async def main():
    limits = Limits()
    thread = Thread("t", "", MemoryLog("t", limits), limits, perform)
    await thread.start(RunStart("demo", None, {}, {}), Assistant(graph=graph))
    await thread.work()
    print("goes on")

try:
    anyio.run(main, backend=sys.argv[1])
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize(("backend", "how"), [("asyncio", "waiting"), ("trio", "working")])
def test_ctrl_c_is_no_graphs(backend: str, how: str) -> None:
    """Wherever it strikes: also in the middle of a node that is at work."""
    done = subprocess.run(
        [sys.executable, "-c", WORKING, backend, how], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.stdout.strip() == "interrupted", done.stderr


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_what_looks_like_ctrl_c_and_is_a_graphs(backend: str) -> None:
    """Ends the run, in the main thread as well."""
    done = subprocess.run(
        [sys.executable, "-c", WORKING, backend, "thrown"],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "goes on", done.stderr


def interrupted_at_work() -> BaseException:
    """What the interpreter raises when Ctrl-C is pressed."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        signal.raise_signal(signal.SIGINT)
        for _ in range(1000):
            pass
    except KeyboardInterrupt as exc:
        return exc
    finally:
        signal.signal(signal.SIGINT, before)
    raise AssertionError


def interrupted_by_itself() -> BaseException:
    """What a graph raises."""
    try:
        fail(KeyboardInterrupt())
    except KeyboardInterrupt as exc:
        return exc


def test_only_pythons_own_handler_interrupts_what_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that handles the signal is not ended by what a function in C raises."""
    error = interrupted_at_work()
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.default_int_handler)
    assert is_interrupt(error)
    monkeypatch.setattr(signal, "getsignal", lambda _: print)
    assert not is_interrupt(error)


def test_an_interrupt_is_told_by_where_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the interpreter, not from a `raise`, and in the main thread only; also in a group."""
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.default_int_handler)  # in a shell's background, too
    assert is_interrupt(interrupted_at_work())
    assert is_interrupt(BaseExceptionGroup("g", [ValueError(), BaseExceptionGroup("h", [interrupted_at_work()])]))
    assert not is_interrupt(interrupted_by_itself())
    assert not is_interrupt(KeyboardInterrupt())
    assert not is_interrupt(SystemExit())
    found: list[bool] = []
    error = interrupted_at_work()
    thread = threading.Thread(target=lambda: found.append(is_interrupt(error)))
    thread.start()
    thread.join()
    assert found == [False]


# --- tasks on asyncio ---


async def in_run(*, exits: bool) -> Any:
    """Make a task inside of a run, and await it."""
    token = run_context.set(RunContext("t", "r", "", {}))
    try:
        task = asyncio.create_task(in_task(leave if exits else lambda: None), name="inner")
    finally:
        run_context.reset(token)
    assert task.get_name() == "inner"
    return await task


def test_a_task_that_exits_does_not_end_the_loop() -> None:
    """Only inside of runs; and the loop has its own factory again."""

    async def main() -> None:
        before = asyncio.get_running_loop().get_task_factory()
        with contained_tasks(), contained_tasks():
            await in_run(exits=False)
            with pytest.raises(TaskExit, match="SystemExit: /srv/secret") as caught:
                await in_run(exits=True)
            assert isinstance(caught.value.__cause__, SystemExit)
            context = contextvars.copy_context()
            context.run(run_context.set, RunContext("t", "r", "", {}))
            with pytest.raises(TaskExit):
                await asyncio.get_running_loop().create_task(in_task(leave), context=context)
            # One that never begins is closed like any other: no warning.
            token = run_context.set(RunContext("t", "r", "", {}))
            task = asyncio.create_task(in_task(leave))
            run_context.reset(token)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert asyncio.get_running_loop().get_task_factory() is before

    asyncio.run(main(), debug=True)
    with pytest.raises(SystemExit):
        asyncio.run(outside())


async def outside() -> None:
    """A task of the server's own."""
    with contained_tasks():
        await asyncio.create_task(in_task(leave))


def scheduled(loop: asyncio.AbstractEventLoop, how: str) -> None:
    """Have the loop call something that exits."""
    if how == "done":
        future = loop.create_future()
        future.add_done_callback(lambda _: leave())
        future.set_result(None)
    elif how == "keyword":
        loop.call_later(delay=0, callback=sys.exit)
    elif how in {"call_at", "call_later"}:
        getattr(loop, how)(loop.time() if how == "call_at" else 0, sys.exit, 1)
    else:
        getattr(loop, how)(sys.exit, 1)


HOW = ["done", "call_soon", "call_soon_threadsafe", "call_at", "call_later", "keyword"]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("run", [asyncio.run, pytest.importorskip("uvloop").run])
def test_a_callback_that_exits_does_not_end_the_loop(run: Any, how: str) -> None:
    """Only of runs; it is told to whoever handles the loop's exceptions. The loop has its own methods again."""

    async def main(*, in_run: bool) -> str:
        loop = asyncio.get_running_loop()
        told: list[Any] = []
        loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
        with contained_tasks(), contained_tasks():
            token = run_context.set(RunContext("t", "r", "", {})) if in_run else None
            scheduled(loop, how)
            if token is not None:
                run_context.reset(token)
            while not told:
                await asyncio.sleep(0)
        assert isinstance(told[0], TaskExit)
        assert not {"call_soon", "call_soon_threadsafe", "call_at", "call_later"} & vars(loop).keys()
        return "alive"

    assert run(main(in_run=True)) == "alive"
    with pytest.raises(SystemExit):
        run(main(in_run=False))


def test_two_servers_in_one_loop_end_in_any_order() -> None:
    """Each contains its callbacks for as long as it is there."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        told: list[Any] = []
        loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
        with ExitStack() as other:
            with ExitStack() as one:
                one.enter_context(contained_tasks())
                other.enter_context(contained_tasks())
            token = run_context.set(RunContext("t", "r", "", {}))
            scheduled(loop, "call_soon")
            run_context.reset(token)
            await asyncio.sleep(0)
        assert isinstance(told[0], TaskExit)

    asyncio.run(main())


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("waits", [False, True])
def test_a_generator_that_is_left_to_the_collector_does_not_end_the_loop(error: Any, *, waits: bool) -> None:
    """It is collected outside of its run, in whatever task is at work then."""

    async def generate() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            if waits:
                await asyncio.sleep(0)
            raise error

    async def main() -> str:
        told: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
        with contained_tasks():
            left = generate()
            await anext(left)
            del left
            gc.collect()
            while not told:
                await asyncio.sleep(0)
                gc.collect()
        assert isinstance(told[0], TaskExit)
        return "alive"

    assert asyncio.run(main()) == "alive"


def test_a_factory_that_was_there_before_makes_the_tasks() -> None:
    """And its tasks are contained as well."""
    made: list[str] = []

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        made.append(coroutine.__name__)
        return asyncio.Task(coroutine, loop=loop, **options)

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(factory)
        with contained_tasks(), pytest.raises(TaskExit):
            await in_run(exits=True)
        assert asyncio.get_running_loop().get_task_factory() is factory
        assert "in_task" in made

    asyncio.run(main())


def test_trio_needs_none_of_it() -> None:
    """There a task's end is its nursery's."""

    async def main() -> None:
        with contained_tasks():
            await trio.lowlevel.checkpoint()

    trio.run(main)
