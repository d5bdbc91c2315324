import subprocess
import sys

LOOKS = """
import gc
from remit_server.cli.heap import keep_what_is_loaded
before = gc.get_threshold()
keep_what_is_loaded()
after = gc.get_threshold()
print(gc.isenabled(), gc.get_freeze_count() > 1000, after[0] > before[0], after[1:] == before[1:])
"""


def test_garbage_is_looked_for_seldom_and_not_among_what_is_loaded() -> None:
    """In a process of its own: it is a setting of the whole process."""
    said = subprocess.run([sys.executable, "-c", LOOKS], capture_output=True, text=True, check=True).stdout  # noqa: S603 - our own program

    assert said.split() == ["True"] * 4
