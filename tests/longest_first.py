"""The order of the files of a run: those that take longest begin, so that no process is left alone with one at the end.

xdist gives file after file to whichever process has nothing left, in the order of the collection. What is named here
runs before what is not; a file that is new and long costs time until it is named, and nothing else.
"""

from typing import Final

FIRST: Final = (
    "tests/crash/test_every_step.py",
    "tests/e2e/canaries/",
    "tests/faults/",
    "tests/e2e/test_go_client.py",
    "tests/e2e/test_typescript_client.py",
    "tests/e2e/test_demo.py",
    "tests/e2e/test_crash.py",
    "tests/e2e/test_workers.py",
    "tests/e2e/test_replicas.py",
    "tests/crash/",
    "tests/e2e/",
    "tests/integration/",
    "tests/property/test_iam_differential.py",
    "tests/attack/",
    "tests/failpoints/",
    "tests/policy/",
    "tests/unit/test_asking_people.py",
    "tests/unit/test_reproving.py",
    "tests/adapters/",
    "tests/property/",
)


def place(node_id: str) -> int:
    """Returns a test's place in the run: that of the first name that it begins with, behind them all without one."""
    return next((number for number, name in enumerate(FIRST) if node_id.startswith(name)), len(FIRST))
