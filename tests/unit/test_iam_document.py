"""The strict reading of policies: hand-judged texts, each with the rule it breaks."""

import hashlib
import json
from typing import Any

import pytest

from remit_server.iam.language.condition import Condition
from remit_server.iam.language.document import Document
from remit_server.iam.language.statement import Effect, MalformedPolicy, Statement

ALLOW: dict[str, Any] = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::reports/*"}


def policy(*statements: object, **others: object) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements), **others}


def without(element: str) -> dict[str, Any]:
    return {name: value for name, value in ALLOW.items() if name != element}


@pytest.mark.parametrize(
    ("source", "path"),
    [
        pytest.param({}, "$.Version", id="nothing at all"),
        pytest.param(policy(), "$.Statement", id="no statement: STS would give the full role"),
        pytest.param(
            {**policy(ALLOW), "Version": "2008-10-17"}, "$.Version", id="old version: no variables, other rules"
        ),
        pytest.param({"Statement": [ALLOW]}, "$.Version", id="no version means the old one"),
        pytest.param(policy(ALLOW, Id="x"), "$", id="unknown element of the policy"),
        pytest.param({"Version": "2012-10-17", "Statement": "Allow"}, "$.Statement", id="statement is a string"),
        pytest.param(policy("Allow"), "$.Statement[0]", id="statement in the list is a string"),
        pytest.param(policy({**ALLOW, "Principal": "*"}), "$.Statement[0]", id="principal"),
        pytest.param(policy({**ALLOW, "NotPrincipal": "*"}), "$.Statement[0]", id="not principal"),
        pytest.param(policy({**ALLOW, "action": "s3:*"}), "$.Statement[0]", id="element in another case"),
        pytest.param(policy({**ALLOW, "Effect": "allow"}), "$.Statement[0].Effect", id="effect in another case"),
        pytest.param(policy(without("Effect")), "$.Statement[0].Effect", id="no effect"),
        pytest.param(policy({**ALLOW, "Effect": ["Allow"]}), "$.Statement[0].Effect", id="effect in a list"),
        pytest.param(policy(without("Action")), "$.Statement[0]", id="no action"),
        pytest.param(policy(without("Resource")), "$.Statement[0]", id="no resource"),
        pytest.param(policy({**ALLOW, "NotAction": "iam:*"}), "$.Statement[0]", id="action and not action"),
        pytest.param(policy({**ALLOW, "NotResource": "*"}), "$.Statement[0]", id="resource and not resource"),
        pytest.param(policy({**ALLOW, "Action": []}), "$.Statement[0].Action", id="empty actions"),
        pytest.param(policy({**ALLOW, "Resource": []}), "$.Statement[0].Resource", id="empty resources"),
        pytest.param(policy({**ALLOW, "Action": ["s3:Get*", 1]}), "$.Statement[0].Action", id="a number among actions"),
        pytest.param(policy({**ALLOW, "Action": None}), "$.Statement[0].Action", id="null"),
        pytest.param(policy({**ALLOW, "Action": {"s3:Get*": 1}}), "$.Statement[0].Action", id="object for a list"),
        pytest.param(policy({**ALLOW, "Action": [["s3:Get*"]]}), "$.Statement[0].Action", id="list in a list"),
        pytest.param(policy({**ALLOW, "Action": ["s3:Get*"] * 2}), "$.Statement[0].Action", id="one value twice"),
        pytest.param(policy({**ALLOW, "Action": "s3:Get, s3:Put"}), "$.Statement[0].Action[0]", id="comma"),
        pytest.param(policy({**ALLOW, "Resource": "arn:aws:s3"}), "$.Statement[0].Resource[0]", id="short ARN"),
        pytest.param(
            policy({**ALLOW, "Resource": "arn:aws:s3:::${aws:userid}"}), "$.Statement[0].Resource[0]", id="variable"
        ),
        pytest.param(policy({**ALLOW, "Sid": 1}), "$.Statement[0].Sid", id="a number as Sid"),
        pytest.param(policy({**ALLOW, "Condition": {}}), "$.Statement[0].Condition", id="empty condition"),
        pytest.param(policy({**ALLOW, "Condition": []}), "$.Statement[0].Condition", id="list as condition"),
        pytest.param(
            policy({**ALLOW, "Condition": {"Bool": {}}}), "$.Statement[0].Condition[0]", id="operator without keys"
        ),
        pytest.param(
            policy({**ALLOW, "Condition": {"Bool": {"aws:x": []}}}), "$.Statement[0].Condition[0]", id="no values"
        ),
        pytest.param(
            policy({**ALLOW, "Condition": {"Bool": {"aws:x": True}}}), "$.Statement[0].Condition[0]", id="no string"
        ),
        pytest.param(
            policy({**ALLOW, "Condition": {"Bo ol": {"aws:x": "1"}}}), "$.Statement[0].Condition[0]", id="odd operator"
        ),
        pytest.param(
            policy({**ALLOW, "Condition": {"Bool": {"aws:\u212a": "1"}}}), "$.Statement[0].Condition[0]", id="odd key"
        ),
        pytest.param(
            policy({**ALLOW, "Condition": {"Bool": {"aws:x": "1\n"}}}), "$.Statement[0].Condition[0]", id="line end"
        ),
        pytest.param(
            policy({**ALLOW, "Condition": {"Bool": {"aws:x": "${aws:x}"}}}),
            "$.Statement[0].Condition[0]",
            id="variable in a value",
        ),
        pytest.param(
            policy({**ALLOW, "Condition": {"Bool": {"aws:x": "1", "AWS:X": "2"}}}),
            "$.Statement[0].Condition",
            id="one key twice, in two cases",
        ),
        pytest.param(policy(*[ALLOW] * 1001), "$.Statement", id="too many statements"),
    ],
)
def test_a_policy_outside_the_grammar_is_refused_where_it_breaks(source: dict[str, Any], path: str) -> None:
    with pytest.raises(MalformedPolicy) as raised:
        Document.parse(source)

    assert raised.value.path == path


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("", id="nothing"),
        pytest.param("[]", id="a list"),
        pytest.param('"text"', id="a string"),
        pytest.param("null", id="null"),
        pytest.param("NaN", id="not a number"),
        pytest.param('{"Version":NaN}', id="NaN as a value"),
        pytest.param('{"Version":-Infinity}', id="infinity as a value"),
        pytest.param('{"Version":' + "9" * 5000 + "}", id="an endless number"),
        pytest.param("{" * 50, id="unclosed"),
        pytest.param("[" * 100_000, id="deep lists"),
        pytest.param('{"Statement":' * 9_000, id="deep objects"),
        pytest.param('{"Version":"' + "a" * 140_000 + '"}', id="oversize"),
        pytest.param(b"\xef\xbb\xbf{}", id="byte order mark"),
        pytest.param(b"\xff\xfe{\x00}\x00", id="UTF-16"),
        pytest.param(b'{"Version":"\xc3("}', id="broken UTF-8"),
        pytest.param('{"Version":"2012-10-17","Version":"2012-10-17"}', id="a key twice"),
        pytest.param(json.dumps(policy(ALLOW)) + "{}", id="something after the end"),
    ],
)
def test_a_text_that_is_not_one_small_object_is_refused(source: str | bytes) -> None:
    with pytest.raises(MalformedPolicy) as raised:
        Document.parse(source)

    assert raised.value.path == "$"


def test_a_key_given_twice_inside_a_statement_is_refused() -> None:
    text = json.dumps(policy(ALLOW)).replace('"Effect"', '"Effect":"Deny","Effect"')

    with pytest.raises(MalformedPolicy):
        Document.parse(text)


def test_a_refusal_never_repeats_what_was_written() -> None:
    with pytest.raises(MalformedPolicy) as raised:
        Document.parse(policy({**ALLOW, "Action": "canary-7f3a"}))

    assert "canary" not in str(raised.value)


def test_the_text_is_what_a_json_library_writes_whatever_the_values_hold() -> None:
    values = ['"quoted"', "back\\slash", "\u00e9", "a/b", " "]
    statement = {
        "NotAction": ["s3:GetObject", "s3:PutObject"],
        "Condition": {"StringEquals": {"aws:x": sorted(values), "aws:y": "1"}, "StringLike": {"aws:x": "a*"}},
        "Effect": "Deny",
        "NotResource": 'arn:aws:s3:::a/"b"',
    }
    policy = {"Statement": [statement], "Version": "2012-10-17"}

    text = Document.parse(policy).text

    assert text == json.dumps(policy, separators=(",", ":"), ensure_ascii=False)


def test_the_text_is_canonical_compact_json_without_sids() -> None:
    document = Document.parse(
        policy(
            {
                "Sid": "Reports",
                "Resource": ["arn:aws:s3:::b/*", "arn:aws:s3:::a/*"],
                "Effect": "Allow",
                "Condition": {"StringLike": {"s3:prefix": ["b", "a"]}},
                "Action": ["s3:PutObject", "s3:GetObject"],
            }
        )
    )

    assert document.text == (
        '{"Statement":[{"Action":["s3:GetObject","s3:PutObject"],"Condition":{"StringLike":{"s3:prefix":["a","b"]}},'
        '"Effect":"Allow","Resource":["arn:aws:s3:::a/*","arn:aws:s3:::b/*"]}],"Version":"2012-10-17"}'
    )
    assert document.sha256 == hashlib.sha256(document.text.encode()).hexdigest()


def test_the_text_reads_back_as_the_same_document() -> None:
    guard = {"Effect": "Deny", "NotAction": "s3:GetObject", "NotResource": "arn:aws:s3:::a/*"}
    document = Document.parse(policy(ALLOW, guard))

    assert Document.parse(document.text) == document
    assert Document.parse(document.text.encode()) == document


def test_equal_statements_are_equal_in_any_order_and_case() -> None:
    one = policy({**ALLOW, "Action": ["s3:GetObject", "s3:PutObject"], "Condition": {"Bool": {"aws:X": "true"}}})
    other = policy({**ALLOW, "Action": ["S3:putobject", "s3:getobject"], "Condition": {"Bool": {"AWS:x": ["true"]}}})

    assert Document.parse(one) == Document.parse(other)


def test_variables_are_read_only_from_what_the_team_authored() -> None:
    source = policy({**ALLOW, "Resource": "arn:aws:s3:::home/${aws:username}/*"})

    (statement,) = Document.parse(source, authored=True).statements

    assert statement.resources[0].has_variables


@pytest.mark.parametrize("empty", ["actions", "resources"])
def test_a_statement_without_actions_or_resources_cannot_be_built(empty: str) -> None:
    (statement,) = Document.parse(policy(ALLOW)).statements
    parts = {"actions": statement.actions, "resources": statement.resources, empty: ()}

    with pytest.raises(MalformedPolicy):
        Statement(Effect.ALLOW, **parts)  # type: ignore[arg-type]


def test_one_operator_and_key_with_two_value_lists_cannot_be_built() -> None:
    (statement,) = Document.parse(policy(ALLOW)).statements
    twice = (Condition("Bool", "aws:x", ("true",)), Condition("Bool", "AWS:X", ("false",)))

    with pytest.raises(MalformedPolicy):
        Statement(Effect.ALLOW, statement.actions, statement.resources, twice)


def test_a_document_without_statements_says_so() -> None:
    assert Document(()).is_empty
    assert not Document.parse(policy(ALLOW)).is_empty


def test_conditions_differ_by_operator_key_and_values_only() -> None:
    condition = Condition("StringLike", "s3:prefix", ("a", "b"))

    assert condition == Condition("StringLike", "S3:Prefix", ("b", "a", "a"))
    assert condition != Condition("StringLikeIfExists", "s3:prefix", ("a", "b"))
    assert condition != Condition("StringLike", "s3:prefix", ("a",))
    assert condition != Condition("StringLike", "s3:delimiter", ("a", "b"))
