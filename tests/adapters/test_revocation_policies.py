"""Revocation policies and canaries when IAM, EC2 or STS refuse; that they do their work is tested on ministack."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
import pytest_asyncio
from aiohttp import web
from tests.fakes import ACCOUNT, NOON, REPORTS_ROLE, FakeClock

from remit_server.adapters.aws.revoking.canary import AwsCanary
from remit_server.adapters.aws.revoking.iam_policies import IamRevocationPolicies
from remit_server.adapters.aws.revoking.query import QueryCalls
from remit_server.adapters.aws.revoking.revoker import RevocationNames, RevokerKeys, account_places
from remit_server.application.revocation.ports import NotWritten
from remit_server.domain.credentials import Credentials, SessionOrder, StsSession
from remit_server.domain.entitlement import Role
from remit_server.domain.errors import Outage, Reason
from remit_server.domain.secret import Secret
from remit_server.iam import Document

ROLE = Role(
    REPORTS_ROLE,
    "eu-central-1",
    Document.parse('{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}'),
    timedelta(hours=1),
)
PLACES = account_places([ROLE], RevocationNames())
TEXT = '{"Version":"2012-10-17","Statement":[]}'
DONE = "<R><Done/></R>"


def failure(code: str) -> tuple[int, str]:
    return 400, f"<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>"


@dataclass
class ScriptedAws:
    """Answers calls one after the other as a test says, and opens sessions; tells who called with which keys."""

    clock: FakeClock = field(default_factory=FakeClock)
    url: str = ""
    answers: list[tuple[int, str]] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    orders: list[SessionOrder] = field(default_factory=list)
    sts_fails: bool = False

    async def handle(self, request: web.Request) -> web.Response:
        form = await request.post()
        key = request.headers["authorization"].partition("Credential=")[2].partition("/")[0]
        self.asked.append((str(form["Action"]), key))
        status, text = self.answers.pop(0) if self.answers else (200, DONE)
        return web.Response(status=status, text=text)

    async def assume(self, order: SessionOrder, /, *, deadline: float) -> StsSession:
        assert deadline > self.clock.monotonic()
        if self.sts_fails:
            raise Outage(Reason.STS_UNAVAILABLE, "AWS STS did not answer as it should.")
        self.orders.append(order)
        key = f"ASIA{len(self.orders):016d}"
        end = self.clock.now() + timedelta(seconds=order.duration_seconds)
        return StsSession(Credentials(key, Secret("never-shown-secret"), Secret("never-shown-token"), end), None)


@pytest_asyncio.fixture
async def aws() -> AsyncIterator[ScriptedAws]:
    made = ScriptedAws()
    application = web.Application()
    application.router.add_post("/", made.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    made.url = f"http://{host}:{port}"
    yield made
    await runner.cleanup()


@pytest_asyncio.fixture
async def calls(aws: ScriptedAws) -> AsyncIterator[QueryCalls]:
    made = QueryCalls(aws.clock)
    yield made
    await made.close()


@pytest.fixture
def policies(aws: ScriptedAws, calls: QueryCalls) -> IamRevocationPolicies:
    return IamRevocationPolicies(PLACES, calls, RevokerKeys(PLACES, aws.assume, aws.clock), aws.url)


@pytest.fixture
def canary(aws: ScriptedAws, calls: QueryCalls) -> AwsCanary:
    return AwsCanary([ROLE], aws.assume, calls, aws.clock, aws.url)


async def write(policies: IamRevocationPolicies) -> None:
    await policies.write(ACCOUNT, 0, TEXT, deadline=policies.calls.clock.monotonic() + 10)


async def test_an_account_that_left_the_configuration_is_told_of_in_words(policies: IamRevocationPolicies) -> None:
    with pytest.raises(NotWritten, match="no role of the configuration is in this account any more"):
        await policies.read("999988887777", deadline=policies.calls.clock.monotonic() + 10)


# --- the keys ---


async def test_remit_revoker_is_opened_under_a_policy_that_says_its_rights_once_more(
    aws: ScriptedAws, policies: IamRevocationPolicies
) -> None:
    await write(policies)

    [order] = aws.orders
    [statement] = json.loads(order.session_policy)["Statement"]
    assert order.role.arn == f"arn:aws:iam::{ACCOUNT}:role/remit-revoker"
    assert statement["Resource"] == list(PLACES[ACCOUNT].policy_arns)
    assert all(action.startswith("iam:") and "Policy" in action for action in statement["Action"])
    assert order.tags == ()


async def test_one_session_serves_until_shortly_before_its_end(
    aws: ScriptedAws, policies: IamRevocationPolicies
) -> None:
    await write(policies)
    aws.clock.time = NOON + timedelta(seconds=779)
    await write(policies)
    aws.clock.time = NOON + timedelta(seconds=781)
    await write(policies)

    assert len(aws.orders) == 2
    assert len({key for _, key in aws.asked}) == 2


async def test_keys_that_aws_calls_expired_are_not_used_again(
    aws: ScriptedAws, policies: IamRevocationPolicies
) -> None:
    aws.answers = [failure("ExpiredToken")]

    with pytest.raises(NotWritten, match="ExpiredToken"):
        await write(policies)
    await write(policies)

    assert len(aws.orders) == 2


async def test_without_a_session_nothing_is_asked_of_iam(aws: ScriptedAws, policies: IamRevocationPolicies) -> None:
    aws.sts_fails = True

    with pytest.raises(NotWritten, match="remit-revoker could be opened"):
        await write(policies)

    assert aws.asked == []


# --- the policies ---


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("Throttling", "limiting this account's calls"),
        ("AccessDenied", "aws doctor"),
        ("NoSuchEntity", "aws plan"),
        ("ServiceFailure", "ServiceFailure"),
    ],
)
async def test_what_iam_refuses_is_told_in_words(
    aws: ScriptedAws, policies: IamRevocationPolicies, code: str, says: str
) -> None:
    aws.answers = [failure(code)]

    with pytest.raises(NotWritten, match=says) as raised:
        await write(policies)

    assert "never-shown" not in f"{raised.value!r} {raised.value.__cause__!r}"


async def test_a_text_that_stays_too_long_is_not_tried_for_ever(
    aws: ScriptedAws, policies: IamRevocationPolicies
) -> None:
    versions = "".join(
        f"<member><VersionId>v{number}</VersionId><IsDefaultVersion>{in_force}</IsDefaultVersion></member>"
        for number, in_force in ((5, "false"), (2, "true"), (4, "false"), (3, "false"), (1, "false"))
    )
    listing = f"<R><ListPolicyVersionsResult><Versions>{versions}</Versions></ListPolicyVersionsResult></R>"
    aws.answers = [failure("LimitExceeded"), (200, listing), *[(200, DONE)] * 3, failure("LimitExceeded")]

    with pytest.raises(NotWritten, match="LimitExceeded"):
        await write(policies)

    assert [action for action, _ in aws.asked] == [
        "CreatePolicyVersion",
        "ListPolicyVersions",
        *["DeletePolicyVersion"] * 3,
        "CreatePolicyVersion",
    ]


# --- canaries ---


@pytest.mark.parametrize(
    ("status", "code", "refused"),
    [
        (403, "UnauthorizedOperation", True),
        (403, "AccessDenied", True),
        (403, "ExpiredToken", False),
        (401, "AuthFailure", False),
        (503, "RequestLimitExceeded", False),
        (200, "", False),
    ],
)
async def test_only_a_lack_of_permission_is_a_refusal(
    aws: ScriptedAws, canary: AwsCanary, status: int, code: str, refused: bool
) -> None:
    session = await canary.open(ACCOUNT, "canary.canary.a")
    assert session is not None
    error = f"<Response><Errors><Error><Code>{code}</Code></Error></Errors></Response>"
    aws.answers = [(status, error if code else DONE)]

    assert await canary.is_refused(session) is refused


async def test_a_canary_that_was_never_allowed_is_none(
    aws: ScriptedAws, canary: AwsCanary, caplog: pytest.LogCaptureFixture
) -> None:
    aws.answers = [(403, "<Response><Errors><Error><Code>UnauthorizedOperation</Code></Error></Errors></Response>")]

    assert await canary.open(ACCOUNT, "canary.canary.a") is None
    assert await canary.open(ACCOUNT, "canary.canary.b") is None

    assert len(aws.orders) == 1  # asked again later, not at once
    assert "count as in force when the propagation bound has passed" in caplog.text
    aws.clock.advance(seconds=121)
    assert await canary.open(ACCOUNT, "canary.canary.c") is not None


async def test_a_closed_canary_is_not_asked_any_more(aws: ScriptedAws, canary: AwsCanary) -> None:
    session = await canary.open(ACCOUNT, "canary.canary.a")
    assert session is not None
    canary.close(session)
    asked = len(aws.asked)

    assert not await canary.is_refused(session)
    assert len(aws.asked) == asked


async def test_a_canary_carries_the_tag_that_is_denied_and_may_make_one_call(
    aws: ScriptedAws, canary: AwsCanary
) -> None:
    await canary.open(ACCOUNT, "canary.canary.a")

    [order] = aws.orders
    assert dict(order.tags)["remit:grant"] == "canary.canary.a"
    [statement] = json.loads(order.session_policy)["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Allow", "ec2:DescribeRegions")
