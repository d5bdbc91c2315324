"""A session policy within another one: its end, its bounds, its guards, and what the proof makes of them."""

from datetime import UTC, datetime, timedelta

import pytest

from remit_server.iam import (
    Bounds,
    Condition,
    Counterexample,
    Derived,
    Document,
    Undecided,
    Witness,
    allows_of,
    bounds_of,
    condition_guards_on,
    contains,
    derive,
    end_of,
    lies_within,
    without_end,
)

END = datetime(2026, 11, 23, 12, 15, tzinfo=UTC)
BUCKET = "arn:aws:s3:::reports"


def allowing(action: str, resource: str, *conditions: Condition) -> Document:
    block = {one.operator: {one.key: list(one.values)} for one in conditions}
    statement = {"Effect": "Allow", "Action": action, "Resource": resource, **({"Condition": block} if block else {})}
    return Document.parse({"Version": "2012-10-17", "Statement": [statement]})


def session(intent: Document, *, end: datetime = END, cidrs: tuple[str, ...] = ()) -> Document:
    derived = derive(intent, [intent], end=end, source_cidrs=cidrs)
    assert isinstance(derived, Derived)
    return derived.document


def like(prefix: str) -> Condition:
    return Condition("StringLike", "s3:prefix", (prefix,))


Q3 = session(allowing("s3:GetObject", f"{BUCKET}/2026/q3/*"))


@pytest.mark.parametrize(("later", "within"), [(-1, True), (0, True), (1, False)])
def test_what_ends_later_does_not_lie_within_whatever_it_allows(later: int, within: bool) -> None:
    inner = session(allowing("s3:GetObject", f"{BUCKET}/2026/q3/x"), end=END + timedelta(seconds=later))

    found = lies_within(inner, [Q3])

    assert isinstance(found, tuple) is within
    assert within or isinstance(found, Undecided)


def test_what_has_no_end_lies_within_nothing_that_has_one_and_in_what_has_none() -> None:
    endless = without_end(Q3)

    assert isinstance(lies_within(endless, [Q3]), Undecided)
    assert isinstance(lies_within(endless, [endless]), tuple)
    assert isinstance(lies_within(Q3, [endless]), tuple)


def test_an_end_that_cannot_be_read_is_no_end_to_lie_within() -> None:
    odd = Document.parse(Q3.text.replace("2026-11-23T12:15:00Z", "2026-11-23"))

    with pytest.raises(ValueError, match="time data"):
        end_of(odd)
    assert isinstance(lies_within(Q3, [odd]), Undecided)
    assert isinstance(lies_within(odd, [Q3]), Undecided)


def test_a_deny_of_everything_under_nothing_is_no_end_and_is_not_left_out_of_the_proof() -> None:
    deny = {"Effect": "Deny", "Action": "*", "Resource": "*"}
    allow = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"{BUCKET}/*"}
    nothing = Document.parse({"Version": "2012-10-17", "Statement": [allow, deny]})

    assert without_end(nothing) == nothing
    assert end_of(nothing) is None
    assert isinstance(lies_within(Q3, [nothing]), Counterexample)


def test_the_earliest_of_several_ends_counts() -> None:
    early = session(allowing("s3:GetObject", f"{BUCKET}/2026/q3/*"), end=END - timedelta(minutes=5))
    both = Document((*Q3.statements, *early.statements))

    assert end_of(both) == END - timedelta(minutes=5)


def test_nothing_lies_within_no_document() -> None:
    assert isinstance(lies_within(Q3, []), Undecided)


def test_the_first_document_that_does_not_hold_it_is_named_by_its_number() -> None:
    other = allowing("s3:GetObject", f"{BUCKET}/2025/*")

    found = lies_within(Q3, [Q3, other])

    assert isinstance(found, Counterexample)
    assert found.ceiling == 1


def test_where_a_session_works_is_read_back_from_its_bounds() -> None:
    bound = session(allowing("s3:GetObject", f"{BUCKET}/*"), cidrs=("10.0.0.0/8", "192.0.2.0/24"))

    assert bounds_of(bound) == Bounds(("10.0.0.0/8", "192.0.2.0/24"), ())
    assert bounds_of(Q3) == Bounds()
    assert isinstance(lies_within(without_bounds(bound), [bound]), Counterexample)


def without_bounds(document: Document) -> Document:
    return Document(tuple(one for one in document.statements if "aws:SourceIp" not in one.text))


def test_guards_of_conditions_are_those_under_more_than_a_direct_call_that_touch_what_is_allowed() -> None:
    listing = allowing("s3:ListBucket", BUCKET, like("2026/*"))
    held = session(Document((*listing.statements, *allowing("s3:GetObject", f"{BUCKET}/2026/*").statements)))

    guards = condition_guards_on(held, listing)

    assert [one.text.count("StringNotLike") for one in guards] == [1]
    assert condition_guards_on(held, allowing("s3:GetObject", f"{BUCKET}/2026/*")) == ()


def test_a_tighter_condition_lies_within_once_the_outer_guards_are_taken_over() -> None:
    outer = session(allowing("s3:ListBucket", BUCKET, like("2026/*")))
    wish = allowing("s3:ListBucket", BUCKET, like("2026/q3/*"))
    alone = session(wish)
    with_guards = Document((*alone.statements, *condition_guards_on(outer, wish)))

    assert isinstance(contains(alone, allows_of(outer)), Witness)
    assert not isinstance(lies_within(alone, [outer]), tuple)
    assert isinstance(lies_within(with_guards, [outer]), tuple)
