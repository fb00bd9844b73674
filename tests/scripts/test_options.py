"""Options take numbers as people write them, and say plainly what is wrong with others."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from datumrl.algorithms import registry
from datumrl.datasets import discretization
from datumrl.scripts import main, options


@dataclass(frozen=True)
class Asked:
    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    steps: int | None = None
    rate: float = 0.5
    kind: Literal["last", "best"] | None = None
    out: Path | None = None
    folders: tuple[Path, ...] = ()
    source: tuple[Literal["csv", "wandb"], Path] | None = None
    twice: tyro.conf.UseAppendAction[tuple[str, ...]] = ()


@dataclass(frozen=True)
class Told:
    """The list of commands says this.

    What it does is told
    (in two lines).
    """

    long: int = 1
    """a sentence that goes
    on below"""
    plain: int = 2


def parsed(*arguments: str) -> Asked:
    return options.parse(Asked, "asked", "for tests", list(arguments))


def test_fields_take_their_values() -> None:
    assert parsed() == Asked()
    found = parsed("a", "b", "--steps", "2e4", "--rate", "5e-4", "--kind", "best", "--out", "x")
    assert found == Asked(("a", "b"), 20_000, 5e-4, "best", Path("x"))
    found = parsed("--folders", "x", "y", "--source", "csv", "z", "--twice", "1", "--twice", "2")
    assert found.folders == (Path("x"), Path("y"))
    assert found.source == ("csv", Path("z"))
    assert found.twice == ("1", "2")


@pytest.mark.parametrize("text", ["20000", "20_000", "20,000", "2e4", "20000.0"])
def test_whole_numbers_as_people_write_them(text: str) -> None:
    assert options.whole_number(text) == 20_000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--steps", "many"], "'many' is no whole number; write it as"),
        (["--steps", "1.5"], "'1.5' is no whole number"),
        (["--steps", "0,1,2"], "'0,1,2' is no whole number"),
        (["--steps", "10,11"], "'10,11' is no whole number"),
        (["--steps", "10,"], "'10,' is no whole number"),
        (["--steps", "inf"], "'inf' is no whole number"),
        (["--steps", "None"], "'None' is no whole number"),
        (["--rate", "fast"], "'fast' is no number"),
        (["--kind", "first"], "invalid choice 'first' for argument '--kind'"),
        (["--source", "tsv", "x"], "'tsv' is none of csv, wandb"),
        (["--source", "csv"], "Expected 2 values"),
    ],
)
def test_what_is_wrong_is_said_without_types(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        parsed(*arguments)
    assert left.value.code == 2
    told = capsys.readouterr().err
    assert said in " ".join(told.replace("│", " ").split())
    for inside in ("NoneType", "typing.", "<class"):
        assert inside not in told


def test_help_breaks_lines_where_the_terminal_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    with pytest.raises(SystemExit):
        options.parse(Told, "told", "one line, which is longer than the terminal", ["--help"])
    usage, shown = capsys.readouterr().out.split("\n\n", 1)
    assert all(len(line) <= 40 for line in usage.splitlines())
    assert shown.startswith(
        "one line, which is longer than the\nterminal\n\nWhat it does is told (in two lines).\n\n"
    )
    assert "a sentence that goes on" in shown


def shown_by_help(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        main.main([name, "--help"])
    return " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_help_names_what_there_is_to_choose_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert f"METHOD... methods: {', '.join(registry.ALGORITHMS)} (req" in shown_by_help(
        "train", capsys
    )
    assert f"--preset {{{','.join(discretization.PRESETS)}}}" in shown_by_help("stats", capsys)


@pytest.mark.parametrize("name", list(main.COMMANDS))
def test_help_writes_several_values_in_one_way(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not re.search(r"[A-Z] \.\.\.", shown_by_help(name, capsys))


@pytest.mark.parametrize("name", list(main.COMMANDS))
def test_help_never_offers_none(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main([name, "--help"])
    told = capsys.readouterr().out
    assert "None" not in told
    assert "[[" not in told
