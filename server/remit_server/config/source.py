"""Reads the file and the environment over it into one tree of plain values, and each table into its shape."""

import difflib
import re
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from remit_server.config.mistakes import Notes
from remit_server.config.shapes import LISTS, OPTIONAL, SECRETS, TABLES
from remit_server.config.table_shape import Table
from remit_server.domain.secret import Secret

PREFIX: Final = "REMIT__"
MAX_FILE_BYTES: Final = 1_048_576
_SECRET_NAME = re.compile(r"secret|password|token|private|passphrase|external_id")
_UNREAD_WHY: Final = "nobody reads it: mostly it is a spelling mistake, and then a rule you count on does not hold"
_INLINE_WHY: Final = "a configuration file is copied, reviewed and backed up; a secret in it is no longer one"
_TYPES: Final = {
    "missing": "is missing",
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "too_short": "must not be empty",
}
T = TypeVar("T", bound=Table)


@dataclass(frozen=True, slots=True)
class Source:
    """What was written: the tree of values and the secrets that the environment holds, by place.

    `overrides` are what the environment set at which place, without secrets: they belong to the digest.
    `readable` is False when the file itself could not be read: then nothing else can be said of it.
    """

    tree: dict[str, Any]
    raw: bytes
    readable: bool
    secrets: dict[str, Secret] = field(default_factory=dict)
    overrides: dict[str, str] = field(default_factory=dict)


def read(path: Path, environment: Mapping[str, str], notes: Notes) -> Source:
    """Returns what the file and `REMIT__TABLE__KEY` say; an unreadable file is an empty tree and a mistake."""
    raw = _bytes(path, notes)
    tree = _toml(raw, notes)
    source = Source(tree, raw, readable=not notes.mistakes)
    for name in sorted(environment):
        if name.startswith(PREFIX):
            _overlay(source, name, environment[name], notes)
    for name in sorted(source.tree.keys() - TABLES.keys() - LISTS.keys()):
        _note_unknown(notes, name, sorted([*TABLES, *LISTS]))
    return source


def table(source: Source, name: str, notes: Notes) -> Any:
    """Returns the table's shape, or None when it is wrong; an absent optional table has its defaults."""
    if name not in source.tree and name not in OPTIONAL:
        _note_missing(notes, name)
        return None
    return _shaped(TABLES[name], source.tree.get(name, {}), name, notes)


def tables(source: Source, name: str, shape: type[T], notes: Notes) -> list[tuple[str, T]]:
    """Returns the list's items that have their shape, each with its place."""
    items = source.tree.get(name, [])
    if not isinstance(items, list):
        notes.add(name, "must be a list of tables", why="there can be several", mend=f"write [[{name}]]")
        return []
    if not items and name not in OPTIONAL:
        _note_missing(notes, name)
    shaped = [
        (f"{name}[{number}]", _shaped(shape, item, f"{name}[{number}]", notes)) for number, item in enumerate(items)
    ]
    return [(place, item) for place, item in shaped if item is not None]


def are_all(source: Source, name: str, shaped: Sequence[object]) -> bool:
    """Says whether every item of the list has its shape."""
    items = source.tree.get(name, [])
    return isinstance(items, list) and len(items) == len(shaped)


def _bytes(path: Path, notes: Notes) -> bytes:
    """Returns the file's content; an unreadable or huge one is a mistake."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as wrong:
        problem = f"cannot be read: {wrong.strerror or type(wrong).__name__}"
        notes.add(
            str(path), problem, why="the gateway does nothing without a configuration", mend="give its path to --config"
        )
        return b""
    if len(raw) > MAX_FILE_BYTES:
        notes.add(str(path), "is over 1 MiB", why="this is no configuration", mend="give the right path to --config")
        return b""
    return raw


def _toml(raw: bytes, notes: Notes) -> dict[str, Any]:
    """Returns the file's tables; what is no TOML is one mistake, with its line."""
    try:
        return tomllib.loads(raw.decode("utf-8"))
    except UnicodeDecodeError:
        problem, mend = "is not UTF-8", "save it as UTF-8 without a byte order mark"
    except tomllib.TOMLDecodeError as wrong:
        problem, mend = f"is not TOML: {wrong}", "mend that line; https://toml.io tells the grammar"
    except RecursionError:
        problem, mend = "is nested too deeply", "write plain tables"
    notes.add("the file", problem, why="nothing after the first such place can be read", mend=mend)
    return {}


def _overlay(source: Source, name: str, value: str, notes: Notes) -> None:
    """Puts one environment variable into the tree."""
    parts = [part.lower() for part in name.removeprefix(PREFIX).split("__")]
    place = ".".join(parts)
    if place in SECRETS and place.split(".")[0] in TABLES:
        source.secrets[place] = Secret(value)
        return
    annotation = _annotation(parts)
    if annotation is None:
        mend = f"use {PREFIX}TABLE__KEY for the keys of single tables ({PREFIX}AWS__REGION); lists stand in the file"
        notes.add(f"environment {name}", "is not a key of the configuration", why=_UNREAD_WHY, mend=mend)
        return
    target: Any = source.tree
    for part in parts[:-1]:
        target = target.setdefault(part, {})
        if not isinstance(target, dict):
            return  # the file has something else there, which its shape will refuse
    target[parts[-1]] = value if annotation is str else _value(value)
    source.overrides[place] = value
    notes.origins[place] = name


def _annotation(parts: list[str]) -> Any:
    """Returns the type of a key of a single table, or None when there is no such key."""
    shape: Any = TABLES.get(parts[0])
    for number, part in enumerate(parts[1:], start=1):
        if shape is None or part not in shape.model_fields:
            return None
        kind = _without_none(shape.model_fields[part].annotation)
        is_table = isinstance(kind, type) and issubclass(kind, Table)
        if number == len(parts) - 1:
            return None if is_table else kind
        shape = kind if is_table else None
    return None


def _without_none(annotation: Any) -> Any:
    """Returns `X` of `X | None`."""
    if isinstance(annotation, types.UnionType):
        return next(kind for kind in typing.get_args(annotation) if kind is not type(None))
    return annotation


def _value(text: str) -> Any:
    """Returns the value as TOML reads it; what is no TOML value is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError, RecursionError):
        return text


def _shaped(shape: type[T], value: Any, place: str, notes: Notes) -> T | None:
    """Returns the value in its shape, or None after noting every mistake."""
    try:
        return shape.model_validate(value)
    except ValidationError as wrong:
        for error in wrong.errors(include_url=False, include_context=True, include_input=False):
            _note_shape(notes, shape, place, error)
        return None


def _note_shape(notes: Notes, shape: type[Table], place: str, error: ErrorDetails) -> None:
    """Notes one mistake that pydantic found; never the value."""
    keys = [key for key in error["loc"] if key != "[key]"]
    where = place + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    owner, name = _owner(shape, keys)
    if error["type"] == "extra_forbidden" and owner is not None:
        _note_unknown(notes, where, list(owner.model_fields))
        return
    known = owner.model_fields.get(name) if owner is not None else None
    example = known.examples[0] if known is not None and known.examples else "see docs/configuration.md"
    why = known.description if known is not None and known.description else "this is a table"
    notes.add(where, _problem(error), why=why, mend=f"write it like this: {example}")


def _owner(shape: type[Table], keys: list[int | str]) -> tuple[type[Table] | None, str]:
    """Returns the table that the first wrong key below nested tables belongs to, and that key."""
    owner: type[Table] = shape
    for number, key in enumerate(keys):
        if not isinstance(key, str) or key not in owner.model_fields:
            return (owner if number == len(keys) - 1 else None), str(key)
        kind = _without_none(owner.model_fields[key].annotation)
        if number == len(keys) - 1 or not (isinstance(kind, type) and issubclass(kind, Table)):
            return owner, key
        owner = kind
    return None, ""


def _problem(error: ErrorDetails) -> str:
    """Returns what is wrong, in this house's words."""
    context = error.get("ctx", {})
    match error["type"]:
        case "literal_error":
            return f"must be one of {context.get('expected')}"
        case "greater_than_equal":
            return f"must be at least {context.get('ge')}"
        case "less_than_equal":
            return f"must be at most {context.get('le')}"
        case kind:
            return _TYPES.get(kind, f"is not what it must be ({kind})")


def _note_missing(notes: Notes, name: str) -> None:
    """Notes that a whole table is missing."""
    shape = {**TABLES, **LISTS}[name]
    written = f"[[{name}]]" if name in LISTS else f"[{name}]"
    purpose = (shape.__doc__ or "").partition(": ")[2]
    notes.add(
        name, "is missing", why=f"it says: {purpose}", mend=f"add {written}; docs/configuration.md lists its keys"
    )


def _note_unknown(notes: Notes, place: str, known: list[str]) -> None:
    """Notes a key that nobody reads, or a secret that stands in the file."""
    name = place.rpartition(".")[2]
    general = re.sub(r"\[\d+\]", "", place)
    in_file = SECRETS.get(general)
    if in_file is not None or (_SECRET_NAME.search(name) and not name.endswith("_file")):
        variable = (
            f", or set {PREFIX}{general.upper().replace('.', '__')}" if general.partition(".")[0] in TABLES else ""
        )
        own = (
            f"name that file in {in_file}{variable if in_file else ''}"
            if in_file
            else "remove it: there is no such key"
        )
        mend = f"put the value into a file of its own (mode 0600) and {own}" if in_file else own
        notes.add(
            place, "is a secret in the file", why=_INLINE_WHY, mend=f"{mend}; then change the secret at its origin"
        )
        return
    near = difflib.get_close_matches(name, known, n=1)
    mend = f"write `{near[0]}`, or remove it" if near else f"remove it; known here: {', '.join(known)}"
    notes.add(place, "is not a known key", why=_UNREAD_WHY, mend=mend)
