"""The tables of attacks and of incidents say what is tested, and no more than that."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
REPOSITORY = TESTS.parent
README = TESTS / "attack/README.md"
ROW = re.compile(r"^\| (?P<row>[A-Z][0-9]+|2b|3) \|", re.MULTILINE)
CLAIM = re.compile(r"^\| (?P<claim>[^|`]+) \| `(?P<document>[\w./]+)` \| (?P<tests>`test_[^|]+) \|", re.MULTILINE)
INCIDENT = re.compile(r"^\| (?P<name>[^|]+?) \|", re.MULTILINE)
NAMED = re.compile(r"^(?:async )?def test_(?P<row>[atpogi]\d+|2b|3)_(?P<rest>\w+)", re.MULTILINE)


def named() -> list[tuple[str, str]]:
    """Returns the rows that tests are named by, each with the rest of the name."""
    files = TESTS.rglob("test_*.py")
    found = [match for file in files for match in NAMED.finditer(file.read_text())]
    return [(match["row"].upper().replace("2B", "2b"), match["rest"]) for match in found]


def test_the_table_lists_the_rows_that_tests_are_named_by_and_no_others() -> None:
    listed = ROW.findall(README.read_text())

    assert len(set(listed)) == len(listed) > 40
    assert sorted(listed) == sorted({row for row, _ in named()})


def test_each_incident_has_a_test_of_its_own_and_each_test_of_section_3_an_incident() -> None:
    table = README.read_text().partition("## Incidents")[2].partition("## Claims")[0]
    incidents = {re.sub(r"\W+", "_", name.lower()) for name in INCIDENT.findall(table)} - {"incident"}
    tests = [rest for row, rest in named() if row == "3"]

    assert len(incidents) == 30
    assert [one for one in sorted(incidents) if not any(test.startswith(f"{one}_") for test in tests)] == []
    assert [test for test in tests if not test.startswith(tuple(f"{one}_" for one in incidents))] == []


def test_3_warehouse_16194_what_the_documents_claim_is_written_there_and_has_tests_that_are_there() -> None:
    """Replay protection was promised in the words of a change that did not have it (sentry junior 338)."""
    claims = CLAIM.findall(README.read_text().partition("## Claims")[2])
    sources = "\n".join(file.read_text() for file in TESTS.rglob("test_*.py"))
    lines = {document: " ".join((REPOSITORY / document).read_text().split()) for _, document, _ in claims}

    assert len(claims) > 10
    assert [claim for claim, document, _ in claims if claim not in lines[document]] == []
    assert [
        name for _, _, tests in claims for name in re.findall(r"`(test_\w+)`", tests) if f"def {name}(" not in sources
    ] == []
