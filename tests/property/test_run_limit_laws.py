"""A pattern within a run's limit matches nothing that the limit does not."""

import re

from hypothesis import given
from hypothesis import strategies as st

import remit
from remit.frameworks.core.limits import check_within

ARN = "arn:aws:s3:::b/"
patterns = st.text("ab*?", max_size=6)
names = st.text("abc", max_size=6)


def matches(pattern: str, name: str) -> bool:
    """Matches as IAM does, told in another way than the code under test does."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(matches(pattern[1:], name[at:]) for at in range(len(name) + 1))
    return bool(name) and pattern[0] in {"?", name[0]} and matches(pattern[1:], name[1:])


def is_within(asked: str, limit: str) -> bool:
    """Says whether a run with this limit may ask for that."""
    try:
        check_within([remit.Permission("s3:GetObject", ARN + asked)], [remit.Permission("s3:*", ARN + limit)])
    except remit.Refused:
        return False
    return True


@st.composite
def filled(draw: st.DrawFn, pattern: str, filling: st.SearchStrategy[str]) -> str:
    """Returns the pattern with something in place of each wildcard: one character for a `?`."""
    with_more = re.sub(r"\*", lambda _: draw(filling), pattern)
    return re.sub(r"\?", lambda _: draw(st.sampled_from("ab?")), with_more)


@given(st.data(), patterns)
def test_what_is_within_a_limit_matches_no_more_than_the_limit(data: st.DataObject, limit: str) -> None:
    asked = data.draw(st.one_of(patterns, filled(limit, patterns)))
    name = data.draw(filled(asked, names)).replace("?", "c")

    assert not is_within(asked, limit) or matches(limit, name)


@given(patterns)
def test_a_limit_holds_itself_and_every_name_that_it_matches(limit: str) -> None:
    literal = re.sub(r"[*?]", "a", limit)

    assert is_within(limit, limit)
    assert is_within(literal, limit)
