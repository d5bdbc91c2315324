"""Every `remit` command line in a page's shell block is one that the command takes: names, options, arguments."""

import re
import shlex
from typing import Any

import pytest
from tests.unit.test_repository_rules import committed_files
from typer.main import get_command

from remit.cli.commands import app

SHELL = re.compile(r"^```(?:sh|bash|shell|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PIPES = {"|", "&&", "||", ";", ">"}


def command_lines() -> list[list[str]]:
    """Returns the words of each, up to a pipe or a redirection."""
    found = []
    for page in committed_files():
        if page.suffix != ".md":
            continue
        for block in SHELL.findall(page.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True) if re.match(r"(\$ )?remit ", line) else []
                end = next((place for place, word in enumerate(words) if word in PIPES), len(words))
                found += [words[words.index("remit") + 1 : end]] if words else []
    return found


LINES = command_lines()


def test_there_are_such_lines() -> None:
    assert {words[0] for words in LINES} >= {"run", "init", "login", "logout", "whoami", "endpoint", "explain"}


@pytest.mark.parametrize("words", LINES, ids=" ".join)
def test_a_documented_command_line_is_taken(words: list[str]) -> None:
    command: Any = get_command(app)

    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    assert not (words and getattr(command, "commands", {})), f"no such command: {words[0]}"
    command.make_context(command.name, list(words)).close()


@pytest.mark.parametrize("words", [["run", "--no-such-option", "--", "true"], ["no-such-command"], ["init"]])
def test_one_that_is_not_taken_would_be_found(words: list[str]) -> None:
    with pytest.raises(Exception, match=r"(?i)no such|missing|option|argument"):
        test_a_documented_command_line_is_taken(words)
