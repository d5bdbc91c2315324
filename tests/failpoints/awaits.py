"""The awaits of the use cases, as they stand in their source: what a sweep has to have put an error through."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tests.failpoints.points import APPLICATION

FOLDERS: Final = ("issuing", "attenuation", "delegating")
FILES: Final = (
    "admission.py",
    "approvals/ask_approval.py",
    "approvals/decide_approval.py",
    "lifecycle/renew_credentials.py",
)
# Awaits that no sweep passes, by what is awaited. A new one stands here with its reason, or gets a script.
EXCUSED: Final[Mapping[tuple[str, str], str]] = {
    ("admission.py", "self.ledger.record"): "housekeeping between calls: counts of callers who were rejected",
    ("admission.py", "self.ledger.refuse"): "refuses what cannot be read, before any use case is called",
    ("approvals/ask_approval.py", "self.approvals.void"): "voids an approval: what follows it is always a refusal",
    ("attenuation/attenuate_credentials.py", "deliberate.beside_the_loop"): "computes; nothing is held",
    (
        "issuing/flights.py",
        "flight.lock.acquire",
    ): "waits behind a repeat of the same request, and holds nothing",
    ("issuing/end_task.py", "self.ledger.refuse"): "ending gives nobody credentials",
    ("issuing/to_the_end.py", "asyncio.gather"): "waits at the gateway's own end",
    ("lifecycle/renew_credentials.py", "self.hearing.deliberate.beside_the_loop"): "computes; nothing is held",
    ("lifecycle/renew_credentials.py", "self.renewals.kept_question"): "reads, as the calls before it do",
}
GIVES_NOTHING: Final = ("issuing/preview_credentials.py",)


@dataclass(frozen=True, slots=True)
class Await:
    """One await: its file, what it awaits, and its lines."""

    file: str
    what: str
    lines: range


def awaits() -> Iterator[Await]:
    """Yields each await of the use cases that give credentials."""
    files = [APPLICATION / name for name in FILES]
    for folder in FOLDERS:
        files.extend(sorted((APPLICATION / folder).glob("*.py")))
    for file in files:
        name = str(file.relative_to(APPLICATION))
        if name not in GIVES_NOTHING:
            yield from _in(name, ast.parse(file.read_text()))


def _in(name: str, tree: ast.Module) -> Iterator[Await]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Await):
            called = node.value.func if isinstance(node.value, ast.Call) else node.value
            yield Await(name, ast.unparse(called), range(node.lineno, (node.end_lineno or node.lineno) + 1))
