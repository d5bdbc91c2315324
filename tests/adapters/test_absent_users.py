"""Whose users may be acted for while they are not there."""

from typing import Any

import pytest
from tests.identity_world import AGENTS_ISSUER, CI_ISSUER, identity_world
from tests.token_forge import ISSUER


@pytest.mark.parametrize(
    ("issuer", "changes", "accepted"),
    [
        (ISSUER, {}, True),
        (ISSUER, {"single_use": True}, True),
        (ISSUER, {"subjects": False, "actors": True}, False),
        (ISSUER, {"bind_expiry": True}, False),
        (AGENTS_ISSUER, {}, False),
        (CI_ISSUER, {}, False),
        ("https://was-trusted.example", {}, False),
        (ISSUER.upper(), {}, False),
    ],
)
def test_users_of_issuers_that_still_vouch_for_people_and_bind_nothing_to_their_tokens(
    issuer: str, changes: dict[str, Any], *, accepted: bool
) -> None:
    verify = identity_world(**changes).verify_delegation

    assert verify.accepts_offline(issuer) is accepted
