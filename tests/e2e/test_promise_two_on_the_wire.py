"""Never wider, on the wire: what credentials can do at AWS, against what was asked and may be delegated.

The account decides, not our evaluation. What it may at most allow is written down here by hand, from the sample policy.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from tests.e2e.gateways import client, own_gateway

import remit
from remit_sandbox.aws_client import AwsKeys
from remit_sandbox.sample_account import ACCOUNT_ID, REGION, SECRET, TABLE
from remit_sandbox.sandbox import Sandbox

REPORTS, ORDERS = "arn:aws:s3:::reports", f"arn:aws:dynamodb:{REGION}:{ACCOUNT_ID}:table/{TABLE}"
CONFIG = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT_ID}:secret:{SECRET}-??????"
PLACE = {"region": REGION, "account": ACCOUNT_ID}
REFUSALS = {"AccessDenied", "AccessDeniedException"}
Rights = tuple[tuple[str, str], ...]
"""Actions on resources, both with wildcards; a listing is named by `bucket?prefix`."""


@dataclass(frozen=True)
class Probe:
    """One concrete call to AWS: its action, what it is on, and how it is made with a service's client."""

    action: str
    resource: str
    service: str = field(compare=False)
    call: Callable[[Any], object] = field(compare=False, repr=False)

    def is_within(self, rights: Rights) -> bool:
        """Says whether the rights hold the call, by nothing more than matching names."""
        return any(fnmatchcase(self.action, action) and fnmatchcase(self.resource, name) for action, name in rights)


def on_s3(action: str, method: str, bucket: str, key: str, **more: Any) -> Probe:
    return Probe(
        f"s3:{action}",
        f"arn:aws:s3:::{bucket}/{key}",
        "s3",
        lambda s3: getattr(s3, method)(Bucket=bucket, Key=key, **more),
    )


def listing(bucket: str, prefix: str) -> Probe:
    asked = {"Prefix": prefix} if prefix else {}
    return Probe(
        "s3:ListBucket", f"arn:aws:s3:::{bucket}?{prefix}", "s3", lambda s3: s3.list_objects_v2(Bucket=bucket, **asked)
    )


def on_orders(action: str, method: str, **more: Any) -> Probe:
    return Probe(
        f"dynamodb:{action}", ORDERS, "dynamodb", lambda dynamodb: getattr(dynamodb, method)(TableName=TABLE, **more)
    )


READ = ("2026/q3/summary.md", "2026/q3/revenue.csv", "2026/q2/summary.md", "hr/salaries.csv", "drafts/plan.md")
WRITTEN = ("2026/q3/probe", "drafts/probe", "hr/probe")
PROBES = (
    *(on_s3("GetObject", "get_object", "reports", key) for key in READ),
    on_s3("GetObject", "get_object", "production", "orders/2026-11-23.parquet"),
    on_s3("GetObject", "get_object", "partner-drop", "inbox/price-list.csv"),
    *(on_s3("PutObject", "put_object", "reports", key, Body=b"") for key in WRITTEN),
    *(on_s3("DeleteObject", "delete_object", "reports", key) for key in WRITTEN),
    on_s3("DeleteObject", "delete_object", "production", "probe"),
    *(listing("reports", prefix) for prefix in ("", "2026/q3/", "2026/", "hr/", "drafts/")),
    listing("production", ""),
    on_orders("GetItem", "get_item", Key={"pk": {"S": "customer#1"}}),
    on_orders("PutItem", "put_item", Item={"pk": {"S": "probe"}}),
    on_orders("DeleteItem", "delete_item", Key={"pk": {"S": "probe"}}),
    on_orders("Scan", "scan"),
    Probe("secretsmanager:GetSecretValue", f"{CONFIG[:-6]}abcdef", "secretsmanager",
          lambda secrets: secrets.get_secret_value(SecretId=SECRET)),
    Probe("secretsmanager:PutSecretValue", f"{CONFIG[:-6]}abcdef", "secretsmanager",
          lambda secrets: secrets.put_secret_value(SecretId=SECRET, SecretString="{}")),
    Probe("iam:ListUsers", "*", "iam", lambda iam: iam.list_users()),
)  # fmt: skip

READER: Rights = (("s3:GetObject", f"{REPORTS}/2026/*"), ("s3:ListBucket", f"{REPORTS}[?]*"))
WRITER: Rights = tuple((f"s3:{verb}Object", f"{REPORTS}/drafts/*") for verb in ("Get", "Put", "Delete"))
ORDERS_READER: Rights = (
    *((f"dynamodb:{action}", ORDERS) for action in ("GetItem", "BatchGetItem", "Query")),
    ("secretsmanager:GetSecretValue", CONFIG),
)
ORDERS_WRITER: Rights = tuple((f"dynamodb:{action}", ORDERS) for action in ("PutItem", "UpdateItem"))
ENTITLED = {
    "alice": (*READER, *WRITER, *ORDERS_READER, *ORDERS_WRITER),
    "bob": (*WRITER, *ORDERS_READER, *ORDERS_WRITER),
}


@dataclass(frozen=True)
class Wish:
    """What is asked for, and the same in rights, written by hand."""

    name: str
    allow: tuple[remit.Permission | remit.Capability, ...]
    rights: Rights


def plain(actions: str | list[str], *resources: str) -> Wish:
    """Asks by permission."""
    named = [actions] if isinstance(actions, str) else actions
    rights = tuple((action, name) for action in named for name in resources if not name.endswith(":::reports"))
    rights += tuple((action, f"{REPORTS}[?]*") for action in named for name in resources if name == REPORTS)
    return Wish(f"{named} on {resources}", (remit.Permission(named, list(resources)),), rights)


def listed(prefix: str) -> Wish:
    """Asks to list keys of one prefix by a condition."""
    condition = remit.Condition("StringLike", "s3:prefix", [prefix])
    permission = remit.Permission("s3:ListBucket", REPORTS, conditions=[condition])
    return Wish(f"list {prefix}", (permission,), (("s3:ListBucket", f"{REPORTS}[?]{prefix}"),))


def named(capability: str, *rights: tuple[str, str], **parameters: str) -> Wish:
    """Asks by capability."""
    return Wish(f"{capability} {parameters}", (remit.Capability(capability, **parameters),), rights)


def together(*wishes: Wish) -> Wish:
    """Asks for several things at once."""
    return Wish(
        " and ".join(wish.name for wish in wishes),
        tuple(item for wish in wishes for item in wish.allow),
        tuple(right for wish in wishes for right in wish.rights),
    )


def in_bucket(capability: str, verb: str, bucket: str, prefix: str) -> Wish:
    return named(capability, (f"s3:{verb}Object", f"arn:aws:s3:::{bucket}/{prefix}*"), bucket=bucket, prefix=prefix)


def on_table(capability: str, *verbs: str) -> Wish:
    return named(capability, *((f"dynamodb:{verb}", ORDERS) for verb in verbs), table=TABLE, **PLACE)


READ_Q3, READ_DRAFTS = (
    in_bucket("s3.read_prefix", "Get", "reports", "2026/q3/"),
    in_bucket("s3.read_prefix", "Get", "reports", "drafts/"),
)
LIST_Q3 = named("s3.list_prefix", ("s3:ListBucket", f"{REPORTS}[?]2026/q3/*"), bucket="reports", prefix="2026/q3/")
READ_ORDERS = on_table("dynamodb.read_items", "GetItem", "BatchGetItem", "Query")
WRITE_ORDERS = on_table("dynamodb.write_items", "PutItem", "UpdateItem")
READ_SECRET = named("secretsmanager.read_secret", ("secretsmanager:GetSecretValue", CONFIG), name=SECRET, **PLACE)
WISHES = (
    READ_Q3,
    READ_DRAFTS,
    LIST_Q3,
    READ_ORDERS,
    WRITE_ORDERS,
    READ_SECRET,
    in_bucket("s3.write_prefix", "Put", "reports", "drafts/"),
    in_bucket("s3.write_prefix", "Put", "reports", "2026/q3/"),
    in_bucket("s3.read_prefix", "Get", "production", "orders/"),
    named("s3.read_object", ("s3:GetObject", f"{REPORTS}/{READ[0]}"), bucket="reports", key=READ[0]),
    named("s3.delete_object", ("s3:DeleteObject", f"{REPORTS}/drafts/probe"), bucket="reports", key="drafts/probe"),
    together(READ_Q3, LIST_Q3),
    together(READ_Q3, READ_DRAFTS, in_bucket("s3.write_prefix", "Put", "reports", "drafts/")),
    together(READ_ORDERS, WRITE_ORDERS, READ_SECRET),
    together(READ_Q3, READ_ORDERS),  # two roles
    plain("s3:GetObject", f"{REPORTS}/2026/q3/summary.md"),
    plain("s3:GetObject", f"{REPORTS}/2026/*"),
    plain("s3:GetObject", f"{REPORTS}/2026/q?/summary.md"),
    plain("s3:GetObject", f"{REPORTS}/*/summary.md"),
    plain("s3:GetObject", f"{REPORTS}/*"),
    plain("s3:GetObject", f"{REPORTS}*"),
    plain("s3:GetObject", "arn:aws:s3:::*"),
    plain("s3:GetObject", "*"),
    plain("s3:Get*", f"{REPORTS}/2026/q3/*"),
    plain("s3:*", f"{REPORTS}/drafts/*"),
    plain("s3:*Object", f"{REPORTS}/drafts/*"),
    plain("s3:*", "*"),
    plain("*", "*"),
    plain(["s3:GetObject", "s3:PutObject"], f"{REPORTS}/drafts/*"),
    plain(["s3:GetObject", "s3:PutObject"], f"{REPORTS}/drafts/*", f"{REPORTS}/2026/q3/*"),
    plain(["s3:PutObject", "s3:DeleteObject"], f"{REPORTS}/hr/*"),
    plain("s3:GetObject", f"{REPORTS}/2026/q3/*", f"{REPORTS}/hr/*"),
    plain("s3:GetObject", f"{REPORTS}/2026/q3/*", "arn:aws:s3:::production/*"),
    plain("s3:GetObject", "arn:aws:s3:::partner-drop/inbox/*"),
    plain("s3:DeleteObject", "arn:aws:s3:::production/*"),
    plain("s3:ListBucket", REPORTS),
    plain("s3:ListBucket", "arn:aws:s3:::production"),
    plain(["s3:ListBucket", "s3:GetObject"], REPORTS, f"{REPORTS}/2026/q3/*"),
    listed("2026/*"),
    listed("hr/*"),
    listed("drafts/"),
    plain("dynamodb:GetItem", ORDERS),
    plain("dynamodb:*", ORDERS),
    plain("dynamodb:*Item", ORDERS),
    plain("dynamodb:GetItem", f"{ORDERS[:-3]}*"),
    plain(["dynamodb:GetItem", "dynamodb:PutItem"], ORDERS),
    plain(["dynamodb:Scan", "dynamodb:DeleteItem"], ORDERS),
    plain("secretsmanager:GetSecretValue", CONFIG),
    plain("secretsmanager:*", CONFIG),
    plain("secretsmanager:GetSecretValue", CONFIG.replace("-??????", "*")),
    plain(["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"], CONFIG),
    plain("iam:ListUsers", "*"),
    plain("sts:AssumeRole", "*"),
)  # fmt: skip


@pytest.fixture(scope="module")
def gateway(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[remit.Gateway]:
    """The client of a gateway that counts nobody's calls."""
    folder = tmp_path_factory.mktemp("promise")
    root = sandbox.aws.client("s3")
    root.put_object(Bucket="reports", Key="drafts/plan.md", Body=b"a draft")
    with own_gateway(sandbox, folder) as own, client(sandbox, own.mtls) as connected:
        yield connected
    for key in (*WRITTEN, "drafts/plan.md"):
        root.delete_object(Bucket="reports", Key=key)


class Thief:
    """Calls AWS with bare keys; its clients are made once, because making them takes longer than all of the probes."""

    def __init__(self, sandbox: Sandbox) -> None:
        session = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
        session.set_credentials("none", "none", "none")
        keys = session.get_credentials()
        assert keys is not None
        self._keys = keys
        config = Config(retries={"total_max_attempts": 1}, proxies={}, s3={"addressing_style": "path"})
        self._clients = {
            service: session.create_client(service, REGION, endpoint_url=sandbox.aws.endpoint_url, config=config)
            for service in {probe.service for probe in PROBES}
        }

    def can_do(self, keys: AwsKeys) -> set[Probe]:
        """Returns the probes that the account lets through."""
        self._keys.access_key = keys.access_key_id
        self._keys.secret_key = keys.secret_access_key
        self._keys.token = keys.session_token
        return {probe for probe in PROBES if self._is_let_through(probe)}

    def _is_let_through(self, probe: Probe) -> bool:
        try:
            probe.call(self._clients[probe.service])
        except ClientError as error:
            if error.response["Error"]["Code"] not in REFUSALS:
                raise
            return False
        return True


def within(rights: Rights) -> set[Probe]:
    """Returns the probes that the rights hold."""
    return {probe for probe in PROBES if probe.is_within(rights)}


def keys_of(task: remit.Task) -> AwsKeys:
    """Returns a task's bare keys."""
    found = task.credentials()
    return AwsKeys(found.access_key_id, found.secret_access_key, found.session_token)


@pytest.mark.usefixtures("gateway")
def test_every_probe_is_something_that_the_account_can_do(sandbox: Sandbox) -> None:
    assert Thief(sandbox).can_do(sandbox.aws.root) == set(PROBES)


@pytest.mark.parametrize("user", ENTITLED)
def test_credentials_do_what_was_granted_and_never_more_than_was_asked_and_may_be_delegated(
    sandbox: Sandbox, gateway: remit.Gateway, user: str
) -> None:
    token, thief = sandbox.issuer.token(user, client_id="copilot"), Thief(sandbox)
    outcomes: Counter[str] = Counter()
    wider: list[tuple[str, Probe]] = []
    missing: list[tuple[str, Probe]] = []

    for wish in WISHES:
        for outcome, narrow in (("as asked", False), ("narrowed", True)):
            try:
                with gateway.task("probe", subject_token=token, allow=wish.allow, narrow=narrow) as task:
                    can_do = thief.can_do(keys_of(task))
            except (remit.Refused, remit.InvalidRequest, remit.ApprovalPending):
                continue
            outcomes[outcome] += 1
            wider += [(wish.name, probe) for probe in can_do - (within(wish.rights) & within(ENTITLED[user]))]
            missing += [] if narrow else [(wish.name, probe) for probe in within(wish.rights) - can_do]
            break

    assert wider == []
    assert missing == []
    assert outcomes["as asked"] >= 10
    assert outcomes["narrowed"] >= 10
