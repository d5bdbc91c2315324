"""A1 and its neighbours: everything that an agent says and asks after somebody has talked it into it."""

import pytest
from tests.attack.black_box.broker import WORLD, Broker, Given, Scene, Unsupported
from tests.attack.black_box.repertoire import (
    AGENTS,
    ATTACKS,
    KNOWN,
    Stage,
    became,
    beyond_the_world,
    each_time,
    expected,
    policy_of,
)
from tests.attack.black_box.scene import remember_ceilings


@pytest.fixture(scope="module")
def honest(running_broker: Broker, scene: Scene) -> str:
    """The policy that the honest ask comes to, without its end; nothing, which fails the first attack, if refused."""
    remember_ceilings()
    played = Stage(running_broker, scene).play({"expect": "same"})
    return policy_of(played.sent[0]) if isinstance(played.outcome, Given) else ""


def recorded(broker: Broker) -> int | None:
    """Returns how many records there are; None: there is no trail to read, and the rest is tried all the same."""
    try:
        return len(broker.audit())
    except Unsupported:
        return None


@pytest.mark.parametrize("name", ATTACKS)
def test_a1_what_an_agent_is_talked_into_gains_it_nothing(broker: Broker, scene: Scene, honest: str, name: str) -> None:
    stage, before, calls = Stage(broker, scene), recorded(broker), 0
    for number, step in enumerate(ATTACKS[name]):
        for once in each_time(step):
            played = stage.play(once)

            outcome, agent = played.outcome, AGENTS[once.get("as", "copilot")]
            groups = WORLD.people[agent.issuer, once.get("user", "alice")]
            assert became(played, honest) & expected(once), (number, once, outcome)
            assert bool(played.sent) == isinstance(outcome, Given), (number, once, outcome)
            assert [found for each in played.sent if (found := beyond_the_world(each, agent, groups))] == []
            calls += once.get("does") != "decision"  # which only looks
            assert [word for word in once.get("hides", ()) if word in outcome.told] == [], (number, outcome)

    assert before is None or len(broker.audit()) >= before + calls  # each call left one at least


def test_a1_the_repertoire_says_nothing_that_is_not_played() -> None:
    steps = [step for attack in ATTACKS.values() for step in attack]

    assert {key for step in steps for key in step} == KNOWN
    assert len(ATTACKS) > 50
    assert len(steps) > 150
