"""What commands print: paths and reasons as they are, on a terminal too."""

from __future__ import annotations

from datumrl.scripts import console


def test_brackets_in_paths_are_shown(monkeypatch, capsys):
    monkeypatch.setattr(console.notes, "_force_terminal", True)
    monkeypatch.setattr(console.notes, "width", 200)
    with console.Bars() as bars:
        bars.bar("rolling out /x/[/one]", "[/episodes]")(1, 2)
    console.notes.print("/x/[one]/:x:/[/two]: this run is unfinished")
    told = capsys.readouterr().err
    assert "rolling out /x/[/one]" in told
    assert "[/episodes]/s" in told
    assert "/x/[one]/:x:/[/two]: this run" in told
