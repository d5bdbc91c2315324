"""Invariant I3: every STS request of a test run is proved again from the log of whoever received it.

The proof shares nothing with the gateway's: its own walk over wildcards lists one concrete action, resource and
condition value for each way in which they can match, and plain evaluation does the rest. The gateway's `contains` is
asked too, as a second opinion. On the small world of `iam_oracle` a test holds this checker to the brute-force oracle.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from tests.concrete_world import Policy, escape, unguarded_call
from tests.property import iam_oracle as oracle
from tests.sts_log import LoggedRequest
from tests.wildcard_walk import walk

from remit_server.iam import Document, Witness, contains

LONGEST_SESSION = timedelta(hours=12, minutes=5)
# Written from 5-iam.md "The ceiling and the floor" by hand; what a role may re-open by name stands apart.
NEVER = (
    "iam:*",
    "organizations:*",
    "account:*",
    "sts:*",
    "kms:creategrant",
    "lambda:addpermission",
    "*:put*policy",
)
LASTING = (
    "ecr:getauthorizationtoken",
    "codeartifact:getauthorizationtoken",
    "s3:getdataaccess",
    "s3express:createsession",
    "rds-db:connect",
    "redshift:getclustercredentials*",
    "redshift-serverless:getcredentials",
    "lakeformation:gettemporary*",
    "cognito-identity:getcredentialsforidentity",
    "sso:getrolecredentials",
    "ssm:startsession",
    "ecs:executecommand",
)
_HARMLESS = "sts:getcalleridentity"
_SESSION_NAME = re.compile(r"[a-z2-7]{26,64}")
_SOURCE_IDENTITY = re.compile(r"(?=.{2,64}$)[a-z0-9-]{1,20}\.[A-Za-z0-9@_.=-]+")
_TAGS = {"remit:grant": r"[^.]+\.[^.]+\.[^.]+", "remit:by": r"[^.]+\.[^.]+"}
_ARN_OF_A_REVOCATION_POLICY = r'"arn:aws:iam::[0-9]{12}:policy/[a-z-]+-revocations-[1-4]"'
_OWN = {
    "REMIT.revoker": (
        r"arn:aws:iam::[0-9]{12}:role/[a-z-]+-revoker",
        r"\{\}",
        (
            r'\{"Statement":\[\{"Action":\["iam:CreatePolicyVersion","iam:DeletePolicyVersion","iam:GetPolicy",'
            r'"iam:GetPolicyVersion","iam:ListPolicyVersions"\],"Effect":"Allow","Resource":\['
            rf'{_ARN_OF_A_REVOCATION_POLICY}(?:,{_ARN_OF_A_REVOCATION_POLICY}){{3}}\]\}}\],"Version":"2012-10-17"\}}'
        ),
    ),
    "REMIT.canary": (
        r"arn:aws:iam::[0-9]{12}:role/[A-Za-z0-9-]+",
        r'\{"remit:by": "canary\.canary", "remit:grant": "canary\.canary\.[a-z2-7]{26}"\}',
        r'\{"Version":"2012-10-17","Statement":\[\{"Effect":"Allow","Action":"ec2:DescribeRegions","Resource":"\*"\}\]\}',
    ),
}
_TIME_GUARD = re.compile(r'"aws:CurrentTime":\[?"[^"]*"')
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


class NotProved(AssertionError):  # noqa: N818 - an outcome of a check
    """Says what a request carried that it must not, or what it lacked."""


def reprove(request: LoggedRequest) -> None:
    """Raises NotProved unless the request is one that this gateway may send; a deliberate one is left out."""
    if request.deliberate:
        return
    if request.source_identity in _OWN:
        _check_own(request)
        return
    _check_names(request)
    if not request.policy:
        raise NotProved("it carried no session policy: STS would have handed out the whole role")
    if request.ceiling is None:
        raise NotProved(f"no configuration of this test has the role {request.role_arn}")
    policy = strictly_parsed(request.policy)
    _check_time_guard(policy, datetime.fromisoformat(request.time))
    timeless = _TIME_GUARD.sub('"aws:CurrentTime":"2030-01-01T00:00:00Z"', request.policy)
    if (fault := _fault(timeless, request.ceiling, request.reopened)) is not None:
        raise NotProved(fault)


def _check_own(request: LoggedRequest) -> None:
    """Checks a session that the gateway opens for itself: its policy is the one of its purpose, to the letter."""
    role, tags, policy = _OWN[request.source_identity]
    if re.fullmatch(role, request.role_arn) is None:
        raise NotProved(f"a session of the gateway's own, of another role: {request.role_arn}")
    if re.fullmatch(tags, json.dumps(dict(request.tags), sort_keys=True)) is None:
        raise NotProved("a session of the gateway's own, with other tags")
    if re.fullmatch(policy, request.policy) is None:
        raise NotProved(f"a session of the gateway's own that may do something else: {request.policy}")


def _check_names(request: LoggedRequest) -> None:
    """Checks what the session is called by: without these nobody could tell whose it was, or revoke it."""
    if _SESSION_NAME.fullmatch(request.session_name) is None:
        raise NotProved(f"its session name is not an opaque id: {request.session_name!r}")
    if _SOURCE_IDENTITY.fullmatch(request.source_identity) is None:
        raise NotProved(f"its source identity is missing or not <alias>.<id>: {request.source_identity!r}")
    for key, form in _TAGS.items():
        if re.fullmatch(form, request.tags.get(key, "")) is None:
            raise NotProved(f"its tag {key} is missing or not of its form")


def strictly_parsed(text: str) -> Policy:
    """Returns the policy; raises NotProved for anything outside the grammar that a gateway may emit."""
    if len(text) > 2048:
        raise NotProved("its session policy is over 2,048 characters")
    try:
        policy = json.loads(text, object_pairs_hook=_without_twins)
    except ValueError as wrong:
        raise NotProved(f"its session policy is no JSON: {wrong}") from None
    if set(policy) != {"Version", "Statement"} or policy["Version"] != "2012-10-17":
        raise NotProved("its session policy has other elements than Version and Statement")
    for statement in policy["Statement"]:
        _check_grammar(statement)
    if not any(statement["Effect"] == "Allow" for statement in policy["Statement"]):
        raise NotProved("a session policy that allows nothing")
    return policy  # type: ignore[no-any-return]


def _check_grammar(statement: Policy) -> None:
    elements = set(statement) - {"Condition"}
    plain = {"Effect", "Action", "Resource"}
    forms = [
        {"Effect", action, resource} for action in ("Action", "NotAction") for resource in ("Resource", "NotResource")
    ]
    if statement.get("Effect") not in ("Allow", "Deny") or elements not in forms:
        raise NotProved(f"a statement with other elements than it may have: {sorted(statement)}")
    if statement["Effect"] == "Allow" and elements != plain:
        raise NotProved("an Allow with NotAction or NotResource")
    for resource in oracle.listed(statement.get("Resource", statement.get("NotResource", ""))):
        if resource != "*" and len(resource.split(":", 5)) != 6:
            raise NotProved(f"a resource that is no ARN of six segments: {resource}")


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _check_time_guard(policy: Policy, sent: datetime) -> None:
    """Checks that one statement denies everything from an end on that no session of AWS outlives."""
    ends = [
        oracle.listed(statement["Condition"]["DateGreaterThanEquals"]["aws:CurrentTime"])
        for statement in policy["Statement"]
        if statement["Effect"] == "Deny"
        and (statement.get("Action"), statement.get("Resource")) == ("*", "*")
        and statement.get("Condition", {}).keys() == {"DateGreaterThanEquals"}
        and statement["Condition"]["DateGreaterThanEquals"].keys() == {"aws:CurrentTime"}
    ]
    if len(ends) != 1 or len(ends[0]) != 1 or _TIME.fullmatch(ends[0][0]) is None:
        raise NotProved("the time guard is missing: a Deny of everything from one time on")
    end = datetime.strptime(ends[0][0], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    if end > sent + LONGEST_SESSION:
        raise NotProved(f"the time guard ends it at {end}, later than any session may")


@cache
def _fault(text: str, ceiling_text: str, reopened: tuple[str, ...]) -> str | None:
    """Returns what is wrong with a session policy under its ceiling, whatever its end; the same pair is judged once."""
    issued, ceiling = json.loads(text), json.loads(ceiling_text)
    if isinstance(ceiling["Statement"], dict):
        ceiling = {**ceiling, "Statement": [ceiling["Statement"]]}
    for action in _allowed_actions(issued):
        for never in (*NEVER, *(each for each in LASTING if each not in {item.lower() for item in reopened})):
            if action.lower() != _HARMLESS and _overlap(action.lower(), never):
                return f"it allows {action}, and {never} is never issued"
    found = escape(issued, ceiling)
    if found is not None:
        return f"it allows {found[0]} on {found[1]}, and the role's ceiling does not"
    second = contains(Document.parse(text, authored=True), Document.parse(ceiling_text, authored=True))
    if not isinstance(second, Witness):
        return f"the gateway's own checker does not find it contained: {second}"
    left = unguarded_call(issued)
    return f"no guard denies {left[0]} on {left[1]} to a resource policy that names the session" if left else None


def _allowed_actions(policy: Policy) -> Iterator[str]:
    for statement in policy["Statement"]:
        if statement["Effect"] == "Allow":
            yield from oracle.listed(statement["Action"])


def _overlap(one: str, other: str) -> bool:
    return any(all(matches) for _, matches in walk((one, other)))


# The whole run.


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the log of a run holds: how many requests were proved, how many were bad on purpose, and which must not be.

    Each fault is the name of the test and what is wrong with its request.
    """

    proved: int = 0
    on_purpose: int = 0
    tests: int = 0
    faults: tuple[str, ...] = ()

    def joined(self, other: "Outcome") -> "Outcome":
        """Returns both together, as when two workers have ended."""
        return Outcome(
            self.proved + other.proved,
            self.on_purpose + other.on_purpose,
            self.tests + other.tests,
            (*self.faults, *other.faults),
        )


def reprove_all(requests: Sequence[LoggedRequest]) -> Outcome:
    """Proves every request again; never raises for what a request holds."""
    faults: list[str] = []
    for request in requests:
        try:
            reprove(request)
        except Exception as fault:  # noqa: BLE001 - whatever cannot be proved is a fault, also when the proof breaks
            faults.append(f"{request.test}: {fault}")
    on_purpose = sum(request.deliberate for request in requests)
    tests = len({request.test for request in requests})
    return Outcome(len(requests) - on_purpose - len(faults), on_purpose, tests, tuple(dict.fromkeys(faults)))
