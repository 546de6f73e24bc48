"""The contract of a store: for each of them, and for yours if you add it to `STORES`."""

from __future__ import annotations

from importlib import resources
from typing import Any

import anyio
import attrs
import pytest
from anyio import to_thread

from anyiostream.remote import Draft, LogGap
from anyiostream.remote.store import (
    Changes,
    Fenced,
    InboxFull,
    NotPending,
    OutOfStep,
    stops,
    thread_key,
)

from ...waiting import PATIENCE, blocked, until
from .acting import claimed, draft, entry, offer

pytestmark = pytest.mark.anyio

KEY = thread_key("ann", "t")


class Clock:
    """A time that stands still."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000_000

    def __call__(self) -> int:
        return self.now


# --- whose a thread is ---


def test_the_name_of_a_thread_is_its_owners() -> None:
    """No owner and id can be put together so that they are another one's."""
    names = {thread_key(*each) for each in [("a", "bc"), ("ab", "c"), ("", "abc"), ("abc", ""), ("a:1", "b")]}
    assert len(names) == 5


@pytest.mark.parametrize("owner", ["", "\ud800", "a\udfff", "\0", "é/😀", "x" * 100_000])
async def test_an_owner_may_have_any_name(store: Any, owner: str) -> None:
    """Hooks choose it: halves of characters are as good as others, and tell owners apart."""
    claim = await store.claim(owner, "t", holder="s", nonce="1")
    await store.accept(attrs.evolve(offer(), owner=owner), most=8, within=30)
    for other in ("?", "\\ud800", "\udc00", "\ufffd"):
        assert (await store.claim(other, "t", holder="s", nonce="1")).record.key != claim.record.key
    key = thread_key(owner, "t")
    record = await store.record(key)
    assert (record.key, record.owner, record.thread_id) == (key, owner, "t")
    assert (await store.look(key)).record.owner == owner
    assert [each.key for each in await store.listed(owner, most=8)] == [key]
    await store.erase(key)
    assert await store.listed(owner, most=8) == []


async def test_a_thread_is_made_by_what_is_first_asked_of_it(store: Any) -> None:
    """By a claim or by a command; the record says whose it is, and ids of others are others' threads."""
    assert await store.record(KEY) is None
    await store.accept(offer(), most=8, within=30)
    found = await store.record(KEY)
    assert (found.owner, found.thread_id, found.epoch, found.last) == ("ann", "t", 0, 0)
    other = await store.claim("bob", "t", holder="s", nonce="1")
    assert other.record.generation > found.generation
    assert other.inbox == []


# --- the log ---


async def test_one_handle_at_a_time_writes(store: Any) -> None:
    """Two handles on one log: the one that claimed it last. What the other still writes is nowhere."""
    old, new = store.log(await claimed(store, "1")), store.log(await claimed(store, "2"))
    assert new.epoch > old.epoch
    with pytest.raises(Fenced):
        await old.append(draft("zombie"))
    with pytest.raises(Fenced):
        await old.change(Changes(pending=("i",)))
    written = await new.append(draft("mine"))
    assert list(await old.read(0)) == list(await new.read(0)) == [written]
    assert (await store.record(KEY)).pending == ()


async def test_readers_of_one_handle_are_woken_by_the_other(store: Any) -> None:
    """They follow the log, whoever writes it."""
    old, new = store.log(await claimed(store, "1")), store.log(await claimed(store, "2"))
    found = []

    async def follow() -> None:
        await old.wait(0)
        found.extend(await old.read(0))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        await blocked()
        written = await new.append(draft())
    assert found == [written]


async def test_graphs_may_use_up_the_threads_of_the_program(store: Any) -> None:
    """A store needs none of those that all of it shares."""
    shared = to_thread.current_default_thread_limiter()
    blocking = [object() for _ in range(int(shared.available_tokens))]
    for each in blocking:
        shared.acquire_on_behalf_of_nowait(each)
    try:
        with anyio.fail_after(PATIENCE):
            assert await store.record(thread_key("", "t")) is None
    finally:
        for each in blocking:
            shared.release_on_behalf_of(each)


async def test_a_claim_that_is_repeated_is_the_same(store: Any) -> None:
    """Its answer was lost: it fences nobody. A new one of the same holder does."""
    first = await claimed(store, "1")
    assert (await claimed(store, "1")).record.epoch == first.record.epoch
    assert (await claimed(store, "2")).record.epoch > first.record.epoch


async def test_an_event_may_have_any_name(store: Any) -> None:
    """Graphs choose those of custom events."""
    log = store.log(await claimed(store))
    written = [await log.append(Draft("custom", (), {"name": name}, 1)) for name in ("\ud800", "é", "\0")]
    assert list(await store.read(log.key, 0)) == written


async def test_an_append_that_is_repeated_changes_nothing(store: Any) -> None:
    """Its answer was lost; blindly repeated it would be in the log twice."""
    claim = await claimed(store)
    entries = [entry(claim, n) for n in range(3)]
    for _ in range(2):
        await store.append(KEY, claim.record.epoch, 0, entries)
    assert list(await store.read(KEY, 0)) == entries
    for _ in range(2):
        await store.append(KEY, claim.record.epoch, entries[-1].seq, [entry(claim, 3)])
    assert len(await store.read(KEY, 0)) == 4


async def test_an_append_follows_the_newest_event(store: Any) -> None:
    """Anything else is refused, and leaves nothing behind."""
    claim = await claimed(store)
    await store.append(KEY, claim.record.epoch, 0, [entry(claim)])
    for after in (0, claim.next + 5):
        with pytest.raises(OutOfStep):
            await store.append(KEY, claim.record.epoch, after, [entry(claim, 6)], Changes(pending=("i",)))
    assert len(await store.read(KEY, 0)) == 1
    assert (await store.record(KEY)).pending == ()


async def test_no_place_is_used_twice(opened: Any) -> None:
    """Whatever a claim may not know of: it begins after all that can have been used by now, and leaves a hole."""
    clock = Clock()
    store = await opened(clock)
    first = await claimed(store, "1")
    log = store.log(first)
    seen = [(await log.append(draft(n))).seq for n in range(3)]
    clock.now += 1000
    second = await claimed(store, "2")
    assert second.next == first.next + 1024
    await store.erase(KEY)
    again = await claimed(store, "3")
    assert again.record.generation > second.record.generation
    assert again.next > seen[-1]


async def test_places_rise_although_the_clock_stands(opened: Any) -> None:
    """Or goes back: then they follow the newest one that is known, of this log or of one that is forgotten."""
    clock = Clock()
    store = await opened(clock)
    log = store.log(await claimed(store, "1"))
    for n in range(3):
        last = (await log.append(draft(n))).seq
    clock.now -= 10**12
    assert (await claimed(store, "2")).next == last + 1
    await store.erase(KEY)
    assert (await claimed(store, "3")).next > last


async def test_places_fit_into_every_clients_integers(store: Any) -> None:
    """JavaScript's are exact up to 2**53."""
    assert 0 < (await claimed(store)).next < 2**53


async def test_a_hole_is_no_gap_to_those_that_have_read_all(opened: Any) -> None:
    """But to one whose place is in it: what it has read is gone. So is what comes from a later log."""
    clock = Clock()
    store = await opened(clock)
    log = store.log(await claimed(store, "1"))
    old = [await log.append(draft(n)) for n in range(3)]
    clock.now += 1000
    log = store.log(await claimed(store, "2"))
    new = [await log.append(draft(n)) for n in range(3)]
    assert list(await log.read(0)) == [*old, *new]
    assert list(await log.read(old[-1].seq)) == new
    assert list(await log.read(old[0].seq)) == [*old[1:], *new]
    for lost in (old[-1].seq + 1, new[0].seq - 2, old[0].seq - 2, 1):
        with pytest.raises(LogGap):
            await log.read(lost)


async def test_a_hole_may_be_what_is_forgotten_up_to(opened: Any) -> None:
    """A reader that had read all that is forgotten misses nothing."""
    store = await opened(events=3)
    log = store.log(await claimed(store, "1"))
    old = [await log.append(draft(n)) for n in range(5)]
    log = store.log(await claimed(store, "2"))
    new = [await log.append(draft(n)) for n in range(3)]
    assert list(await log.read(old[-1].seq)) == new
    with pytest.raises(LogGap):
        await log.read(old[-2].seq)


async def test_a_thread_that_is_erased_is_gone(store: Any) -> None:
    """With its events, its commands and what was remembered of them; its writer is fenced."""
    await store.accept(offer(once="k"), most=8, within=3600)
    log = store.log(await claimed(store))
    await log.append(draft(), Changes(fold=b"fold", pending=("i",)))
    await store.erase(KEY)
    assert await store.record(KEY) is None
    assert await store.unfinished() == []
    with pytest.raises(Fenced):
        await log.append(draft())
    claim = await claimed(store, "2")
    assert (claim.record.fold, claim.record.pending, list(claim.inbox)) == (None, (), [])
    assert not (await store.accept(offer(once="k"), most=8, within=3600)).repeated


# --- the inbox ---


async def test_commands_wait_in_order(store: Any) -> None:
    """Until an append says that they are done."""
    for n in range(3):
        await store.accept(offer(f"r{n}", body=b"%d" % n), most=3, within=30)
    with pytest.raises(InboxFull):
        await store.accept(offer("r3"), most=3, within=30)
    claim = await claimed(store)
    assert [(each.run_id, each.body, each.attempts) for each in claim.inbox] == [
        ("r0", b"0", 0),
        ("r1", b"1", 0),
        ("r2", b"2", 0),
    ]
    log = store.log(claim)
    await log.change(Changes(attempts=(claim.inbox[0].place, 1)))
    assert [each.attempts for each in (await claimed(store)).inbox] == [1, 0, 0]
    await log.append(draft(), Changes(done=[claim.inbox[0].place]))
    assert [each.run_id for each in (await claimed(store)).inbox] == ["r1", "r2"]


async def test_a_repeated_command_is_accepted_once(opened: Any) -> None:
    """Within a time it gets the first reply, done or not; after that it is a new one."""
    clock = Clock()
    store = await opened(clock)
    first = await store.accept(offer("r1", once="k"), most=1, within=30)
    clock.now += 30 * 10**6
    again = await store.accept(offer("r2", once="k"), most=1, within=30)
    assert (again.reply, again.place, again.repeated) == (b"r1", first.place, True)
    claim = await claimed(store)
    await store.append(KEY, claim.record.epoch, 0, (), Changes(done=[first.place]))
    assert (await store.accept(offer("r2", once="k"), most=1, within=30)).repeated
    clock.now += 1
    assert (await store.accept(offer("r3", once="k"), most=1, within=30)).reply == b"r3"


async def test_a_clock_that_is_put_back(opened: Any) -> None:
    """What was repeated within seconds is not known for hours."""
    clock = Clock()
    store = await opened(clock)
    await store.accept(offer("r1", once="k"), most=8, within=30)
    clock.now -= 3600 * 10**6
    assert (await store.accept(offer("r2", once="k"), most=8, within=30)).reply == b"r2"


async def test_replies_are_not_remembered_without_limit(store: Any) -> None:
    """The newest 256 of a thread are."""
    for n in range(258):
        await store.accept(offer(f"r{n}", once=f"k{n}"), most=1000, within=3600)
    assert (await store.accept(offer("x", once="k2"), most=1000, within=3600)).reply == b"r2"
    assert (await store.accept(offer("x", once="k1"), most=1000, within=3600)).reply == b"x"


async def test_a_question_is_answered_once(store: Any) -> None:
    """Two answers at the same time: one of them is accepted. What is not asked cannot be answered."""
    log = store.log(await claimed(store))
    await log.append(draft(), Changes(pending=("i1", "i2")))
    with pytest.raises(NotPending):
        await store.accept(offer(answers=["i3"]), most=8, within=30)
    outcomes = []

    async def answer(run_id: str) -> None:
        try:
            outcomes.append((await store.accept(offer(run_id, answers=["i1"]), most=8, within=30)).reply)
        except NotPending:
            outcomes.append(b"")

    async with anyio.create_task_group() as tasks:
        for n in range(5):
            tasks.start_soon(answer, f"r{n}")
    assert sorted(outcomes)[:4] == [b""] * 4
    assert sorted(outcomes)[4].startswith(b"r")


async def test_an_answer_that_is_withdrawn_gives_its_question_back(store: Any) -> None:
    """As long as its run has not begun; a run that begins has none."""
    log = store.log(await claimed(store))
    await log.append(draft(), Changes(pending=("i1",)))
    accepted = await store.accept(offer("r1", answers=["i1"]), most=8, within=30)
    await log.change(Changes(done=[accepted.place]))
    accepted = await store.accept(offer("r2", answers=["i1"]), most=8, within=30)
    await log.change(Changes(attempts=(accepted.place, 1), pending=()))
    await log.append(draft(), Changes(done=[accepted.place]))
    with pytest.raises(NotPending):
        await store.accept(offer("r3", answers=["i1"]), most=8, within=30)


async def test_nobody_answers_what_is_not_there(store: Any) -> None:
    """An answer makes no thread."""
    with pytest.raises(NotPending):
        await store.accept(offer(answers=["i1"]), most=8, within=30)
    assert await store.record(KEY) is None


async def test_a_run_that_is_to_be_stopped_is_known(store: Any) -> None:
    """Whoever takes it over. One that is done needs no more."""
    accepted = await store.accept(offer(), most=8, within=30)
    await store.cancel(KEY, accepted.place)
    await store.cancel(KEY, accepted.place + 1)
    await store.cancel("no such thread", 1)
    assert [each.cancelled for each in (await claimed(store)).inbox] == [True]


async def test_a_run_that_is_to_stop_after_its_step_is_known(store: Any) -> None:
    """Unless it is to be stopped at once, before that or later. One that has not begun waits all the same."""
    accepted = await store.accept(offer(), most=8, within=30)
    other = await store.accept(offer("r2"), most=8, within=30)
    await store.cancel(KEY, accepted.place, drain=True)
    await store.cancel(KEY, other.place)
    await store.cancel(KEY, other.place, drain=True)
    found = (await claimed(store)).inbox
    assert [(each.cancelled, each.drained) for each in found] == [(False, True), (True, False)]
    await store.cancel(KEY, accepted.place)
    found = (await claimed(store)).inbox
    assert [(each.cancelled, each.drained) for each in found] == [(True, False)] * 2


async def test_a_stop_that_changes_nothing_is_no_use_of_a_thread(opened: Any) -> None:
    """The command has gone, or is to be stopped already: the thread comes no earlier in lists, and is not kept."""
    clock = Clock()
    store = await opened(clock)
    accepted = await store.accept(offer(), most=8, within=30)

    async def touched(place: int, **options: Any) -> bool:
        clock.now += 1
        await store.cancel(KEY, place, **options)
        (listed,) = await store.listed("ann", most=9)
        return bool(listed.touched == clock.now)

    assert await touched(accepted.place, drain=True)
    assert not await touched(accepted.place, drain=True)
    assert await touched(accepted.place)
    assert not await touched(accepted.place)
    assert not await touched(accepted.place, drain=True)
    log = store.log(await claimed(store))
    await log.change(Changes(done=[accepted.place]))
    assert not await touched(accepted.place)
    assert not await touched(accepted.place, drain=True)


def test_the_script_has_the_same_numbers() -> None:
    """What it keeps of a run that is to be stopped is what other stores keep, and what is read back."""
    script = resources.files("anyiostream.remote.store.redis").joinpath("scripts.lua").read_text("utf-8")
    assert f"local STOP = {stops.STOP} " in script
    kept = [
        stops.stored(1, "r", b"", 0, stop) for stop in (0, stops.kept_stop(drain=False), stops.kept_stop(drain=True))
    ]
    assert [(each.cancelled, each.drained) for each in kept] == [(False, False), (True, False), (False, True)]


async def test_crashed_runs_come_first(store: Any) -> None:
    """Then the others, in order of acceptance."""
    for thread_id in ("a", "b", "c"):
        await store.accept(offer(f"run {thread_id}", thread_id), most=8, within=30)
    log = store.log(await claimed(store, thread_id="c"))
    await log.change(Changes(attempts=(1, 1)))
    assert await store.unfinished() == [thread_key("ann", each) for each in ("c", "a", "b")]


# --- the record ---


async def test_the_fold_belongs_to_its_place(store: Any) -> None:
    """It is saved with the event that it is made from."""
    log = store.log(await claimed(store))
    written = await log.append(draft(), Changes(fold=b"one"))
    await log.append(draft())
    found = await store.record(KEY)
    assert (found.fold, found.folded) == (b"one", written.seq)


async def test_a_fold_is_saved_before_its_events_are_forgotten(opened: Any) -> None:
    """However many or large they are: what the fold lacks is still in the log."""
    store = await opened(events=10, bytes=10_000)
    log = store.log(await claimed(store))
    for n in range(100):
        await log.append(draft("x" * (9_000 if n % 37 == 0 else 10)), fold=b"fold".upper)
        found = await store.record(KEY)
        assert found.floor <= found.folded


async def test_threads_are_forgotten_when_they_are_idle(opened: Any) -> None:
    """Those that wait for their user after a longer time; those with commands never."""
    clock = Clock()
    store = await opened(clock)
    for thread_id in ("idle", "asking", "waiting"):
        log = store.log(await claimed(store, thread_id=thread_id))
        pending = ("i",) if thread_id == "asking" else ()
        await log.append(draft(), Changes(pending=pending))
    await store.accept(offer(thread_id="waiting"), most=8, within=30)
    clock.now += 60 * 10**6
    assert await store.expire(61, 100) == 0
    clock.now += 2 * 10**6
    assert await store.expire(61, 100) == 1
    assert await store.record(thread_key("ann", "idle")) is None
    clock.now += 60 * 10**6
    assert await store.expire(61, 100) == 1
    assert await store.record(thread_key("ann", "waiting")) is not None


async def test_a_cancelled_call_is_done_or_not(store: Any) -> None:
    """Never half, and the calls after it are answered."""
    log = store.log(await claimed(store))
    for n in range(20):
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(log.append, draft(n))
                tasks.start_soon(store.record, KEY)
                scope.cancel()
    await log.append(draft("after"))
    places = [each.seq for each in await log.read(0)]
    assert places == list(range(places[0], places[0] + len(places)))
    assert (await store.record(KEY)).last == places[-1] == log.last


async def test_what_is_given_up_can_be_claimed(store: Any) -> None:
    """And renewed as long as it is not."""
    claim = await claimed(store)
    assert await store.renew("server 1")
    await store.release(KEY, claim.record.epoch)
    await store.release(KEY, claim.record.epoch + 7)
    assert (await store.record(KEY)).holder == ""
    assert (await claimed(store, "2")).record.epoch > claim.record.epoch


# --- lists ---


async def test_an_owners_threads_are_listed(opened: Any) -> None:
    """The one to which something has happened last comes first; others' are not there, erased ones no longer."""
    clock = Clock()
    store = await opened(clock)
    log = store.log(await claimed(store, thread_id="a"))
    for thread_id in ("b", "c"):
        clock.now += 1
        accepted = await store.accept(offer(thread_id=thread_id), most=8, within=30)
    await store.claim("bob", "a", holder="s", nonce="1")

    async def ids(**options: Any) -> list[str]:
        return [each.thread_id for each in await store.listed("ann", **{"most": 9, **options})]

    assert await ids() == ["c", "b", "a"]
    clock.now += 1
    await log.append(draft())
    assert await ids() == ["a", "c", "b"]
    clock.now += 1
    await store.cancel(thread_key("ann", "c"), accepted.place)
    assert await ids() == ["c", "a", "b"]
    clock.now += 1
    await log.change(Changes(pending=("i",)))
    assert await ids() == ["a", "c", "b"]
    clock.now += 1
    await store.accept(offer("r2", thread_id="b"), most=8, within=30)
    assert await ids() == ["b", "a", "c"]
    assert await ids(most=1) == ["b"]
    assert await ids(most=0) == await ids(skip=3) == await store.listed("nobody", most=9) == []
    assert await ids(skip=1, most=1) == (await ids())[1:2]
    assert await ids(since=clock.now) == ["b"]
    assert await ids(since=clock.now - 1) == ["b", "a"]
    assert await ids(since=clock.now + 1) == []
    await store.erase(thread_key("ann", "c"))
    assert await ids() == ["b", "a"]
    assert [each.thread_id for each in await store.listed("bob", most=9)] == ["a"]
    clock.now += 100 * 1_000_000
    await store.accept(offer("r3", thread_id="b"), most=8, within=30)
    assert await store.expire(10, 10) == 2
    assert await ids() == ["b"]


async def test_what_a_list_has_of_a_thread(opened: Any) -> None:
    """Enough to know whether it has changed, and to filter by, without what it holds."""
    clock = Clock()
    store = await opened(clock)
    claim = await claimed(store)
    (listed,) = await store.listed("ann", most=9)
    assert (listed.key, listed.thread_id, listed.generation) == (KEY, "t", claim.record.generation)
    assert (listed.touched, listed.last, listed.commands, listed.label) == (clock.now, 0, 0, None)
    log = store.log(claim)
    accepted = await store.accept(offer(), most=8, within=30)
    clock.now += 1
    written = await log.append(draft(), Changes(label=b"\x00label", fold=b"{}"))
    (listed,) = await store.listed("ann", most=9)
    assert (listed.touched, listed.last, listed.commands) == (clock.now, written.seq, 1)
    assert listed.label == b"\x00label"
    await log.change(Changes(done=[accepted.place]))
    (listed,) = await store.listed("ann", most=9)
    assert (listed.commands, listed.label) == (0, b"\x00label")
    await store.erase(KEY)
    await claimed(store, "2")
    assert [each.label for each in await store.listed("ann", most=9)] == [None]


async def test_a_label_is_left_by_whoever_has_read_a_thread(opened: Any) -> None:
    """Only of what it has read: if anything has happened since, it is not what the thread is."""
    clock = Clock()
    store = await opened(clock)
    log = store.log(await claimed(store))

    async def listed() -> Any:
        clock.now += 1
        (found,) = await store.listed("ann", most=9)
        return found

    async def labelled(read: Any, label: bytes = b"read") -> Any:
        await store.label(read, label)
        return (await listed()).label

    old = await listed()
    await log.append(draft())
    assert await labelled(old) is None
    read = await listed()
    await log.change(Changes(pending=("i",)))  # at the same place
    assert await labelled(read) is None
    accepted = await store.accept(offer(), most=8, within=30)
    assert await labelled(await listed()) is None
    await log.change(Changes(done=[accepted.place]))
    assert await labelled(attrs.evolve(await listed(), generation=7)) is None
    read = await listed()
    assert await labelled(read, b"\x00one") == b"\x00one"
    assert await labelled(read, b"two") == b"\x00one"
    assert attrs.evolve(await listed(), label=None) == read  # it has not been touched
    await log.change(Changes(label=b"written"))
    assert await labelled(await listed(), b"two") == await labelled(read, b"two") == b"written"
    await store.erase(KEY)
    await store.label(await listed() if await store.listed("ann", most=9) else read, b"three")
    await claimed(store, "2")
    assert await labelled(read) is None
    assert await store.record(thread_key("ann", "nothing")) is None


async def test_a_label_that_comes_with_a_change_is_too_late(store: Any) -> None:
    """Together with a write to the same thread, whichever comes first: the writer's stands."""
    for n in range(20):
        log = store.log(await claimed(store, f"n{n}", thread_id=f"t{n}"))
        await log.append(draft())
        read = next(each for each in await store.listed("ann", most=99) if each.thread_id == f"t{n}")
        async with anyio.create_task_group() as tasks:
            for call in ((store.label, read, b"read"), (log.change, Changes(label=b"written")))[:: (-1) ** n]:
                tasks.start_soon(*call)
        assert {each.label for each in await store.listed("ann", most=99)} == {b"written"}


async def test_a_thread_is_looked_at(store: Any) -> None:
    """As it stands, with its commands, by one that has not claimed it."""
    assert await store.look(KEY) is None
    log = store.log(await claimed(store))
    accepted = await store.accept(offer(), most=8, within=30)
    written = await log.append(draft(), Changes(pending=("i",)))
    found = await store.look(KEY)
    assert (found.record.last, found.record.pending, found.record.epoch) == (written.seq, ("i",), log.epoch)
    assert [(each.place, each.run_id, each.body) for each in found.inbox] == [(accepted.place, "r1", b"{}")]
    await log.append(draft())  # which has not been fenced


# --- events that are large ---


async def test_an_event_that_is_too_large_is_abridged(opened: Any) -> None:
    """It has its place, its form and its id in the log, which nobody can make larger than it is to be."""
    log = (store := await opened(event=20_000)).log(await claimed(store))
    told: list[Any] = []
    log.on_abridged = lambda draft, size: told.append((draft, size))
    large = draft({"n": 1, "text": "x" * 20_000})
    written = [await log.append(each) for each in (draft(0), large, draft(2))]
    assert [each.seq - written[0].seq for each in written] == [0, 1, 2]
    assert list(await log.read(0)) == list(await store.read(KEY, 0)) == written
    assert all(len(each.body) <= 20_000 for each in written)
    ((whole, size),) = told
    assert whole is large
    assert size > 20_000
    shown = Draft.of(written[1].body)
    assert (written[1].method, written[1].namespace, shown.timestamp) == ("values", ("a:1",), 123)
    assert shown.data["n"] == 1
    assert shown.data["text"].strip("x") == "..."
    assert (shown.extra["node"], shown.extra["abridged"]["bytes"]) == ("n", size)


async def test_the_state_is_saved_with_an_event_that_is_abridged(opened: Any) -> None:
    """It may have more than the event says, and so cannot be made from it later."""
    log = (store := await opened(event=20_000)).log(await claimed(store))
    await log.append(draft(0), fold=lambda: b'"early"')
    assert (await store.record(KEY)).fold is None
    written = await log.append(draft("x" * 20_000), fold=lambda: b'"whole"')
    record = await store.record(KEY)
    assert (record.fold, record.folded) == (b'"whole"', written.seq)


async def test_events_that_are_larger_than_the_log(opened: Any) -> None:
    """It keeps the newest one; whoever keeps up sees each, and nobody waits for ever."""
    log = (store := await opened(bytes=1000)).log(await claimed(store))
    other = (await store.view(await store.look(KEY), follow=True)) if hasattr(store, "view") else log
    seen: dict[int, list[Any]] = {0: [], 1: []}

    async def follow(reader: Any, found: list[Any]) -> None:
        after = 0
        while len(found) < 5:
            await reader.wait(after)
            entries = await reader.read(after)
            found.extend(entries)
            after = entries[-1].seq

    written = []
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow, log, seen[0])
            tasks.start_soon(follow, other, seen[1])
            for n in range(5):
                written.append(await log.append(draft("x" * (2000 + n))))
                await until(lambda: all(len(found) == len(written) for found in seen.values()))
    assert seen == {0: written, 1: written}
    assert list(await store.read(KEY, written[-2].seq)) == written[-1:]
    with pytest.raises(LogGap):
        await store.read(KEY, 0)
