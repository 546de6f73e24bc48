"""The faults of servers that share a store: what each does, how often at length, and how often in the suite."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, final

import anyio
import attrs

from ..remote.several.kills import kill_several
from .blocked_loop import block
from .cancellations import cancel_callers, cancel_everywhere
from .dying_store import fail_over, kill_store
from .full_store import fill
from .networks import disturb
from .promises import Promises
from .questions import answer_twice
from .strangers import write_on

__all__ = ["FAULTS", "Fault"]

HOUR: Final = 3600


class Strike(Protocol):
    """Makes a fault happen, and says what it did to promises."""

    def __call__(self, folder: Path, seed: int, count: int, backend: str) -> Promises:
        """Strike `count` times, with what is drawn from `seed`, on an event loop."""
        ...


@final
@attrs.frozen
class Fault:
    """A fault.

    Attributes:
        name: What it is called.
        strike: Makes it happen.
        length: How often, at length.
        short: How often in the suite, where it takes a few seconds.
        processes: Whether it is about servers that are processes of their own.
    """

    name: str
    strike: Strike
    length: int
    short: int
    processes: bool = False


def over_a_store(strike: Callable[..., Awaitable[Promises]], **options: Any) -> Strike:
    """A fault of the store or of the way to it, with everybody else in this process."""

    def run(folder: Path, seed: int, count: int, backend: str) -> Promises:
        return anyio.run(partial(strike, folder, seed, count, **options), backend=backend)

    return run


def over_servers(*drawn: str, restarts: bool = True, **options: Any) -> Strike:
    """A fault of servers, which are processes with graphs, behind a proxy, with clients.

    Args:
        drawn: What happens to them.
        restarts: Whether runs may begin again.
        options: Of `kill_several`.
    """

    def run(folder: Path, seed: int, count: int, backend: str) -> Promises:
        given = {"servers": 4, "threads": 6, "viewers": 1, "kinds": ("by hand", "ours"), "pause": 1.0, **options}
        report, strikes = kill_several(folder, kills=count, seed=seed, backend=backend, drawn=drawn, **given)
        if report.wrong:
            sys.stderr.write((folder / "servers.log").read_text()[-20_000:])
        promises = Promises(wrong=report.wrong)
        promises.counts.update(strikes)
        promises.counts.update({f"runs {end}": number for end, number in report.runs.items()})
        promises.counts.update({f"commands answered {answer}": number for answer, number in report.answers.items()})
        promises.counts.update(restarts=report.restarts, events=report.events, seen=report.seen.total())
        promises.counts["violations"] = len(report.wrong)
        if report.restarts and not restarts:
            promises.broken(f"{report.restarts} runs began again, although no server died")
        refused = report.answers.total() - report.answers["200"]
        if refused and not restarts:
            promises.broken(f"{refused} commands were refused: {report.answers}")
        return promises

    return run


FAULTS: Final = (
    Fault("servers are killed", over_servers("kill"), 1000, 3, processes=True),
    Fault("the store is killed, and has flushed everything", over_a_store(kill_store, kept="always"), 200, 4),
    Fault("the store is killed, and flushes once a second", over_a_store(kill_store, kept="everysec"), 200, 4),
    Fault("the store is killed, and forgets", over_a_store(kill_store, kept="snapshots"), 200, 8),
    Fault("the store fails over to a replica", over_a_store(fail_over), 200, 3),
    Fault("the network is disturbed", over_a_store(disturb), 1000, 2),
    Fault("servers are frozen", over_servers("freeze"), 500, 1, processes=True),
    Fault("servers write after their lease", over_a_store(write_on), 5000, 100),
    Fault("the event loop is blocked", over_a_store(block), 20, 1),
    Fault("clocks are wrong", over_servers("roll", restarts=False, shifts=(-HOUR, 0, HOUR)), 50, 2, processes=True),
    Fault("a question is answered twice", over_a_store(answer_twice), 1000, 50),
    Fault("the store is full", over_a_store(fill), 200, 6),
    Fault("servers are replaced", over_servers("roll", restarts=False), 50, 2, processes=True),
    Fault("calls are cancelled", over_a_store(cancel_everywhere), 50, 1),
    Fault("callers are cancelled", over_a_store(cancel_callers), 10_000, 1000),
)
