"""Records in words: who, what, how many; a record that was tampered with steers nothing."""

import json
from typing import Any

import pytest

from remit_server.cli.audit_words import about, counted
from remit_server.cli.explaining import words

TARGET = {"target": "SUBJECT", "target_key": "alice", "target_issuer": "https://idp.example"}
CALLED = {"caller_issuer": "https://idp.example", "caller_id": "bob", "method": "GrantService.RevokeGrants"}
REVOKED = {**TARGET, "by": "corp:bob", "why": "stolen laptop", "cause": "REQUESTED", "block": True, "grant_count": 1}
LIFTED = {**TARGET, "block_id": "b" * 26, "by": "corp:bob", "why": "found it"}
DECIDED = {"approver_id": "carol", "approved": False, "state": "DENIED", "comment": "not now", "task_id": "t" * 26}
ENDED = {"who": {"subject_id": "alice", "actor_id": "corp:copilot"}, "task_id": "t" * 26, "cause": "LEASE_LOST"}
DENIED = {"account": "111122223333", "revocations": ["a", "b"], "assumed_by": "2026-11-23T12:00:30.5+00:00"}
EFFECTIVE = {
    "account": "111122223333",
    "revocations": ["a"],
    "effective_time": "2026-11-23T12:00:04.5+00:00",
    "effective": "OBSERVED",
    "grant_count": 2,
}


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (
            {**CALLED, "peer": "10.0.0.1", "allowed": True, "reason": "", "about": "task x: y"},
            "bob called GrantService.RevokeGrants; task x: y; allowed; 10.0.0.1",
        ),
        (
            {**CALLED, "allowed": False, "reason": "NOT_AUTHORIZED"},
            "bob called GrantService.RevokeGrants; not allowed;",
        ),
        (
            REVOKED,
            "subject alice of https://idp.example; by corp:bob; blocked; REQUESTED: stolen laptop; 1 grant",
        ),
        (LIFTED, "subject alice of https://idp.example; by corp:bob; found it"),
        (DECIDED, f"no by carol; DENIED: not now; task {'t' * 26}"),
        ({**DECIDED, "approved": True, "state": "APPROVED"}, "yes by carol; APPROVED: not now"),
        (ENDED, f"alice by corp:copilot; LEASE_LOST; task {'t' * 26}"),
        (DENIED, "2 revocations at account 111122223333; refused by 2026-11-23T12:00:30"),
        (EFFECTIVE, "2 grants; 1 revocation at account 111122223333; refused since 2026-11-23T12:00:04"),
    ],
)
def test_a_line_says_who_and_what(record: dict[str, Any], told: str) -> None:
    assert about(record).startswith(told)


@pytest.mark.parametrize("value", ["\x1b[2J", ["\x1b[2J"], {"\x1b": 1}, 7, None, True])
def test_whatever_a_field_holds_the_line_is_plain(value: Any) -> None:
    known = {*CALLED, *REVOKED, *LIFTED, *DECIDED, *ENDED, *DENIED, *EFFECTIVE, "about", "count"}

    line = about(json.loads(json.dumps(dict.fromkeys(known, value))))

    assert line.isprintable()


def test_one_is_no_plural() -> None:
    assert [counted(number, "call") for number in (0, 1, 2)] == ["0 calls", "1 call", "2 calls"]


def test_a_condition_is_told_as_json_and_escaped_once() -> None:
    condition = {"StringLike": {"s3:prefix": ["2026/*"]}}
    one = {"actions": ["s3:ListBucket"], "resources": ["arn:aws:s3:::reports"], "conditions": condition}

    (line,) = (line for line in words({**EXPLAINED, "could_do": [one]}) if "could do" in line)

    assert line.endswith('when {"StringLike": {"s3:prefix": ["2026/*"]}}')


DECISION = {
    "policy_revision": "5" * 64,
    "present_policy_revision": "5" * 64,
    "entitlements": ["reports-reader"],
    "role_arn": "arn:aws:iam::111122223333:role/reports",
    "input_digest": "",
    "user_groups": None,
    "break_glass": False,
}
EXPLAINED: dict[str, Any] = {
    "grant": "tasks/t/grants/g",
    "state": "ISSUED",
    "agent": "corp:copilot",
    "called_from": "",
    "purpose": "x",
    "handed_on_by": None,
    "parent": "",
    "is_attenuated": False,
    "attenuated_to": [],
    "user": {"id": "alice", "issuer": "https://idp.example"},
    "decision": DECISION,
    "approvals": [],
    "proven_by": [],
    "unguarded": [],
    "credentials": [],
    "expire_time": None,
    "revoke": None,
    "records": [1],
}
