"""The worked policy set examples/policies/agent-fleet, unchanged, at a real gateway: a planner hands on to workers."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import botocore.exceptions
import pytest
from tests.e2e.gateways import PLENTY, OwnGateway, client, own_gateway
from tests.sts_log import LOG, Ceiling

import remit
from remit_sandbox.certificates import KeyPair
from remit_sandbox.sample_account import ACCOUNT_ID, GATEWAY_USER, trust_policy
from remit_sandbox.sandbox import Sandbox

FLEET = Path(__file__).parents[2] / "examples" / "policies" / "agent-fleet"
CEILINGS = Path(__file__).parents[2] / "examples" / "simulate" / "ceilings"
AGENTS = {
    "planner": "spiffe://acme.example/fleet/planner",
    "fixer": "spiffe://acme.example/fleet/worker/fixer",
    "clerk": "spiffe://acme.example/fleet/worker/clerk",
}
ROLES = ("remit-tickets", "remit-production")
TICKETS = remit.Permission("s3:GetObject", "arn:aws:s3:::acme-tickets/*")
TICKET = remit.Permission("s3:GetObject", "arn:aws:s3:::acme-tickets/17/screenshot.txt")
ANSWER = remit.Permission("s3:PutObject", "arn:aws:s3:::acme-tickets/answers/17.txt")
PRODUCTION = remit.Permission("s3:GetObject", "arn:aws:s3:::acme-production/*")


@dataclass(frozen=True)
class Fleet:
    """The gateway that decides by the worked set, and the agents that come to it."""

    sandbox: Sandbox
    gateway: OwnGateway
    pairs: Mapping[str, KeyPair]

    def agent(self, name: str) -> remit.Gateway:
        """Returns the client of one of the fleet's agents."""
        return client(self.sandbox, self.gateway.mtls, self.pairs[name])

    def token(self, *groups: str) -> str:
        """Returns what olga, who signed in with a passkey just now, lets the fleet present."""
        return self.sandbox.issuer.token("olga", client_id="copilot", groups=groups, acr="phr")


@pytest.fixture(autouse=True)
def _proved() -> None:
    """Says what invariant I3 holds the fleet's roles to."""
    for name in ROLES:
        LOG.configure(f"arn:aws:iam::{ACCOUNT_ID}:role/{name}", Ceiling((CEILINGS / f"{name}.json").read_text()))


@pytest.fixture(scope="module")
def fleet(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    folder.chmod(0o700)
    arns = seed(sandbox)
    account = replace(sandbox.account, role_arns=MappingProxyType({**sandbox.account.role_arns, **arns}))
    config = folder / "sandbox.toml"
    config.write_text(configuration(sandbox, arns))
    pairs = {name: sandbox.authority.issue_client(spiffe_id) for name, spiffe_id in AGENTS.items()}
    with own_gateway(replace(sandbox, account=account, config=config), folder, {"bundle": str(FLEET)}) as gateway:
        yield Fleet(sandbox, gateway, pairs)


def seed(sandbox: Sandbox) -> dict[str, str]:
    """Puts the fleet's buckets and roles into the account; returns the roles' ARNs by name."""
    iam, s3 = sandbox.aws.client("iam"), sandbox.aws.client("s3")
    for bucket, key in (("acme-tickets", "17/screenshot.txt"), ("acme-production", "config/limits.txt")):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": sandbox.account.region})
        s3.put_object(Bucket=bucket, Key=key, Body=b"it hangs")
    arns = {name: f"arn:aws:iam::{ACCOUNT_ID}:role/{name}" for name in ROLES}
    for name in ROLES:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust_policy(sandbox.account.gateway_arn))
        ceiling = (CEILINGS / f"{name}.json").read_text()
        iam.put_role_policy(RoleName=name, PolicyName="work", PolicyDocument=ceiling)
    sessions = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]
    allow = {"Effect": "Allow", "Action": sessions, "Resource": list(arns.values())}
    iam.put_user_policy(
        UserName=GATEWAY_USER,
        PolicyName="fleet",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]}),
    )
    return arns


def configuration(sandbox: Sandbox, arns: Mapping[str, str]) -> str:
    """Returns the sandbox's configuration for the fleet's agents and roles: a gateway has one trust domain."""
    text = re.sub(r"\[\[agents\]\]\nid = .*\nspiffe_id = .*\nclient_ids = .*\n", "", sandbox.config.read_text())
    text = text.replace('trust_domains = ["remit.sandbox"]', 'trust_domains = ["acme.example"]')
    agents = [
        f'[[agents]]\nid = "{name}"\nspiffe_id = "{spiffe_id}"\nclient_ids = ["sandbox:copilot"]\n'
        for name, spiffe_id in AGENTS.items()
    ]
    roles = [
        f'[[roles]]\narn = "{arn}"\nceiling_file = "{CEILINGS / name}.json"\nassumed_by = "user"\n'
        for name, arn in arns.items()
    ]
    return text.replace("[policy]\n", "\n".join([*agents, *roles, "[policy]\n"]), 1)


def test_the_planner_hands_a_ticket_to_the_fixer(fleet: Fleet) -> None:
    token = fleet.token("support")
    with (
        fleet.agent("planner") as planner,
        fleet.agent("fixer") as fixer,
        planner.task("ticket 17", subject_token=token, allow=TICKETS) as above,
    ):
        task_id = above.delegate(AGENTS["fixer"], purpose="look at the screenshot")
        with fixer.task("look at the screenshot", subject_token=token, allow=TICKET, task_id=task_id) as task:
            s3 = task.boto3_session().client("s3", endpoint_url=fleet.sandbox.aws.endpoint_url)
            text = s3.get_object(Bucket="acme-tickets", Key="17/screenshot.txt")["Body"].read()
            with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
                s3.put_object(Bucket="acme-tickets", Key="answers/17.txt", Body=b"restart it")
            wider = fixer.task("answer", subject_token=token, allow=ANSWER, task_id=task_id)
            with pytest.raises(remit.Refused) as refused:
                wider.__enter__()

    assert text == b"it hangs"
    # The fixer's own entitlement for answers is none that the planner has, so policy left it out.
    assert (refused.value.reason, refused.value.failures[0].rule) == ("CEILING_EXCEEDED", "entitlements")


def test_what_the_planner_asked_for_bounds_the_fixer_within_the_same_entitlement(fleet: Fleet) -> None:
    token = fleet.token("support")
    with (
        fleet.agent("planner") as planner,
        fleet.agent("fixer") as fixer,
        planner.task("ticket 17", subject_token=token, allow=TICKET) as above,
    ):
        task_id = above.delegate(AGENTS["fixer"], purpose="look at everything")
        with pytest.raises(remit.Refused) as refused:
            fixer.task("everything", subject_token=token, allow=TICKETS, task_id=task_id).__enter__()
        with fixer.task("less", subject_token=token, allow=refused.value.offer, task_id=task_id) as task:
            offered = task.grant.session_policy

    assert (refused.value.reason, refused.value.failures[0].rule) == ("CEILING_EXCEEDED", "parent_task")
    assert "acme-tickets/17/screenshot.txt" in offered


def test_a_worker_gets_nothing_where_the_planner_has_nothing_of_it(fleet: Fleet) -> None:
    token = fleet.token("operators")
    with (
        fleet.agent("planner") as planner,
        fleet.agent("clerk") as clerk,
        planner.task("look at production", subject_token=token, allow=PRODUCTION) as above,
    ):
        task_id = above.delegate(AGENTS["clerk"], purpose="look at a ticket")

        with pytest.raises(remit.Refused, match="wider_than_parent") as refused:
            clerk.task("look at a ticket", subject_token=token, allow=TICKET, task_id=task_id).__enter__()

    assert refused.value.reason == "POLICY_DENIED"


def test_an_agent_of_a_worker_is_too_deep(fleet: Fleet) -> None:
    token = fleet.token("support")
    with (
        fleet.agent("planner") as planner,
        fleet.agent("fixer") as fixer,
        fleet.agent("clerk") as clerk,
        planner.task("ticket 17", subject_token=token, allow=TICKETS) as above,
    ):
        task_id = above.delegate(AGENTS["fixer"], purpose="look at the screenshot")
        with fixer.task("look at the screenshot", subject_token=token, allow=TICKET, task_id=task_id) as middle:
            deeper = middle.delegate(AGENTS["clerk"], purpose="look at it for me")

            with pytest.raises(remit.Refused, match="chain_too_deep") as refused:
                clerk.task("look", subject_token=token, allow=TICKET, task_id=deeper).__enter__()

    assert refused.value.reason == "POLICY_DENIED"


def test_the_gateway_itself_says_how_deep_tasks_may_stand(sandbox: Sandbox, tmp_path: Path, alice_token: str) -> None:
    more = {"limits": {**PLENTY, "delegation_depth": 0}}
    with (
        own_gateway(sandbox, tmp_path, more=more) as gateway,
        client(sandbox, gateway.mtls) as copilot,
        copilot.task("reports", subject_token=alice_token, allow="read s3://reports/2026/q3/*") as above,
        pytest.raises(remit.Refused) as refused,
    ):
        above.delegate("spiffe://remit.sandbox/agent/crawler", purpose="read")

    assert refused.value.reason == "DELEGATION_TOO_DEEP"
