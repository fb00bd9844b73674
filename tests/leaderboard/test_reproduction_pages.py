"""The site's pages of published tables."""

import json

import pytest

from datumrl.leaderboard import board, published_tables, registered, reproduction_pages
from datumrl.leaderboard.outcome import About, CellVerdict, Outcome
from datumrl.leaderboard.table_case import PrintedCell


@pytest.fixture(scope="module")
def outcomes():
    return [
        registered.find(table_id).run(0, published_tables.FOLDER, None)
        for table_id in ("adastop-walker", "corl-offline", "neorl-derived", "jax-corl")
    ]


def test_a_page_per_table_with_the_rule_in_words(outcomes, tmp_path):
    board.write((), tmp_path / "site", reproductions=outcomes)
    index = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    for page in reproduction_pages.pages(outcomes):
        assert f'href="{page.page}"' in index
        text = (tmp_path / "site" / page.page).read_text(encoding="utf-8")
        about = page.outcome.about
        assert f"<b>Rule of the source.</b> {about.rule[:20]}" in text
        assert f"datumrl reproduce {about.id}" in text
        assert text.count("<tr>") > len(page.outcome.verdicts)
        data = json.loads((tmp_path / "site" / page.data).read_text(encoding="utf-8"))
        assert len(data["cells"]) == len(page.outcome.verdicts)
    assert "16 cells follow, 8 only under a hidden rule" in index
    board.write((), tmp_path / "site", reproductions=outcomes)  # its own files are replaced


def test_without_tables_there_is_no_section(tmp_path):
    board.write((), tmp_path / "site")
    assert "Published tables" not in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


def test_names_of_a_table_are_made_inert(outcomes, tmp_path):
    cell = PrintedCell("<script>", "x", "last", "", "1", None)
    bad = Outcome(About("../bad", "<b>", rule="r"), (CellVerdict(cell, "no raw data"),))
    board.write((), tmp_path / "site", reproductions=[bad])
    (page,) = (tmp_path / "site" / "tables").iterdir()
    text = page.read_text(encoding="utf-8")
    assert "&lt;script&gt;" in text
    assert '<td data-v="<' not in text
