"""What a stranger sees first: the demo, as a program."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.watched import BIN, Ended, watched

DEMO = (str(BIN / "remit-sandbox"), "demo")
TELLING_SECONDS = 240  # for a machine that is busy with other tests

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True, slots=True)
class Told:
    """How the demo ended, and the folder that was its place for temporary files."""

    ended: Ended
    temporary: Path


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """An empty folder for the program's temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """The demo, told once, to what is no terminal."""
    folder, temporary = tmp_path_factory.mktemp("demo"), tmp_path_factory.mktemp("temporary")
    with watched(*DEMO, folder=folder, environment={"TMPDIR": str(temporary)}) as program:
        return Told(program.ended(TELLING_SECONDS), temporary)


def test_the_demo_comes_out_as_told(told: Told) -> None:
    assert told.ended.code == 0, told.ended.output
    assert "steps came out as told" in told.ended.output
    assert "Next: `make sandbox`" in told.ended.output
    assert "✗" not in told.ended.output


def test_the_demo_leaves_no_process_and_no_file_behind(told: Told) -> None:
    assert told.ended.left == ()
    assert list(told.temporary.iterdir()) == []


def test_without_a_terminal_the_demo_is_plain_text_of_sensible_width(told: Told) -> None:
    assert "\x1b" not in told.ended.output
    assert max(len(line) for line in told.ended.output.splitlines()) <= 120


def test_no_line_of_the_story_is_told_twice(told: Told) -> None:
    story = [line.strip() for line in told.ended.output.split("9. The audit trail")[0].splitlines() if line.strip()]

    assert [line for line in story if story.count(line) > 1] == []


def test_an_interrupted_demo_ends_everything_and_removes_its_files(tmp_path: Path, temporary: Path) -> None:
    with watched(*DEMO, folder=tmp_path, environment={"TMPDIR": str(temporary)}) as program:
        assert program.process.stdout is not None
        assert program.process.stdout.readline().startswith("Remit:")
        program.interrupt()
        ended = program.ended()

    assert ended.code == 130
    assert "Traceback" not in ended.output
    assert ended.left == ()
    assert list(temporary.iterdir()) == []


def test_without_ministack_the_demo_says_what_to_do(tmp_path: Path, temporary: Path) -> None:
    nowhere = {"TMPDIR": str(temporary), "REMIT_MINISTACK": str(tmp_path / "nowhere")}

    with watched(*DEMO, folder=tmp_path, environment=nowhere) as program:
        ended = program.ended()

    assert ended.code == 1
    assert f"there is no ministack at {tmp_path / 'nowhere'}: run `make setup`" in ended.output
    assert "Traceback" not in ended.output
    assert ended.left == ()
    assert list(temporary.iterdir()) == []
