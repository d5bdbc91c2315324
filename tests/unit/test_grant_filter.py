"""The filter language: what it means, and where a wrong one stops making sense."""

from datetime import UTC, datetime

import pytest

from remit_server.domain.errors import InvalidRequest
from remit_server.domain.grant import GrantState
from remit_server.domain.grant_filter.reading import MAX_COMPARISONS, MAX_DEPTH, MAX_LENGTH, filter_of
from remit_server.domain.grant_filter.terms import (
    FIELDS,
    AllOf,
    AnyOf,
    Comparison,
    Filter,
    IsSet,
    Not,
    Operator,
    Value,
)
from remit_server.transport.grpc.status import MOST_RULE_CHARACTERS

ALICE = Comparison("subject.id", Operator.EQUAL, "alice")
LIVE = Comparison("state", Operator.EQUAL, GrantState.ISSUED)


def same(field: str, value: Value, operator: Operator = Operator.EQUAL) -> Comparison:
    return Comparison(field, operator, value)


READ: list[tuple[str, Filter | None]] = [
    ("", None),
    (" \n\t", None),
    ('subject.id = "alice"', ALICE),
    ("subject.id=alice", ALICE),
    ("  subject.id  =  'alice'  ", ALICE),
    ("state = ISSUED", LIVE),
    ('state = "ISSUED"', LIVE),
    ("state != REVOKED", same("state", GrantState.REVOKED, Operator.UNEQUAL)),
    ("actor = spiffe://acme.example/agents/copilot", same("actor", "spiffe://acme.example/agents/copilot")),
    ("actor = acme:reporter-service", same("actor", "acme:reporter-service")),
    ('actor = "a \\"b\\" \\\\ \\* \'c\'"', same("actor", "a \"b\" \\ * 'c'")),
    ("actor = 'it\\'s'", same("actor", "it's")),
    ('actor = ""', same("actor", "")),
    ('subject.id = "größe"', same("subject.id", "größe")),
    ("break_glass = true", same("break_glass", value=True)),
    ("access_key_id = ASIAEXAMPLE", same("access_key_id", "ASIAEXAMPLE", Operator.HAS)),
    ("access_key_id:ASIAEXAMPLE", same("access_key_id", "ASIAEXAMPLE", Operator.HAS)),
    ('entitlements:"reports-reader"', same("entitlements", "reports-reader", Operator.HAS)),
    ("revoke_time:*", IsSet("revoke_time")),
    ("NOT revoke_time : *", Not(IsSet("revoke_time"))),
    (
        "issue_time >= 2026-11-23T14:00:00.5+02:00",
        same("issue_time", datetime(2026, 11, 23, 12, 0, 0, 500_000, UTC), Operator.AT_LEAST),
    ),
    ('expire_time<"2026-11-23T12:00:00Z"', same("expire_time", datetime(2026, 11, 23, 12, tzinfo=UTC), Operator.LESS)),
    ("state = ISSUED AND subject.id = alice", AllOf((LIVE, ALICE))),
    ("state=ISSUED OR subject.id=alice OR state=ISSUED", AnyOf((LIVE, ALICE, LIVE))),
    ("state=ISSUED AND (subject.id=alice OR NOT state=ISSUED)", AllOf((LIVE, AnyOf((ALICE, Not(LIVE)))))),
    ("NOT NOT (state = ISSUED)", Not(Not(LIVE))),
    ("((state = ISSUED))", LIVE),
    ('subject.id = "alice" AND actor = "AND"', AllOf((ALICE, same("actor", "AND")))),
    ("subject.id = alice AND actor = OR", AllOf((ALICE, same("actor", "OR")))),
]


@pytest.mark.parametrize(("text", "meant"), READ)
def test_a_filter_means_what_it_says(text: str, meant: Filter | None) -> None:
    assert filter_of(text) == meant


WRONG = [
    ("state", 6, "expected one of ="),
    ("state =", 8, "expected a state, and found the end"),
    ("state = ", 9, "found the end"),
    ("state = issued", 9, "expected a state of PENDING_APPROVAL"),
    ("state = 'ISSUED", 9, "never closed"),
    ("state < ISSUED", 7, "state is compared by = != only"),
    ("State = ISSUED", 1, "no such field"),
    ("session_policy = x", 1, "no such field"),
    ("= ISSUED", 1, "expected a field"),
    ("state == ISSUED", 8, "expected a state"),
    ("state = ISSUED AND", 19, "found the end"),
    ("state = ISSUED OR AND", 19, "expected a field"),
    ("AND state = ISSUED", 1, "expected a field"),
    ("state = ISSUED state = ISSUED", 16, "expected AND, OR or the end"),
    ("state = ISSUED and state = ISSUED", 16, "expected AND, OR or the end"),
    ("state = ISSUED)", 15, "expected AND, OR or the end"),
    ("(state = ISSUED", 16, "expected AND, OR or )"),
    ("()", 2, "expected a field"),
    ("state=ISSUED AND actor=a OR actor=b", 26, "OR stands beside AND"),
    ("state=ISSUED OR actor=a AND actor=b", 25, "AND stands beside OR"),
    ("break_glass = yes", 15, "expected true or false"),
    ("break_glass = TRUE", 15, "expected true or false"),
    ("issue_time > yesterday", 14, "expected a time such as"),
    ("issue_time > 2026-11-23", 14, "expected a time such as"),
    ("issue_time > 2026-11-23T12:00:00", 14, "expected a time such as"),
    ("issue_time > 2026-13-23T12:00:00Z", 14, "expected a time such as"),
    ("issue_time > 0001-01-01T00:00:00+23:00", 14, "expected a time such as"),
    ("issue_time : 2026-11-23T12:00:00Z", 14, "expected a star"),
    ("issue_time:*", 12, "expected a star"),
    ("entitlements = reader", 14, "entitlements is compared by : only"),
    ("access_key_id != ASIA", 15, "access_key_id is compared by : only"),
    ("actor = *", 9, "stars are no wildcards"),
    ("actor = spiffe://acme.example/*", 31, "stars are no wildcards"),
    ('actor = "spiffe://*"', 19, "stars are no wildcards"),
    ('actor = "a\\b"', 12, "expected a quote, a star or a backslash"),
    ('actor = "a\\', 12, "expected a quote, a star or a backslash"),
    ('actor = "a\0b"', 11, "a control character"),
    ("actor : copilot", 7, "actor is compared by = != only"),
    ("actor = copilot; DROP TABLE grants", 16, "expected AND, OR or the end"),
    ("actor = 'x' OR 1=1", 16, "expected a field"),
    ("actor = 'x' --", 13, "expected AND, OR or the end"),
    ("NOT", 4, "found the end"),
    ("größe = x", 1, "no such field"),
]


@pytest.mark.parametrize(("text", "character", "expected"), WRONG)
def test_a_wrong_filter_is_told_with_its_place_and_what_was_expected(text: str, character: int, expected: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        filter_of(text)

    (violation,) = raised.value.violations
    assert violation.path == "filter"
    assert violation.rule.startswith(f"character {character}: "), violation.rule
    assert expected in violation.rule


def test_what_is_expected_fits_into_an_answer_that_is_cut() -> None:
    longest = f"character {MAX_LENGTH}: no such field; there are {', '.join(FIELDS)}"

    assert len(longest) <= MOST_RULE_CHARACTERS


BOMBS = [
    ("state = ISSUED OR " * 200 + "state = ISSUED", "at most 2048 characters"),
    (" OR ".join(["state=ISSUED"] * (MAX_COMPARISONS + 1)), f"more than {MAX_COMPARISONS} comparisons"),
    ("(" * 2000, f"more than {MAX_DEPTH} deep"),
    ("NOT " * 500 + "state=ISSUED", f"more than {MAX_DEPTH} deep"),
    ("(" * MAX_DEPTH + "state=ISSUED" + ")" * MAX_DEPTH, f"more than {MAX_DEPTH} deep"),
    ("\\" * 2000, "expected a field"),
    ('"' * 2000, "expected a field"),
]


@pytest.mark.parametrize(("text", "why"), BOMBS, ids=[why for _, why in BOMBS])
def test_a_bomb_is_refused(text: str, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        filter_of(text)


def test_as_much_as_is_allowed_is_read() -> None:
    assert filter_of(" OR ".join(["state=ISSUED"] * MAX_COMPARISONS)) is not None
    assert filter_of("(" * (MAX_DEPTH - 1) + "state=ISSUED" + ")" * (MAX_DEPTH - 1)) == LIVE
