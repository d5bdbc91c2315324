"""Attack rows 2c of the threat model: from an intent to the policy that reaches STS. Each test is named by its row.

Rows P1 to P6; P7 to P10 stand in `test_rows_2c_policy.py`. Every row is whole for what exists now. The algebra's own
tables stand in `tests/unit/test_iam_*.py`; here the whole use case is attacked, and what reached STS is read from the
fake's log.
"""

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.concrete_world import escape
from tests.fakes import ROLES, entitlement, permission
from tests.issuing_world import IssuingWorld, issuing_world

from remit_server.domain.capability import (
    CapabilityTemplate,
    ConditionTemplate,
    ParameterKind,
    PermissionTemplate,
    expand,
)
from remit_server.domain.errors import InvalidRequest, Reason
from remit_server.domain.permission import Permission
from remit_server.domain.task import Capability
from remit_server.iam import (
    ActionPattern,
    Condition,
    Document,
    MalformedPattern,
    MalformedPolicy,
    ResourcePattern,
)

Q3 = permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/*")
READ_PREFIX = CapabilityTemplate(
    "s3.read_prefix",
    "reads and lists what lies under a prefix",
    {"bucket": ParameterKind.S3_BUCKET, "prefix": ParameterKind.S3_PREFIX},
    (
        PermissionTemplate(("s3:GetObject",), ("arn:aws:s3:::{bucket}/{prefix}*",)),
        PermissionTemplate(
            ("s3:ListBucket",),
            ("arn:aws:s3:::{bucket}",),
            (ConditionTemplate("StringLike", "s3:prefix", ("{prefix}*",)),),
        ),
    ),
)
CATALOGUE = {READ_PREFIX.name: READ_PREFIX}
ANY_BUCKET = entitlement("any-bucket", permission(["s3:GetObject", "s3:ListBucket"], "arn:aws:s3:::*"))
ANY_BUCKET_ROLE = replace(ROLES[0], ceiling=Document.parse(ANY_BUCKET.document().text))


def read(bucket: str = "reports", prefix: str = "2026/q3/") -> Capability:
    return Capability(READ_PREFIX.name, {"bucket": bucket, "prefix": prefix})


def doc(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[IssuingWorld]:
    async with issuing_world(tmp_path) as made:
        yield made


@pytest.fixture
async def capable(tmp_path: Path) -> AsyncIterator[IssuingWorld]:
    """A gateway with a catalogue, whose policy and role allow reading any bucket: only the parameters are left."""
    async with issuing_world(tmp_path, ANY_BUCKET, roles=(ANY_BUCKET_ROLE,), capabilities=CATALOGUE) as made:
        yield made


# --- P1, P2: a parameter is a literal ---

WILD = ["*", "../*", "re*", "report?", "$", "${aws:username}", "${*}", "${?}", "${$}", "{prefix}", "{bucket}", 'a"b',
        "a\\b", "a\nb", "a\x00b", "\u0430dmin", "a/../b", "", "a//b"]  # fmt: skip


@pytest.mark.parametrize("value", WILD)
@pytest.mark.parametrize("name", ["bucket", "prefix"])
async def test_p1_a_wildcard_or_a_variable_in_a_parameter_is_refused(
    capable: IssuingWorld, name: str, value: str
) -> None:
    error = await capable.refused(capabilities=(read(**{name: f"{value}/" if name == "prefix" else value}),))

    assert isinstance(error, InvalidRequest)
    assert error.violations[0].path == f"intent.capabilities[0].parameters.{name}"
    assert capable.sent == []


async def test_p1_what_a_parameter_says_reaches_sts_as_that_text_and_nothing_wider(capable: IssuingWorld) -> None:
    await capable.issued(capabilities=(read(prefix="a=b+c,d;e&f (g)/"),))

    (policy,) = capable.policies
    own = doc(
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::reports/a=b+c,d;e&f (g)/*"},
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::reports",
         "Condition": {"StringLike": {"s3:prefix": "a=b+c,d;e&f (g)/*"}}},
    )  # fmt: skip
    assert escape(policy, own) is None


@given(st.text(max_size=40), st.text(max_size=40).map(lambda text: f"{text}/"))
@example("reports", "2026/q3/")
@example("my-bucket.eu", "{bucket}/")
def test_p1_any_parameter_is_refused_or_occurs_as_a_literal_only(bucket: str, prefix: str) -> None:
    try:
        reading, listing = expand(read(bucket, prefix), CATALOGUE, path="c")
    except InvalidRequest:
        return

    assert not set("*?${}") & set(bucket + prefix)
    assert [str(each) for each in reading.resources] == [f"arn:aws:s3:::{bucket}/{prefix}*"]
    assert [str(each) for each in listing.resources] == [f"arn:aws:s3:::{bucket}"]
    assert listing.conditions == (Condition("StringLike", "s3:prefix", (f"{prefix}*",)),)


VARIABLES = [
    "${aws:username}",
    "${aws:PrincipalTag/team}",
    "${*}",
    "${?}",
    "${$}",
    "${",
    "a${b",
    "${aws:username, 'x'}",
]


@pytest.mark.parametrize("variable", VARIABLES)
def test_p2_no_policy_variable_stands_in_what_a_caller_asks(variable: str) -> None:
    with pytest.raises(MalformedPattern):
        ResourcePattern.parse(f"arn:aws:s3:::reports/{variable}/*")
    with pytest.raises(MalformedPattern):
        ActionPattern.parse(f"s3:{variable}")
    with pytest.raises(MalformedPolicy):
        Document.parse(doc({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*",
                            "Condition": {"StringLike": {"s3:prefix": variable}}}))  # fmt: skip


async def test_p2_a_variable_that_the_security_team_wrote_is_not_met_by_a_literal(tmp_path: Path) -> None:
    home = Document.parse(
        doc({"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::reports/${aws:username}/*"}), authored=True
    )
    async with issuing_world(tmp_path, roles=(replace(ROLES[0], ceiling=home),)) as gateway:
        errors = [
            await gateway.refused(permission("s3:GetObject", f"arn:aws:s3:::reports/{name}"))
            for name in ("2026/alice/*", "2026/q3/*", "2026/*")
        ]

        assert {error.reason for error in errors} == {Reason.CEILING_EXCEEDED}
        assert gateway.sent == []


# --- P3, P4, P5: one grammar ---


async def test_p3_what_reaches_sts_has_our_grammar_and_one_more_element_is_refused(gateway: IssuingWorld) -> None:
    await gateway.issued(Q3)

    (policy,) = gateway.policies
    Document.parse(policy)
    for element in ("Principal", "NotPrincipal", "Comment", "action", "Effect ", "NotAction", "NotResource"):
        for at, statement in enumerate(policy["Statement"]):
            if element not in statement:
                changed = [*policy["Statement"][:at], {**statement, element: "*"}, *policy["Statement"][at + 1 :]]
                with pytest.raises(MalformedPolicy):
                    Document.parse({**policy, "Statement": changed})
    with pytest.raises(MalformedPolicy):
        Document.parse({**policy, "Id": "x"})


@pytest.mark.parametrize(
    "statement",
    [
        {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"},
        {"Effect": "Allow", "Action": "s3:GetObject", "NotResource": "arn:aws:s3:::payroll/*"},
    ],
)
async def test_p3_an_entitlement_of_everything_but_never_gets_as_far_as_a_permission(statement: dict[str, Any]) -> None:
    (parsed,) = Document.parse(doc(statement)).statements

    assert parsed.not_action or parsed.not_resource
    assert not {"not_action", "not_resource"} & set(Permission.__dataclass_fields__)


@pytest.mark.parametrize("spelled", ["S3:GetObject", "s3:GETOBJECT", "s3:getobject", "S3:gEtObJeCt"])
async def test_p4_the_case_of_an_action_neither_helps_nor_hinders(gateway: IssuingWorld, spelled: str) -> None:
    await gateway.issued(permission(spelled, "arn:aws:s3:::reports/2026/q3/*"))

    (policy,) = gateway.policies
    assert escape(policy, json.loads(Document((Q3.statement(),)).text)) is None


@pytest.mark.parametrize("denied", ["s3:getobject", "S3:GETOBJECT", "s3:GetObj*", "S3:*object"])
async def test_p4_a_deny_of_the_role_in_another_case_is_still_a_deny(tmp_path: Path, denied: str) -> None:
    ceiling = Document.parse(
        doc(
            {"Effect": "Allow", "Action": "s3:*", "Resource": "*"},
            {"Effect": "Deny", "Action": denied, "Resource": "arn:aws:s3:::reports/2026/q3/*"},
        )
    )
    async with issuing_world(tmp_path, roles=(replace(ROLES[0], ceiling=ceiling),)) as gateway:
        error = await gateway.refused(Q3)

        assert error.reason is Reason.CEILING_EXCEEDED
        assert gateway.sent == []


@pytest.mark.parametrize(
    "action",
    [
        "\u017f3:GetObject",
        "\u212ams:Decrypt",
        "s3:Get\u041ebject",
        "s3:GetObject\u0000",
        "s3:GetObject ",
        " s3:GetObject",
        "s3 :GetObject",
        "s3: GetObject",
        "s3:Get Object",
        "s3:GetObject,s3:PutObject",
        "s3:GetObject, iam:*",
        "s3:GetObject\ns3:PutObject",
        "s3:GetObject\t",
        "s3:Get[OP]bject",
        "s3:(Get|Put)Object",
        "s3",
        "s3:",
        ":GetObject",
        "s3:Get:Object",
        "*:GetObject",
        "s*:GetObject",
        "",
        "**:*",
    ],
)
def test_p5_an_action_is_one_service_one_name_and_ascii(action: str) -> None:
    with pytest.raises(MalformedPattern):
        ActionPattern.parse(action)


# --- P6: the bytes that were proved are the bytes that are sent ---


async def test_p6_sts_gets_the_very_text_that_was_proved_and_recorded(gateway: IssuingWorld) -> None:
    for prefix in ("q3/*", "q3/a b/*", "q3/=+,;&'()/*", "q?/*"):
        await gateway.issued(permission("s3:GetObject", f"arn:aws:s3:::reports/2026/{prefix}"))

    recorded = [json.loads(each.body_text) for each in await gateway.world.events() if each.kind == "grant_authorized"]
    sent = [request.policy for request in gateway.sent]
    assert [each["session_policy"] for each in recorded] == sent
    assert [each["session_policy_digest"] for each in recorded] == [
        hashlib.sha256(t.encode()).hexdigest() for t in sent
    ]
    assert [Document.parse(text).text for text in sent] == sent


@pytest.mark.parametrize(
    "resource", ['x","Resource":"*', 'x"}],"Statement":[{"', "x\\", "x\\u002a", "x%22", "x'&quot;"]
)
async def test_p6_no_text_of_a_caller_ends_a_json_string(gateway: IssuingWorld, resource: str) -> None:
    arn = f"arn:aws:s3:::reports/2026/{resource}"

    await gateway.issued(permission("s3:GetObject", arn))
    await gateway.issued(permission("s3:GetObject", "arn:aws:s3:::reports/2026/plain"))

    policy, plain = gateway.policies
    assert [each["Resource"] for each in policy["Statement"] if each["Effect"] == "Allow"] == [arn]
    assert len(policy["Statement"]) == len(plain["Statement"])
    assert [each.keys() for each in policy["Statement"]] == [each.keys() for each in plain["Statement"]]


@pytest.mark.parametrize("resource", ["x\n", "x\u2028", "x\x00", "x\x7f", "\u0455"])
def test_p6_no_text_of_a_caller_breaks_a_line_or_looks_like_another(resource: str) -> None:
    with pytest.raises(MalformedPattern):
        permission("s3:GetObject", f"arn:aws:s3:::reports/2026/{resource}")
