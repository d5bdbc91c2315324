"""The client's settings: what the file says, what the environment says over it, and how mistakes are told."""

from datetime import timedelta
from pathlib import Path

import pytest

from remit.local.errors import InvalidSettings
from remit.local.login_settings import LoginSettings
from remit.local.settings import GatewaySettings, Profile, load_settings, settings_file

FULL = """
[gateway]
target = "gateway.example.com:8443"
ca_file = "authority.pem"
certificate_file = "/agents/copilot.pem"
key_file = "~/copilot.key"

[subject]
token = "file:/run/token"

[login]
issuer = "https://idp.example.com"
client_id = "copilot"
token = "access_token"

[profiles.reports]
purpose = "summarise Q3"
allow = ["s3.read_prefix bucket=reports prefix=2026/q3/"]
duration = "15m"
narrow = true
labels = { team = "finance" }
region = "eu-central-1"
"""


def written(folder: Path, text: str) -> dict[str, str]:
    """Writes a settings file and returns the environment that names it."""
    file = folder / "client.toml"
    file.write_text(text)
    file.chmod(0o600)
    return {"REMIT_CONFIG": str(file), "HOME": str(folder)}


def test_the_file_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/people/alice")

    settings = load_settings(written(tmp_path, FULL))

    assert settings.gateway == GatewaySettings(
        target="gateway.example.com:8443",
        ca_file=tmp_path / "authority.pem",
        certificate_file=Path("/agents/copilot.pem"),
        key_file=Path("/people/alice/copilot.key"),
    )
    assert settings.subject_token == "file:/run/token"
    assert settings.login == LoginSettings("https://idp.example.com", "copilot", token="access_token")
    assert settings.profile("reports") == Profile(
        name="reports",
        purpose="summarise Q3",
        allow=("s3.read_prefix bucket=reports prefix=2026/q3/",),
        duration=timedelta(minutes=15),
        narrow=True,
        labels=(("team", "finance"),),
        region="eu-central-1",
    )


def test_without_a_file_the_environment_says_it_all(tmp_path: Path) -> None:
    environ = {
        "XDG_CONFIG_HOME": str(tmp_path),
        "REMIT_GATEWAY": "127.0.0.1:8443",
        "REMIT_CA_FILE": "/ca.pem",
        "REMIT_BEARER_TOKEN_FILE": "/run/agent-token",
        "REMIT_SUBJECT_TOKEN": "made-up",
    }

    settings = load_settings(environ)

    assert settings.gateway == GatewaySettings(
        target="127.0.0.1:8443", ca_file=Path("/ca.pem"), bearer="file:/run/agent-token"
    )
    assert settings.subject_token == "env:REMIT_SUBJECT_TOKEN"
    assert "made-up" not in repr(settings)


def test_a_bearer_token_in_the_environment_replaces_the_files_certificate(tmp_path: Path) -> None:
    environ = written(tmp_path, FULL) | {"REMIT_BEARER_TOKEN": "made-up"}

    gateway = load_settings(environ).gateway

    assert (gateway.certificate_file, gateway.key_file) == (None, None)
    assert gateway.bearer == "env:REMIT_BEARER_TOKEN"


@pytest.mark.parametrize(
    ("environ", "file"),
    [
        ({"REMIT_CONFIG": "/etc/remit.toml"}, "/etc/remit.toml"),
        ({"XDG_CONFIG_HOME": "/people/alice/.settings"}, "/people/alice/.settings/remit/client.toml"),
    ],
    ids=["named", "XDG"],
)
def test_the_file_is_found_where_it_is_named(environ: dict[str, str], file: str) -> None:
    assert settings_file(environ) == Path(file)


WRONG = {
    "an unknown key": ('[gateway]\ntaget = "a:1"', "gateway.taget is no setting; did you mean target?"),
    "an unknown table": ("[profile.reports]", "profile is no setting; did you mean profiles?"),
    "another kind": ("[gateway]\ntarget = 8443", "gateway.target must be a text in quotes"),
    "no purpose": ('[profiles.x]\nallow = ["a"]', "[profiles.x] needs purpose and allow"),
    "a text for a list": ('[profiles.x]\npurpose = "p"\nallow = "a"', "profiles.x.allow must be a list of texts"),
    "no duration": ('[profiles.x]\npurpose = "p"\nallow = ["a"]\nduration = "soon"', "profiles.x.duration must be a"),
    "half an identity": ('[gateway]\nkey_file = "k"', "certificate_file and key_file belong together"),
    "half a login": ('[login]\nissuer = "https://idp"', "[login] needs issuer and client_id"),
    "no TOML": ("[gateway", "is not TOML"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_told_with_where_it_is(case: str, tmp_path: Path) -> None:
    text, told = WRONG[case]

    with pytest.raises(InvalidSettings) as raised:
        load_settings(written(tmp_path, text))

    assert told in raised.value.message
    assert raised.value.reason == "INVALID_SETTINGS"
    assert "what to do: " in str(raised.value)


def test_a_token_where_a_setting_belongs_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings) as raised:
        load_settings(written(tmp_path, '[gateway]\nbearer = ["eyJ-secret"]'))

    assert "eyJ-secret" not in str(raised.value)


def test_a_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    environ = written(tmp_path, FULL)
    Path(environ["REMIT_CONFIG"]).chmod(0o666)

    with pytest.raises(InvalidSettings, match="others may write it"):
        load_settings(environ)


def test_an_unknown_profile_is_told_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"no profile 'report' \(known: reports\)"):
        load_settings(written(tmp_path, FULL)).profile("report")


@pytest.mark.parametrize(
    "line",
    [
        'issuer = "http://idp.example.com"',
        'resource = "http://mcp.example.com/mcp"',
        'resource = "http://127.0.0.1.example.com/mcp"',
        'resource = "http://localhost.example.com/mcp"',
    ],
)
def test_tokens_for_the_mcp_server_travel_by_https_only(tmp_path: Path, line: str) -> None:
    with pytest.raises(InvalidSettings, match="must be https"):
        load_settings(written(tmp_path, f"[mcp]\n{line}\n"))


@pytest.mark.parametrize("resource", ["https://mcp.example.com/mcp", "http://127.0.0.1:8765/mcp", "http://[::1]/mcp"])
def test_an_mcp_server_on_this_machine_may_do_without(tmp_path: Path, resource: str) -> None:
    settings = load_settings(written(tmp_path, f'[mcp]\nresource = "{resource}"\n'))

    assert settings.mcp.resource == resource
