"""The help of both commands shows all that was written: Rich takes `[words]` in it for markup, and swallows them."""

from collections.abc import Iterator
from typing import Any

import pytest
from rich.text import Text
from typer.main import get_command

from remit.cli.commands import app as client
from remit_server.cli.main import app as server


def texts(command: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yields where each text of a command's help stands, and the text, and those of the commands below it."""
    for name, text in (
        ("", command.help),
        *((parameter.name, getattr(parameter, "help", None)) for parameter in command.params),
    ):
        if text:
            yield f"{path} {name}".strip(), text
    for name, below in getattr(command, "commands", {}).items():
        yield from texts(below, f"{path} {name}")


@pytest.mark.parametrize(("app", "name"), [(client, "remit"), (server, "remit-server")], ids=["client", "gateway"])
def test_no_word_of_the_help_is_taken_for_markup(app: Any, name: str) -> None:
    found = dict(texts(get_command(app), name))

    assert len(found) > 20
    assert [where for where, text in found.items() if Text.from_markup(text).plain != text] == []


def variables(command: Any) -> Iterator[str]:
    """Yields the names of the environment's variables that a command reads options from, and those below it."""
    for parameter in command.params:
        named = parameter.envvar or ()
        yield from [named] if isinstance(named, str) else named
    for below in getattr(command, "commands", {}).values():
        yield from variables(below)


def test_the_gateways_file_and_the_clients_are_named_by_variables_of_their_own() -> None:
    found = set(variables(get_command(server)))

    assert "REMIT_SERVER_CONFIG" in found
    assert "REMIT_CONFIG" not in found
