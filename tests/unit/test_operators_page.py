"""The page on operators: its configurations load, its decision is one, its fields and commands are there."""

import json
import re
from pathlib import Path

import pytest
from tests.configuration_folder import DEPLOY, TEXT, ConfigurationFolder
from tests.policy.test_default_policy import schema
from typer.testing import CliRunner

from remit_server.adapters.policy.answers.admin_decision import admin_decision_of
from remit_server.adapters.strict_yaml import strict_yaml
from remit_server.cli.main import app
from remit_server.config.loading import load
from remit_server.domain.administration import AdminAllow, Visible
from remit_server.domain.grant_filter.terms import FIELDS

PAGE = (DEPLOY.parent / "docs/operators.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


TOML = [block for block in blocks("toml") if "[[issuers]]" in block]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ConfigurationFolder:
    return ConfigurationFolder.create(tmp_path_factory.mktemp("operators-page"))


@pytest.mark.parametrize("block", TOML, ids=[str(re.findall('alias = "(.*)"', block)[0]) for block in TOML])
def test_each_issuer_loads_beside_the_usual_ones(folder: ConfigurationFolder, block: str) -> None:
    settings = load(folder.write(TEXT.replace("[[agents]]", f"{block}\n[[agents]]", 1)), {})

    assert settings.issuers[-1].operator_audience not in {None, *(issuer.audience for issuer in settings.issuers)}


def test_question_and_decision_fit_their_schemas() -> None:
    question, decision = (
        json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    )

    assert list(schema("admin-input.json").iter_errors(question)) == []
    assert admin_decision_of(json.dumps(decision)) == AdminAllow(Visible(everything=True))


def test_the_catalogue_fits_its_schema() -> None:
    (block,) = blocks("yaml")

    assert list(schema("administration.json").iter_errors(strict_yaml(block)[0])) == []


def test_every_field_of_the_filter_is_told() -> None:
    table = PAGE[PAGE.index("| field |") :].partition("\n\n")[0]

    assert set(re.findall(r"`([a-z_.]{5,})`", table)) - {"false"} == set(FIELDS)


@pytest.mark.parametrize("page", ["operators", "audit"])
def test_every_command_that_is_told_exists(page: str) -> None:
    text = Path(DEPLOY.parent / f"docs/{page}.md").read_text("utf-8")
    commands = set(re.findall(r"remit-server (grants|audit) ([a-z]+)", text))

    assert commands
    for command in commands:
        assert CliRunner().invoke(app, [*command, "--help"]).exit_code == 0, command
