import datetime as dt
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.svid_forge import COPILOT, key_usage, svid, uris
from tests.token_forge import NOON, HandClock, thumbprint

from remit_sandbox.certificates import Authority
from remit_server.adapters.identity.spiffe import SpiffeVerifier, certificate_thumbprint
from remit_server.adapters.identity.token_parsing import TokenRefused
from remit_server.domain.errors import Remedy
from remit_server.domain.spiffe_id import is_trust_domain, spiffe_id_of


def _verifier(clock: HandClock | None = None) -> SpiffeVerifier:
    return SpiffeVerifier(trust_domains={"example.org"}, clock=clock or HandClock())


def _refusal(certificate_der: bytes, clock: HandClock | None = None) -> TokenRefused:
    with pytest.raises(TokenRefused) as refused:
        _verifier(clock).verify(certificate_der)
    return refused.value


def test_an_svid_names_its_workload_and_its_own_thumbprint() -> None:
    certificate = svid(COPILOT)

    found = _verifier().verify(certificate)

    assert (found.spiffe_id.text, found.spiffe_id.trust_domain) == (COPILOT, "example.org")
    assert found.thumbprint == thumbprint(certificate) == certificate_thumbprint(certificate)


def test_other_names_beside_the_one_uri_do_not_matter() -> None:
    certificate = svid(san=[x509.DNSName("copilot.example.org"), *uris(COPILOT)])

    assert _verifier().verify(certificate).spiffe_id.text == COPILOT


def test_an_svid_without_extended_key_usage_is_taken() -> None:
    assert _verifier().verify(svid(COPILOT, purposes=None)).spiffe_id.text == COPILOT


def test_an_svid_of_the_sandbox_is_taken(tmp_path: Any) -> None:
    authority = Authority.create(tmp_path / "authority")
    pem = authority.issue_client(COPILOT).certificate_path.read_bytes()
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)

    assert _verifier(HandClock(dt.datetime.now(dt.UTC))).verify(der).spiffe_id.text == COPILOT


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"authority": True}, "authority"),
        ({"usage": None}, "key usage"),
        ({"usage": key_usage(key_agreement=True)}, "key usage"),
        ({"usage": key_usage(digital_signature=True, key_cert_sign=True)}, "key usage"),
        ({"usage": key_usage(digital_signature=True, crl_sign=True)}, "key usage"),
        ({"purposes": [ExtendedKeyUsageOID.SERVER_AUTH]}, "clientAuth"),
        ({"san": []}, "exactly one URI"),
        ({"san": uris(COPILOT, "spiffe://example.org/other")}, "exactly one URI"),
        ({"san": uris(COPILOT, COPILOT)}, "exactly one URI"),
        ({"san": uris(COPILOT, "https://example.org/")}, "exactly one URI"),
        ({"san": [x509.DNSName("copilot.example.org")]}, "exactly one URI"),
    ],
)
def test_a_certificate_that_is_no_workloads_svid_is_refused(changes: dict[str, Any], why: str) -> None:
    assert why in _refusal(svid(COPILOT, **changes)).why


@pytest.mark.parametrize(
    "trust_domain", ["evil.example", "example.org.evil.example", "sub.example.org", "example.orgx"]
)
def test_a_foreign_trust_domain_is_refused(trust_domain: str) -> None:
    assert "trust domain" in _refusal(svid(f"spiffe://{trust_domain}/agents/copilot")).why


def test_no_trust_domain_is_trusted_unless_it_is_configured() -> None:
    nobody = SpiffeVerifier(trust_domains=frozenset(), clock=HandClock())

    with pytest.raises(TokenRefused):
        nobody.verify(svid(COPILOT))


@pytest.mark.parametrize(("seconds", "accepted"), [(3600, True), (3601, False), (-3600, True), (-3601, False)])
def test_validity_is_checked_again_against_the_clock(seconds: int, accepted: bool) -> None:
    clock = HandClock(NOON + dt.timedelta(seconds=seconds))

    if accepted:
        assert _verifier(clock).verify(svid(COPILOT)).spiffe_id.text == COPILOT
    else:
        assert ("not valid yet" if seconds < 0 else "expired") in _refusal(svid(COPILOT), clock).why


def test_an_expired_svid_is_to_be_fetched_anew() -> None:
    assert _refusal(svid(COPILOT), HandClock(NOON + dt.timedelta(hours=2))).remedy is Remedy.REAUTHENTICATE


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\x30", b"not a certificate", svid(COPILOT)[:-1], svid(COPILOT) + b"\x00"],
    ids=["empty", "one byte", "text", "cut short", "one byte more"],
)
def test_what_is_no_certificate_is_refused(garbage: bytes) -> None:
    assert "malformed" in _refusal(garbage).why


def test_an_oversized_certificate_is_not_even_parsed() -> None:
    assert "longer than" in _refusal(b"\x30" * 40_000).why


def test_a_refusal_does_not_repeat_the_certificates_name() -> None:
    refused = _refusal(svid("spiffe://evil-marker.example/agents/copilot-marker"))

    assert "marker" not in refused.why


# --- SPIFFE-ID 2: the grammar ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "spiffe://example.org/a",
        "spiffe://example.org/a/b.c/d-e_f/..g/...",
        "spiffe://prod_1.example-2.org/ns/default/sa/copilot",
        "spiffe://" + "a" * 255 + "/x",
        "spiffe://example.org/" + "p" * (2048 - 21),
    ],
)
def test_a_spiffe_id_is_read(text: str) -> None:
    assert spiffe_id_of(text).text == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "spiffe://",
        "spiffe://example.org",
        "spiffe://example.org/",
        "spiffe://example.org/a/",
        "spiffe://example.org//a",
        "spiffe://example.org/./a",
        "spiffe://example.org/a/..",
        "spiffe://example.org/../a",
        "spiffe://Example.org/a",
        "SPIFFE://example.org/a",
        "spiffe://example.org:443/a",
        "spiffe://user@example.org/a",
        "spiffe://example.org/a?b",
        "spiffe://example.org/a#b",
        "spiffe://example.org/a%2fb",
        "spiffe://example.org/a b",
        "spiffe://example.org/a\n",
        "spiffe://example.org/é",
        "spiffe://exämple.org/a",
        "spiffe:/example.org/a",
        "https://example.org/a",
        " spiffe://example.org/a",
        "spiffe://" + "a" * 256 + "/x",
        "spiffe://example.org/" + "p" * (2049 - 21),
    ],
)
def test_what_only_looks_like_a_spiffe_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not the SPIFFE ID"):
        spiffe_id_of(text)


def test_a_trust_domain_has_no_scheme_and_no_path() -> None:
    assert is_trust_domain("example.org")
    assert not any(is_trust_domain(text) for text in ("", "spiffe://example.org", "example.org/", "Example.org"))
