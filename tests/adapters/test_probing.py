"""What the prober makes and where it tells it: wrong tokens as like the right ones as can be, sources, metrics."""

import urllib.error
import urllib.request
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from remit_sandbox.certificates import Authority
from remit_server.adapters.probing import forging
from remit_server.adapters.probing.forging import genuine
from remit_server.adapters.probing.impostor import impostor
from remit_server.adapters.probing.material import Gathering, NotTheProbes
from remit_server.adapters.probing.metrics import ProbeMetrics, metrics_page, write_textfile
from remit_server.adapters.probing.sources import NoToken, token_source
from remit_server.application.probing.checks import FORGED
from remit_server.application.probing.values import Finding, Outcome, Round
from remit_server.domain.secret import Secret

CLAIMS = {"iss": "https://idp.test", "sub": "remit-probe", "aud": "remit", "iat": 1_000, "exp": 2_000, "azp": "probe"}
KEYS: dict[str, Any] = {
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def right(algorithm: str = "ES256", **claims: Any) -> Secret:
    headers = {"kid": "k1", "typ": "at+jwt"}
    return Secret(jwt.encode({**CLAIMS, **claims}, KEYS[algorithm], algorithm, headers=headers))


def claims_of(token: Secret) -> dict[str, Any]:
    return dict(genuine(token).unverified_claims)


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_forged_token_says_what_the_right_one_does_and_is_signed_by_another_key(algorithm: str) -> None:
    token = forging.forged(genuine(right(algorithm)))

    header = jwt.get_unverified_header(token.reveal())
    assert (header["alg"], header["kid"], header["typ"]) == (algorithm, "k1", "at+jwt")
    assert {name: claims_of(token)[name] for name in ("iss", "sub", "aud", "azp")} == {
        name: CLAIMS[name] for name in ("iss", "sub", "aud", "azp")
    }
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token.reveal(), KEYS[algorithm].public_key(), [algorithm], audience="remit")


def test_a_token_that_brings_its_own_key_verifies_with_that_key() -> None:
    token = forging.with_own_key(genuine(right())).reveal()

    brought = jwt.PyJWK(jwt.get_unverified_header(token)["jwk"])
    assert jwt.decode(token, brought, ["ES256"], audience="remit")["sub"] == "remit-probe"


def test_an_altered_token_keeps_the_genuine_signature() -> None:
    token = right()

    altered = forging.altered(genuine(token))

    assert altered.reveal().split(".")[2] == token.reveal().split(".")[2]
    assert claims_of(altered) == {**CLAIMS, "sub": "remit-probe-altered"}


def test_an_unsigned_token_says_none() -> None:
    token = forging.unsigned(genuine(right())).reveal()

    assert token.endswith(".")
    assert jwt.get_unverified_header(token)["alg"] == "none"


def test_an_impostors_certificate_has_the_agents_name_and_another_authority(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "ca")
    pair = authority.issue_client("spiffe://acme.example/agents/probe")

    made = x509.load_pem_x509_certificates(impostor(pair.certificate_path.read_bytes()).certificate)

    own = x509.load_pem_x509_certificate(pair.certificate_path.read_bytes())
    name = x509.SubjectAlternativeName
    assert made[0].extensions.get_extension_for_class(name) == own.extensions.get_extension_for_class(name)
    assert made[0].issuer == own.issuer == made[1].subject
    made[0].verify_directly_issued_by(made[1])
    with pytest.raises(InvalidSignature):
        made[0].verify_directly_issued_by(x509.load_pem_x509_certificate(authority.bundle_path.read_bytes()))


def gathering(token: Secret, folder: Path, spare: Mapping[str, Secret] | None = None) -> Gathering:
    agent = Authority.create(folder / "ca").issue_client("spiffe://acme.example/agents/probe").certificate_path
    sources = {name: partial(Secret, one.reveal()) for name, one in (spare or {}).items()}
    return Gathering("remit-probe", lambda: token, agent, sources, lambda: 1_500.0)


def test_the_first_genuine_token_is_kept_until_it_is_over(tmp_path: Path) -> None:
    gather = gathering(right(), tmp_path)

    before = gather().subject_tokens["expired"]
    gather.now = lambda: 2_121.0
    gather.subject_token = lambda: right(exp=9_000)
    after = gather().subject_tokens["expired"]

    assert not isinstance(before, Secret)
    assert isinstance(after, Secret)
    assert claims_of(after)["exp"] == 2_000


@pytest.mark.parametrize("which", ["subject", "unbound_agent", "other_audience", "expired"])
def test_nobody_elses_token_is_used_for_anything(which: str, tmp_path: Path) -> None:
    stranger = right(sub="alice")
    gather = gathering(stranger, tmp_path) if which == "subject" else gathering(right(), tmp_path, {which: stranger})

    with pytest.raises(NotTheProbes, match="not sent") as refused:
        gather()

    assert "alice" not in str(refused.value)


def test_an_opaque_token_is_told_without_it() -> None:
    with pytest.raises(ValueError, match="no JWT") as raised:
        genuine(Secret("opaque-canary"))

    assert "canary" not in str(raised.value)


def test_tokens_come_from_files_and_commands(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc\n")

    assert token_source(f"file:{tmp_path / 'token'}")().reveal() == "abc"
    assert token_source("command:/bin/echo a.b.c")().reveal() == "a.b.c"


@pytest.mark.parametrize(
    "source",
    ["file:/nowhere", "command:/bin/false", "command:/bin/echo two words", "command:/nowhere", "command:/bin/echo"],
)
def test_a_source_that_gives_no_token_says_why_and_not_what(source: str) -> None:
    with pytest.raises(NoToken) as raised:
        token_source(source)()

    assert "two words" not in str(raised.value)


@pytest.mark.parametrize("text", ["eyJhbGciOi.canary.x", "env:TOKEN", "file:", "command:", ""])
def test_what_names_no_source_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="no source of tokens") as raised:
        token_source(text)

    assert "canary" not in str(raised.value)


def told(metrics: ProbeMetrics, outcome: Outcome) -> str:
    metrics.told(Round((Finding(FORGED, outcome, "", ""),), ""), 1_700_000_000.5, 0.25)
    return metrics.text


def test_an_alarm_is_counted_after_it_is_over() -> None:
    metrics = ProbeMetrics()

    during, after = told(metrics, Outcome.ISSUED), told(metrics, Outcome.REFUSED)

    assert "\nremit_probe_alarm 1\n" in during
    assert "\nremit_probe_alarm 0\n" in after
    assert 'remit_probe_alarms_total{check="forged_signature"} 1\n' in after
    assert "remit_probe_rounds_total 2\n" in after
    assert 'outcome="refused"} 1\n' in after


def test_a_round_that_could_not_begin_leaves_nothing_of_the_one_before_it() -> None:
    metrics = ProbeMetrics()
    told(metrics, Outcome.REFUSED)

    metrics.failed(1_700_000_060.0)

    assert "remit_probe_outcome{" not in metrics.text
    assert "\nremit_probe_conclusive 0\n" in metrics.text


def test_the_page_shows_metrics_and_nothing_else() -> None:
    metrics = ProbeMetrics()
    text = told(metrics, Outcome.REFUSED)

    with metrics_page(("127.0.0.1", 0), metrics) as (host, port):
        with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=60) as answer:
            page, kind = answer.read().decode(), answer.headers["Content-Type"]
        with pytest.raises(urllib.error.HTTPError, match="404") as missing:
            urllib.request.urlopen(f"http://{host}:{port}/", timeout=60)
        missing.value.close()

    assert (page, kind) == (text, "text/plain; version=0.0.4; charset=utf-8")


def test_the_textfile_is_whole_and_readable_and_alone(tmp_path: Path) -> None:
    file = tmp_path / "remit.prom"
    write_textfile(file, "old 1\n")

    write_textfile(file, "new 1\n")

    assert file.read_text() == "new 1\n"
    assert oct(file.stat().st_mode & 0o777) == "0o644"
    assert [entry.name for entry in tmp_path.iterdir()] == ["remit.prom"]
