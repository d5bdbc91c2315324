"""The HTTP listener in a configuration."""

from pathlib import Path

import pytest
from tests.configuration_folder import TEXT, ConfigurationFolder

from remit_server.config.loading import ConfigurationError, load
from remit_server.config.settings import HttpListenerSettings


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
