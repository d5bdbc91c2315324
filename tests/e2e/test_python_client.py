"""The table of what every client does (tests/clients/behaviours.json), for the Python client, on the live sandbox."""

import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from tests.e2e.client_world import BRIEF_SECONDS, Desk, brief_policies, rows
from tests.e2e.gateways import client, own_gateway
from tests.e2e.tcp_relay import tcp_relay

import remit
from remit.grant import Credentials
from remit_sandbox.aws_client import AwsKeys
from remit_sandbox.sample_account import REGION
from remit_sandbox.sandbox import Sandbox

pytestmark = pytest.mark.timeout(240)  # some rows wait for the end of credentials
HERE = Path(__file__).parent
Q3 = remit.Permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/*")
EVERYTHING = remit.Permission("s3:GetObject", "arn:aws:s3:::reports/*")
SUMMARY, LAST_QUARTER, PUBLISHED = "2026/q3/summary.md", "2026/q2/summary.md", "2026/q3/published.md"
ELSEWHERE = {
    "attenuate": "test_attenuate.py::test_a_part_may_do_its_one_thing_and_the_account_refuses_it_the_rest_of_the_task",
    "delegate": "test_sub_agents.py::test_delegate",
    "lease": "test_gone_with_the_task.py::test_the_task_of_an_agent_that_is_gone_ends_by_its_lease",
    "revoke": "test_gone_with_the_task.py::test_a_revoke_on_another_replica_takes_the_keys_out_of_the_agents_memory",
    "secrets": "canaries/test_no_secret_in_any_sink.py::test_no_secret_is_in",
}


@dataclass(frozen=True, slots=True)
class World:
    """The sandbox, what only its people may do, and alice's token."""

    sandbox: Sandbox
    desk: Desk
    token: str
    folder: Path

    def gateway(self, target: str | None = None) -> remit.Gateway:
        return client(self.sandbox, target or self.sandbox.mtls)


@pytest.fixture(scope="module")
def desk(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """People to ask, and a gateway whose credentials are short."""
    folder = tmp_path_factory.mktemp("desk")
    ledger = folder / "brief"
    ledger.mkdir()
    with own_gateway(sandbox, ledger, {"bundle": str(brief_policies(folder / "policies"))}) as brief:
        yield Desk(sandbox, folder, brief)


@pytest.fixture
def world(sandbox: Sandbox, desk: Desk, alice_token: str, tmp_path: Path) -> World:
    return World(sandbox, desk, alice_token, tmp_path)


def read(world: World, found: Credentials, key: str) -> str:
    """Reads a report with these keys, at AWS."""
    s3 = world.sandbox.aws.client("s3", keys_of(found))
    return str(s3.get_object(Bucket="reports", Key=key)["Body"].read(), "utf-8")


def keys_of(found: Credentials) -> AwsKeys:
    return AwsKeys(found.access_key_id, found.secret_access_key, found.session_token)


def wait_until(when: float) -> None:
    time.sleep(max(0.0, when - time.time()))


def issue(world: World) -> None:
    with world.gateway() as gateway, gateway.task("summarise Q3", subject_token=world.token, allow=Q3) as task:
        found = read(world, task.credentials(), SUMMARY)
        with pytest.raises(ClientError, match="AccessDenied"):
            read(world, task.credentials(), LAST_QUARTER)

    assert "Revenue 857" in found


def narrow(world: World) -> None:
    with (
        world.gateway() as gateway,
        gateway.task("read all", subject_token=world.token, allow=EVERYTHING, narrow=True) as task,
    ):
        found = read(world, task.credentials(), LAST_QUARTER)
        with pytest.raises(ClientError, match="AccessDenied"):
            read(world, task.credentials(), "hr/salaries.csv")

    assert found


def refusal(world: World) -> None:
    with world.gateway() as gateway:
        with pytest.raises(remit.Refused) as raised:
            gateway.task("read all", subject_token=world.token, allow=EVERYTHING).__enter__()
        with gateway.task("read less", subject_token=world.token, allow=raised.value.offer) as task:
            found = read(world, task.credentials(), SUMMARY)

    refused = raised.value
    assert (refused.reason, refused.remedy) == ("CEILING_EXCEEDED", remit.Remedy.NARROW)
    assert (refused.failures[0].action, refused.failures[0].rule) == ("s3:GetObject", "entitlements")
    assert "Revenue 857" in found


def invalid(world: World) -> None:
    with world.gateway() as gateway, pytest.raises(remit.InvalidRequest) as raised:
        gateway.task("p", subject_token=world.token, allow=Q3, labels={"A Canary": "x"}).__enter__()

    assert raised.value.reason == "INVALID_REQUEST"
    assert raised.value.violations[0].path.startswith("intent.labels")
    assert raised.value.violations[0].rule
    assert "Canary" not in str(raised.value)


def unauthenticated(world: World) -> None:
    over = world.desk.token("alice", age=86_400)

    with world.gateway() as gateway, pytest.raises(remit.Unauthenticated) as raised:
        gateway.task("p", subject_token=over, allow=Q3).__enter__()

    assert (raised.value.reason, raised.value.remedy) == ("SUBJECT_TOKEN_REJECTED", remit.Remedy.REAUTHENTICATE)
    assert "the user has to sign in again" in str(raised.value)


def unreachable(world: World) -> None:
    asked: list[str] = []
    gateway = client(world.sandbox, "127.0.0.1:1", bearer_token=lambda: counted(asked, "made-up"))

    with gateway, pytest.raises(remit.Unavailable) as raised:
        gateway.task("p", subject_token=world.token, allow=Q3).__enter__()

    assert (raised.value.reason, raised.value.remedy) == ("UNAVAILABLE", remit.Remedy.RETRY_LATER)
    assert "127.0.0.1:1" in raised.value.message
    assert "check that the gateway runs, and the port" in str(raised.value)
    assert 1 <= len(asked) < 10


def refresh(world: World) -> None:
    with (
        world.gateway(world.desk.brief.mtls) as gateway,
        gateway.task("summarise Q3", subject_token=world.token, allow=Q3) as task,
    ):
        first = task.credentials()
        wait_until(first.expire_time.timestamp() - 1)
        with ThreadPoolExecutor(8) as pool:
            keys = {found.access_key_id for found in pool.map(lambda _: task.credentials(), range(8))}
        text = read(world, task.credentials(), SUMMARY)
        sets = len(task.grant.issuances)

    assert (len(keys), sets) == (1, 2)
    assert first.access_key_id not in keys
    assert "Revenue 857" in text


def outage(world: World) -> None:
    with (
        ExitStack() as way,
        world.gateway(way.enter_context(tcp_relay(world.desk.brief.mtls)).address) as gateway,
        pytest.raises(remit.Unavailable, match="cannot be reached"),
    ):
        _outlasts(gateway, way, world)


def _outlasts(gateway: remit.Gateway, way: ExitStack, world: World) -> None:
    """Works while the gateway is away, until the credentials have ended."""
    with gateway.task("summarise Q3", subject_token=world.token, allow=Q3) as task:
        first = task.credentials()
        way.close()
        wait_until(first.expire_time.timestamp() - BRIEF_SECONDS / 4)
        kept = task.credentials()
        assert kept == first
        assert "Revenue 857" in read(world, kept, SUMMARY)
        wait_until(first.expire_time.timestamp())
        task.credentials()
        pytest.fail("credentials came from nowhere")


def duration(world: World) -> None:
    with (
        world.gateway() as gateway,
        gateway.task("summarise Q3", subject_token=world.token, allow=Q3, duration=15) as task,
    ):
        first = task.credentials()
        wait_until(first.expire_time.timestamp() - 2)
        last = task.credentials()
        wait_until(first.expire_time.timestamp())
        with pytest.raises(remit.TaskOver, match="its time is over") as raised:
            task.credentials()

    assert last == first
    assert raised.value.reason == "GRANT_NOT_LIVE"


def end(world: World) -> None:
    with world.gateway() as gateway:
        with gateway.task("summarise Q3", subject_token=world.token, allow=Q3) as task:
            kept = task.boto3_session().client("s3", endpoint_url=world.sandbox.aws.endpoint_url, region_name=REGION)
        with pytest.raises(remit.TaskOver):
            kept.get_object(Bucket="reports", Key=SUMMARY)

    assert world.desk.end_of(task.id)


def end_on_error(world: World) -> None:
    with world.gateway() as gateway, pytest.raises(ZeroDivisionError):
        _fails_within(gateway, world)


def _fails_within(gateway: remit.Gateway, world: World) -> None:
    task_id = ""
    try:
        with gateway.task("summarise Q3", subject_token=world.token, allow=Q3) as task:
            task_id = task.id
            _ = 1 / 0
    finally:
        assert world.desk.end_of(task_id)


def approval(world: World) -> None:
    allow = remit.Permission("s3:PutObject", f"arn:aws:s3:::reports/{PUBLISHED}")
    with world.gateway() as gateway:
        with pytest.raises(remit.ApprovalPending) as raised:
            gateway.task("publish Q3", subject_token=world.token, allow=allow).__enter__()
        pending = raised.value
        world.desk.approve(pending.approval, pending.digest)
        collected = gateway.task("publish Q3", subject_token=world.token, allow=allow, request_id=pending.request_id)
        with collected as task:
            s3 = world.sandbox.aws.client("s3", keys_of(task.credentials()))
            s3.put_object(Bucket="reports", Key=PUBLISHED, Body=b"# Q3\n")

    assert pending.groups == ("security",)
    assert pending.approval in str(pending)
    assert task.id == pending.task_id


def token_source(world: World) -> None:
    asked: list[str] = []

    with world.gateway() as gateway:
        source = lambda: counted(asked, world.token)  # noqa: E731 - what a user gives
        gateway.preview("p", subject_token=source, allow=Q3)
        with gateway.task("p", subject_token=source, allow=Q3, lease=None):
            pass

    assert len(asked) == 2


def certificates(world: World) -> None:
    agents = world.sandbox.agents
    files = [world.folder / "agent.pem", world.folder / "agent.key"]
    _copied([agents["copilot"].certificate_path, agents["copilot"].key_path], files)
    crawler_token = world.sandbox.issuer.token("alice", client_id="crawler")
    with remit.Gateway(
        world.sandbox.mtls,
        ca_file=world.sandbox.authority.bundle_path,
        certificate_file=files[0],
        key_file=files[1],
    ) as gateway:
        with gateway.task("p", subject_token=world.token, allow=Q3) as task:
            before = task.grant.actor
        _copied([agents["crawler"].certificate_path, agents["crawler"].key_path], files)
        with gateway.task("p", subject_token=crawler_token, allow=Q3) as task:
            after = task.grant.actor

    assert (before.rpartition("/")[2], after.rpartition("/")[2]) == ("copilot", "crawler")


def _copied(there: Sequence[Path], here: Sequence[Path]) -> None:
    for source, target in zip(there, here, strict=True):
        shutil.copy(source, target)


def counted(asked: list[str], token: str) -> str:
    asked.append(token)
    return token


PROOFS: dict[str, Callable[[World], None]] = {
    proof.__name__: proof
    for proof in (
        *(issue, narrow, refusal, invalid, unauthenticated, unreachable, refresh, outage, duration),
        *(end, end_on_error, approval, token_source, certificates),
    )
}


@pytest.mark.parametrize("row", PROOFS)
def test_the_python_client_proves(row: str, world: World) -> None:
    PROOFS[row](world)


def test_every_row_of_the_table_has_its_proof_here_or_elsewhere() -> None:
    assert rows().keys() == PROOFS.keys() | ELSEWHERE.keys()
    assert not PROOFS.keys() & ELSEWHERE.keys()
    for place in ELSEWHERE.values():
        file, _, name = place.partition("::")
        assert re.search(rf"^(?:async )?def {name}\(", (HERE / file).read_text(encoding="utf-8"), re.MULTILINE), place
