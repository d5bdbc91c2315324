"""Builtins that the embedded engine computes as OPA does, held to the real OPA where there is one."""

import random

import pytest
from tests.real_opa import opa_answers

from remit_server.adapters.rego.builtins import glob_match, lower, regex_match

GLOBS: list[tuple[str, list[str] | None, str, bool]] = [
    ("a:*", [":"], "a:b", True),
    ("a:*", [":"], "a:b:c", False),
    ("a:**", [":"], "a:b:c", True),
    ("*.example", [], "a.example", True),
    ("*.example", [], "a.b.example", False),
    ("*.example", None, "a.b.example", True),
    ("a?c", ["/"], "abc", True),
    ("a?c", ["/"], "a/c", False),
    ("a/*", ["/"], "a/", True),
    ("a/*", ["/"], "a", False),
    ("", None, "", True),
    ("", None, "a", False),
    ("a", None, "ab", False),
    ("a", None, "ba", False),
    ("*", None, "two\nlines", True),
    ("{a,b}c", None, "bc", True),
    ("{a,b}c", None, "cc", False),
    ("{a,}c", None, "c", True),
    ("{a,{b,c}*}", None, "cd", True),
    ("a,b", None, "a,b", True),
    ("a}b", None, "a}b", True),
    ("[abc]", None, "b", True),
    ("[!abc]", None, "b", False),
    ("[a-c]x", None, "bx", True),
    ("[!a-c]x", None, "dx", True),
    ("[^a]", None, "^", True),
    (r"a\*b", None, "a*b", True),
    (r"a\*b", None, "axb", False),
    (r"\d", None, "5", False),
    ("a.b", None, "axb", False),
    ("a+(b)", None, "a+(b)", True),
    ("é?", None, "éà", True),
    ("***", ["/"], "a/b", True),
]


@pytest.mark.parametrize(("pattern", "delimiters", "value", "expected"), GLOBS)
def test_a_glob_matches_as_opa_has_it(pattern: str, delimiters: list[str] | None, value: str, expected: bool) -> None:
    assert glob_match(pattern, delimiters, value) is expected


def test_globs_are_equal_to_the_real_opa_s() -> None:
    chance = random.Random(20261123)  # noqa: S311 - the same cases at every run
    made = [
        (
            "".join(chance.choices(["a", "b", ":", "/", ".", "*", "?", "{a,b}", "[ab]", "[!a]", "[a-b]", "\\*"], k=4)),
            chance.choice([None, [], [":"], ["/", ":"]]),
            "".join(chance.choices("ab:/.*", k=chance.randint(0, 5))),
        )
        for _ in range(600)
    ]
    cases = [(pattern, delimiters, value) for pattern, delimiters, value, _ in GLOBS] + made

    real = opa_answers("glob.match(c[0], c[1], c[2])", cases)

    assert [glob_match(*case) for case in cases] == real


@pytest.mark.parametrize("pattern", ["{a", "[a", "[", "[]", "a\\", "[a-", "[b-a]", "[!]", r"[\]]", "{[}", "a" * 5000])
def test_what_is_no_glob_ends_the_evaluation(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"glob|class"):
        glob_match(pattern, None, "a")


@pytest.mark.parametrize("delimiters", ["/", 7, ["//"], [""], [1], True, {"/": 1}])
def test_odd_delimiters_end_the_evaluation(delimiters: object) -> None:
    with pytest.raises(ValueError, match="delimiter"):
        glob_match("a", delimiters, "a")


REGEXES = [
    ("^a$", "a", True),
    ("a", "bab", True),
    (r"^\d+$", "123", True),
    (r"^\d+$", "١٢٣", False),
    (r"^\w+$", "é", False),
    (r"^\s$", "\u00a0", False),
    ("(?i)^k$", "\u212a", True),
    ("^.$", "\n", False),
    ("a|^b", "xb", False),
    (r"\pL", "é", True),
    ("^$", "", True),
]


@pytest.mark.parametrize(("pattern", "value", "expected"), REGEXES)
def test_a_regex_matches_as_re2_has_it(pattern: str, value: str, expected: bool) -> None:
    assert regex_match(pattern, value) is expected


def test_regexes_are_equal_to_the_real_opa_s() -> None:
    cases = [(pattern, value) for pattern, value, _ in REGEXES]

    assert [regex_match(*case) for case in cases] == opa_answers("regex.match(c[0], c[1])", cases)


@pytest.mark.parametrize("pattern", ["(", "a{2000}", r"(?=a)", r"(a)\1", r"\C", "a" * 5000, 7, None])
def test_what_is_no_re2_pattern_ends_the_evaluation(pattern: object) -> None:
    with pytest.raises(ValueError, match=r"pattern|expression"):
        regex_match(pattern, "a")


def test_a_pattern_that_explodes_elsewhere_is_linear_here() -> None:
    assert regex_match("^(a+)+$", "a" * 5000 + "b") is False


def test_lower_case_is_equal_to_the_real_opa_s() -> None:
    texts = ["S3:GetObject", "ÀÉ", "İ", "ΑΣ", "\u212a\u017f", "ẞ", "ǅ", "日本", "", "\U00010400", "\u1e9e\u03f4"]

    assert [lower(text) for text in texts] == opa_answers("lower(c)", texts)


@pytest.mark.parametrize("value", [7, None, ["A"], True])
def test_lower_case_of_what_is_no_text_ends_the_evaluation(value: object) -> None:
    with pytest.raises(ValueError, match="string"):
        lower(value)
