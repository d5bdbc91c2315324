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

# Conditions seen again are not read again; both bounds together bound the memory, whoever writes.
_REMEMBERED = 1024
_REMEMBERED_LENGTH = 256
_known_condition = lru_cache(_REMEMBERED)(Condition)

_Parsed = TypeVar("_Parsed")


def parsed(source: Mapping[str, object] | str | bytes, *, authored: bool) -> tuple[Statement, ...]:
    """Returns the statements of a policy; raises MalformedPolicy at the first rule broken."""
    policy = source if isinstance(source, Mapping) else _decoded(source)
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


def _decoded(source: str | bytes) -> Mapping[str, object]:
    if len(source) > MAX_BYTES:
        raise MalformedPolicy("$", f"a policy has at most {MAX_BYTES} bytes")
    try:
        text = source.decode("utf-8") if isinstance(source, bytes) else source
    except UnicodeDecodeError:
        raise MalformedPolicy("$", "a policy is UTF-8") from None
    _bounded_depth(text)
    try:
        policy = _JSON.decode(text)
    except MalformedPolicy:
        raise
    except (ValueError, RecursionError):
        raise MalformedPolicy("$", "a policy is one JSON object") from None
    if not isinstance(policy, dict):
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
    if not isinstance(element, Mapping):
        raise MalformedPolicy(path, "an object is expected here")
    if not names.issuperset(element):
        raise MalformedPolicy(path, f"only these elements are known: {', '.join(sorted(names))}")


def _statement(path: str, element: object, *, authored: bool) -> Statement:
    _known(path, element, _STATEMENT)
    assert isinstance(element, Mapping)  # noqa: S101 - `_known` has just refused anything else
    if "Sid" in element and not isinstance(element["Sid"], str):
        raise MalformedPolicy(f"{path}.Sid", "a Sid is a string")
    effect = element.get("Effect")
    if not isinstance(effect, str) or effect not in ("Allow", "Deny"):
        raise MalformedPolicy(f"{path}.Effect", "the effect is Allow or Deny")
    action_name, actions = _one_of(path, element, "Action", "NotAction")
    resource_name, resources = _one_of(path, element, "Resource", "NotResource")
    try:
        return Statement(
            effect=Effect(effect),
            actions=_each(f"{path}.{action_name}", actions, ActionPattern.parse),
            resources=_each(
                f"{path}.{resource_name}", resources, lambda text: ResourcePattern.parse(text, authored=authored)
            ),
            conditions=_conditions(f"{path}.Condition", element, authored=authored),
            not_action=action_name == "NotAction",
            not_resource=resource_name == "NotResource",
        )
    except MalformedPolicy as error:
        if error.path.startswith("$"):
            raise
        raise MalformedPolicy(f"{path}.{error.path}", error.rule) from None


def _one_of(path: str, element: Mapping[str, object], name: str, negated: str) -> tuple[str, object]:
    if (name in element) == (negated in element):
        raise MalformedPolicy(path, f"a statement has either {name} or {negated}")
    return (name, element[name]) if name in element else (negated, element[negated])


def _each(path: str, value: object, parse: Callable[[str], _Parsed]) -> tuple[_Parsed, ...]:
    out: list[_Parsed] = []
    for at, text in enumerate(_strings(path, value)):
        try:
            out.append(parse(text))
        except MalformedPattern as error:
            raise MalformedPolicy(f"{path}[{at}]", str(error)) from None
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


def _conditions(path: str, element: Mapping[str, object], *, authored: bool) -> tuple[Condition, ...]:
    if "Condition" not in element:
        return ()
    block = element["Condition"]
    if not isinstance(block, Mapping) or not block:
        raise MalformedPolicy(path, "a condition block is an object with at least one operator")
    out: list[Condition] = []
    for at, (operator, keys) in enumerate(block.items()):
        if not isinstance(keys, Mapping) or not keys:
            raise MalformedPolicy(f"{path}[{at}]", "an operator holds an object with at least one key")
        out += [_condition(f"{path}[{at}]", operator, key, keys[key], authored=authored) for key in keys]
    if len({(condition.operator, condition.folded_key) for condition in out}) != len(out):
        raise MalformedPolicy(path, "one operator and key stands once in a statement")
    return tuple(out)


def _condition(path: str, operator: object, key: object, value: object, *, authored: bool) -> Condition:
    values = _strings(path, value)
    if not isinstance(operator, str) or not isinstance(key, str):
        raise MalformedPolicy(path, "operators and keys are strings")
    if not authored and any(VARIABLE in text for text in values):
        raise MalformedPolicy(path, "a policy variable is only allowed in what the security team authored")
    try:
        read = _known_condition if sum(map(len, values)) <= _REMEMBERED_LENGTH else Condition
        return read(operator, key, tuple(values))
    except MalformedCondition as error:
        raise MalformedPolicy(path, str(error)) from None
