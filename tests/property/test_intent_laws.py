"""Printing an intent and reading it gives it back; the JSON form and its schema take exactly the same."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from tests.intent_texts import CAPABILITIES, INTENTS, PERMISSIONS, REACHING, nearly

import remit
from remit.intents import details_of, intent_of, parse_allow, parse_allows, text_of
from remit_server.domain.capability import ParameterKind
from remit_server.domain.permission import Permission
from remit_server.iam import ActionPattern, Condition, ResourcePattern

SCHEMA = Draft202012Validator(json.loads((Path(__file__).parents[2] / "docs" / "remit-task.schema.json").read_text()))


def is_read(text: str) -> bool:
    try:
        intent_of(text)
    except remit.InvalidRequest:
        return False
    return True


@given(st.one_of(PERMISSIONS, CAPABILITIES))
def test_what_is_asked_for_reads_back_from_its_text(item: remit.Permission | remit.Capability) -> None:
    text = text_of(item)

    assert parse_allow(text) == item
    assert "\n" not in text


@given(st.lists(st.one_of(PERMISSIONS, CAPABILITIES), max_size=4))
def test_lists_of_texts_read_back_in_their_order(items: list[remit.Permission | remit.Capability]) -> None:
    assert parse_allows([text_of(item) for item in items]) == tuple(items)


@given(INTENTS)
def test_an_intent_reads_back_from_its_json(intent: remit.TaskIntent) -> None:
    text = details_of(intent)

    assert intent_of(text) == intent
    assert SCHEMA.is_valid(json.loads(text))


@given(INTENTS.map(details_of).map(json.loads).flatmap(nearly))
def test_the_schema_and_the_parser_take_the_same_json(document: Any) -> None:
    text = json.dumps(document)

    assert is_read(text) == (isinstance(document, (dict, list)) and SCHEMA.is_valid(document))


@given(PERMISSIONS)
def test_the_gateway_reads_every_permission_that_the_client_lets_through(permission: remit.Permission) -> None:
    read = parse_allow(text_of(permission))

    assert isinstance(read, remit.Permission)
    Permission(
        actions=tuple(map(ActionPattern.parse, read.actions)),
        resources=tuple(map(ResourcePattern.parse, read.resources)),
        conditions=tuple(Condition(item.operator, item.key, tuple(item.values)) for item in read.conditions),
    )


@given(st.one_of(REACHING, st.text(max_size=20)))
def test_no_kind_of_parameter_takes_what_the_client_refuses_as_no_literal(value: str) -> None:
    try:
        intent_of(details_of(remit.TaskIntent(capabilities=(remit.Capability("s3.read_prefix", prefix=value),))))
    except remit.InvalidRequest:
        assert all(kind.broken_rule(value) for kind in ParameterKind)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_with_the_reason_and_without_itself(text: str) -> None:
    try:
        outcome = str(parse_allow(text))
    except remit.InvalidRequest as refused:
        outcome = refused.reason

    assert outcome


@pytest.mark.parametrize("secret", ["hunter2secret", "eyJhbGciOiJSUzI1NiJ9.e30.sig"])
@pytest.mark.parametrize(
    "text",
    ["{}", "read {}", "{}://x", "s3:GetObject={}", "s3.read_prefix prefix={}*", "s3.read_prefix {}", '{{"{}": 1}}'],
)
def test_a_refusal_never_repeats_what_was_written(text: str, secret: str) -> None:
    with pytest.raises(remit.InvalidRequest) as refused:
        parse_allow(text.format(secret))

    assert secret not in str(refused.value)
