"""Gone with the account: disable the user at the IdP, and AWS refuses what their agents hold.

A transmitter pushes the event over HTTPS to a real gateway; the account, not the gateway, says what still works.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from tests.e2e.gateways import Q3, OwnGateway, client, own_gateway
from tests.event_world import ACCOUNT_DISABLED, ACCOUNT_ENABLED, RECEIVER, SESSION_REVOKED
from tests.transmitter import Transmitter, running_transmitter

import remit
from remit_sandbox.sample_account import REGION
from remit_sandbox.sandbox import Sandbox
from remit_server.adapters.database.trail.audit_log import events

DRAFTS = remit.Capability("s3.write_prefix", bucket="reports", prefix="drafts/")
LONG_ENOUGH_SECONDS = 60.0
REFUSED = "SUBJECT_TOKEN_REJECTED"


@dataclass
class IdentityProvider:
    """What the identity provider does when somebody is disabled there: it pushes an event."""

    transmitter: Transmitter
    loop: asyncio.AbstractEventLoop
    gateway: OwnGateway
    users: str

    def tell(self, event_type: str, user: str, *, issuer: str = "") -> int:
        """Pushes an event about a user; returns how the gateway answered."""
        subject = {"format": "iss_sub", "iss": issuer or self.users, "sub": user}
        _, token = self.transmitter.event(event_type, sub_id=subject)
        url = f"https://{self.gateway.http}/ssf/acme"
        push = self.transmitter.push(url, token, "Bearer pushed", self.transmitter.authority.bundle_path)
        return asyncio.run_coroutine_threadsafe(push, self.loop).result(LONG_ENOUGH_SECONDS)


@contextmanager
def transmitter_in_background(sandbox: Sandbox) -> Iterator[tuple[Transmitter, asyncio.AbstractEventLoop]]:
    """Runs a transmitter in a thread of its own, so that it answers while a test waits for something else."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    running = running_transmitter(sandbox.authority)

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(LONG_ENOUGH_SECONDS)

    try:
        yield run(running.__aenter__()), loop
        run(running.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def provider(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityProvider]:
    folder: Path = tmp_path_factory.mktemp("disabled")
    secret = folder / "pushed"
    secret.write_text("pushed")
    secret.chmod(0o600)
    pair = sandbox.authority.issue_server(("127.0.0.1",))
    users = sandbox.issuer.url
    with transmitter_in_background(sandbox) as (transmitter, loop):
        more: dict[str, dict[str, object]] = {
            "listen.http": {
                "address": "127.0.0.1:0",
                "certificate_file": str(pair.certificate_path),
                "key_file": str(pair.key_path),
            },
            "[transmitters]": {
                "alias": "acme",
                "issuer": transmitter.issuer,
                "audience": RECEIVER,
                "algorithms": ["RS256"],
                "users_of": "sandbox",
                "ca_file": str(sandbox.authority.bundle_path),
                "authorization_files": [str(secret)],
            },
        }
        with own_gateway(sandbox, folder, more=more) as gateway:
            yield IdentityProvider(transmitter, loop, gateway, users)


@pytest.fixture
def connected(sandbox: Sandbox, provider: IdentityProvider) -> Iterator[remit.Gateway]:
    with client(sandbox, provider.gateway.mtls) as gateway:
        yield gateway


class Held:
    """Credentials that were taken out of a task, as an agent that does not listen holds them."""

    def __init__(self, sandbox: Sandbox, task: remit.Task) -> None:
        keys = task.credentials()
        session = boto3.Session(keys.access_key_id, keys.secret_access_key, keys.session_token, REGION)
        self._s3 = session.client("s3", endpoint_url=sandbox.aws.endpoint_url)

    def reads(self) -> bool:
        """Says whether AWS still lets these credentials read the report."""
        return self._is_let(lambda: self._s3.get_object(Bucket="reports", Key="2026/q3/summary.md"))

    def writes(self) -> bool:
        """Says whether AWS still lets these credentials write a draft."""
        return self._is_let(lambda: self._s3.put_object(Bucket="reports", Key="drafts/disabled", Body=b""))

    def _is_let(self, call: Callable[[], object]) -> bool:
        try:
            call()
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDenied":
                raise
            return False
        return True


def seconds_until_refused(since: float, works: Callable[[], bool]) -> float:
    """Waits until AWS refuses; fails when that takes longer than anybody would wait."""
    while works():
        assert time.monotonic() - since < LONG_ENOUGH_SECONDS, "AWS still lets it"
        time.sleep(0.05)
    return time.monotonic() - since


def token_of(sandbox: Sandbox, user: str) -> str:
    return sandbox.issuer.token(user, client_id="copilot")


def reason_for(gateway: remit.Gateway, token: str, wish: remit.Capability) -> str:
    """Returns why a task is refused, or nothing when it is not."""
    try:
        with gateway.task("try", subject_token=token, allow=wish):
            return ""
    except (remit.Refused, remit.Unauthenticated) as refused:
        return refused.reason


def test_disable_the_user_at_the_idp_and_aws_refuses_what_their_agents_hold(
    sandbox: Sandbox, provider: IdentityProvider, connected: remit.Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    before = token_of(sandbox, "alice")
    hers = connected.task("summarise Q3", subject_token=before, allow=Q3)
    his = connected.task("draft", subject_token=token_of(sandbox, "bob"), allow=DRAFTS)
    held, kept = Held(sandbox, hers.__enter__()), Held(sandbox, his.__enter__())
    assert held.reads()
    assert kept.writes()

    told = time.monotonic()
    answer = provider.tell(ACCOUNT_DISABLED, "alice")
    acknowledged = time.monotonic() - told
    refused = seconds_until_refused(told, held.reads)

    with capsys.disabled():
        print(f" [acknowledged after {acknowledged:.2f} s, refused by AWS after {refused:.2f} s]", end="")  # noqa: T201 - the measure
    assert answer == 202
    assert kept.writes()
    assert [reason_for(connected, token, Q3) for token in (before, token_of(sandbox, "alice"))] == [REFUSED, REFUSED]
    kinds = [event.kind for event in events(provider.gateway.log_path.parent / "ledger.sqlite3")]
    assert kinds.index("grants_revoked") < kinds.index("security_event_received")

    enabled = provider.tell(ACCOUNT_ENABLED, "alice")

    assert enabled == 202
    assert reason_for(connected, before, Q3) == REFUSED
    with connected.task("again", subject_token=later_token_of(sandbox, "alice"), allow=Q3) as again:
        assert Held(sandbox, again).reads()
    assert not held.reads()
    assert kept.writes()


def test_a_revoked_session_ends_what_is_out_and_the_next_login_works(
    sandbox: Sandbox, provider: IdentityProvider, connected: remit.Gateway
) -> None:
    before = token_of(sandbox, "bob")
    held = Held(sandbox, connected.task("draft", subject_token=before, allow=DRAFTS).__enter__())
    assert held.writes()

    answer = provider.tell(SESSION_REVOKED, "bob")

    seconds_until_refused(time.monotonic(), held.writes)
    assert answer == 202
    assert reason_for(connected, before, DRAFTS) == REFUSED
    assert reason_for(connected, later_token_of(sandbox, "bob"), DRAFTS) == ""


def test_an_event_about_another_issuers_user_of_the_same_name_changes_nothing(
    sandbox: Sandbox, provider: IdentityProvider, connected: remit.Gateway
) -> None:
    held = Held(sandbox, connected.task("q3", subject_token=later_token_of(sandbox, "alice"), allow=Q3).__enter__())

    answer = provider.tell(ACCOUNT_DISABLED, "alice", issuer="https://another-idp.example")

    assert answer == 400
    assert held.reads()
    assert reason_for(connected, token_of(sandbox, "alice"), Q3) == ""


def later_token_of(sandbox: Sandbox, user: str) -> str:
    """Returns a token of a later second than now: tokens tell their time in whole seconds."""
    time.sleep(1.0 - time.time() % 1.0)
    return token_of(sandbox, user)
