"""Budgets of calls: bounded rates, bounded waits, bounded memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit_server.adapters.aws.token_bucket import TokenBuckets


class Time:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def time() -> Time:
    return Time()


def buckets(time: Time, *, rate: float = 2.0, burst: int = 3, max_keys: int = 8) -> TokenBuckets[str]:
    return TokenBuckets(rate=rate, burst=burst, monotonic=time, max_keys=max_keys)


def test_a_burst_goes_ahead_and_the_next_call_is_over_budget(time: Time) -> None:
    budget = buckets(time)

    answers = [budget.reserve("a") for _ in range(4)]

    assert answers == [0.0, 0.0, 0.0, None]


def test_time_refills_at_the_rate_and_never_over_the_burst(time: Time) -> None:
    budget = buckets(time)
    for _ in range(3):
        budget.reserve("a")

    time.seconds += 0.5
    after_half_a_second = [budget.reserve("a"), budget.reserve("a")]
    time.seconds += 3600
    after_an_hour = [budget.reserve("a") for _ in range(4)]

    assert after_half_a_second == [0.0, None]
    assert after_an_hour == [0.0, 0.0, 0.0, None]


def test_those_who_wait_are_served_one_after_the_other(time: Time) -> None:
    budget = buckets(time, rate=2.0, burst=1)

    waits = [budget.reserve("a", max_wait=1.0) for _ in range(4)]

    assert waits == [0.0, 0.5, 1.0, None]


def test_a_refused_call_takes_nothing(time: Time) -> None:
    budget = buckets(time, rate=1.0, burst=1)
    budget.reserve("a")
    for _ in range(50):
        budget.reserve("a")

    time.seconds += 1.0

    assert budget.reserve("a") == 0.0


def test_keys_do_not_share_a_budget(time: Time) -> None:
    budget = buckets(time, burst=1)
    budget.reserve("noisy")

    assert budget.reserve("noisy") is None
    assert budget.reserve("quiet") == 0.0


def test_a_clock_that_stands_still_or_goes_back_gives_no_tokens(time: Time) -> None:
    budget = buckets(time, burst=1)
    budget.reserve("a")

    time.seconds -= 100.0
    gone_back = budget.reserve("a")
    time.seconds += 100.0
    as_it_was = budget.reserve("a")

    assert (gone_back, as_it_was) == (None, None)


def test_a_full_map_refuses_a_new_key_rather_than_forget_what_is_spent(time: Time) -> None:
    budget = buckets(time, burst=1, max_keys=2)
    budget.reserve("a")
    budget.reserve("b")

    refused = budget.reserve("c")
    time.seconds += 1.0
    taken = budget.reserve("c")

    assert refused is None
    assert taken == 0.0
    assert len(budget) == 2


@pytest.mark.parametrize(("rate", "burst", "max_keys"), [(0.0, 1, 1), (-1.0, 1, 1), (float("nan"), 1, 1), (1.0, 0, 1)])
def test_a_budget_without_a_rate_or_a_burst_is_refused(time: Time, rate: float, burst: int, max_keys: int) -> None:
    with pytest.raises(ValueError, match="budget"):
        TokenBuckets[str](rate=rate, burst=burst, monotonic=time, max_keys=max_keys)


@given(
    rate=st.floats(0.1, 100),
    burst=st.integers(1, 20),
    steps=st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 5), st.floats(0, 3)), max_size=60),
)
def test_no_key_ever_gets_more_than_burst_and_rate(
    rate: float, burst: int, steps: list[tuple[str, float, float]]
) -> None:
    time = Time()
    budget = TokenBuckets[str](rate=rate, burst=burst, monotonic=time, max_keys=2)
    served: dict[str, list[float]] = {}

    for key, pause, max_wait in steps:
        time.seconds += pause
        wait = budget.reserve(key, max_wait=max_wait)
        if wait is not None:
            assert wait <= max_wait
            served.setdefault(key, []).append(time.seconds + wait)

    for moments in served.values():
        assert moments == sorted(moments)
        for first, start in enumerate(moments):
            for last in range(first, len(moments)):
                allowed = burst + rate * (moments[last] - start)
                assert last - first + 1 <= allowed + 1e-6
