"""`[policy]`, `[policy.bundle_server]` and `[policy.signing]`: what is taken, and what each mistake is told as."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.bundle_keys import bundle_key
from tests.configuration_folder import TEXT, ConfigurationFolder
from typer.testing import CliRunner

from remit_server.cli.config import app
from remit_server.config.loading import ConfigurationError, load
from remit_server.config.policy_settings import BundleSigningSettings
from remit_server.config.settings import PolicySettings

KEYS = 'keys = { ci-2026 = "keys/bundles-ci-2026.pub.pem" }'
SIGNING = f"[policy.signing]\n{KEYS}\n"
URL = 'url = "https://bundles.acme.example/remit.tar.gz"'
SERVER = f"[policy.bundle_server]\n{URL}\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ConfigurationFolder:
    made = ConfigurationFolder.create(tmp_path_factory.mktemp("bundles"))
    for algorithm in ("RS256", "EdDSA"):
        bundle_key(made.folder / "keys", algorithm, algorithm)
    curve = ec.generate_private_key(ec.SECP384R1()).public_key()
    small = rsa.generate_private_key(65537, 1024).public_key()  # noqa: S505 - the point of it
    for name, public in (("P-384", curve), ("small", small)):
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (made.folder / "keys" / f"{name}.pub.pem").write_bytes(pem)
    (made.folder / "keys/open.pub.pem").write_bytes((made.folder / "keys/RS256.pub.pem").read_bytes())
    (made.folder / "keys/open.pub.pem").chmod(0o666)
    return made


def policy_of(folder: ConfigurationFolder, tables: str, bundle: str = 'bundle = "policies"') -> PolicySettings:
    return load(folder.write(TEXT.replace('bundle = "policies"', f"{bundle}\n{tables}")), {}).policy


def mistakes(folder: ConfigurationFolder, tables: str, bundle: str = 'bundle = "policies"') -> dict[str, str]:
    with pytest.raises(ConfigurationError) as raised:
        policy_of(folder, tables, bundle)
    assert all(mistake.why and mistake.mend for mistake in raised.value.mistakes)
    return {mistake.place: mistake.problem for mistake in raised.value.mistakes}


def test_a_folder_alone_is_read_once_and_need_not_be_signed(folder: ConfigurationFolder) -> None:
    policy = policy_of(folder, "")

    assert policy.bundle == folder.folder / "policies"
    assert (policy.server, policy.follow, policy.signing) == (None, None, BundleSigningSettings())


def test_a_folder_may_be_followed_and_signed(folder: ConfigurationFolder) -> None:
    policy = policy_of(folder, f"follow_seconds = 5\n{SIGNING}")

    assert policy.follow == timedelta(seconds=5)
    assert [(key.key_id, key.algorithm) for key in policy.signing.keys] == [("ci-2026", "ES256")]
    assert not policy.signing.required


def test_a_bundle_server_is_asked_every_half_minute_and_its_bundles_are_signed(folder: ConfigurationFolder) -> None:
    policy = policy_of(folder, SERVER + SIGNING, bundle="")

    assert policy.bundle is None
    assert policy.server is not None
    assert policy.server.url == "https://bundles.acme.example/remit.tar.gz"
    assert (policy.server.poll, policy.server.max_age) == (timedelta(seconds=30), timedelta(days=1))
    assert policy.signing.required


def test_everything_about_a_bundle_server_can_be_said(folder: ConfigurationFolder) -> None:
    more = 'ca_file = "tls/bundles-ca.pem"\ntoken_file = "secrets/bundles-token"\nprivate_network = true\n'
    more += "poll_seconds = 10\nmax_age_seconds = 3600\n"
    signing = f'{SIGNING}scope = "production"\nrequired = true\nvalid_days = 90\n'

    policy = policy_of(folder, SERVER + more + signing, bundle="")

    assert policy.server is not None
    assert policy.server.ca_file == folder.folder / "tls/bundles-ca.pem"
    assert policy.server.token is not None
    assert policy.server.token.reveal() == "value-of-bundles-token"
    assert policy.server.private_network
    assert (policy.server.poll, policy.server.max_age) == (timedelta(seconds=10), timedelta(hours=1))
    assert (policy.signing.scope, policy.signing.valid) == ("production", timedelta(days=90))
    assert "value-of" not in repr(policy)


def test_a_server_may_be_waited_for_for_ever_and_be_believed_unsigned_when_that_is_said(
    folder: ConfigurationFolder,
) -> None:
    tables = '[policy.bundle_server]\nurl = "http://127.0.0.1:8080/b.tar.gz"\nmax_age_seconds = 0\n'

    policy = policy_of(folder, f"{tables}[policy.signing]\nrequired = false\n", bundle="")

    assert policy.server is not None
    assert policy.server.max_age is None
    assert not policy.signing.required


@pytest.mark.parametrize("algorithm", ["RS256", "EdDSA"])
def test_the_algorithm_is_that_of_the_key(folder: ConfigurationFolder, algorithm: str) -> None:
    policy = policy_of(folder, f'[policy.signing]\nkeys = {{ ci = "keys/{algorithm}.pub.pem" }}\n')

    assert [(key.key_id, key.algorithm) for key in policy.signing.keys] == [("ci", algorithm)]


BUNDLES = {
    "neither": ("", "", "policy.bundle", "is missing, and no bundle server is named"),
    "both": ('bundle = "policies"', SERVER + SIGNING, "policy.bundle", "although a bundle server is named"),
    "following no folder": ("follow_seconds = 5", SERVER + SIGNING, "policy.follow_seconds", "without a folder"),
    "no url": ("", f"[policy.bundle_server]\npoll_seconds = 30\n{SIGNING}", "policy.bundle_server.url", "is missing"),
    "unsigned": ("", SERVER, "policy.signing.keys", "names no key although a bundle server's bundles must be signed"),
    "required without a key": (
        'bundle = "policies"',
        "[policy.signing]\nrequired = true\n",
        "policy.signing.keys",
        "names no key although required is set",
    ),
    "a scope without a key": (
        'bundle = "policies"',
        '[policy.signing]\nscope = "a"\n',
        "policy.signing.scope",
        "no key",
    ),
    "no plain scope": ('bundle = "policies"', f'{SIGNING}scope = "a b"\n', "policy.signing.scope", "no plain text"),
    "a short age": (
        "",
        f"{SERVER}max_age_seconds = 299\n{SIGNING}",
        "policy.bundle_server.max_age_seconds",
        "between 0 and 300",
    ),
    "authorities of http": (
        "",
        f'[policy.bundle_server]\nurl = "http://localhost/b"\nca_file = "tls/bundles-ca.pem"\n{SIGNING}',
        "policy.bundle_server.ca_file",
        "not https",
    ),
    "a token that is not there": (
        "",
        f'{SERVER}token_file = "secrets/none"\n{SIGNING}',
        "policy.bundle_server.token_file",
        "cannot be read",
    ),
}


@pytest.mark.parametrize("name", BUNDLES)
def test_a_mistake_is_told_where_it_is(folder: ConfigurationFolder, name: str) -> None:
    bundle, tables, place, problem = BUNDLES[name]

    told = mistakes(folder, tables, bundle)

    assert list(told) == [place]
    assert problem in told[place]


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://bundles.acme.example/b", "is http although the host is not this machine"),
        ("http://10.0.0.7/b", "is http although the host is not this machine"),
        ("ftp://bundles.acme.example/b", "must be an https URL"),
        ("bundles.acme.example/b", "must be an https URL"),
        ("https://user:pass@bundles.acme.example/b", "without user"),
        ("https://bundles.acme.example/b?token=x", "without user, query"),
        ("https://Bundles.acme.example/b", "in lower case"),
        ("https:///b", "must have a host"),
        ("https://bundles.acme.example:port/b", "is not a URL"),
    ],
)
def test_a_url_that_a_bundle_may_not_come_from_is_told(folder: ConfigurationFolder, url: str, problem: str) -> None:
    told = mistakes(folder, f'[policy.bundle_server]\nurl = "{url}"\n{SIGNING}', bundle="")

    assert list(told) == ["policy.bundle_server.url"]
    assert problem in told["policy.bundle_server.url"]
    assert "pass" not in str(told)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ('ci = "keys/none.pem"', "cannot be read"),
        ('ci = "keys/RS256.pem"', "is not a public key alone"),
        ('ci = "tls/server.pem"', "is not a public key alone"),
        ('ci = "keys/P-384.pub.pem"', "is not a public key alone"),
        ('ci = "keys/small.pub.pem"', "is not a public key alone"),
        ('ci = "keys/open.pub.pem"', "everyone may change it"),
        ('"a/b" = "keys/RS256.pub.pem"', "is no proper id"),
        ('"" = "keys/RS256.pub.pem"', "is no proper id"),
    ],
)
def test_a_key_that_signs_nothing_here_is_told(folder: ConfigurationFolder, entry: str, problem: str) -> None:
    told = mistakes(folder, f"[policy.signing]\nkeys = {{ {entry} }}\n")

    (place,) = told
    assert place.startswith("policy.signing.keys.")
    assert problem in told[place]


def test_config_check_says_where_bundles_come_from_and_whose_they_are(folder: ConfigurationFolder) -> None:
    text = TEXT.replace('bundle = "policies"', f"{SERVER}{SIGNING}")

    shown = CliRunner().invoke(app, ["check", "--config", str(folder.write(text))])

    assert shown.exit_code == 0, shown.output
    assert "https://bundles.acme.example/remit.tar.gz, signed by ci-2026" in " ".join(shown.output.split())


def test_config_check_refuses_a_folder_that_is_not_signed_as_asked(folder: ConfigurationFolder, tmp_path: Path) -> None:
    copied = shutil.copytree(folder.folder / "policies", tmp_path / "policies")
    text = TEXT.replace('bundle = "policies"', f'bundle = "{copied}"\n{SIGNING}required = true\n')

    shown = CliRunner().invoke(app, ["check", "--config", str(folder.write(text))])

    assert shown.exit_code == 1
    assert "UNSIGNED" in shown.output
