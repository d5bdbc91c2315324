"""One verdict on containment held against the slow oracle, on every request and context of a small world."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

from tests.property import iam_oracle as oracle
from tests.property.iam_world import values_of

from remit_server.iam import Counterexample, Document, Undecided, Witness, contains

Policy = dict[str, Any]
Checker = Callable[[Document, Document], Witness | Counterexample | Undecided]
_PATTERNS = ("Action", "NotAction", "Resource", "NotResource")
_NUMBER = re.compile(r"\b\d[\d,]*\b")
_CONDITIONS = re.compile(r"condition .* is missing")


class Disagreement(AssertionError):  # noqa: N818 - it names what was found
    """Holds the two policies and what one side says of them that the other refutes."""


def judged(issued: Policy, ceiling: Policy, checker: Checker = contains) -> str:
    """Names a verdict and its reason, both held against the oracle; raises Disagreement."""
    match checker(Document.parse(issued), Document.parse(ceiling)):
        case Witness():
            views = oracle.concrete_views(values_of(issued, ceiling))
            _claim(oracle.escape(issued, ceiling, views) is None, "an escape was taken for contained", issued, ceiling)
            return "yes"
        case Counterexample() as found:
            return _refuted(found, issued, ceiling)
        case Undecided(reason=reason):
            return f"undecided: {_NUMBER.sub('N', reason)}"


def _refuted(found: Counterexample, issued: Policy, ceiling: Policy) -> str:
    """Holds a counterexample against both policies, first as it is meant: with conditions independent of each other."""
    holds = oracle.opaque(name for name, state in found.context if state == "holds")
    asked = found.action, found.resource
    _claim(oracle.allows(issued, *asked, holds), "a counterexample is not allowed by what is issued", issued, ceiling)
    _claim(not oracle.allows(ceiling, *asked, holds), "a counterexample is allowed by the ceiling", issued, ceiling)
    reason = _CONDITIONS.sub("a condition is missing", _NUMBER.sub("N", found.stopped_by))
    views = oracle.concrete_views(values_of(issued, ceiling))
    real = any(oracle.allows(issued, *asked, view) and not oracle.allows(ceiling, *asked, view) for view in views)
    return f"no: {reason}" if real else f"no, but only if conditions were independent: {reason}"


def _claim(holds: bool, sentence: str, issued: Policy, ceiling: Policy) -> None:
    if not holds:
        raise Disagreement(f"{sentence}: {json.dumps(issued)} in {json.dumps(ceiling)}")


def kinds(verdicts: Counter[str]) -> Counter[str]:
    """Adds verdicts up without their reasons."""
    found: Counter[str] = Counter()
    for verdict, count in verdicts.items():
        found[re.split(r"[:,]", verdict)[0]] += count
    return found


def features(*policies: Policy) -> Iterator[str]:
    """Names what is in a pair of policies that makes it harder than two lists of patterns."""
    statements = [each for policy in policies for each in policy["Statement"]]
    yield from (name for name in ("NotAction", "NotResource", "Condition") if any(name in each for each in statements))
    if any(each["Effect"] == "Deny" for each in statements):
        yield "Deny"


def _bent(rule: Callable[[Policy], Policy | None]) -> Checker:
    """Makes a wrong checker: a right one that reads each statement of the ceiling as the rule says, or not at all."""

    def checker(issued: Document, ceiling: Document) -> Witness | Counterexample | Undecided:
        statements = [rule(each) for each in json.loads(ceiling.text)["Statement"]]
        read = [each for each in statements if each is not None]
        if not read:
            return Undecided("nothing is left of the ceiling")
        return contains(issued, Document.parse({"Version": "2012-10-17", "Statement": read}))

    return checker


def _renamed(statement: Policy, name: str, to: str) -> Policy:
    return {to if each == name else each: value for each, value in statement.items()}


def _starred(statement: Policy) -> Policy:
    listed = {name: value if isinstance(value, list) else [value] for name, value in statement.items()}
    wider = {name: sorted({text.replace("?", "*") for text in listed[name]}) for name in listed if name in _PATTERNS}
    return {**statement, **wider}


def _where_missing_too(statement: Policy) -> Policy:
    conditions = statement.get("Condition", {})
    wider = {operator.removesuffix("IfExists") + "IfExists": keys for operator, keys in conditions.items()}
    return {**statement, "Condition": wider} if len(wider) == len(conditions) > 0 else statement


def _first_statement_only(issued: Document, ceiling: Document) -> Witness | Counterexample | Undecided:
    return contains(Document(issued.statements[:1]), ceiling)


def _each_side_alone(issued: Document, ceiling: Document) -> Witness | Counterexample | Undecided:
    """Takes actions allowed somewhere and resources allowed somehow for actions allowed on resources."""
    crossed = [
        {**one, **{key: value for key, value in other.items() if key.endswith("Resource")}}
        for one, other in product(json.loads(ceiling.text)["Statement"], repeat=2)
        if {key for key in one if key.endswith("Resource")} == {key for key in other if key.endswith("Resource")}
    ]
    return contains(issued, Document.parse({"Version": "2012-10-17", "Statement": crossed}))


WRONG_CHECKERS: dict[str, Checker] = {
    "it forgets the ceiling's Denies": _bent(lambda each: each if each["Effect"] == "Allow" else None),
    "it reads NotAction as Action *": _bent(
        lambda each: {**_renamed(each, "NotAction", "Action"), "Action": "*"} if "NotAction" in each else each
    ),
    "it reads NotResource as Resource *": _bent(
        lambda each: {**_renamed(each, "NotResource", "Resource"), "Resource": "*"} if "NotResource" in each else each
    ),
    "it reads NotAction as Action": _bent(lambda each: _renamed(each, "NotAction", "Action")),
    "it reads NotResource as Resource": _bent(lambda each: _renamed(each, "NotResource", "Resource")),
    "it forgets the ceiling's conditions": _bent(
        lambda each: {name: value for name, value in each.items() if name != "Condition"}
    ),
    "it forgets conditions of Denies alone": _bent(
        lambda each: each if each["Effect"] == "Allow" or "Condition" not in each else None
    ),
    "it reads every condition as IfExists": _bent(_where_missing_too),
    "it reads ? as *": _bent(_starred),
    "it looks at the first statement only": _first_statement_only,
    "it takes actions and resources one by one": _each_side_alone,
    "it forgets half of the ceiling": _bent(lambda each: each if len(json.dumps(each)) % 2 else None),
    "it never says no": lambda issued, ceiling: (
        found if isinstance(found := contains(issued, ceiling), Undecided) else Witness((), ceiling, issued)
    ),
}
"""Checkers with one mistake each, which the oracle has to find."""
