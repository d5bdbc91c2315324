"""One broker for each test process, in its scene: Remit's gateway, or the one that REMIT_ATTACK_BROKER names."""

import importlib
import os
import uuid
from collections.abc import Generator, Iterator
from typing import NoReturn

import pytest
from tests.attack.black_box.broker import COPILOT, Ask, Broker, Scene, StartBroker, Unsupported
from tests.attack.black_box.scene import remember_ceilings
from tests.attack.black_box.scene import scene as made_scene
from tests.attack.black_box.wire import ASK, Call

OURS = "tests.attack.black_box.remit_broker:remit_broker"


def skipped_for_others(missing: Unsupported) -> NoReturn:
    """Skips the running test by the name of the verb that is missing; Remit itself has every verb, and fails."""
    if os.environ.get("REMIT_ATTACK_BROKER", OURS) == OURS:
        raise missing
    pytest.skip(str(missing))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    """Skips what needs a verb that another broker does not have before it can begin."""
    try:
        return (yield)
    except Unsupported as missing:
        skipped_for_others(missing)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Skips what comes upon a verb that another broker does not have."""
    try:
        return (yield)
    except Unsupported as missing:
        skipped_for_others(missing)


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """What the broker finds around it."""
    with made_scene(tmp_path_factory.mktemp("attacked")) as made:
        yield made


@pytest.fixture(scope="session")
def running_broker(scene: Scene) -> Iterator[Broker]:
    """The broker under attack."""
    module, _, name = os.environ.get("REMIT_ATTACK_BROKER", OURS).partition(":")
    start: StartBroker = getattr(importlib.import_module(module), name)
    with start(scene) as broker:
        yield broker


@pytest.fixture
def broker(running_broker: Broker) -> Broker:
    """The broker under attack; the log of invariant I3 is told what this test's roles allow."""
    remember_ceilings()
    return running_broker


@pytest.fixture
def call(broker: Broker, scene: Scene) -> Call:
    """Returns a call that nobody has made yet."""
    ask = Ask(ASK.permissions, request_id=str(uuid.uuid4()))
    wire = broker.on_the_wire(COPILOT, scene.of_user("alice"), ask)
    roots = scene.authority.bundle_path.read_bytes()
    return Call(broker.address, roots, wire.path, tuple(wire.metadata), wire.message)
