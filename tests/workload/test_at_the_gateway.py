"""What a gateway gets from a workload: one token where one source gives both, and the certificate as it is now."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.scripted_gateway import REPORTS, ScriptedGateway, issued, renewed, scripted_gateway
from tests.waiting import until
from tests.workload.github_endpoint import REQUEST_TOKEN, Endpoint, github_endpoint
from tests.workload.tokens import AUDIENCE, jwt
from tests.workload.workload_api_server import WorkloadApi, workload_api, x509_of

import remit
from remit_server.domain.errors import Outage, Reason

COPILOT, SCRIBE = "spiffe://remit.test/agent/copilot", "spiffe://remit.test/agent/scribe"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedGateway]:
    with scripted_gateway(tmp_path) as server:
        yield server


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    with github_endpoint() as endpoint:
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", endpoint.url)
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", REQUEST_TOKEN)
        yield endpoint


@pytest.fixture
def api(tmp_path: Path, server: ScriptedGateway) -> Iterator[WorkloadApi]:
    held = x509_of(server.authority, COPILOT, server.authority.issue_client(COPILOT))
    with workload_api(tmp_path, WorkloadApi(held=(held,))) as api:
        yield api


def as_github(server: ScriptedGateway) -> tuple[remit.Gateway, remit.workload.WorkloadToken]:
    """Returns a client with one source, and another source that is equal to it, as settings files make them."""
    return server.connect(bearer_token=remit.workload.github(AUDIENCE)), remit.workload.github(AUDIENCE)


@pytest.mark.usefixtures("endpoint")
def test_equal_sources_give_one_token_that_is_sent_as_both(server: ScriptedGateway) -> None:
    gateway, subject = as_github(server)

    with gateway, gateway.task("q3", subject_token=subject, allow=REPORTS, lease=None):
        pass

    assert server.authorizations[0] == [f"Bearer {server.issues[0].subject_token}"]


@pytest.mark.usefixtures("endpoint")
async def test_they_do_so_from_an_event_loop_too(server: ScriptedGateway) -> None:
    gateway, subject = as_github(server)

    async with gateway, gateway.task("q3", subject_token=subject, allow=REPORTS, lease=None):
        pass

    assert server.authorizations[0] == [f"Bearer {server.issues[0].subject_token}"]


@pytest.mark.usefixtures("endpoint")
async def test_a_preview_sends_one_token_too(server: ScriptedGateway) -> None:
    gateway, subject = as_github(server)

    with gateway, pytest.raises(remit.GatewayFailure):
        gateway.preview("q3", subject_token=subject, allow=REPORTS)
    gateway, subject = as_github(server)
    with gateway, pytest.raises(remit.GatewayFailure):
        await gateway.preview_async("q3", subject_token=subject, allow=REPORTS)

    assert server.authorizations == [[f"Bearer {one.subject_token}"] for one in server.previews]


def test_each_task_gets_a_token_of_its_own_and_repeats_send_the_same(
    server: ScriptedGateway, endpoint: Endpoint
) -> None:
    gateway, subject = as_github(server)
    again = Outage(Reason.STS_UNAVAILABLE, "away", retry_after=dt.timedelta(milliseconds=1))
    server.issue_answers += [again, issued(), issued()]

    with gateway:
        for _ in range(2):
            with gateway.task("q3", subject_token=subject, allow=REPORTS, lease=None):
                pass

    first, repeated, second = (one.subject_token for one in server.issues)
    assert first == repeated != second
    assert {first, second} <= set(endpoint.issued)


@pytest.mark.usefixtures("endpoint")
async def test_a_renewal_sends_one_token_as_both(server: ScriptedGateway) -> None:
    gateway, subject = as_github(server)
    server.issue_answers.append(issued(lifetime=dt.timedelta(seconds=900), left=dt.timedelta(seconds=1)))
    server.renew_answers.append(renewed())

    with gateway, gateway.task("q3", subject_token=subject, allow=REPORTS, lease=None) as task:
        await until(lambda: task.credentials().access_key_id != "" and server.renewals != [])
        sent = server.renewals[0].subject_token

    assert [f"Bearer {sent}"] in server.authorizations


def test_sources_of_two_platforms_give_a_token_each(
    server: ScriptedGateway, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = jwt(sub="alice")
    monkeypatch.setenv("PERSON", person)

    with (
        server.connect(bearer_token=remit.workload.github(AUDIENCE)) as gateway,
        gateway.task("q3", subject_token=remit.workload.env("PERSON"), allow=REPORTS, lease=None),
    ):
        pass

    assert server.issues[0].subject_token == person
    assert server.authorizations[0] == [f"Bearer {endpoint.issued[0]}"]


def test_a_platform_that_gives_nothing_is_told_before_the_gateway_is_asked(
    server: ScriptedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REMIT_ID_TOKEN", raising=False)
    source = remit.workload.gitlab()

    with server.connect(bearer_token=source) as gateway, pytest.raises(remit.NoWorkloadIdentity, match="id_tokens"):
        gateway.task("q3", subject_token=source, allow=REPORTS).__enter__()

    assert server.issues == []


def identities(server: ScriptedGateway) -> list[str]:
    return [peer for peer in server.peers if peer.startswith("spiffe://")]


async def test_the_next_call_shows_the_certificate_that_has_rotated(server: ScriptedGateway, api: WorkloadApi) -> None:
    scribe = x509_of(server.authority, SCRIBE, server.authority.issue_client(SCRIBE))
    source = remit.workload.spiffe_x509(socket=api.address)

    with (
        source,
        remit.Gateway(server.mtls, svid=source, ca_file=server.authority.bundle_path) as gateway,
        gateway.task("q3", subject_token="t", allow=REPORTS, lease=None),
    ):
        api.rotate(scribe)
        await until(lambda: source.spiffe_id == SCRIBE)

    assert identities(server) == [COPILOT, SCRIBE]  # issued by one, ended by the other


def test_the_gateway_can_be_trusted_by_the_bundle_of_the_svid(server: ScriptedGateway, api: WorkloadApi) -> None:
    with (
        remit.workload.spiffe_x509(socket=api.address, trusts_bundle=True) as source,
        remit.Gateway(server.mtls, svid=source) as gateway,
        gateway.task("q3", subject_token="t", allow=REPORTS, lease=None),
    ):
        pass

    assert identities(server)[0] == COPILOT


def test_without_that_the_bundle_vouches_for_nobody(server: ScriptedGateway, api: WorkloadApi) -> None:
    with (
        remit.workload.spiffe_x509(socket=api.address) as source,
        remit.Gateway(server.mtls, svid=source, timeout=2) as gateway,
        pytest.raises(remit.Unavailable),
    ):
        gateway.task("q3", subject_token="t", allow=REPORTS).__enter__()

    assert server.issues == []


def test_no_file_ever_holds_the_key(server: ScriptedGateway, api: WorkloadApi, tmp_path: Path) -> None:
    before = {path for path in tmp_path.rglob("*") if path.is_file()}

    with (
        remit.workload.spiffe_x509(socket=api.address, trusts_bundle=True) as source,
        remit.Gateway(server.mtls, svid=source) as gateway,
        gateway.task("q3", subject_token="t", allow=REPORTS, lease=None),
    ):
        during = {path for path in tmp_path.rglob("*") if path.is_file()}

    assert during == before


@pytest.mark.parametrize("more", ["bearer_token", "certificate_file", "ca_file"])
def test_two_ways_to_say_the_same_are_refused(server: ScriptedGateway, api: WorkloadApi, more: str) -> None:
    options = {more: "x"} | ({"key_file": "x"} if more == "certificate_file" else {})

    with (
        remit.workload.spiffe_x509(socket=api.address, trusts_bundle=True) as source,
        pytest.raises(ValueError, match=r"say who this agent is|trust the gateway by"),
    ):
        remit.Gateway(server.mtls, svid=source, **options)  # type: ignore[arg-type]
