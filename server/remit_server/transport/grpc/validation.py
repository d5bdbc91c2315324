"""Checks a request message against the rules in its proto, and refuses everything the proto does not define.

protovalidate enforces the rules; what it lets pass by design, unknown fields and unknown enum values, is looked for
here: a request that is understood only in part is not decided on.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from protovalidate import FieldPathElementPb, Validator, Violation

from remit_server.domain.errors import FieldViolation

MOST_UNDEFINED = 10
"""So many are told at once: the trailing metadata that carries them has room for about 8 KiB."""

ANY_KEY = "[*]"
"""Stands for a map's key in a path: keys are the caller's own text, which is never repeated."""

WORDS = {
    "[a-z2-7]{26}": "is an id of 26 of a-z and 2-7, as the gateway gave it",
    "[0-9a-f]{64}": "is a digest of 64 of 0-9 and a-f",
    "[0-9a-f]{8,64}": "is a digest, or the 8 or more characters it begins with, of 0-9 and a-f",
    "approvals/[a-z2-7]{26}": "is approvals/ID, as the gateway gave it",
    "blocks/[a-z2-7]{26}": "is blocks/ID, as the gateway gave it",
    "tasks/[a-z2-7]{26}/grants/[a-z2-7]{26}": "is tasks/ID/grants/ID, as the gateway gave it",
}
"""What patterns of the protos mean: a regular expression tells few people how to correct a value."""

_VALIDATOR = Validator()


def violations(message: Message) -> tuple[FieldViolation, ...]:
    """Names the fields of `message` that break a rule, in paths such as `intent.capabilities[0].name`; never a value.

    Empty means that the message keeps every rule of its proto and that, at any depth, it holds nothing its proto does
    not define. Tells the first broken rule, or up to ten undefined fields and values. Raises protovalidate's
    CompilationError when the proto's own rules are wrong.
    """
    # NOTE: only the first, because finding each costs about 20 us: 64 KiB can break 30,000 rules and would hold the
    # loop for a second. It also comes first because the limits it enforces bound the walk that follows.
    broken = _VALIDATOR.collect_violations(message, fail_fast=True)
    if broken:
        return tuple(FieldViolation(_path(violation), _rule(violation)) for violation in broken)
    if _is_seen_to_be_defined(message):
        return ()
    return tuple(islice(_undefined_in(message, ""), MOST_UNDEFINED))


def _is_seen_to_be_defined(message: Message) -> bool:
    """Says at a glance that a message holds nothing undefined: nothing is missing once that has been discarded.

    False says nothing: whoever wants to know, and where, walks. It is always False where enum values may be below.
    """
    if _has_enums(message.DESCRIPTOR):
        return False
    bare = type(message)()
    bare.CopyFrom(message)
    bare.DiscardUnknownFields()
    return bare.ByteSize() == message.ByteSize()


@cache  # one entry for each message of our own protos
def _has_enums(kind: Descriptor) -> bool:
    """Says whether a message holds enum values, at any depth."""
    seen, pending = {kind.full_name}, [kind]
    while pending:
        for field in pending.pop().fields:
            below = field.message_type
            if field.enum_type is not None:
                return True
            if below is not None and below.full_name not in seen:
                seen.add(below.full_name)
                pending.append(below)
    return False


def _undefined_in(message: Message, path: str) -> Iterator[FieldViolation]:
    """Walks `message` and what is below it for fields and enum values that its proto does not define."""
    prefix = f"{path}." if path else ""
    unknown = UnknownFieldSet(message)
    for index in range(len(unknown)):
        yield FieldViolation(f"{prefix}{unknown[index].field_number}", "is not a field of this message")
    looked_into = _looked_into(message.DESCRIPTOR)
    for field, value in message.ListFields():
        if (typed := looked_into.get(field.number)) is None:
            continue
        for step, element in _elements(field, value):
            yield from _undefined_element(typed, element, f"{prefix}{field.name}{step}")


@cache  # one entry for each message of our own protos
def _looked_into(kind: Descriptor) -> Mapping[int, FieldDescriptor]:
    """Returns what the elements of a message's fields are, of those that hold messages or enum values."""
    fields = {field.number: _typed(field) for field in kind.fields}
    return {number: one for number, one in fields.items() if one.message_type is not None or one.enum_type is not None}


def _undefined_element(field: FieldDescriptor, element: Any, path: str) -> Iterator[FieldViolation]:
    if field.enum_type is None:
        yield from _undefined_in(element, path)
    elif element not in field.enum_type.values_by_number:
        yield FieldViolation(path, "is not a value of this enum")


def _typed(field: FieldDescriptor) -> FieldDescriptor:
    """Returns the field that says what the elements are: of a map, that is its entry's value."""
    if _is_map(field) and field.message_type is not None:
        return field.message_type.fields_by_name["value"]
    return field


def _is_map(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return kind is not None and kind.has_options and kind.GetOptions().map_entry


def _elements(field: FieldDescriptor, value: Any) -> Iterable[tuple[str, Any]]:
    """Pairs each element of a field's value with its step in a path."""
    if _is_map(field):
        return ((ANY_KEY, element) for element in value.values())
    if field.is_repeated:
        return ((f"[{index}]", element) for index, element in enumerate(value))
    return (("", value),)


def _path(violation: Violation) -> str:
    """Spells protovalidate's field path; empty when a rule on the whole message is broken."""
    field = violation.proto.field
    return "" if field is None else ".".join(_step(element) for element in field.elements)


def _step(element: FieldPathElementPb) -> str:
    match element.subscript:
        case None:
            return element.field_name
        case subscript if subscript.field == "index":
            return f"{element.field_name}[{subscript.value}]"
        case _:
            return f"{element.field_name}{ANY_KEY}"


def _rule(violation: Violation) -> str:
    """Says the rule in words of ours or of protovalidate's, which name the rule's own value and never the field's."""
    told = violation.proto
    words = WORDS.get(_pattern(violation))
    rule = words or told.message or told.rule_id or "breaks a rule of its proto"
    return f"key {rule}" if told.for_key else rule


def _pattern(violation: Violation) -> str:
    """Returns what a text has to be like, without the anchors and the leave to be empty; empty for other rules."""
    if violation.proto.rule_id != "string.pattern":
        return ""
    return str(violation.rule_value).removeprefix("^").removesuffix("$").removeprefix("(").removesuffix(")?")
