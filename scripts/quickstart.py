"""`datumrl quickstart`: from data to a leaderboard page, as the commands that a user types."""

from __future__ import annotations

import os
import shlex
import time
from dataclasses import dataclass
from pathlib import Path

from datumrl.datasets.errors import DatumrlError
from datumrl.scripts import console

DATASET = "local/inverted-pendulum-medium-v1@50k"


@dataclass(frozen=True)
class Step:
    """One command of the tour and what it is for."""

    title: str
    arguments: list[str]


@dataclass(frozen=True)
class Command:
    """Reproduce a published table, collect a dataset, train TD3+BC, build the leaderboard page."""

    out: Path = Path("quickstart")
    """folder for everything that is made; running again goes on from what is there"""
    seeds: int = 5
    """seeds of TD3+BC"""
    steps: int = 3_000
    """gradient steps of every seed"""

    def run(self) -> int:
        started = time.perf_counter()
        out = self.out.resolve()
        os.environ["DATUMRL_HOME"] = str(out)
        for number, step in enumerate(self._steps(out), start=1):
            _announce(number, step)
            _run(step)
        _farewell(out, time.perf_counter() - started)
        return 0

    def _steps(self, out: Path) -> list[Step]:
        runs = out / "runs"
        train = ["train", "td3_bc", "--on", DATASET, "--seeds", str(self.seeds)]
        train += ["--steps", str(self.steps), "--evaluate-every", "1000"]
        train += ["--out", str(runs / "td3_bc")]
        return [
            Step(
                "Does a published table follow from its raw evaluations?",
                ["reproduce", "d3rlpy-d4rl-v0", "--brief"],
            ),
            Step("Collect a dataset in MuJoCo", ["collect", DATASET]),
            Step(f"Train TD3+BC, {self.seeds} seeds as one stack", train),
            Step("Roll the final policies out again", ["evaluate", str(runs / "td3_bc")]),
            Step("Build the leaderboard page", ["board", str(runs), "--out", str(out / "board")]),
        ]


def _announce(number: int, step: Step) -> None:
    console.output.print(f"\n[bold]{number}. {step.title}[/bold]")
    console.output.print(f"[dim]$ datumrl {shlex.join(step.arguments)}[/dim]", soft_wrap=True)


def _run(step: Step) -> None:
    from datumrl.scripts import main

    if main.main(step.arguments) != 0:
        raise DatumrlError(
            f"the step `datumrl {shlex.join(step.arguments)}` did not finish; mend what it says "
            "above and run quickstart again, which goes on from there"
        )


def _farewell(out: Path, seconds: float) -> None:
    console.output.print(f"\n[bold]Done in {seconds:.0f} s.[/bold] What was made:")
    for path, what in [
        (out / "board" / "index.html", "the leaderboard page; open it in a browser"),
        (out / "runs" / "td3_bc", "run records with every episode's return, and checkpoints"),
        (out / "local", "the dataset, with its provenance"),
    ]:
        console.output.print(f"  {path}  [dim]{what}[/dim]", soft_wrap=True)
