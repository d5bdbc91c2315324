"""SPIFFE: JWT-SVIDs and X509-SVIDs over a Workload API that keeps to its specification, and what goes wrong there."""

import datetime as dt
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st
from spiffe import WorkloadApiClient
from tests.svid_forge import svid
from tests.token_forge import ec_key
from tests.waiting import until
from tests.workload.tokens import AUDIENCE, jwt
from tests.workload.workload_api_server import PKCS8, X509, WorkloadApi, workload_api, x509_of

from remit import workload
from remit.workload import NoWorkloadIdentity, der, spiffe
from remit.workload.workload_api import target_of
from remit_sandbox.certificates import Authority

COPILOT, SCRIBE = "spiffe://acme.example/copilot", "spiffe://acme.example/scribe"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[WorkloadApi]:
    with workload_api(tmp_path) as api:
        yield api


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("authority"))


def forged(spiffe_id: str, *, ends_in: dt.timedelta = dt.timedelta(hours=1)) -> X509:
    """Returns an SVID of no authority, that ends in so long."""
    now = dt.datetime.now(dt.UTC)
    key = ec_key().private_bytes(serialization.Encoding.DER, PKCS8, serialization.NoEncryption())
    chain = svid(spiffe_id, start=now - dt.timedelta(hours=1), end=now + ends_in)
    return X509(spiffe_id, chain, key, chain)


def test_another_client_of_this_api_gets_the_same_from_it(api: WorkloadApi, authority: Authority) -> None:
    api.rotate(x509_of(authority, COPILOT, authority.issue_client(COPILOT)))
    api.tokens[AUDIENCE] = [jwt(sub=COPILOT, aud=AUDIENCE)]

    with WorkloadApiClient(api.address) as theirs, workload.spiffe_x509(socket=api.address) as ours:
        their_token = theirs.fetch_jwt_svid(audience={AUDIENCE}, timeout=10).token
        their_svid = theirs.fetch_x509_svid(timeout=10)
        our_svid = ours.current()

    assert workload.spiffe_jwt(AUDIENCE, socket=api.address)() == their_token
    assert (our_svid.spiffe_id, our_svid.end) == (COPILOT, their_svid.leaf.not_valid_after_utc.timestamp())
    assert x509.load_pem_x509_certificates(our_svid.chain) == list(their_svid.cert_chain)


def test_both_clients_may_be_in_one_process() -> None:
    from remit.workload.workload_api import message  # noqa: PLC0415

    assert message("X509SVIDRequest").DESCRIPTOR.full_name == "remit.spiffe.X509SVIDRequest"


@pytest.mark.parametrize("way", ["unix", "tcp", "variable"])
def test_a_jwt_svid_is_asked_of_the_agents_socket(
    api: WorkloadApi, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = jwt()
    api.tokens[AUDIENCE] = [token]
    if way == "tcp":
        with workload_api(None, WorkloadApi(tokens=api.tokens)) as by_tcp:
            assert workload.spiffe_jwt(AUDIENCE, socket=by_tcp.address)() == token
        return
    monkeypatch.setenv("SPIFFE_ENDPOINT_SOCKET", api.address)
    socket = None if way == "variable" else f"unix:{tmp_path / 'api.sock'}"

    assert workload.spiffe_jwt(AUDIENCE, socket=socket, spiffe_id=COPILOT)() == token
    assert api.asked == [((AUDIENCE,), COPILOT)]


def test_a_jwt_svid_is_kept_until_it_is_nearly_over(api: WorkloadApi) -> None:
    first, second, third = jwt(jti="1"), jwt(jti="2", ends_in=-1), jwt(jti="3")
    api.tokens[AUDIENCE] = [first, second]
    kept = workload.spiffe_jwt(AUDIENCE, socket=api.address)

    assert kept() == kept() == first
    api.tokens["other"] = [second, third]
    fleeting = workload.spiffe_jwt("other", socket=api.address)
    assert [fleeting(), fleeting()] == [second, third]


def test_a_workload_that_is_not_registered_is_told_so(api: WorkloadApi) -> None:
    with pytest.raises(NoWorkloadIdentity) as raised:
        workload.spiffe_jwt(AUDIENCE, socket=api.address)()

    assert raised.value.message == ("the SPIFFE Workload API gave no identity: PERMISSION_DENIED: no identity issued")
    assert "spire-server entry create" in raised.value.advice


@pytest.mark.parametrize(
    "socket",
    [
        "tcp://10.0.0.1:8081", "tcp://spire.example:8081", "tcp://127.0.0.1", "tcp://localhost:1", "tcp://0.0.0.0:1",
        "tcp://127.0.0.1:99999", "https://127.0.0.1:1", "unix:relative", "relative/path", "unix://host/path",
        "unix:///path?x",
    ],
)  # fmt: skip
def test_an_address_that_keys_should_not_travel_to_is_refused(socket: str) -> None:
    with pytest.raises(NoWorkloadIdentity) as raised:
        target_of(socket)

    assert "127.0.0.1" in raised.value.advice


def test_a_missing_socket_and_one_that_is_a_file_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPIFFE_ENDPOINT_SOCKET", raising=False)
    (tmp_path / "file").touch()

    with pytest.raises(NoWorkloadIdentity, match="SPIFFE_ENDPOINT_SOCKET is not set"):
        target_of(None)
    with pytest.raises(NoWorkloadIdentity, match="cannot be used: No such file or directory"):
        target_of(f"unix://{tmp_path / 'none'}")
    with pytest.raises(NoWorkloadIdentity, match="is no socket"):
        target_of(f"unix://{tmp_path / 'file'}")


async def test_a_certificate_is_followed_when_it_rotates(api: WorkloadApi, authority: Authority) -> None:
    first, second = (x509_of(authority, COPILOT, authority.issue_client(COPILOT)) for _ in range(2))
    api.rotate(first)
    with workload.spiffe_x509(socket=api.address) as source:
        before = source.current()

        api.rotate(second)
        await until(lambda: source.current().version > before.version)

        assert der.certificates(second.chain) != der.certificates(first.chain)
        assert source.current().chain == der.pem_of(second.chain)
        assert ssl.PEM_cert_to_DER_cert(source.current().bundle.decode()) == second.bundle


def test_of_several_the_first_is_taken_or_the_one_that_is_named(api: WorkloadApi) -> None:
    api.rotate(forged(SCRIBE), forged(COPILOT))

    with (
        workload.spiffe_x509(socket=api.address) as first,
        workload.spiffe_x509(socket=api.address, spiffe_id=COPILOT) as named,
    ):
        assert (first.spiffe_id, named.spiffe_id) == (SCRIBE, COPILOT)


async def test_one_that_is_not_sent_any_more_is_not_used_any_more(api: WorkloadApi) -> None:
    api.rotate(forged(COPILOT))
    with workload.spiffe_x509(socket=api.address, spiffe_id=COPILOT) as source:
        source.current()

        api.rotate(forged(SCRIBE))
        await until(lambda: source._watch._svid is None)

        with pytest.raises(NoWorkloadIdentity, match="has taken this workload's certificate back") as raised:
            source.current()
    assert raised.value.reason == "WORKLOAD_CERTIFICATE_UNAVAILABLE"


def test_a_certificate_outlasts_the_agent(tmp_path: Path) -> None:
    with workload_api(tmp_path, WorkloadApi(held=(forged(COPILOT),))) as api:
        source = workload.spiffe_x509(socket=api.address)
        before = source.current()

    assert source.current() == before
    source.close()


def test_one_that_is_over_is_not_shown_to_anybody(tmp_path: Path) -> None:
    over = forged(COPILOT, ends_in=-dt.timedelta(seconds=1))

    with (
        workload_api(tmp_path, WorkloadApi(held=(over,))) as api,
        workload.spiffe_x509(socket=api.address) as source,
        pytest.raises(NoWorkloadIdentity, match=f"the certificate of {COPILOT} is over, and no other has come"),
    ):
        source.current()


async def test_an_agent_that_starts_again_is_listened_to_again(tmp_path: Path) -> None:
    first, second = forged(COPILOT), forged(SCRIBE)
    with workload_api(tmp_path, WorkloadApi(held=(first,))) as api:
        source = workload.spiffe_x509(socket=api.address)
        assert source.spiffe_id == COPILOT

    with workload_api(tmp_path, WorkloadApi(held=(second,))):
        await until(lambda: source.spiffe_id == SCRIBE)
    source.close()


def test_one_that_is_registered_late_is_waited_for(tmp_path: Path) -> None:
    with (
        workload_api(tmp_path, WorkloadApi(held=None)) as api,
        workload.spiffe_x509(socket=api.address) as source,
    ):
        registration = threading.Timer(0.3, api.rotate, [forged(COPILOT)])
        registration.start()

        assert source.spiffe_id == COPILOT
        registration.join()


def test_without_a_certificate_it_gives_up_and_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spiffe, "PATIENCE", 0.5)
    with (
        workload_api(tmp_path, WorkloadApi(held=None)) as api,
        workload.spiffe_x509(socket=api.address) as source,
        pytest.raises(NoWorkloadIdentity) as raised,
    ):
        source.current()

    assert raised.value.message == (
        "the SPIFFE Workload API gave no certificate: "
        "the SPIFFE Workload API gave no identity: PERMISSION_DENIED: no identity issued"
    )
    assert "spire-server entry create" in raised.value.advice


@pytest.mark.parametrize("part", ["chain", "key", "bundle"])
@pytest.mark.parametrize("damage", [b"", b"\x30\x82\xff\xff", b"secret-canary"])
def test_damaged_certificates_are_refused_without_being_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, damage: bytes
) -> None:
    monkeypatch.setattr(spiffe, "PATIENCE", 0.5)
    good = forged(COPILOT)
    bad = X509(**{**vars(good), part: damage})

    with (
        workload_api(tmp_path, WorkloadApi(held=(bad,))) as api,
        workload.spiffe_x509(socket=api.address) as source,
        pytest.raises(NoWorkloadIdentity, match="gave a damaged certificate") as raised,
    ):
        source.current()

    assert "canary" not in str(raised.value)


def test_closing_it_ends_its_thread_and_its_stream(api: WorkloadApi) -> None:
    api.rotate(forged(COPILOT))
    source = workload.spiffe_x509(socket=api.address)
    source.current()
    thread = source._watch._thread
    assert thread is not None

    source.close()
    thread.join(30)

    assert not thread.is_alive()


def test_one_that_nobody_holds_any_more_ends_by_itself(api: WorkloadApi) -> None:
    api.rotate(forged(COPILOT))
    source = workload.spiffe_x509(socket=api.address)
    source.current()
    thread = source._watch._thread
    assert thread is not None

    del source
    thread.join(30)

    assert not thread.is_alive()


def test_its_key_is_in_nothing_that_can_be_printed(api: WorkloadApi) -> None:
    held = forged(COPILOT)
    api.rotate(held)

    with workload.spiffe_x509(socket=api.address) as source:
        svid_now = source.current()

        assert repr(source) == f"<SpiffeX509 {COPILOT}>"
        assert "PRIVATE" not in repr([svid_now, vars(source._watch)])
        assert b"PRIVATE KEY" in svid_now.key.reveal()


def test_der_is_read_as_the_standard_library_of_cryptography_reads_it(authority: Authority) -> None:
    chain = b"".join(
        x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(serialization.Encoding.DER)
        for path in (authority.issue_client(COPILOT).certificate_path, authority.bundle_path)
    )

    leaf, root = der.certificates(chain)

    assert leaf + root == chain
    assert der.end_of(root) == x509.load_der_x509_certificate(root).not_valid_after_utc.timestamp()
    assert der.pem_of(chain) == b"".join(
        x509.load_der_x509_certificate(one).public_bytes(serialization.Encoding.PEM) for one in (leaf, root)
    )


@pytest.mark.parametrize("year", [1960, 1999, 2049, 2050, 2999])
def test_the_end_of_a_certificate_is_read_in_both_of_its_forms(year: int) -> None:
    end = dt.datetime(year, 2, 3, 4, 5, 6, tzinfo=dt.UTC)

    leaf = svid(
        COPILOT, start=dt.datetime(1955, 1, 1, tzinfo=dt.UTC), end=end, purposes=[ExtendedKeyUsageOID.CLIENT_AUTH]
    )

    assert der.end_of(leaf) == end.timestamp()


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_fail_in_another_way_than_it_says(data: bytes) -> None:
    for read in (der.certificates, der.pem_of, der.pem_of_key, der.end_of):
        try:
            read(data)
        except ValueError:
            continue


@given(st.integers(min_value=0, max_value=600), st.integers(min_value=0, max_value=255))
def test_a_spoiled_certificate_makes_the_reader_fail_in_no_other_way_either(place: int, value: int) -> None:
    leaf = bytearray(svid(COPILOT))
    leaf[place % len(leaf)] = value

    try:
        der.end_of(bytes(leaf))
    except ValueError:
        return
