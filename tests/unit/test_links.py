"""Every link of every page leads to a file that is there, and to a heading that it has."""

import re
from pathlib import Path

import pytest
from tests.unit.test_repository_rules import ROOT, committed_files

FENCED = re.compile(r"```.*?```", re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """Returns the names of a page's headings, as a forge makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text(encoding="utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def leads_somewhere(page: Path, link: str) -> bool:
    file, _, anchor = link.partition("#")
    target = page.parent / file if file else page
    return target.exists() and (not anchor or target.suffix != ".md" or anchor in anchors(target))


def test_every_link_leads_somewhere() -> None:
    pages = [path for path in committed_files() if path.suffix == ".md"]

    links = [
        (page, link)
        for page in pages
        for link in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8")))
        if not link.startswith(("http:", "https:", "mailto:"))
    ]

    assert len(links) > 100
    assert [f"{page.relative_to(ROOT)}: {link}" for page, link in links if not leads_somewhere(page, link)] == []


@pytest.mark.parametrize("link", ["nowhere.md", "README.md#no-such-heading", "#no-such-heading"])
def test_a_link_that_leads_nowhere_would_be_found(link: str) -> None:
    assert not leads_somewhere(ROOT / "README.md", link)
