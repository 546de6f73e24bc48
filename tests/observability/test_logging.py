"""What the `anyiostream` logger says, at which level, and when it says nothing."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import anyio
import pytest
import trio.testing

from anyiostream import CustomTransformer, StreamChannel, StreamTransformer, open_run, parts
from anyiostream.testing import ScriptedSource

Log = pytest.LogCaptureFixture


@pytest.fixture(autouse=True)
def everything(caplog: Log) -> None:
    """All levels are recorded."""
    caplog.set_level(logging.DEBUG, "anyiostream")


def lines(caplog: Log) -> list[tuple[str, str]]:
    """(level, message) of all records, which are all of the one logger."""
    assert {record.name for record in caplog.records} <= {"anyiostream"}
    return [(record.levelname, record.getMessage()) for record in caplog.records]


class Latest(StreamTransformer):
    """Shows the latest custom data, and forgets the rest."""

    required_stream_modes = ("custom",)

    def init(self) -> dict[str, Any]:
        self.latest: StreamChannel[Any] = StreamChannel(maxlen=1, overflow="drop_oldest")
        return {"latest": self.latest}

    def process(self, event: Any) -> bool:
        self.latest.push(event["params"]["data"])
        return True


def countdown(n: int) -> Any:
    """A graph with a name."""
    for left in range(n, 0, -1):
        yield parts.values(left)


def test_a_run_that_goes_well_is_for_debugging(caplog: Log) -> None:
    """Its opening and its end, with the number of parts."""
    with open_run(countdown, 3) as run:
        assert run.output == 1
    assert lines(caplog) == [
        ("DEBUG", "opened a run of the graph countdown on the sync lane"),
        ("DEBUG", "a run of the graph countdown ended as completed after 3 part(s)"),
    ]


@pytest.mark.anyio
async def test_a_run_says_which_loop_it_is_on(caplog: Log, anyio_backend_name: str) -> None:
    """And how it ended: left early, it was aborted."""
    async with open_run(countdown, 3):
        pass
    ours = [line for line in lines(caplog) if "a run of" in line[1]]
    assert ours == [
        ("DEBUG", f"opened a run of the graph countdown on {anyio_backend_name}"),
        ("DEBUG", "a run of the graph countdown ended as aborted after 0 part(s)"),
    ]


@pytest.mark.parametrize("anyio_backend", [pytest.param(("asyncio", {"debug": True}), id="asyncio")])
@pytest.mark.anyio
async def test_the_speed_of_the_machine_is_not_logged(caplog: Log) -> None:
    """By asyncio's debug mode, in these tests: they would depend on it."""
    asyncio.get_running_loop().slow_callback_duration = 0
    for _ in range(3):
        await asyncio.sleep(0)
    assert lines(caplog) == []


def test_a_failure_is_information(caplog: Log) -> None:
    """Whoever reads the run gets the error itself; the log says that, and where, it happened."""
    with pytest.raises(OSError, match="gone"), open_run(ScriptedSource(parts.values(1), OSError("gone"))) as run:
        _ = run.output
    assert lines(caplog)[1:] == [("INFO", "a run of the graph ScriptedSource failed after 1 part(s): OSError('gone')")]


def test_dropped_items_are_information(caplog: Log) -> None:
    """With their number and the policy that was asked for."""
    script = [parts.custom(n) for n in range(5)]
    with open_run(script, transformers=[CustomTransformer, Latest]) as run:
        latest = iter(run.extensions["latest"])
        assert list(run.custom) == [*range(5)]
        assert next(latest) == 4
    assert lines(caplog)[-1] == (
        "INFO",
        (
            "channel 'latest' of the graph list dropped 4 item(s): its reader did not keep up, and its policy is "
            "'drop_oldest'"
        ),
    )


def test_nothing_dropped_is_nothing_said(caplog: Log) -> None:
    """Nor is what passed by because nobody had asked for it."""
    with open_run([parts.custom(1)], transformers=[CustomTransformer, Latest]) as run:
        assert run.output is None
    assert [message for level, message in lines(caplog) if level != "DEBUG"] == []


@pytest.mark.anyio
async def test_an_error_of_scheduled_work_is_logged_once(caplog: Log) -> None:
    """As an error, with its traceback: nobody else would learn of it."""

    class Careless(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        async def work(self) -> None:
            raise LookupError("lost")

        def process(self, event: Any) -> bool:
            self.schedule(self.work())
            return True

    async with open_run([parts.values(1)], transformers=[Careless]) as run:
        assert await run.output() == 1
    (record,) = [record for record in caplog.records if record.levelno > logging.INFO]
    assert record.levelname == "ERROR"
    assert "Careless.schedule(" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)


@pytest.mark.anyio
async def test_a_hook_that_outlives_its_grace_is_a_warning(caplog: Log) -> None:
    """By name, with the time that it was given."""

    class Lingering(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            return True

        async def afail(self, err: BaseException) -> None:
            await anyio.sleep_forever()

    async with open_run([parts.values(1)], transformers=[Lingering], grace=0.01):
        pass
    assert ("WARNING", "Lingering.afail() did not end within 0.01 s and has been cancelled") in lines(caplog)


@pytest.mark.trio
async def test_a_stall_is_a_warning(caplog: Log, autojump_clock: trio.testing.MockClock) -> None:
    """With what is full, and what is waited for, a second after it began."""
    script = [parts.custom(n) for n in range(5)]
    async with open_run(script, transformers=[CustomTransformer], buffer=2) as run, trio.open_nursery() as nursery:
        forgotten = aiter(run.custom)
        nursery.start_soon(run.output)
        await trio.sleep(2)
        (warning,) = [message for level, message in lines(caplog) if level == "WARNING"]
        assert "the run has been stalled for 1 s: channel 'custom' is full and not read, while output() is" in warning
        await forgotten.aclose()


@pytest.mark.anyio
async def test_errors_that_nobody_received_are_logged_when_the_body_raises(caplog: Log) -> None:
    """As errors, because the body's own exception goes on in their place."""
    with pytest.raises(KeyError):
        async with open_run(ScriptedSource(parts.values(1), OSError("gone"))) as run:
            async for _ in run.values.atee(1)[0]:
                await anyio.lowlevel.checkpoint()
                with pytest.raises(OSError, match="gone"):
                    await run.output()
                raise KeyError("mine")
    assert [level for level, _ in lines(caplog) if level == "ERROR"] == []
    caplog.clear()

    class Failing(StreamTransformer):
        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            return True

        def fail(self, err: BaseException) -> None:
            raise LookupError("in fail")

    with pytest.raises(KeyError) as caught:
        async with open_run([parts.values(1)], transformers=[Failing]):
            raise KeyError("mine")
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "an error that no reader received" in record.getMessage()
    assert any("in fail" in note for note in caught.value.__notes__)
