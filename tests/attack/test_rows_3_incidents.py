"""Section 3, what went wrong elsewhere and has no other row: rules, policies, people who confirm, trust policies.

Tokens are in `test_rows_2b_tokens.py`, who is taken for whom in `test_rows_3_identities.py`, what is tried at the
gateway as it is shipped in `black_box/test_incidents.py`; README.md has the whole table.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.approval_world import LEA, approving
from tests.fake_opa import HASTY, FakeOpa, engine_with, fake_opa
from tests.fakes import READ_REPORTS, permission
from tests.identity_world import identity_world, reason, robot_token
from tests.issuing_world import IssuingWorld, issuing_world
from tests.policy_bundles import DENY_ALL, bundle_of, told_to
from tests.unit.test_aws_trust_checks import GATEWAY, codes

from remit_server.adapters.aws.setup.trust_checks import Trusted
from remit_server.adapters.opa.engine import OpaRefused
from remit_server.config.settings import AgentSettings
from remit_server.domain.entitlement import Bind
from remit_server.domain.errors import Reason

Q3 = permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/*")


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[IssuingWorld]:
    async with issuing_world(tmp_path) as made:
        yield made


# Rules that match more than they seem to


def named(subject: str) -> Any:
    """Returns who calls agents are, when one is configured by this subject."""
    return identity_world(agents=[AgentSettings(agent="robot", issuer="https://agents.example.com", subject=subject)])


@pytest.mark.parametrize("attacker", ["main-attacker", "attacker-develop", "main", "develop"])
async def test_3_octo_sts_1643_alternatives_in_a_rule_are_the_letters_that_they_are(attacker: str) -> None:
    """`"^" + "main|develop" + "$"` is anchored at one side of each alternative only."""
    world = named("main|develop")

    assert await reason(world.by_token(robot_token(sub=attacker))) is Reason.ACTOR_REJECTED
    assert (await world.by_token(robot_token(sub="main|develop"))).agent == "robot"


@pytest.mark.parametrize("rule", ["a)|(", "a)|(.*", "(", ")", "(?:", "[", "\\"])
async def test_3_octo_sts_901_a_bracket_in_a_rule_closes_nothing_around_it(rule: str) -> None:
    """A `)` that closes the group around the rule allowed everybody, and was valid."""
    world = named(rule)

    for anybody in ("attacker", "a", rule[:-1] or "x", f"{rule}x"):
        assert await reason(world.by_token(robot_token(sub=anybody))) is Reason.ACTOR_REJECTED
    assert (await world.by_token(robot_token(sub=rule))).agent == "robot"


# OPA


@pytest.mark.parametrize("version", ["1.21.2", "1.20.0", "1.2.3", "0.70.0", "1.21", "", "v1.21.3", "1.21.3-dev", "?"])
async def test_3_ghsa_g2pf_6v5v_qcc8_only_an_opa_that_cannot_be_side_stepped_is_asked(
    tmp_path: Path, version: str
) -> None:
    """Before 1.21.3 a bundle could name the key that it was to be verified with."""
    bundle = bundle_of(tmp_path, DENY_ALL)
    async with fake_opa(bundle.revision) as opa:
        opa.version = version

        with pytest.raises(OpaRefused):
            async with engine_with(opa, bundle):
                pass


@pytest.mark.parametrize("text", ["//admin", "//evil.example/v1/data", "http://evil.example", "\r\nHost: evil.example"])
async def test_3_cve_2026_26205_no_text_of_a_caller_is_in_the_path_or_the_host_that_opa_is_asked_at(
    tmp_path: Path, text: str
) -> None:
    """`//admin` was read as an authority: the rules saw another path than the server."""
    bundle = bundle_of(tmp_path, DENY_ALL)
    async with fake_opa(bundle.revision) as opa, engine_with(opa, bundle, HASTY) as engine:
        await asked_at(opa, engine, "harmless")

        plain, crafted = await asked_at(opa, engine, "harmless"), await asked_at(opa, engine, text)

        assert crafted == plain


async def asked_at(opa: FakeOpa, engine: Any, text: str) -> list[str]:
    """Has OPA asked about a text; returns the head that it saw, without what counts the body."""
    before = len(opa.heads)
    await engine.decide(engine.active, told_to(text))
    (head,) = opa.heads[before:]
    return [line for line in head.split("\r\n") if not line.lower().startswith("content-length")]


# What is sent is made anew


async def test_3_cve_2020_16250_what_reaches_sts_is_written_anew_and_not_what_the_caller_wrote(
    gateway: IssuingWorld,
) -> None:
    """Vault trusted answers that attackers had shaped, and so CVE-2020-16251: reconstruct rather than check."""
    listing = permission("s3:ListBucket", "arn:aws:s3:::reports")

    await gateway.issued(Q3, listing)
    await gateway.issued(listing, Q3)
    await gateway.issued(
        Q3, listing, Q3, permission(["s3:GetObject", "s3:GetObject"], ["arn:aws:s3:::reports/2026/q3/*"])
    )

    texts = {json.dumps(policy, sort_keys=True) for policy in map(timeless, gateway.policies)}
    assert len(texts) == 1
    for request in gateway.sent:
        assert request.policy == json.dumps(json.loads(request.policy), separators=(",", ":"), ensure_ascii=False)


def timeless(policy: dict[str, Any]) -> list[Any]:
    """Returns a session policy's statements without its time guard."""
    return [each for each in policy["Statement"] if "DateGreaterThanEquals" not in each.get("Condition", {})]


# What a leaked session is worth


BOUND = {
    "networks": (Bind(("10.0.0.0/8",)), '"NotIpAddressIfExists": {"aws:SourceIp": "10.0.0.0/8"}'),
    "VPCs": (Bind((), ("vpc-0123abcd",)), '"StringNotEqualsIfExists": {"aws:SourceVpc": "vpc-0123abcd"}'),
}


@pytest.mark.parametrize("name", BOUND)
async def test_3_cve_2025_30066_a_session_in_a_build_log_ends_soon_and_works_from_its_own_network_only(
    tmp_path: Path, name: str
) -> None:
    """tj-actions printed live session keys into public logs."""
    bind, expected = BOUND[name]
    async with issuing_world(tmp_path, replace(READ_REPORTS, bind=bind)) as gateway:
        await gateway.issued(Q3, requested_duration=timedelta(seconds=30))

        (policy,) = gateway.policies
        denies = [each for each in policy["Statement"] if each["Effect"] == "Deny" and each.get("Resource") == "*"]
        conditions = json.dumps([each["Condition"] for each in denies if each.get("Action") == "*"])
        end = (gateway.world.clock.now() + timedelta(seconds=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert expected in conditions
        assert f'"DateGreaterThanEquals": {{"aws:CurrentTime": "{end}"}}' in conditions


# People who confirm


@pytest.mark.parametrize("digest", ["-", "0" * 64, "another's"])
async def test_3_cve_2026_33757_nobody_confirms_what_they_were_not_shown(tmp_path: Path, digest: str) -> None:
    """OpenBao's direct callback confirmed a login that nobody had looked at: here a yes names what it is about."""
    async with approving(tmp_path) as people:
        mine = await people.asked()
        other = people.gateway.request(permission("s3:GetObject", "arn:aws:s3:::reports/2026/q2/*"))
        theirs = await people.asked(other)
        shown = theirs.approval.digest if digest == "another's" else digest

        error = await people.not_taken(LEA, mine.approval, digest=shown)

        assert error.reason is Reason.APPROVAL_CHANGED
        assert people.gateway.sts.orders == []
        assert "approval_decided" not in await people.gateway.trail()


# Trust policies of roles

HUB, OIDC = "token.actions.githubusercontent.com", "arn:aws:iam::111122223333:oidc-provider"
TAGGED = {"StringLike": {"aws:RequestTag/remit:grant": "?*.?*.?*", "aws:RequestTag/remit:by": "?*.?*"}}
CARELESS: dict[str, dict[str, Any]] = {
    "no sub": {"StringEquals": {f"{HUB}:aud": "sts.amazonaws.com"}},
    "a whole organisation": {
        "StringEquals": {f"{HUB}:aud": "sts.amazonaws.com"},
        "StringLike": {f"{HUB}:sub": "repo:acme/*"},
    },
    "nothing": {},
}


@pytest.mark.parametrize("name", CARELESS)
def test_3_unc6426_the_doctor_finds_a_role_that_a_whole_forge_may_open(name: str) -> None:
    """From an npm package to an AWS administrator in 72 hours, by a trust policy without `sub`."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": f"{OIDC}/{HUB}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": CARELESS[name],
    }
    trust = {"Version": "2012-10-17", "Statement": [statement]}

    by_gateway, by_token = codes(trust, Trusted(GATEWAY)), codes(trust, Trusted(None, web_identity=("repo:x", HUB)))

    assert {"trust-federated", "trust-source-identity", "trust-tag-grant", "trust-tag-by"} <= set(by_gateway)
    assert "trust-sub" in by_token
