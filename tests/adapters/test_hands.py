import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from remit_server.adapters.database.engine.hands import Hands, HandsFull


@pytest.fixture
def hands() -> Iterator[Hands]:
    one = Hands(1, "hand")
    yield one
    one.rest()


def breaks() -> None:
    raise ZeroDivisionError


def stops() -> None:
    raise StopIteration


def cancel(answer: asyncio.Future[Any]) -> None:
    answer.cancel()


def fail(answer: asyncio.Future[Any]) -> None:
    answer.set_exception(TimeoutError())
    answer.exception()


async def test_work_is_done_in_a_thread_of_that_name_and_its_result_comes_back(hands: Hands) -> None:
    name = await hands.do(lambda: threading.current_thread().name)

    assert name == "hand_0"


async def test_what_the_work_raises_is_raised_where_it_was_asked_for(hands: Hands) -> None:
    with pytest.raises(ZeroDivisionError):
        await hands.do(breaks)

    assert await hands.do(lambda: "goes on") == "goes on"


async def test_work_that_raises_stop_iteration_fails_as_a_coroutine_would(hands: Hands) -> None:
    asked = hands.do(stops)

    await asyncio.wait([asked], timeout=60)

    assert asked.done()
    with pytest.raises(RuntimeError, match="StopIteration"):
        asked.result()


@pytest.mark.parametrize("give_up", [cancel, fail])
async def test_what_is_given_up_before_its_turn_is_not_done(
    hands: Hands, give_up: Callable[[asyncio.Future[Any]], None]
) -> None:
    done: list[str] = []
    go_on = threading.Event()
    first = hands.do(go_on.wait)
    given_up, kept = hands.do(lambda: done.append("given up")), hands.do(lambda: done.append("kept"))

    give_up(given_up)
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


async def test_more_work_than_may_wait_is_refused_until_there_is_room() -> None:
    hands, begun, go_on = Hands(1, "hand", most_waiting=2), threading.Event(), threading.Event()

    def waits() -> bool:
        begun.set()
        return go_on.wait()

    first = hands.do(waits)
    await asyncio.to_thread(begun.wait)
    waiting = [hands.do(lambda: True) for _ in range(2)]

    with pytest.raises(HandsFull):
        hands.do(lambda: True)
    go_on.set()
    await asyncio.gather(first, *waiting)

    assert await hands.do(lambda: "room") == "room"
    hands.rest()


async def test_a_thread_that_cannot_be_started_refuses_its_work_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    hands, done = Hands(1, "hand"), list[str]()

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError, match="can't start"):
            hands.do(lambda: done.append("refused"))

    async with asyncio.timeout(60):
        await hands.do(lambda: done.append("done"))
    hands.rest()
    assert done == ["done"]


async def test_nothing_is_done_after_they_rested() -> None:
    hands = Hands(2, "hand")
    await hands.do(lambda: None)
    await asyncio.to_thread(hands.rest)

    with pytest.raises(RuntimeError, match="were ended"):
        hands.do(lambda: None)
