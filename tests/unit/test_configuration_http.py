"""The HTTP listener and the gateway's own issuer in a configuration."""

from pathlib import Path

import pytest
from tests.configuration_folder import TEXT, ConfigurationFolder
from tests.signing_key_files import put_key
from tests.token_forge import rsa_key
from typer.testing import CliRunner

from remit_server.cli.config import app
from remit_server.config.loading import ConfigurationError, load
from remit_server.config.settings import HttpListenerSettings, OwnIssuerSettings
from remit_server.domain.entitlement import AssumedBy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ConfigurationFolder:
    return ConfigurationFolder.create(tmp_path_factory.mktemp("http"))


def with_http(lines: str) -> str:
    return TEXT.replace("[[issuers]]", f"[listen.http]\n{lines}\n[[issuers]]", 1)


def test_without_the_table_there_is_no_such_listener(folder: ConfigurationFolder) -> None:
    assert load(folder.write(), {}).http is None


def test_on_loopback_it_needs_no_certificate(folder: ConfigurationFolder) -> None:
    settings = load(folder.write(with_http('address = "127.0.0.1:8445"')), {})

    assert settings.http == HttpListenerSettings("127.0.0.1:8445")


def test_with_a_certificate_it_may_be_anywhere(folder: ConfigurationFolder) -> None:
    lines = 'address = "0.0.0.0:8445"\ncertificate_file = "tls/server.pem"\nkey_file = "tls/server.key"'

    settings = load(folder.write(with_http(lines)), {})

    pair = (folder.folder / "tls/server.pem", folder.folder / "tls/server.key")
    assert settings.http == HttpListenerSettings("0.0.0.0:8445", pair)


@pytest.mark.parametrize(
    ("lines", "place", "problem"),
    [
        ("", "listen.http.address", "is missing"),
        ('address = "127.0.0.1"', "listen.http.address", "host and port"),
        ('address = "127.0.0.1:8443"', "listen.http.address", "is that of listen.mtls"),
        ('address = "127.0.0.1:8444"', "listen.http.address", "is that of listen.bearer"),
        ('address = "0.0.0.0:8445"', "listen.http.address", "not on loopback"),
        ('address = "localhost.evil.example:8445"', "listen.http.address", "not on loopback"),
        ('address = "[::1]:1"\nkey_file = "tls/server.key"', "listen.http.certificate_file", "other half"),
        ('address = "[::1]:1"\ncertificate_file = "tls/server.pem"', "listen.http.key_file", "other half"),
        (
            'address = "[::1]:1"\ncertificate_file = "tls/agents-ca.pem"\nkey_file = "tls/server.key"',
            "listen.http.key_file",
            "private key of certificate_file",
        ),
        ('address = "[::1]:1"\nplain = true', "listen.http.plain", "is not a known key"),
    ],
)
def test_a_mistake_is_told_with_its_place(folder: ConfigurationFolder, lines: str, place: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(folder.write(with_http(lines)), {})

    found = {mistake.place: mistake.problem for mistake in raised.value.mistakes}
    assert problem in found[place]


def test_the_key_must_be_private(tmp_path: Path) -> None:
    spoiled = ConfigurationFolder.create(tmp_path)
    (tmp_path / "tls/web.key").write_bytes((tmp_path / "tls/server.key").read_bytes())
    (tmp_path / "tls/web.key").chmod(0o644)
    lines = 'address = "127.0.0.1:8445"\ncertificate_file = "tls/server.pem"\nkey_file = "tls/web.key"'

    with pytest.raises(ConfigurationError, match=r"listen\.http\.key_file"):
        load(spoiled.write(with_http(lines)), {})


# --- the gateway's own issuer ---

ISSUER = """
[issuer]
url = "https://remit.acme.example"
signing_key_file = "secrets/issuer/active.pem"
next_signing_key_file = "secrets/issuer/next.pem"
previous_signing_key_file = "secrets/issuer/previous.pem"
"""
WEB_ROLES = TEXT.replace("[[roles]]\n", '[[roles]]\nassumed_by = "web_identity"\n')


@pytest.fixture
def issuer(tmp_path: Path) -> ConfigurationFolder:
    """A folder whose issuer has an active key."""
    return ConfigurationFolder.create(tmp_path)


def mistakes(path: Path) -> dict[str, str]:
    with pytest.raises(ConfigurationError) as raised:
        load(path, {})
    return {mistake.place: f"{mistake.problem} {mistake.mend}" for mistake in raised.value.mistakes}


def test_the_issuer_is_taken_before_there_is_a_next_or_a_previous_key(issuer: ConfigurationFolder) -> None:
    settings = load(issuer.write(WEB_ROLES + ISSUER), {})

    secrets = issuer.folder / "secrets/issuer"
    assert settings.own_issuer == OwnIssuerSettings(
        "https://remit.acme.example", secrets / "active.pem", secrets / "next.pem", secrets / "previous.pem"
    )
    assert {role.assumed_by for role in settings.roles} == {AssumedBy.WEB_IDENTITY}


def test_an_issuer_may_publish_its_keys_before_a_role_trusts_it(issuer: ConfigurationFolder) -> None:
    assert load(issuer.write(TEXT + ISSUER), {}).own_issuer is not None


def test_a_role_of_the_issuer_may_have_sessions_of_twelve_hours(issuer: ConfigurationFolder) -> None:
    text = WEB_ROLES.replace("[[roles]]\n", "[[roles]]\nmax_session_seconds = 43200\n")

    roles = load(issuer.write(text + ISSUER), {}).roles

    assert {role.max_session.total_seconds() for role in roles} == {43_200}


def test_without_an_issuer_no_role_can_trust_it(folder: ConfigurationFolder) -> None:
    assert "there is no [issuer]" in mistakes(folder.write(WEB_ROLES))["roles[0].assumed_by"]


def test_an_external_id_has_no_place_beside_it(issuer: ConfigurationFolder) -> None:
    text = WEB_ROLES.replace("[[roles]]\n", '[[roles]]\nexternal_id_file = "secrets/external-id"\n', 1)

    assert "remove it" in mistakes(issuer.write(text + ISSUER))["roles[0].external_id_file"]


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://remit.acme.example", "https"),
        ("https://remit.acme.example/", "slash"),
        ("https://remit.acme.example/a/", "slash"),
        ("https://remit.acme.example//a", "slash"),
        ("https://remit.acme.example/../a", "not plain"),
        ("https://remit.acme.example/a%20b", "not plain"),
        ("https://remit.acme.example?a=b", "https"),
        ("https://remit.acme.example#", "https"),
        ("https://user@remit.acme.example", "https"),
        ("https://Remit.acme.example", "https"),
        ("HTTPS://remit.acme.example", "https"),
        ("https://remit.acme.example:x", "no URL"),
        ("https://", "https"),
        ("remit.acme.example", "https"),
        (f"https://remit.acme.example/{'a/' * 130}a", "https"),
    ],
)
def test_a_url_that_aws_would_not_compare_equal_is_refused(issuer: ConfigurationFolder, url: str, problem: str) -> None:
    text = WEB_ROLES + ISSUER.replace("https://remit.acme.example", url)

    assert problem in mistakes(issuer.write(text))["issuer.url"]


@pytest.mark.parametrize("name", ["signing_key_file", "next_signing_key_file", "previous_signing_key_file"])
def test_a_key_that_is_no_key_is_refused_wherever_it_is_named(issuer: ConfigurationFolder, name: str) -> None:
    text = WEB_ROLES + ISSUER
    (issuer.folder / "secrets/none.pem").write_text("none")
    (issuer.folder / "secrets/none.pem").chmod(0o600)
    key = {"signing": "active", "next": "next", "previous": "previous"}[name.partition("_")[0]]

    found = mistakes(issuer.write(text.replace(f"secrets/issuer/{key}.pem", "secrets/none.pem")))

    assert "remit-server issuer keys --make" in found[f"issuer.{name}"]


@pytest.mark.parametrize("mode", [0o644, 0o660])
def test_a_signing_key_must_be_private(issuer: ConfigurationFolder, mode: int) -> None:
    put_key(issuer.folder / "secrets/issuer/next.pem", rsa_key())
    for name in ("active", "next"):
        (issuer.folder / f"secrets/issuer/{name}.pem").chmod(mode)

    found = mistakes(issuer.write(WEB_ROLES + ISSUER))

    assert "open to others" in found["issuer.signing_key_file"]
    assert "open to others" in found["issuer.next_signing_key_file"]


def test_the_active_key_must_be_there(issuer: ConfigurationFolder) -> None:
    (issuer.folder / "secrets/issuer/active.pem").unlink()

    assert "cannot be read" in mistakes(issuer.write(WEB_ROLES + ISSUER))["issuer.signing_key_file"]


def test_the_check_says_by_which_subject_each_role_is_opened_and_that_no_aws_keys_are_used(
    issuer: ConfigurationFolder,
) -> None:
    listen = '[listen.http]\naddress = "127.0.0.1:8445"\n[[issuers]]'
    text = WEB_ROLES.replace("[[issuers]]", listen, 1) + ISSUER.replace("acme.example", "acme.example:8445")

    result = CliRunner().invoke(app, ["check", "--config", str(issuer.write(text))])

    assert result.exit_code == 0
    assert "by web identity as remit:role/111122223333/remit-reports" in result.stdout
    assert "no AWS keys" in result.stdout
    assert "https://remit.acme.example:8445, signing with key " in result.stdout
    assert "127.0.0.1:8445 (HTTP, loopback)" in result.stdout
    assert "issuer.url has a port" in result.stderr


def test_the_check_says_when_the_documents_must_be_published_by_hand(issuer: ConfigurationFolder) -> None:
    result = CliRunner().invoke(app, ["check", "--config", str(issuer.write(WEB_ROLES + ISSUER))])

    assert result.exit_code == 0
    assert "remit-server issuer export" in result.stderr
    assert "has a port" not in result.stderr
