"""Answers questions about patterns by greenery and about documents by z3, one JSON value a line.

Runs in an environment of its own and knows nothing of Remit: it reads globs and policy JSON, and tells what the two
provers say.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Any

import greenery
import z3

MILLISECONDS = 5_000
_SPECIAL = frozenset("\\[]|(){}^$*+?.")
_LETTER = z3.Union(z3.Range("a", "z"), z3.Range("0", "9"))
_SERVICE = z3.Plus(_LETTER)
_NO_COLON = z3.Union(z3.Range(" ", "9"), z3.Range(";", "~"))
_ANY = z3.Range(" ", "~")
_ARN_SEGMENTS = 6


def main() -> None:
    """Answers each question in its turn."""
    for line in sys.stdin:
        question = json.loads(line)
        answer = _ANSWERS[question["kind"]](question)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


# greenery


def patterns(question: Mapping[str, Any]) -> dict[str, bool]:
    """Says of two globs whether the one includes the other, whether they overlap, and what they have in common."""
    left, right = _regex(question["left"]), _regex(question["right"])
    common = left & right
    return {
        "includes": (right - left).empty(),
        "overlaps": not common.empty(),
        "is_common": common.equivalent(_union(question["common"])),
    }


def names(question: Mapping[str, Any]) -> dict[str, bool]:
    """Says whether the names that one list of rules leaves lie within those that another leaves."""
    issued, ceiling = (_left_by(question[side]) for side in ("issued", "ceiling"))
    return {"contained": (issued - ceiling).empty()}


def _left_by(rules: Sequence[Mapping[str, Any]]) -> greenery.Fsm:
    everything = _regex("*")
    found = {"Allow": _union([]), "Deny": _union([])}
    for rule in rules:
        listed = _union(rule["names"])
        found[rule["effect"]] |= everything - listed if rule["negated"] else listed
    return found["Allow"] - found["Deny"]


def _union(globs: Sequence[str]) -> greenery.Fsm:
    return reduce(or_, map(_regex, globs), greenery.parse("[]").to_fsm())


def _regex(glob: str) -> greenery.Fsm:
    return greenery.parse("".join(map(_escaped, glob))).to_fsm()


def _escaped(letter: str) -> str:
    if letter in "*?":
        return ".*" if letter == "*" else "."
    return f"\\{letter}" if letter in _SPECIAL else letter


# z3: an action and a resource are unknown texts, each condition is an unknown truth.


def documents(question: Mapping[str, Any]) -> dict[str, Any]:
    """Looks for an action, a resource and truths of conditions that one policy allows and the other does not."""
    action, resource = z3.Strings("action resource")
    solver = z3.Solver()
    solver.set("timeout", MILLISECONDS)
    solver.add(z3.InRe(action, z3.Concat(_SERVICE, z3.Re(":"), z3.Star(_LETTER))))
    solver.add(z3.Or(resource == "*", z3.InRe(resource, _arn(["*"] * 5))))
    solver.add(_allows(question["issued"], action, resource))
    solver.add(z3.Not(_allows(question["ceiling"], action, resource)))
    found = solver.check()
    if found == z3.sat:
        model = solver.model()
        return {"escapes": True, "request": [str(model[each]) for each in (action, resource)]}
    return {"escapes": False if found == z3.unsat else None, "reason": solver.reason_unknown()}


def _allows(policy: Mapping[str, Any], action: z3.SeqRef, resource: z3.SeqRef) -> z3.BoolRef:
    matched: dict[str, list[z3.BoolRef]] = {"Allow": [], "Deny": []}
    for statement in policy["Statement"]:
        actions = [_is_action(action, text) for text in _listed(statement, "Action")]
        resources = [_is_resource(resource, text) for text in _listed(statement, "Resource")]
        about = z3.Not(z3.Or(actions)) if "NotAction" in statement else z3.Or(actions)
        on = z3.Not(z3.Or(resources)) if "NotResource" in statement else z3.Or(resources)
        matched[statement["Effect"]].append(z3.And(about, on, *_conditions(statement)))
    return z3.And(z3.Or(matched["Allow"]), z3.Not(z3.Or(matched["Deny"])))


def _listed(statement: Mapping[str, Any], name: str) -> list[str]:
    value = statement.get(name, statement.get(f"Not{name}"))
    return [value] if isinstance(value, str) else list(value)


def _conditions(statement: Mapping[str, Any]) -> list[z3.BoolRef]:
    return [
        z3.Bool(f"{operator} {key} {json.dumps(values)}")
        for operator, keys in statement.get("Condition", {}).items()
        for key, values in keys.items()
    ]


def _is_action(action: z3.SeqRef, text: str) -> z3.BoolRef:
    if text == "*":
        return z3.BoolVal(val=True)
    service, name = text.lower().split(":")
    return z3.InRe(action, z3.Concat(z3.Re(f"{service}:"), *_glob(name, _LETTER)))


def _is_resource(resource: z3.SeqRef, text: str) -> z3.BoolRef:
    return z3.BoolVal(val=True) if text == "*" else z3.InRe(resource, _arn(text.split(":", _ARN_SEGMENTS - 1)[1:]))


def _arn(segments: Sequence[str]) -> z3.ReRef:
    """Wildcards of the first five segments do not cross colons."""
    parts = [z3.Re("arn")]
    for at, segment in enumerate(segments, 2):
        parts += [z3.Re(":"), *_glob(segment, _ANY if at == _ARN_SEGMENTS else _NO_COLON)]
    return z3.Concat(*parts)


def _glob(text: str, letter: z3.ReRef) -> list[z3.ReRef]:
    tokens = {"*": z3.Star(letter), "?": letter}
    return [z3.Re(""), *(tokens.get(each, z3.Re(each)) for each in text)]


_ANSWERS = {"patterns": patterns, "names": names, "documents": documents}

if __name__ == "__main__":
    main()
