"""The table of attacks says what is tested, and no more than that."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROW = re.compile(r"^\| (?P<row>[A-Z0-9b]+) \|", re.MULTILINE)
NAMED = re.compile(r"^(?:async )?def test_(?P<row>[atpogi]\d+|2b|3)_", re.MULTILINE)


def named() -> set[str]:
    """Returns the rows that tests are named by."""
    files = TESTS.rglob("test_*.py")
    return {match["row"].upper().replace("2B", "2b") for file in files for match in NAMED.finditer(file.read_text())}


def test_the_table_lists_the_rows_that_tests_are_named_by_and_no_others() -> None:
    listed = ROW.findall((TESTS / "attack/README.md").read_text())

    assert len(set(listed)) == len(listed) > 40
    assert sorted(listed) == sorted(named())
