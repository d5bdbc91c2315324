"""Reads a task intent from JSON, as the API writes it or as authorization details of the type `remit_task`."""

from collections.abc import Mapping
from typing import Any, Final

from remit_server.adapters.strict_fields import Malformed, Where, items, mapping, members
from remit_server.adapters.strict_json import MalformedJson, strict_json

MAX_CHARACTERS: Final = 64 * 1024
DETAILS_TYPE: Final = "remit_task"
_MOST: Final = 500
_PARTS: Final = frozenset({"permissions", "capabilities", "labels"})


class NoIntent(ValueError):  # noqa: N818 - named for what it says
    """A text is no task intent: where it is wrong and which rule it breaks."""


def intent_members(text: str) -> Mapping[str, Any]:
    """Returns the members of an intent, each known and of the right type; raises NoIntent with the exact place.

    Takes the JSON of the API's TaskIntent, an RFC 9396 object with `"type": "remit_task"`, or a list of one such.
    """
    try:
        value = strict_json(text, max_characters=MAX_CHARACTERS)
        value = items(value, (), least=1, most=1)[0] if isinstance(value, list) else value
        return _intent(value)
    except MalformedJson as wrong:
        place = f"line {wrong.line}: " if wrong.line else ""
        raise NoIntent(f"{place}{wrong}") from None
    except Malformed as wrong:
        raise NoIntent(str(wrong)) from None


def _intent(value: Any) -> Mapping[str, Any]:
    found = members(value, (), required=frozenset({"purpose"}), optional=_PARTS | {"type"})
    if "type" in found and found["type"] != DETAILS_TYPE:
        raise Malformed(("type",), f"must be {DETAILS_TYPE!r} where it is given")
    _string(found["purpose"], ("purpose",))
    for place, item in enumerate(_items(found, "permissions", ())):
        _check_permission(item, ("permissions", place))
    for place, item in enumerate(_items(found, "capabilities", ())):
        _check_capability(item, ("capabilities", place))
    _check_texts(found.get("labels", {}), ("labels",))
    return {name: item for name, item in found.items() if name != "type"}


def _check_permission(value: Any, where: Where) -> None:
    found = members(value, where, required=frozenset({"actions", "resources"}), optional=frozenset({"conditions"}))
    _check_strings(found["actions"], (*where, "actions"))
    _check_strings(found["resources"], (*where, "resources"))
    for place, item in enumerate(_items(found, "conditions", where)):
        inside = (*where, "conditions", place)
        condition = members(item, inside, required=frozenset({"operator", "key", "values"}))
        _string(condition["operator"], (*inside, "operator"))
        _string(condition["key"], (*inside, "key"))
        _check_strings(condition["values"], (*inside, "values"))


def _check_capability(value: Any, where: Where) -> None:
    found = members(value, where, required=frozenset({"name"}), optional=frozenset({"parameters"}))
    _string(found["name"], (*where, "name"))
    _check_texts(found.get("parameters", {}), (*where, "parameters"))


def _items(found: Mapping[str, Any], name: str, where: Where) -> list[Any]:
    return items(found.get(name, []), (*where, name), least=0, most=_MOST)


def _check_texts(value: Any, where: Where) -> None:
    for name, item in mapping(value, where, most=_MOST).items():
        _string(item, (*where, name))


def _check_strings(value: Any, where: Where) -> None:
    for place, item in enumerate(items(value, where, least=0, most=_MOST)):
        _string(item, (*where, place))


def _string(value: Any, where: Where) -> None:
    if not isinstance(value, str):
        raise Malformed(where, "must be a string")
