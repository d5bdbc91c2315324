"""The broker on the live sandbox: one task for all who wish for the same, and what is told when there is none."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.e2e.machines import Machine, machine

import remit
from remit.local.broker import Broker, HeldState, Keeping
from remit.local.wishes import Caller, Options, Wish, wish_of
from remit_sandbox.sandbox import Sandbox


@pytest.fixture
def caller(sandbox: Sandbox, tmp_path: Path, alice_token: str) -> Caller:
    mine: Machine = machine(sandbox, tmp_path, alice_token)
    return Caller.of(mine.environ)


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(Keeping(restarts=True)) as broker:
        yield broker


def wished(caller: Caller, profile: str = "reports") -> Wish:
    return wish_of(Options(profile=profile), caller.settings)


def test_fifty_who_ask_at_once_get_one_task(broker: Broker, caller: Caller) -> None:
    held = [broker.hold(wished(caller), caller) for _ in range(50)]
    with ThreadPoolExecutor(50) as pool:
        keys = {found.access_key_id for found in pool.map(lambda each: each.credentials(), held)}

    assert len(keys) == 1
    assert [each.status().state for each in broker.all()] == [HeldState.LIVE]


def test_a_refusal_is_shared_remembered_and_asked_again_later(broker: Broker, caller: Caller) -> None:
    held = broker.hold(wished(caller, "payroll"), caller)
    with ThreadPoolExecutor(20) as pool:
        failures = [future.exception() for future in [pool.submit(held.credentials) for _ in range(20)]]

    assert all(isinstance(failure, remit.Refused) for failure in failures)
    assert len(broker.failures()) == 1
    assert broker.failures()[0].error is failures[0]
    assert held.status().state is HeldState.REFUSED


def test_what_was_ended_gives_nothing_more_and_another_wish_begins_anew(broker: Broker, caller: Caller) -> None:
    first = broker.hold(wished(caller), caller)
    first.credentials()

    task_id = broker.end(first)

    assert task_id is not None
    with pytest.raises(remit.TaskOver):
        first.credentials()
    second = broker.hold(wished(caller), caller)
    second.credentials()
    assert second.status().task_id != task_id


def test_a_broker_that_closes_ends_what_it_holds(caller: Caller) -> None:
    with Broker() as broker:
        held = broker.hold(wished(caller), caller)
        held.credentials()
        task_id = held.status().task_id
        assert task_id is not None

    assert held.status().state is HeldState.OVER
    with pytest.raises(remit.TaskOver):
        held.credentials()


def test_tasks_are_held_up_to_a_number(caller: Caller) -> None:
    with Broker(most_tasks=1) as broker:
        broker.hold(wished(caller), caller).credentials()

        with pytest.raises(remit.RemitError) as raised:
            broker.hold(wished(caller, "brief"), caller)

    assert raised.value.reason == "TOO_MANY_TASKS"


def test_a_refused_wish_makes_room(caller: Caller) -> None:
    with Broker(most_tasks=1) as broker:
        with pytest.raises(remit.Refused):
            broker.hold(wished(caller, "payroll"), caller).credentials()

        assert broker.hold(wished(caller), caller).credentials().access_key_id.startswith("ASIA")
