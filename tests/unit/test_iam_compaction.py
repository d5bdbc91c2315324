"""Compaction: shorter, equal, and never by guessing; splitting what stays too long."""

import json
from datetime import UTC, datetime
from itertools import permutations

import pytest

from remit_server.iam import Document, Effect, Witness, compact, contains, guarded, split, time_bound
from remit_server.iam.issuing.compaction import LIMIT, MOST_PARTS, parted

END = datetime(2030, 1, 1, tzinfo=UTC)


def policy(*statements: dict[str, object]) -> Document:
    return Document.parse({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: object, resource: object, **more: object) -> dict[str, object]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def prefix(*values: str) -> dict[str, object]:
    return {"Condition": {"StringLike": {"s3:prefix": list(values)}}}


CASES: dict[str, tuple[list[dict[str, object]], list[dict[str, object]]]] = {
    "same resources: actions are merged": (
        [allow("s3:GetObject", "arn:aws:s3:::b/*"), allow("s3:PutObject", "arn:aws:s3:::b/*")],
        [allow(["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::b/*")],
    ),
    "same actions: resources are merged": (
        [allow("s3:GetObject", "arn:aws:s3:::b/1"), allow("s3:GetObject", "arn:aws:s3:::b/2")],
        [allow("s3:GetObject", ["arn:aws:s3:::b/1", "arn:aws:s3:::b/2"])],
    ),
    "same but for values: values are merged": (
        [
            allow("s3:ListBucket", "arn:aws:s3:::b", **prefix("a/*")),
            allow("s3:ListBucket", "arn:aws:s3:::b", **prefix("c/*", "a/b/*")),
        ],
        [allow("s3:ListBucket", "arn:aws:s3:::b", **prefix("a/*", "c/*"))],
    ),
    "included patterns are dropped": (
        [allow(["s3:Get*", "s3:GetObject"], ["arn:aws:s3:::b/*", "arn:aws:s3:::b/a/*"])],
        [allow("s3:Get*", "arn:aws:s3:::b/*")],
    ),
    "an included statement is dropped, with more conditions too": (
        [allow("s3:GetObject", "arn:aws:s3:::b/a/*", **prefix("a")), allow("s3:Get*", "arn:aws:s3:::b/*")],
        [allow("s3:Get*", "arn:aws:s3:::b/*")],
    ),
    "a repeated Deny comes once": (
        [allow("s3:*", "*"), {**allow("s3:Put*", "*"), "Effect": "Deny"}, {**allow("s3:Put*", "*"), "Effect": "Deny"}],
        [allow("s3:*", "*"), {**allow("s3:Put*", "*"), "Effect": "Deny"}],
    ),
    "rows and columns: the shorter of both ways": (
        [
            allow("s3:GetObject", ["arn:aws:s3:::b/1", "arn:aws:s3:::b/2", "arn:aws:s3:::b/3"]),
            allow("s3:PutObject", ["arn:aws:s3:::b/1", "arn:aws:s3:::b/2"]),
        ],
        [
            allow(["s3:GetObject", "s3:PutObject"], ["arn:aws:s3:::b/1", "arn:aws:s3:::b/2"]),
            allow("s3:GetObject", "arn:aws:s3:::b/3"),
        ],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_compaction_gives(name: str) -> None:
    before, after = CASES[name]

    compacted = compact(policy(*before))

    assert compacted.document == policy(*after)
    assert compacted.text == compacted.document.text
    assert compacted.size == len(compacted.text)
    assert compacted.fits


@pytest.mark.parametrize(
    "statements",
    [
        [
            allow("s3:GetObject", "*", Condition={"ForAllValues:StringEquals": {"aws:TagKeys": "a"}}),
            allow("s3:GetObject", "*", Condition={"ForAllValues:StringEquals": {"aws:TagKeys": "b"}}),
        ],
        [
            allow("s3:GetObject", "*", Condition={"StringNotEquals": {"aws:x": "a"}}),
            allow("s3:GetObject", "*", Condition={"StringNotEquals": {"aws:x": "b"}}),
        ],
        [
            allow("s3:GetObject", "*", Condition={"StringEquals": {"aws:x": "a", "aws:y": "a"}}),
            allow("s3:GetObject", "*", Condition={"StringEquals": {"aws:x": "b", "aws:y": "b"}}),
        ],
        [allow("s3:GetObject", "arn:aws:s3:::b/1"), allow("s3:PutObject", "arn:aws:s3:::b/2")],
        [{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}, allow("s3:GetObject", "*")],
    ],
    ids=["every value", "negative values", "two conditions", "a diagonal", "everything but"],
)
def test_what_would_widen_is_not_merged(statements: list[dict[str, object]]) -> None:
    assert len(compact(policy(*statements)).document.statements) == len(statements)


def test_guards_are_built_again_for_the_merged_allows() -> None:
    allows = policy(
        allow("s3:GetObject", "arn:aws:s3:::b/1"),
        allow("s3:GetObject", "arn:aws:s3:::b/2"),
        allow("s3:PutObject", "arn:aws:s3:::b/1"),
        allow("s3:PutObject", "arn:aws:s3:::b/2"),
    ).statements
    document = Document((*allows, *guarded(allows)[0], time_bound(END)))

    compacted = compact(document).document

    merged = policy(allow(["s3:GetObject", "s3:PutObject"], ["arn:aws:s3:::b/1", "arn:aws:s3:::b/2"])).statements
    assert compacted == Document((*merged, *guarded(merged)[0], time_bound(END)))


def test_a_form_that_can_be_guarded_is_taken_over_a_shorter_one() -> None:
    allows = policy(
        allow("s3:ListBucket", "arn:aws:s3:::b", **prefix("a/*")),
        allow("s3:ListBucket", "arn:aws:s3:::b", **prefix("c/*")),
    ).statements
    document = Document((*allows, *guarded(allows)[0]))

    compacted = compact(document)

    assert len(guarded(allows)[1]) == 2
    assert guarded([one for one in compacted.document.statements if one.effect is Effect.ALLOW])[1] == ()
    assert "StringNotLike" in compacted.text


def test_denies_that_are_not_the_guards_stay() -> None:
    denial: dict[str, object] = {"Effect": "Deny", "NotAction": "s3:GetObject", "Resource": "arn:aws:s3:::b/2"}
    document = policy(allow("s3:GetObject", "arn:aws:s3:::b/1"), allow("s3:GetObject", "arn:aws:s3:::b/2"), denial)

    compacted = compact(document).document

    assert json.loads(compacted.statements[-1].text) == denial
    assert isinstance(contains(compacted, document), Witness)


def test_the_order_of_the_allows_does_not_matter() -> None:
    statements = [
        allow("s3:PutObject", "arn:aws:s3:::b/1"),
        allow("s3:GetObject", "arn:aws:s3:::b/2"),
        allow("s3:ListBucket", "arn:aws:s3:::b", **prefix("c/*")),
        allow("s3:ListBucket", "arn:aws:s3:::b", **prefix("a/*")),
    ]

    texts = {compact(policy(*order)).text for order in permutations(statements)}

    assert len(texts) == 1


def test_a_document_of_denies_alone_stays() -> None:
    document = policy({"Effect": "Deny", "Action": "s3:*", "Resource": "*"})

    assert compact(document).document == document


def test_the_limit_is_met_exactly() -> None:
    document = policy(allow("s3:GetObject", "arn:aws:s3:::b/*"))

    assert compact(document, limit=len(document.text)).fits
    assert not compact(document, limit=len(document.text) - 1).fits


def test_a_split_keeps_everything_in_parts_that_fit() -> None:
    statements = [
        each
        for at in range(40)
        for each in (
            allow("s3:GetObject", f"arn:aws:s3:::reports/department-{at}/*"),
            allow("s3:ListBucket", "arn:aws:s3:::reports", **prefix(f"department-{at}/*")),
        )
    ]
    document = policy(*statements)

    parts = split(document, 1000)

    assert len(parts) > 1
    assert all(compact(part).size <= 1000 for part in parts)
    assert [one for part in parts for one in part.statements] == list(document.statements)


@pytest.mark.parametrize(
    "statement",
    [
        allow("s3:GetObject", [f"arn:aws:s3:::b/{at}" for at in range(100)]),
        allow("s3:ListBucket", "arn:aws:s3:::b", **prefix(*(f"department-{at}/*" for at in range(100)))),
        allow([f"s3:Action{at}" for at in range(100)], "*"),
    ],
)
def test_one_long_statement_is_split_inside(statement: dict[str, object]) -> None:
    parts = split(policy(statement), 600)

    assert all(compact(part).fits and compact(part).size <= 600 for part in parts)
    assert isinstance(
        contains(Document(tuple(one for part in parts for one in part.statements)), policy(statement)), Witness
    )


def test_what_fits_is_not_split() -> None:
    document = policy(allow("s3:GetObject", "arn:aws:s3:::b/*"))

    assert split(document, LIMIT) == (document,)


def test_one_permission_that_does_not_fit_alone_has_no_split() -> None:
    long, short = allow("s3:GetObject", "arn:aws:s3:::" + "b" * 900), allow("s3:GetObject", "arn:aws:s3:::b/*")

    assert split(policy(long, short), 600) == ()
    assert parted(policy(long, short), 600, lambda part: compact(part).size).too_long == policy(long)


def test_a_split_into_more_requests_than_anybody_sends_is_not_proposed() -> None:
    def room_for(count: int) -> Document:
        return policy(*(allow("s3:GetObject", f"arn:aws:s3:::{'b' * 400}/{at:02}") for at in range(count)))

    measured: list[Document] = []

    def measure(part: Document) -> int:
        measured.append(part)
        return compact(part).size

    most, more = parted(room_for(MOST_PARTS), 600, measure), parted(room_for(MOST_PARTS + 1), 600, measure)

    assert len(most.parts) == MOST_PARTS
    assert (more.parts, more.too_long) == ((), None)
    assert len(measured) < 4 * MOST_PARTS
