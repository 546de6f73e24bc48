"""Large answers: sent as they are taken, so many at a time, and lists no faster than they are read."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import anyio
import pytest

from anyiostream.remote import Limits
from anyiostream.remote.answers import AT_ONCE, PIECE, Answers
from anyiostream.remote.refusals import Refusal

from ..waiting import blocked

pytestmark = pytest.mark.anyio


class Client:
    """Takes a response, or only its beginning."""

    def __init__(self, takes: int | None = None) -> None:
        self.bodies: list[bytes] = []
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.whole = False
        self.takes = takes

    async def send(self, message: Any) -> None:
        """As ASGI has it."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
            return
        if self.takes is not None and len(self.bodies) >= self.takes:
            await anyio.sleep_forever()
        self.bodies.append(message.get("body", b""))
        self.whole = not message.get("more_body", False)

    async def take(self, response: Any) -> None:
        """Ask for it."""
        await response({"type": "http", "method": "GET"}, anyio.sleep_forever, self.send)

    @property
    def value(self) -> Any:
        """What it has been sent."""
        assert self.whole
        return json.loads(b"".join(self.bodies))


def items(made: list[int], size: int, many: int) -> AsyncGenerator[bytes]:
    """The items of a list, which are noted as they are made."""

    async def make() -> AsyncGenerator[bytes]:
        for n in range(many):
            made.append(n)
            yield json.dumps(str(n) + "x" * size).encode()

    return make()


async def test_a_small_answer_is_sent_in_one_go() -> None:
    """And whatever it is, it is the same."""
    answers = Answers(Limits(connections=1), owned=False)
    with answers.sending(""):
        client = Client()
        await client.take(answers.of("", {"a": [1]}))
        assert (client.status, client.value, len(client.bodies)) == (200, {"a": [1]}, 1)
        for many in (0, 1, 3):
            client = Client()
            await client.take(await answers.listed("", items([], 1, many)))
            assert client.value == [f"{n}x" for n in range(many)]


async def test_a_large_answer_is_passed_on_bit_by_bit() -> None:
    """With its length, and without being copied as a whole."""
    answers = Answers(Limits(), owned=False)
    value = "x" * (10 * PIECE)
    client = Client()
    await client.take(answers.encoded("", b'{"a":', json.dumps(value).encode(), b"}"))
    assert client.value == {"a": value}
    assert max(map(len, client.bodies)) <= PIECE
    assert int(client.headers[b"content-length"]) == sum(map(len, client.bodies))
    assert b"no-store" in client.headers[b"cache-control"]


async def test_a_list_is_made_no_faster_than_it_is_read() -> None:
    """It ends with its reader."""
    answers = Answers(Limits(), owned=False)
    made: list[int] = []
    size, many = AT_ONCE // 2, 50
    client = Client()
    await client.take(await answers.listed("", items(made, size, many)))
    assert len(client.value) == many
    assert b"content-length" not in client.headers
    made.clear()
    pages = items(made, size, many)
    slow = Client(takes=20)
    response = await answers.listed("", pages)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(slow.take, response)
        await blocked()
        assert len(made) < 6
        tasks.cancel_scope.cancel()
    assert [each async for each in pages] == []
    with answers.sending(""):
        pass


@pytest.mark.parametrize("large", [False, True])
async def test_what_fails_early_is_an_error_and_later_breaks_off(*, large: bool) -> None:
    """Nobody takes a part of a list for the whole."""

    async def fails() -> AsyncGenerator[bytes]:
        yield b'"' + b"x" * (2 * AT_ONCE if large else 1) + b'"'
        raise ValueError("no")

    answers = Answers(Limits(), owned=False)
    client = Client()
    with pytest.raises(ValueError, match="no"):
        await client.take(await answers.listed("", fails()))
    assert client.status == (200 if large else 0)
    assert not client.whole


@pytest.mark.parametrize("owned", [False, True])
async def test_so_many_are_sent_at_a_time(*, owned: bool) -> None:
    """Over all, and to each owner; beyond that their readers are to come back."""
    answers = Answers(Limits(connections=4, owner_connections=2), owned=owned)
    large: Callable[[str], Any] = lambda who: answers.of(who, "x" * (2 * PIECE))  # noqa: E731 -- made when it is asked for
    async with anyio.create_task_group() as tasks:
        for who in ("bob", "bob", "bob", "ada"):
            tasks.start_soon(Client(takes=1).take, large(who))
        await blocked()
        clients = {who: Client() for who in ("bob", "ada")}
        for who, client in clients.items():
            await client.take(large(who))
        assert clients["bob"].status == 429
        assert clients["bob"].headers[b"retry-after"] == b"1"
        assert clients["ada"].status == (200 if owned else 429)
        tasks.cancel_scope.cancel()
    with answers.sending("bob"), answers.sending("bob"):
        if owned:
            with pytest.raises(Refusal), answers.sending("bob"):
                pass
