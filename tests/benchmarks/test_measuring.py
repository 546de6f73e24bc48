"""What is made of measurements."""

from __future__ import annotations

import pytest

from benchmarks.measuring import CLOCKS, LOOPS, Options, Spread, alternate, differences, ratios, timed, timed_on


def test_a_spread_is_median_least_and_greatest() -> None:
    """Of an odd number of samples the one in the middle, of an even one the mean of the two in the middle."""
    assert Spread.of([5, 1, 2]) == Spread(2, 1, 5)
    assert Spread.of(iter([4, 1, 2, 3])) == Spread(2.5, 1, 4)


def test_a_spread_may_leave_out_what_is_far_out() -> None:
    """Then its ends are the quartiles."""
    assert Spread.quartiles([1, 2, 3, 4, 1000]) == Spread(3, 2, 4)
    assert Spread.quartiles([7]) == Spread(7, 7, 7)


def test_a_spread_is_shown_with_its_ends() -> None:
    """Median first, with as many digits as are asked for."""
    assert Spread(0.5, 0.25, 1).show() == "0.50 (0.25-1.00)"
    assert Spread(0.5, 0.25, 1).show(1) == "0.5 (0.2-1.0)"
    assert Spread(0.04, 0.0375, 0.05).show() == "0.040 (0.037-0.050)"


def test_ratios_are_taken_round_by_round() -> None:
    """A round in which the whole machine was slow changes nothing."""
    assert ratios([1, 20, 3], [2, 40, 6]) == Spread(0.5, 0.5, 0.5)
    assert ratios([1, 4, 9], [1, 2, 3]) == Spread(2, 1, 3)


def test_differences_are_taken_round_by_round() -> None:
    """As ratios are."""
    assert differences([3, 20], [1, 15]) == [2, 5]


def test_ratios_need_the_same_rounds() -> None:
    """A contender that is short of one is refused."""
    with pytest.raises(ValueError, match="longer"):
        ratios([1, 2], [1, 2, 3])


def test_contenders_take_turns_in_a_new_order_each_round() -> None:
    """Each once per round; answers are in the order of the rounds."""
    calls: list[str] = []

    def contender(name: str) -> int:
        calls.append(name)
        return calls.count(name)

    names = "abcdef"
    answers = alternate({name: (lambda name=name: contender(name)) for name in names}, 4)
    rounds = [tuple(calls[first : first + 6]) for first in range(0, 24, 6)]
    assert answers == {name: [1, 2, 3, 4] for name in names}
    assert all(sorted(each) == list(names) for each in rounds)
    assert len(set(rounds)) == 4


def test_only_names_a_section_or_a_row() -> None:
    """Any part of either."""
    assert Options().wants("growth", "depth")
    assert Options(only="growth").wants("growth", "depth")
    assert Options(only="dep").wants("growth", "depth")
    assert not Options(only="memory").wants("growth", "depth")


def test_a_section_is_whole_if_no_row_was_left_out() -> None:
    """Only then may its table replace another one."""
    assert Options().wants_all("growth")
    assert Options(only="grow").wants_all("growth")
    assert not Options(only="depth").wants_all("growth")
    assert not Options(only="growth: depth").wants_all("growth")


def test_time_is_taken_around_the_work() -> None:
    """From before it to after it, by the clock that is given."""
    ticks = iter([10.0, 12.5])
    assert timed(lambda: 7, lambda: next(ticks)).seconds == 2.5


@pytest.mark.parametrize("loop", LOOPS)
def test_time_is_taken_on_each_loop(loop: str) -> None:
    """With what the work found."""

    async def work() -> int:
        return 7

    ticks = iter([10.0, 12.5])
    taken = timed_on(loop, work, lambda: next(ticks))
    assert (taken.seconds, taken.items) == (2.5, 7)


@pytest.mark.parametrize("clock", CLOCKS)
def test_clocks_do_not_go_backwards(clock: str) -> None:
    """Neither of them."""
    assert CLOCKS[clock]() <= CLOCKS[clock]()
