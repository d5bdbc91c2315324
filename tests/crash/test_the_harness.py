"""What the harness is worth: it kills where it says, and names each promise that a gateway breaks on purpose."""

from pathlib import Path

import pytest
from tests.crash.judge import Rule
from tests.crash.rounds import Driver, Ground

pytestmark = pytest.mark.timeout(300)
BREAKS = {
    "answers first": ("issue", Rule.GIVEN_WITHOUT_RECORD),
    "no intent record": ("issue", Rule.ASKED_WITHOUT_RECORD),
    "issues what was revoked": ("revoke_meanwhile", Rule.GIVEN_AFTER_REVOKE),
    "forgets requests": ("repeat", Rule.TWO_GRANTS),
    "ties no token": ("single_use", Rule.TWO_TASKS),
    "sweeps nothing": ("sweep", Rule.ORPHAN_LEFT),
    "revoke answers first": ("revoke_subject", Rule.REVOKED_WITHOUT_RECORD),
    "denies apart": ("revoke_subject", Rule.WITHOUT_DENY),
    "records activations apart": ("activate", Rule.ACTIVATION_NOT_WHOLE),
    "revokes beside activations": ("activate", Rule.ACTIVATION_NOT_WHOLE),
    "forgets what decided": ("activate", Rule.DECIDED_BY_ANOTHER),
}


@pytest.mark.parametrize("mutant", BREAKS)
def test_a_gateway_that_breaks_a_promise_on_purpose_is_caught(mutant: str, driver: Driver, tmp_path: Path) -> None:
    script, rule = BREAKS[mutant]
    ground = Ground(driver, tmp_path / "ledger.db", mutant=mutant)

    ground.sweep_steps(script, stride=2, until=rule)

    assert rule in ground.rules


def test_kills_fall_around_every_statement_every_commit_every_port_and_every_answer(ground: Ground) -> None:
    ground.sweep_steps("repeat")

    assert set(ground.places) >= {
        "before ledger.remembered",
        "STS was asked",
        "before ledger.issue",
        "before SELECT audit_head",
        "before INSERT issuances",
        "before INSERT audit_events",
        "before COMMIT",
        "after COMMIT",
        "before the caller has them",
        "the caller has them",
    }
    assert ground.kills == sum(ground.places.values())
    assert ground.found == set()
