"""Reads policy JSON strictly: what is not known is refused, and no message repeats what was read."""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NoReturn, TypeVar

from remit_server.iam.language.arn import ActionPattern, MalformedPattern, ResourcePattern
from remit_server.iam.language.automaton import VARIABLE
from remit_server.iam.language.condition import MAX_VALUES, Condition, MalformedCondition
from remit_server.iam.language.document import VERSION
from remit_server.iam.language.statement import Effect, MalformedPolicy, Statement

MAX_BYTES = 131_072
MAX_DEPTH = 8
# Fewer brackets than this cannot nest deep enough to matter to the JSON parser.
_SHALLOW = 200
MAX_STATEMENTS = 1_000
_DOCUMENT = frozenset({"Version", "Statement"})
_STATEMENT = frozenset({"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"})

_NO_OBJECT = "an object is expected here"
_BEGIN, _END = '{"Statement":[{', f'}}],"Version":"{VERSION}"}}'
# What a statement calls its actions and its resources, by all of its elements in the order of the printed form.
_NAMES = {
    (action, *condition, "Effect", resource): (action, resource)
    for action in ("Action", "NotAction")
    for resource in ("Resource", "NotResource")
    for condition in ((), ("Condition",))
}
_BLANK = " \t\n\r"  # what JSON may stand between
_EFFECTS = {each.value: each for each in Effect}
_OBJECT = (dict, Mapping)  # the usual one first: asking whether something is a Mapping takes long

# Conditions and statements seen again are not read again; both bounds together bound the memory, whoever writes.
_REMEMBERED = 1024
_REMEMBERED_LENGTH = 256
_REMEMBERED_PIECE = 1024
_known_condition = lru_cache(_REMEMBERED)(Condition)

_Parsed = TypeVar("_Parsed")


def parsed(source: Mapping[str, object] | str | bytes, *, authored: bool) -> tuple[Statement, ...]:
    """Returns the statements of a policy; raises MalformedPolicy at the first rule broken."""
    if isinstance(source, str) and (printed := _as_printed(source, authored=authored)):
        return printed
    policy = source if isinstance(source, _OBJECT) else _decoded(source)
    _known("$", policy, _DOCUMENT)
    if policy.get("Version") != VERSION:
        raise MalformedPolicy("$.Version", f"the version is {VERSION}")
    statements = policy.get("Statement")
    listed = [statements] if isinstance(statements, Mapping) else statements
    if not isinstance(listed, list | tuple) or not listed:
        raise MalformedPolicy("$.Statement", "a policy has at least one statement")
    if len(listed) > MAX_STATEMENTS:
        raise MalformedPolicy("$.Statement", f"a policy has at most {MAX_STATEMENTS} statements")
    return tuple(_statement(f"$.Statement[{at}]", each, authored=authored) for at, each in enumerate(listed))


def _as_printed(text: str, *, authored: bool) -> tuple[Statement, ...] | None:
    """Returns the statements of a text in the form in which documents are printed, None where it is not that.

    Each statement is read by itself: one of the same text as one before is not read again. NOTE: it does not matter
    where the text is cut, inside a string too: where every piece is a whole JSON object by itself, the text between
    the brackets is the list of just these objects, and no other.
    """
    if len(text) > MAX_BYTES or not (text.startswith(_BEGIN) and text.endswith(_END)):
        return None
    pieces = text[len(_BEGIN) : -len(_END)].split("},{")
    if len(pieces) > MAX_STATEMENTS:
        return None
    try:
        return tuple([(_known_piece if len(each) <= _REMEMBERED_PIECE else _piece)(each, authored) for each in pieces])
    except MalformedPolicy:
        return None  # read as a whole it says where it breaks which rule


def _piece(text: str, authored: bool) -> Statement:
    text = f"{{{text}}}"
    _bounded_depth(text)
    return _statement("$", _object(text), authored=authored)


_known_piece = lru_cache(_REMEMBERED)(_piece)


def _decoded(source: str | bytes) -> Mapping[str, object]:
    if len(source) > MAX_BYTES:
        raise MalformedPolicy("$", f"a policy has at most {MAX_BYTES} bytes")
    try:
        text = source.decode("utf-8") if isinstance(source, bytes) else source
    except UnicodeDecodeError:
        raise MalformedPolicy("$", "a policy is UTF-8") from None
    _bounded_depth(text)
    return _object(text.strip(_BLANK))


def _object(text: str) -> Mapping[str, object]:
    """Reads what is one JSON object from its first letter to its last."""
    try:
        policy, end = _JSON.raw_decode(text)
    except MalformedPolicy:
        raise
    except (ValueError, RecursionError):
        raise MalformedPolicy("$", "a policy is one JSON object") from None
    if end != len(text) or not isinstance(policy, dict):
        raise MalformedPolicy("$", "a policy is one JSON object")
    return policy


def _bounded_depth(text: str) -> None:
    """Refuses deep nesting before the JSON parser recurses into it."""
    if text.count("[") + text.count("{") < _SHALLOW:
        return
    depth = 0
    quoted = escaped = False
    for letter in text:
        if quoted:
            quoted = letter != '"' or escaped
            escaped = letter == "\\" and not escaped
        elif letter == '"':
            quoted = True
        elif letter in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise MalformedPolicy("$", f"a policy nests at most {MAX_DEPTH} levels")
        elif letter in "]}":
            depth -= 1


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise MalformedPolicy("$", "no key stands twice in one object")
    return out


def _no_number(_text: str) -> NoReturn:
    raise MalformedPolicy("$", "no number stands in a policy; values are strings")


_JSON = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_no_number, parse_int=_no_number, parse_float=_no_number
)


def _known(path: str, element: object, names: frozenset[str]) -> None:
    if not isinstance(element, _OBJECT):
        raise MalformedPolicy(path, _NO_OBJECT)
    if not names.issuperset(element):
        raise MalformedPolicy(path, f"only these elements are known: {', '.join(sorted(names))}")


def _statement(path: str, element: object, *, authored: bool) -> Statement:
    if not isinstance(element, _OBJECT):
        raise MalformedPolicy(path, _NO_OBJECT)
    names = _NAMES.get(tuple(element))
    if names is None:
        _known_elements(path, element)
    effect = element.get("Effect")
    if not isinstance(effect, str) or effect not in _EFFECTS:
        raise MalformedPolicy(f"{path}.Effect", "the effect is Allow or Deny")
    action_name, resource_name = names or _names(path, element)
    read_resource = ResourcePattern.parse_authored if authored else ResourcePattern.parse
    try:
        return Statement(
            _EFFECTS[effect],
            _each(path, action_name, element[action_name], ActionPattern.parse),
            _each(path, resource_name, element[resource_name], read_resource),
            _conditions(f"{path}.Condition", element["Condition"], authored=authored) if "Condition" in element else (),
            action_name == "NotAction",
            resource_name == "NotResource",
        )
    except MalformedPolicy as error:
        if error.path.startswith("$"):
            raise
        raise MalformedPolicy(f"{path}.{error.path}", error.rule) from None


def _known_elements(path: str, element: Mapping[str, object]) -> None:
    _known(path, element, _STATEMENT)
    if "Sid" in element and not isinstance(element["Sid"], str):
        raise MalformedPolicy(f"{path}.Sid", "a Sid is a string")


def _names(path: str, element: Mapping[str, object]) -> tuple[str, str]:
    """Returns under which names a statement lists its actions and its resources."""
    return _one_of(path, element, "Action", "NotAction"), _one_of(path, element, "Resource", "NotResource")


def _one_of(path: str, element: Mapping[str, object], name: str, negated: str) -> str:
    if (name in element) == (negated in element):
        raise MalformedPolicy(path, f"a statement has either {name} or {negated}")
    return name if name in element else negated


def _each(path: str, name: str, value: object, parse: Callable[[str], _Parsed]) -> tuple[_Parsed, ...]:
    out: list[_Parsed] = []
    try:
        if isinstance(value, str):
            return (parse(value),)
        for text in _strings(f"{path}.{name}", value):
            out.append(parse(text))  # noqa: PERF401 - the number of the text that cannot be read is told
    except MalformedPattern as error:
        raise MalformedPolicy(f"{path}.{name}[{len(out)}]", str(error)) from None
    return tuple(out)


def _strings(path: str, value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    listed = value
    if not isinstance(listed, list | tuple) or not listed:
        raise MalformedPolicy(path, "a string or a list of strings, never empty, is expected here")
    if len(listed) > MAX_VALUES:
        raise MalformedPolicy(path, f"a list has at most {MAX_VALUES} values")
    texts = [text for text in listed if isinstance(text, str)]
    if len(texts) != len(listed):
        raise MalformedPolicy(path, "every value is a string")
    if len(set(texts)) != len(texts):
        raise MalformedPolicy(path, "no value stands twice in one list")
    return texts


def _conditions(path: str, block: object, *, authored: bool) -> tuple[Condition, ...]:
    if not isinstance(block, _OBJECT) or not block:
        raise MalformedPolicy(path, "a condition block is an object with at least one operator")
    out: list[Condition] = []
    for at, (operator, keys) in enumerate(block.items()):
        if not isinstance(keys, _OBJECT) or not keys:
            raise MalformedPolicy(f"{path}[{at}]", "an operator holds an object with at least one key")
        for key, value in keys.items():
            out.append(_condition(f"{path}[{at}]", operator, key, value, authored=authored))
    if len(out) > 1 and len({(condition.operator, condition.folded_key) for condition in out}) != len(out):
        raise MalformedPolicy(path, "one operator and key stands once in a statement")
    return tuple(out)


def _condition(path: str, operator: object, key: object, value: object, *, authored: bool) -> Condition:
    values = [value] if isinstance(value, str) else _strings(path, value)
    if not isinstance(operator, str) or not isinstance(key, str):
        raise MalformedPolicy(path, "operators and keys are strings")
    if not authored and any(VARIABLE in text for text in values):
        raise MalformedPolicy(path, "a policy variable is only allowed in what the security team authored")
    try:
        read = _known_condition if sum(map(len, values)) <= _REMEMBERED_LENGTH else Condition
        return read(operator, key, tuple(values))
    except MalformedCondition as error:
        raise MalformedPolicy(path, str(error)) from None
