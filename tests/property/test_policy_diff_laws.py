"""The laws of comparing two policies: nothing wider is ever told as anything less."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compared_policies import ROLES, ByIndex, catalogue, compared, entry

from remit_server.adapters.rego.asked import matches_actor
from remit_server.application.comparing.asking.questions import question_of
from remit_server.application.comparing.judging.answers import entitlements_of
from remit_server.application.comparing.values import Asker, Comparison, DoubtKind, Reach, Verdict, What
from remit_server.domain.permission import as_document
from remit_server.iam import Allowed, Policies, Request, evaluate

law = settings(max_examples=40, deadline=None)
ACTIONS = ("s3:GetObject", "s3:Get*", "s3:PutObject", "s3:*")
RESOURCES = ("arn:aws:s3:::a/*", "arn:aws:s3:::a/b/*", "arn:aws:s3:::a/b/c", "arn:aws:s3:::?/b/*", "*")
ACTORS = (
    ["spiffe://x/agent/*"],
    ["spiffe://x/agent/copilot"],
    ["spiffe://x/*/copilot"],
    ["x:job", "spiffe://x/agent/a*"],
)
APPROVALS = (
    None,
    {"groups": ["leads"], "by": "others", "min_approvers": 1, "valid_seconds": 600},
    {"groups": ["leads", "owners"], "by": "others", "min_approvers": 2, "valid_seconds": 600},
    {"groups": [], "by": "subject", "min_approvers": 1, "valid_seconds": 600},
)
BINDS = (
    None,
    {"source_cidrs": ["10.0.0.0/8"]},
    {"source_cidrs": ["10.1.0.0/16"]},
    {"vpc_ids": ["vpc-0123456789abcdef0"]},
)

CONDITIONS = {
    "StringLike s3:prefix [a/*]": ("s3:prefix", "a/x"),
    "StringEquals aws:RequestedRegion [eu-west-1]": ("aws:RequestedRegion", "eu-west-1"),
}


def conditioned(permissions: list[tuple[str, str]], conditions: list[str], **changes: Any) -> dict[str, Any]:
    """Returns an entitlement whose first permission has these conditions."""
    made = entry(*permissions, **{key: value for key, value in changes.items() if value not in (None, {})})
    spelled = [re.fullmatch(r"(\S+) (\S+) \[(.*)\]", text) for text in conditions]
    made["permissions"][0]["conditions"] = [
        {"operator": one[1], "key": one[2], "values": [one[3]]} for one in spelled if one is not None
    ]
    return made


entries = st.builds(
    conditioned,
    st.lists(st.tuples(st.sampled_from(ACTIONS), st.sampled_from(RESOURCES)), min_size=1, max_size=2),
    st.lists(st.sampled_from(sorted(CONDITIONS)), unique=True, max_size=2) | st.just([]),
    actors=st.sampled_from(ACTORS),
    role_arn=st.sampled_from(ROLES),
    max_credential_seconds=st.sampled_from([900, 3600]),
    approval=st.sampled_from(APPROVALS),
    bind=st.sampled_from(BINDS),
    offline_renewal=st.booleans(),
    task_labels=st.sampled_from([{}, {"env": "prod"}]),
)
catalogues = st.dictionaries(st.sampled_from(["one", "two", "three"]), entries, max_size=3).map(catalogue)


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> Comparison:
    return asyncio.run(compared(before, after))


def without(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    return catalogue({key: one for key, one in value["entitlements"].items() if key != name})


@law
@given(catalogues)
def test_a_policy_is_equal_to_itself(one: dict[str, Any]) -> None:
    found = compare(one, one)

    assert found.verdict is Verdict.EQUAL
    assert found.changes == ()


@law
@given(catalogues)
def test_other_words_in_a_description_change_nothing(one: dict[str, Any]) -> None:
    other = catalogue({name: {**raw, "description": "other words"} for name, raw in one["entitlements"].items()})

    found = compare(one, other)

    assert (found.verdict, found.changes) == (Verdict.EQUAL, ())


@law
@given(catalogues, catalogues)
def test_the_way_back_goes_the_other_way(one: dict[str, Any], other: dict[str, Any]) -> None:
    there, back = compare(one, other), compare(other, one)

    assert there.widens is back.narrows
    assert there.narrows is back.widens
    assert {change.flipped() for change in there.changes} == set(back.changes)


@law
@given(catalogues.filter(lambda one: bool(one["entitlements"])), st.data())
def test_taking_an_entitlement_away_never_widens_and_giving_it_never_narrows(
    one: dict[str, Any], data: st.DataObject
) -> None:
    less = without(one, data.draw(st.sampled_from(sorted(one["entitlements"]))))

    taken, given_ = compare(one, less), compare(less, one)

    assert not taken.widens
    assert not given_.narrows


@law
@given(catalogues, catalogues)
def test_whatever_anybody_reaches_newly_is_told_as_a_widening(one: dict[str, Any], other: dict[str, Any]) -> None:
    found = compare(one, other)

    newly = [
        (actor, action, resource)
        for actor in ("spiffe://x/agent/copilot", "spiffe://x/agent/any", "spiffe://x/b/copilot", "x:job")
        for action in ("s3:GetObject", "s3:PutObject", "s3:GetAcl")
        for resource in (
            "arn:aws:s3:::a/b/c",
            "arn:aws:s3:::a/d",
            "arn:aws:s3:::z/b/e",
            "arn:aws:sqs:eu-west-1:111122223333:q",
        )
        for role in ROLES
        if reached(other, actor, action, resource, role) and not reached(one, actor, action, resource, role)
    ]
    if newly:
        assert found.widens
        assert not found.passes()


@law
@given(catalogues, catalogues)
def test_every_example_is_allowed_after_and_not_before(one: dict[str, Any], other: dict[str, Any]) -> None:
    found = compare(one, other)

    for reach in found.reaches:
        if reach.change.what is What.PERMISSION and reach.change.direction.widens:
            assert reach.change.example is not None
            assert reach.change.example.evaluated
            assert reach.change.example.engine == ("allows" if sayable(reach.change.example.action) else "")
            for asker in reach.askers:
                assert shown(other, asker, reach)
                assert not shown(one, asker, reach)


def sayable(action: str) -> bool:
    """The shortest action that `s3:*` matches is `s3:`, which is none; where no longer one shows it, nobody can ask."""
    return not action.endswith(":")


def shown(value: Mapping[str, Any], asker: Asker, reach: Reach) -> bool:
    """Says by AWS's own evaluation whether the asker may do what the example says, on the role it names."""
    example = reach.change.example
    assert example is not None
    question = question_of(asker, (), {})
    context = dict(CONDITIONS[text] for text, holds in example.context if holds)
    answer = asyncio.run(ByIndex(value).decide(question))
    documents = tuple(
        as_document(one.permissions) for one in entitlements_of(answer) if one.role_arn == reach.change.where
    )
    return isinstance(
        evaluate(Policies(identity=documents), Request(example.action, example.resource, context)), Allowed
    )


def reached(value: Mapping[str, Any], actor: str, action: str, resource: str, role: str) -> bool:
    asker = Asker(("team",), "https://unnamed.invalid", actor, actor, (("env", "prod"),), "2026-01-14T12:00:00Z", "")
    answer = asyncio.run(ByIndex(value).decide(question_of(asker, (), {})))
    documents = tuple(as_document(one.permissions) for one in entitlements_of(answer) if one.role_arn == role)
    return isinstance(evaluate(Policies(identity=documents), Request(action, resource)), Allowed)


def test_what_nobody_could_be_asked_as_is_a_doubt_and_no_yes() -> None:
    before = catalogue({"one": entry(("s3:GetObject", "arn:aws:s3:::a/*"))})
    odd = entry(("s3:PutObject", "arn:aws:s3:::a/*"), actors=["spiffe://x/[!a-z]"])
    after = catalogue({"one": before["entitlements"]["one"], "two": {**odd, "actors": ["spiffe://x/[]"]}})

    found = compare(before, after)

    assert not matches_actor("spiffe://x/[]", "spiffe://x/a")
    assert {doubt.kind for doubt in found.doubts} == {DoubtKind.LEFT_OUT, DoubtKind.UNREACHED}
    assert found.verdict is Verdict.UNPROVEN
    assert not found.passes()
