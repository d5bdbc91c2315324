"""Roles that are opened by tokens of the gateway's own: what their trust must pin, and what the doctor says if not."""

from typing import Any

import pytest

from remit_server.adapters.aws.setup.findings import Findings
from remit_server.adapters.aws.setup.live import LivePrincipal
from remit_server.adapters.aws.setup.policies import ByToken, revoker_trust, role_trust
from remit_server.adapters.aws.setup.trust_checks import Trusted, check_trust
from remit_server.domain.secret import Secret

SUBJECT, HOST = "remit:role/111122223333/remit-data", "remit.acme.example"
PROVIDER = f"arn:aws:iam::111122223333:oidc-provider/{HOST}"
GATEWAY = "arn:aws:iam::111122223333:role/remit-gateway"
BY_TOKEN = Trusted(None, web_identity=(SUBJECT, HOST))


def codes(trust: dict[str, Any], expected: Trusted) -> list[str]:
    role = LivePrincipal("arn:aws:iam::111122223333:role/remit-data", trust, {}, frozenset(), 3600, None)
    findings = Findings(role.arn)
    check_trust(role, expected, findings)
    return [finding.code for finding in findings]


def planned(**changes: Any) -> dict[str, Any]:
    """Returns what the plan writes, with changes to its condition."""
    trust = role_trust(ByToken(PROVIDER, HOST, SUBJECT))
    [statement] = trust["Statement"]
    return {**trust, "Statement": [{**statement, "Condition": {**statement["Condition"], **changes}}]}


def test_what_the_plan_writes_is_right() -> None:
    assert codes(planned(), BY_TOKEN) == []


@pytest.mark.parametrize(
    ("pinned", "found"),
    [
        ({}, ["trust-aud", "trust-sub"]),
        ({f"{HOST}:aud": "sts.amazonaws.com"}, ["trust-sub"]),
        ({f"{HOST}:sub": SUBJECT}, ["trust-aud"]),
        ({f"{HOST}:aud": "sts.amazonaws.com", f"{HOST}:sub": [SUBJECT, "remit:role/1/other"]}, ["trust-sub"]),
        ({f"{HOST}:aud": "sts.amazonaws.com", "other.example:sub": SUBJECT}, ["trust-sub"]),
    ],
)
def test_audience_and_subject_are_pinned_to_one_value_each(pinned: dict[str, Any], found: list[str]) -> None:
    assert codes(planned(StringEquals=pinned), BY_TOKEN) == found


def test_a_subject_like_something_is_not_pinned() -> None:
    like = {
        **planned()["Statement"][0]["Condition"]["StringLike"],
        f"{HOST}:sub": "remit:role/*",
    }

    found = codes(planned(StringEquals={f"{HOST}:aud": "sts.amazonaws.com"}, StringLike=like), BY_TOKEN)

    assert found == ["trust-sub"]


def test_a_further_condition_does_not_weaken_a_pin() -> None:
    assert codes(planned(StringNotEquals={f"{HOST}:sub": "remit:role/1/other"}), BY_TOKEN) == []


def test_remit_revoker_by_token_is_right_as_planned() -> None:
    trust = revoker_trust(ByToken(PROVIDER, HOST, SUBJECT))

    assert codes(trust, Trusted(None, tags=False, web_identity=(SUBJECT, HOST))) == []


@pytest.mark.parametrize(
    ("asked", "own", "found"),
    [
        ("right", Secret("right"), []),
        ("other", Secret("right"), ["external-id-differs"]),
        (None, Secret("right"), ["trust-external-id"]),
        ("right", None, ["external-id-missing"]),
        (None, None, []),
    ],
)
def test_the_external_id_is_compared_and_never_told(asked: str | None, own: Secret | None, found: list[str]) -> None:
    assert codes(role_trust(GATEWAY, asked), Trusted(GATEWAY, external_id=own)) == found


def test_everybody_but_somebody_is_found() -> None:
    allow = {"Effect": "Allow", "Action": "sts:AssumeRole", "NotPrincipal": {"AWS": "arn:aws:iam::1:user/x"}}

    assert "trust-not-principal" in codes({"Statement": [allow]}, Trusted(GATEWAY))


def test_everything_but_something_opens_sessions_without_tags() -> None:
    allow = {"Effect": "Allow", "NotAction": "iam:*", "Principal": {"AWS": GATEWAY}}

    assert "trust-tag-grant" in codes({"Statement": [allow]}, Trusted(GATEWAY))
