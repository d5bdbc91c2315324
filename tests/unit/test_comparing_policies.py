"""The parts of a comparison of two policies: terms, representatives, what a change touches, and what passes."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compared_policies import bundle, catalogue, compared, entry

from remit_server.adapters.policy.bundles.capability_json import capability
from remit_server.adapters.policy.bundles.compared_bundle import side_of
from remit_server.adapters.rego.asked import matches_actor
from remit_server.application.comparing.asking.actors import UNNAMED, representatives
from remit_server.application.comparing.asking.moments import ANY_TIME, moments
from remit_server.application.comparing.asking.touched import MOST_GROUPS, SPOT_CHECKS, touched
from remit_server.application.comparing.judging.administration import admin_changes
from remit_server.application.comparing.judging.capabilities import capability_changes
from remit_server.application.comparing.judging.limits import aspects
from remit_server.application.comparing.judging.proofs import Proofs
from remit_server.application.comparing.values import (
    Comparison,
    Direction,
    Doubt,
    DoubtKind,
    Looked,
    Rules,
    Verdict,
    review_of,
)
from remit_server.cli.policy.diffing.markdown import MAX_CHARACTERS, markdown_of
from remit_server.cli.policy.diffing.text import text_of
from remit_server.domain.administration import AdminAllow, AdminDecision, AdminDeny, Scope, Visible
from remit_server.domain.decision import PolicyReason
from remit_server.domain.entitlement import ApprovalRule, ApprovedBy, Bind, Entitlement, EntitlementKind
from remit_server.domain.errors import Remedy
from remit_server.domain.permission import Permission
from remit_server.iam import ActionPattern, ResourcePattern

READ = Permission((ActionPattern.parse("s3:GetObject"),), (ResourcePattern.parse("arn:aws:s3:::a/*"),))
PLAIN = Entitlement("one", "arn:aws:iam::111122223333:role/r", (READ,), timedelta(hours=1), timedelta(hours=8))
OTHERS = ApprovalRule(("leads",))
FOUR = "198.51.100.0"

WIDER: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "credentials live longer": ({}, {"max_credential": timedelta(hours=2)}),
    "a task lives longer": ({}, {"max_task": timedelta(hours=9)}),
    "nobody need say yes any more": ({"approval": OTHERS}, {"approval": None}),
    "one person less has to say yes": ({"approval": replace(OTHERS, min_approvers=2)}, {"approval": OTHERS}),
    "more people may say yes": ({"approval": OTHERS}, {"approval": replace(OTHERS, groups=("leads", "ops"))}),
    "a yes holds longer": ({"approval": OTHERS}, {"approval": replace(OTHERS, valid=timedelta(hours=1))}),
    "the user's own yes is enough": ({"approval": OTHERS}, {"approval": ApprovalRule((), ApprovedBy.SUBJECT)}),
    "it is issued at once": ({}, {"kind": EntitlementKind.BREAK_GLASS}),
    "it works anywhere": ({"bind": Bind((f"{FOUR}/24",))}, {"bind": None}),
    "the network grows": ({"bind": Bind((f"{FOUR}/25",))}, {"bind": Bind((f"{FOUR}/24",))}),
    "two halves hold a whole": (
        {"bind": Bind((f"{FOUR}/24",))},
        {"bind": Bind((f"{FOUR}/25", "198.51.100.128/25", "2001:db8::/32"))},
    ),
    "one more VPC": ({"bind": Bind(vpc_ids=("vpc-1",))}, {"bind": Bind(vpc_ids=("vpc-1", "vpc-2"))}),
    "it is renewed without the user": ({}, {"offline_renewal": True}),
}
NEITHER: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "other people": ({"approval": OTHERS}, {"approval": ApprovalRule(("ops",))}),
    "more people, for shorter": (
        {"approval": OTHERS},
        {"approval": replace(OTHERS, groups=("leads", "ops"), valid=timedelta(minutes=1))},
    ),
    "another network": ({"bind": Bind((f"{FOUR}/24",))}, {"bind": Bind(("203.0.113.0/24",))}),
    "the same digits of another family": ({"bind": Bind(("2001:db8::/32",))}, {"bind": Bind(("10.0.0.0/8",))}),
    "a VPC for a network": ({"bind": Bind((f"{FOUR}/24",))}, {"bind": Bind(vpc_ids=("vpc-1",))}),
}


@pytest.mark.parametrize("name", WIDER)
def test_laxer_terms_are_wider_and_the_way_back_is_narrower(name: str) -> None:
    before, after = (replace(PLAIN, **changes) for changes in WIDER[name])

    assert [one.direction for one in aspects(before, after)] == [Direction.WIDENING]
    assert [one.direction for one in aspects(after, before)] == [Direction.NARROWING]
    assert list(aspects(before, before)) == []


@pytest.mark.parametrize("name", NEITHER)
def test_other_terms_are_both(name: str) -> None:
    before, after = (replace(PLAIN, **changes) for changes in NEITHER[name])

    assert [one.direction for one in aspects(before, after)] == [Direction.BOTH]
    assert [one.direction for one in aspects(after, before)] == [Direction.BOTH]


def test_the_same_network_written_otherwise_is_the_same() -> None:
    halves = replace(PLAIN, bind=Bind((f"{FOUR}/25", "198.51.100.128/25")))
    whole = replace(PLAIN, bind=Bind((f"{FOUR}/24",)))

    assert [one.direction for one in aspects(halves, whole)] == [Direction.NEUTRAL]


steps = st.sampled_from(["a", "b", "ab", "*", "a*", "*b", "?"])
patterns = st.builds(lambda one, other, parted: f"x{parted}{one}/{other}", steps, steps, st.sampled_from([":", "/"]))


@settings(max_examples=400, deadline=None)
@given(
    st.lists(patterns, max_size=5),
    st.builds(lambda one, other: f"x/{one}/{other}", st.text("abc", max_size=3), st.text("abc", max_size=3)),
)
def test_whoever_asks_there_is_one_who_stands_for_them(named: list[str], actor: str) -> None:
    found = representatives(named, matches_actor)

    like = {pattern for pattern in named if matches_actor(pattern, actor)}
    standing = [{pattern for pattern in named if matches_actor(pattern, one)} for one, _ in found.actors]
    assert like in standing
    assert found.actors[-1][0] == UNNAMED
    assert found.missed == ()


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("x:[ab]c", "x:ac"),
        ("x:[!a-z]", "x:7"),
        ("x:{job,task}/*", "x:job/any"),
        ("spiffe://x/**", "spiffe://x/any"),
        (r"x:\*", "x:*"),
        ("x:a??", "x:a77"),
    ],
)
def test_a_pattern_of_any_form_has_an_actor(pattern: str, fits: str) -> None:
    found = representatives([pattern], matches_actor)

    assert (found.missed, [one for one, _ in found.actors[:-1]]) == ((), [fits])


def test_a_pattern_without_an_actor_is_said() -> None:
    assert representatives(["x:[]"], matches_actor).missed == ("x:[]",)


def test_hours_that_overlap_have_a_time_for_each_way_they_do() -> None:
    morning = (("Monday",), "08:00", "12:00", "UTC")
    noon = (("Monday", "Sunday"), "11:00", "14:00", "Europe/Berlin")

    times, unknown = moments([morning, noon])

    assert unknown == ()
    assert {moment.name for moment in times} == {
        "within Monday 08:00-12:00 UTC",
        "within Monday 08:00-12:00 UTC and Monday, Sunday 11:00-14:00 Europe/Berlin",
        "within Monday, Sunday 11:00-14:00 Europe/Berlin",
        "outside all hours",
    }


def test_hours_of_two_time_zones_are_told_apart_in_the_weeks_when_only_one_has_summer_time() -> None:
    berlin = (("Monday",), "08:00", "18:00", "Europe/Berlin")
    new_york = (("Monday",), "02:00", "12:00", "America/New_York")

    found, _ = moments([berlin, new_york])

    assert {moment.windows for moment in found} >= {frozenset({berlin}), frozenset({new_york})}


AGENT = "spiffe://x/agent/"


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (["*"], ["**"], Verdict.WIDENING),
        (["*", "*/*"], ["**"], Verdict.WIDENING),
        (["[a-c]x"], ["[a-d]x"], Verdict.WIDENING),
        (["*", "**b"], ["*", "**b", "**/?b"], Verdict.UNPROVEN),
        (["[!ab]x"], ["[!a]x"], Verdict.UNPROVEN),
        (["**"], ["*"], Verdict.NARROWING),
        (["**"], ["one/two"], Verdict.NARROWING),
        (["a*", "?"], ["a*", "ab*"], Verdict.NARROWING),
    ],
)
async def test_agents_that_a_pattern_newly_names_are_seen_or_said_to_be_in_doubt(
    before: list[str], after: list[str], verdict: Verdict
) -> None:
    then, now = (
        catalogue({"one": entry(("s3:GetObject", "arn:aws:s3:::a/*"), actors=[f"{AGENT}{one}" for one in named])})
        for named in (before, after)
    )

    found = await compared(then, now)

    assert found.verdict is verdict


def test_without_hours_one_time_stands_for_all_and_an_unknown_zone_is_said() -> None:
    assert moments([]) == ((ANY_TIME,), ())
    assert moments([(("Monday",), "08:00", "12:00", "Nowhere/Town")]) == ((ANY_TIME,), ("Nowhere/Town",))


def many(count: int, **changes: Any) -> dict[str, Any]:
    entries = {f"e{number}": entry(("s3:GetObject", f"arn:aws:s3:::a/{number}/*")) for number in range(count)}
    return catalogue({**entries, **changes}, {f"g{number:04}": [f"e{number}"] for number in range(count)})


def test_only_the_groups_that_a_change_of_data_touches_are_asked_about_and_some_others() -> None:
    before, after = many(500), many(500, e7=entry(("s3:PutObject", "arn:aws:s3:::a/*")))

    found = touched(side_of(bundle(before), Rules()), side_of(bundle(after), Rules()))

    assert found.groups == ("g0007",)
    assert len(found.spot_checks) == SPOT_CHECKS
    assert "g0007" not in found.spot_checks
    assert found.news == {("g0007", "e7")}
    assert found.doubts == ()


def test_when_rules_changed_groups_are_sampled_and_what_was_left_out_is_said() -> None:
    before, after = many(500), many(500, e7=entry(("s3:PutObject", "arn:aws:s3:::a/*")))
    then, now = (
        Rules((("data.remit.issue.decision", "a.rego", "1"),)),
        Rules((("data.remit.issue.decision", "a.rego", "2"),)),
    )

    found = touched(side_of(bundle(before), then), side_of(bundle(after), now))

    assert len(found.groups) == MOST_GROUPS
    assert "g0007" in found.groups
    assert [doubt.kind for doubt in found.doubts] == [DoubtKind.RULES, DoubtKind.LEFT_OUT]
    assert found.doubts[1].text == "300 of 500 groups were not asked about, though rules or their data changed"


def test_a_rule_that_moved_to_another_file_is_no_change() -> None:
    one, other = ("data.remit.issue.a", "a.rego", "1"), ("data.remit.issue.a", "b.rego", "1")

    found = touched(side_of(bundle(many(1)), Rules((one,))), side_of(bundle(many(1)), Rules((other,))))

    assert found.doubts == ()


def test_a_rule_that_stands_once_less_is_a_change() -> None:
    rule = ("data.remit.issue.reasons", "a.rego", "1")

    found = touched(side_of(bundle(many(1)), Rules((rule, rule))), side_of(bundle(many(1)), Rules((rule,))))

    assert [doubt.kind for doubt in found.doubts] == [DoubtKind.RULES]


async def test_an_entitlement_that_is_split_in_two_and_renamed_is_equal() -> None:
    whole = entry(("s3:GetObject", "arn:aws:s3:::a/*"), ("s3:PutObject", "arn:aws:s3:::a/*"))
    parts = {
        "reads": entry(("s3:GetObject", "arn:aws:s3:::a/*")),
        "writes": entry(("s3:PutObject", "arn:aws:s3:::a/*")),
    }

    found = await compared(catalogue({"whole": whole}), catalogue(parts))

    assert (found.verdict, found.changes, found.doubts) == (Verdict.EQUAL, (), ())


async def test_the_same_permission_by_a_new_entitlement_on_laxer_terms_is_wider() -> None:
    strict = entry(
        ("s3:*", "arn:aws:s3:::a/*"),
        approval={"groups": ["leads"], "by": "others", "min_approvers": 1, "valid_seconds": 600},
    )
    lax = entry(("s3:GetObject", "arn:aws:s3:::a/*"))

    found = await compared(catalogue({"strict": strict}), catalogue({"strict": strict, "lax": lax}))

    (change,) = found.changes
    assert (change.direction, change.what, change.entitlement) == (Direction.WIDENING, "approval", "lax")
    assert (change.action, change.after) == ("s3:GetObject", "no approval")


def decided(visible: Visible | None) -> AdminDecision:
    return AdminAllow(visible) if visible else AdminDeny((PolicyReason("no", "No.", Remedy.GIVE_UP),))


A, B = frozenset({"a"}), frozenset({"a", "b"})
SIGHTS = [
    (None, Visible(own=True), Direction.WIDENING),
    (Visible(own=True), Visible(everything=True), Direction.WIDENING),
    (Visible(own=True), Visible(own=True, scopes=(Scope(accounts=A),)), Direction.WIDENING),
    (Visible(scopes=(Scope(accounts=A),)), Visible(scopes=(Scope(accounts=B),)), Direction.WIDENING),
    (Visible(scopes=(Scope(accounts=A, roles=A),)), Visible(scopes=(Scope(accounts=A),)), Direction.WIDENING),
    (Visible(own=True), Visible(scopes=(Scope(accounts=A),)), Direction.BOTH),
    (Visible(scopes=(Scope(accounts=A),)), Visible(scopes=(Scope(roles=A),)), Direction.BOTH),
    (
        Visible(scopes=(Scope(accounts=A),)),
        Visible(scopes=(Scope(accounts=A), Scope(accounts=A, roles=A))),
        Direction.NEUTRAL,
    ),
]


@pytest.mark.parametrize(("before", "after", "way"), SIGHTS)
def test_who_sees_more_has_more(before: Visible | None, after: Visible, way: Direction) -> None:
    there = [one.direction for one in admin_changes("x", "y", decided(before), decided(after))]
    back = [one.direction for one in admin_changes("x", "y", decided(after), decided(before))]

    assert there == [way]
    assert back == [way.flipped()]


def template(**changes: Any) -> dict[str, Any]:
    permission = {"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::{bucket}/{key}"]}
    parameters = {"bucket": {"type": "s3_bucket"}, "key": {"type": "s3_key"}}
    return {"description": "d", "access": "read", "parameters": parameters, "permissions": [permission], **changes}


TEMPLATES = [
    ({"resources": ["arn:aws:s3:::{bucket}/{key}*"]}, {Direction.WIDENING}),
    ({"resources": ["arn:aws:s3:::{bucket}/?????{key}"]}, {Direction.BOTH, Direction.NARROWING, Direction.WIDENING}),
    ({"resources": ["arn:aws:s3:::{bucket}/*"]}, {Direction.WIDENING}),
    ({"actions": ["s3:GetObject", "s3:GetObjectVersion"]}, {Direction.WIDENING}),
    ({"actions": ["s3:getobject"]}, {Direction.NEUTRAL}),
]


@pytest.mark.parametrize(("changes", "ways"), TEMPLATES)
def test_a_template_is_compared_by_what_it_expands_to(changes: dict[str, Any], ways: set[Direction]) -> None:
    permission = {"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::{bucket}/{key}"], **changes}
    before = {"x": capability("s3.x", template())}

    found, doubts = capability_changes(before, {"x": capability("s3.x", template(permissions=[permission]))}, Proofs())

    assert {one.direction for one in found} <= ways
    assert found
    assert doubts == []


def test_a_parameter_of_another_kind_is_both_and_a_new_name_is_neither() -> None:
    parameters = {"bucket": {"type": "s3_bucket"}, "key": {"type": "s3_prefix"}}
    before = {"x": capability("s3.x", template())}
    after = {"x": capability("s3.x", template(parameters=parameters)), "s3.y": capability("s3.y", template())}

    found, _ = capability_changes(before, after, Proofs())

    assert {(one.where, one.direction) for one in found} >= {("s3.x", Direction.BOTH), ("s3.y", Direction.NEUTRAL)}


def comparison(*doubts: Doubt) -> Comparison:
    return Comparison("a" * 64, "b" * 64, (), (), doubts, Looked(0, 0, 0, 0, 0), review_of("a", "b"))


@pytest.mark.parametrize("kind", DoubtKind)
def test_any_doubt_is_a_no_and_reading_settles_only_what_can_be_read(kind: DoubtKind) -> None:
    found = comparison(Doubt(kind, "x"))

    assert found.verdict is Verdict.UNPROVEN
    assert not found.passes()
    assert not found.passes(reviewed="0" * 16)
    assert found.passes(allow_widening=True)
    assert found.passes(reviewed=found.review) is (kind not in {DoubtKind.UNDECIDED, DoubtKind.UNANSWERED})
    assert not comparison(Doubt(kind, "x"), Doubt(DoubtKind.UNDECIDED, "y")).passes(reviewed=found.review)


def test_what_an_author_wrote_stays_inside_the_fence_and_moves_no_cursor() -> None:
    found = comparison(Doubt(DoubtKind.RULES, "````\n@everyone <b>\x1b[2J"))

    text, markdown = text_of(found), markdown_of(found)

    assert "\x1b" not in text
    assert "? ````?@everyone <b>?[2J" in text
    opening, inside = markdown.partition("diff\n")[0].rpartition("\n")[2], markdown.partition("diff\n")[2]
    assert opening == "`" * 7
    assert inside.count("`" * 7) == 1
    assert "@everyone" not in markdown.partition(opening)[0] + markdown.rpartition(opening)[2]


def test_a_long_comment_is_cut_with_a_word() -> None:
    found = comparison(*(Doubt(DoubtKind.RULES, f"{number} {'x' * 500}") for number in range(400)))

    markdown = markdown_of(found)

    assert len(markdown) < MAX_CHARACTERS + 1_000
    assert "more lines: see the job's log." in markdown


def test_the_examples_are_where_the_page_says() -> None:
    root = Path(__file__).resolve().parents[2]

    assert "(../examples/ci)" in (root / "docs" / "policy-diff.md").read_text(encoding="utf-8")
    assert (root / "examples" / "ci" / "README.md").is_file()
