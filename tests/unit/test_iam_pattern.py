"""Hand-judged wildcard cases; each row carries the reason for its verdict."""

import pytest

from remit_server.iam.language.arn import ActionPattern, MalformedPattern, ResourcePattern
from remit_server.iam.language.pattern import Pattern, PatternTooComplex


@pytest.mark.parametrize(
    ("pattern", "text", "matched", "reason"),
    [
        ("", "", True, "nothing is nothing"),
        ("", "a", False, "nothing is not something"),
        ("*", "", True, "a star may be empty"),
        ("?", "", False, "a question mark is exactly one character"),
        ("?", "ab", False, "and not two"),
        ("a*b", "ab", True, "an empty star between"),
        ("a*b", "aXbYb", True, "the star runs over an earlier end"),
        ("a*b", "abc", False, "the whole text counts, not its start"),
        ("*a?", "aab", True, "the last a but one"),
        ("[ab]", "a", False, "brackets are plain characters to AWS"),
        ("[ab]", "[ab]", True, "and match themselves"),
        ("a.c", "abc", False, "a dot is no wildcard"),
        ("a|b", "a", False, "nor is a bar an alternative"),
        ("a", "A", False, "patterns themselves keep case"),
        ("?", "\U0001f600", True, "one character outside the basic plane is one"),
    ],
)
def test_a_pattern_matches_whole_texts_only(pattern: str, text: str, matched: bool, reason: str) -> None:
    assert Pattern(pattern).matches(text) is matched, reason


@pytest.mark.parametrize(
    ("wide", "narrow", "included", "reason"),
    [
        ("*", "", True, "star holds the empty text"),
        ("*", "?*a?", True, "star holds everything"),
        ("?*", "*?", True, "two spellings of: at least one"),
        ("*?*", "?", True, "a third spelling"),
        ("?*", "*", False, "the empty text is missing"),
        ("a*", "a?*", True, "the question mark lies inside the star"),
        ("a?", "a*", False, "star is more than one character"),
        ("?*a*", "*?a", True, "the wildcards of both fall on each other"),
        ("*a*", "?a?", True, "stars of the wide side hold the marks"),
        ("a*c", "a*b*c", True, "an inner star holds b and its neighbours"),
        ("a*b*c", "a*c", False, "b is not always there"),
        ("*ab*", "*a*b*", False, "something may stand between a and b"),
        ("reports/*", "reports/2026/*", True, "a longer prefix is narrower"),
        ("reports/2026/*", "reports/*", False, "a shorter prefix is wider"),
        ("reports/*", "reports*", False, "reports-secret starts with reports too"),
        ("??", "?*?", False, "star between means two or more"),
        ("abc", "ab?", False, "a mark is more than the c"),
        ("*a" + "?" * 20, "*a" + "?" * 20, True, "equal texts need no search"),
    ],
)
def test_inclusion_compares_languages_not_spellings(wide: str, narrow: str, included: bool, reason: str) -> None:
    assert Pattern(wide).includes(Pattern(narrow)) is included, reason


@pytest.mark.parametrize(
    ("left", "right", "met", "reason"),
    [
        ("a*", "*b", True, "ab is both"),
        ("a*", "b*", False, "the first letters differ"),
        ("*a", "*b", False, "the last letters differ"),
        ("a?c", "ab*", True, "abc is both"),
        ("?", "??", False, "the lengths differ"),
        ("*a*", "*b*", True, "ab is both"),
        ("ab", "a*b*", True, "a literal inside a pattern"),
        ("", "*", True, "the empty text is both"),
        ("", "?*", False, "at least one character is not none"),
        ("a" * 30 + "*b", "a*" + "c" * 30, False, "the ends differ however long"),
    ],
)
def test_overlap_finds_a_common_text_if_there_is_one(left: str, right: str, met: bool, reason: str) -> None:
    assert Pattern(left).overlaps(Pattern(right)) is met, reason
    assert Pattern(right).overlaps(Pattern(left)) is met, reason


@pytest.mark.parametrize(
    ("left", "right", "both"),
    [
        ("ab*", "*bc", {"ab*bc", "abc"}),
        ("a*", "*b", {"a*b"}),
        ("a?", "?b", {"ab"}),
        ("a*", "b*", set()),
        ("a*", "ab", {"ab"}),
        ("*a*", "*b*", {"*a*b*", "*b*a*"}),
    ],
)
def test_an_intersection_is_the_exact_union_of_its_patterns(left: str, right: str, both: set[str]) -> None:
    assert {each.text for each in Pattern(left).intersect(Pattern(right))} == both


def test_an_intersection_with_too_many_parts_is_refused_by_name() -> None:
    left = Pattern("".join(f"*{letter}" for letter in "abcdefgh") + "*")
    right = Pattern("".join(f"*{letter}" for letter in "stuvwxyz") + "*")

    with pytest.raises(PatternTooComplex):
        left.intersect(right)


def test_a_long_literal_head_costs_no_intersection_steps() -> None:
    head = "x" * 600

    both = Pattern(head + "a*").intersect(Pattern(head + "*b"))

    assert {each.text for each in both} == {head + "a*b"}


@pytest.mark.parametrize(
    ("left", "right", "includes", "overlaps", "reason"),
    [
        ("${aws:username}", "${aws:username}", True, True, "equal to itself"),
        ("${aws:username}", "${aws:userid}", False, True, "two variables may have one value, or not"),
        ("*", "${aws:username}", True, True, "star holds every value"),
        ("home/*", "home/${aws:username}/x", True, True, "the prefix is fixed, the star holds the value"),
        ("????", "${a}", False, True, "the value may have any length"),
        ("${aws:username}", "alice", False, True, "who knows whether the name is alice"),
        ("home/${aws:username}", "home/${aws:username}/x", False, True, "a value may hold a slash"),
        ("${*}", "a", False, True, "an escape is opaque too"),
        ("home/${aws:username}", "team/x", False, False, "the fixed heads already differ"),
    ],
)
def test_a_policy_variable_is_equal_only_to_itself(
    left: str, right: str, includes: bool, overlaps: bool, reason: str
) -> None:
    assert Pattern(left).includes(Pattern(right)) is includes, reason
    assert Pattern(left).overlaps(Pattern(right)) is overlaps, reason


def test_a_pattern_with_a_variable_matches_no_text_until_widened() -> None:
    pattern = Pattern("home/${aws:username}/*")

    assert not pattern.matches("home/${aws:username}/x")
    assert pattern.widened().matches("home/alice/x")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("s3", "no name"),
        ("s3:", "an empty name"),
        (":GetObject", "an empty service"),
        ("*:*", "a wildcard service"),
        ("s3*", "a wildcard service without a colon"),
        ("s?:GetObject", "a wildcard in the service"),
        ("**", "only one star stands for all"),
        ("s3:Get Object", "a space inside"),
        (" s3:GetObject", "a space before"),
        ("s3:GetObject ", "a space after"),
        ("s3:GetObject\n", "a line end after"),
        ("s3:Get,s3:Put", "two actions in one text"),
        ("s3:[ab]", "brackets"),
        ("s3:Get:Object", "two colons"),
        ("\u017f3:GetObject", "U+017F folds to s"),
        ("\u212ams:Decrypt", "U+212A folds to k"),
        ("s3:Get\u0000", "a control character"),
        ("s3:${aws:username}", "a policy variable"),
        ("s3:" + "a" * 200, "longer than any action"),
        ("", "nothing"),
    ],
)
def test_an_action_outside_the_grammar_is_refused(text: str, reason: str) -> None:
    with pytest.raises(MalformedPattern):
        ActionPattern.parse(text)

    assert reason


def test_actions_compare_without_case_and_print_as_written() -> None:
    written = ActionPattern.parse("S3:GETObject")

    assert written == ActionPattern.parse("s3:getobject")
    assert str(written) == "S3:GETObject"
    assert ActionPattern.parse("s3:Get*").includes(written)
    assert written.matches("s3:GetObject")


@pytest.mark.parametrize("action", ["\u017f3:GetObject", "s3:GetObject\u212a", "s3", ""])
def test_a_concrete_action_with_a_homoglyph_is_none_of_ours(action: str) -> None:
    assert not ActionPattern.parse("s3:*").matches(action)
    assert ActionPattern.parse("*").matches(action)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("arn:aws:s3", "a short ARN: AWS fills the rest with wildcards"),
        ("arn:aws:s3:::", "an empty sixth segment"),
        ("arn:aws:s3::reports", "five segments"),
        ("arn:*:s3:::reports", "a wildcard partition"),
        ("arn:aws:*:::reports", "a wildcard service"),
        ("arn:aws:s?:::reports", "a mark in the service"),
        ("arn::s3:::reports", "an empty partition"),
        ("arn:aws:s3:us-*::reports", "a partial wildcard in the region"),
        ("arn:aws:s3::12?4:reports", "a mark in the account"),
        ("ARN:aws:s3:::reports", "the prefix is lower case"),
        ("reports/*", "no ARN"),
        ("**", "only one star stands for all"),
        ("arn:aws:s3:::reports/ ", "a space after"),
        (" arn:aws:s3:::reports", "a space before"),
        ("arn:aws:s3:::re\tports", "a tab inside"),
        ("arn:aws:s3:::r\u00e9ports", "outside ASCII"),
        ("arn:aws:s3:::${aws:username}/*", "a variable nobody of the team authored"),
        ("arn:aws:s3:::${*}", "an escaped star"),
        ("arn:aws:s3:::" + "a" * 2000, "longer than any policy"),
        ("", "nothing"),
    ],
)
def test_a_resource_outside_the_grammar_is_refused(text: str, reason: str) -> None:
    with pytest.raises(MalformedPattern):
        ResourcePattern.parse(text)

    assert reason


@pytest.mark.parametrize("text", ["arn:aws:s3:::${aws:username", "arn:aws:s3:${aws:r}::x", "arn:${aws:x}:s3:::x"])
def test_an_authored_variable_must_be_closed_and_stand_in_the_sixth_segment(text: str) -> None:
    with pytest.raises(MalformedPattern):
        ResourcePattern.parse(text, authored=True)


@pytest.mark.parametrize(
    ("wide", "narrow", "included", "reason"),
    [
        ("*", "arn:aws:s3:::a", True, "star is every resource"),
        ("arn:aws:s3:::*", "*", False, "star is other services too, and the resource of actions that name none"),
        ("arn:aws:s3:::a*", "arn:aws:s3:::ab/*", True, "a longer name"),
        ("arn:aws:sqs:*:1:q", "arn:aws:sqs:eu-west-1:1:q", True, "a region inside all regions"),
        ("arn:aws:sqs:eu-west-1:1:q", "arn:aws:sqs:*:1:q", False, "all regions inside one"),
        ("arn:aws:sqs::1:q", "arn:aws:sqs:eu-west-1:1:q", False, "an empty region is not every region"),
        ("arn:aws:s3:::a", "arn:aws-cn:s3:::a", False, "another partition"),
        ("arn:aws:logs:*:*:x", "arn:aws:logs:r:1:y:x", False, "the star of a region ends at its colon"),
        ("arn:aws:s3:::[ab]", "arn:aws:s3:::a", False, "brackets are plain characters"),
        ("arn:aws:s3:::A", "arn:aws:s3:::a", False, "resources keep case"),
    ],
)
def test_resource_inclusion_goes_segment_by_segment(wide: str, narrow: str, included: bool, reason: str) -> None:
    assert ResourcePattern.parse(wide).includes(ResourcePattern.parse(narrow)) is included, reason


@pytest.mark.parametrize(
    ("left", "right", "met", "reason"),
    [
        ("arn:aws:s3:::a*", "arn:aws:s3:::*b", True, "ab"),
        ("arn:aws:s3:::a", "arn:aws:sqs:::a", False, "different services"),
        ("arn:aws:sqs:r:*:q", "arn:aws:sqs:*:1:q", True, "each star meets the other's name"),
        ("*", "arn:aws:s3:::a", True, "star meets all"),
        (
            "arn:aws:s3:*:*:data",
            "arn:aws:s3:::secret/*",
            True,
            "a region that runs over colons reaches secret/x:y:data",
        ),
        ("arn:aws:s3:::data", "arn:aws:s3:::secret/*", False, "without such a region nothing can run over"),
    ],
)
def test_resource_overlap_counts_either_reading_of_a_star(left: str, right: str, met: bool, reason: str) -> None:
    assert ResourcePattern.parse(left).overlaps(ResourcePattern.parse(right)) is met, reason
    assert ResourcePattern.parse(right).overlaps(ResourcePattern.parse(left)) is met, reason


def test_a_concrete_resource_has_six_segments_or_is_the_star() -> None:
    everything, bucket = ResourcePattern.parse("*"), ResourcePattern.parse("arn:aws:s3:::*")

    assert everything.matches("*")
    assert not bucket.matches("*")
    assert not bucket.matches("arn:aws:s3")
    assert bucket.matches("arn:aws:s3:::a:b:c")


def test_an_intersection_of_resources_takes_the_named_segments() -> None:
    left, right = ResourcePattern.parse("arn:aws:sqs:*:1:a*"), ResourcePattern.parse("arn:aws:sqs:r:*:*b")

    assert [each.text for each in left.intersect(right)] == ["arn:aws:sqs:r:1:a*b"]


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [("?", "${aws:x}"), ("a?", "a${aws:x}"), ("a?*", "a${aws:x}"), ("${aws:x}?", "${aws:x}${aws:y}")],
)
def test_a_policy_variable_is_never_taken_for_a_single_character(wide: str, narrow: str) -> None:
    assert not Pattern(wide).includes(Pattern(narrow))
