"""All patterns of up to three tokens, held against each other and a list of words: no pair is left to chance."""

import random
import re
from functools import cache
from itertools import product

import pytest
from tests.property import iam_oracle as oracle

from remit_server.iam.language.automaton import BudgetError, Steps, normal, tokens, walk
from remit_server.iam.language.pattern import INTERSECTION_STEPS, Pattern, PatternTooComplex

TOKENS = "ab*?"
SHORT = ["".join(chosen) for length in range(4) for chosen in product(TOKENS, repeat=length)]
# Two patterns of three tokens that differ do so on a word of at most six letters, one of them in neither pattern.
WORDS = tuple(oracle.words(6))
LONGER = [
    "".join(random.Random(number).choices(TOKENS, k=4 + number % 3))  # noqa: S311 - reproducible draws, not secrets
    for number in range(120)
]


@cache
def language(text: str) -> int:
    """Returns the words that a pattern matches, one bit each, by the oracle's own reading."""
    return sum(1 << at for at, word in enumerate(WORDS) if oracle.glob(text, word))


@pytest.mark.parametrize("first", SHORT)
def test_inclusion_overlap_and_intersection_are_exact_for_every_pair(first: str) -> None:
    one = Pattern(first)

    for second in SHORT:
        other = Pattern(second)
        mine, theirs = language(first), language(second)
        assert one.includes(other) == (theirs & ~mine == 0), second
        assert one.overlaps(other) == (mine & theirs != 0), second
        both, parts = 0, one.intersect(other)
        assert list(parts) == sorted(parts, key=lambda part: part.text), second
        assert not any(each.includes(more) for each in parts for more in parts if each is not more), second
        for each in parts:
            both |= language(each.text)
            assert one.includes(each), (second, each)
            assert other.includes(each), (second, each)
        assert both == mine & theirs, second


def test_longer_patterns_are_never_said_to_hold_or_to_miss_what_they_do_not() -> None:
    for first, second in product(LONGER, LONGER):
        one, other = Pattern(first), Pattern(second)
        if one.includes(other):
            assert language(second) & ~language(first) == 0, (first, second)
        if language(first) & language(second):
            assert one.overlaps(other), (first, second)


@pytest.mark.parametrize("text", SHORT)
def test_a_pattern_matches_its_words_and_no_other(text: str) -> None:
    pattern = Pattern(text)

    found = sum(1 << at for at, word in enumerate(WORDS) if pattern.matches(word))

    assert found == language(text)
    assert found == sum(1 << at for at, word in enumerate(WORDS) if pattern.machine.accepts(word))


def test_a_run_of_wildcards_has_one_spelling() -> None:
    def spelled(text: str) -> str:
        return re.sub(r"[*?]+", lambda run: "?" * run[0].count("?") + "*" * ("*" in run[0]), text)

    for length in range(6):
        for chosen in product("a*?", repeat=length):
            assert normal("".join(chosen)) == spelled("".join(chosen))
    assert normal("**${a**b}*?") == "*${a**b}?*"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a*?", ["a", "*", "?"]),
        ("${a}", ["${a}"]),
        ("x${a}b}${c*}?", ["x", "${a}", "b", "}", "${c*}", "?"]),
        ("${}$", ["${}", "$"]),
        ("}{$", ["}", "{", "$"]),
    ],
)
def test_a_policy_variable_is_one_token_and_ends_at_its_first_brace(text: str, parts: list[str]) -> None:
    assert list(tokens(text)) == parts


@pytest.mark.parametrize("text", ["${", "a${b", "${a}${", "$${"])
def test_a_policy_variable_that_is_not_closed_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not closed"):
        list(tokens(text))


@pytest.mark.parametrize("number", range(40))
def test_a_walk_shows_each_way_to_meet_the_others_once_by_a_text_that_meets_them_so(number: int) -> None:
    chance = random.Random(number)  # noqa: S311 - reproducible draws, not secrets
    base, *others = chance.sample(SHORT + LONGER[:40], chance.randint(2, 4))
    machines = [Pattern(text).machine for text in others]

    found = {seen: text for text, seen in walk(Pattern(base).machine, machines, Steps(10_000))}

    assert len(found) == sum(1 for _ in walk(Pattern(base).machine, machines, Steps(10_000)))
    for seen, text in found.items():
        assert oracle.glob(base, text)
        assert seen == sum(oracle.glob(other, text) << at for at, other in enumerate(others))
    ways = {
        sum((language(other) >> at & 1) << bit for bit, other in enumerate(others))
        for at in range(len(WORDS))
        if language(base) >> at & 1
    }
    assert ways <= set(found)


def test_a_walk_names_a_letter_that_no_pattern_names() -> None:
    named = "xyz0123456789abcdefghijklmnopqrstuvw-_./XYZABCDEFGHIJKLMNOPQRSTUVW+=@,;!%&()~^#|<>[]{}'\"\\ :$"

    near = {seen: text for text, seen in walk(Pattern("?").machine, [Pattern("x").machine], Steps(100))}
    far = [text for text, _ in walk(Pattern("?*").machine, [Pattern(named).machine], Steps(20_000))]

    assert near == {1: "x", 0: "y"}
    assert far[0] not in named


@pytest.mark.parametrize(
    ("text", "widest"), [("a${x}b", "a*b"), ("${x}", "*"), ("?${x}${y}?", "??*"), ("a*b", "a*b"), ("a", "a")]
)
def test_a_variable_may_be_anything_and_the_rest_stays(text: str, widest: str) -> None:
    assert Pattern(text).widened() == Pattern(widest)


@pytest.mark.parametrize(
    ("first", "second", "meets"),
    [("a${x}", "a", True), ("a${x}", "b*", False), ("a${x}", "?b", True), ("${x}", "a", True), ("a${x}b", "*c", False)],
)
def test_a_pattern_with_a_variable_matches_no_text_and_meets_what_it_may_mean(
    first: str, second: str, meets: bool
) -> None:
    one, other = Pattern(first), Pattern(second)

    assert one.overlaps(other) is meets
    assert other.overlaps(one) is meets
    assert not one.matches(first)
    assert not one.matches("a")
    if meets:
        for left, right in ((one, other), (other, one)):
            with pytest.raises(PatternTooComplex, match="variables"):
                left.intersect(right)
    else:
        assert one.intersect(other) == ()


@pytest.mark.parametrize(
    ("first", "second", "parts", "count"),
    [
        ("*a*b*", "*b*a*", 2, 88),
        ("?*a", "b*?", 2, 18),
        ("*a*b*c*d*", "*d*c*b*a*", 20, 1863),
        ("*" + "ab?" * 12 + "*", "*b*c", 2, 1019),
    ],
)
def test_an_intersection_counts_the_same_in_every_process(first: str, second: str, parts: int, count: int) -> None:
    steps = Steps(INTERSECTION_STEPS)

    found = Pattern(first).intersect(Pattern(second), steps)

    assert (len(found), steps.spent) == (parts, count)


@pytest.mark.parametrize("left", [0, 1])
def test_an_intersection_takes_its_last_step_and_none_beyond(left: int) -> None:
    one, other, enough = Pattern("*a*b*"), Pattern("*b*a*"), Steps(INTERSECTION_STEPS)
    one.intersect(other, enough)

    short = Steps(enough.spent - 1 + left)
    if left:
        one.intersect(other, short)
        assert short.left == 0
    else:
        with pytest.raises(BudgetError):
            one.intersect(other, short)


def test_an_intersection_of_too_many_parts_or_steps_is_refused_by_name() -> None:
    with pytest.raises(PatternTooComplex, match="too many parts"):
        Pattern("*a*b*c*d*e*").intersect(Pattern("*f*g*h*i*j*"))
    with pytest.raises(PatternTooComplex, match="too many steps"):
        Pattern("*" + "?a" * 100 + "*").intersect(Pattern("*" + "b?" * 110 + "*"))


def test_steps_are_taken_to_the_last_one_and_no_further() -> None:
    steps = Steps(3, "tries")
    steps.take()
    steps.take(2)

    assert (steps.left, steps.spent) == (0, 3)
    with pytest.raises(BudgetError, match="more than 3 tries"):
        steps.take()

    started = Steps(1_000)
    with pytest.raises(BudgetError, match="more than 1,000 steps"):
        started.take(1_001)
    assert (started.left, started.spent) == (0, 1_000)
