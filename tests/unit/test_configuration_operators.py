"""Operators in the configuration: an audience that agents never have, and administrators that are exactly somebody."""

from pathlib import Path

import pytest
from tests.configuration_folder import TEXT, ConfigurationFolder
from tests.unit.test_configuration import mistakes

from remit_server.config.loading import load

OPERATORS = TEXT.replace("actors = true", 'actors = true\noperator_audience = "remit-operators"', 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ConfigurationFolder:
    return ConfigurationFolder.create(tmp_path_factory.mktemp("operators"))


def with_administrator(name: str) -> str:
    return f'{OPERATORS}\n[administrators]\nprincipals = ["{name}"]\n'


def test_without_a_word_there_are_no_operators(folder: ConfigurationFolder) -> None:
    settings = load(folder.write(TEXT), {})

    assert [issuer.operator_audience for issuer in settings.issuers] == [None, None]
    assert settings.administrators == frozenset()


def test_operators_have_an_audience_of_their_own(folder: ConfigurationFolder) -> None:
    settings = load(folder.write(OPERATORS), {})

    assert settings.issuers[0].operator_audience == "remit-operators"


def test_an_issuer_may_be_for_operators_alone(folder: ConfigurationFolder) -> None:
    text = TEXT.replace('alias = "people"', 'alias = "people"\nsubjects = false\noperator_audience = "ops"')

    assert load(folder.write(text), {}).issuers[1].operator_audience == "ops"


@pytest.mark.parametrize("own", ["remit", "another"])
def test_an_audience_of_tokens_that_agents_hold_is_refused(folder: ConfigurationFolder, own: str) -> None:
    text = TEXT.replace('audience = "remit"', f'audience = "{own}"\noperator_audience = "remit"', 1)

    found = mistakes(folder.write(text))

    assert "is also the `audience` of an issuer" in found["issuers[0].operator_audience"]


@pytest.mark.parametrize("name", ["acme:00u1abcd", "spiffe://acme.example/ops/responder"])
def test_an_administrator_is_an_operator(folder: ConfigurationFolder, name: str) -> None:
    assert load(folder.write(with_administrator(name)), {}).administrators == {name}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("olga", "neither"),
        ("acme:", "neither"),
        ("acme: olga", "neither"),
        ("people:olga", "no issuer that has an operator_audience"),
        ("nobody:olga", "no issuer that has an operator_audience"),
        ("acme:reporter-service", "is an agent"),
        ("spiffe://acme.example/copilot", "an agent's SPIFFE ID"),
        ("spiffe://evil.example/ops", "trust domain that is not taken"),
        ("spiffe://acme.example/*", ""),
    ],
)
def test_an_administrator_that_nobody_or_an_agent_could_be_is_a_mistake(
    folder: ConfigurationFolder, name: str, problem: str
) -> None:
    found = mistakes(folder.write(with_administrator(name)))

    assert problem in found["administrators.principals[0]"]


def test_the_environment_may_name_the_budget(folder: ConfigurationFolder) -> None:
    environment = {"REMIT__LIMITS__OPERATOR_REQUESTS_PER_MINUTE": "7"}

    assert load(Path(folder.write(TEXT)), environment).limits.operator_requests_per_minute == 7
