"""The sealed form: its exact text, where it does not apply, what it costs, and that a wrong one is never taken."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from remit_server.iam import (
    Allowed,
    Budget,
    Derived,
    Document,
    Effect,
    Naming,
    Policies,
    Request,
    ResourcePolicy,
    Statement,
    Steps,
    TooLarge,
    Witness,
    allows_of,
    contains,
    contains_all,
    derive,
    evaluate,
    floor,
)
from remit_server.iam.issuing.compaction import LIMIT
from remit_server.iam.issuing.dense.equality import is_proven_equal
from remit_server.iam.issuing.dense.sealed import SEALING_STEPS, Sealed, sealed
from remit_server.iam.issuing.merging import Fact, facts_of, fewest, in_order

END = datetime(2026, 11, 23, 13, 0, tzinfo=UTC)
QUEUE = "arn:aws:sqs:eu-central-1:111122223333"
TABLE = "arn:aws:dynamodb:eu-central-1:111122223333:table"
DIRECTLY = {"BoolIfExists": {"aws:ViaAWSService": "false"}}
Said = dict[str, object]


def policy(*statements: Said) -> Document:
    return Document.parse({"Version": "2012-10-17", "Statement": list(statements)}, authored=True)


def allow(action: object, resource: object, condition: object = None) -> Said:
    return {
        "Effect": "Allow",
        "Action": action,
        "Resource": resource,
        **({"Condition": condition} if condition else {}),
    }


def deny(condition: object = None, **said: object) -> Said:
    return {"Effect": "Deny", **said, **({"Condition": condition} if condition else {})}


def of_customer(*customers: str) -> Said:
    return {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": list(customers)}}


def not_of_customer(*customers: str) -> Said:
    return {"ForAnyValue:StringNotEquals": {"dynamodb:LeadingKeys": list(customers)}}


def facts(*statements: Said) -> list[Fact]:
    return fewest(in_order(facts_of(policy(*statements).statements)))


def form_of(*statements: Said) -> Sealed:
    found = sealed(facts(*statements), Steps(SEALING_STEPS))
    assert found is not None
    return found


GET, LIST, PUT = "s3:GetObject", "s3:ListBucket", "s3:PutObject"
READS, WRITES = ["dynamodb:GetItem", "dynamodb:Query"], ["dynamodb:PutItem", "dynamodb:UpdateItem"]
PREFIX = {"StringLike": {"s3:prefix": ["a/*", "b/*"]}}
NOT_PREFIX = {"StringNotLike": {"s3:prefix": ["a/*", "b/*"]}}
OF_TEAM = {"StringEquals": {"aws:ResourceTag/team": "people"}}
NOT_OF_TEAM = {"StringNotEquals": {"aws:ResourceTag/team": "people"}}
BY_VPC = {"StringEquals": {"aws:SourceVpce": "vpce-1"}}
FORMS: dict[str, tuple[list[Said], list[Said]]] = {
    "each resource and each condition stands once": (
        [
            allow(GET, ["arn:aws:s3:::r/a/*", "arn:aws:s3:::r/b/*"]),
            allow(LIST, "arn:aws:s3:::r", PREFIX),
            allow(["sqs:SendMessage", "sqs:GetQueueUrl"], f"{QUEUE}:jobs"),
        ],
        [
            allow([GET, LIST, "sqs:GetQueueUrl", "sqs:SendMessage"], "*"),
            deny(DIRECTLY, NotAction=[GET, LIST, "sqs:GetQueueUrl", "sqs:SendMessage"], Resource="*"),
            deny(Action="s3:G*", NotResource=["arn:aws:s3:::r/a/*", "arn:aws:s3:::r/b/*"]),
            deny(Action="s3:L*", NotResource="arn:aws:s3:::r"),
            deny(Action="sqs:*", NotResource=f"{QUEUE}:jobs"),
            deny(NOT_PREFIX, Action="s3:L*", Resource="*"),
        ],
    ),
    "what is granted everywhere is not taken back": (
        [allow("sqs:ListQueues", "*"), allow("sqs:SendMessage", f"{QUEUE}:jobs")],
        [
            allow(["sqs:ListQueues", "sqs:SendMessage"], "*"),
            deny(DIRECTLY, NotAction=["sqs:ListQueues", "sqs:SendMessage"], Resource="*"),
            deny(Action="sqs:S*", NotResource=f"{QUEUE}:jobs"),
        ],
    ),
    "resources of several actions stand once, where that is shorter": (
        [
            allow(["sqs:SendMessage", "sqs:GetQueueUrl"], [f"{QUEUE}:long-name-of-jobs", f"{QUEUE}:orders-of-today"]),
            allow(["sqs:DeleteMessage", "sqs:GetQueueUrl"], [f"{QUEUE}:orders-of-today", f"{QUEUE}:replies"]),
        ],
        [
            allow(["sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:SendMessage"], "*"),
            deny(DIRECTLY, NotAction=["sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:SendMessage"], Resource="*"),
            deny(
                Action="sqs:*",
                NotResource=[f"{QUEUE}:long-name-of-jobs", f"{QUEUE}:orders-of-today", f"{QUEUE}:replies"],
            ),
            deny(Action="sqs:D*", Resource=f"{QUEUE}:l*"),
            deny(Action="sqs:S*", Resource=f"{QUEUE}:r*"),
        ],
    ),
    "a condition on some of the resources": (
        [allow(READS, f"{TABLE}/carts", of_customer("1")), allow([*READS, *WRITES], f"{TABLE}/orders")],
        [
            allow([*READS, *WRITES], "*"),
            deny(DIRECTLY, NotAction=[*READS, *WRITES], Resource="*"),
            deny(Action="dynamodb:*", NotResource=[f"{TABLE}/carts", f"{TABLE}/orders"]),
            deny(Action=["dynamodb:P*", "dynamodb:U*"], Resource=f"{TABLE}/c*"),
            deny(not_of_customer("1"), Action=["dynamodb:G*", "dynamodb:Q*"], Resource=f"{TABLE}/c*"),
        ],
    ),
    "two conditions at once": (
        [allow(READS, f"{TABLE}/carts", {**of_customer("1"), **OF_TEAM})],
        [
            allow(READS, "*"),
            deny(DIRECTLY, NotAction=READS, Resource="*"),
            deny(Action="dynamodb:*", NotResource=f"{TABLE}/carts"),
            deny(not_of_customer("1"), Action="dynamodb:*", Resource="*"),
            deny(NOT_OF_TEAM, Action="dynamodb:*", Resource="*"),
        ],
    ),
    "one condition or another stays in Allows": (
        [
            allow(READS, f"{TABLE}/carts", of_customer("1")),
            allow(READS, f"{TABLE}/carts", of_customer("2")),
            allow(READS, f"{TABLE}/orders", of_customer("3")),
            allow(WRITES, f"{TABLE}/orders"),
        ],
        [
            allow(WRITES, "*"),
            allow(READS, f"{TABLE}/c*", of_customer("1")),
            allow(READS, f"{TABLE}/c*", of_customer("2")),
            allow(READS, f"{TABLE}/o*"),
            deny(DIRECTLY, NotAction=[*READS, *WRITES], Resource="*"),
            deny(Action="dynamodb:*", NotResource=[f"{TABLE}/carts", f"{TABLE}/orders"]),
            deny(Action=["dynamodb:P*", "dynamodb:U*"], Resource=f"{TABLE}/c*"),
            deny(not_of_customer("3"), Action=["dynamodb:G*", "dynamodb:Q*"], Resource=f"{TABLE}/o*"),
        ],
    ),
    "a key that may have several values is guarded as always": (
        [allow(READS, f"{TABLE}/carts", BY_VPC), allow("sqs:SendMessage", f"{QUEUE}:jobs")],
        [
            allow("sqs:SendMessage", "*"),
            allow(READS, "*", BY_VPC),
            deny(DIRECTLY, NotAction=[*READS, "sqs:SendMessage"], Resource="*"),
            deny(Action="dynamodb:*", NotResource=f"{TABLE}/carts"),
            deny(Action="sqs:*", NotResource=f"{QUEUE}:jobs"),
            deny({"StringNotEquals": {"aws:SourceVpce": "vpce-1"}, **DIRECTLY}, Action=READS, Resource="*"),
        ],
    ),
    "what services call on the session's behalf is written as always": (
        [
            allow("kms:Decrypt", "arn:aws:kms:r:1:key/k", {"StringEquals": {"kms:ViaService": "s3.r.amazonaws.com"}}),
            allow(GET, "arn:aws:s3:::r/a/*"),
        ],
        [
            allow(GET, "*"),
            allow("kms:Decrypt", "arn:aws:kms:r:1:key/k", {"StringEquals": {"kms:ViaService": "s3.r.amazonaws.com"}}),
            deny(DIRECTLY, NotAction=["kms:Decrypt", GET], Resource="*"),
            deny(DIRECTLY, Action="kms:Decrypt", NotResource="arn:aws:kms:r:1:key/k"),
            deny(Action="s3:*", NotResource="arn:aws:s3:::r/a/*"),
            deny(
                {"StringNotEquals": {"kms:ViaService": "s3.r.amazonaws.com"}, **DIRECTLY},
                Action="kms:Decrypt",
                Resource="*",
            ),
        ],
    ),
    "overlapping resources under one condition": (
        [allow(GET, ["arn:aws:s3:::r/a*", "arn:aws:s3:::r/*b"], OF_TEAM), allow(PUT, "arn:aws:s3:::r/a*")],
        [
            allow([GET, PUT], "*"),
            deny(DIRECTLY, NotAction=[GET, PUT], Resource="*"),
            deny(Action="s3:G*", NotResource=["arn:aws:s3:::r/*b", "arn:aws:s3:::r/a*"]),
            deny(Action="s3:P*", NotResource="arn:aws:s3:::r/a*"),
            deny(NOT_OF_TEAM, Action="s3:G*", Resource="*"),
        ],
    ),
    "overlapping resources under different conditions": (
        [allow(GET, "arn:aws:s3:::r/a*", OF_TEAM), allow(GET, "arn:aws:s3:::r/*b")],
        [
            allow(GET, "arn:aws:s3:::r/*b"),
            allow(GET, "arn:aws:s3:::r/a*", OF_TEAM),
            deny(DIRECTLY, NotAction=GET, Resource="*"),
            deny(Action="s3:*", NotResource=["arn:aws:s3:::r/*b", "arn:aws:s3:::r/a*"]),
        ],
    ),
    "an action pattern keeps its wildcard where a shorter one would take in another": (
        [allow("s3:Get*", "arn:aws:s3:::r/a/*"), allow("s3:GeneratePresigned*", "arn:aws:s3:::r/b/*")],
        [
            allow(["s3:GeneratePresigned*", "s3:Get*"], "*"),
            deny(DIRECTLY, NotAction=["s3:GeneratePresigned*", "s3:Get*"], Resource="*"),
            deny(Action="s3:Gen*", NotResource="arn:aws:s3:::r/b/*"),
            deny(Action="s3:Get*", NotResource="arn:aws:s3:::r/a/*"),
        ],
    ),
}


@pytest.mark.parametrize(("intent", "expected"), FORMS.values(), ids=list(FORMS))
def test_an_intent_is_sealed_like_this_and_proven_equal(intent: list[Said], expected: list[Said]) -> None:
    found = form_of(*intent)

    assert [each.text for each in found.statements] == [each.text for each in policy(*expected).statements]
    assert is_proven_equal(found, facts(*intent), Budget().opened())
    assert sealed(facts(*reversed(intent)), Steps(SEALING_STEPS)) == found


@pytest.mark.parametrize(
    "intent",
    [
        [allow("*", "arn:aws:s3:::r/*")],
        [allow("s3:Get*", "arn:aws:s3:::r/a/*"), allow(GET, "arn:aws:s3:::r/b/*")],
    ],
    ids=["every service", "overlapping actions"],
)
def test_where_what_a_deny_is_about_would_be_unclear_nothing_is_sealed(intent: list[Said]) -> None:
    assert sealed(facts(*intent), Steps(SEALING_STEPS)) is None


def test_a_condition_that_another_form_leaves_unguarded_is_named() -> None:
    either = form_of(allow(READS, f"{TABLE}/a", of_customer("1")), allow(READS, f"{TABLE}/a", of_customer("2")))

    assert [one.values for one in either.unguarded] == [("1",), ("2",)]
    assert form_of(allow(READS, f"{TABLE}/a", of_customer("1"))).unguarded == ()


def test_sealing_counts_its_steps_and_stops_where_there_are_none_left() -> None:
    asked = facts(
        *(statement for intent, _ in FORMS.values() for statement in intent if "*" not in str(statement["Action"]))
    )
    enough = Steps(SEALING_STEPS)

    found = sealed(asked, enough)

    assert found is not None
    assert sealed(asked, Steps(enough.spent)) == found
    assert sealed(asked, Steps(enough.spent - 1)) is None


def test_a_hostile_intent_ends_where_the_steps_do() -> None:
    names = [f"{letter * 11}{at}" for at in range(12) for letter in "ab"]
    asked = facts(
        *(
            allow(f"s3:{'A' * 40}{at}", [f"arn:aws:s3:::{name * 3}/{at % 3}*" for name in names[at % 5 :]])
            for at in range(24)
        )
    )
    steps = Steps(SEALING_STEPS)

    assert sealed(asked, steps) is None
    assert steps.left == 0


MANY = [
    statement
    for at in range(4)
    for statement in (
        allow(GET, f"arn:aws:s3:::reports-of-team/2026/q3/department-{at:02}/*"),
        allow(LIST, "arn:aws:s3:::reports-of-team", {"StringLike": {"s3:prefix": f"2026/q3/department-{at:02}/*"}}),
        allow(READS, f"{TABLE}/orders-{at}", of_customer(str(at))),
    )
]


def test_an_intent_that_fits_no_other_way_is_issued_sealed() -> None:
    intent = policy(*MANY)

    found = derive(intent, [intent], end=END)

    assert isinstance(found, Derived)
    assert found.size == len(found.text) <= LIMIT
    assert found.unguarded == ()
    assert [str(each) for _, allowed in found.document.allows for each in allowed.resources] == ["*"]
    assert isinstance(contains_all(found.document, [intent, floor()]), tuple)
    read = allows_of(found.document)
    assert isinstance(contains(read, intent), Witness)
    assert isinstance(contains(intent, read), Witness)


def test_nothing_is_sealed_while_a_form_that_names_the_resources_in_its_allows_fits() -> None:
    intent = policy(*MANY)

    roomy = derive(intent, [intent], end=END, limit=100_000)

    assert isinstance(roomy, Derived)
    assert not any(resource.is_universal for _, each in roomy.document.allows for resource in each.resources)


def test_where_the_sealed_form_does_not_fit_either_its_size_is_told() -> None:
    intent = policy(*MANY)
    found = derive(intent, [intent], end=END)
    assert isinstance(found, Derived)

    refused = derive(intent, [intent], end=END, limit=found.size - 1)

    assert isinstance(refused, TooLarge)
    assert refused.size == found.size
    assert len(refused.proposal) == 2


@pytest.mark.parametrize("at", range(10))
def test_a_sealed_form_that_lacks_a_statement_is_not_proven_equal(at: int) -> None:
    intent = FORMS["one condition or another stays in Allows"][0]
    found = form_of(*intent, allow("sqs:SendMessage", f"{QUEUE}:jobs"), allow("kms:Decrypt", "arn:aws:kms:r:1:key/k"))
    asked = facts(*intent, allow("sqs:SendMessage", f"{QUEUE}:jobs"), allow("kms:Decrypt", "arn:aws:kms:r:1:key/k"))
    assert is_proven_equal(found, asked, Budget().opened())

    bent = replace(found, statements=found.statements[:at] + found.statements[at + 1 :])

    assert not is_proven_equal(bent, asked, Budget().opened())


@pytest.mark.parametrize(
    "more",
    [
        deny(Action="s3:GetObject", Resource="arn:aws:s3:::r/a/x"),
        deny(Action="s3:G*", NotResource="arn:aws:s3:::r/a/x*"),
        deny({"StringLike": {"s3:prefix": "a/x*"}}, Action="s3:L*", Resource="*"),
        allow("s3:DeleteObject", "arn:aws:s3:::r/a/*"),
    ],
)
def test_a_sealed_form_with_another_statement_is_not_proven_equal(more: Said) -> None:
    intent = FORMS["each resource and each condition stands once"][0]
    found = form_of(*intent)

    bent = replace(found, statements=(*found.statements, *policy(more).statements))

    assert not is_proven_equal(bent, facts(*intent), Budget().opened())


def test_without_steps_for_the_proof_nothing_is_proven_equal() -> None:
    intent = FORMS["each resource and each condition stands once"][0]

    assert not is_proven_equal(form_of(*intent), facts(*intent), Budget(comparisons=10).opened())


@pytest.mark.parametrize(
    "later", ["s3:GetObjectInventedLater", "s3:ListBucketsOfTomorrow", "sqs:Anything", "kms:Encrypt", "new:Thing"]
)
@pytest.mark.parametrize("via", ["false", "true", None])
def test_an_action_that_aws_adds_later_is_refused_whatever_short_patterns_it_fits(later: str, via: str | None) -> None:
    intent, _ = FORMS["each resource and each condition stands once"]
    session = Document(form_of(*intent).statements)
    context = {"s3:prefix": "a/1", **({"aws:ViaAWSService": via} if via else {})}
    anything = ResourcePolicy(policy(allow("*", "*")), Naming.SESSION)

    for resource in ("arn:aws:s3:::r/a/1", "arn:aws:s3:::r", f"{QUEUE}:jobs", "*"):
        request = Request(later, resource, context)
        assert not isinstance(evaluate(Policies(identity=(session,)), request), Allowed)
        named = Policies(session=session, resource=(anything,))
        assert via == "true" or not isinstance(evaluate(named, request), Allowed)


def test_every_wildcard_action_of_a_sealed_form_stands_in_a_deny() -> None:
    for intent, _ in FORMS.values():
        asked = {action for fact in facts(*intent) for action in [fact.action]}
        for each in form_of(*intent).statements:
            assert widening(each) <= asked


def widening(statement: Statement) -> set[object]:
    """The actions of a statement where one that stands for more would let more through."""
    return set(statement.actions) if statement.effect is Effect.ALLOW or statement.not_action else set()
