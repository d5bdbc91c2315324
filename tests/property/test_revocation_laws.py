"""Whatever is revoked, and however little room there is: who is to be refused is, and nobody else."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fake_outbox import MARK
from tests.revocation_world import NOW, Session, deny, is_denied, part

from remit_server.application.revocation.lines import Line
from remit_server.application.revocation.placing import CANARY_ROOM, Room
from remit_server.application.revocation.rendering import Rendered, questions, render
from remit_server.application.revocation.texts import lines_of, mark_of
from remit_server.domain.revocation import DenyTag, SessionDeny
from remit_server.iam import Document, ExplicitDeny, Policies, Request, evaluate

SLACK = timedelta(seconds=5)  # what AWS's clock may differ
WIDE = Room()


@dataclass(frozen=True, slots=True)
class World:
    """Sessions, those that are revoked and by which denies, and how much room there is for that."""

    sessions: tuple[Session, ...]
    revoked: frozenset[Session]
    denies: tuple[SessionDeny, ...]
    room: Room

    def living(self, subject: str | None) -> list[Session]:
        return [
            session
            for session in self.sessions
            if session not in self.revoked and subject in {None, part(session.subject)}
        ]

    def rendered(self) -> Rendered:
        asked = {
            subject: min((session.opened for session in self.living(subject)), default=None)
            for subject in questions(self.denies, NOW, self.room)
        }
        return render(self.denies, NOW, asked, self.room)


def same(by: str, one: Session, other: Session) -> bool:
    names = {"grant": ("subject", "task", "grant"), "task": ("subject", "task")}.get(by, (by,))
    return all(getattr(one, name) == getattr(other, name) for name in names)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    small = st.integers(0, 3)
    sessions = draw(
        st.lists(
            st.builds(
                Session,
                subject=small,
                task=small,
                grant=st.integers(0, 40),
                opened=st.integers(1, 3_000).map(lambda ago: NOW - timedelta(seconds=ago)),
                actor=small,
                revision=small,
            ),
            min_size=1,
            max_size=50,
            unique_by=lambda session: (session.subject, session.task, session.grant),
        )
    )
    wishes = draw(
        st.lists(
            st.tuples(
                st.sampled_from(sessions),
                st.sampled_from(["grant", "grant", "grant", "task", "subject", "actor", "revision"]),
                st.booleans(),
                st.booleans(),
                st.integers(0, 1_500),
            ),
            max_size=50,
        )
    )
    revoked: set[Session] = set()
    denies = []
    for number, (session, by, required, written, ago) in enumerate(wishes):
        at = NOW - timedelta(seconds=ago)
        hit = [other for other in sessions if same(by, session, other)]
        if by not in {"grant", "task"}:
            hit = [other for other in hit if other.opened < at - SLACK]
        if hit:
            revoked.update(hit)
            denies.append(deny(number, hit, by=by, required=required, written=written, at=at))
    room = draw(st.sampled_from([WIDE, Room(2, 700 + CANARY_ROOM), Room(1, 600 + CANARY_ROOM), Room(4, 1_500)]))
    return World(tuple(sessions), frozenset(revoked), tuple(denies), room)


def hit_by(deny_: SessionDeny, session: Session) -> bool:
    """Says whether the deny as it stands means the session, by AWS's clock however it runs within the slack."""
    begins, _, ends = deny_.pattern.partition("*")
    tag = session.grant_tag if deny_.tag == "remit:grant" else session.by_tag
    alike = tag == deny_.pattern or ("*" in deny_.pattern and tag.startswith(begins) and tag.endswith(ends))
    return alike and (deny_.issued_before is None or session.opened - SLACK < deny_.issued_before)


@settings(max_examples=120, deadline=None)
@given(worlds())
def test_every_session_of_a_deny_that_is_told_is_refused(world: World) -> None:
    rendered = world.rendered()

    told = [item for item in world.denies if item.number in rendered.told]
    for item in told:
        for session in world.sessions:
            if hit_by(item, session) and session.opened <= item.last_issued:
                in_time = item.issued_before is None or session.opened < item.issued_before
                assert not in_time or is_denied(session, rendered.texts)


@settings(max_examples=120, deadline=None)
@given(worlds(), st.sampled_from([-SLACK, timedelta(), SLACK]))
def test_nobody_is_refused_whom_no_deny_means(world: World, ahead: timedelta) -> None:
    rendered = world.rendered()

    for session in world.sessions:
        if not any(hit_by(item, session) for item in world.denies):
            assert not is_denied(session, rendered.texts, opened=session.opened + ahead)


@settings(max_examples=60, deadline=None)
@given(worlds(), st.integers(0, 3), st.integers(0, 3))
def test_the_next_login_of_everybody_lives(world: World, subject: int, actor: int) -> None:
    later = Session(subject, task=999, grant=999, opened=NOW - SLACK, actor=actor, revision=9)

    rendered = world.rendered()

    if not any(hit_by(item, later) for item in world.denies):
        assert not is_denied(later, rendered.texts)


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_each_deny_is_told_left_out_or_waived_and_only_optional_ones_are_waived(world: World) -> None:
    rendered = world.rendered()

    numbers = sorted([*rendered.told, *rendered.left_out, *rendered.waived])
    assert numbers == sorted(item.number for item in world.denies if item.covers_until >= NOW)
    must = {item.number for item in world.denies if item.required or item.written}
    assert must.isdisjoint(rendered.waived)
    assert must.issuperset(rendered.left_out)
    if world.room == WIDE:
        assert rendered.left_out == ()


@settings(max_examples=60, deadline=None)
@given(worlds(), st.randoms(use_true_random=False))
def test_the_texts_do_not_depend_on_the_order_of_the_denies(world: World, chance: random.Random) -> None:
    shuffled = list(world.denies)
    chance.shuffle(shuffled)

    again = World(world.sessions, world.revoked, tuple(shuffled), world.room).rendered()

    assert again == world.rendered()


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_no_text_is_too_long_even_with_a_canary(world: World) -> None:
    rendered = world.rendered()

    assert all(len(text) <= world.room.characters - CANARY_ROOM for text in rendered.texts)
    canaries = [Line(DenyTag.GRANT, f"canary.canary.{part(0)}")] * len(rendered.pages)
    fullest = replace(rendered, mark=MARK).with_canaries(canaries).texts
    assert all(len(text) <= world.room.characters for text in fullest)
    assert not any(character.isspace() for text in rendered.texts for character in text)


@settings(max_examples=40, deadline=None)
@given(worlds())
def test_texts_are_read_back_as_the_lines_they_were_made_of(world: World) -> None:
    rendered = world.rendered()

    assert tuple(map(lines_of, rendered.texts)) == rendered.pages


@settings(max_examples=40, deadline=None)
@given(worlds())
def test_the_ledgers_mark_is_read_back_and_changes_nothing_of_what_is_denied(world: World) -> None:
    plain = world.rendered()

    marked = replace(plain, mark=MARK)

    assert {mark_of(text) for text in plain.texts} == {""}
    assert {mark_of(text) for text in marked.texts} == {MARK}
    assert tuple(map(lines_of, marked.texts)) == marked.pages
    documents = [Document.parse(text) for text in marked.texts]
    for session in world.sessions:
        assert refused_by_evaluation(documents, session) is is_denied(session, plain.texts)


def contexts(session: Session) -> dict[str, str | tuple[str, ...]]:
    opened = session.opened.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "aws:PrincipalTag/remit:grant": session.grant_tag,
        "aws:PrincipalTag/remit:by": session.by_tag,
        "aws:TokenIssueTime": opened,
    }


def refused_by_evaluation(documents: Sequence[Document], session: Session) -> bool:
    request = Request("s3:GetObject", "arn:aws:s3:::reports/x", contexts(session))
    return isinstance(evaluate(Policies(identity=tuple(documents)), request), ExplicitDeny)


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_our_own_evaluation_of_iam_reads_the_texts_alike(world: World) -> None:
    rendered = world.rendered()

    documents = [Document.parse(text) for text in rendered.texts]
    for session in world.sessions:
        assert refused_by_evaluation(documents, session) is is_denied(session, rendered.texts)
