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
    """The policy that the honest ask comes to, without its end."""
    remember_ceilings()
    played = Stage(running_broker, scene).play({"expect": "same"})
    assert isinstance(played.outcome, Given), played.outcome
    return policy_of(played.sent[0])


@pytest.mark.parametrize("name", ATTACKS)
def test_a1_what_an_agent_is_talked_into_gains_it_nothing(broker: Broker, scene: Scene, honest: str, name: str) -> None:
    stage, records = Stage(broker, scene), len(broker.audit())
    for number, step in enumerate(ATTACKS[name]):
        for once in each_time(step):
            try:
                played = stage.play(once)
            except Unsupported as missing:
                pytest.skip(f"this broker has no such verb: {missing}")

            outcome, agent = played.outcome, AGENTS[once.get("as", "copilot")]
            groups = WORLD.people[agent.issuer, once.get("user", "alice")]
            assert became(played, honest) & expected(once), (number, once, outcome)
            assert bool(played.sent) == isinstance(outcome, Given), (number, once, outcome)
            assert [found for each in played.sent if (found := beyond_the_world(each, agent, groups))] == []
            records += once.get("does") != "decision"  # which only looks
            assert [word for word in once.get("hides", ()) if word in outcome.told] == [], (number, outcome)

    assert len(broker.audit()) >= records  # each call left one at least


def test_a1_the_repertoire_says_nothing_that_is_not_played() -> None:
    steps = [step for attack in ATTACKS.values() for step in attack]

    assert {key for step in steps for key in step} == KNOWN
    assert len(ATTACKS) > 50
    assert len(steps) > 150
