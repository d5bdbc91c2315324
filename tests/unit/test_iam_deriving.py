"""Deriving: from an intent and its entitlements to the exact text for STS."""

from datetime import UTC, datetime

import pytest

from remit_server.iam import (
    Allowed,
    Condition,
    Counterexample,
    Covering,
    Derived,
    Document,
    ExplicitDeny,
    Naming,
    Policies,
    Request,
    ResourcePolicy,
    TooLarge,
    UnderivableIntent,
    Witness,
    allows_of,
    conditioned,
    contains,
    contains_all,
    derive,
    evaluate,
    floor,
)
from remit_server.iam.issuing.compaction import LIMIT

END = datetime(2026, 11, 23, 13, 0, tzinfo=UTC)
NOW = {"aws:CurrentTime": "2026-11-23T12:59:59Z"}


def policy(*statements: dict[str, object]) -> Document:
    return Document.parse({"Version": "2012-10-17", "Statement": list(statements)}, authored=True)


def allow(action: object, resource: object, **more: object) -> dict[str, object]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def prefix(*values: str) -> dict[str, object]:
    return {"Condition": {"StringLike": {"s3:prefix": list(values)}}}


def departments(count: int) -> Document:
    """Reading and listing this many prefixes of 22 characters in one bucket."""
    return policy(
        *(
            statement
            for at in range(count)
            for statement in (
                allow("s3:GetObject", f"arn:aws:s3:::reports/2026/q3/department-{at:02}/*"),
                allow("s3:ListBucket", "arn:aws:s3:::reports", **prefix(f"2026/q3/department-{at:02}/*")),
            )
        )
    )


REPORTS = policy(
    allow(["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::reports/2026/*"),
    allow("s3:ListBucket", "arn:aws:s3:::reports", **prefix("2026/*")),
)


def derived(intent: Document, entitlements: list[Document], **more: object) -> Derived:
    found = derive(intent, entitlements, end=END, **more)  # type: ignore[arg-type]
    assert isinstance(found, Derived)
    return found


def test_the_document_is_read_back_from_the_very_text() -> None:
    found = derived(departments(1), [REPORTS])

    assert found.document == Document.parse(found.text)
    assert found.text == found.document.text
    assert found.size == len(found.text)
    assert found.sha256 == found.document.sha256


def test_each_permission_names_the_statement_that_covers_it() -> None:
    found = derived(departments(1), [policy(allow("sqs:*", "*")), REPORTS])

    assert found.covers == (
        Covering("s3:GetObject", "arn:aws:s3:::reports/2026/q3/department-00/*", 1, 0),
        Covering("s3:ListBucket", "arn:aws:s3:::reports", 1, 1),
    )


def test_what_nothing_covers_is_kept_for_containment_to_refuse() -> None:
    intent = policy(allow("s3:GetObject", "arn:aws:s3:::hr/*"))

    found = derived(intent, [REPORTS])

    assert found.covers == (Covering("s3:GetObject", "arn:aws:s3:::hr/*", None, None),)
    assert isinstance(contains(found.document, REPORTS), Counterexample)


def test_the_condition_of_the_covering_statement_is_added_and_guarded() -> None:
    secure = policy(allow("s3:*", "*", Condition={"Bool": {"aws:SecureTransport": "true"}}))

    found = derived(policy(allow("s3:GetObject", "arn:aws:s3:::b/*")), [secure])

    assert found.document.statements[0].conditions == (Condition("Bool", "aws:SecureTransport", ("true",)),)
    assert found.unguarded == ()
    assert isinstance(contains_all(found.document, [secure, floor()]), tuple)


def test_the_covering_statement_is_the_one_that_adds_least() -> None:
    entitlement = policy(
        allow("s3:ListBucket", "*", **prefix("2025/*")),
        allow("s3:ListBucket", "*", Condition={"StringLike": {"s3:prefix": "2026/*"}, "Bool": {"aws:x": "true"}}),
        allow("s3:ListBucket", "*", **prefix("2026/*")),
    )

    found = derived(policy(allow("s3:ListBucket", "arn:aws:s3:::b", **prefix("2026/q3/*"))), [entitlement])

    assert found.covers[0].statement == 2
    assert found.document.statements[0].conditions == (Condition("StringLike", "s3:prefix", ("2026/q3/*",)),)


def test_values_of_a_condition_may_be_covered_by_several_statements() -> None:
    entitlement = policy(
        allow("s3:ListBucket", "*", **prefix("2025/*")),
        allow("s3:ListBucket", "*", **prefix("2026/*")),
    )

    found = derived(policy(allow("s3:ListBucket", "arn:aws:s3:::b", **prefix("2025/q4/*", "2026/q1/*"))), [entitlement])

    assert found.document.statements[0].conditions[0].values == ("2025/q4/*", "2026/q1/*")
    assert isinstance(contains_all(found.document, [entitlement]), tuple)


def test_a_condition_that_implies_the_entitlements_is_covered_as_it_is() -> None:
    intent = policy(allow("s3:GetObject", "*", Condition={"NumericLessThan": {"s3:signatureAge": "5"}}))
    entitlement = policy(allow("s3:GetObject", "*", Condition={"NumericLessThanEquals": {"s3:signatureAge": "9"}}))

    found = derived(intent, [entitlement])

    assert found.covers[0].statement == 0
    assert found.document.statements[0].conditions == intent.statements[0].conditions
    assert isinstance(contains(found.document, entitlement), Witness)


def test_conditions_that_cannot_stand_together_are_not_covered() -> None:
    intent = policy(allow("s3:GetObject", "*", Condition={"NumericLessThan": {"s3:signatureAge": "9"}}))
    entitlement = policy(allow("s3:GetObject", "*", Condition={"NumericLessThan": {"s3:signatureAge": "5"}}))

    found = derived(intent, [entitlement])

    assert found.covers[0].statement is None
    assert isinstance(contains(found.document, entitlement), Counterexample)


def test_a_policy_variable_of_an_entitlement_is_issued_and_listed_as_unguarded() -> None:
    entitlement = policy(allow("s3:*", "*", Condition={"StringEquals": {"aws:x": "${aws:PrincipalTag/x}"}}))

    found = derived(policy(allow("s3:GetObject", "arn:aws:s3:::b/*")), [entitlement])

    assert found.unguarded == (Condition("StringEquals", "aws:x", ("${aws:PrincipalTag/x}",)),)
    assert isinstance(contains_all(found.document, [entitlement]), tuple)


def test_source_networks_and_vpcs_must_both_be_met() -> None:
    intent = policy(allow("s3:GetObject", "arn:aws:s3:::b/*"))
    session = derived(intent, [intent], source_cidrs=["10.0.0.0/8"], vpc_ids=["vpc-0a"]).document
    policies = Policies(identity=(intent,), session=session)

    def answer(**context: str) -> object:
        keys = {"ip": "aws:SourceIp", "vpc": "aws:SourceVpc"}
        return evaluate(
            policies,
            Request("s3:GetObject", "arn:aws:s3:::b/k", NOW | {keys[name]: value for name, value in context.items()}),
        )

    assert answer(ip="10.1.1.1", vpc="vpc-0a") == Allowed("identity")
    assert isinstance(answer(ip="10.1.1.1"), ExplicitDeny)
    assert isinstance(answer(vpc="vpc-0a"), ExplicitDeny)
    assert isinstance(answer(ip="11.1.1.1", vpc="vpc-0a"), ExplicitDeny)


@pytest.mark.parametrize(
    "intent",
    [
        Document(()),
        policy(allow("s3:*", "*"), {"Effect": "Deny", "Action": "s3:Put*", "Resource": "*"}),
        policy({"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}),
        policy({"Effect": "Allow", "Action": "s3:*", "NotResource": "arn:aws:s3:::b"}),
        policy(allow([f"s3:A{at}" for at in range(51)], [f"arn:aws:s3:::b{at}" for at in range(10)])),
    ],
)
def test_an_intent_of_anything_but_plain_allows_is_refused(intent: Document) -> None:
    with pytest.raises(UnderivableIntent):
        derive(intent, [REPORTS], end=END)


@pytest.mark.parametrize(("count", "is_dense"), [(1, False), (8, False), (9, True), (19, True)])
def test_this_many_prefixes_of_22_characters_fit_and_are_proven(count: int, is_dense: bool) -> None:
    intent = departments(count)

    found = derived(intent, [REPORTS])

    assert found.size <= LIMIT
    assert found.unguarded == ()
    assert isinstance(contains_all(found.document, [intent, REPORTS, floor()]), tuple)
    assert (not any(one.conditions for one in found.document.statements if one.not_resource)) is is_dense


def test_one_prefix_more_is_too_large_and_the_proposal_fits() -> None:
    intent = departments(20)

    found = derive(intent, [REPORTS], end=END)

    assert isinstance(found, TooLarge)
    assert found.size > LIMIT
    assert [one for part in found.proposal for one in part.statements] == list(intent.statements)
    assert all(isinstance(derive(part, [REPORTS], end=END), Derived) for part in found.proposal)


@pytest.mark.parametrize("count", [1, 12])
def test_a_policy_that_names_the_session_adds_nothing_to_either_form(count: int) -> None:
    session = derived(departments(count), [REPORTS]).document
    anything = ResourcePolicy(policy(allow("*", "*")), Naming.SESSION)
    policies = Policies(identity=(REPORTS,), session=session, resource=(anything,))

    def answer(action: str, resource: str, **context: str) -> object:
        return evaluate(policies, Request(action, f"arn:aws:s3:::{resource}", NOW | context))

    inside = {"s3:prefix": "2026/q3/department-00/"}
    assert answer("s3:GetObject", "reports/2026/q3/department-00/a.csv") == Allowed("resource")
    assert answer("s3:ListBucket", "reports", **inside) == Allowed("resource")
    assert isinstance(answer("s3:GetObject", "reports/2026/q3/department-99/a.csv"), ExplicitDeny)
    assert isinstance(answer("s3:GetObject", "partner/a.csv"), ExplicitDeny)
    assert isinstance(answer("s3:GetObject", "reports"), ExplicitDeny)
    assert isinstance(answer("s3:DeleteObject", "reports/2026/q3/department-00/a.csv"), ExplicitDeny)
    assert isinstance(answer("s3:ListBucket", "reports", **{"s3:prefix": "2026/"}), ExplicitDeny)
    assert isinstance(answer("s3:ListBucket", "reports"), ExplicitDeny)
    assert isinstance(answer("s3:ListBucket", "partner", **inside), ExplicitDeny)


@pytest.mark.parametrize("count", [1, 8, 9, 18, 19])
def test_either_form_is_read_as_the_permissions_that_were_granted(count: int) -> None:
    intent = departments(count)

    found = allows_of(derived(intent, [REPORTS]).document)

    assert isinstance(contains(found, intent), Witness)
    assert isinstance(contains(intent, found), Witness)


def test_a_deny_that_no_dense_form_has_changes_no_permission() -> None:
    wide = allow("s3:GetObject", "arn:aws:s3:::reports/a*")
    other: dict[str, object] = {"Effect": "Deny", "Action": "s3:GetObject", "NotResource": "arn:aws:s3:::reports/*"}
    direct = {"BoolIfExists": {"aws:ViaAWSService": "false"}}
    guard = other | {"NotResource": "arn:aws:s3:::reports/a1/*", "Condition": direct}

    assert allows_of(policy(wide, other, guard)) == policy(wide)


def test_actions_that_services_use_for_the_session_are_written_and_guarded_as_always() -> None:
    decrypting = policy(allow("kms:Decrypt", "arn:aws:kms:eu-central-1:1:key/k")).statements
    intent = Document((*departments(9).statements, *decrypting))

    found = derived(intent, [intent]).document.statements

    guard: dict[str, object] = {
        "Effect": "Deny",
        "Action": "kms:Decrypt",
        "NotResource": "arn:aws:kms:eu-central-1:1:key/k",
        "Condition": {"BoolIfExists": {"aws:ViaAWSService": "false"}},
    }
    assert {*decrypting, *policy(guard).statements} <= set(found)
    assert not any(one.actions == decrypting[0].actions and not one.conditions for one in found[2:])


def test_the_conditioned_intent_is_what_ceilings_must_contain() -> None:
    secure = policy(allow("s3:*", "*", Condition={"Bool": {"aws:SecureTransport": "true"}}))

    found = conditioned(policy(allow("s3:GetObject", "arn:aws:s3:::b/*")), [secure])

    assert found == policy(
        allow("s3:GetObject", "arn:aws:s3:::b/*", Condition={"Bool": {"aws:SecureTransport": "true"}})
    )
