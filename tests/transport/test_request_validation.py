"""A message passes only if it keeps every rule of its proto and holds nothing that its proto does not define."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from remit.v1.credential_service_pb2 import (
    EndTaskRequest,
    IssueCredentialsRequest,
    IssueCredentialsResponse,
    PreviewCredentialsRequest,
)
from remit.v1.types_pb2 import Capability, Condition, Grant, Permission, TaskIntent
from remit_server.transport.grpc.validation import MOST_UNDEFINED, WORDS, violations

TASK_ID = "abcdefghijklmnopqrstuvwxyz"
CANARY = "canary-7f3a"
UNKNOWN_FIELD_999 = b"\xb8\x3e\x01"
RULES_OPTION = b"\xba\x48"  # field 1159 of google.protobuf.FieldOptions, length-delimited: buf.validate.field

Change = Callable[[IssueCredentialsRequest], None]
ChangeOfSize = Callable[[IssueCredentialsRequest, int], None]


def valid_request() -> IssueCredentialsRequest:
    return IssueCredentialsRequest(
        request_id=str(UUID(int=7, version=4)),
        subject_token="t",
        task_id=TASK_ID,
        intent=TaskIntent(
            purpose="summarise Q3",
            permissions=[
                Permission(
                    actions=["s3:GetObject"],
                    resources=["arn:aws:s3:::reports/2026/q3/*"],
                    conditions=[Condition(operator="StringLike", key="s3:prefix", values=["2026/q3/*"])],
                )
            ],
            capabilities=[Capability(name="s3.read_prefix", parameters={"bucket": "reports"})],
            labels={"team": "finance"},
        ),
        requested_duration=Duration(seconds=900),
    )


def put(message: Message, **fields: Any) -> None:
    """Sets fields of a message, scalars, lists and maps alike."""
    for name in fields:
        message.ClearField(name)
    message.MergeFrom(type(message)(**fields))


def permission(request: IssueCredentialsRequest) -> Permission:
    return request.intent.permissions[0]


def condition(request: IssueCredentialsRequest) -> Condition:
    return permission(request).conditions[0]


def capability(request: IssueCredentialsRequest) -> Capability:
    return request.intent.capabilities[0]


AN_ACTION = "intent.permissions[0].actions"
A_RESOURCE = "intent.permissions[0].resources"
A_CONDITION = "intent.permissions[0].conditions"
A_CAPABILITY = "intent.capabilities[0]"

BROKEN: list[tuple[str, Change]] = [
    ("request_id", lambda r: put(r, request_id="")),
    ("request_id", lambda r: put(r, request_id="not-a-uuid")),
    ("request_id", lambda r: put(r, request_id=f"{UUID(int=7)}\n")),
    ("subject_token", lambda r: put(r, subject_token="")),
    ("task_id", lambda r: put(r, task_id=TASK_ID[1:])),
    ("task_id", lambda r: put(r, task_id=TASK_ID.upper())),
    ("task_id", lambda r: put(r, task_id=TASK_ID + "\n")),
    ("intent", lambda r: r.ClearField("intent")),
    ("intent.purpose", lambda r: put(r.intent, purpose="")),
    ("intent.labels[*]", lambda r: put(r.intent, labels={"Team": "finance"})),
    ("intent.labels[*]", lambda r: put(r.intent, labels={"": "finance"})),
    (AN_ACTION, lambda r: put(permission(r), actions=[])),
    (f"{AN_ACTION}[1]", lambda r: permission(r).actions.append("s3")),
    (A_RESOURCE, lambda r: put(permission(r), resources=[])),
    (f"{A_RESOURCE}[1]", lambda r: permission(r).resources.append("")),
    (f"{A_CONDITION}[0].operator", lambda r: put(condition(r), operator="")),
    (f"{A_CONDITION}[0].operator", lambda r: put(condition(r), operator="StringLike\n")),
    (f"{A_CONDITION}[0].key", lambda r: put(condition(r), key="")),
    (f"{A_CONDITION}[0].values", lambda r: put(condition(r), values=[])),
    (f"{A_CAPABILITY}.name", lambda r: put(capability(r), name="S3")),
    (f"{A_CAPABILITY}.parameters[*]", lambda r: put(capability(r), parameters={"Bucket": "reports"})),
]

LIMITS: list[tuple[str, int, ChangeOfSize]] = [
    ("subject_token", 16384, lambda r, n: put(r, subject_token="x" * n)),
    ("intent.purpose", 512, lambda r, n: put(r.intent, purpose="é" * n)),
    ("intent.permissions", 50, lambda r, n: put(r.intent, permissions=[permission(r)] * n)),
    ("intent.capabilities", 20, lambda r, n: put(r.intent, capabilities=[capability(r)] * n)),
    ("intent.labels", 16, lambda r, n: put(r.intent, labels={f"k{i}": "v" for i in range(n)})),
    ("intent.labels[*]", 63, lambda r, n: put(r.intent, labels={"k" * n: "v"})),
    ("intent.labels[*]", 256, lambda r, n: put(r.intent, labels={"k": "v" * n})),
    (AN_ACTION, 50, lambda r, n: put(permission(r), actions=["s3:GetObject"] * n)),
    (f"{AN_ACTION}[0]", 128, lambda r, n: put(permission(r), actions=["a" * n])),
    (A_RESOURCE, 50, lambda r, n: put(permission(r), resources=["*"] * n)),
    (f"{A_RESOURCE}[0]", 1024, lambda r, n: put(permission(r), resources=["a" * n])),
    (A_CONDITION, 10, lambda r, n: put(permission(r), conditions=[condition(r)] * n)),
    (f"{A_CONDITION}[0].key", 128, lambda r, n: put(condition(r), key="k" * n)),
    (f"{A_CONDITION}[0].values", 20, lambda r, n: put(condition(r), values=["v"] * n)),
    (f"{A_CONDITION}[0].values[0]", 512, lambda r, n: put(condition(r), values=["v" * n])),
    (f"{A_CAPABILITY}.name", 64, lambda r, n: put(capability(r), name="n" * n)),
    (f"{A_CAPABILITY}.parameters", 16, lambda r, n: put(capability(r), parameters={f"k{i}": "v" for i in range(n)})),
    (f"{A_CAPABILITY}.parameters[*]", 64, lambda r, n: put(capability(r), parameters={"k" * n: "v"})),
    (f"{A_CAPABILITY}.parameters[*]", 512, lambda r, n: put(capability(r), parameters={"k": "v" * n})),
]


def test_a_valid_request_breaks_no_rule() -> None:
    assert violations(valid_request()) == ()


@pytest.mark.parametrize(("path", "breaking"), BROKEN)
def test_a_broken_rule_is_named_by_the_path_of_its_field(path: str, breaking: Change) -> None:
    request = valid_request()
    breaking(request)

    assert {violation.path for violation in violations(request)} == {path}


@pytest.mark.parametrize(("path", "limit", "resize"), LIMITS)
def test_a_limit_is_the_last_size_that_passes(path: str, limit: int, resize: ChangeOfSize) -> None:
    at_the_limit, past_it = valid_request(), valid_request()
    resize(at_the_limit, limit)
    resize(past_it, limit + 1)

    assert violations(at_the_limit) == ()
    assert {violation.path for violation in violations(past_it)} == {path}


def test_every_field_with_a_rule_has_a_case_here() -> None:
    paths = [path for path, _ in BROKEN] + [path for path, _, _ in LIMITS]
    covered = {path.replace("[0]", "").replace("[1]", "").replace("[*]", "") for path in paths}

    assert set(fields_with_rules(IssueCredentialsRequest.DESCRIPTOR)) == covered


def fields_with_rules(message: Descriptor, prefix: str = "") -> Iterator[str]:
    for field in message.fields:
        if RULES_OPTION in field.GetOptions().SerializeToString():
            yield f"{prefix}{field.name}"
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            yield from fields_with_rules(field.message_type, f"{prefix}{field.name}.")


@pytest.mark.parametrize(
    ("path", "changed"),
    [("subject_token", {"subject_token": ""}), ("task_id", {"task_id": "x"}), ("intent", {"intent": None})],
)
def test_the_same_rules_hold_for_a_preview(path: str, changed: dict[str, Any]) -> None:
    request = PreviewCredentialsRequest(subject_token="t", intent=valid_request().intent)
    put(request, **changed)

    assert [violation.path for violation in violations(request)] == [path]


@pytest.mark.parametrize("task_id", ["", "x", TASK_ID[1:], TASK_ID + "a", TASK_ID[1:] + "1"])
def test_a_task_is_ended_by_a_whole_task_id_only(task_id: str) -> None:
    assert [violation.path for violation in violations(EndTaskRequest(task_id=task_id))] == ["task_id"]


@pytest.mark.parametrize(
    ("path", "holder"),
    [
        ("999", lambda r: r),
        ("intent.999", lambda r: r.intent),
        ("intent.permissions[0].999", permission),
        ("intent.permissions[0].conditions[0].999", condition),
        ("intent.capabilities[0].999", capability),
        ("requested_duration.999", lambda r: r.requested_duration),
    ],
)
def test_an_unknown_field_is_refused_at_any_depth(
    path: str, holder: Callable[[IssueCredentialsRequest], Message]
) -> None:
    request = valid_request()
    holder(request).MergeFromString(UNKNOWN_FIELD_999)

    received = IssueCredentialsRequest.FromString(request.SerializeToString())

    assert [(found.path, found.rule) for found in violations(received)] == [(path, "is not a field of this message")]


def test_an_unknown_enum_value_is_refused_at_any_depth() -> None:
    response = IssueCredentialsResponse(grant=Grant())
    response.grant.MergeFromString(b"\x28\x63")  # state = 99

    assert [(found.path, found.rule) for found in violations(response)] == [
        ("grant.state", "is not a value of this enum")
    ]


@pytest.mark.parametrize(
    "breaking",
    [
        lambda r: put(r, request_id=CANARY),
        lambda r: put(r, subject_token=CANARY * 2000),
        lambda r: put(r.intent, labels={CANARY.upper(): "v"}),
        lambda r: put(r.intent, labels={"k": CANARY * 100}),
        lambda r: put(capability(r), name=CANARY),
        lambda r: put(capability(r), parameters={CANARY: "v"}),
        lambda r: put(condition(r), values=[CANARY * 100]),
        lambda r: r.MergeFromString(b"\x9a\x3f\x0b" + CANARY.encode()),  # unknown field 1011, a string
    ],
)
def test_a_violation_never_repeats_what_the_caller_sent(breaking: Change) -> None:
    request = valid_request()
    breaking(request)

    found = violations(request)

    assert len(found) == 1
    assert CANARY not in repr(found).lower()


def test_of_thousands_of_broken_rules_only_the_first_is_told() -> None:
    request = valid_request()
    put(permission(request), actions=[""] * 30_000)

    assert len(violations(request)) == 1


def test_many_unknown_fields_are_cut_to_what_an_answer_can_carry() -> None:
    request = valid_request()
    request.MergeFromString(UNKNOWN_FIELD_999 * 1000)

    assert len(violations(request)) == MOST_UNDEFINED


PROTOS = Path(__file__).resolve().parents[2] / "protos" / "remit" / "v1"
PATTERN = re.compile(r'string[.]pattern = "\^[(]?(.*?)(?:[)][?])?[$]"')
PATTERNS = {
    pattern
    for file in PROTOS.glob("*.proto")
    for pattern in PATTERN.findall(file.read_text(encoding="utf-8"))
    if "[a-z2-7]" in pattern or "[0-9a-f]" in pattern
}


def test_an_id_is_asked_for_in_words() -> None:
    (told,) = violations(EndTaskRequest(task_id="Bad Task!"))

    assert told.rule == "is an id of 26 of a-z and 2-7, as the gateway gave it"


def test_every_pattern_of_ids_and_digests_in_the_protos_has_words() -> None:
    assert PATTERNS
    assert set(WORDS) == PATTERNS
