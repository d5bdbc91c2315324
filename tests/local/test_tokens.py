"""Sources of tokens by their texts: what each gives, how it fails, and that no token is repeated."""

import sys
from pathlib import Path

import pytest

from remit.errors import RemitError
from remit.local.errors import InvalidSettings, LoginNeeded, NoToken
from remit.local.settings import Settings
from remit.local.tokens import token_source, variables_of

SETTINGS = Settings(Path("/people/alice/.config/remit/client.toml"))


def command(program: str) -> str:
    return f'command:{sys.executable} -c "{program}"'


def test_a_command_prints_the_token() -> None:
    assert token_source(command("print('tok.en')"), SETTINGS)() == "tok.en"


def test_a_commands_words_are_no_shells() -> None:
    assert token_source(command("import sys; print(sys.argv[1])") + " '$HOME;id'", SETTINGS)() == "$HOME;id"


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("raise SystemExit(3)", "failed with exit code 3"),
        ("print('')", "gives no token but other text, or nothing"),
        ("print('two words')", "gives no token but other text, or nothing"),
        ("print('x' * 40000)", "gives more than 32 KiB"),
    ],
)
def test_a_command_that_gives_none_is_told(program: str, told: str) -> None:
    with pytest.raises(NoToken) as raised:
        token_source(command(program), SETTINGS)()

    assert told in raised.value.message
    assert "two words" not in str(raised.value)


def test_a_command_that_is_not_there_is_told() -> None:
    with pytest.raises(NoToken, match="cannot be run: No such file or directory"):
        token_source("command:/no/such/program", SETTINGS)()


def test_a_variable_is_read_from_the_callers_environment() -> None:
    source = token_source("env:MINE", SETTINGS, environ={"MINE": " tok.en\n"})

    assert source() == "tok.en"
    with pytest.raises(NoToken, match="the variable OTHER, which is to hold a token, is empty"):
        token_source("env:OTHER", SETTINGS, environ={"MINE": "x"})()


def test_two_sources_of_one_variable_are_one() -> None:
    assert token_source("env:MINE", SETTINGS) == token_source("env:MINE", SETTINGS)
    assert token_source("env:MINE", SETTINGS) != token_source("env:OTHER", SETTINGS)


def test_a_login_without_an_issuer_says_how_to_begin() -> None:
    with pytest.raises(LoginNeeded, match=r"has no \[login\]") as raised:
        token_source("login", SETTINGS)()

    assert "`remit init NAME --issuer ...`, then `remit login`" in str(raised.value)


@pytest.mark.parametrize("text", ["eyJhbGciOi.eyJzdWIi.sig", "login:x", "env:", "command:", "github", "file:"])
def test_a_text_that_names_no_source_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(RemitError) as raised:
        token_source(text, SETTINGS)

    assert isinstance(raised.value, InvalidSettings)
    assert "eyJ" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("env:MINE", ("MINE",)),
        ("gitlab", ("REMIT_ID_TOKEN",)),
        ("gitlab:JOB", ("JOB",)),
        ("github", ("ACTIONS_ID_TOKEN_REQUEST_TOKEN",)),
        ("login", ()),
        ("command:x", ()),
    ],
)
def test_what_holds_a_token_is_known(text: str, names: tuple[str, ...]) -> None:
    assert variables_of(text) == names
