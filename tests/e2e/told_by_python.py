"""What the Python client says in cases that a client in another language is held to: errors, and platforms' tokens."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.workload.github_endpoint import REQUEST_TOKEN
from tests.workload.tokens import AUDIENCE, jwt

import remit
from remit import workload
from remit.intents.short_forms import SHORT_FORMS

_RESOURCE = "arn:aws:s3:::x/2026/*"
_PERMISSION = remit.Permission("s3:GetObject", _RESOURCE, [remit.Condition("Bool", "a:b", "true")])
_OFFER = {"actions": ["s3:GetObject"], "resources": [_RESOURCE], "conditions": [["Bool", "a:b", "true"]]}
_FAILED = {"action": "s3:GetObject", "resource": "arn:aws:s3:::x/y", "rule": "entitlements"}
_VIOLATION = {"path": "intent.purpose", "rule": "string.min_len"}
_PLATFORM_VARIABLES = (
    "ACTIONS_ID_TOKEN_REQUEST_URL",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "GITHUB_ACTIONS",
    "REMIT_ID_TOKEN",
    "AGENT_TOKEN",
)


def printed_errors() -> list[dict[str, object]]:
    """Returns errors, what they are made of, and how they print."""
    return [
        {
            "kind": type(error).__name__,
            "message": error.message,
            "told": {
                "reason": error.reason,
                "remedy": error.remedy,
                **({"requestId": error.request_id} if error.request_id else {}),
                **more,
            },
            "text": str(error),
            "advice": error.advice,
        }
        for error, more in [*_refusals(), *_mistakes(), *_endings(), *_outages()]
    ]


def _refusals() -> Iterator[tuple[remit.RemitError, dict[str, Any]]]:
    for remedy in remit.Remedy:
        yield remit.Refused("No.", reason="POLICY_DENIED", remedy=remedy, request_id="r"), {}
        yield remit.Unauthenticated("No.", reason="SUBJECT_TOKEN_REJECTED", remedy=remedy), {}
    for message in ("no entitlement covers it", "s3:GetObject on arn:aws:s3:::x/y is not covered", ""):
        failures = (remit.FailedPermission(message=message, **_FAILED),) * 6
        told = {"failures": [{**_FAILED, "message": message}] * 6}
        yield remit.Refused("No.", reason="CEILING_EXCEEDED", failures=failures), told
    yield remit.Refused("No.", reason="CEILING_EXCEEDED", offer=(_PERMISSION,)), {"offer": [_OFFER]}
    parts = ((_PERMISSION,), (_PERMISSION,))
    yield remit.Refused("No.", reason="INTENT_TOO_LARGE", split=parts), {"split": [[_OFFER], [_OFFER]]}


def _mistakes() -> Iterator[tuple[remit.RemitError, dict[str, Any]]]:
    violation = remit.FieldViolation(**_VIOLATION)
    told = {"violations": [_VIOLATION]}
    yield remit.InvalidRequest("It is wrong.", reason="INVALID_REQUEST", violations=(violation,)), told
    yield remit.InvalidRequest.of(violation), told
    yield remit.Unauthenticated("Who?", reason="ACTOR_REJECTED"), {}
    yield remit.NotFound("It is not there.", reason="NOT_FOUND"), {}
    yield remit.GatewayFailure("internal error", reason="INTERNAL"), {}


def _endings() -> Iterator[tuple[remit.RemitError, dict[str, Any]]]:
    yield remit.TaskOver("It is over.", reason="GRANT_NOT_LIVE"), {}
    for cause in ("LEASE_LOST", "REQUESTED", "SECURITY_EVENT", "REVIEW", "ROLLBACK"):
        yield remit.TaskOver("It is over.", reason="GRANT_NOT_LIVE", cause=cause), {"cause": cause}


def _outages() -> Iterator[tuple[remit.RemitError, dict[str, Any]]]:
    people = {"groups": ["security", "leads"], "minApprovers": 2, "bySubject": True}
    pending = remit.ApprovalPending(
        "People have to approve.",
        reason="APPROVAL_PENDING",
        approval="approvals/a",
        groups=("security", "leads"),
        min_approvers=2,
        by_subject=True,
        request_id="r",
    )
    yield pending, {"approval": "approvals/a", **people}
    yield remit.Unavailable("Nobody is there.", reason="UNAVAILABLE"), {}
    yield remit.Unavailable("STS is away.", reason="STS_UNAVAILABLE"), {}
    for seconds in (2.5, 7):
        after = timedelta(seconds=seconds)
        yield remit.RateLimited("Too many.", reason="RATE_LIMITED", retry_after=after), {"retryAfter": seconds}


def platform_cases(folder: Path, github: str) -> list[dict[str, object]]:
    """Returns what each platform's function comes to: a token, or an error's text; `github` is an endpoint's URL."""
    good, over = jwt(), jwt(ends_in=-90)
    (folder / "good").write_text(f"{good}\n")
    (folder / "over").write_text(over)
    (folder / "odd").write_bytes(b"\xff\xfe")
    (folder / "empty").write_text(" \n")
    here = {"ACTIONS_ID_TOKEN_REQUEST_URL": github, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_TOKEN}
    cases: list[tuple[str, str, dict[str, str]]] = [
        ("env", "AGENT_TOKEN", {"AGENT_TOKEN": f" {good} "}),
        ("env", "AGENT_TOKEN", {"AGENT_TOKEN": over}),
        ("env", "AGENT_TOKEN", {"AGENT_TOKEN": " "}),
        ("env", "AGENT_TOKEN", {"AGENT_TOKEN": "x" * 20_000}),
        ("env", "AGENT_TOKEN", {}),
        ("gitlab", "REMIT_ID_TOKEN", {"REMIT_ID_TOKEN": good}),
        ("gitlab", "REMIT_ID_TOKEN", {"REMIT_ID_TOKEN": over}),
        ("gitlab", "REMIT_ID_TOKEN", {}),
        *((name, str(folder / file), {}) for name in ("file", "kubernetes") for file in ("good", "over", "nowhere")),
        *(("file", str(folder / file), {}) for file in ("odd", "empty")),
        ("file", "/dev/null", {}),
        ("github", AUDIENCE, {}),
        ("github", AUDIENCE, {"GITHUB_ACTIONS": "true"}),
        ("github", AUDIENCE, {**here, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": ""}),
        ("github", AUDIENCE, {**here, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "another"}),
        ("github", AUDIENCE, {**here, "ACTIONS_ID_TOKEN_REQUEST_URL": "http://example.com/token"}),
        ("gitpod", AUDIENCE, {"PATH": str(folder)}),
    ]
    return [
        {"platform": name, "argument": argument, "environment": environment, **_told(name, argument, environment)}
        for name, argument, environment in cases
    ]


def _told(name: str, argument: str, environment: dict[str, str]) -> dict[str, str]:
    """Returns the token that a platform gives, or what its error says."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in _PLATFORM_VARIABLES:
            patch.delenv(variable, raising=False)
        for variable, value in environment.items():
            patch.setenv(variable, value)
        try:
            return {"token": getattr(workload, name)(argument)()}
        except workload.NoWorkloadIdentity as error:
            return {"text": str(error)}


def intent_cases() -> list[dict[str, object]]:
    """Returns what texts of intents come to: permissions, capabilities, or an error's text."""
    forms = [f"{verb} {service}://" for verb, service in SHORT_FORMS]
    good = [f"{verb} {service}://{form.example}" for (verb, service), form in SHORT_FORMS.items()]
    places = [
        *("reports", "reports/", "reports/*", "reports/a.csv", "reports/2026/", "reports/2*/x", "reports/2026*", "R/x"),
        *("", "eu-central-1/111122223333/", "eu-central-1/1111/x", "eu-central-1/111122223333/a/b", "nowhere/x/y"),
        *("eu-central-1/111122223333/a*", "eu-central-1/111122223333/a:b", "eu-central-1/x", "reports/a//b", "a b/c"),
        *("reports/../x", "reports/{x}", "reports/caf\u00e9", "eu-central-1/111122223333/*"),
    ]
    texts = [
        *good,
        *(form + place for form in forms for place in places),
        *(
            "raed s3://x/y",
            "read s4://x/y",
            "read",
            "look at s3",
            "READ s3://reports/a",
            "write secret://x",
            "invoke ec2://",
        ),
        *(
            "publish",
            "deleet s3://reports/a",
            "qwertz zuiop://x",
            "send  sqs://eu-central-1/111122223333/jobs",
            "x" * 90,
        ),
        *("s3:GetObject=arn:aws:s3:::reports/*", "s3:Get*, s3:PutObject = arn:aws:s3:::a/*, arn:aws:s3:::b/x,y"),
        *(
            "s3:ListAllMyBuckets=*",
            "s3:GetObject",
            "s3:GetObject=",
            "s3:GetObject=reports",
            "s3GetObject=arn:aws:s3:::a",
        ),
        *(
            "*:*=*",
            "s3:GetObject=arn:aws:s3:::a,*",
            "s3:GetObject=arn:aws:s3:::${aws:username}/*",
            "s3:Get Object=arn:aws:s3:::a",
        ),
        *("s3.read_prefix bucket=reports prefix=2026/q3/", '  s3.read_prefix  bucket="a b" prefix="Q3 = final/" '),
        *(
            "s3.read_prefix bucket",
            "s3.read_prefix bucket=a bucket=b",
            "s3.read_prefix bucket=rep*",
            "S3.read_prefix bucket=a",
        ),
        *('s3.read_prefix bucket="a', "s3.read_prefix bucket=a prefix=", "s3.read_prefix bucket=a Prefix=b", "s3. a=b"),
        *("", "   ", "\u202eread s3://reports/a", "read s3://reports/a\n", "arn:aws:s3:::a", "{}x", "a=arn:"),
    ]
    return [{"text": text, **_read(text)} for text in texts if not text.startswith(("{", "[", "@"))]


def _read(text: str) -> dict[str, object]:
    """Returns what a text comes to."""
    try:
        item = remit.parse_allow(text)
    except remit.InvalidRequest as error:
        return {"error": str(error)}
    if isinstance(item, remit.Capability):
        return {"capability": {"name": item.name, "parameters": dict(item.parameters)}}
    return {"permission": {"actions": list(item.actions), "resources": list(item.resources)}}
