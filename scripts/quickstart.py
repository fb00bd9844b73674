"""`datumrl quickstart`: from data to a leaderboard page, as the commands that a user types."""

from __future__ import annotations

import os
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from datumrl.datasets import catalogue
from datumrl.datasets.errors import DatumrlError
from datumrl.scripts import console

DATASET = "local/hopper-medium-replay-v1@100k"
METHODS = ("bc", "percent_bc", "td3_bc", "iql")
TABLE = "d3rlpy-d4rl-v0"  # ten seeds of each algorithm
PUBLISHED = ("TD3+BC", "IQL", "BEAR")
BLOCK = 5  # runs of each algorithm that AdaStop looks at at a time


@dataclass(frozen=True)
class Step:
    """One command of the tour and what it is for."""

    title: str
    arguments: list[str]


@dataclass(frozen=True)
class Command:
    """Reproduce a table; collect and measure a dataset; train, compare, show four methods.

    It recomputes a published table from its raw scores, collects a dataset and measures it, trains
    four methods on it, compares them, and writes the leaderboard site. Every step is shown as the
    command that you can type. What is there already is not made again, so running this again goes
    on where it stopped.
    """

    out: Path = Path("quickstart")
    """folder for everything that is made; running again resumes from what is there"""
    dataset: Annotated[str, tyro.conf.arg(metavar="ID")] = DATASET
    """the local dataset that is collected, measured and trained on"""
    seeds: int = 5
    """seeds of every method"""
    steps: int = 2_000
    """gradient steps of every seed: enough to see the way, too few for a result"""

    def run(self) -> int:
        self._check()
        started = time.perf_counter()
        os.environ["DATUMRL_HOME"] = home = str(self.out.resolve())
        # soft_wrap: a line to copy must stay one line.
        console.output.print(
            f"[dim]$ export DATUMRL_HOME={shlex.quote(home)}[/dim]", soft_wrap=True
        )
        for number, step in enumerate(self._steps(), start=1):
            _announce(number, step)
            _run(step)
        _farewell(self.out, time.perf_counter() - started)
        return 0

    def _check(self) -> None:
        """Refuse now what a step in the middle would refuse."""
        if catalogue.find(self.dataset).collection != "local":
            raise DatumrlError(
                f"{self.dataset} cannot be generated here; choose one of "
                "`datumrl datasets --collection local`, such as " + DATASET
            )
        for name, value in (("--seeds", self.seeds), ("--steps", self.steps)):
            if value < 1:
                raise DatumrlError(f"{name} {value}: at least 1 is needed")

    def _steps(self) -> list[Step]:
        runs, report, board = (str(self.out / name) for name in ("runs", "report", "board"))
        train = ["train", *METHODS, "--on", self.dataset, "--seeds", str(self.seeds)]
        train += ["--steps", str(self.steps), "--evaluate-every", str(max(1, self.steps // 2))]
        interims = self.seeds // BLOCK  # fewer runs than a block decide nothing
        adastop = ["--adastop", "--runs", str(BLOCK), "--interims"]
        compare = ["compare", runs, "--out", report]
        compare += [*adastop, str(interims)] if interims else []
        return [
            Step(
                "Does a published table follow from its raw evaluations?",
                ["reproduce", TABLE, "--brief"],
            ),
            Step("Collect a dataset in MuJoCo", ["collect", self.dataset]),
            Step("What is in it, and what can be learned from it?", ["stats", self.dataset]),
            Step(f"Train {len(METHODS)} methods, {self.seeds} seeds of each", train),
            Step("Compare them: intervals, groups, how often one is above another", compare),
            Step(
                "Which differences do ten published seeds show, and how many would have done?",
                ["compare", TABLE, "--algorithms", *PUBLISHED, *adastop, "2", "--only-pairs"],
            ),
            Step("Build the leaderboard site", ["board", runs, "--out", board]),
        ]


def _announce(number: int, step: Step) -> None:
    console.output.print(f"\n[bold]{number}. {step.title}[/bold]")
    console.output.print(f"[dim]$ datumrl {shlex.join(step.arguments)}[/dim]", soft_wrap=True)


def _run(step: Step) -> None:
    from datumrl.scripts import main

    if main.main(step.arguments) != 0:
        raise DatumrlError(
            f"the step `datumrl {shlex.join(step.arguments)}` did not finish; mend what it says "
            "above and run quickstart again, which resumes from there"
        )


def _farewell(out: Path, seconds: float) -> None:
    console.output.print(f"\n[bold]Done in {seconds:.0f} s.[/bold] What was made:")
    for path, what in [
        (out / "board" / "index.html", "the leaderboard site; open it in a browser"),
        (out / "report" / "report.md", "the comparison, with figures, LaTeX, CSV and JSON beside"),
        (out / "runs", "run records with every episode's return, and checkpoints"),
        (out / "local", "the dataset, with its card and provenance"),
    ]:
        console.output.print(f"  {path}  [dim]{what}[/dim]", soft_wrap=True)
