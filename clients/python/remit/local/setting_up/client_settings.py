"""The client's settings file, table by table: what is there already is somebody's own, and stays."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from remit.intents import parse_allows
from remit.local.errors import InvalidSettings
from remit.local.setting_up.aws_profile import NAME
from remit.local.setting_up.edits import Edit, edit, outside
from remit.local.settings import parse_settings

Values = Mapping[str, str | bool | tuple[str, ...] | None]


@dataclass(frozen=True, slots=True)
class Answers:
    """What is to be written: a profile, and the tables of gateway and sign-in; None and empty are left out."""

    profile: str
    task: Values = field(default_factory=lambda: MappingProxyType({}))
    gateway: Values = field(default_factory=lambda: MappingProxyType({}))
    login: Values = field(default_factory=lambda: MappingProxyType({}))


def with_settings(answers: Answers, file: Path) -> Edit | None:
    """Returns the edit that writes what was answered, None where nothing was; raises InvalidSettings, InvalidRequest.

    The whole file is read as `remit` reads it before anything is written.
    """
    if not NAME.fullmatch(answers.profile):
        raise InvalidSettings("a profile's name is 1 to 64 letters, digits, '_', '.' or '-'", advice="choose another")
    parse_allows(_texts(answers.task.get("allow")))
    tables = {"gateway": answers.gateway, "login": answers.login, f'profiles."{answers.profile}"': answers.task}
    blocks = {name.replace('"', ""): block for name, values in tables.items() if (block := _table(name, values))}
    if not blocks:
        return None
    found = edit(file, blocks)
    for name in blocks:
        _check_free(found.before or b"", name, file)
    parse_settings(found.after.decode(errors="replace"), file)
    return found


def _check_free(content: bytes, name: str, file: Path) -> None:
    """Refuses a table that stands in the file already, outside what is ours."""
    known = parse_settings(outside(content, name, file).decode(errors="replace"), file)
    kind, _, profile = name.partition(".")
    taken = {"gateway": known.gateway.target is not None, "login": known.login is not None}
    if taken.get(kind, profile in known.profiles):
        raise InvalidSettings(
            f"{file} has a table [{name}] that `remit init` did not write", advice="edit it there, or take it out"
        )


def _table(name: str, values: Values) -> str:
    """Returns a table as TOML, nothing where it has no values."""
    lines = [f"{key} = {_value(value)}\n" for key, value in values.items() if value not in (None, (), False)]
    return f"[{name}]\n{''.join(lines)}" if lines else ""


def _value(value: str | bool | tuple[str, ...] | None) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _texts(value: object) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()
