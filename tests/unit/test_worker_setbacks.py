"""What follows the loss of a worker."""

import pytest

from remit_server.cli.workers.setbacks import LONGEST_PAUSE, MOST_IN_A_ROW, STEADY_SECONDS, Setbacks


def after(*lives: float) -> Setbacks:
    """Returns what is known of a place whose workers served for so many seconds each."""
    setbacks = Setbacks()
    for served in lives:
        setbacks = setbacks.after_a_loss(served)
    return setbacks


def test_a_place_without_a_loss_waits_for_nothing() -> None:
    assert Setbacks().pause == 0.0
    assert not Setbacks().hopeless


def test_each_early_loss_doubles_the_pause_up_to_the_longest() -> None:
    pauses = [after(*[0.0] * count).pause for count in (1, 2, 3, 4)]

    assert pauses == [0.1, 0.2, 0.4, 0.8]
    assert after(*[0.0] * 100_000).pause == LONGEST_PAUSE


def test_losing_as_many_in_a_row_is_hopeless() -> None:
    assert not after(*[0.0] * (MOST_IN_A_ROW - 1)).hopeless
    assert after(*[0.0] * MOST_IN_A_ROW).hopeless


@pytest.mark.parametrize(("served", "count"), [(STEADY_SECONDS, 1), (STEADY_SECONDS - 0.001, MOST_IN_A_ROW)])
def test_a_worker_that_served_for_a_minute_starts_the_count_anew(served: float, count: int) -> None:
    assert after(*[0.0] * (MOST_IN_A_ROW - 1), served).in_a_row == count
