"""Edges of what conditions imply: each is here because a mutant of the code survived without it."""

from typing import Any

import pytest

from remit_server.iam import Condition, Counterexample, Document, contains
from remit_server.iam.containment.implication import implies
from remit_server.iam.containment.values import known_lies_in

LONG = [f"{number:016}" for number in range(101)]


@pytest.mark.parametrize(
    ("operator", "values", "other", "others", "expected"),
    [
        pytest.param("StringEquals", ["1"], "NumericEquals", ["1"], False, id="a text is no number"),
        pytest.param("NumericEquals", ["1"], "StringEquals", ["1"], False, id="a number is no text"),
        pytest.param("Bool", ["true"], "StringEquals", ["true"], False, id="a truth is no text"),
        pytest.param("StringNotEquals", ["a"], "ArnNotEquals", ["a"], False, id="nor is its opposite"),
        pytest.param("StringLike", ["a", "*"], "Null", ["false"], False, id="one value takes the empty text"),
        pytest.param("StringLike", ["a*", "?"], "Null", ["false"], True, id="no value takes the empty text"),
        pytest.param("StringEquals", ["", "a"], "Null", ["false"], False, id="one value is the empty text"),
        pytest.param("ArnLike", ["*"], "Null", ["false"], False, id="an ARN that may be empty"),
        pytest.param("ArnEquals", ["arn:aws:s3:::a", "**"], "Null", ["false"], False, id="one of them may be"),
        pytest.param("ForAnyValue:ArnLike", ["*"], "Null", ["false"], False, id="an ARN of several that may be"),
        pytest.param("ArnLike", ["*:*:*:*:*:*"], "Null", ["false"], True, id="an ARN that is not empty"),
        pytest.param("Null", ["False"], "Null", ["false"], True, id="false in another case"),
        pytest.param("Null", ["TRUE"], "StringNotEquals", ["a"], True, id="true in another case"),
        pytest.param("StringLike", ["${aws:u}"], "StringLike", ["*"], False, id="a variable within a wildcard"),
        pytest.param("StringLike", ["a", "${aws:u}"], "StringLike", ["*"], False, id="a variable among texts"),
        pytest.param("StringLike", ["a"], "StringLike", ["*", "${aws:u}"], False, id="a variable in the wide one"),
        pytest.param("BinaryEquals", ["QUI="], "BinaryEqualsIfExists", ["QUI="], True, id="equal bytes"),
        pytest.param("ArnLike", ["arn:aws:s3:::a:b"], "ArnLike", ["arn:aws:s3:::a*"], True, id="a colon in a name"),
        pytest.param(
            "ArnLike", ["arn:aws:s3:::a"], "ArnLike", ["arn:aws:s3:*"], False, id="a wide one of four segments"
        ),
        pytest.param("ArnLike", ["arn:aws:s3:*"], "ArnLike", ["arn:aws:s3:::a*"], False, id="a narrow one of four"),
        pytest.param("StringEquals", LONG[:100], "StringLike", LONG[:100], True, id="as much as is compared"),
        pytest.param("StringEquals", LONG[:101], "StringLike", [*LONG[:99], "*"], False, id="more than is compared"),
        pytest.param("StringEquals", LONG[:101], "StringNotEquals", LONG[:101], False, id="too much to be apart"),
        pytest.param("StringEquals", ["a"], "StringNotEquals", ["b", "c"], True, id="apart from each"),
        pytest.param("StringEquals", ["a", "b"], "StringNotEquals", ["b"], False, id="not apart from one"),
        pytest.param(
            "IpAddress", ["10.1.0.0/16"], "IpAddress", ["x", "10.0.0.0/8"], False, id="no network in the wide"
        ),
        pytest.param("IpAddress", ["10.0.0.0/8", "x"], "IpAddress", ["10.0.0.0/8"], False, id="nor in the narrow"),
        pytest.param("NumericEquals", ["1", "x"], "NumericLessThan", ["5"], False, id="no number among numbers"),
        pytest.param("NumericNotEquals", ["3", "1"], "NumericNotEquals", ["1"], True, id="numbers out of order"),
        pytest.param("NumericNotEquals", ["1"], "NumericNotEquals", ["3", "1"], False, id="one more is refused"),
        pytest.param("NumericLessThan", ["5"], "NumericNotEquals", ["5", "7"], True, id="below all of them"),
        pytest.param("NumericEquals", ["1"], "NumericEquals", ["1", "1.0"], True, id="the same number twice"),
        pytest.param("StringLike", ["a*"], "StringNotLike", ["b*"], True, id="wildcards apart"),
        pytest.param("StringLike", ["a*"], "StringNotLike", ["?b"], False, id="wildcards that meet"),
        pytest.param("StringLike", ["a*"], "StringNotLike", ["*"], False, id="a wildcard within one that is refused"),
        pytest.param("StringEquals", ["a"], "StringNotLike", ["b*"], True, id="a text apart from a wildcard"),
        pytest.param("StringEquals", ["ba"], "StringNotLike", ["b*"], False, id="a text within what is refused"),
        pytest.param("StringLike", ["a*"], "StringNotEquals", ["ab"], False, id="a wildcard that takes the text"),
        pytest.param("StringLike", ["A*"], "StringNotEquals", ["ab"], True, id="a wildcard in another case"),
        pytest.param("StringLike", ["A*"], "StringNotEqualsIgnoreCase", ["aB"], False, id="a wildcard, any spelling"),
        pytest.param("StringLike", ["a*"], "StringNotEqualsIgnoreCase", ["B"], True, id="no spelling fits"),
        pytest.param("StringLike", ["a"], "StringNotEqualsIgnoreCase", ["\xc9"], False, id="a letter outside ASCII"),
        pytest.param("StringLike", ["\xdf"], "StringNotEqualsIgnoreCase", ["ss"], False, id="a wildcard outside ASCII"),
        pytest.param("StringNotEqualsIgnoreCase", ["ss"], "StringNotLike", ["\xdf"], False, id="refused as a wildcard"),
        pytest.param("StringLike", ["\xff"], "StringNotEqualsIgnoreCase", ["y"], False, id="one letter outside ASCII"),
        pytest.param("StringLike", ["?"], "StringNotEqualsIgnoreCase", ["SS"], False, id="one letter may be two"),
        pytest.param("StringLike", ["a?b"], "StringNotEqualsIgnoreCase", ["affib"], False, id="or three"),
        pytest.param("StringLike", ["?"], "StringNotEqualsIgnoreCase", ["ab"], True, id="no letter is these two"),
        pytest.param("StringLike", ["a*"], "StringNotEqualsIgnoreCase", ["AB"], False, id="capitals, any spelling"),
        pytest.param("StringEqualsIgnoreCase", ["Ss"], "StringLike", ["??"], False, id="two letters may be one"),
        pytest.param("StringEqualsIgnoreCase", ["ss"], "StringLike", ["*"], True, id="one letter or two"),
        pytest.param("StringEqualsIgnoreCase", ["ss"], "StringLike", ["*~"], False, id="what no spelling ends with"),
        pytest.param("StringEqualsIgnoreCase", ["A"], "StringNotEquals", ["a"], False, id="a spelling is refused"),
        pytest.param("StringEqualsIgnoreCase", ["a"], "StringNotEquals", ["B"], True, id="no spelling is refused"),
        pytest.param("StringEqualsIgnoreCase", ["a"], "StringNotEquals", ["\xe9"], False, id="refused outside ASCII"),
        pytest.param("StringEqualsIgnoreCase", ["\xe9"], "StringNotEquals", ["b"], False, id="taken outside ASCII"),
        pytest.param("StringEquals", ["A"], "StringNotEqualsIgnoreCase", ["a"], False, id="refused in any spelling"),
        pytest.param("StringEqualsIgnoreCase", ["a"], "StringLike", ["a"], False, id="one spelling of two"),
        pytest.param("StringEqualsIgnoreCase", ["a1"], "StringLike", ["?1"], True, id="all spellings"),
        pytest.param("StringEqualsIgnoreCase", ["a1"], "StringLike", ["a?"], False, id="some spellings"),
        pytest.param("StringEqualsIgnoreCase", ["a1"], "StringLike", ["?2"], False, id="another digit"),
        pytest.param("StringEqualsIgnoreCase", ["1-"], "StringEquals", ["1-"], True, id="one spelling only"),
        pytest.param("StringEqualsIgnoreCase", ["a1"], "StringEquals", ["a1"], False, id="two spellings"),
        pytest.param("StringEqualsIgnoreCase", ["\xb2"], "StringEquals", ["\xb2"], False, id="no letter, no ASCII"),
        pytest.param(
            "StringEqualsIgnoreCase", ["\xe9"], "StringLike", ["?"], False, id="spellings of what is no ASCII"
        ),
        pytest.param("StringLike", ["ab"], "StringEquals", ["ab"], True, id="a wildcard text without wildcards"),
        pytest.param("StringLike", ["ab"], "StringEquals", ["ac"], False, id="another text without wildcards"),
        pytest.param("StringLike", ["a?"], "StringEquals", ["a?"], False, id="a wildcard is no text"),
        pytest.param(
            "StringLike", ["ab"], "StringEqualsIgnoreCase", ["AB"], True, id="without wildcards, any spelling"
        ),
        pytest.param("StringEquals", ["\xe9"], "StringEqualsIgnoreCase", ["\xe9"], True, id="equal outside ASCII"),
        pytest.param("StringEquals", ["\xe9"], "StringEqualsIgnoreCase", ["\xc9"], False, id="spelled otherwise there"),
        pytest.param("StringEquals", ["a"], "StringEqualsIgnoreCase", ["b"], False, id="two texts in ASCII"),
        pytest.param("StringEquals", ["k"], "StringEqualsIgnoreCase", ["\xe9"], False, id="one of them in ASCII"),
        pytest.param("IpAddress", ["10.0.0.0/8"], "NotIpAddress", ["11.0.0.0/8"], True, id="networks apart"),
        pytest.param("IpAddress", ["10.0.0.0/8"], "NotIpAddress", ["10.1.0.0/16"], False, id="networks that meet"),
        pytest.param("IpAddress", ["10.0.0.0/8"], "NotIpAddress", ["2001:db8::/32"], False, id="of two versions"),
        pytest.param("IpAddress", ["10.0.0.0/8"], "NotIpAddress", ["x"], False, id="what is refused is no network"),
        pytest.param("IpAddress", ["x"], "NotIpAddress", ["10.0.0.0/8"], False, id="what is taken is no network"),
        pytest.param("ArnLike", ["arn:aws:s3:::a"], "ArnNotLike", ["arn:aws:s3:::b*"], True, id="ARNs apart"),
        pytest.param("ArnLike", ["arn:aws:s3:::b?"], "ArnNotLike", ["arn:aws:s3:::b*"], False, id="ARNs that meet"),
        pytest.param("Bool", ["TRUE"], "BoolIfExists", ["true"], True, id="a truth in another case"),
        pytest.param("Bool", ["true"], "BoolIfExists", ["TRUE"], True, id="a truth in another case, wide"),
        pytest.param("DateLessThan", ["100000000"], "DateLessThan", ["99999999999"], True, id="seconds in order"),
        pytest.param("DateLessThan", ["2030"], "DateLessThan", ["1767225600"], False, id="a year, or seconds"),
        pytest.param("DateLessThan", ["20300101"], "DateLessThan", ["1767225600"], False, id="a day, or seconds"),
        pytest.param("DateLessThan", ["10"], "DateLessThan", ["20"], False, id="too few digits to be seconds only"),
        pytest.param(
            "DateLessThan", ["100000000000"], "DateLessThan", ["200000000000"], False, id="too many: milliseconds"
        ),
        pytest.param("DateLessThan", ["0999999999"], "DateLessThan", ["1767225600"], False, id="a zero before"),
        pytest.param("DateLessThan", ["2030-01"], "DateLessThan", ["2031-01"], False, id="a month without a zone"),
        pytest.param("DateLessThan", ["2030-W01"], "DateLessThan", ["2031-W01"], False, id="a week"),
        pytest.param(
            "DateLessThan", ["2030-01-01T00:00:00"], "DateLessThan", ["2031-01-01T00:00:00"], False, id="no zone"
        ),
        pytest.param("DateLessThan", ["2030"], "DateLessThanIfExists", ["2030"], True, id="the same text"),
        pytest.param("DateEquals", ["2030", "7"], "DateEqualsIfExists", ["7", "2030"], True, id="the same texts"),
        pytest.param("DateEquals", ["2030"], "DateEquals", ["2030", "7"], False, id="one more that nobody reads"),
        pytest.param("DateLessThan", ["2030"], "DateLessThanEquals", ["2030"], False, id="the same text otherwise"),
        pytest.param(
            "IpAddress", ["10.1.0.0/255.255.0.0"], "IpAddress", ["10.0.0.0/8"], False, id="a mask, not a length"
        ),
        pytest.param(
            "IpAddress", ["10.1.0.0/255.255.0.0", "10.2.0.0/16"], "IpAddress", ["10.0.0.0/8"], False, id="both"
        ),
        pytest.param("NumericEquals", ["010"], "NumericEquals", ["10"], False, id="a zero before a number"),
        pytest.param("NumericEquals", ["010"], "NumericEqualsIfExists", ["010"], True, id="the same text of a number"),
        pytest.param("NumericLessThan", ["-05"], "NumericLessThan", ["7"], False, id="a zero before one below zero"),
        pytest.param("NumericLessThan", ["00.5"], "NumericLessThan", ["7"], False, id="a zero before a fraction"),
        pytest.param("NumericLessThan", ["0.5"], "NumericLessThan", ["7"], True, id="a fraction"),
        pytest.param("NumericEquals", ["-0"], "NumericEquals", ["0"], False, id="a zero below zero"),
        pytest.param("NumericEquals", ["-0.00"], "NumericEquals", ["0"], False, id="a long zero below zero"),
        pytest.param("NumericLessThan", ["-0.5"], "NumericLessThan", ["0"], True, id="a fraction below zero"),
        pytest.param("IpAddress", ["10.0.0.0/08"], "IpAddress", ["10.0.0.0/8"], False, id="a zero before a length"),
        pytest.param("IpAddress", ["10.0.0.0/8"], "IpAddress", ["10.0.0.0/08"], False, id="and in the wide one"),
        pytest.param("IpAddress", ["10.0.0.0/08"], "IpAddressIfExists", ["10.0.0.0/08"], True, id="the same network"),
        pytest.param(
            "IpAddress", ["2001:db8::1"], "IpAddress", ["2001:db8::/48"], False, id="an address of IPv6 alone"
        ),
        pytest.param("IpAddress", ["2001:db8::1/128"], "IpAddress", ["2001:db8::/48"], True, id="with its length"),
        pytest.param("IpAddress", ["10.0.0.1"], "IpAddress", ["10.0.0.0/8"], True, id="an address of IPv4 alone"),
        pytest.param("IpAddress", ["::ffff:a00:0/104"], "IpAddress", ["::/0"], False, id="IPv4 in IPv6's clothes"),
        pytest.param("IpAddress", ["::/0"], "IpAddress", ["::/0", "10.0.0.0/8"], True, id="all of IPv6"),
        pytest.param("IpAddress", ["fe80::%e/64"], "IpAddress", ["::/0"], False, id="an address of one link"),
        pytest.param("Bool", ["maybe"], "Bool", ["Maybe"], False, id="no truth in another case"),
        pytest.param("Bool", ["maybe"], "BoolIfExists", ["maybe"], True, id="no truth, the same text"),
        pytest.param("Bool", ["true"], "Bool", ["maybe", "TRUE"], True, id="a truth beside what is none"),
        pytest.param(
            "ArnLike", ["arn:aws:s3:::a:b"], "ArnLike", ["arn:aws:s3:::a:*"], True, id="a colon in both names"
        ),
        pytest.param("ArnLike", ["arn:aws:s3:"], "ArnLike", ["arn:aws:s3:::a"], False, id="the beginning of an ARN"),
        pytest.param("ArnLike", ["arn:aws:sqs:r:1:x:q"], "ArnLike", ["arn:aws:sqs:r:*:q"], False, id="over a colon"),
    ],
)
def test_a_condition_implies_another_only_where_that_is_proven(
    operator: str, values: list[str], other: str, others: list[str], expected: bool
) -> None:
    key = "s3:prefix" if "Not" in other and "Not" not in operator and operator != "Null" else "aws:k"

    assert implies(Condition(operator, key, tuple(values)), Condition(other, key, tuple(others))) is expected


def test_a_deny_whose_opposite_nobody_knows_lifts_nothing() -> None:
    def policy(*statements: dict[str, Any]) -> Document:
        return Document.parse({"Version": "2012-10-17", "Statement": list(statements)})

    allow: dict[str, Any] = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::a"}
    unknown = {**allow, "Effect": "Deny", "Condition": {"BinaryEquals": {"s3:prefix": "QUI="}}}
    ceiling = policy({**allow, "Condition": {"StringLike": {"s3:prefix": "a/*"}}})

    found = contains(policy(allow, unknown), ceiling)

    assert isinstance(found, Counterexample)


@pytest.mark.parametrize(
    ("values", "remembered"),
    [(["x" * 478], 1), (["x" * 479], 0), ([f"x{number:02}" for number in range(27)], 0)],
    ids=["short", "long", "many"],
)
def test_what_is_long_is_proven_and_not_remembered(values: list[str], remembered: int) -> None:
    known_lies_in.cache_clear()

    proven = implies(Condition("StringEquals", "aws:k", tuple(values)), Condition("StringLike", "aws:k", ("x*",)))

    assert proven
    assert known_lies_in.cache_info().currsize == remembered
