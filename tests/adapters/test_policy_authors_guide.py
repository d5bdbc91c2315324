"""The policy author's guide shows what its commands say: each line is run again, in the order of the page."""

from pathlib import Path

import pytest
from tests.policy_guide import PAGE, alike, blocks, prepared, run


@pytest.mark.timeout(600)  # some twenty commands, each in a process of its own, one of them trying 200 mistakes
def test_every_line_of_the_guide_says_what_the_page_shows(tmp_path: Path) -> None:
    folder = prepared(tmp_path)

    for _, _, block in list(blocks(PAGE.read_text())):
        assert alike(run(block, folder)) == alike(block.lines)
