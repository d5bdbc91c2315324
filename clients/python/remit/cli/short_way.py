"""`remit credential-process` as AWS tools call it: asks the endpoint, without anything that takes time to import.

A tool with credentials of fifteen minutes starts this at each of its calls. What is not understood here is left to the
command line proper, which says what is wrong.
"""

import json
import os
import sys

from remit.local.sharing.asking import ask
from remit.local.sharing.place import NotTrusted, socket_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TEXTS = frozenset({"profile", "purpose", "duration", "region", "request-id", "socket", "handle"})
_PATHS = ("_FILE", "REMIT_CONFIG")
_LARGEST_FILE = 64 * 1024
_VARIABLES = (
    "XDG_CONFIG_HOME",
    # Those of remit.workload.naming.VARIABLES, which is not imported here for its time; a test holds the two together.
    "ACTIONS_ID_TOKEN_REQUEST_URL",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "GITHUB_ACTIONS",
    "GITLAB_CI",
    "SPIFFE_ENDPOINT_SOCKET",
)


def answered(arguments: list[str]) -> "int | None":
    """Answers if it can, and returns the exit code; None for what it does not understand."""
    values = read(arguments)
    return None if values is None else deliver(values)


def read(arguments: list[str]) -> "dict[str, Any] | None":
    """Reads the options as JSON takes them; None for anything but well-formed ones."""
    values: dict[str, Any] = {"allow": [], "labels": {}, "narrow": False}
    rest = iter(arguments)
    for word in rest:
        name, given, value = word.removeprefix("--").partition("=")
        if not word.startswith("--"):
            return None
        if word == "--narrow":
            values["narrow"] = True
            continue
        told = value if given else next(rest, None)
        if told is None or not _took(values, name, told):
            return None
    return values


def deliver(values: "dict[str, Any]") -> int:
    """Prints the credentials and returns the exit code; on a failure nothing is printed but on standard error."""
    path, handle = values.pop("socket", None) or socket_path(), values.pop("handle", None)
    request = {"op": "credentials", "handle": handle} if handle else wish_request(values)
    try:
        answer = ask(path, request)
    except NotTrusted as error:
        from remit.cli.direct import refused

        return refused(str(error))
    if answer is None:
        from remit.cli.direct import direct, gone

        return gone(path) if handle else direct(values)
    if "error" in answer:
        sys.stderr.write(f"{answer['error']['text']}\n")
        return int(answer["error"]["exit"])
    sys.stdout.write(f"{json.dumps(answer['ok'])}\n")
    return 0


def wish_request(values: "dict[str, Any]") -> "dict[str, Any]":
    """Returns the request for credentials by a wish: with the variables that this process's settings come from.

    Paths are made absolute, as another process has another working folder.
    """
    environ = {
        name: _absolute(value) if name.endswith(_PATHS) and value else value
        for name, value in os.environ.items()
        if name.startswith("REMIT_") or name in _VARIABLES
    }
    return {"op": "credentials", "wish": values, "environ": environ}


def _absolute(path: str) -> str:
    """Returns a path as it is meant here."""
    return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111 - pathlib takes longer to import


def _took(values: "dict[str, Any]", name: str, told: str) -> bool:
    """Takes one option with its value; says whether it could."""
    if name == "allow":
        text = _inlined(told)
        values["allow"].append(text)
        return text is not None
    if name == "label":
        key, equals, value = told.partition("=")
        values["labels"][key] = value
        return bool(key and equals)
    if name not in _TEXTS or name in values or not told:
        return False
    values[name.replace("-", "_")] = told
    return True


def _inlined(text: str) -> "str | None":
    """Returns an intent's text; of `@FILE` what the file holds, as another process has another working folder."""
    if not text.startswith("@"):
        return text
    try:
        with open(text[1:], encoding="utf-8") as file:  # noqa: PTH123 - pathlib takes longer to import than all this
            content = file.read(_LARGEST_FILE + 1)
    except (OSError, UnicodeDecodeError):
        return None
    return content if len(content) <= _LARGEST_FILE else None
