"""What AWS is told, case by case: what shares a statement, what is dropped, and what happens when room runs out."""

import json
from datetime import datetime, timedelta

import pytest
from tests.revocation_world import NOW, Session, deny, is_denied, part

from remit_server.application.revocation.lines import Line
from remit_server.application.revocation.placing import CANARY_ROOM, Room
from remit_server.application.revocation.rendering import questions, render, unsound
from remit_server.application.revocation.texts import MOST_CHARACTERS, lines_of, policy_text
from remit_server.domain.revocation import DenyTag, SessionDeny

ROOM = Room()
AGES = timedelta(minutes=10)


def session(number: int, *, subject: int = 1, task: int = 1, ago: timedelta = AGES) -> Session:
    return Session(subject, task, number, NOW - ago)


def small(lines: int) -> Room:
    """Returns one policy with room for so many lines of one grant each, and no more."""
    full = [Line(DenyTag.GRANT, session(number).grant_tag) for number in range(lines)]
    return Room(1, len(policy_text(full)) + 2 + CANARY_ROOM)


def test_nothing_to_deny_is_a_policy_that_denies_nobody() -> None:
    rendered = render([], NOW, {}, ROOM)

    assert len(rendered.texts) == 4
    assert not is_denied(session(1), rendered.texts)
    assert all(len(json.loads(text)["Statement"]) == 1 for text in rendered.texts)


def test_patterns_without_a_time_share_one_statement() -> None:
    denies = [deny(1, [session(1)]), deny(2, [session(2)]), deny(3, [session(3, task=2)], by="task")]

    [text] = render(denies, NOW, {}, Room(policies=1)).texts

    assert text == (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringLike":'
        '{"aws:PrincipalTag/remit:grant":["'
        + '","'.join([session(1).grant_tag, session(2).grant_tag, f"{part(1)}.{part(2)}.*"])
        + '"]}}}]}'
    )


def test_patterns_with_a_time_share_a_statement_by_it() -> None:
    earlier = NOW - timedelta(minutes=1)
    denies = [
        deny(1, [session(1)], by="subject"),
        deny(2, [session(2, subject=2)], by="subject"),
        deny(3, [session(3, subject=3)], by="subject", at=earlier),
        deny(4, [session(3, subject=3)], by="actor", at=earlier),
    ]

    [text] = render(denies, NOW, {}, Room(policies=1)).texts

    conditions = [statement["Condition"] for statement in json.loads(text)["Statement"]]
    assert conditions == [
        {
            "StringLike": {"aws:PrincipalTag/remit:grant": [f"{part(3)}.*"]},
            "DateLessThan": {"aws:TokenIssueTime": "2026-11-29T19:59:00Z"},
        },
        {
            "StringLike": {"aws:PrincipalTag/remit:by": [f"{part(1)}.*"]},
            "DateLessThan": {"aws:TokenIssueTime": "2026-11-29T19:59:00Z"},
        },
        {
            "StringLike": {"aws:PrincipalTag/remit:grant": [f"{part(1)}.*", f"{part(2)}.*"]},
            "DateLessThan": {"aws:TokenIssueTime": "2026-11-29T20:00:00Z"},
        },
    ]


def test_what_a_wider_line_denies_is_not_written_twice() -> None:
    denies = [deny(1, [session(1)]), deny(2, [session(1)], by="task"), deny(3, [session(1)], by="subject")]

    rendered = render(denies, NOW, {}, ROOM)

    assert sum(map(len, rendered.pages)) == 1
    assert rendered.told == (1, 2, 3)


def test_a_grant_that_may_be_younger_than_the_subjects_deny_keeps_its_own_line() -> None:
    denies = [deny(1, [session(1, ago=timedelta(seconds=3))]), deny(2, [session(2)], by="subject")]

    rendered = render(denies, NOW, {}, ROOM)

    assert sum(map(len, rendered.pages)) == 2


def test_a_deny_is_dropped_after_the_last_expiry_that_it_covers() -> None:
    item = deny(1, [session(1)])

    at_its_end = render([item], item.covers_until, {}, ROOM)
    after = render([item], item.covers_until + timedelta(seconds=1), {}, ROOM)

    assert at_its_end.told == (1,)
    assert after.told == after.left_out == after.waived == ()
    assert after.texts == render([], NOW, {}, ROOM).texts


def test_one_more_deny_changes_one_policy() -> None:
    denies = [deny(number, [session(number)]) for number in range(100)]

    before = render(denies[:-1], NOW, {}, ROOM).texts
    after = render(denies, NOW, {}, ROOM).texts

    assert sum(old != new for old, new in zip(before, after, strict=True)) == 1


def test_all_four_policies_hold_over_250_grants() -> None:
    denies = [deny(number, [session(number, subject=number)]) for number in range(270)]

    rendered = render(denies, NOW, {}, ROOM)

    assert questions(denies, NOW, ROOM) == ()
    assert len(rendered.told) == 270
    assert all(len(text) <= MOST_CHARACTERS for text in rendered.texts)


# --- what need not be written ---


def test_an_optional_deny_is_written_while_a_quarter_of_the_room_is_free() -> None:
    required = [deny(number, [session(number)]) for number in range(7)]
    optional = [deny(number, [session(number)], required=False) for number in range(7, 12)]

    rendered = render([*required, *optional], NOW, {}, small(10))

    assert rendered.told == tuple(range(7))
    assert rendered.waived == tuple(range(7, 12))
    assert render([*required[:5], *optional], NOW, {}, small(10)).told == (0, 1, 2, 3, 4, 7, 8)


@pytest.mark.parametrize(("seconds", "told"), [(121, (1,)), (120, ())])
def test_an_optional_deny_is_written_while_its_credentials_have_over_120_seconds(
    seconds: int, told: tuple[int, ...]
) -> None:
    item = deny(1, [session(1)], required=False)

    rendered = render([item], item.covers_until - timedelta(seconds=seconds), {}, ROOM)

    assert rendered.told == told


def test_an_optional_deny_that_was_written_stays_until_its_end() -> None:
    item = deny(1, [session(1)], required=False, written=True)

    rendered = render([item], item.covers_until, {}, ROOM)

    assert rendered.told == (1,)


def test_a_required_deny_takes_the_room_of_one_that_was_optional() -> None:
    optional = [deny(number, [session(number)], required=False, written=True) for number in range(3)]
    required = [deny(number, [session(number)]) for number in range(3, 6)]

    rendered = render([*optional, *required], NOW, {}, small(4))

    assert set(rendered.told) > {3, 4, 5}
    assert len(rendered.left_out) == 2


# --- what happens when room runs out ---

FULL = [deny(number, [session(number)]) for number in range(8)]


def test_many_grants_of_a_subject_become_one_line_by_time_when_none_of_it_lives() -> None:
    room = small(5)

    asked = questions(FULL, NOW, room)
    rendered = render(FULL, NOW, {part(1): None}, room)

    assert asked == (None, part(1))
    assert rendered.told == tuple(range(8))
    [line] = rendered.pages[0]
    assert line.pattern == f"{part(1)}.*"
    assert line.before is not None
    assert NOW - AGES < line.before < NOW


def test_nobody_who_is_opened_from_now_on_falls_under_a_coarser_line() -> None:
    just_now = [deny(number, [session(number, ago=timedelta(seconds=2))]) for number in range(8)]

    at_once = render(just_now, NOW, {part(1): None}, small(5))
    later = render(just_now, NOW + timedelta(seconds=12), {part(1): None}, small(5))

    assert len(at_once.left_out) == 3
    assert later.left_out == ()
    assert not is_denied(session(99, ago=-timedelta(seconds=7)), later.texts)


def test_a_living_session_keeps_its_subject_from_being_coarsened() -> None:
    alive = NOW - AGES

    rendered = render(FULL, NOW, {part(1): alive, None: alive}, small(5))

    assert not is_denied(session(99), rendered.texts)
    assert len(rendered.told) == 5
    assert len(rendered.left_out) == 3


def test_of_a_subject_with_a_living_session_what_is_older_is_coarsened() -> None:
    younger = deny(9, [session(9, ago=timedelta(seconds=30))])
    alive = NOW - timedelta(minutes=5)

    rendered = render([*FULL, younger], NOW, {part(1): alive}, small(5))

    assert rendered.told == (*range(8), 9)
    assert not is_denied(session(99, ago=timedelta(minutes=5)), rendered.texts)


def test_subjects_that_cannot_share_a_time_get_two() -> None:
    old, new = timedelta(minutes=50), timedelta(minutes=5)
    denies = [
        deny(number, [session(number, subject=1 + number % 2, ago=new if number % 2 else old)]) for number in range(20)
    ]
    living = {part(1): NOW - timedelta(minutes=40), part(2): None, None: NOW - timedelta(minutes=40)}

    rendered = render(denies, NOW, living, small(9))

    assert rendered.told == tuple(range(20))
    assert {line.pattern for page in rendered.pages for line in page} == {f"{part(1)}.*", f"{part(2)}.*"}
    assert not is_denied(session(99, subject=1, ago=timedelta(minutes=40)), rendered.texts)


def test_everybodys_old_sessions_become_one_line_when_subjects_alone_do_not_help() -> None:
    denies = [deny(number, [session(number, subject=number)]) for number in range(40)]
    living: dict[str | None, datetime | None] = {
        None: NOW - timedelta(minutes=1),
        **{part(number): None for number in range(40)},
    }

    rendered = render(denies, NOW, living, small(5))

    assert rendered.told == tuple(range(40))
    assert [line.pattern for line in rendered.pages[0]] == ["*"]


def test_who_is_not_known_to_be_dead_is_never_coarsened() -> None:
    rendered = render(FULL, NOW, {}, small(5))

    assert len(rendered.told) == 5
    assert len(rendered.left_out) == 3


def test_what_covers_more_finds_room_first() -> None:
    by_actor = deny(9, [session(9, subject=9)], by="actor")

    rendered = render([*FULL, by_actor], NOW, {}, small(5))

    assert 9 in rendered.told
    assert rendered.left_out != ()


# --- shapes that are never written ---


@pytest.mark.parametrize(
    "changes",
    [
        {"pattern": "*"},
        {"pattern": "*.*.*"},
        {"pattern": f"{part(1)}.*"},
        {"pattern": f"{part(1)}*"},
        {"pattern": "A.b.c"},
        {"pattern": "a?.b.c"},
        {"pattern": "${aws:username}.b.c"},
        {"tag": DenyTag.BY},
    ],
)
def test_a_deny_of_another_shape_is_never_written(changes: dict[str, object]) -> None:
    item = SessionDeny(
        **{
            "number": 1,
            "account": "111122223333",
            "tag": DenyTag.GRANT,
            "pattern": session(1).grant_tag,
            "subject": part(1),
            "issued_before": None,
            "last_issued": NOW,
            "covers_until": NOW + AGES,
            "required": True,
            "revoke_time": NOW,
            **changes,
        }  # type: ignore[arg-type]
    )

    assert unsound([item]) == (1,)
    assert render([item], NOW, {}, ROOM).pages == (frozenset(),) * 4


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"Version":"2012-10-17","Statement":[]}',
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}',
        policy_text([Line(DenyTag.GRANT, "a.b.c")]).replace("Deny", "Allow"),
        policy_text([Line(DenyTag.GRANT, "a.b.c")]).replace(":", ": "),
    ],
)
def test_a_text_that_somebody_else_wrote_is_not_taken_for_ours(text: str) -> None:
    assert lines_of(text) is None
