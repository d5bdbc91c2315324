"""Golden files: what a reader sees go to STS for typical intents. REMIT_REGENERATE_GOLDEN=1 writes them anew."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from remit_server.iam import Derived, Document, contains_all, derive, floor

FOLDER = Path(__file__).parent / "derived"
CASES = sorted(path.stem for path in FOLDER.glob("*.json"))


@pytest.mark.parametrize("name", CASES)
def test_a_derived_policy_is_as_written_down(name: str) -> None:
    path = FOLDER / f"{name}.json"
    golden: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    intent, entitlement = Document.parse(golden["intent"]), Document.parse(golden["entitlement"])
    bind = golden.get("bind", {})

    found = derive(intent, [entitlement], end=datetime(2026, 11, 23, 13, 0, tzinfo=UTC), **bind)

    assert isinstance(found, Derived)
    assert isinstance(contains_all(found.document, [intent, entitlement, floor()]), tuple)
    result = {
        "unguarded": [str(each) for each in found.unguarded],
        "size": found.size,
        "policy": json.loads(found.text),
    }
    if os.environ.get("REMIT_REGENERATE_GOLDEN") == "1":
        path.write_text(json.dumps({**golden, "derived": result}, indent=2) + "\n", encoding="utf-8")
    else:
        assert result == golden["derived"]


def test_there_are_golden_files() -> None:
    assert len(CASES) >= 8
