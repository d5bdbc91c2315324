"""Random policies of the oracle's small world: letters, wildcards, everything but, Denies and conditions."""

import random
from typing import Any

from tests.property import iam_oracle as oracle

OPEN_HEADS = ("arn:aws:s3:*::", "arn:aws:s3:*:*:", "arn:aws:sqs:r:*:", "arn:aws:sqs:*:*:")
NAMED_HEADS = ("arn:aws:s3:::", "arn:aws:s3:r::", "arn:aws:sqs:r:1:")
CONDITIONS = (
    {"StringEquals": {"aws:x": "1"}},
    {"StringLike": {"aws:y": "a*"}},
    {"Bool": {"aws:z": "true"}, "StringEquals": {"aws:x": "1"}},
    {"StringEqualsIfExists": {"aws:x": "1"}},
)
# Conditions that say something about each other, for the test that evaluates them.
MEANINGFUL = tuple(
    {operator: {key: values}}
    for key, operators in {
        "s3:prefix": ("StringEquals", "StringLike", "StringNotLike", "StringNotEquals", "StringLikeIfExists"),
        "aws:TagKeys": ("ForAllValues:StringLike", "ForAnyValue:StringEquals", "ForAnyValue:StringNotLike"),
    }.items()
    for operator in operators
    for values in (["a"], ["b"], ["a", "b"], ["a", "ab"], ["a*"], ["a*", "b"], ["*b"], ["a?"])
)
VALUES = {
    "s3:prefix": (None, ("a",), ("b",), ("ab",), ("aab",), ("z",)),
    "aws:TagKeys": (None, ("a",), ("b",), ("a", "b"), ("ab", "z")),
}


# Conditions whose evaluation the oracle knows, on keys of their own and shared ones.
EVALUATED: tuple[dict[str, Any], ...] = (
    {"StringEquals": {"aws:x": "1"}},
    {"StringEquals": {"aws:x": ["1", "2"]}},
    {"StringEqualsIfExists": {"aws:x": ["2", "3"]}},
    {"StringNotEquals": {"aws:x": "1"}},
    {"StringNotEquals": {"aws:x": ["2", "3"]}},
    {"StringLike": {"aws:y": "a*"}},
    {"StringLike": {"aws:y": ["*b", "a"]}},
    {"StringNotLike": {"aws:y": "?"}},
    {"Bool": {"aws:z": "true"}, "StringEquals": {"aws:x": ["1", "3"]}},
)
EVALUATED_VALUES = {
    "aws:x": (None, ("1",), ("2",), ("3",), ("4",)),
    "aws:y": (None, ("a",), ("ab",), ("b",), ("aa",)),
    "aws:z": (None, ("true",), ("false",)),
}


class World:
    """Draws policies of the oracle's small world; half of what is issued is bent out of its ceiling."""

    def __init__(
        self,
        chance: random.Random,
        heads: tuple[str, ...],
        conditions: tuple[dict[str, Any], ...] = CONDITIONS,
        conditioned: float = 0.25,
    ) -> None:
        self.chance = chance
        self.heads = heads
        self.conditions = conditions
        self.conditioned = conditioned

    def name(self, longest: int) -> str:
        return "".join(self.chance.choices("ab*?", (4, 3, 3, 2), k=self.chance.randint(1, longest)))

    def action(self) -> str:
        if self.chance.random() < 0.12:
            return "*"
        return f"{self.chance.choice(('s3', 's3', 'sqs', 'S3'))}:{self.name(3)}"

    def resource(self) -> str:
        if self.chance.random() < 0.15:
            return "*"
        return self.chance.choice(self.heads) + self.name(4)

    def statement(self, denies: float = 0.2) -> dict[str, Any]:
        chance = self.chance
        out: dict[str, Any] = {
            "Effect": "Deny" if chance.random() < denies else "Allow",
            "NotAction" if chance.random() < 0.15 else "Action": sorted({self.action() for _ in range(self.few())}),
            "NotResource" if chance.random() < 0.2 else "Resource": sorted(
                {self.resource() for _ in range(self.few())}
            ),
        }
        if chance.random() < self.conditioned:
            out["Condition"] = chance.choice(self.conditions)
        return out

    def few(self) -> int:
        return self.chance.choice((1, 1, 2, 3))

    def policy(self) -> dict[str, Any]:
        statements = [self.statement() for _ in range(self.chance.choice((1, 2, 2, 3, 4)))]
        return {"Version": "2012-10-17", "Statement": statements}

    def bent(self, ceiling: dict[str, Any]) -> dict[str, Any]:
        """Takes some statements of a ceiling and changes a little in each."""
        kept = [each for each in ceiling["Statement"] if each["Effect"] == "Deny" or self.chance.random() < 0.8]
        statements = [self.bent_statement(each) for each in kept] or [self.statement()]
        if self.chance.random() < 0.3:
            statements.append(self.statement(denies=0.9))
        return {"Version": "2012-10-17", "Statement": statements}

    def bent_statement(self, statement: dict[str, Any]) -> dict[str, Any]:
        chance = self.chance
        out = dict(statement)
        for element in ("Action", "NotAction", "Resource", "NotResource"):
            if element in out and chance.random() < 0.6:
                out[element] = sorted({self.bent_text(text) for text in out[element]})
        if chance.random() < self.conditioned / 2:
            out["Condition"] = chance.choice(self.conditions)
        if "Condition" in out and chance.random() < 0.5:
            out["Condition"] = chance.choice([each for each in self.conditions if alike(each, out["Condition"])])
        if chance.random() < 0.05:
            out.pop("Condition", None)
        return out

    def bent_text(self, text: str) -> str:
        """Puts letters for a wildcard, mostly; sometimes a wildcard for a letter."""
        if text == "*":
            return "*"
        lead, _, name = text.rpartition(":")
        at = self.chance.randrange(len(name))
        to = self.chance.choices(("a", "b", "?", "*", "?a", "*b", "a*"), (3, 3, 2, 1, 2, 2, 2))[0]
        if name[at] in "*?" or self.chance.random() < 0.2:
            name = name[:at] + to + name[at + 1 :]
        return f"{lead}:{name}"


def alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Tells whether two conditions differ in their values only."""
    return {name: list(keys) for name, keys in one.items()} == {name: list(keys) for name, keys in other.items()}


def pair(world: World) -> tuple[dict[str, Any], dict[str, Any]]:
    ceiling = world.policy()
    return (world.bent(ceiling) if world.chance.random() < 0.6 else world.policy()), ceiling


def values_of(*policies: dict[str, Any]) -> dict[str, tuple[tuple[str, ...] | None, ...]]:
    """Returns the values worth trying for each key that the policies have conditions on."""
    keys = {key for policy in policies for each in policy["Statement"] for _, key, _ in oracle.atoms(each)}
    return {key: values for key, values in EVALUATED_VALUES.items() if key in keys}
