"""What is explained: every reason there is, and what AWS says, held against what a task may do."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.local.explaining import REASONS, Denial, LiveTask, denial_of, explain_denial, explain_reason
from remit.local.explaining.denials import Because
from remit.local.explaining.policies import allowed, matches
from remit_server.domain.errors import Reason

ROOT = Path(__file__).parents[2]
TASK = "abcdefghijklmnopqrstuvwxyz"
USER = f"User: arn:aws:sts::000000000000:assumed-role/remit-agents/{TASK}"
PUT = "An error occurred (AccessDenied) when calling the PutObject operation: "
POLICY = json.dumps(
    {
        "Statement": [
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::reports/2026/q3/*"},
            {
                "Effect": "Allow",
                "Action": ["s3:ListBucket"],
                "Resource": "arn:aws:s3:::reports",
                "Condition": {"StringLike": {"s3:prefix": "2026/q3/*"}},
            },
            {"Effect": "Deny", "NotAction": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"},
        ]
    }
)
LIVE = LiveTask("0123456789abcdef", TASK, "summarise Q3", POLICY)


def test_every_reason_of_the_gateway_and_of_the_client_is_explained() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "clients/python/remit").rglob("*.py"))
    told_here = {
        next(filter(None, found))
        for found in re.findall(
            r'(?:reason(?:: str)?|_reason_unless_said|BEYOND) ?= ?"([A-Z_]+)"'
            r'|"(WORKLOAD_[A-Z_]+)"|"reason": "([A-Z_]+)"',
            sources,
        )
    }

    assert len(told_here) > 15
    assert {str(reason) for reason in Reason} | told_here <= REASONS.keys()


@pytest.mark.parametrize("reason", REASONS)
def test_an_explained_reason_says_what_why_and_what_to_do_in_the_exceptions_own_words(reason: str) -> None:
    known, found = REASONS[reason], explain_reason(reason)

    advice = known.carrier(known.what, reason=reason, remedy=known.remedy).advice
    assert found.text().startswith(f"{reason}: {known.what}\n  why: {known.why}\n")
    assert known.is_all or not advice or advice in found.todo
    assert found.todo


@pytest.mark.parametrize(
    ("text", "denial"),
    [
        (
            (
                f'{PUT}{USER} is not authorized to perform: s3:PutObject on resource: "arn:aws:s3:::reports/my file" '
                "because no session policy allows the s3:PutObject action"
            ),
            Denial(Because.SESSION_POLICY, "s3:PutObject", "arn:aws:s3:::reports/my file", TASK, "PutObject"),
        ),
        (
            (
                f"AccessDeniedException: {USER} is not authorized to perform: dynamodb:Query on resource: "
                "arn:aws:dynamodb:eu-central-1:111122223333:table/orders because no identity-based policy allows the "
                "dynamodb:Query action"
            ),
            Denial(
                Because.IDENTITY_POLICY,
                "dynamodb:Query",
                "arn:aws:dynamodb:eu-central-1:111122223333:table/orders",
                TASK,
            ),
        ),
        (
            (
                "User: arn:aws:iam::1:user/x is not authorized to perform: sqs:SendMessage on resource: "
                "arn:aws:sqs:a:1:q "
                "with an explicit deny in a session policy."
            ),
            Denial(Because.SESSION_DENY, "sqs:SendMessage", "arn:aws:sqs:a:1:q"),
        ),
        (
            "is not authorized to perform: s3:GetObject with an explicit deny in an identity-based policy",
            Denial(Because.IDENTITY_DENY, "s3:GetObject"),
        ),
        (
            (
                "not authorized to perform: s3:GetObject on resource: arn:aws:s3:::a/b with an explicit deny in a "
                "service control policy"
            ),
            Denial(Because.ELSEWHERE, "s3:GetObject", "arn:aws:s3:::a/b"),
        ),
        (f"{PUT}Access Denied", Denial(Because.UNTOLD, "s3:PutObject", operation="PutObject")),
        (
            "fatal error: An error occurred (403) when calling the HeadObject operation: Forbidden",
            Denial(Because.UNTOLD, "s3:GetObject", operation="HeadObject"),
        ),
        ("AccessDenied: Access Denied\n    at throwDefaultError (/app/GetObjectCommand.js)", None),
        ("AccessDenied: Access Denied", Denial(Because.UNTOLD)),
        (
            "An error occurred (ExpiredToken) when calling the GetObject operation: The provided token has expired.",
            Denial(Because.OVER, "s3:GetObject", operation="GetObject"),
        ),
        (
            "UnrecognizedClientException: The security token included in the request is invalid.",
            Denial(Because.OVER),
        ),
    ],
)
def test_what_aws_and_its_tools_say_is_read(text: str, denial: Denial | None) -> None:
    assert denial_of(text) == (denial or Denial(Because.UNTOLD, "s3:GetObject", operation="GetObject"))


@pytest.mark.parametrize(
    "text", ["", "hello", "An error occurred (404) when calling the HeadObject operation: Not Found"]
)
def test_a_text_about_something_else_is_no_denial(text: str) -> None:
    assert denial_of(text) is None


@given(st.text())
def test_no_text_breaks_the_reading(text: str) -> None:
    found = denial_of(f"Access Denied {text} is not authorized to perform: {text}")

    assert found is not None


@pytest.mark.parametrize(
    ("denial", "reason", "told"),
    [
        (
            Denial(Because.SESSION_POLICY, "s3:PutObject", "arn:aws:s3:::reports/x"),
            "NOT_ALLOWED",
            "--allow 's3:PutObject=arn:aws:s3:::reports/x'",
        ),
        (
            Denial(Because.UNTOLD, "s3:GetObject", "arn:aws:s3:::reports/2026/q4/x"),
            "NOT_ALLOWED",
            "s3:GetObject it allows on arn:aws:s3:::reports/2026/q3/*",
        ),
        (
            Denial(Because.UNTOLD, "s3:GetObject", "arn:aws:s3:::reports/2026/q3/x"),
            "AWS_DENIED",
            f"the task {TASK} allows it; what refused it is the role's own policy",
        ),
        (
            Denial(Because.SESSION_DENY, "S3:getobject", "arn:aws:s3:::reports/2026/q3/x"),
            "AWS_DENIED",
            "the credentials of that call were older",
        ),
        (
            Denial(Because.SESSION_POLICY, "s3:ListBucket", "arn:aws:s3:::reports"),
            "NOT_ALLOWED",
            "make the call so that it holds: StringLike s3:prefix 2026/q3/*",
        ),
        (Denial(Because.UNTOLD, "s3:GetObject"), "NOT_ALLOWED", "the text does not say on which it was"),
        (Denial(Because.UNTOLD, "s3:PutObject"), "NOT_ALLOWED", "--allow 's3:PutObject=ARN'"),
        (Denial(Because.UNTOLD), "AWS_DENIED", "s3:GetObject on arn:aws:s3:::reports/2026/q3/*"),
        (Denial(Because.OVER, "s3:GetObject"), "CREDENTIALS_OVER", "ask for credentials again"),
        (Denial(Because.IDENTITY_POLICY, "s3:GetObject"), "AWS_DENIED", "more cannot be issued"),
        (Denial(Because.IDENTITY_DENY, "s3:GetObject"), "AWS_DENIED", "either the task was revoked"),
        (
            Denial(Because.IDENTITY_DENY, "s3:GetObject"),
            "AWS_DENIED",
            "compare the resource, which the text does not name, with what the task may do",
        ),
        (Denial(Because.ELSEWHERE), "AWS_DENIED", "whoever owns the resource"),
        (Denial(Because.IDENTITY_DENY, "s3:PutObject"), "NOT_ALLOWED", "--allow 's3:PutObject=ARN'"),
        (
            Denial(Because.SESSION_POLICY, "s3:PutObject", "arn:aws:s3:::a/b", task_id="b" * 26),
            "NOT_ALLOWED",
            "no task of this machine is named bbbbbbbbbbbbbbbbbbbbbbbbbb",
        ),
    ],
)
def test_a_denial_is_compared_with_what_the_task_may_do(denial: Denial, reason: str, told: str) -> None:
    found = explain_denial(denial, [LIVE])

    assert found.reason == reason
    assert told in found.text()


def test_without_a_live_task_the_exact_text_to_ask_with_is_said_all_the_same() -> None:
    found = explain_denial(Denial(Because.SESSION_POLICY, "s3:PutObject", "arn:aws:s3:::a/b"), [])

    assert "no task is live on this machine" in found.why
    assert "--allow 's3:PutObject=arn:aws:s3:::a/b'" in found.todo[0]


@pytest.mark.parametrize("task_id", [None, "b" * 26])
def test_a_deny_that_no_task_is_there_for_is_said_to_be_uncompared(task_id: str | None) -> None:
    denial = Denial(Because.IDENTITY_DENY, "s3:PutObject", "arn:aws:s3:::a/b", task_id)

    found = explain_denial(denial, [LIVE] if task_id else [])

    assert found.reason == "AWS_DENIED"
    assert found.why.endswith(", so it cannot be compared with what a task may do")
    assert "either the task was revoked" in found.todo[0]
    assert found.todo[1].startswith(
        "or a guard of the task's session policy denies it: ask for it when the task begins"
    )


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_patterns_match_as_expressions_do(pattern: str, text: str) -> None:
    expression = "".join({"*": ".*", "?": "."}.get(character, character) for character in pattern)

    assert matches(pattern, text) == (re.fullmatch(expression, text) is not None)


def test_a_pattern_made_to_take_for_ever_does_not() -> None:
    assert not matches("*a" * 500 + "b", "a" * 2_000)


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "tests/golden/capabilities").glob("*.json")))
def test_what_a_derived_policy_allows_is_found_in_it(name: str) -> None:
    policy = json.loads((ROOT / "tests/golden/capabilities" / name).read_text())["policy"]
    first = next(item for item in policy["Statement"] if item["Effect"] == "Allow")
    action = first["Action"] if isinstance(first["Action"], str) else first["Action"][0]

    assert allowed(json.dumps(policy), action, None).by
    assert not allowed(json.dumps(policy), "iam:PassRole", None).by


@pytest.mark.parametrize("text", ["", "[]", '{"Statement": 7}', '{"Statement": [{"Effect": "Allow"}]}', "[" * 90_000])
def test_what_is_no_session_policy_is_told_so(text: str) -> None:
    with pytest.raises(ValueError, match="no session policy of Remit's"):
        allowed(text, "s3:GetObject", None)
