"""What a task needs: permissions, and capabilities of the catalogue."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Condition:
    """One IAM condition, such as `Condition("StringLike", "s3:prefix", ["2026/*"])`: operator, key, values."""

    operator: str
    key: str
    values: Sequence[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _strings("values", self.values))

    def __str__(self) -> str:
        return f"{self.operator} {self.key} {', '.join(self.values)}"


@dataclass(frozen=True, slots=True)
class Permission:
    """Allows every action on every resource it names while all its conditions hold.

    Actions are IAM action patterns (`s3:GetObject`), resources are ARN patterns. Lists are kept as tuples; a single
    string is a list of one.
    """

    actions: Sequence[str]
    resources: Sequence[str]
    conditions: Sequence[Condition] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "actions", _strings("actions", self.actions))
        object.__setattr__(self, "resources", _strings("resources", self.resources))
        object.__setattr__(self, "conditions", tuple(self.conditions))

    def __str__(self) -> str:
        when = "".join(f" when {condition}" for condition in self.conditions)
        return f"{', '.join(self.actions)} on {', '.join(self.resources)}{when}"


@dataclass(frozen=True, slots=True, init=False)
class Capability:
    """Asks for a named permission template of the gateway's catalogue, its parameters taken literally.

    `Capability("s3.read_prefix", bucket="reports", prefix="2026/q3/")`
    """

    name: str
    parameters: tuple[tuple[str, str], ...]

    def __init__(self, name: str, /, **parameters: str) -> None:
        if not all(isinstance(value, str) for value in parameters.values()):
            raise TypeError(f"the parameters of {name} must be strings")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "parameters", tuple(sorted(parameters.items())))

    def __repr__(self) -> str:
        parameters = "".join(f", {key}={value!r}" for key, value in self.parameters)
        return f"Capability({self.name!r}{parameters})"


def _strings(name: str, values: Sequence[str]) -> tuple[str, ...]:
    """Returns the strings as a tuple; raises TypeError for anything else."""
    strings = (values,) if isinstance(values, str) else tuple(values)
    if not all(isinstance(value, str) for value in strings):
        raise TypeError(f"{name} must be a list of strings")
    return strings
