import asyncio
import threading
from collections.abc import Iterator

import pytest

from remit_server.adapters.database.engine.hands import Hands


@pytest.fixture
def hands() -> Iterator[Hands]:
    one = Hands(1, "hand")
    yield one
    one.rest()


def breaks() -> None:
    raise ZeroDivisionError


async def test_work_is_done_in_a_thread_of_that_name_and_its_result_comes_back(hands: Hands) -> None:
    name = await hands.do(lambda: threading.current_thread().name)

    assert name == "hand_0"


async def test_what_the_work_raises_is_raised_where_it_was_asked_for(hands: Hands) -> None:
    with pytest.raises(ZeroDivisionError):
        await hands.do(breaks)

    assert await hands.do(lambda: "goes on") == "goes on"


async def test_what_is_cancelled_before_its_turn_is_not_done(hands: Hands) -> None:
    done: list[str] = []
    go_on = threading.Event()
    first = hands.do(go_on.wait)
    given_up, kept = hands.do(lambda: done.append("given up")), hands.do(lambda: done.append("kept"))

    given_up.cancel()
    go_on.set()
    await asyncio.gather(first, kept)

    assert done == ["kept"]


async def test_resting_waits_for_what_was_asked_for() -> None:
    hands, done = Hands(2, "hand"), list[int]()
    asked = [hands.do(lambda number=number: done.append(number)) for number in range(50)]  # type: ignore[misc]

    await asyncio.to_thread(hands.rest)

    assert sorted(done) == list(range(50))
    await asyncio.gather(*asked)


def test_work_whose_loop_has_gone_ends_no_thread() -> None:
    hands, go_on = Hands(1, "hand"), threading.Event()

    async def ask() -> None:
        hands.do(go_on.wait)

    asyncio.run(ask())
    go_on.set()

    async def ask_again() -> str:
        return await hands.do(lambda: "still there")

    assert asyncio.run(ask_again()) == "still there"
    hands.rest()
