"""What a task may do: action patterns on resource patterns, under conditions."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from remit_server.iam import ActionPattern, Condition, Document, Effect, ResourcePattern, Statement


@dataclass(frozen=True, slots=True)
class Permission:
    """Allows every action on every resource it names while all its conditions hold.

    Actions and resources are never empty. The patterns are already parsed: `iam` refused what it does not know.
    """

    actions: tuple[ActionPattern, ...]
    resources: tuple[ResourcePattern, ...]
    conditions: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        if not self.actions or not self.resources:
            raise ValueError("a permission names at least one action and one resource")

    @property
    def spelling(self) -> Hashable:
        """All of it as it is written: what has equal spellings makes documents of equal texts."""
        return (
            tuple([each.text for each in self.actions]),
            tuple([each.text for each in self.resources]),
            tuple([(each.operator, each.key, each.values) for each in self.conditions]),
        )

    def statement(self) -> Statement:
        """Returns the same permission as an Allow statement."""
        return Statement(Effect.ALLOW, self.actions, self.resources, self.conditions)


def as_document(permissions: Iterable[Permission]) -> Document:
    """Returns the permissions as one document of Allow statements, in their order."""
    return Document(tuple([permission.statement() for permission in permissions]))


def as_permissions(document: Document) -> tuple[Permission, ...]:
    """Returns the Allow statements of a document as permissions; what it denies is not one."""
    return tuple(
        Permission(statement.actions, statement.resources, statement.conditions)
        for statement in document.statements
        if statement.effect is Effect.ALLOW and not statement.not_action and not statement.not_resource
    )


def is_within(permissions: Iterable[Permission], *, characters: int, wildcards: int) -> bool:
    """Says whether the patterns and condition values have so many characters and wildcards at the most.

    What comparing patterns costs grows with the square of them.
    """
    written = "".join([_written(permission) for permission in permissions])
    return len(written) <= characters and written.count("*") + written.count("?") <= wildcards


def _written(permission: Permission) -> str:
    """Returns every pattern and condition value as it was written, one after the other."""
    texts = [each.text for each in permission.actions]
    texts += [each.text for each in permission.resources]
    texts += [value for condition in permission.conditions for value in condition.values]
    return "".join(texts)
