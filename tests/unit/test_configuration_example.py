"""The example and the document hold what the configuration holds, and the command says what it finds."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import PydanticUndefined
from tests.configuration_folder import DEPLOY, TEXT, ConfigurationFolder
from typer.testing import CliRunner

from remit_server.cli.config import app
from remit_server.config.bundle_shapes import BundleServerTable, BundleSigningTable
from remit_server.config.http_shapes import HttpListenerTable
from remit_server.config.loading import ConfigurationError, load
from remit_server.config.shapes import (
    LISTS,
    TABLES,
    ListenerTable,
    MutualListenerTable,
    OpaTable,
)
from remit_server.config.table_shape import Table
from remit_server.config.telemetry.shapes import MetricsListenerTable

EXAMPLE = (DEPLOY / "remit.example.toml").read_text(encoding="utf-8")
DOCUMENT = (DEPLOY.parent / "docs/configuration.md").read_text(encoding="utf-8")
COMMENTED = re.compile(r"^# (\w+ = .+|\[checkpoints\])$", re.MULTILINE)
SHAPES: dict[str, type[Table]] = {
    **{f"[{name}]": shape for name, shape in TABLES.items()},
    **{f"[[{name}]]": shape for name, shape in LISTS.items()},
    "[listen.mtls]": MutualListenerTable,
    "[listen.bearer]": ListenerTable,
    "[listen.http]": HttpListenerTable,
    "[listen.metrics]": MetricsListenerTable,
    "[policy.opa]": OpaTable,
    "[policy.bundle_server]": BundleServerTable,
    "[policy.signing]": BundleSigningTable,
}
TABLES_WITHIN = {
    *(("[listen]", name) for name in ("mtls", "bearer", "http", "metrics")),
    *(("[policy]", name) for name in ("opa", "bundle_server", "signing")),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ConfigurationFolder:
    return ConfigurationFolder.create(tmp_path_factory.mktemp("example"))


def keys() -> Iterator[tuple[str, str, Any]]:
    """Yields every key of every table: the table's name, the key, its default."""
    for title, shape in SHAPES.items():
        for name, described in shape.model_fields.items():
            if (title, name) not in TABLES_WITHIN:
                yield title, name, described.default


def test_the_example_loads(folder: ConfigurationFolder) -> None:
    settings = load(folder.write(EXAMPLE), {})

    assert [issuer.alias for issuer in settings.issuers] == ["acme", "ci", "google", "github"]


def test_a_table_of_checkpoints_that_names_no_place_is_a_mistake(folder: ConfigurationFolder) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(folder.write(EXAMPLE.replace("# [checkpoints]", "[checkpoints]")), {})

    assert {mistake.place for mistake in raised.value.mistakes} == {"checkpoints.file", "checkpoints.signing_key_file"}


def test_the_example_loads_with_every_optional_key_set(folder: ConfigurationFolder) -> None:
    text = COMMENTED.sub(r"\1", EXAMPLE)
    text = text.replace("https://login.acme.example/oauth2", "https://keys.acme.example/oauth2")
    text = text.replace("sqlite:///data/remit.db", "postgresql://remit@localhost/remit")
    text = text.replace('bundle = "policies"\nfollow_seconds = 5\n', "")  # a bundle server stands in its place

    settings = load(folder.write(text), {})

    assert text.count("\n# ") < EXAMPLE.count("\n# ")
    assert settings.aws.access_key_id == "AKIAIOSFODNN7EXAMPLE"
    assert settings.aws.endpoint_url == "https://sts.internal.example"


@pytest.mark.parametrize(("title", "name"), [(title, name) for title, name, _ in keys()])
def test_every_key_stands_in_the_example_and_in_the_document(title: str, name: str) -> None:
    section = DOCUMENT.partition(f"## `{title}`")[2].partition("\n## ")[0]

    assert re.search(rf"^(# )?{name} = ", EXAMPLE, re.MULTILINE)
    assert f"| `{name}` |" in section


@pytest.mark.parametrize("title", SHAPES)
def test_the_document_tells_no_key_that_is_not_there(title: str) -> None:
    section = DOCUMENT.partition(f"## `{title}`")[2].partition("\n## ")[0]

    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) <= set(SHAPES[title].model_fields)


@pytest.mark.parametrize(("title", "name", "default"), list(keys()))
def test_the_document_tells_the_default(title: str, name: str, default: Any) -> None:
    section = DOCUMENT.partition(f"## `{title}`")[2].partition("\n## ")[0]
    cells = re.search(rf"^\| `{name}` \|[^|]*\|([^|]*)\|", section, re.MULTILINE)

    told = cells[1].strip() if cells else ""
    if default is PydanticUndefined:
        assert told == "required"
    elif default is None:
        assert told == "none"
    elif isinstance(default, str):
        assert told == f'`"{default}"`'
    else:
        assert told == f"`{str(default).lower()}`"


def test_no_key_makes_the_gateway_insecure() -> None:
    suspicious = re.compile(r"insecure|skip|verify|disable|allow_http|plaintext|debug|dev|trust_all|unsafe|no_")

    found = [name for _, name, _ in keys() if suspicious.search(name)]

    assert found == []


# --- remit-server config check ---


def test_the_command_prints_every_mistake_and_ends_with_1(folder: ConfigurationFolder) -> None:
    path = folder.write(TEXT.replace("eu-central-1", "nowhere").replace('["RS256"]', '["HS256"]'))

    result = CliRunner().invoke(app, ["check", "--config", str(path)])

    assert result.exit_code == 1
    assert "2 mistakes" in result.stderr
    assert "aws.region" in result.stderr
    assert "issuers[0].algorithms" in result.stderr
    assert "mend" in result.stderr
    assert result.stdout == ""


def test_the_command_says_what_would_be_served_and_ends_with_0(folder: ConfigurationFolder) -> None:
    path = folder.write()

    result = CliRunner().invoke(app, ["check", "--config", str(path)])

    assert result.exit_code == 0
    assert "127.0.0.1:8443 (client certificates)" in result.stdout
    assert "arn:aws:iam::111122223333:role/remit-reports" in result.stdout
    assert load(path, {}).digest in result.stdout


def test_the_command_shows_no_secret(tmp_path: Path) -> None:
    folder = ConfigurationFolder.create(tmp_path)
    keys_ = 'access_key_id = "AKIAIOSFODNN7EXAMPLE"\nsecret_access_key_file = "secrets/aws-secret-access-key"'

    result = CliRunner().invoke(app, ["check", "--config", str(folder.write(TEXT.replace("[aws]", f"[aws]\n{keys_}")))])

    assert result.exit_code == 0
    assert "value-of" not in result.output


def test_the_error_itself_holds_every_mistake(folder: ConfigurationFolder) -> None:
    path = folder.write(TEXT.replace("eu-central-1", "nowhere"))

    with pytest.raises(ConfigurationError, match=r"has 1 mistake:\n  aws\.region: is not the name") as raised:
        load(path, {})

    assert "Mend:" in str(raised.value)


def test_a_secret_written_into_the_file_is_not_repeated(folder: ConfigurationFolder) -> None:
    path = folder.write(TEXT.replace("[aws]", '[aws]\nsecret_access_key = "do-not-repeat"'))

    with pytest.raises(ConfigurationError) as raised:
        load(path, {})

    assert "do-not-repeat" not in str(raised.value)


def test_the_example_needs_nothing_that_is_not_beside_it(tmp_path: Path) -> None:
    shutil.copy(DEPLOY / "remit.example.toml", tmp_path / "remit.toml")

    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path / "remit.toml", {})

    named = {mistake.place.rpartition(".")[2] for mistake in raised.value.mistakes}
    files = {"certificate_file", "key_file", "client_ca_file", "ceiling_file", "signing_key_file"}
    secrets = {"access_token_file", "secret_files[0]", "token_file", "secret_file", "url_file"}
    assert named == {*files, *secrets, "bundle", "url"}
