# ruff: noqa: SLF001 -- follows by the events of a client, and lets another one try for ever

"""Kills a server over `sqlite:` at random moments (`kill -9`), with clients at work, and checks what they saw.

Drivers start runs, answer questions, and repeat each command, byte for byte, until it is answered. Viewers follow with
this package's client, the official ones for Python and JavaScript, and by hand. At the end every viewer's events are
compared with the log: none lost, none doubled, each with the one content that it ever had; and every run that was
accepted has one beginning and one end, with its input and its answers taken once, or says that it was lost.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import shutil
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeVar

import attrs
import httpx
from langgraph_sdk import get_client

from anyiostream.remote import Reconnection, connect

from ...npm import installed
from ...ports import free_port
from ...waiting import PATIENCE
from .archive import Archive, Kept

__all__ = ["PACKAGES", "Report", "is_alive", "kill_often", "kinds_here", "run_and_leave"]

T = TypeVar("T")

ROOT = Path(__file__).parents[3]

JAVASCRIPT = Path(__file__).with_name("viewer.mjs")

PACKAGES = Path(__file__).parents[1] / "servers" / "javascript"
"""Where the packages are that it imports."""

STEPS = 6
"""Of a run."""

TOLD = 50
"""Kills after which it is said how far they are."""

GRAPHS = ("steps", "ask", "function")


@attrs.define
class Report:
    """What has happened.

    Attributes:
        kills: How often the server was killed.
        runs: How the runs ended.
        restarts: How often a run went on.
        events: How many events of the logs there were.
        seen: Events that each kind of viewer has seen.
        answers: Texts of the answers to commands that were refused, and `200` for the others.
        wrong: What should not be.
    """

    kills: int = 0
    runs: Counter[str] = attrs.field(factory=Counter)
    restarts: int = 0
    events: int = 0
    seen: Counter[str] = attrs.field(factory=Counter)
    answers: Counter[str] = attrs.field(factory=Counter)
    wrong: list[str] = attrs.field(factory=list)

    def violate(self, what: str) -> None:
        """Note what should not be, and say so at once: there may be hours to come."""
        self.wrong.append(what)
        self.tell(f"after {self.kills} kills: {what[:1000]}")

    def tell(self, line: str) -> None:
        """Say how it goes."""
        sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
        sys.stdout.flush()

    def __str__(self) -> str:
        lines = [
            f"{sum(self.runs.values())} runs {dict(self.runs)}, {self.restarts} restarts",
            f"{self.events} events in the logs; seen: {dict(self.seen)}; answers to commands: {dict(self.answers)}",
            *(f"WRONG: {wrong[:1000]}" for wrong in self.wrong),
            f"{len(self.wrong)} violations",
        ]
        return "\n".join(lines)


class Kit:
    """One series of kills, in a folder."""

    def __init__(self, folder: Path, seed: int, backend: str, kinds: tuple[str, ...], viewers: int = 1) -> None:
        self.folder = folder
        self.viewers = viewers
        self.kinds = kinds
        self.backend = backend
        self.draw = random.Random(seed)
        self.report = Report()
        self.over = asyncio.Event()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        graphs = " ".join(f"tests.remote.kills.served:{name}" for name in GRAPHS)
        self.arguments = f"{graphs} --store sqlite:{folder / 'runs'} --port {port} --backend {backend}\n"
        self.accepted: dict[str, dict[str, str]] = {}
        self.viewed: list[tuple[str, str, list[tuple[str, Any]]]] = []
        self.archive = Archive(self.stored)
        self.http = httpx.AsyncClient(base_url=self.url, timeout=10)  # a command is repeated while it is known

    # --- the server ---

    async def run(self, kills: int, threads: int, pause: float, seconds: float = math.inf) -> Report:
        """Kill so many servers, with so many threads at work, after so many seconds at most; fewer if time is over."""
        until = time.monotonic() + seconds
        environment = {**os.environ, "KILLS_FOLDER": str(self.folder)}
        log = (self.folder / "servers.log").open("wb")
        self.nursery = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.remote.kills.nursery", cwd=ROOT, env=environment,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
        )  # fmt: skip
        try:
            async with self.http:
                await self.set_up()
                viewers = [asyncio.create_task(self.view(n, kind)) for n in range(threads) for kind in self.kinds_of(n)]
                drivers = [asyncio.create_task(self.drive(n)) for n in range(threads)]
                for _ in range(kills):
                    await asyncio.sleep(self.draw.choice([0.1, 1.0, pause]) * self.draw.random())
                    await self.strike()
                    self.report.kills += 1
                    if not self.report.kills % TOLD:
                        self.report.tell(f"{self.report.kills} kills, {len(self.report.wrong)} violations")
                    if time.monotonic() > until:
                        break
                self.over.set()
                await self.up()
                await asyncio.gather(*drivers)
                await self.caught_up()
                for viewer in viewers:
                    viewer.cancel()
                self.tear_down()
                await asyncio.wait(viewers, timeout=10)  # some clients take no notice
            self.check()
        finally:
            log.close()
            self.nursery.stdin.close()
            await self.nursery.wait()
            await self.nursery.stdout.read()  # servers hold it open until they are dead; the loop is closed after that
        return self.report

    async def set_up(self) -> None:
        """Start what is killed."""
        self.pid = await self.start()
        await self.up()

    async def strike(self) -> None:
        """Kill it, and start another one."""
        if is_alive(self.pid):
            os.kill(self.pid, signal.SIGKILL)
        else:
            self.report.violate("a server has ended by itself")
        while is_alive(self.pid):  # the file is its own until it is dead
            await asyncio.sleep(0.01)
        self.pid = await self.start()
        if self.draw.random() < 0.8:  # otherwise it may be killed before it is up
            await self.up()

    def tear_down(self) -> None:
        """The end: kill it for good."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def kinds_of(self, n: int) -> list[str]:
        """The kinds of viewers that follow a thread."""
        return [self.kinds[(n + m) % len(self.kinds)] for m in range(self.viewers)]

    async def start(self) -> int:
        self.nursery.stdin.write(self.arguments.encode())
        return int(await self.nursery.stdout.readline())

    async def up(self) -> None:
        """Wait until it answers, or is dead."""
        while self.served:
            with suppress(httpx.TransportError):
                await self.http.get("/threads/nobody/state")
                return
            await asyncio.sleep(0.01)

    @property
    def served(self) -> bool:
        """Whether there is a server."""
        return is_alive(self.pid)

    @property
    def may_ask_again(self) -> bool:
        """Whether a question that has been answered may come back."""
        return False

    # --- what clients do ---

    async def drive(self, n: int) -> None:
        """Start runs on a thread, one after the other, and answer what they ask. The last one is left alone."""
        graph, command_id, left_alone = GRAPHS[n % len(GRAPHS)], 0, False
        accepted = self.accepted[self.thread(n)] = {}
        while not left_alone:
            left_alone = self.over.is_set()  # on a busy machine all others may be killed before their first step
            command_id += 1
            tag = f"run {command_id}"
            given = {"to": STEPS, "tags": [tag]}
            run_id = await self.command(n, command_id, "run.start", {"assistant_id": graph, "input": given})
            accepted[run_id] = tag
            asked_by = run_id
            while await self.ended(n, run_id) == "interrupted":
                if run_id != asked_by and not self.may_ask_again:
                    self.report.violate(f"{self.thread(n)}: {accepted[run_id]} is asked for again")
                state = (await self.read(n))["tasks"]
                (asked,) = [each for task in state for each in task["interrupts"]]
                command_id += 1
                answer = {"interrupt_id": asked["id"], "namespace": [], "response": command_id}
                run_id = await self.command(n, command_id, "input.respond", answer)
                accepted[run_id] = f"answer {command_id}"
            if any(kind.startswith(("python", "javascript")) for kind in self.kinds_of(n)):
                # They subscribe anew where a request is cut, and are shown the turn from its start: wait with the next.
                await self.caught_up(n)

    async def command(self, n: int, command_id: int, method: str, params: Any) -> str:
        """Send a command until it is answered; the id of its run."""
        body = json.dumps({"id": command_id, "method": method, "params": params}).encode()
        while True:
            with suppress(httpx.TransportError):
                answer = await self.http.post(f"/threads/{self.thread(n)}/commands", content=body)
                self.report.answers["200" if answer.status_code == 200 else answer.text[:200]] += 1
                if answer.status_code != 503:
                    shown = answer.json()
                    if shown["type"] != "success":
                        self.report.violate(f"{self.thread(n)}: {method} is refused: {shown}")
                        return f"refused {command_id}"
                    return str(shown["result"]["run_id"])
            await asyncio.sleep(0.02)

    async def ended(self, n: int, run_id: str) -> str:
        """How a run has ended, when it has."""
        while run_id not in (ended := self.archive.of(self.thread(n)).ended):
            await asyncio.sleep(0.1)
        return ended[run_id]

    async def read(self, n: int) -> Any:
        """The state of a thread."""
        while True:
            with suppress(httpx.TransportError):
                answer = await self.http.get(f"/threads/{self.thread(n)}/state")
                if answer.status_code == 200:
                    return answer.json()
            await asyncio.sleep(0.02)

    async def view(self, n: int, kind: str) -> None:
        """Follow a thread with one kind of client, and note what it shows."""
        seen: list[tuple[str, Any]] = []
        viewer = kind, self.thread(n), seen
        self.viewed.append(viewer)
        try:
            await VIEWERS[kind](self, n, seen)
        except Exception as exc:
            self.report.violate(f"{self.thread(n)}: {kind} has failed: {exc!r}")
            self.viewed.remove(viewer)  # nobody waits for it

    async def caught_up(self, *threads: int) -> None:
        """Wait until the viewers of these threads have seen the last event, by default all.

        They have time for as long as servers are killed, each of which cuts them, and may be slow to begin.
        """
        wanted = {self.thread(n) for n in threads} or {thread for _, thread, _ in self.viewed}
        patience = round(PATIENCE / 0.1)
        while patience:
            behind = [
                (kind, thread) for kind, thread, seen in self.viewed
                if thread in wanted and last(wanted_by(kind, self.archive.of(thread))) != last(seen)
            ]  # fmt: skip
            if not behind:
                return
            await asyncio.sleep(0.1)
            patience -= self.over.is_set()
        for kind, thread in behind:
            self.report.violate(f"{thread}: {kind} does not come to the end")

    def thread(self, n: int) -> str:
        return f"thread-{n}"

    # --- what is checked ---

    def stored(self, thread: str, after: int) -> tuple[str, list[tuple[int, bytes]]] | None:
        """What the store has of a thread: its generation, and its events after a place."""
        connection = sqlite3.connect(f"file:{self.folder / 'runs'}?mode=ro", uri=True, timeout=PATIENCE)
        with closing(connection):
            found = connection.execute("SELECT generation FROM threads WHERE thread_id = ?", (thread,)).fetchone()
            if found is None:
                return None
            query = "SELECT seq, body FROM events WHERE generation = ? AND seq > ? ORDER BY seq"
            return str(found[0]), connection.execute(query, (found[0], after)).fetchall()

    def check(self) -> None:
        """Compare what everybody saw with the logs, and the logs with what was accepted."""
        self.archive.compare()
        for wrong in self.archive.wrong:
            self.report.violate(wrong)
        for thread in self.accepted:
            self.report.events += len(self.archive.of(thread).events)
            self.check_runs(thread, self.archive.of(thread))
        for kind, thread, seen in self.viewed:
            self.report.seen[kind] += len(seen)
            wanted = wanted_by(kind, self.archive.of(thread))
            if not seen:
                self.report.violate(f"{thread}: {kind} has seen nothing")
                continue
            begin = next((n for n, (event_id, _) in enumerate(wanted) if event_id == seen[0][0]), None)
            if begin is None:
                self.report.violate(f"{thread}: {kind} has seen {seen[0]}, which is not in the log")
            elif wanted[begin:] != seen:
                self.report.violate(f"{thread}: {kind}: {difference(wanted[begin:], seen)}")

    def check_runs(self, thread: str, kept: Kept) -> None:
        """Each accepted run has one beginning and one end; what it was given is in its state once."""
        self.check_attempts(thread, kept)
        begun: Counter[str] = Counter()
        ended: Counter[str] = Counter()
        values: Any = None
        for event in kept.parsed():
            data = event["params"]["data"]
            if event["method"] == "values" and not event["params"]["namespace"]:
                values = data
            elif event["method"] == "custom" and data.get("name") == "run.restarted":
                self.report.restarts += 1
            elif event["method"] == "lifecycle" and not event["params"]["namespace"]:
                if data["event"] == "running":
                    begun[data["run_id"]] += 1
                else:
                    ended[data["run_id"]] += 1
                    self.report.runs[data["event"]] += 1
                    if data["event"] == "failed" and "died" not in data["error"]:
                        self.report.violate(f"{thread}: failed with {data['error']}")
                    tag = self.accepted.get(thread, {}).get(data["run_id"])
                    if data["event"] == "completed" and (
                        values["tags"].count(tag) != 1 or not complete(thread, values)
                    ):
                        self.report.violate(f"{thread}: {tag} ended with {values}")
        for run_id in self.accepted.get(thread, {}):
            if ended.pop(run_id, 0) != 1 or begun[run_id] > 1:
                self.report.violate(f"{thread}: {run_id} began {begun[run_id]} times")
        if ended:
            self.report.violate(f"{thread}: runs that nobody started: {ended}")

    def check_attempts(self, thread: str, kept: Kept) -> None:
        """Nothing is done twice, unless viewers have been told that a run goes on from an earlier place."""
        before: list[int] = []
        for event in kept.parsed():
            data = event["params"]["data"]
            name = data.get("name") if event["method"] == "custom" else None
            if event["method"] == "lifecycle" and not event["params"]["namespace"]:
                name = data["event"]
            if name in {"running", "run.restarted"}:
                before = []
            elif name == "count":
                if data["payload"] <= before:
                    self.report.violate(f"{thread}: {event['event_id']} is {data['payload']} after {before}")
                before = data["payload"]


def is_alive(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def complete(thread: str, values: Any) -> bool:
    """Whether a run has done all of its steps; a function has none."""
    return int(thread.rpartition("-")[2]) % len(GRAPHS) == GRAPHS.index("function") or values["n"] == STEPS


def wanted_by(kind: str, kept: Kept) -> list[tuple[str, Any]]:
    """What a viewer of a kind should have seen of a log."""
    return kept.events if kind == "by hand" else kept.counts


def last(events: list[tuple[str, Any]]) -> str | None:
    """The id of the last event."""
    return events[-1][0] if events else None


def difference(wanted: list[Any], seen: list[Any]) -> str:
    """Where what was seen differs from what should have been."""
    for n, (one, other) in enumerate(zip(wanted, seen, strict=False)):
        if one != other:
            return f"event {n} of {len(wanted)} is {str(other)[:200]}, not {str(one)[:200]}"
    return f"{len(seen)} events of {len(wanted)}"


# --- viewers ---


async def by_hand(kit: Kit, n: int, seen: list[tuple[str, Any]]) -> None:
    """Everything, whole, from the beginning, with `since` alone as the cursor."""
    channels = ["values", "updates", "messages", "tools", "lifecycle", "input", "checkpoints", "tasks", "custom"]
    since = 0
    while True:
        with suppress(httpx.TransportError):
            path = f"/threads/{kit.thread(n)}/stream/events"
            async with kit.http.stream("POST", path, json={"channels": channels, "since": since}) as response:
                if response.status_code not in {200, 503}:
                    await response.aread()
                    kit.report.violate(f"{kit.thread(n)}: since {since}: {response.status_code} {response.text}")
                    return
                async for line in response.aiter_lines():
                    if line.startswith("data: "):
                        event = json.loads(line[6:])
                        if event["type"] != "event":
                            kit.report.violate(f"{kit.thread(n)}: since {since}: {event}")
                            continue
                        seen.append((event["event_id"], line[6:]))  # byte by byte as it is stored
                        since = event["seq"]
        await asyncio.sleep(0.02)


async def ours(kit: Kit, n: int, seen: list[tuple[str, Any]]) -> None:
    """This package's client."""
    reconnection = Reconnection(attempts=10**6, longest=0.1)
    async with connect(kit.url, reconnection=reconnection) as client:
        thread: Any = client.thread("steps", kit.thread(n))
        async for event in thread._events(["custom:count"], None, known=False):
            seen.append((event["event_id"], event["params"]["data"]["payload"]))


def official(transport: Any) -> Callable[[Kit, int, list[tuple[str, Any]]], Awaitable[None]]:
    """The official Python client."""

    async def view(kit: Kit, n: int, seen: list[tuple[str, Any]]) -> None:
        options: Any = {"assistant_id": "steps", "transport": transport}
        async with get_client(url=kit.url, api_key=None) as client:
            while True:
                before = {event_id for event_id, _ in seen}
                # A stream ends with its run, or fails while it is opened; a new one begins at the start of the turn.
                with suppress(Exception):
                    async with client.threads.stream(kit.thread(n), **options) as thread:
                        stream: Any = thread
                        stream._shared_max_reconnect_attempts = stream._lifecycle_max_reconnect_attempts = 10**6
                        stream._shared_reconnect_backoff_cap = 0.1
                        async for event in stream.subscribe(["custom:count"]):
                            if event["event_id"] not in before:
                                seen.append((event["event_id"], event["params"]["data"]["payload"]))
                await asyncio.sleep(0.05)

    return view


async def javascript(kit: Kit, n: int, seen: list[tuple[str, Any]]) -> None:
    """The official JavaScript client. Node ends where its first connection is reset: then it is begun anew."""
    subscribed = False
    while not subscribed:
        with (kit.folder / f"node-{n}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                "node", str(JAVASCRIPT), kit.url, kit.thread(n), "sse", stdout=asyncio.subprocess.PIPE, stderr=log
            )
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                event = json.loads(line)
                if event == "subscribed":
                    subscribed = True
                else:
                    seen.append(tuple(event))
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        await asyncio.sleep(0.1)
    raise RuntimeError("Node has ended")


VIEWERS: dict[str, Callable[[Kit, int, list[tuple[str, Any]]], Awaitable[None]]] = {
    "by hand": by_hand,
    "ours": ours,
    "python sse": official("sse"),
    "python websocket": official("websocket"),
    "javascript": javascript,
}


def kinds_here() -> tuple[str, ...]:
    """The kinds of viewers that there are on this machine; the packages of the JavaScript client are installed."""
    if shutil.which("node") is None:
        print("there is no Node, and so no viewer in JavaScript", flush=True)  # noqa: T201 -- says what is not tried
        return tuple(kind for kind in VIEWERS if kind != "javascript")
    installed(PACKAGES)
    return tuple(VIEWERS)


def kill_often(
    folder: Path,
    *,
    kills: int,
    threads: int,
    seed: int,
    backend: str,
    pause: float = 3.0,
    kinds: tuple[str, ...] | None = None,
) -> Report:
    """Kill servers, and say what has happened.

    Args:
        folder: Where their files are.
        kills: How often.
        threads: How many threads are at work, each with a driver and a viewer.
        seed: Of the moments.
        backend: The servers' event loop.
        pause: Seconds after which a server that is up is killed, at most.
        kinds: Of viewers, in turn; by default all that there are here.
    """

    async def run() -> Report:
        return await Kit(folder, seed, backend, kinds or kinds_here()).run(kills, threads, pause)

    return run_and_leave(run())


def run_and_leave(main: Coroutine[Any, Any, T]) -> T:
    """What it returns, run in a loop of its own. `asyncio.run` would wait for clients that cannot be cancelled."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(main)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.1))
        loop.close()
