"""What counts as a decision: design/4's object to the letter, and nothing else."""

import json
import math
from datetime import timedelta
from typing import Any

import pytest
from tests.policy_bundles import ENTITLEMENT, NO, YES

from remit_server.adapters.policy.answers.decision import (
    LONGEST_REMEMBERED,
    MAX_CHARACTERS,
    PolicyUnavailable,
    decision_of,
)
from remit_server.domain.decision import Allow, Deny, PolicyReason
from remit_server.domain.entitlement import ApprovalRule, ApprovedBy, Bind, EntitlementKind
from remit_server.domain.errors import Reason, Remedy


def with_entitlement(**changes: Any) -> str:
    return json.dumps(YES | {"entitlements": [ENTITLEMENT | changes]})


def without(*keys: str) -> str:
    kept = {key: value for key, value in ENTITLEMENT.items() if key not in keys}
    return json.dumps(YES | {"entitlements": [kept]})


def with_permission(**changes: Any) -> str:
    permission = {"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::reports/*"], "conditions": []}
    return with_entitlement(permissions=[permission | changes])


def with_reason(**changes: Any) -> str:
    return json.dumps(NO | {"reasons": [{"code": "no", "message": "Not you.", "remedy": "GIVE_UP"} | changes]})


MALFORMED = {
    "empty": "",
    "not JSON": "allow",
    "null": "null",
    "true": "true",
    "one": "1",
    "a string": '"true"',
    "a list": "[]",
    "an empty object": "{}",
    "only allow": '{"allow": true}',
    "allow as text": json.dumps(YES | {"allow": "true"}),
    "allow as a number": json.dumps(YES | {"allow": 1}),
    "allow as null": json.dumps(YES | {"allow": None}),
    "an unknown key": json.dumps(YES | {"because": "why not"}),
    "no reasons key": json.dumps({key: value for key, value in YES.items() if key != "reasons"}),
    "no entitlements key": json.dumps({key: value for key, value in NO.items() if key != "entitlements"}),
    "a yes without entitlements": json.dumps(YES | {"entitlements": []}),
    "a yes with a reason against it": json.dumps(YES | {"reasons": NO["reasons"]}),
    "a no without a reason": json.dumps(NO | {"reasons": []}),
    "a no with entitlements": json.dumps(NO | {"entitlements": YES["entitlements"]}),
    "a repeated key": json.dumps(NO)[:-1] + ', "allow": true}',
    "a repeated key deep inside": json.dumps(YES).replace(
        '"kind": "standard"', '"kind": "standard", "kind": "standard"'
    ),
    "break-glass that nobody reviews": with_entitlement(kind="break_glass"),
    "break-glass that the subject reviews": with_entitlement(
        kind="break_glass", approval={"groups": ["a"], "by": "subject", "min_approvers": 1, "valid_seconds": 600}
    ),
    "NaN": with_entitlement(max_task_seconds=math.nan),
    "an infinity": with_entitlement(max_task_seconds=math.inf),
    "a number out of range": json.dumps(YES).replace("28800", "1e999"),
    "a number of 5,000 digits": json.dumps(YES).replace("28800", "9" * 5000),
    "a lone surrogate": with_reason(message="\ud800"),
    "nested without end": "[" * 100_000,
    "over the limit": json.dumps(NO) + " " * MAX_CHARACTERS,
    "text after it": json.dumps(NO) + json.dumps(YES),
    "entitlements as an object": json.dumps(YES | {"entitlements": {"reader": ENTITLEMENT}}),
    "an entitlement that is null": json.dumps(YES | {"entitlements": [None]}),
    "65 entitlements": json.dumps(YES | {"entitlements": [ENTITLEMENT | {"id": f"e{n}"} for n in range(65)]}),
    "one id twice": json.dumps(YES | {"entitlements": [ENTITLEMENT, ENTITLEMENT]}),
    "no id": without("id"),
    "no bind": without("bind"),
    "no approval": without("approval"),
    "an unknown member of an entitlement": with_entitlement(groups=["analysts"]),
    "an id with a newline": with_entitlement(id="reader\n"),
    "a role that is no ARN": with_entitlement(role_arn="reports"),
    "a role that is a user": with_entitlement(role_arn="arn:aws:iam::111122223333:user/reports"),
    "a role with a wildcard": with_entitlement(role_arn="arn:aws:iam::111122223333:role/*"),
    "an unknown kind": with_entitlement(kind="super"),
    "a kind that is a list": with_entitlement(kind=["standard"]),
    "a lifetime of 14 seconds": with_entitlement(max_credential_seconds=14),
    "a lifetime of 13 hours": with_entitlement(max_credential_seconds=46800),
    "a lifetime as text": with_entitlement(max_credential_seconds="3600"),
    "a lifetime as true": with_entitlement(max_credential_seconds=True),
    "a lifetime with a fraction": with_entitlement(max_credential_seconds=3600.5),
    "a negative task lifetime": with_entitlement(max_task_seconds=-1),
    "offline renewal as null": with_entitlement(offline_renewal=None),
    "no permissions": with_entitlement(permissions=[]),
    "no actions": with_permission(actions=[]),
    "no resources": with_permission(resources=[]),
    "no conditions key": with_entitlement(permissions=[{"actions": ["*"], "resources": ["*"]}]),
    "an action without a service": with_permission(actions=["GetObject"]),
    "an action with a comma": with_permission(actions=["s3:GetObject,s3:PutObject"]),
    "an action with a long s": with_permission(actions=["\u017f3:GetObject"]),
    "a short ARN": with_permission(resources=["arn:aws:s3"]),
    "a resource that is no ARN": with_permission(resources=["reports/*"]),
    "an action twice": with_permission(actions=["s3:GetObject", "s3:GetObject"]),
    "NotAction": with_permission(NotAction=["s3:GetObject"]),
    "a condition without values": with_permission(conditions=[{"operator": "StringLike", "key": "a:b", "values": []}]),
    "a condition without a key": with_permission(conditions=[{"operator": "StringLike", "values": ["x"]}]),
    "an approval without groups": with_entitlement(
        approval={"groups": [], "by": "others", "min_approvers": 1, "valid_seconds": 600}
    ),
    "an approval by nobody known": with_entitlement(
        approval={"groups": ["leads"], "by": "agents", "min_approvers": 1, "valid_seconds": 600}
    ),
    "an approval by no approver": with_entitlement(
        approval={"groups": ["leads"], "by": "others", "min_approvers": 0, "valid_seconds": 600}
    ),
    "an approval that lacks a member": with_entitlement(approval={"groups": ["leads"], "by": "others"}),
    "an approval that is false": with_entitlement(approval=False),
    "a bind to nothing": with_entitlement(bind={}),
    "a bind to both": with_entitlement(bind={"source_cidrs": ["192.0.2.0/24"], "vpc_ids": ["vpc-12345678"]}),
    "a bind to every address": with_entitlement(bind={"source_cidrs": ["0.0.0.0/0"]}),
    "a bind to a network with host bits": with_entitlement(bind={"source_cidrs": ["192.0.2.1/24"]}),
    "a bind to no VPC": with_entitlement(bind={"vpc_ids": ["*"]}),
    "a reason that is text": json.dumps(NO | {"reasons": ["no"]}),
    "a reason without a remedy": json.dumps(NO | {"reasons": [{"code": "no", "message": "Not you."}]}),
    "an unknown remedy": with_reason(remedy="PRAY"),
    "a remedy that is a list": with_reason(remedy=["GIVE_UP"]),
    "a code in capitals": with_reason(code="NO"),
    "an empty message": with_reason(message=""),
    "a message of two lines": with_reason(message="no\n{}"),
    "a message without end": with_reason(message="x" * 513),
    "33 reasons": json.dumps(NO | {"reasons": NO["reasons"] * 33}),
}


@pytest.mark.parametrize("answer", MALFORMED.values(), ids=MALFORMED.keys())
def test_anything_but_a_complete_decision_is_an_outage(answer: str) -> None:
    with pytest.raises(PolicyUnavailable) as raised:
        decision_of(answer)

    assert raised.value.reason is Reason.POLICY_UNAVAILABLE
    assert raised.value.remedy is Remedy.RETRY_LATER


def test_an_outage_tells_the_caller_nothing_of_the_policy() -> None:
    with pytest.raises(PolicyUnavailable) as raised:
        decision_of(with_entitlement(role_arn="MARKER", MARKER=1))

    assert "MARKER" not in str(raised.value)
    assert "role_arn" not in str(raised.value)
    assert "unknown member" in raised.value.why


def test_a_whole_yes_becomes_its_entitlements() -> None:
    approval = {"groups": ["leads"], "by": "others", "min_approvers": 2, "valid_seconds": 600}
    condition = {"operator": "StringLike", "key": "s3:prefix", "values": ["2026/*"]}

    decision = decision_of(
        with_entitlement(
            kind="break_glass",
            approval=approval,
            bind={"source_cidrs": ["192.0.2.0/24"]},
            offline_renewal=True,
            permissions=[
                {"actions": ["s3:Get*"], "resources": ["arn:aws:s3:::r/${aws:username}/*"], "conditions": [condition]}
            ],
        )
    )

    assert isinstance(decision, Allow)
    (entitlement,) = decision.entitlements
    assert entitlement.entitlement_id == "reader"
    assert entitlement.kind is EntitlementKind.BREAK_GLASS
    assert entitlement.approval == ApprovalRule(("leads",), ApprovedBy.OTHERS, 2, timedelta(minutes=10))
    assert entitlement.bind == Bind(source_cidrs=("192.0.2.0/24",))
    assert entitlement.offline_renewal
    assert (entitlement.max_credential, entitlement.max_task) == (timedelta(hours=1), timedelta(hours=8))
    assert [str(action) for action in entitlement.permissions[0].actions] == ["s3:Get*"]
    assert entitlement.permissions[0].conditions[0].values == ("2026/*",)


def test_entitlements_keep_their_order() -> None:
    answer = json.dumps(YES | {"entitlements": [ENTITLEMENT | {"id": name} for name in ("z", "a", "m")]})

    decision = decision_of(answer)

    assert isinstance(decision, Allow)
    assert [entitlement.entitlement_id for entitlement in decision.entitlements] == ["z", "a", "m"]


def test_a_whole_no_becomes_its_reasons() -> None:
    decision = decision_of(json.dumps(NO))

    assert decision == Deny((PolicyReason("no", "Not you.", Remedy.GIVE_UP),))


def test_a_subject_who_confirms_in_person_needs_no_group() -> None:
    approval = {"groups": [], "by": "subject", "min_approvers": 1, "valid_seconds": 600}

    decision = decision_of(with_entitlement(approval=approval))

    assert isinstance(decision, Allow)
    assert decision.entitlements[0].approval == ApprovalRule((), ApprovedBy.SUBJECT)


def test_a_malformed_answer_is_an_outage_at_every_repeat() -> None:
    for _ in range(3):
        with pytest.raises(PolicyUnavailable):
            decision_of(with_entitlement(id="NO ID"))


def test_answers_that_differ_in_one_letter_are_different_decisions() -> None:
    first, second, again = (decision_of(with_entitlement(id=name)) for name in ("reader-a", "reader-b", "reader-a"))

    assert isinstance(first, Allow)
    assert isinstance(second, Allow)
    assert (first.entitlements[0].entitlement_id, second.entitlements[0].entitlement_id) == ("reader-a", "reader-b")
    assert again == first


def test_an_answer_too_long_to_be_remembered_is_read_alike() -> None:
    short = decision_of(json.dumps(NO))

    long = decision_of(json.dumps(NO) + " " * (LONGEST_REMEMBERED + 1))

    assert long == short
