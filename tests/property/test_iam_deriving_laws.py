"""Laws of narrowing, compaction, guards and deriving, on policies of a small world and all its requests."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from remit_server.iam import (
    ActionPattern,
    Allowed,
    Condition,
    Derived,
    Document,
    Effect,
    Naming,
    Policies,
    Request,
    ResourcePattern,
    ResourcePolicy,
    Statement,
    TooLarge,
    Witness,
    compact,
    contains,
    contains_all,
    derive,
    evaluate,
    floor,
    guarded,
    narrow,
    narrow_all,
)
from remit_server.iam.issuing.compaction import MOST_PARTS, ranked_forms
from remit_server.iam.issuing.dense.widened import widened
from remit_server.iam.issuing.merging import facts_of
from remit_server.iam.language.conjunction import conjoined

ACTIONS = ("s3:GetObject", "s3:GetObjectAcl", "s3:PutObject", "s3:ListBucket", "sqs:SendMessage")
ACTION_PATTERNS = (*ACTIONS, "s3:Get*", "s3:*Object", "S3:*", "s3:?utObject", "sqs:*")
RESOURCES = (
    "arn:aws:s3:::b",
    "arn:aws:s3:::b/1",
    "arn:aws:s3:::b/a/1",
    "arn:aws:s3:::b/a/22",
    "arn:aws:s3:::c/a/1",
    "arn:aws:sqs:r:1:q",
)
RESOURCE_PATTERNS = (
    *RESOURCES,
    "arn:aws:s3:::b/*",
    "arn:aws:s3:::b/a/*",
    "arn:aws:s3:::?/a/?",
    "arn:aws:sqs:r:*:q",
    "*",
)
CONDITIONS = (
    Condition("StringLike", "s3:prefix", ("a/*",)),
    Condition("StringLike", "s3:prefix", ("a/b/*", "c/*")),
    Condition("StringEquals", "s3:prefix", ("a/1",)),
    Condition("Bool", "aws:SecureTransport", ("true",)),
    Condition("StringNotEquals", "aws:x", ("1", "2")),
    Condition("ForAllValues:StringEquals", "aws:keys", ("k",)),
)
CONTEXTS = tuple(
    {
        **({"s3:prefix": prefix} if prefix else {}),
        **({"aws:SecureTransport": tls} if tls else {}),
        **({"aws:x": x} if x else {}),
        **({"aws:keys": keys} if keys else {}),
    }
    for prefix, tls, x, keys in (
        ("", "", "", ()),
        ("a/1", "true", "", ("k",)),
        ("a/b/1", "true", "1", ("k", "l")),
        ("c/1", "false", "3", ()),
        ("d", "true", "3", ("l",)),
        ("", "true", "2", ("k",)),
    )
)
REQUESTS = tuple(Request(*one) for one in product(ACTIONS, RESOURCES, CONTEXTS))
DIRECT = tuple(
    Request(one.action, one.resource, {**one.context, **direct})
    for one, direct in zip(REQUESTS, ({}, {"aws:ViaAWSService": "false"}) * len(REQUESTS), strict=False)
)
END = datetime(2030, 1, 1, tzinfo=UTC)
BEFORE = {"aws:CurrentTime": "2029-12-31T23:59:59Z"}
ANYTHING = Document.parse({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})
NAMED = (ResourcePolicy(ANYTHING, Naming.SESSION),)


def patterns(texts: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(texts), min_size=1, max_size=3, unique=True)


def statements(*, plain: bool) -> st.SearchStrategy[Statement]:
    return st.builds(
        Statement,
        st.just(Effect.ALLOW) if plain else st.sampled_from((Effect.ALLOW, Effect.ALLOW, Effect.DENY)),
        patterns(ACTION_PATTERNS).map(lambda texts: tuple(ActionPattern.parse(text) for text in texts)),
        patterns(RESOURCE_PATTERNS).map(lambda texts: tuple(ResourcePattern.parse(text) for text in texts)),
        st.lists(st.sampled_from(CONDITIONS), max_size=2, unique_by=lambda one: (one.operator, one.key)).map(tuple),
        st.sampled_from((False,) if plain else (False, False, True)),
        st.sampled_from((False,) if plain else (False, False, True)),
    )


def as_denial(statement: Statement) -> Statement:
    return replace(statement, effect=Effect.DENY)


def documents(*, plain: bool) -> st.SearchStrategy[Document]:
    return st.lists(statements(plain=plain), min_size=1, max_size=3).map(lambda found: Document(tuple(found)))


def allowed_by(document: Document, requests: tuple[Request, ...] = REQUESTS) -> set[int]:
    """The requests a document allows by itself, as positions."""
    policies = Policies(identity=(document,))
    return {at for at, request in enumerate(requests) if isinstance(evaluate(policies, request), Allowed)}


def allowed_when_named(session: Document, requests: tuple[Request, ...]) -> set[int]:
    """The requests that go through although the only reason is a resource policy that allows the session all."""
    policies = Policies(session=session, resource=NAMED)
    return {at for at, request in enumerate(requests) if isinstance(evaluate(policies, request), Allowed)}


def without_conditions(document: Document) -> Document:
    return Document(tuple(Statement(one.effect, one.actions, one.resources) for one in document.statements))


@given(documents(plain=False), documents(plain=False))
@settings(max_examples=60, deadline=None)
def test_what_is_contained_allows_nothing_more(wish: Document, ceiling: Document) -> None:
    """The wish is contained now and then, its narrowed part with its Denies always."""
    denies = tuple(one for one in wish.statements if one.effect is Effect.DENY)
    inside = Document((*narrow(wish, ceiling).statements, *denies))

    contained = [one for one in (wish, inside) if isinstance(contains(one, ceiling), Witness)]

    assert inside in contained
    assert all(allowed_by(one) <= allowed_by(ceiling) for one in contained)


@given(documents(plain=True), documents(plain=False))
@settings(max_examples=60, deadline=None)
def test_narrowing_is_a_lower_bound_of_both(intent: Document, ceiling: Document) -> None:
    narrowed = narrow(intent, ceiling)

    assert isinstance(contains(narrowed, ceiling), Witness)
    assert isinstance(contains(narrowed, intent), Witness)
    assert allowed_by(narrowed) <= allowed_by(intent) & allowed_by(ceiling)


@given(documents(plain=True), documents(plain=True))
@settings(max_examples=60, deadline=None)
def test_narrowing_by_plain_allows_loses_only_what_conditions_cannot_say(intent: Document, ceiling: Document) -> None:
    intent, ceiling = without_conditions(intent), without_conditions(ceiling)

    assert allowed_by(narrow(intent, ceiling)) == allowed_by(intent) & allowed_by(ceiling)


@given(documents(plain=True), documents(plain=True), st.lists(statements(plain=False).map(as_denial), max_size=2))
@settings(max_examples=25, deadline=None)
def test_nothing_larger_that_two_allows_can_say_is_inside_both(
    intent: Document, allowed: Document, denials: list[Statement]
) -> None:
    narrowed = narrow(intent, Document((*allowed.statements, *denials)))

    for wanted, held in product(intent.statements, allowed.statements):
        for part in said_with_the_parts_of(wanted, held):
            if isinstance(contains_all(part, [Document((wanted,)), Document((held, *denials))]), tuple):
                assert isinstance(contains(part, narrowed), Witness), part.text


def of_prefixes(**conditions: dict[str, object]) -> Document:
    """Returns an Allow of listing one bucket, under these conditions."""
    listing = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::reports"}
    return Document.parse({"Version": "2012-10-17", "Statement": [{**listing, "Condition": conditions}]})


ONE_OF_TWO = of_prefixes(StringEquals={"s3:prefix": "a/1"}, StringLike={"s3:prefix": ["a/b/*", "c/*"]})


@given(documents(plain=True), documents(plain=False))
@example(ONE_OF_TWO, of_prefixes(StringLike={"s3:prefix": "a/*"}))  # one of both is inside by itself
@settings(max_examples=60, deadline=None)
def test_every_part_of_an_intent_that_is_inside_is_kept_whole(intent: Document, ceiling: Document) -> None:
    narrowed = narrow(intent, ceiling)

    for fact in facts_of(intent.statements):
        part = Document((fact.statement,))
        if isinstance(contains(part, ceiling), Witness):
            assert isinstance(contains(part, narrowed), Witness), part.text


def said_with_the_parts_of(one: Statement, other: Statement) -> list[Document]:
    """Every action, resource and list of conditions of two Allows, in every combination."""
    actions = {*one.actions, *other.actions}
    resources = {*one.resources, *other.resources}
    conditions = {one.conditions, other.conditions, conjoined(one.conditions, other.conditions) or ()}
    parts = product(sorted(actions, key=str), sorted(resources, key=str), sorted(conditions, key=str))
    return [Document((Statement(Effect.ALLOW, (action,), (resource,), also),)) for action, resource, also in parts]


@given(documents(plain=True), st.lists(documents(plain=True), max_size=2))
@settings(max_examples=30, deadline=None)
def test_narrowing_by_all_is_inside_each(intent: Document, ceilings: list[Document]) -> None:
    narrowed = narrow_all(intent, ceilings)

    assert all(isinstance(contains(narrowed, ceiling), Witness) for ceiling in (intent, *ceilings))


@given(documents(plain=False))
@settings(max_examples=60, deadline=None)
def test_compaction_keeps_access(document: Document) -> None:
    compacted = compact(document)

    assert compacted.size <= len(document.text)
    assert allowed_by(compacted.document) == allowed_by(document)
    assert allowed_when_named(compacted.document, DIRECT) == allowed_when_named(document, DIRECT)


@given(documents(plain=True))
@settings(max_examples=60, deadline=None)
def test_compacted_allows_are_proven_equal(document: Document) -> None:
    compacted = compact(document).document

    assert isinstance(contains(compacted, document), Witness)
    assert isinstance(contains(document, compacted), Witness)


@given(documents(plain=True))
@settings(max_examples=60, deadline=None)
def test_guards_refuse_exactly_what_the_allows_do_not_allow(document: Document) -> None:
    guards, unguarded = guarded(document.statements)

    through = allowed_when_named(Document((*document.statements, *guards)), DIRECT)

    assert through >= allowed_by(document, DIRECT)
    assert through <= allowed_by(without_conditions(document), DIRECT)
    if not unguarded:
        assert through == allowed_by(document, DIRECT)


@given(documents(plain=True))
@settings(max_examples=30, deadline=None)
def test_guards_leave_calls_by_services_to_allows_and_resource_policies(document: Document) -> None:
    by_service = tuple(Request(one.action, one.resource, {"aws:ViaAWSService": "true"}) for one in REQUESTS)

    guards, _ = guarded(document.statements)

    assert len(allowed_when_named(Document((*document.statements, *guards)), by_service)) == len(by_service)


@given(documents(plain=True))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_the_dense_form_allows_and_refuses_the_same(document: Document) -> None:
    forms = [(form.allows, widened(form.allows)) for form in ranked_forms(document.statements, ())]
    assume(any(statements is not None for _, statements in forms))

    for form, statements in forms:
        if statements is not None:
            written = Document(statements)
            _, unguarded = guarded(form)
            assert allowed_by(written) == allowed_by(document)
            assert unguarded or allowed_when_named(written, DIRECT) == allowed_by(document, DIRECT)


@given(documents(plain=True), documents(plain=True), st.integers(900, 3000))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_what_is_derived_is_inside_the_intent_and_every_ceiling(
    wish: Document, entitlement: Document, limit: int
) -> None:
    intent = narrow_all(wish, [entitlement, floor()])
    assume(not intent.is_empty)

    derived = derive(intent, [entitlement], end=END, limit=limit)
    assume(isinstance(derived, Derived))

    assert isinstance(derived, Derived)
    assert isinstance(contains_all(derived.document, [intent, entitlement, floor()]), tuple)
    assert derived.text == derived.document.text
    assert derived.size <= limit


@given(documents(plain=True))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_what_is_derived_allows_the_intent_until_its_end(wish: Document) -> None:
    intent = narrow(wish, floor())
    assume(not intent.is_empty)
    in_time = tuple(Request(one.action, one.resource, {**one.context, **BEFORE}) for one in REQUESTS)
    too_late = tuple(
        Request(one.action, one.resource, {**one.context, "aws:CurrentTime": "2030-01-01T00:00:00Z"})
        for one in REQUESTS
    )

    derived = derive(intent, [intent], end=END, limit=100_000)

    assert isinstance(derived, Derived)
    assert allowed_by(derived.document, in_time) == allowed_by(intent)
    assert allowed_by(derived.document, too_late) == set()
    assert allowed_when_named(derived.document, too_late) == set()


@given(documents(plain=True), st.integers(700, 1100))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_the_parts_of_a_split_fit_one_by_one_and_are_the_intent_together(wish: Document, limit: int) -> None:
    intent = narrow(wish, floor())
    assume(not intent.is_empty)
    found = derive(intent, [intent], end=END, limit=limit)
    assume(isinstance(found, TooLarge))
    assert isinstance(found, TooLarge)

    together = Document(tuple(one for part in found.proposal for one in part.statements))

    if found.too_long is None:
        assert isinstance(contains(intent, together), Witness)
        assert isinstance(contains(together, intent), Witness)
        assert all(isinstance(derive(part, [part], end=END, limit=limit), Derived) for part in found.proposal)
        assert 1 < len(found.proposal) <= MOST_PARTS
    else:
        assert found.proposal == ()
        assert isinstance(derive(found.too_long, [intent], end=END, limit=limit), TooLarge)
