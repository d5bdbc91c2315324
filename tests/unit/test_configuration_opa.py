"""`[policy]` engine and `[policy.opa]`: what is taken, and what each mistake is told as."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from tests.configuration_folder import TEXT, ConfigurationFolder

from remit_server.config.loading import ConfigurationError, load
from remit_server.config.settings import OpaSettings

REMOTE = """
url = "https://opa.acme.example:8181"
ca_file = "tls/opa-ca.pem"
token_file = "secrets/opa-token"
bundle_address = "0.0.0.0:8182"
bundle_token_file = "secrets/opa-bundle-token"
bundle_certificate_file = "tls/server.pem"
bundle_key_file = "tls/server.key"
bundle_signing_key_file = "secrets/bundle-signing.key"
start_timeout_seconds = 30
connections = 8
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ConfigurationFolder:
    return ConfigurationFolder.create(tmp_path_factory.mktemp("opa"))


def with_opa(table: str, engine: str = "opa") -> str:
    """Returns the right configuration with an engine and what `[policy.opa]` holds."""
    return TEXT.replace('bundle = "policies"', f'bundle = "policies"\nengine = "{engine}"\n[policy.opa]\n{table}')


def test_without_a_word_the_embedded_engine_decides(folder: ConfigurationFolder) -> None:
    assert load(folder.write(), {}).policy.opa is None


def test_the_word_alone_means_an_opa_on_loopback(folder: ConfigurationFolder) -> None:
    settings = load(folder.write(TEXT.replace("[aws]", "[policy.opa]\n[aws]", 1)), {"REMIT__POLICY__ENGINE": "opa"})

    assert settings.policy.opa == OpaSettings("http://127.0.0.1:8181", "127.0.0.1:8182")


def test_an_opa_elsewhere_has_tls_and_tokens_both_ways(folder: ConfigurationFolder) -> None:
    opa = load(folder.write(with_opa(REMOTE)), {}).policy.opa

    assert opa is not None
    assert opa.url == "https://opa.acme.example:8181"
    assert opa.ca_file == folder.folder / "tls/opa-ca.pem"
    assert opa.token is not None
    assert opa.token.reveal() == "value-of-opa-token"
    assert opa.bundle_token is not None
    assert opa.bundle_token.reveal() == "value-of-opa-bundle-token"
    assert opa.bundle_key_pair == (folder.folder / "tls/server.pem", folder.folder / "tls/server.key")
    assert opa.bundle_signing_key == folder.folder / "secrets/bundle-signing.key"
    assert (opa.connections, opa.start_timeout) == (8, timedelta(seconds=30))
    assert "value-of" not in repr(opa)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://localhost:8181/", "http://[::1]:8181", "unix:///run/opa/opa.sock"]
)
def test_an_opa_on_this_machine_needs_no_tls(folder: ConfigurationFolder, url: str) -> None:
    opa = load(folder.write(with_opa(f'url = "{url}"')), {}).policy.opa

    assert opa is not None
    assert opa.url == url


def opa_at(folder: ConfigurationFolder, socket: Path) -> OpaSettings | None:
    return load(folder.write(with_opa(f'url = "unix://{socket}"')), {}).policy.opa


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o2770, 0o755])
def test_a_socket_in_a_folder_that_only_its_owner_and_group_write_to_is_taken(
    folder: ConfigurationFolder, tmp_path: Path, mode: int
) -> None:
    tmp_path.joinpath("run").mkdir()
    tmp_path.joinpath("run").chmod(mode)

    assert opa_at(folder, tmp_path / "run/opa.sock") is not None
    assert opa_at(folder, tmp_path / "run/made-later/opa.sock") is not None


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o703])
@pytest.mark.parametrize("socket", ["run/opa.sock", "run/made-later/opa.sock"])
def test_a_socket_that_everyone_may_put_another_in_place_of_is_refused(
    folder: ConfigurationFolder, tmp_path: Path, mode: int, socket: str
) -> None:
    tmp_path.joinpath("run").mkdir()
    tmp_path.joinpath("run").chmod(mode)

    with pytest.raises(ConfigurationError, match=rf"policy\.opa\.url: .* has mode {mode:04o}: everyone may"):
        opa_at(folder, tmp_path / socket)


@pytest.mark.parametrize(("mode", "is_taken"), [(0o777, False), (0o1777, True)])
def test_a_folder_that_everyone_may_rename_is_no_shelter_for_a_socket(
    folder: ConfigurationFolder, tmp_path: Path, mode: int, is_taken: bool
) -> None:
    tmp_path.joinpath("shared/run").mkdir(parents=True)
    tmp_path.joinpath("shared").chmod(mode)

    if is_taken:
        assert opa_at(folder, tmp_path / "shared/run/opa.sock") is not None
    else:
        with pytest.raises(ConfigurationError, match="everyone may put something else in place of"):
            opa_at(folder, tmp_path / "shared/run/opa.sock")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a folder away")
def test_a_folder_that_somebody_else_made_where_everyone_may_is_refused(
    folder: ConfigurationFolder, tmp_path: Path
) -> None:
    tmp_path.joinpath("shared/run").mkdir(parents=True)
    tmp_path.joinpath("shared").chmod(0o1777)
    os.chown(tmp_path / "shared/run", 65534, 65534)

    with pytest.raises(ConfigurationError, match="everyone may put something else in place of"):
        opa_at(folder, tmp_path / "shared/run/opa.sock")


def test_a_key_may_be_set_in_the_environment(folder: ConfigurationFolder) -> None:
    opa = load(folder.write(with_opa("")), {"REMIT__POLICY__OPA__URL": "http://127.0.0.1:9999"}).policy.opa

    assert opa is not None
    assert opa.url == "http://127.0.0.1:9999"


MISTAKES = [
    ('url = "http://opa.acme.example:8181"', "policy.opa.url", "is http although the host is not this machine"),
    ('url = "http://0.0.0.0:8181"', "policy.opa.url", "is http although the host is not this machine"),
    ('url = "https://opa.acme.example"', "policy.opa.url", "a host and a port alone"),
    ('url = "https://opa.acme.example:8181/v1/data"', "policy.opa.url", "a host and a port alone"),
    ('url = "https://user:word@opa.acme.example:8181"', "policy.opa.url", "a host and a port alone"),
    ('url = "https://opa.acme.example:port"', "policy.opa.url", "is no URL"),
    ('url = "ftp://127.0.0.1:8181"', "policy.opa.url", "a host and a port alone"),
    ('url = "unix://opa.sock"', "policy.opa.url", "the whole path of a socket"),
    (f'url = "unix:///{"a" * 200}"', "policy.opa.url", "the whole path of a socket"),
    ('ca_file = "tls/opa-ca.pem"', "policy.opa.ca_file", "although the url is not https"),
    ('url = "https://a.example:1"\nca_file = "remit.toml"', "policy.opa.ca_file", "holds no PEM certificate"),
    ('token_file = "secrets/none"', "policy.opa.token_file", "cannot be read"),
    ('token_file = "remit.toml"', "policy.opa.token_file", "open to others"),
    ('bundle_token_file = "secrets/none"', "policy.opa.bundle_token_file", "cannot be read"),
    ('bundle_address = "everywhere"', "policy.opa.bundle_address", "is no host and port"),
    ('bundle_address = "127.0.0.1:0"', "policy.opa.bundle_address", "is no host and port"),
    ('bundle_address = "0.0.0.0:8182"', "policy.opa.bundle_address", "has no certificate"),
    ('bundle_address = "[::]:8182"', "policy.opa.bundle_address", "asks for no token"),
    ('bundle_certificate_file = "tls/server.pem"', "policy.opa.bundle_key_file", "missing beside its other half"),
    ('bundle_key_file = "tls/server.key"', "policy.opa.bundle_certificate_file", "missing beside its other half"),
    (
        'bundle_certificate_file = "tls/opa-ca.pem"\nbundle_key_file = "tls/server.key"',
        "policy.opa.bundle_key_file",
        "is not the unencrypted private key",
    ),
    ('bundle_signing_key_file = "remit.toml"', "policy.opa.bundle_signing_key_file", "open to others"),
    ("connections = 0", "policy.opa.connections", "at least 1"),
    ('urll = "a"', "policy.opa.urll", "write `url`"),
    ('token = "do-not-repeat"', "policy.opa.token", "is a secret in the file"),
]


@pytest.mark.parametrize(("table", "place", "told"), MISTAKES)
def test_a_mistake_is_told_with_its_place_and_its_mending(
    folder: ConfigurationFolder, table: str, place: str, told: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(folder.write(with_opa(table)), {})

    assert place in [mistake.place for mistake in raised.value.mistakes]
    assert told in str(raised.value)
    assert "do-not-repeat" not in str(raised.value)
    assert "user:word" not in str(raised.value)


def test_a_table_that_nobody_reads_is_a_mistake(folder: ConfigurationFolder) -> None:
    with pytest.raises(ConfigurationError, match=r'policy\.opa: is set although the engine is not "opa"'):
        load(folder.write(with_opa('url = "http://127.0.0.1:1"', "embedded")), {})


def test_an_unknown_engine_is_told(folder: ConfigurationFolder) -> None:
    with pytest.raises(ConfigurationError, match=r"policy\.engine: must be one of 'embedded' or 'opa'"):
        load(folder.write(with_opa("", "opal")), {})
