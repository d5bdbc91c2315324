"""Conditions as opaque atoms: equal or different, never interpreted here."""

import re
from dataclasses import dataclass, field

MAX_VALUES = 500
MAX_VALUE = 1024
# All that AWS has (IAM user guide, "IAM JSON policy elements: Condition operators"); STS refuses a policy with another.
_OPERATOR = re.compile(
    r"Null|(?:ForAllValues:|ForAnyValue:)?(?:"
    r"String(?:Not)?(?:Equals|EqualsIgnoreCase|Like)|Arn(?:Not)?(?:Equals|Like)|(?:Not)?IpAddress|Bool|BinaryEquals|"
    r"(?:Numeric|Date)(?:(?:Not)?Equals|(?:Less|Greater)Than(?:Equals)?)"
    r")(?:IfExists)?"
)
_KEY = re.compile(r"[\x21-\x7e]{1,256}")
# STS refuses policies with other characters (AssumeRole, `Policy`); controls are refused besides.
_VALUE = re.compile(r"[\x20-\x7e\xa0-\xff]*")


class MalformedCondition(ValueError):  # noqa: N818 - it names what was found
    """Says which rule a condition breaks, never its values."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Holds one operator, one context key and the set of values, sorted and without doubles.

    Two conditions are equal when operator, lower-cased key and values are the same text; whether one implies
    another is never guessed. `key` keeps the author's spelling, `folded_key` decides.
    Raises MalformedCondition for an operator that AWS does not have, an unreadable key, no values, or a value that STS
    would refuse.
    """

    operator: str
    key: str = field(compare=False)
    values: tuple[str, ...]
    folded_key: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not _OPERATOR.fullmatch(self.operator):
            raise MalformedCondition("a condition operator is one of IAM's, such as StringEquals, spelled as AWS does")
        if not _KEY.fullmatch(self.key):
            raise MalformedCondition("a condition key is printable ASCII without spaces")
        if not self.values or len(self.values) > MAX_VALUES:
            raise MalformedCondition(f"a condition has 1 to {MAX_VALUES} values")
        if not all(len(value) <= MAX_VALUE and _VALUE.fullmatch(value) for value in self.values):
            raise MalformedCondition(f"a condition value is at most {MAX_VALUE} printable characters up to U+00FF")
        object.__setattr__(self, "values", tuple(sorted(set(self.values))))
        object.__setattr__(self, "folded_key", self.key.lower())

    def __str__(self) -> str:
        return f"{self.operator} {self.key} [{', '.join(self.values)}]"
