"""Section 3, who is who: names that could be taken for another's, and lookups by something that two callers share."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.adapters.test_claim_profiles import ENTRA_ACCESS_TOKEN, ENTRA_ISSUER
from tests.configuration_folder import TEXT, ConfigurationFolder
from tests.fakes import REPORTS_ROLE, ROLES, World, entitlement, permission, role, world
from tests.identity_world import AGENTS, identity_world, reason
from tests.svid_forge import COPILOT
from tests.token_forge import HandClock, claims, forge, settings, trusted
from tests.transport.gateway_server import Failure, as_agent, failure_of, issue_message, served

from remit.v1.credential_service_pb2 import EndTaskRequest
from remit.v1.types_pb2 import TaskIntent
from remit_server.adapters.identity.claim_profiles import read_holder
from remit_server.adapters.identity.delegation import DelegationVerification
from remit_server.adapters.identity.oidc import OidcVerifier
from remit_server.adapters.policy.bundles.bundle_files import read_files
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.config.loading import ConfigurationError, load
from remit_server.config.settings import ClaimProfile
from remit_server.domain.errors import Reason
from remit_server.domain.secret import Secret

OTHER_ISSUER = "https://other.example.com"
OTHER_ACCOUNT_ROLE = REPORTS_ROLE.replace("111122223333", "444455556666")


async def refused(call: Any) -> Failure:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return failure_of(raised.value)


# Caches and lookups carry issuer, account and actor (Vault CVE-2025-11621, OpenBao CVE-2026-40264)


async def test_3_cve_2025_11621_a_role_of_the_same_name_in_another_account_is_another_role(tmp_path: Path) -> None:
    theirs = role(OTHER_ACCOUNT_ROLE, actions=["s3:*"], resources=["arn:aws:s3:::reports/*"])
    reading = permission("s3:GetObject", "arn:aws:s3:::reports/2026/*")
    async with (
        world(tmp_path, entitlement("theirs", reading, role_arn=OTHER_ACCOUNT_ROLE), roles=(*ROLES, theirs)) as made,
        served(made, tmp_path) as gateway,
    ):
        answer = await gateway.stub.IssueCredentials(issue_message(), metadata=as_agent())

        (order,) = made.sts.orders
        assert (order.role.arn, order.role.account) == (OTHER_ACCOUNT_ROLE, "444455556666")
        assert answer.grant.role_arn == OTHER_ACCOUNT_ROLE


async def test_3_cve_2025_11621_a_role_of_another_account_that_is_not_configured_is_not_found_by_its_name(
    tmp_path: Path,
) -> None:
    reading = permission("s3:GetObject", "arn:aws:s3:::reports/2026/*")
    async with (
        world(tmp_path, entitlement("theirs", reading, role_arn=OTHER_ACCOUNT_ROLE)) as made,
        served(made, tmp_path) as gateway,
    ):
        failure = await refused(gateway.stub.IssueCredentials(issue_message(), metadata=as_agent()))

        assert failure.info.reason == "POLICY_UNAVAILABLE"
        assert made.sts.orders == []


async def test_3_cve_2026_40264_the_same_request_id_of_two_actors_is_two_requests(tmp_path: Path) -> None:
    async with world(tmp_path) as made, served(made, tmp_path) as gateway:
        made.user("alice", made.agent("scribe"))

        first = await gateway.stub.IssueCredentials(issue_message(), metadata=as_agent())
        second = await gateway.stub.IssueCredentials(
            issue_message(subject_token="alice@scribe"), metadata=as_agent("scribe")
        )

        assert first.grant.name != second.grant.name
        assert first.grant.task_id != second.grant.task_id
        assert (first.grant.actor, second.grant.actor) == ("corp:copilot", "corp:scribe")


async def test_3_cve_2026_40264_the_same_request_id_for_another_user_is_refused_and_gives_nothing_of_the_first(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as made, served(made, tmp_path) as gateway:
        made.user("bob", made.copilot)
        first = await gateway.stub.IssueCredentials(issue_message(), metadata=as_agent())

        failure = await refused(
            gateway.stub.IssueCredentials(issue_message(subject_token="bob@copilot"), metadata=as_agent())
        )

        assert failure.info.reason == "INVALID_REQUEST"
        assert first.grant.task_id not in failure.message
        assert len(made.sts.orders) == 1


def with_jti(made: World, user: str, issuer: str, agent: str = "copilot") -> str:
    """Makes a single-use token known whose jti is `1`, and returns it."""
    made.user(user, made.identity.actors[agent], token_id="1", single_use=True)
    known = made.identity.subjects[f"{user}@{agent}"]
    made.identity.subjects[f"{user}@{agent}"] = replace(known, subject=replace(known.subject, issuer=issuer))
    return f"{user}@{agent}"


async def test_3_cve_2025_11621_the_same_jti_at_two_issuers_is_two_tokens_and_at_one_issuer_is_one(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as made, served(made, tmp_path) as gateway:
        tokens = [
            with_jti(made, user, issuer)
            for user, issuer in (
                ("ann", "https://a.example"),
                ("ben", "https://b.example"),
                ("cem", "https://a.example"),
            )
        ]
        ids = [f"4c1b7d52-3f0e-4a4e-9a3a-{number:012d}" for number in range(3)]
        messages = [issue_message(request_id=ids[n], subject_token=token) for n, token in enumerate(tokens)]

        for message in messages[:2]:
            assert (await gateway.stub.IssueCredentials(message, metadata=as_agent())).grant.name
        failure = await refused(gateway.stub.IssueCredentials(messages[2], metadata=as_agent()))

        assert failure.info.reason == "TOKEN_REPLAYED"


async def test_3_cve_2025_11621_the_same_client_id_at_another_issuer_is_another_client() -> None:
    clock = HandClock()
    other = settings(issuer=OTHER_ISSUER, alias="other")
    verifier = OidcVerifier([trusted(settings(), clock), trusted(other, clock)], clock)
    verify = DelegationVerification(AGENTS, verifier)
    copilot = await identity_world().by_certificate(COPILOT)

    ours = await verify(Secret(forge(claims())), copilot)
    theirs = await reason(verify(Secret(forge(claims(iss=OTHER_ISSUER))), copilot))

    assert ours.subject.alias == "idp"
    assert theirs is Reason.TOKEN_NOT_BOUND


async def test_3_cve_2025_11621_the_same_subject_at_another_issuer_is_another_person(tmp_path: Path) -> None:
    async with world(tmp_path) as made, served(made, tmp_path) as gateway:
        first = await gateway.stub.IssueCredentials(issue_message(), metadata=as_agent())
        known = made.identity.subjects["alice@copilot"]
        elsewhere = replace(known, subject=replace(known.subject, issuer=OTHER_ISSUER))
        made.identity.subjects["alice@copilot"] = elsewhere

        joining = issue_message(request_id="4c1b7d52-3f0e-4a4e-9a3a-000000000001", task_id=first.grant.task_id)
        failure = await refused(gateway.stub.IssueCredentials(joining, metadata=as_agent()))

        assert failure.info.reason == "NOT_FOUND"
        assert len(made.sts.orders) == 1


async def test_3_cve_2026_40264_a_task_of_another_actor_looks_like_one_that_is_not_there(tmp_path: Path) -> None:
    async with world(tmp_path) as made, served(made, tmp_path) as gateway:
        made.user("alice", made.agent("scribe"))
        theirs = (await gateway.stub.IssueCredentials(issue_message(), metadata=as_agent())).grant.task_id

        def failures(task_id: str) -> list[Any]:
            joining = issue_message(
                request_id=f"4c1b7d52-3f0e-4a4e-9a3a-{len(task_id + theirs) + (task_id == theirs):012d}",
                subject_token="alice@scribe",
                task_id=task_id,
            )
            end = gateway.stub.EndTask(EndTaskRequest(task_id=task_id), metadata=as_agent("scribe"))
            return [end, gateway.stub.IssueCredentials(joining, metadata=as_agent("scribe"))]

        existing = [await refused(call) for call in failures(theirs)]
        missing = [await refused(call) for call in failures("a" * 26)]

        assert [(one.code, one.message, one.info) for one in existing] == [
            (one.code, one.message, one.info) for one in missing
        ]
        assert {one.info.reason for one in existing} == {"NOT_FOUND"}
        assert "task_ended" not in await made.trail()


# What a client writes is never part of a name (aws-iam-authenticator CVE-2022-2385)


async def test_3_cve_2022_2385_nothing_that_a_client_wrote_is_in_the_names_that_aws_sees(tmp_path: Path) -> None:
    async with world(tmp_path) as made, served(made, tmp_path) as gateway:
        intent = issue_message().intent
        mine = TaskIntent(purpose="root-marker", permissions=intent.permissions, labels={"marker": "admin-marker"})

        await gateway.stub.IssueCredentials(issue_message(intent=mine), metadata=as_agent())

        (order,) = made.sts.orders
        named = f"{order.session_name} {order.source_identity} {order.tags} {order.role.arn}"
        assert "marker" not in named + order.session_policy
        assert order.session_name.isalnum()
        assert order.source_identity == "corp.alice"


# Names that could be another's ("Sleeper Squats": ids joined by what an id may hold)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ConfigurationFolder:
    return ConfigurationFolder.create(tmp_path_factory.mktemp("configuration"))


def mistakes(path: Path) -> dict[str, str]:
    with pytest.raises(ConfigurationError) as raised:
        load(path, {})
    return {mistake.place: mistake.problem for mistake in raised.value.mistakes}


def test_3_sleeper_squats_no_issuers_agents_can_be_named_like_a_workload_of_a_trust_domain(
    folder: ConfigurationFolder,
) -> None:
    """`<alias>:<subject>` with the alias `spiffe` and the subject `//acme.example/copilot` would be its SPIFFE ID."""
    found = mistakes(folder.write(TEXT.replace('alias = "acme"', 'alias = "spiffe"')))

    assert "issuers[0].alias" in found


def test_3_sleeper_squats_one_file_of_authorities_vouches_for_one_trust_domain(folder: ConfigurationFolder) -> None:
    """Otherwise the authority of one domain could sign SVIDs of the other (SPIFFE Trust Domain and Bundle, 4)."""
    found = mistakes(folder.write(TEXT.replace('["acme.example"]', '["acme.example", "partner.example"]')))

    assert "listen.mtls.trust_domains" in found


@pytest.mark.parametrize("verified", [False, "true", None, 1])
def test_3_cve_2022_2385_an_address_that_nobody_verified_is_never_the_source_identity(verified: object) -> None:
    claimed: dict[str, Any] = {"sub": "00u-mallory", "email": "ceo@acme.example", "email_verified": verified}

    holder = read_holder(replace(settings(), source_claim="email"), claimed)

    assert holder.source_id is None


def test_3_cve_2022_2385_an_address_of_entra_is_the_source_identity_only_when_its_domain_is_vouched_for() -> None:
    entra = settings(issuer=ENTRA_ISSUER, profile=ClaimProfile.ENTRA, source_claim="email")
    claimed = {**ENTRA_ACCESS_TOKEN, "email": "ceo@acme.example"}

    loose, vouched = read_holder(entra, claimed), read_holder(entra, {**claimed, "xms_edov": True})

    assert loose.source_id is None
    assert vouched.source_id == "ceo@acme.example"


# Files that anybody may change decide nothing (O3, O4)


def test_o4_a_policy_folder_that_everyone_may_change_is_refused(tmp_path: Path) -> None:
    made = ConfigurationFolder.create(tmp_path)
    (tmp_path / "policies").chmod(0o777)

    assert "policy.bundle" in mistakes(made.write())


def test_o4_a_policy_file_that_everyone_may_change_is_refused(tmp_path: Path) -> None:
    rules = tmp_path / "remit.rego"
    rules.write_text("package remit")
    rules.chmod(0o666)

    with pytest.raises(BundleRefused, match=r"remit\.rego"):
        read_files(tmp_path)
