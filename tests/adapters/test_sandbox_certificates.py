import asyncio
import datetime as dt
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

from remit_sandbox.certificates import Authority, KeyPair
from remit_sandbox.errors import SandboxError

AGENT = "spiffe://remit.sandbox/agent/copilot"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "state")


def _certificate(pair: KeyPair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate_path.read_bytes())


def _store(authority: Authority) -> Store:
    return Store([x509.load_pem_x509_certificate(authority.bundle_path.read_bytes())])


def _strict_context(purpose: ssl.Purpose, authority: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context(purpose, cafile=str(authority.bundle_path))
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    return context


async def _handshake(server: KeyPair, client: KeyPair, trusted: Authority, host: str) -> bytes:
    """Returns what a server that demands a client certificate answers over a real socket."""
    at_server = _strict_context(ssl.Purpose.CLIENT_AUTH, trusted)
    at_server.verify_mode = ssl.CERT_REQUIRED
    at_server.load_cert_chain(server.certificate_path, server.key_path)
    at_client = _strict_context(ssl.Purpose.SERVER_AUTH, trusted)
    at_client.load_cert_chain(client.certificate_path, client.key_path)

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"welcome")
        writer.close()

    listener = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=at_server)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=at_client, server_hostname=host)
        try:
            return await reader.read()
        finally:
            writer.close()


def test_an_svid_carries_the_spiffe_id_as_its_only_name(authority: Authority) -> None:
    certificate = _certificate(authority.issue_client(AGENT))

    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert list(names) == [x509.UniformResourceIdentifier(AGENT)]


def test_an_svid_is_a_p256_leaf_for_client_authentication_and_signatures_only(authority: Authority) -> None:
    certificate = _certificate(authority.issue_client(AGENT))

    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    public_key = certificate.public_key()

    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    assert public_key.curve.name == "secp256r1"
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert constraints.critical
    assert not constraints.value.ca


def test_an_svid_lives_24_hours(authority: Authority) -> None:
    start = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)

    certificate = _certificate(authority.issue_client(AGENT, start=start))

    assert certificate.not_valid_after_utc == start + dt.timedelta(hours=24)


def test_a_strict_verifier_accepts_the_server_certificate_for_its_names_only(authority: Authority) -> None:
    certificate = _certificate(authority.issue_server(["localhost", "127.0.0.1"]))
    policy = PolicyBuilder().store(_store(authority))

    chain = policy.build_server_verifier(x509.DNSName("localhost")).verify(certificate, [])

    assert len(chain) == 2
    with pytest.raises(x509.verification.VerificationError):
        policy.build_server_verifier(x509.DNSName("elsewhere.test")).verify(certificate, [])


def test_a_strict_verifier_accepts_the_svid(authority: Authority) -> None:
    certificate = _certificate(authority.issue_client(AGENT))

    verified = PolicyBuilder().store(_store(authority)).build_client_verifier().verify(certificate, [])

    assert verified.subjects == [x509.UniformResourceIdentifier(AGENT)]


def test_another_authority_does_not_vouch_for_the_svid(authority: Authority, tmp_path: Path) -> None:
    certificate = _certificate(Authority.create(tmp_path / "other").issue_client(AGENT))
    verifier = PolicyBuilder().store(_store(authority)).build_client_verifier()

    with pytest.raises(x509.verification.VerificationError):
        verifier.verify(certificate, [])


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_client_and_server_authenticate_each_other_under_strict_verification(
    authority: Authority, host: str
) -> None:
    server = authority.issue_server(["localhost", "127.0.0.1"])

    answer = await _handshake(server, authority.issue_client(AGENT), authority, host)

    assert answer == b"welcome"


def test_a_strict_verifier_turns_an_expired_svid_away(authority: Authority) -> None:
    long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=2)
    certificate = _certificate(authority.issue_client(AGENT, start=long_ago))
    verifier = PolicyBuilder().store(_store(authority)).build_client_verifier()

    with pytest.raises(x509.verification.VerificationError, match="not valid at validation time"):
        verifier.verify(certificate, [])


def test_what_the_authority_writes_is_for_its_owner_only(authority: Authority) -> None:
    authority.issue_server(["localhost"])
    authority.issue_client(AGENT)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in authority.folder.iterdir()}

    assert stat.S_IMODE(authority.folder.stat().st_mode) == 0o700
    assert len(modes) == 5
    assert set(modes.values()) == {0o600}


def test_the_authoritys_own_key_is_nowhere_on_disk(authority: Authority) -> None:
    authority.issue_server(["localhost"])

    keys = [path.name for path in authority.folder.iterdir() if b"PRIVATE KEY" in path.read_bytes()]

    assert keys == ["server+localhost.key"]


def test_a_folder_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o755)

    with pytest.raises(SandboxError, match="chmod 700"):
        Authority.create(folder)


@pytest.mark.parametrize(
    "spiffe_id",
    [
        "https://remit.sandbox/agent",
        "spiffe://remit.sandbox",
        "spiffe://remit.sandbox/",
        "spiffe://remit.sandbox/agent/../root",
        "spiffe://remit.sandbox/agent//copilot",
        "spiffe://Remit.Sandbox/agent",
        "spiffe://remit.sandbox/agent?x=1",
        "spiffe://remit.sandbox/agent\n",
    ],
)
def test_what_is_no_spiffe_id_gets_no_certificate(authority: Authority, spiffe_id: str) -> None:
    with pytest.raises(SandboxError, match="no SPIFFE ID"):
        authority.issue_client(spiffe_id)


@pytest.mark.parametrize("names", [[], ["../evil"], ["has space"], ["UPPER"]])
def test_what_is_no_host_name_gets_no_server_certificate(authority: Authority, names: list[str]) -> None:
    with pytest.raises(SandboxError):
        authority.issue_server(names)
