"""Every link between pages leads somewhere, and every page can be found from the index."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INDEX = ROOT / "docs" / "README.md"
PAGES = sorted(
    [
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("*.md"),
        *(ROOT / "leaderboard").glob("*/README.md"),
    ]
)
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"")


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def links(page: Path) -> Iterator[str]:
    """Yield where a page links to within the repository."""
    for found in LINK.finditer(re.sub(r"`[^`\n]*`", "", prose(page))):
        target = found[1] or found[2]
        if not target.startswith(("https://", "http://")):
            yield target


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as they are made where pages are shown."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{link}: there is no such file"
        if anchor:
            assert anchor in anchors(file), f"{link}: there is no such heading"


def test_the_index_links_every_page() -> None:
    linked = {(INDEX.parent / each.partition("#")[0]).resolve() for each in links(INDEX)}
    missing = {str(page.relative_to(ROOT)) for page in PAGES if page not in {*linked, INDEX}}
    assert not missing, "docs/README.md has no line for these"


def test_the_readme_links_the_index_and_the_glossary() -> None:
    assert {"docs/README.md", "docs/glossary.md"} <= set(links(ROOT / "README.md"))
