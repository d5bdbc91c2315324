"""IAM documents, ARNs and actions, wildcard patterns and the values of conditions."""

import json
from collections.abc import Iterator
from typing import Final

from tests.fuzz.target import ROOT, ContractBroken, Target, linear, same, sure, text_of

from remit_server.iam import ActionPattern, Condition, Counterexample, Document, ResourcePattern, contains
from remit_server.iam.containment.implication import implies
from remit_server.iam.evaluation.operators import holds
from remit_server.iam.language.arn import MalformedPattern
from remit_server.iam.language.condition import MalformedCondition
from remit_server.iam.language.negation import negated
from remit_server.iam.language.pattern import Pattern, PatternTooComplex
from remit_server.iam.language.statement import MalformedPolicy

_LONGEST: Final = 400  # letters of one wildcard text here; AWS's own bound for an ARN is 1,600
_PAIR: Final = 100
_OPERATORS: Final = (
    "StringLike", "StringEquals", "StringNotLike", "StringEqualsIgnoreCase", "IpAddress", "NotIpAddress",
    "NumericLessThan", "NumericEquals", "DateGreaterThanEquals", "Bool", "Null", "ArnLike", "BinaryEquals",
    "ForAllValues:StringLike", "ForAnyValue:StringEquals", "StringLikeIfExists", "IpAddressIfExists",
)  # fmt: skip


def _document(data: bytes) -> None:
    for authored in (False, True):
        try:
            document = Document.parse(data, authored=authored)
        except MalformedPolicy:
            continue
        again = Document.parse(document.text, authored=authored)
        same(again, document, "the document read from its own text")
        same(again.text, document.text, "the canonical text")
        if len(data) <= _LONGEST and isinstance(contains(document, document), Counterexample):
            raise ContractBroken("a document is not contained in itself")


def _documents() -> Iterator[bytes]:
    for folder in ("derived", "capabilities"):
        for file in sorted((ROOT / "tests" / "golden" / folder).glob("*.json")):
            yield file.read_bytes()[:4000]
    statement: dict[str, object] = {
        "Effect": "Allow",
        "NotAction": ["iam:*", "s3:Get?b*"],
        "NotResource": "arn:aws:s3:::${aws:u}/*",
    }
    statement |= {"Condition": {"StringLike": {"aws:PrincipalTag/x": ["a*", "${aws:u}"]}}, "Sid": "a"}
    yield json.dumps({"Version": "2012-10-17", "Statement": statement}).encode()
    yield b'{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
    yield b'{"Version":"2012-10-17","Statement":' + b"[" * 300
    yield b'{"Version":"2012-10-17","Version":1e999}'


def _names(data: bytes) -> None:
    text = text_of(data)
    try:
        action = ActionPattern.parse(text)
    except MalformedPattern:
        pass
    else:
        same(ActionPattern.parse(action.text), action, "the action")
        same(action.text, text, "an action's spelling")
        sure("an action holds and meets itself", action.includes(action), action.overlaps(action))
    for authored in (False, True):
        try:
            resource = ResourcePattern.parse(text, authored=authored)
        except MalformedPattern:
            continue
        same(ResourcePattern.parse(resource.text, authored=authored), resource, "the resource")
        sure("a resource holds and meets itself", resource.includes(resource), resource.overlaps(resource))
        sure("a literal resource matches itself", not resource.is_literal or resource.matches(text))


def _arns() -> Iterator[bytes]:
    yield from (b"s3:GetObject", b"S3:Get*", b"*", b"s3:*?*", b"s3:Get\xc5\xbf", b"s3:", b"iam-x:a:b")
    yield from (b"arn:aws:s3:::reports/2026/*", b"arn:aws:logs:*:*:a:b:*", b"arn:aws:s3:::${aws:u}/${a", b"arn:aws:s3")
    yield from (b"arn:aws:sqs:eu-central-1:111122223333:q??*", b"arn:aws:s3::: ", b"arn:*:s3:::a", b"arn:aws:s3:::**?*")


def _patterns(data: bytes) -> None:
    """Holds two patterns, divided by a line feed, against each other."""
    first, _, second = text_of(data)[:_PAIR].partition("\n")
    try:
        one, other = Pattern(first), Pattern(second)
    except ValueError:
        return
    same(Pattern(one.text), one, "the normal spelling")
    if one.includes(other) and not one.overlaps(other):
        raise ContractBroken("a pattern includes what it does not meet")
    same(one.overlaps(other), other.overlaps(one), "meeting, from both sides")
    if other.is_literal and one.includes(other) != one.matches(other.text):
        raise ContractBroken("a literal is included and not matched, or the other way")
    try:
        both = one.intersect(other)
    except PatternTooComplex:
        return
    same(bool(both), one.overlaps(other), "whether anything is common")
    sure("what is common lies in both", *(one.includes(each) and other.includes(each) for each in both))


def _wildcards() -> Iterator[bytes]:
    yield from (
        b"a*\na*b*",
        b"*a*\n?a?",
        b"reports/*/x\nreports/2026/*",
        b"${aws:u}/*\n${aws:u}/a",
        b"a\na",
        b"?*?*\n***",
    )
    yield from (b"*a*b*c*\n*c*b*a*", b"a${b\nc", b"*" * 40 + b"\n" + b"?*" * 20, b"abab*\n*baba")


def _condition(data: bytes) -> None:
    """Reads an operator by its number, a key, and values, divided by line feeds."""
    key, *values = text_of(data[1:])[:_LONGEST].split("\n")
    operator = _OPERATORS[data[0] % len(_OPERATORS)] if data else ""
    try:
        condition = Condition(operator, key, tuple(values))
    except MalformedCondition:
        return
    same(Condition(condition.operator, condition.key, condition.values), condition, "the condition")
    sure("a condition implies itself", implies(condition, condition))
    for other in (Condition(operator, key, condition.values[:1]), Condition("Null", key, ("false",))):
        for context in ({}, {key: condition.values[-1]}, {key: condition.values}):
            if implies(condition, other) and holds(condition, context) is True:
                sure("what is implied holds", holds(other, context) is not False)
    _opposite(condition)


def _opposite(condition: Condition) -> None:
    """Holds a condition against what is said to hold exactly where it does not."""
    opposite = negated(condition)
    if opposite is None:
        return
    for context in ({}, {condition.key: condition.values[-1]}, {condition.key: condition.values}):
        verdicts = [holds(each, context) for each in (condition, *opposite)]
        if None not in verdicts:
            same(all(verdicts[1:]), not verdicts[0], "the opposite of a condition")


def _conditions() -> Iterator[bytes]:
    for number in range(len(_OPERATORS)):
        yield bytes([number]) + b"aws:x\na*\nb?"
        yield bytes([number]) + b"aws:SourceIp\n203.0.113.0/24\n2001:db8::/32"
        yield bytes([number]) + b"aws:n\n10\n1e3"
        yield bytes([number]) + b"aws:t\n2026-11-30T08:00:00Z\ntrue"


TARGETS: Final = (
    Target("iam_document", _document, _documents, linear(20_000, 40)),
    Target("iam_names", _names, _arns, linear(2_000, 60)),
    Target("iam_patterns", _patterns, _wildcards, linear(200_000, 30_000)),
    Target("iam_conditions", _condition, _conditions, linear(10_000, 100)),
)
