"""What the doctor says: each finding with what is so, why that matters, and how to mend it."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum


class Weight(StrEnum):
    """A fault is to be mended; a note is to be known."""

    FAULT = "fault"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found: `code` is stable, `place` an ARN; no secret is in it."""

    weight: Weight
    code: str
    place: str
    what: str
    why: str
    mend: str

    def __str__(self) -> str:
        return f"{self.weight}: {self.place}: {self.what}\n    Why:  {self.why}\n    Mend: {self.mend}"


@dataclass(slots=True)
class Findings:
    """Collects what is found about one place."""

    place: str
    found: list[Finding] = field(default_factory=list)

    def fault(self, code: str, what: str, *, why: str, mend: str) -> None:
        """Notes what is to be mended."""
        self.found.append(Finding(Weight.FAULT, code, self.place, what, why, mend))

    def note(self, code: str, what: str, *, why: str, mend: str) -> None:
        """Notes what is to be known."""
        self.found.append(Finding(Weight.NOTE, code, self.place, what, why, mend))

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.found)


def as_json_values(findings: list[Finding]) -> list[dict[str, str]]:
    """Returns the findings for `--json`."""
    return [{key: str(value) for key, value in asdict(finding).items()} for finding in findings]
