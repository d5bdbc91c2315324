"""The people of the sandbox: who can sign in at the local issuer."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody the local issuer vouches for."""

    subject: str
    email: str
    groups: tuple[str, ...]


PEOPLE = (
    Person("alice", "alice@example.test", ("analysts", "engineers")),
    Person("bob", "bob@example.test", ("engineers", "security")),
    Person("mallory", "mallory@example.test", ("contractors",)),
)
