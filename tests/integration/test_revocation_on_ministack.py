"""Revocation on an account that enforces policies: who is revoked is refused, and everybody else goes on working."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from botocore.exceptions import ClientError
from tests.fake_outbox import FakeOutbox
from tests.revocation_world import part

from remit_sandbox.aws_client import AwsKeys
from remit_sandbox.local_aws import LocalAws
from remit_sandbox.sample_account import SampleAccount, role_policies
from remit_server.adapters.aws.revoking.canary import AwsCanary
from remit_server.adapters.aws.revoking.iam_policies import IamRevocationPolicies
from remit_server.adapters.aws.revoking.query import QueryCalls
from remit_server.adapters.aws.revoking.revoker import RevocationNames, RevokerKeys, account_places
from remit_server.adapters.aws.sts import AwsSts
from remit_server.adapters.system_clock import SystemClock, system_entropy
from remit_server.application.revocation.account_writer import AccountWriter, Parts
from remit_server.application.revocation.canaries import Canaries
from remit_server.application.revocation.ports import NotWritten
from remit_server.application.revocation.texts import lines_of, mark_of_ledger, policy_text
from remit_server.config.settings import AwsSettings
from remit_server.domain.entitlement import Role
from remit_server.domain.revocation import DenyTag, SessionDeny
from remit_server.domain.secret import Secret
from remit_server.iam import Document

ACCOUNT = "111122223333"


@dataclass
class Agent:
    """One session of a role, tagged as Remit tags it."""

    s3: Any
    grant: str
    by: str
    opened: datetime

    def works(self) -> bool:
        try:
            self.s3.get_object(Bucket="reports", Key="2026/q3/revenue.csv")
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDenied":
                raise
            return False
        return True

    def deny(self, number: int, **changes: Any) -> SessionDeny:
        """Returns the deny of this session's grant, or another one with some of its values."""
        own = SessionDeny(
            number=number,
            account=ACCOUNT,
            tag=DenyTag.GRANT,
            pattern=self.grant,
            subject=self.grant.partition(".")[0],
            issued_before=None,
            last_issued=self.opened,
            covers_until=self.opened + timedelta(minutes=15),
            required=True,
            revoke_time=datetime.now(UTC),
        )
        return replace(own, **changes)


@dataclass
class Account:
    """A local account, its outbox, and the real parts that bring the one to the other."""

    aws: LocalAws
    sample: SampleAccount
    outbox: FakeOutbox
    policies: IamRevocationPolicies
    canaries: Canaries
    clock: SystemClock

    def writer(self) -> AccountWriter:
        return AccountWriter(ACCOUNT, Parts(self.outbox, self.policies, self.canaries, self.clock, "test"))

    def agent(self, *, subject: int = 1, task: int = 1, grant: int = 1, actor: int = 1, revision: int = 1) -> Agent:
        tag, by = f"{part(subject)}.{part(task)}.{part(grant)}", f"{part(actor)}.{part(revision)}"
        answer = self.aws.client("sts", self.sample.gateway_keys).assume_role(
            RoleArn=self.sample.role_arns["remit-reports"],
            RoleSessionName=f"task-{uuid.uuid4().hex}",
            DurationSeconds=900,
            Tags=[{"Key": "remit:grant", "Value": tag}, {"Key": "remit:by", "Value": by}],
            Policy=role_policies()["remit-reports"],
        )["Credentials"]
        keys = AwsKeys(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])
        opened = answer["Expiration"].astimezone(UTC) - timedelta(seconds=900)
        return Agent(self.aws.client("s3", keys), tag, by, opened)

    async def deny(self, *denies: SessionDeny) -> None:
        self.outbox.want(*denies)
        await self.writer()()

    async def observed(self) -> list[tuple[object, ...]]:
        async with asyncio.timeout(30):
            while self.canaries.watches:  # noqa: ASYNC110 - a watch has no event of its own
                await asyncio.sleep(0.01)
        return self.outbox.told("observed")


@pytest_asyncio.fixture(loop_scope="function")
async def account(local_aws: LocalAws, sample_account: SampleAccount) -> AsyncIterator[Account]:
    clock = SystemClock()
    keys = sample_account.gateway_keys
    settings = AwsSettings(
        region="eu-central-1",
        endpoint_url=local_aws.endpoint_url,
        access_key_id=keys.access_key_id,
        secret_access_key=Secret(keys.secret_access_key),
    )
    roles = [
        Role(arn, "eu-central-1", Document.parse(role_policies()[name]), timedelta(hours=1))
        for name, arn in sample_account.role_arns.items()
    ]
    places = account_places(roles, RevocationNames())
    sts = AwsSts(settings, [*roles, *(place.revoker for place in places.values())], clock=clock)
    calls = QueryCalls(clock)
    policies = IamRevocationPolicies(places, calls, RevokerKeys(places, sts, clock), local_aws.endpoint_url)
    outbox = FakeOutbox(clock)
    canary = AwsCanary(roles, sts, calls, clock, local_aws.endpoint_url)
    canaries = Canaries(canary, outbox, clock, system_entropy, "test")
    yield Account(local_aws, sample_account, outbox, policies, canaries, clock)
    await canaries.close()
    await calls.close()
    await sts.close()
    iam = local_aws.client("iam")
    for arn in places[ACCOUNT].policy_arns:
        put(iam, arn, policy_text([]))


def put(iam: Any, arn: str, text: str) -> None:
    """Makes this the text in force, as somebody else would."""
    for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=text, SetAsDefault=True)


def in_force(account: Account) -> list[str]:
    iam = account.aws.client("iam")
    texts = []
    for arn in account.policies.places[ACCOUNT].policy_arns:
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        answer = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        texts.append(answer if isinstance(answer, str) else json.dumps(answer, separators=(",", ":")))
    return texts


async def test_the_credentials_of_one_task_die_while_anothers_live(account: Account) -> None:
    dead, alive = account.agent(task=1), account.agent(task=2)
    assert dead.works()

    await account.deny(dead.deny(1, pattern=f"{part(1)}.{part(1)}.*"))

    assert not dead.works()
    assert alive.works()


async def test_a_gateway_with_another_ledger_leaves_the_denies_of_the_first_alone(account: Account) -> None:
    dead, another = account.agent(task=1), account.agent(task=2)
    await account.deny(dead.deny(1))
    texts = in_force(account)
    other = FakeOutbox(account.clock, mark=mark_of_ledger("another ledger"))
    other.want(another.deny(1))

    with pytest.raises(NotWritten, match="policy_prefix"):
        await AccountWriter(ACCOUNT, Parts(other, account.policies, account.canaries, account.clock, "other"))()

    assert in_force(account) == texts
    assert not dead.works()
    assert another.works()
    policies = account.policies.places[ACCOUNT].policy_arns
    assert other.told("foreign") == [(ACCOUNT, "other", arn, account.outbox.mark) for arn in policies]


async def test_one_grant_of_a_task_dies_while_another_lives(account: Account) -> None:
    dead, alive = account.agent(grant=1), account.agent(grant=2)

    await account.deny(dead.deny(1))

    assert not dead.works()
    assert alive.works()


async def test_all_of_a_subject_dies_and_their_next_login_lives(account: Account) -> None:
    dead, other = account.agent(subject=1), account.agent(subject=2)
    now = await next_second(account)

    await account.deny(dead.deny(1, pattern=f"{part(1)}.*", issued_before=now))
    next_login = account.agent(subject=1)

    assert not dead.works()
    assert other.works()
    assert next_login.works()


async def next_second(account: Account) -> datetime:
    """Waits for the next whole second, so that who was opened by now was opened before it."""
    now = account.clock.now()
    await asyncio.sleep(1 - now.microsecond / 1e6)
    return account.clock.now().replace(microsecond=0)


@pytest.mark.parametrize(
    ("pattern", "hit"), [(f"{part(1)}.*", {"actor": 1}), (f"*.{part(1)}", {"revision": 1})], ids=["actor", "revision"]
)
async def test_all_of_an_actor_or_a_revision_dies_and_no_other(
    account: Account, pattern: str, hit: dict[str, int]
) -> None:
    dead, other = account.agent(**hit), account.agent(**dict.fromkeys(hit, 2))
    now = await next_second(account)

    await account.deny(dead.deny(1, tag=DenyTag.BY, pattern=pattern, subject="", issued_before=now))

    assert not dead.works()
    assert other.works()


async def test_the_canary_shows_when_it_is_in_force(account: Account) -> None:
    dead = account.agent()

    await account.deny(dead.deny(1))

    [(told_account, _, numbers, effective)] = await account.observed()
    assert (told_account, numbers) == (ACCOUNT, (1,))
    [(_, _, _, written, assumed_by)] = account.outbox.told("denied")
    assert written <= effective <= assumed_by  # type: ignore[operator]


async def test_more_revokes_than_a_policy_has_versions_are_all_written(account: Account) -> None:
    agents = [account.agent(grant=number) for number in range(8)]
    writer = account.writer()
    writer.parts = replace(writer.parts, pause=lambda _: asyncio.sleep(0))  # no second between versions

    for number, agent in enumerate(agents):
        account.outbox.want(agent.deny(number))
        await writer()

    assert not any(agent.works() for agent in agents)
    iam = account.aws.client("iam")
    for arn in account.policies.places[ACCOUNT].policy_arns:
        assert len(iam.list_policy_versions(PolicyArn=arn)["Versions"]) <= 5


async def test_a_policy_with_five_versions_takes_another(account: Account) -> None:
    iam, arn = account.aws.client("iam"), account.policies.places[ACCOUNT].policy_arns[0]
    while len(iam.list_policy_versions(PolicyArn=arn)["Versions"]) < 5:
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=policy_text([]), SetAsDefault=False)

    await account.policies.write(ACCOUNT, 0, policy_text([]), deadline=account.clock.monotonic() + 10)

    versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    assert len(versions) == 3
    assert max(versions, key=lambda version: int(version["VersionId"][1:]))["IsDefaultVersion"]


async def test_a_text_that_somebody_wiped_is_written_again(account: Account) -> None:
    dead = account.agent()
    await account.deny(dead.deny(1))
    for arn in account.policies.places[ACCOUNT].policy_arns:
        put(account.aws.client("iam"), arn, policy_text([]))
    assert dead.works()

    await account.writer()()

    assert not dead.works()


async def test_three_hundred_grants_are_denied_at_once_within_aws_own_size(account: Account) -> None:
    agents = [account.agent(subject=number, grant=number) for number in range(3)]
    more = [
        replace(agents[0].deny(number), pattern=f"{part(number)}.{part(1)}.{part(number)}", subject=part(number))
        for number in range(3, 270)
    ]

    await account.deny(*(agent.deny(number) for number, agent in enumerate(agents)), *more)

    assert not any(agent.works() for agent in agents)
    assert all(len(text) <= 6144 for text in in_force(account))
    assert sum(len(lines_of(text) or ()) for text in in_force(account)) >= 270


def without_rights(iam: Any, _: str) -> None:
    iam.delete_role_policy(RoleName="remit-revoker", PolicyName="revoke")


def without_the_policy(iam: Any, arn: str) -> None:
    for role in ("remit-reports", "remit-data"):
        iam.detach_role_policy(RoleName=role, PolicyArn=arn)
    iam.delete_policy(PolicyArn=arn)


def without_trust(iam: Any, _: str) -> None:
    nobody = {"Effect": "Deny", "Principal": "*", "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [nobody]})
    iam.update_assume_role_policy(RoleName="remit-revoker", PolicyDocument=trust)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (without_rights, "aws doctor"),
        (without_the_policy, "aws plan"),
        (without_trust, "remit-revoker could be opened"),
    ],
)
async def test_a_set_up_that_is_wrong_is_told_in_words(
    account: Account, spoil: Callable[[Any, str], object], says: str
) -> None:
    arn = account.policies.places[ACCOUNT].policy_arns[0]
    iam = account.aws.client("iam")
    for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
    spoil(iam, arn)

    try:
        with pytest.raises(NotWritten, match=says):
            await account.policies.write(ACCOUNT, 0, policy_text([]), deadline=account.clock.monotonic() + 10)
    finally:
        await account.aws.seed()


async def test_where_no_role_allows_the_probe_it_stays_assumed(
    account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    iam = account.aws.client("iam")
    iam.detach_role_policy(RoleName="remit-reports", PolicyArn=f"arn:aws:iam::{ACCOUNT}:policy/remit-canary")
    dead = account.agent()

    try:
        await account.deny(dead.deny(1))
        told = await account.observed()
    finally:
        await account.aws.seed()

    assert not dead.works()
    assert told == []
    assert len(account.outbox.told("denied")) == 1
    assert "no role gives a canary" in caplog.text
