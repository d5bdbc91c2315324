"""A task intent as one value."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from remit.intent import Capability, Permission


@dataclass(frozen=True, slots=True)
class TaskIntent:
    """What a task declares that it needs. `purpose` is for people, and None where the text did not say one."""

    purpose: str | None = None
    permissions: tuple[Permission, ...] = ()
    capabilities: tuple[Capability, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def allow(self) -> tuple[Permission | Capability, ...]:
        """What `gateway.task(allow=...)` takes."""
        return self.permissions + self.capabilities
