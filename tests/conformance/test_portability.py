"""A transformer that was written for LangGraph runs here when its import line is changed.

The source text of each transformer is executed once per library, with that library's import line before it, and run
over the same parts. What can be observed has to be the same.
"""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from anyiostream import parts

from .adapter import OUR_API, SYNC, THEIR_API, Lab, Script

IMPORTS = {
    "ours": "from anyiostream import StreamChannel, StreamTransformer",
    "theirs": "from langgraph.stream import StreamChannel, StreamTransformer",
}

WORD_COUNT = '''
from collections import Counter


class WordCount(StreamTransformer):
    """Counts words of custom events; the totals come at the end."""

    required_stream_modes = ("custom",)

    def __init__(self, scope=()):
        super().__init__(scope)
        self._words = StreamChannel()
        self._totals = StreamChannel()
        self._counter = Counter()

    def init(self):
        return {"words": self._words, "totals": self._totals}

    def process(self, event):
        if event["method"] == "custom" and tuple(event["params"]["namespace"]) == self.scope:
            for word in event["params"]["data"]["text"].split():
                self._counter[word] += 1
                self._words.push(word)
        return True

    def finalize(self):
        for word, count in sorted(self._counter.items()):
            self._totals.push((word, count))

    def fail(self, err):
        self._totals.push(("failed", str(err)))


TRANSFORMER = WordCount
'''

REDACTION = '''
class Redaction(StreamTransformer):
    """Takes names out of snapshots and custom data before the built-in projections see them."""

    before_builtins = True
    required_stream_modes = ("custom",)

    def init(self):
        return {}

    def process(self, event):
        params = event["params"]
        if event["method"] == "values":
            params["data"] = {key: "*" * len(value) for key, value in params["data"].items()}
        elif event["method"] == "custom" and "secret" in params["data"]["text"]:
            return False
        return True


TRANSFORMER = Redaction
'''

PROGRESS = '''
class Progress(StreamTransformer):
    """A named channel: its items are events of the raw log as well."""

    required_stream_modes = ("custom",)

    def __init__(self, scope=(), *, total=4):
        super().__init__(scope)
        self.total = total
        self.done = 0

    def init(self):
        self.progress = StreamChannel("progress", maxlen=16)
        return {"progress": self.progress}

    def process(self, event):
        if event["method"] == "custom" and not event["params"]["namespace"]:
            self.done += 1
            self.progress.push({"done": self.done, "of": self.total})
        return event["method"] != "custom"


TRANSFORMER = Progress
'''

NATIVE = '''
class Snapshots(StreamTransformer):
    """A native one, which closes its channel itself."""

    _native = True
    required_stream_modes = ("values",)

    def init(self):
        self._keys = StreamChannel("keys")
        return {"keys": self._keys, "limit": 2}

    def process(self, event):
        if event["method"] == "values" and tuple(event["params"]["namespace"]) == self.scope:
            self._keys.push(sorted(event["params"]["data"]))
        return True

    def finalize(self):
        self._keys.close()


TRANSFORMER = Snapshots
'''

TRANSLATION = '''
class Translation(StreamTransformer):
    """Waits for a service before the next transformer sees the event."""

    required_stream_modes = ("custom",)

    def init(self):
        self.log = StreamChannel()
        return {"log": self.log}

    async def translate(self, text):
        await SLEEP(0)
        return text.upper()

    async def aprocess(self, event):
        if event["method"] == "custom":
            event["params"]["data"] = {"text": await self.translate(event["params"]["data"]["text"])}
            self.log.push(event["params"]["data"]["text"])
        return True

    async def afinalize(self):
        await SLEEP(0)
        self.log.push("afinalize")

    async def afail(self, err):
        await SLEEP(0)
        self.log.push("afail " + str(err))


TRANSFORMER = Translation
'''

MODERATION = '''
class Moderation(StreamTransformer):
    """Decoupled work, whose results come on a channel of their own."""

    requires_async = True
    required_stream_modes = ("custom",)

    def init(self):
        self.verdicts = StreamChannel("verdicts")
        self.pending = []
        return {"verdicts": self.verdicts}

    def process(self, event):
        if event["method"] == "custom":
            work = self.moderate(event["params"]["data"]["text"], 300 * len(self.pending) + 300)
            self.pending.append(self.schedule(work, on_error="log"))
        return True

    async def moderate(self, text, turns):
        for _ in range(turns):  # far more than the graph takes, and each one more than the one before
            await SLEEP(0)
        if "secret" in text:
            raise ValueError("moderation")
        self.verdicts.push((text, "fine"))

    async def afinalize(self):
        self.verdicts.push(("done", all(task.done() for task in self.pending)))


TRANSFORMER = Moderation
'''

PARTS = [
    parts.values({"name": "Ada"}),
    parts.custom({"text": "to be or"}),
    parts.task_start("1", "sub"),
    parts.task_start("2", "inner", ns=("sub:1",)),
    parts.custom({"text": "inside"}, ns=("sub:1",)),
    parts.values({"name": "inner"}, ns=("sub:1",)),
    parts.custom({"text": "secret"}),
    parts.task_result("2", "inner", ns=("sub:1",)),
    parts.task_result("1", "sub"),
    parts.custom({"text": "not to be"}),
    parts.values({"name": "Ada", "age": "36"}),
]

SOURCES = {
    "word count": (WORD_COUNT, ["words", "totals"], "either"),
    "redaction": (REDACTION, [], "either"),
    "progress": (PROGRESS, ["progress"], "either"),
    "native": (NATIVE, ["keys"], "either"),
    "translation": (TRANSLATION, ["log"], "async"),
    "moderation": (MODERATION, ["verdicts"], "async"),
}


def transformer_of(lab: Lab, source: str) -> Any:
    """The class that a source text defines, with the import line of the lab's library."""
    namespace: dict[str, Any] = {"SLEEP": anyio.sleep, "__name__": "users_module"}
    exec(f"{IMPORTS[lab.library]}\n{source}", namespace)
    return namespace["TRANSFORMER"]


def plain(events: list[Any]) -> list[Any]:
    """Events, apart from timestamps, and from the namespaces of what channels forward (a documented deviation)."""
    return [
        (
            each["seq"],
            each["method"],
            () if _is_forward(each["method"]) else tuple(each["params"]["namespace"]),
            each["params"]["data"],
        )
        for each in events
    ]


def _is_forward(method: str) -> bool:
    return method in {"lifecycle", "keys"} or method.startswith("custom:")


async def observe(lab: Lab, name: str, error: BaseException | None) -> dict[str, Any]:
    """What a run with that transformer shows: the raw log, the projections, those of the subgraph, and the output."""
    source, projections, _ = SOURCES[name]
    seen: dict[str, Any] = {}
    async with lab.open(Script(PARTS, error), transformers=[transformer_of(lab, source)]) as run:
        names = [*projections, "values", "lifecycle"]
        readers = {each: lab.reader(run.extensions[each]) for each in names}
        log = lab.reader(run)
        handle = await lab.reader(run.subgraphs).next()
        below = {f"subgraph's {each}": lab.reader(handle.extensions[each]) for each in [*projections, "values"]}
        try:
            seen["output"] = await lab.output(run)
        except LookupError as exc:
            seen["error"] = exc
        for each, reader in {**readers, **below}.items():
            seen[each] = await reader.outcome()
        events, ending = await log.outcome()
        seen["raw log"] = (plain(events), ending)
        seen["attributes"] = [each for each in ("keys", "limit", "words") if hasattr(run, each)]
    return seen


CASES = [
    (ours, theirs, name)
    for name, (_, _, lanes) in SOURCES.items()
    for ours, theirs in [
        (Lab("ours", "sync"), Lab("theirs", "sync")),
        *((Lab("ours", lane), Lab("theirs", "asyncio")) for lane in ("asyncio", "uvloop", "trio")),
    ]
    if lanes == "either" or ours.is_async
]


def observed(lab: Lab, name: str, error: BaseException | None) -> dict[str, Any]:
    """`observe` on the lab's lane."""
    seen: list[dict[str, Any]] = []

    async def main() -> None:
        seen.append(await observe(lab, name, error))

    lab.run(main)
    return seen[0]


@pytest.mark.parametrize("error", [None, LookupError("broken")], ids=["well", "failing"])
@pytest.mark.parametrize(("ours", "theirs", "name"), CASES, ids=str)
def test_import_line(ours: Lab, theirs: Lab, name: str, error: BaseException | None) -> None:
    """(40-56) A transformer's source runs unchanged but for its import line, and shows the same."""
    expected = observed(theirs, name, error)
    got = observed(ours, name, error)
    assert set(got) == set(expected)
    if name == "moderation":
        # The original waits for a subgraph's scheduled work at the subgraph's end; here it goes on beside the run, so
        # that what it pushes comes later, or, if the run fails meanwhile, not at all.
        for seen in (got, expected):
            seen["raw log"] = (
                [] if error else sorted(repr(each[1:]) for each in seen["raw log"][0]),
                seen["raw log"][1],
            )
            for key in ("verdicts", "subgraph's verdicts", "subgraph's values") if error else ():
                del seen[key]
    for key, value in expected.items():
        assert got[key] == value, key


@pytest.mark.parametrize("name", [name for name, (_, _, lanes) in SOURCES.items() if lanes == "async"])
@pytest.mark.parametrize("lab", SYNC, ids=str)
def test_import_line_on_the_wrong_lane(lab: Lab, name: str) -> None:
    """(46) A transformer that needs an event loop is refused on the sync lane by both, when the run is opened."""
    with pytest.raises(RuntimeError, match="requires an async run"):
        observed(lab, name, None)


def test_base_classes_offer_the_same() -> None:
    """(40-56) Every public name of LangGraph's base class is one of ours."""
    theirs = {name for name in vars(THEIR_API.StreamTransformer) if not name.startswith("_")}
    assert theirs <= {name for name in dir(OUR_API.StreamTransformer) if not name.startswith("_")}
    theirs = {name for name in vars(THEIR_API.StreamChannel) if not name.startswith("_")}
    assert theirs <= {name for name in dir(OUR_API.StreamChannel) if not name.startswith("_")}
    theirs = {name for name in vars(THEIR_API.StreamMux) if not name.startswith("_")} - {"bind_pump", "bind_apump"}
    assert theirs <= {name for name in dir(OUR_API.StreamMux) if not name.startswith("_")}
