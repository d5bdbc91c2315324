"""A bundle's signature in OPA's format: what the real OPA signs is believed, what it would believe is made, no more."""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.bundle_keys import BundleKey, bundle_key, claims_of, encoded, signed_by_hand
from tests.policy_bundles import DENY_ALL, written
from tests.real_opa import run_opa

from remit_server.adapters.policy.bundles.archive import archive_of_files, files_of_archive
from remit_server.adapters.policy.bundles.bundle import SIGNATURES, read_bundle, stamp
from remit_server.adapters.policy.bundles.bundle_files import read_files
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.adapters.policy.sources.hashing import _go_float, signed_digest
from remit_server.adapters.policy.sources.signatures import BundleSignatures, Unsigned
from remit_server.adapters.policy.sources.signing import SigningKey, UnfitSigningKey

POLICIES = Path(__file__).parents[2] / "policies"
RULES = "remit/issue/issue.rego"
DATA = "remit/catalog/production/data.yaml"
FILES = {
    ".manifest": b'{"roots": ["remit"]}',
    RULES: DENY_ALL.encode(),
    DATA: b"b: 1.50\na: [x, 'y', 100.0, 0.0000001, -3]\nc: {d: null, e: true}\n",
}


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> BundleKey:
    return bundle_key(tmp_path_factory.mktemp("key"))


def signed(key: BundleKey, files: Mapping[str, bytes] = FILES, *, scope: str = "") -> dict[str, bytes]:
    """Returns the files with our own signature beside them."""
    signatures = SigningKey.of(key.path).signatures(files, key_id=key.settings.key_id, scope=scope)
    return {**files, SIGNATURES: signatures}


def trusting(*keys: BundleKey, scope: str = "") -> BundleSignatures:
    return BundleSignatures.by(tuple(key.settings for key in keys), scope)


ALGORITHMS = pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
ODD_JSON = json.dumps(
    {"b": [1, -1, 0.1, 1e-7, 1e16, 2**63], "a": ["\u2028\u2029 <&> \x01\x1f\x7f \b\f\n", "\u00e9 \U0001f600"], "": {}}
)


@ALGORITHMS
def test_what_opa_signed_is_believed(tmp_path: Path, algorithm: str) -> None:
    key = bundle_key(tmp_path / "key", algorithm=algorithm)
    odd = ODD_JSON.replace("0.1", "0.10").replace("-1,", "-1.0, 1.5E+3, -0, 10000000000000000000000,")
    folder = written(tmp_path / "bundle", {RULES: DENY_ALL, DATA: FILES[DATA].decode(), "remit/odd/data.json": odd})
    claims = tmp_path / "claims.json"
    claims.write_text('{"keyid": "ci", "scope": "read"}')

    run_opa(
        *("sign", "--bundle", ".", "--signing-key", str(key.path), "--signing-alg", algorithm),
        *("--claims-file", str(claims)),
        folder=folder,
    )

    assert trusting(key, scope="read").signed_by(read_files(folder)) == "ci"


@ALGORITHMS
def test_what_opa_built_and_signed_is_believed(tmp_path: Path, algorithm: str) -> None:
    key = bundle_key(tmp_path / "key", "default", algorithm)  # the id that OPA gives it
    archive = tmp_path / "bundle.tar.gz"

    run_opa(
        *("build", "--bundle", ".", "--revision", "", "--output", str(archive)),
        *("--signing-key", str(key.path), "--signing-alg", algorithm),
        folder=POLICIES,
    )

    assert trusting(key).signed_by(files_of_archive(archive.read_bytes())) == "default"


@ALGORITHMS
@pytest.mark.parametrize("scope", ["", "read"])
def test_what_we_signed_is_believed_by_opa(tmp_path: Path, algorithm: str, scope: str) -> None:
    key = bundle_key(tmp_path / "key", algorithm=algorithm)
    odd = {"remit/odd/data.json": ODD_JSON.encode(), **FILES, ".manifest": b'{"roots": ["remit"]}\n'}
    files = signed(key, odd, scope=scope)
    archive = tmp_path / "bundle.tar.gz"
    archive.write_bytes(archive_of_files(files))

    opa_verifies(archive, key, tmp_path, scope)

    assert trusting(key, scope=scope).signed_by(files) == "ci"


def opa_verifies(archive: Path, key: BundleKey, folder: Path, scope: str = "") -> None:
    """Fails unless the real OPA loads an archive with its signature verified."""
    options = ["--verification-key", str(key.public_path), "--verification-key-id", key.settings.key_id]
    options += ["--signing-alg", key.settings.algorithm, *(["--scope", scope] if scope else [])]
    run_opa("build", "--bundle", str(archive), *options, "--output", str(folder / "again.tar.gz"))


def test_opa_refuses_what_we_signed_and_somebody_changed(tmp_path: Path, key: BundleKey) -> None:
    files = {**signed(key), RULES: DENY_ALL.encode() + b"\n"}
    archive = tmp_path / "bundle.tar.gz"
    archive.write_bytes(archive_of_files(files))

    with pytest.raises(AssertionError, match="digest mismatch"):
        opa_verifies(archive, key, tmp_path)


def _jws(header: Any, claims: Any, signature: bytes) -> bytes:
    token = f"{encoded(header)}.{encoded(claims)}.{encoded(signature)}"
    return json.dumps({"signatures": [token]}).encode()


def _with_shared_key(key: BundleKey) -> bytes:
    """Returns a signature by HS256 with the public key for a secret (the oldest trick there is)."""
    header, claims = {"alg": "HS256", "kid": "ci"}, claims_of(FILES)
    signing_input = f"{encoded(header)}.{encoded(claims)}".encode()
    return _jws(header, claims, hmac.digest(key.public_pem, signing_input, hashlib.sha256))


def _token(key: BundleKey, claims: Mapping[str, Any] | None = None) -> str:
    content = signed_by_hand(key, claims_of(FILES) if claims is None else claims)
    return str(json.loads(content)["signatures"][0])


def _file(path: str, **changes: Any) -> dict[str, Any]:
    """Returns claims in which the entry of one file is another."""
    claims = claims_of(FILES)
    for entry in claims["files"]:
        if entry["name"] == path:
            entry.update(changes)
    return claims


def _again(name: str, content: bytes) -> dict[str, Any]:
    """Returns claims that list a file a second time, for other contents."""
    claims = claims_of(FILES)
    return {**claims, "files": [*claims["files"], *claims_of({name: content})["files"]]}


def _bit(token: str) -> str:
    """Returns a token with its last payload character flipped to another of the same bits."""
    header, payload, signature = token.split(".")
    return f"{header}.{payload}.{signature[:-1]}{'B' if signature[-1] == 'A' else 'A'}"


Make = Callable[[BundleKey, BundleKey], bytes]
BAD_SIGNATURES: Mapping[str, tuple[Make, str]] = {
    "no JSON": (lambda _, __: b"{", "not strict JSON"),
    "no object": (lambda _, __: b"[]", "must be an object"),
    "no token": (lambda _, __: b'{"signatures": []}', "must have 1 to 1 items"),
    "two tokens": (
        lambda key, _: json.dumps({"signatures": [_token(key), _token(key)]}).encode(),
        "must have 1 to 1 items",
    ),
    "signatures twice": (
        lambda key, _: b'{"signatures": ["' + _token(key).encode() + b'"], "signatures": ["x"]}',
        "not strict JSON",
    ),
    "another member": (lambda key, _: json.dumps({"signatures": [_token(key)], "x": 1}).encode(), "unknown member"),
    "a plug-in": (lambda key, _: json.dumps({"signatures": [_token(key)], "plugin": "x"}).encode(), "plug-in"),
    "no text": (lambda _, __: b'{"signatures": [1]}', "must be a JWT"),
    "two parts": (lambda _, __: b'{"signatures": ["a.b"]}', "three parts"),
    "five parts": (lambda _, __: b'{"signatures": ["a.b.c.d.e"]}', "three parts"),
    "padding": (lambda key, _: json.dumps({"signatures": [_token(key) + "="]}).encode(), "canonical"),
    "another spelling of the same bits": (
        lambda key, _: json.dumps({"signatures": [_bit(_token(key))]}).encode(),
        "signature",
    ),
    "too long": (lambda _, __: b" " * (2 * 1024 * 1024 + 1), "longer than"),
    "alg none": (lambda _, __: _jws({"alg": "none", "kid": "ci"}, claims_of(FILES), b""), "not of key 'ci'"),
    "alg None": (lambda _, __: _jws({"alg": "nOnE", "kid": "ci"}, claims_of(FILES), b"x"), "not of key 'ci'"),
    "HS256 with the public key": (lambda key, _: _with_shared_key(key), "not of key 'ci'"),
    "no algorithm": (lambda _, __: _jws({"kid": "ci"}, claims_of(FILES), b"x"), "lacks alg"),
    "a key in the header": (
        lambda key, _: signed_by_hand(key, claims_of(FILES), header={"kid": "ci", "jwk": {"kty": "EC"}}),
        "unknown member 'jwk'",
    ),
    "a place of keys in the header": (
        lambda key, _: signed_by_hand(key, claims_of(FILES), header={"kid": "ci", "jku": "https://evil.example"}),
        "unknown member 'jku'",
    ),
    "what must be understood": (
        lambda key, _: signed_by_hand(key, claims_of(FILES), header={"kid": "ci", "crit": ["x"]}),
        "unknown member 'crit'",
    ),
    "another type": (
        lambda key, _: signed_by_hand(key, claims_of(FILES), header={"kid": "ci", "typ": "at+jwt"}),
        "of the type JWT",
    ),
    "no key's id": (lambda key, _: signed_by_hand(key, claims_of(FILES), header={}), "names no key"),
    "an unknown key's id": (
        lambda key, _: signed_by_hand(key, claims_of(FILES), header={"kid": "other"}),
        "policy.signing.keys does not have",
    ),
    "a path for a key's id": (
        lambda key, _: signed_by_hand(key, claims_of(FILES), header={"kid": "../ci"}),
        "policy.signing.keys does not have",
    ),
    "the id of another key": (
        lambda key, _: signed_by_hand(key, claims_of(FILES), header={"kid": "next"}),
        "not of key 'next'",
    ),
    "another key": (lambda _, other: signed_by_hand(other, claims_of(FILES), header={"kid": "ci"}), "not of key"),
    "two ids": (lambda key, _: signed_by_hand(key, claims_of(FILES, keyid="next")), "names two keys"),
    "another algorithm of the key's kind": (
        lambda _, __: _jws({"alg": "ES384", "kid": "ci"}, claims_of(FILES), bytes(96)),
        "not of key 'ci'",
    ),
    "a signature of zeros (CVE-2022-21449)": (
        lambda _, __: _jws({"alg": "ES256", "kid": "ci"}, claims_of(FILES), bytes(64)),
        "not of key 'ci'",
    ),
    "a signature in DER": (
        lambda _, __: _jws({"alg": "ES256", "kid": "ci"}, claims_of(FILES), b"0\6\2\1\0\2\1\0"),
        "not of key 'ci'",
    ),
    "no files": (lambda key, _: signed_by_hand(key, {"keyid": "ci"}), "lacks files"),
    "an empty list of files": (lambda key, _: signed_by_hand(key, {"files": []}), "must have 1 to"),
    "a scope where none is expected": (lambda key, _: signed_by_hand(key, claims_of(FILES, scope="read")), "scope"),
    "an end that nobody would heed": (lambda key, _: signed_by_hand(key, claims_of(FILES, exp=1)), "unknown member"),
    "a file by MD5": (lambda key, _: signed_by_hand(key, _file(RULES, algorithm="MD5")), "must be SHA-256"),
    "a file by nothing": (lambda key, _: signed_by_hand(key, _file(RULES, algorithm="")), "must be SHA-256"),
    "a hash that is short": (lambda key, _: signed_by_hand(key, _file(RULES, hash="ab")), "64 hex digits"),
    "a hash in capitals": (lambda key, _: signed_by_hand(key, _file(RULES, hash="A" * 64)), "64 hex digits"),
    "a file twice": (lambda key, _: signed_by_hand(key, _again(RULES, FILES[RULES])), "names a file twice"),
    "a file twice, once for other rules": (
        lambda key, _: signed_by_hand(key, _again(RULES, b"package evil")),
        "names a file twice",
    ),
    "a file by an absolute name": (
        lambda key, _: signed_by_hand(key, _file(RULES, name=f"/{RULES}")),
        "does not cover it",
    ),
    "another member of a file": (lambda key, _: signed_by_hand(key, _file(RULES, size=1)), "unknown member"),
}


@pytest.mark.parametrize("name", BAD_SIGNATURES)
def test_a_signature_that_is_not_exactly_right_is_refused_with_where_and_why(
    tmp_path: Path, key: BundleKey, name: str
) -> None:
    make, why = BAD_SIGNATURES[name]
    other = bundle_key(tmp_path, "next")
    files = {**FILES, SIGNATURES: make(key, other)}

    with pytest.raises(BundleRefused) as refused:
        trusting(key, other).signed_by(files)

    assert any(why in finding.problem for finding in refused.value.findings)
    assert all(finding.mend for finding in refused.value.findings)
    assert "eyJ" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "path", "why"),
    [
        ({RULES: b"package evil\n"}, RULES, "not what was signed"),
        ({DATA: FILES[DATA].replace(b"true", b"false")}, DATA, "not what was signed"),
        ({DATA: b"a: &a x\nb: *a\n"}, DATA, "cannot be compared"),
        ({DATA: b"\xff"}, DATA, "cannot be compared"),
        ({".manifest": b'{"roots": [""]}'}, ".manifest", "not what was signed"),
        ({"remit/lib/extra.rego": b"package evil\n"}, "remit/lib/extra.rego", "does not cover"),
        ({"README.md": b"hello"}, "README.md", "does not cover"),
        ({"remit/.signatures.json": b"{}"}, "remit/.signatures.json", "does not cover"),
    ],
)
def test_a_bundle_that_was_changed_after_signing_is_refused_with_the_file(
    key: BundleKey, changes: Mapping[str, bytes], path: str, why: str
) -> None:
    files = {**signed(key), **changes}

    with pytest.raises(BundleRefused) as refused:
        trusting(key).signed_by(files)

    (finding,) = refused.value.findings
    assert (finding.path, why in finding.problem) == (path, True)


@pytest.mark.parametrize("path", sorted(FILES))
def test_a_bundle_that_lost_a_file_after_signing_is_refused_with_the_file(key: BundleKey, path: str) -> None:
    files = signed(key)
    del files[path]

    with pytest.raises(BundleRefused, match="missing") as refused:
        trusting(key).signed_by(files)

    assert [finding.path for finding in refused.value.findings] == [path]


def test_a_stripped_signature_is_told_apart_from_a_wrong_one(key: BundleKey) -> None:
    with pytest.raises(Unsigned, match="not signed"):
        trusting(key).signed_by(FILES)


@pytest.mark.parametrize(("signed_for", "wanted"), [("", "read"), ("write", "read"), ("read", ""), ("Read", "read")])
def test_a_signature_for_another_scope_is_refused(key: BundleKey, signed_for: str, wanted: str) -> None:
    files = signed(key, scope=signed_for)

    with pytest.raises(BundleRefused, match="scope"):
        trusting(key, scope=wanted).signed_by(files)


def test_without_a_configured_key_nothing_is_believed(key: BundleKey) -> None:
    with pytest.raises(BundleRefused, match=r"does not have \(known: none\)"):
        BundleSignatures().signed_by(signed(key))


def test_comments_may_change_in_signed_data_but_make_another_revision(tmp_path: Path, key: BundleKey) -> None:
    folder = written(tmp_path / "bundle", {path: content.decode() for path, content in FILES.items()})
    stamp(folder)
    files = signed(key, read_files(folder))
    files[DATA] = b"# a comment\n" + files[DATA]

    assert trusting(key).signed_by(files) == "ci"
    with pytest.raises(BundleRefused, match="the files make"):
        read_bundle(written(tmp_path / "changed", {path: content.decode() for path, content in files.items()}))


@given(st.floats(min_value=-1e16, max_value=1e16, allow_nan=False))
def test_a_float_is_written_as_go_writes_it(number: float) -> None:
    text = _go_float(number)

    assert float(text) == number
    assert ("e" in text) == (number != 0 and abs(number) < 1e-6)
    assert not text.endswith((".0", "."))
    assert "e-0" not in text


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ('{"a":1,"b":2}', '{ "b": 2,\n "a": 1 }'),
        ('{"a":"\\u00e9"}', '{"a":"\u00e9"}'),
        ("[1.50]", "[ 1.50 ]"),
    ],
)
def test_json_is_digested_by_its_values(text: str, same: str) -> None:
    assert signed_digest("data.json", text.encode()) == signed_digest("remit/data.json", same.encode())


@pytest.mark.parametrize(("text", "other"), [("[1.5]", "[1.50]"), ("[0]", "[-0]"), ("[100]", "[1e2]"), ("[]", "{}")])
def test_numbers_that_are_written_otherwise_are_other_numbers(text: str, other: str) -> None:
    assert signed_digest("data.json", text.encode()) != signed_digest("data.json", other.encode())


def test_what_is_nested_too_deeply_is_no_structured_file() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        signed_digest("data.json", b"[" * 20_000 + b"1.0" + b"]" * 20_000)


def test_a_schema_is_digested_by_its_bytes() -> None:
    assert signed_digest("schemas/input.json", b"{ }") == hashlib.sha256(b"{ }").hexdigest()


def test_a_key_that_will_not_do_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "none").write_text("no key")

    for path, told in (
        (tmp_path / "none", "holds no unencrypted .*"),
        (tmp_path / "missing", "there is no such file"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(UnfitSigningKey, match=f"{told}.* openssl genpkey"):
            SigningKey.of(path)


def test_a_signing_key_is_never_shown(key: BundleKey) -> None:
    assert "PrivateKey" not in repr(SigningKey.of(key.path))
