"""What a task asks for: permissions, capabilities of the catalogue, and how long."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from remit.secret import Token


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


Allow = Permission | Capability | Iterable[Permission | Capability]


@dataclass(frozen=True, slots=True)
class Ask:
    """One wish for credentials. `duration` None asks for the gateway's default and for renewal while the task lasts."""

    purpose: str
    subject_token: Token
    permissions: tuple[Permission, ...]
    capabilities: tuple[Capability, ...]
    duration: timedelta | None
    narrow: bool
    labels: Mapping[str, str]
    task_id: str | None


def ask(
    purpose: str,
    *,
    subject_token: Token,
    allow: Allow,
    duration: timedelta | float | None,
    narrow: bool,
    labels: Mapping[str, str] | None,
    task_id: str | None,
) -> Ask:
    """Reads what the caller wrote; raises TypeError where it is of another kind, IAM JSON for `allow` among them."""
    if not all(isinstance(text, str) for text in (purpose, *(labels or {}).keys(), *(labels or {}).values())):
        raise TypeError("purpose and labels must be strings")
    items = (allow,) if isinstance(allow, (Permission, Capability)) else tuple(allow)
    if not all(isinstance(item, (Permission, Capability)) for item in items):
        raise TypeError("allow takes remit.Permission and remit.Capability: IAM JSON is not accepted")
    return Ask(
        purpose=purpose,
        subject_token=subject_token,
        permissions=tuple(item for item in items if isinstance(item, Permission)),
        capabilities=tuple(item for item in items if isinstance(item, Capability)),
        duration=timedelta(seconds=duration) if isinstance(duration, (int, float)) else duration,
        narrow=narrow,
        labels=dict(labels or {}),
        task_id=task_id,
    )


def _strings(name: str, values: Sequence[str]) -> tuple[str, ...]:
    """Returns the strings as a tuple; raises TypeError for anything else."""
    strings = (values,) if isinstance(values, str) else tuple(values)
    if not all(isinstance(value, str) for value in strings):
        raise TypeError(f"{name} must be a list of strings")
    return strings
