"""`remit-server aws doctor` on an account as the plan makes it, and on the same account with faults put into it."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.configuration_folder import TEXT, ConfigurationFolder
from typer.testing import CliRunner

from remit_sandbox.aws_client import AwsKeys
from remit_sandbox.errors import SandboxError
from remit_sandbox.local_aws import SERVICES, LocalAws, find_interpreter
from remit_server.adapters.aws.revoking.revoker import RevocationNames
from remit_server.adapters.aws.setup.cloudformation import templates
from remit_server.adapters.aws.setup.plan import CANARY_POLICY, GATEWAY, Plan, plan_of, replaced
from remit_server.adapters.database.ledger import open_ledger
from remit_server.adapters.database.revoking.denies import DatabaseDenies
from remit_server.adapters.system_clock import SystemClock
from remit_server.application.revocation.texts import mark_of_ledger, policy_text
from remit_server.cli.aws import app
from remit_server.config.loading import load
from remit_server.domain.lifecycle_records import BlockLifted

ACCOUNT = "111122223333"
USER = f"arn:aws:iam::{ACCOUNT}:user/remit-gateway"
POLICY_1 = f"arn:aws:iam::{ACCOUNT}:policy/remit-revocations-1"
Found = set[tuple[str, str, str]]


@dataclass
class Applied:
    """An account with the plan applied, the configuration it was made of, and the doctor."""

    aws: LocalAws
    iam: Any
    config: Path
    plan: Plan

    def mend(self) -> None:
        """Makes everything as the plan has it."""
        [account] = self.plan.accounts
        references = {GATEWAY: USER}
        for arn in account.policy_arns:
            self._policy(arn, json.dumps(account.nothing, separators=(",", ":")))
        canary = f"arn:aws:iam::{ACCOUNT}:policy/{CANARY_POLICY}"
        self._policy(canary, json.dumps(account.canary))
        for number, role in enumerate(account.roles):
            trust = json.dumps(replaced(role.trust, references))
            self._role(role.name, trust, {"remit-ceiling": json.dumps(role.ceiling)})
            self.iam.update_role(RoleName=role.name, MaxSessionDuration=role.max_session_seconds)
            for arn in (*account.policy_arns, *([canary] if number == 0 else [])):
                self.iam.attach_role_policy(RoleName=role.name, PolicyArn=arn)
        trust = json.dumps(replaced(account.revoker_trust, references))
        self._role("remit-revoker", trust, {"revoke": json.dumps(account.revoker_rights)})
        self._inline_of_user({"remit-gateway": json.dumps(self.plan.gateway)})

    def found(self, *arguments: str) -> Found:
        """Returns what the doctor finds: weight, code and the last part of the place."""
        result = CliRunner().invoke(app, ["doctor", "--config", str(self.config), "--json", *arguments])
        findings = json.loads(result.stdout)
        assert result.exit_code == int(any(finding["weight"] == "fault" for finding in findings))
        return {(each["weight"], each["code"], each["place"].rpartition("/")[2]) for each in findings}

    def _policy(self, arn: str, text: str) -> None:
        try:
            self.iam.create_policy(PolicyName=arn.rpartition("/")[2], PolicyDocument=text)
        except self.iam.exceptions.EntityAlreadyExistsException:
            for version in self.iam.list_policy_versions(PolicyArn=arn)["Versions"]:
                if not version["IsDefaultVersion"]:
                    self.iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
            self.iam.create_policy_version(PolicyArn=arn, PolicyDocument=text, SetAsDefault=True)

    def _role(self, name: str, trust: str, inline: dict[str, str]) -> None:
        try:
            self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
        except self.iam.exceptions.EntityAlreadyExistsException:
            self.iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust)
        for other in set(self.iam.list_role_policies(RoleName=name)["PolicyNames"]) - set(inline):
            self.iam.delete_role_policy(RoleName=name, PolicyName=other)
        for policy, text in inline.items():
            self.iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=text)

    def _inline_of_user(self, inline: dict[str, str]) -> None:
        for other in set(self.iam.list_user_policies(UserName="remit-gateway")["PolicyNames"]) - set(inline):
            self.iam.delete_user_policy(UserName="remit-gateway", PolicyName=other)
        for policy, text in inline.items():
            self.iam.put_user_policy(UserName="remit-gateway", PolicyName=policy, PolicyDocument=text)


def configured(folder: Path, aws: LocalAws, keys: AwsKeys) -> Path:
    """Writes a configuration for the account."""
    made = ConfigurationFolder.create(folder)
    (made.folder / "secrets/aws-secret-access-key").write_text(keys.secret_access_key)
    table = (
        f'[aws]\nendpoint_url = "{aws.endpoint_url}"\naccess_key_id = "{keys.access_key_id}"\n'
        'secret_access_key_file = "secrets/aws-secret-access-key"\n'
    )
    revocation = f'[revocation]\niam_endpoint_url = "{aws.endpoint_url}"\n'
    return made.write(TEXT.replace("[aws]\n", table) + revocation)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def applied(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Applied]:
    """An account of its own: its roles and keys are not those of the sandbox."""
    state = tmp_path_factory.mktemp("aws") / "state"
    state.mkdir(mode=0o700)
    async with await started(state) as aws:
        iam = aws.client("iam")
        config = configured(tmp_path_factory.mktemp("doctor"), aws, gateway_keys(iam))
        yield Applied(aws, iam, config, plan_of(load(config, {}).roles, RevocationNames()))


async def started(state: Path, *more: str) -> LocalAws:
    """Starts a local AWS; where ministack is missing the test is skipped, or fails under REMIT_REQUIRE_REAL=1."""
    try:
        find_interpreter()
    except SandboxError as error:
        if os.environ.get("REMIT_REQUIRE_REAL") == "1":
            raise
        pytest.skip(str(error))
    return await LocalAws.start(state, services=(*SERVICES, *more))


def gateway_keys(iam: Any) -> AwsKeys:
    """Makes the gateway's user and returns its keys."""
    iam.create_user(UserName="remit-gateway")
    made = iam.create_access_key(UserName="remit-gateway")["AccessKey"]
    return AwsKeys(made["AccessKeyId"], made["SecretAccessKey"])


@pytest.fixture
def account(applied: Applied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Applied]:
    """The account, mended, and a profile `auditor` that may read IAM."""
    root = applied.aws.root
    credentials = tmp_path / "credentials"
    credentials.write_text(
        f"[auditor]\naws_access_key_id = {root.access_key_id}\naws_secret_access_key = {root.secret_access_key}\n"
    )
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    applied.mend()
    yield applied
    applied.mend()


AUDITOR = ("--profile", "auditor")


def test_on_an_account_as_the_plan_makes_it_nothing_is_found(account: Applied) -> None:
    assert account.found(*AUDITOR) == set()


def trusting(**changes: Any) -> Callable[[Any], None]:
    """Returns a fault: the trust policy of remit-reports with changes to its statement, None to leave one out."""

    def spoil(iam: Any) -> None:
        trust = iam.get_role(RoleName="remit-reports")["Role"]["AssumeRolePolicyDocument"]
        [statement] = trust["Statement"]
        kept = {key: value for key, value in {**statement, **changes}.items() if value is not None}
        changed = {**trust, "Statement": [kept]}
        iam.update_assume_role_policy(RoleName="remit-reports", PolicyDocument=json.dumps(changed))

    return spoil


def allowing(action: str, resource: str = "*", *, role: str = "remit-reports") -> Callable[[Any], None]:
    """Returns a fault: one more inline policy of a role."""
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]}
    return lambda iam: iam.put_role_policy(RoleName=role, PolicyName="more", PolicyDocument=json.dumps(policy))


def gateway_may(action: str, resource: str = "*") -> Callable[[Any], None]:
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]}
    return lambda iam: iam.put_user_policy(
        UserName="remit-gateway", PolicyName="more", PolicyDocument=json.dumps(policy)
    )


def overwritten(iam: Any) -> None:
    allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam.create_policy_version(PolicyArn=POLICY_1, PolicyDocument=json.dumps(allow), SetAsDefault=True)


def of_another(iam: Any) -> None:
    text = policy_text([], mark_of_ledger("another"))
    iam.create_policy_version(PolicyArn=POLICY_1, PolicyDocument=text, SetAsDefault=True)


def with_five_versions(iam: Any) -> None:
    while len(iam.list_policy_versions(PolicyArn=POLICY_1)["Versions"]) < 5:
        iam.create_policy_version(PolicyArn=POLICY_1, PolicyDocument=policy_text([]), SetAsDefault=False)


def gone(iam: Any) -> None:
    for role in ("remit-reports", "remit-data"):
        iam.detach_role_policy(RoleName=role, PolicyArn=POLICY_1)
    for version in iam.list_policy_versions(PolicyArn=POLICY_1)["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=POLICY_1, VersionId=version["VersionId"])
    iam.delete_policy(PolicyArn=POLICY_1)


def without_the_revoker(iam: Any) -> None:
    iam.delete_role_policy(RoleName="remit-revoker", PolicyName="revoke")
    iam.delete_role(RoleName="remit-revoker")


def revoker_with_little(iam: Any) -> None:
    little = {"Effect": "Allow", "Action": "iam:GetPolicy", "Resource": POLICY_1}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [little]})
    iam.put_role_policy(RoleName="remit-revoker", PolicyName="revoke", PolicyDocument=policy)


TAGGED = {"StringLike": {"aws:RequestTag/remit:grant": "?*.?*.?*", "aws:RequestTag/remit:by": "?*.?*"}}
FAULTS: dict[str, tuple[Callable[[Any], Any], Found]] = {
    "everybody is trusted": (trusting(Principal="*"), {("fault", "trust-anybody", "remit-reports")}),
    "another account is trusted": (
        trusting(Principal={"AWS": "arn:aws:iam::999988887777:root"}),
        {("fault", "trust-account", "remit-reports")},
    ),
    "somebody else is trusted": (
        trusting(Principal={"AWS": [USER, f"arn:aws:iam::{ACCOUNT}:user/bob"]}),
        {("fault", "trust-other", "remit-reports")},
    ),
    "a service is trusted": (
        trusting(Principal={"AWS": USER, "Service": "ec2.amazonaws.com"}),
        {("fault", "trust-service", "remit-reports")},
    ),
    "an identity provider is trusted": (
        trusting(Principal={"AWS": USER, "Federated": "accounts.google.com"}),
        {("fault", "trust-federated", "remit-reports")},
    ),
    "no condition": (
        trusting(Condition=None),
        {("fault", f"trust-{what}", "remit-reports") for what in ("tag-grant", "tag-by", "source-identity")},
    ),
    "any tag will do": (
        trusting(Condition={"StringLikeIfExists": TAGGED["StringLike"], "StringLike": {"sts:SourceIdentity": "?*"}}),
        {("fault", f"trust-{what}", "remit-reports") for what in ("tag-grant", "tag-by")},
    ),
    "an external id is asked for that nobody knows": (
        trusting(
            Condition={
                "StringLike": {**TAGGED["StringLike"], "sts:SourceIdentity": "?*"},
                "StringEquals": {"sts:ExternalId": "secret-of-somebody"},
            }
        ),
        {("fault", "external-id-missing", "remit-reports")},
    ),
    "sessions cannot be tagged": (
        trusting(Action=["sts:AssumeRole", "sts:SetSourceIdentity"]),
        {("fault", "trust-actions", "remit-reports")},
    ),
    "the role may more than its ceiling": (
        allowing("s3:GetObject", "arn:aws:s3:::production/*"),
        {("fault", "ceiling-narrower-than-role", "remit-reports")},
    ),
    "the role may less than its ceiling": (
        lambda iam: iam.delete_role_policy(RoleName="remit-reports", PolicyName="remit-ceiling"),
        {("note", "ceiling-wider-than-role", "remit-reports")},
    ),
    "sessions may last longer than Remit's": (
        lambda iam: iam.update_role(RoleName="remit-reports", MaxSessionDuration=43_200),
        {("note", "max-session-long", "remit-reports")},
    ),
    "a revocation policy is not attached": (
        lambda iam: iam.detach_role_policy(RoleName="remit-reports", PolicyArn=POLICY_1),
        {("fault", "revocation-not-attached", "remit-reports")},
    ),
    "a revocation policy is missing": (
        gone,
        {
            ("fault", "revocation-policy-missing", "remit-revocations-1"),
            ("fault", "revocation-not-attached", "remit-reports"),
            ("fault", "revocation-not-attached", "remit-data"),
        },
    ),
    "somebody wrote a revocation policy": (
        overwritten,
        {("fault", "revocation-policy-foreign", "remit-revocations-1")},
    ),
    "a revocation policy is another gateway's": (
        of_another,
        {("note", "revocation-policy-mark", "remit-revocations-1")},
    ),
    "a revocation policy has all its versions": (
        with_five_versions,
        {("note", "revocation-policy-versions", "remit-revocations-1")},
    ),
    "no canary": (
        lambda iam: iam.detach_role_policy(
            RoleName="remit-reports", PolicyArn=f"arn:aws:iam::{ACCOUNT}:policy/{CANARY_POLICY}"
        ),
        {("note", "canary-not-allowed", f"AWS account {ACCOUNT}")},
    ),
    "remit-revoker is missing": (without_the_revoker, {("fault", "missing", "remit-revoker")}),
    "remit-revoker may too little": (revoker_with_little, {("fault", "revoker-lacks", "remit-revoker")}),
    "remit-revoker may write any policy": (
        allowing("iam:CreatePolicyVersion", role="remit-revoker"),
        {("fault", "revoker-wide", "remit-revoker")},
    ),
    "the gateway may change IAM": (gateway_may("iam:*"), {("fault", "gateway-wide", "remit-gateway")}),
    "the gateway may become anybody": (gateway_may("sts:AssumeRole"), {("fault", "gateway-wide", "remit-gateway")}),
    "the gateway may do something else": (gateway_may("sqs:*"), {("note", "gateway-more", "remit-gateway")}),
    "the gateway may not open sessions": (
        lambda iam: iam.delete_user_policy(UserName="remit-gateway", PolicyName="remit-gateway"),
        {("note", "gateway-lacks", "remit-gateway")},
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_and_nothing_else(account: Applied, name: str) -> None:
    spoil, expected = FAULTS[name]

    spoil(account.iam)

    assert account.found(*AUDITOR) == expected


async def test_where_the_ledger_can_be_read_only_a_policy_of_another_is_a_fault(
    account: Applied, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/remit.db"
    here = account.config.with_name("with-a-ledger.toml")
    here.write_text(account.config.read_text().replace("sqlite:///data/remit.db", url))
    async with open_ledger(url, SystemClock(), denying=True) as ledger:
        await ledger.record(BlockLifted("b" * 26, "user", "alice", "https://idp.example", "acme:sam", "a drill"))
        own = await DatabaseDenies(ledger.store).identity()
    own_text, others_text = policy_text([], own), policy_text([], mark_of_ledger("another"))
    doctor = replace(account, config=here)

    account.iam.create_policy_version(PolicyArn=POLICY_1, PolicyDocument=own_text, SetAsDefault=True)
    with_its_own = await asyncio.to_thread(doctor.found, *AUDITOR)
    account.iam.create_policy_version(PolicyArn=POLICY_1, PolicyDocument=others_text, SetAsDefault=True)
    with_anothers = await asyncio.to_thread(doctor.found, *AUDITOR)

    assert with_its_own == set()
    assert with_anothers == {("fault", "revocation-policy-of-another", "remit-revocations-1")}


def test_what_the_gateways_own_keys_do_not_show_is_a_fault(account: Applied) -> None:
    found = account.found()

    assert ("fault", "not-seen", "remit-reports") in found
    assert {code for _, code, _ in found} == {"not-seen", "canary-not-allowed"}


def test_findings_are_told_with_reason_and_mending(account: Applied) -> None:
    account.iam.update_role(RoleName="remit-reports", MaxSessionDuration=43_200)

    result = CliRunner().invoke(app, ["doctor", "--config", str(account.config), *AUDITOR])

    assert result.exit_code == 0
    assert "note: arn:aws:iam::111122223333:role/remit-reports: its MaxSessionDuration is 43200 s" in result.stdout
    assert "Why:" in result.stdout
    assert "Mend:" in result.stdout
    assert "0 faults, 1 note" in result.stdout


def test_a_profile_that_is_not_there_is_told(account: Applied) -> None:
    result = CliRunner().invoke(app, ["doctor", "--config", str(account.config), "--profile", "nobody"])

    assert result.exit_code == 2
    assert "there is no AWS profile nobody" in result.stderr


def test_no_secret_is_told(account: Applied) -> None:
    secret = (account.config.parent / "secrets/aws-secret-access-key").read_text()

    result = CliRunner().invoke(app, ["doctor", "--config", str(account.config)])

    assert secret not in result.output


async def test_cloudformation_makes_of_the_template_an_account_without_findings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    async with await started(state, "cloudformation") as aws:
        iam = aws.client("iam")
        config = configured(tmp_path / "gateway", aws, gateway_keys(iam))
        plan = plan_of(load(config, {}).roles, RevocationNames())
        account = Applied(aws, iam, config, plan)
        credentials = tmp_path / "credentials"
        credentials.write_text(
            f"[auditor]\naws_access_key_id = {aws.root.access_key_id}\n"
            f"aws_secret_access_key = {aws.root.secret_access_key}\n"
        )
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))

        files = templates(plan)
        await stacked(aws, "remit", files[f"{ACCOUNT}/remit.template.json"], GatewayPrincipalArn=USER)
        await stacked(aws, "gateway", files["gateway/remit-gateway.template.json"])
        iam.attach_user_policy(UserName="remit-gateway", PolicyArn=f"arn:aws:iam::{ACCOUNT}:policy/remit-gateway")

        assert await asyncio.to_thread(account.found, *AUDITOR) == set()


async def stacked(aws: LocalAws, name: str, template: str, **parameters: str) -> None:
    """Makes a stack and waits until it is there."""
    cloudformation = aws.client("cloudformation")
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
    cloudformation.create_stack(
        StackName=name, TemplateBody=template, Parameters=given, Capabilities=["CAPABILITY_NAMED_IAM"]
    )
    async with asyncio.timeout(30):
        status = "CREATE_IN_PROGRESS"
        while status.endswith("_IN_PROGRESS"):
            await asyncio.sleep(0.05)
            status = stack_status(cloudformation, name)
    assert status == "CREATE_COMPLETE"


def stack_status(cloudformation: Any, name: str) -> str:
    return str(cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])
