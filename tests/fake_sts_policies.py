"""The grammar that AWS holds a session policy to, as the fake STS does: written from the IAM user guide.

Source: IAM user guide, "Grammar of the IAM JSON policy language". It shares nothing with the gateway's own parser.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

_ACTION = re.compile(r"\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+", re.ASCII)
_ARN = re.compile(r"arn:(aws|aws-cn|aws-us-gov|\*):[a-z0-9*?-]+:[a-z0-9*?-]*:([0-9]{12}|[0-9*?]*|aws):.+", re.ASCII)
_OPERATOR = re.compile(
    r"(ForAllValues:|ForAnyValue:)?"
    r"(String(Not)?(Equals|EqualsIgnoreCase|Like)|Numeric(Not)?Equals|Numeric(Less|Greater)Than(Equals)?"
    r"|Date(Not)?Equals|Date(Less|Greater)Than(Equals)?|Bool|BinaryEquals|(Not)?IpAddress|Arn(Not)?(Equals|Like))"
    r"(IfExists)?|Null",
    re.ASCII,
)
_KEY = re.compile(r"[A-Za-z0-9-]+:[A-Za-z0-9:/._+=@-]+", re.ASCII)


class MalformedDocument(ValueError):  # noqa: N818 - an answer, not a fault
    """What AWS calls a MalformedPolicyDocument."""


def check_document(text: str) -> None:
    """Raises MalformedDocument for what is no session policy in AWS's grammar."""
    try:
        policy = json.loads(text, object_pairs_hook=_without_twins)
    except RecursionError:
        raise MalformedDocument("This policy contains invalid Json") from None
    except ValueError as wrong:
        raise MalformedDocument(f"This policy contains invalid Json: {wrong}") from None
    if not isinstance(policy, dict) or not set(policy) <= {"Version", "Id", "Statement"}:
        raise MalformedDocument("Syntax errors in policy.")
    if policy.get("Version") not in ("2012-10-17", "2008-10-17"):
        raise MalformedDocument("The policy must contain a valid version string")
    statements = policy.get("Statement")
    for statement in statements if isinstance(statements, list) else [statements]:
        _check_statement(statement)
    if not statements:
        raise MalformedDocument("Syntax errors in policy.")


def _check_statement(statement: object) -> None:
    known = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}
    if not isinstance(statement, dict) or not set(statement) <= known:
        raise MalformedDocument("Syntax errors in policy: a statement with an element that a session policy has not")
    if statement.get("Effect") not in ("Allow", "Deny"):
        raise MalformedDocument("Syntax errors in policy: Effect")
    if re.fullmatch(r"[A-Za-z0-9]*", str(statement.get("Sid", ""))) is None:
        raise MalformedDocument("Statement IDs (SID) must be alpha-numeric.")
    _check_either(statement, "Action", "NotAction", _is_action)
    _check_either(statement, "Resource", "NotResource", _is_resource)
    if "Condition" in statement:
        _check_conditions(statement["Condition"])


def _check_either(statement: Mapping[str, Any], one: str, other: str, fits: Callable[[str], bool]) -> None:
    if (one in statement) is (other in statement):
        raise MalformedDocument(f"Syntax errors in policy: exactly one of {one} and {other}")
    values = _texts(statement.get(one, statement.get(other)))
    if not values or not all(fits(value) for value in values):
        raise MalformedDocument(f"{one} must be in the form AWS takes, and there must be one.")


def _check_conditions(conditions: object) -> None:
    if not isinstance(conditions, dict):
        raise MalformedDocument("Syntax errors in policy: Condition")
    for operator, keys in conditions.items():
        if _OPERATOR.fullmatch(operator) is None or not isinstance(keys, dict) or not keys:
            raise MalformedDocument("Invalid Condition type")
        for key, values in keys.items():
            if _KEY.fullmatch(key) is None or not _texts(values):
                raise MalformedDocument("Syntax errors in policy: a condition key or its values")


def _texts(value: object) -> list[str]:
    """Returns a text or a list of texts as a list; empty for anything else."""
    listed = value if isinstance(value, list) else [value]
    texts = [each for each in listed if isinstance(each, str)]
    return texts if len(texts) == len(listed) else []


def _is_action(text: str) -> bool:
    return _ACTION.fullmatch(text) is not None


def _is_resource(text: str) -> bool:
    return text == "*" or _ARN.fullmatch(text) is not None


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found
