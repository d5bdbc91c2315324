"""Policy documents as frozen values: statements in their order, their canonical text and its digest."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from remit_server.iam.language.arn import ActionPattern
from remit_server.iam.language.index import Concerned, Index
from remit_server.iam.language.statement import Effect, Statement

VERSION = "2012-10-17"


@dataclass(frozen=True, slots=True)
class Document:
    """Holds the statements of a policy in the order given, its canonical text, and that text's digest.

    NOTE: an empty document grants nothing here, but no policy at all means the full role to STS; whoever sends
    one checks `is_empty` first.
    """

    statements: tuple[Statement, ...]
    _text: str | None = field(default=None, init=False, compare=False, repr=False)
    _sha256: str | None = field(default=None, init=False, compare=False, repr=False)
    _index: Index | None = field(default=None, init=False, compare=False, repr=False)
    _allows: tuple[tuple[int, Statement], ...] | None = field(default=None, init=False, compare=False, repr=False)
    _pairs: int | None = field(default=None, init=False, compare=False, repr=False)

    @classmethod
    def parse(cls, source: "Mapping[str, object] | str | bytes", *, authored: bool = False) -> "Document":
        """Reads a policy strictly; `authored` admits policy variables. Raises MalformedPolicy."""
        from remit_server.iam.language.parsing import parsed  # noqa: PLC0415 - parsing builds these values

        return cls(parsed(source, authored=authored))

    @property
    def is_empty(self) -> bool:
        """Whether no statement is left."""
        return not self.statements

    @property
    def text(self) -> str:
        """The canonical compact JSON: sorted keys, single values as strings, statements in their order."""
        text = self._text
        if text is None:
            body = ",".join([statement.text for statement in self.statements])
            text = f'{{"Statement":[{body}],"Version":"{VERSION}"}}'
            object.__setattr__(self, "_text", text)
        return text

    @property
    def sha256(self) -> str:
        """The SHA-256 of the text's UTF-8 bytes, in hex."""
        digest = self._sha256
        if digest is None:
            digest = sha256(self.text.encode()).hexdigest()
            object.__setattr__(self, "_sha256", digest)
        return digest

    @property
    def allows(self) -> tuple[tuple[int, Statement], ...]:
        """The Allows, each with its number among the statements, found when first asked for."""
        allows = self._allows
        if allows is None:
            found = [(at, each) for at, each in enumerate(self.statements) if each.effect is Effect.ALLOW]
            allows = tuple(found)
            object.__setattr__(self, "_allows", allows)
        return allows

    @property
    def pairs(self) -> int:
        """How many pairs of an action and a resource the statements list, counted when first asked for."""
        pairs = self._pairs
        if pairs is None:
            pairs = sum([len(each.actions) * len(each.resources) for each in self.statements])
            object.__setattr__(self, "_pairs", pairs)
        return pairs

    def concerned(self, action: ActionPattern) -> Concerned:
        """Returns the Allows that hold every action of the pattern and the Denies that may touch one."""
        return self.index.concerned(action)

    @property
    def index(self) -> Index:
        """The statements arranged for questions about few of them, built when first asked for."""
        index = self._index
        if index is None:
            index = Index(self.statements)
            object.__setattr__(self, "_index", index)
        return index
