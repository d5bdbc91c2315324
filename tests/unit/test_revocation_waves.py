"""In which order policies are written: who is denied before and after is denied in between, too."""

import itertools
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from remit_server.application.revocation.lines import Line
from remit_server.application.revocation.waves import waves
from remit_server.domain.revocation import DenyTag

A, B, C = (Line(DenyTag.GRANT, f"s.t.{name}") for name in "abc")
TASK = Line(DenyTag.GRANT, "s.t.*")
Pages = tuple[frozenset[Line], ...]


def pages(*lines: set[Line]) -> Pages:
    return tuple(map(frozenset, lines))


def moments(current: Pages, target: Pages) -> Iterator[frozenset[Line]]:
    """Yields what is denied at every moment, whichever writes of a wave take effect first."""
    present = list(current)
    for wave in waves(current, target):
        for size in range(len(wave) + 1):
            for done in itertools.combinations(wave, size):
                now = [target[place] if place in done else present[place] for place in range(len(present))]
                yield frozenset[Line]().union(*now)
        for place in wave:
            present[place] = target[place]
    assert tuple(present) == target


def denied(line: Line, by: frozenset[Line]) -> bool:
    return any(other.denies_all_of_line(line) for other in by)


def test_what_only_grows_is_written_in_one_wave() -> None:
    assert list(waves(pages({A}, set(), {B}), pages({A, C}, {A}, {B}))) == [(0, 1)]


def test_a_line_that_moves_is_written_where_it_goes_first() -> None:
    assert list(waves(pages({A}, set()), pages(set(), {A}))) == [(1,), (0,)]
    assert list(waves(pages(set(), {A}), pages({A}, set()))) == [(0,), (1,)]


def test_a_line_that_a_wider_one_elsewhere_replaces_goes_after_it_is_there() -> None:
    assert list(waves(pages({A, B}, set()), pages(set(), {TASK}))) == [(1,), (0,)]


def test_a_line_that_is_over_goes_at_once() -> None:
    assert list(waves(pages({A}, {B}), pages(set(), {B}))) == [(0,)]


def test_two_policies_that_exchange_lines_are_both_written() -> None:
    assert list(itertools.chain(*waves(pages({A}, {B}), pages({B}, {A})))) == [0, 1]


@st.composite
def moves(draw: st.DrawFn) -> tuple[Pages, Pages]:
    """Draws pages whose lines stay, come, go, or move to a later page: none are exchanged."""
    current, target = [set[Line]() for _ in range(4)], [set[Line]() for _ in range(4)]
    for number in range(draw(st.integers(0, 12))):
        line = Line(DenyTag.GRANT, f"s.t{number}.g")
        was = draw(st.one_of(st.none(), st.integers(0, 3)))
        becomes = draw(st.one_of(st.none(), st.integers(was or 0, 3)))
        if was is not None:
            current[was].add(line)
        if becomes is not None:
            target[becomes].add(line)
    return pages(*current), pages(*target)


@settings(max_examples=150, deadline=None)
@given(moves())
def test_whoever_is_denied_before_and_after_is_denied_at_every_moment(given_: tuple[Pages, Pages]) -> None:
    current, target = given_
    before, after = frozenset[Line]().union(*current), frozenset[Line]().union(*target)

    for now in moments(current, target):
        assert all(denied(line, now) for line in before & after)
