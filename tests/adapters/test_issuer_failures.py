"""An issuer whose keys cannot be had: the log says which, what failed and what to do; a caller learns none of it."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.configuration_folder import TEXT, ConfigurationFolder
from tests.hostile_issuer import HostileIssuer, hostile_issuer
from tests.token_forge import HandClock, settings, usual_key_set
from typer.testing import CliRunner

from remit_sandbox.certificates import Authority
from remit_server.adapters.identity.https_fetch import HttpsFetch
from remit_server.adapters.identity.jwks import IssuerKeys
from remit_server.cli.config import app
from remit_server.config.settings import IssuerSettings
from remit_server.domain.errors import Outage, Reason


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "authority")


@pytest.fixture
async def issuer(authority: Authority) -> AsyncIterator[HostileIssuer]:
    async with hostile_issuer(authority) as running:
        yield running


def _at(url: str, ca_file: Path | None) -> IssuerSettings:
    return settings(alias="acme", key_set_url=url, allowed_hosts=frozenset({"127.0.0.1", "localhost"}), ca_file=ca_file)


async def _told(configuration: IssuerSettings, caplog: pytest.LogCaptureFixture, **fetch: Any) -> str:
    """Returns what the log says; checks that a caller hears of an unavailable issuer and of nothing else."""
    caplog.set_level(logging.WARNING)
    hasty = HttpsFetch(
        hosts=configuration.allowed_hosts, ca_file=configuration.ca_file, **{"deadline_seconds": 30.0, **fetch}
    )
    keys = IssuerKeys(configuration, HandClock(), hasty)

    with pytest.raises(Outage) as failed:
        await keys.key("rsa")

    assert failed.value.reason is Reason.ISSUER_UNAVAILABLE
    assert failed.value.message == (
        "the keys of issuer `acme` cannot be had; try again later, or ask the gateway's operator"
    )
    return caplog.text


async def test_an_authority_that_did_not_sign_the_certificate_is_told_with_its_file(
    issuer: HostileIssuer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = Authority.create(tmp_path / "stranger").bundle_path

    text = await _told(_at(f"{issuer.url}/keys", stranger), caplog)

    assert "issuer acme (https://idp.example.com)" in text
    assert f"asked {issuer.url}/keys" in text
    assert f"the certificate of `127.0.0.1` is not trusted by ca_file {stranger}: set ca_file" in text


async def test_without_a_ca_file_the_systems_authorities_are_told(
    issuer: HostileIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    text = await _told(_at(f"{issuer.url}/keys", None), caplog)

    assert "not trusted by the system's authorities (no ca_file is set): set ca_file" in text


async def test_a_certificate_for_another_name_is_told_as_that(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    async with hostile_issuer(authority, names=("idp.example.com",)) as misnamed:
        text = await _told(_at(f"{misnamed.url}/keys", misnamed.ca_file), caplog)

    assert "the certificate of `127.0.0.1` is made out to other names: correct the host" in text


async def test_a_name_without_an_address_is_told_as_that(
    issuer: HostileIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    async def unknown(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, f"{host}:{port} is not known")

    text = await _told(_at(f"https://localhost:{issuer.port}/keys", issuer.ca_file), caplog, resolve=unknown)

    assert "the name of `localhost` cannot be resolved: correct the host" in text


async def test_a_port_where_nobody_listens_is_told_as_that(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]

        text = await _told(_at(f"https://127.0.0.1:{port}/keys", authority.bundle_path), caplog)

    assert "`127.0.0.1` refuses the connection: start its server, or correct host and port" in text


async def test_a_server_without_tls_is_told_as_that(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    async def plain(reader: Any, writer: Any) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        text = await _told(_at(f"https://127.0.0.1:{port}/keys", authority.bundle_path), caplog)

    assert "speaks no acceptable TLS there: correct the port" in text


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/status/404", "the answer has HTTP status 404, not 200 (redirects are not followed): correct `issuer`"),
        ("/redirect/self", "the answer has HTTP status 302"),
        ("/huge", "the answer is longer than 8192 bytes"),
        ("/drip", "no whole answer within 0.5 seconds: check routes"),
    ],
)
async def test_an_answer_that_is_none_is_told_with_its_kind(
    issuer: HostileIssuer, caplog: pytest.LogCaptureFixture, path: str, told: str
) -> None:
    bounds = {"deadline_seconds": 0.5 if path == "/drip" else 30.0, "max_bytes": 8192}

    assert told in await _told(_at(f"{issuer.url}{path}", issuer.ca_file), caplog, **bounds)


async def test_a_ca_file_that_became_unreadable_is_told_with_its_name(
    issuer: HostileIssuer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoiled = tmp_path / "ca.pem"
    spoiled.write_text("no certificate")

    text = await _told(_at(f"{issuer.url}/keys", spoiled), caplog)

    assert f"ca_file {spoiled} cannot be read as PEM certificates" in text


@pytest.mark.parametrize(
    ("document", "told"),
    [(b"<html>login</html>", "not strict JSON"), (b"{}", "no list `keys`"), (b'{"keys":7}', "no list `keys`")],
)
async def test_a_document_that_is_no_key_set_is_told_with_what_to_do_and_not_repeated(
    caplog: pytest.LogCaptureFixture, document: bytes, told: str
) -> None:
    async def fetch(url: str, /) -> bytes:
        del url
        return document

    keys = IssuerKeys(_at("https://127.0.0.1/keys", None), HandClock(), fetch)

    why = await keys.failure()

    assert told in str(why)
    assert "correct `key_set_url`" in caplog.text
    assert "login" not in caplog.text


async def test_a_key_set_without_a_fit_key_fails_the_look_of_an_operator() -> None:
    async def fetch(url: str, /) -> bytes:
        del url
        return b'{"keys":[{"kty":"RSA","kid":"k"}]}'

    keys = IssuerKeys(_at("https://127.0.0.1/keys", None), HandClock(), fetch)

    assert "no key that is fit" in str(await keys.failure())


async def test_a_gateway_that_starts_asks_before_the_first_token_comes(
    issuer: HostileIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    keys = IssuerKeys.over_https(_at(f"{issuer.url}/status/500", issuer.ca_file), HandClock())

    keys.begin()

    assert "HTTP status 500" in str(await keys.failure())
    assert issuer.asked == ["/status/500"]
    assert "issuer acme" in caplog.text


async def test_an_issuer_that_starts_after_the_gateway_is_asked_again_by_the_first_token() -> None:
    answers, failed = [b"<html>starting</html>", usual_key_set()], asyncio.Event()

    async def fetch(url: str, /) -> bytes:
        del url
        failed.set()
        return answers.pop(0)

    keys = IssuerKeys(_at("https://127.0.0.1/keys", None), HandClock(), fetch)
    keys.begin()
    await failed.wait()
    await asyncio.sleep(0)  # the look is over when its task has had its turn

    assert (await keys.key("rsa")).key_id == "rsa"


# --- remit-server config check --ask-issuers --------------------------------------------------------------------------


def _text(port: int, ca_file: str) -> str:
    """The usual configuration, with both issuers' keys at this port of loopback."""
    keys = f'key_set_url = "https://127.0.0.1:{port}/keys"\nallowed_hosts = ["127.0.0.1"]\nca_file = "{ca_file}"\n'
    return TEXT.replace('audience = "remit"\n', f'audience = "remit"\n{keys}')


def test_the_command_asks_the_issuers_only_when_told_to_and_says_what_failed(tmp_path: Path) -> None:
    folder = ConfigurationFolder.create(tmp_path)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        path = folder.write(_text(nobody.getsockname()[1], "tls/issuer-ca.pem"))

        silent = CliRunner().invoke(app, ["check", "--config", str(path)])
        asked = CliRunner().invoke(app, ["check", "--config", str(path), "--ask-issuers"])

    assert silent.exit_code == 0
    assert asked.exit_code == 1
    for alias in ("acme", "people"):
        assert f"the keys of issuer {alias} cannot be had" in asked.stderr
    assert "refuses the connection" in asked.stderr
