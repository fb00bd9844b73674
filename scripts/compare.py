"""`datumrl compare`: the report, and the sequential comparison that trains."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from datumrl.datasets.errors import DatumrlError
from datumrl.scripts import console, options

if TYPE_CHECKING:
    from datumrl.evaluation.group_test import GroupTest
    from datumrl.evaluation.report_parts import Options, Report
    from datumrl.evaluation.score_table import ScoreTable
    from datumrl.evaluation.scored_runs import ScoredRun
    from datumrl.evaluation.sequential import Question

ADASTOP_EXAMPLE = "adastop-walker"
# Options that say something in one way of comparing only.
_DECIDING = ("pairs", "runs", "interims", "family", "procedure")
_TRAINING = ("on", "steps", "set", "preset", "evaluate_every", "episodes", "device", "workers")
_FINISHED = ("algorithms", "datasets", "adastop")


@dataclass(frozen=True)
class Command:
    """Compare finished records (IQM, intervals, groups, pairs), or train until they are decided.

    Compared are folders of runs, record files, CSV files of scores (docs/statistics.md tells their
    columns), or ids of published tables with raw scores (`datumrl reproduce` lists them).

    With --sequential, algorithms are trained instead, in blocks of seeds, until AdaStop has decided
    every comparison; a comparison that was killed goes on where it was.
    """

    records: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """run folders, seed-*.json files, CSV files of scores, or ids of published tables
    with raw scores;
    adastop-walker shows AdaStop's published example, decided as released and at its level"""
    algorithms: tuple[str, ...] = ()
    """only these algorithms"""
    datasets: tuple[str, ...] = ()
    """only these datasets"""
    checkpoint: Literal["last", "last-10-mean", "best"] | None = None
    """which evaluation of a run counts (default: as its protocol says, else last)"""
    failed_as: float | None = None
    """score of a failed run; without it a failure leaves the algorithm's numbers undefined"""
    interval: Literal["auto", "percentile", "basic", "bca", "studentised", "t"] = "auto"
    """interval method; auto is t, on average the one that holds best at 3 to 5 runs"""
    bootstrap: Literal["runs", "runs+tasks"] = "runs"
    """what is resampled: runs on these tasks, or also the choice of tasks"""
    confidence: float = 0.95
    """confidence of the intervals"""
    baseline: str | None = None
    """compare every algorithm with this one only"""
    pairs: tuple[str, ...] = ()
    """decide these comparisons only, with --sequential or --adastop, e.g. --pairs iql:bc dt:bc"""
    only_pairs: bool = False
    """print the pairs only"""
    gamma: float = 100.0
    """score from which the optimality gap is measured"""
    resamples: int = 10_000
    """bootstrap resamples"""
    seed: int = 0
    """seed of resamples and permutations; the same seed gives the same digits"""
    alpha: float = 0.05
    """chance of any false decision that is allowed"""
    adastop: bool = False
    """replay a sequential comparison on finished records: which runs would have been enough?"""
    sequential: tuple[str, ...] = ()
    """algorithms to train and compare, as few seeds as the decision needs"""
    on: tuple[str, ...] = ()
    """dataset ids that --sequential trains on"""
    runs: int = 5
    """seeds of each algorithm per interim"""
    interims: int = 5
    """at most so many interims"""
    family: bool = False
    """decide on every dataset, as one family, instead of on a suite score per seed"""
    procedure: Literal["closed", "independent", "shared", "joint", "released"] = "closed"
    """closed holds its level; the others are kept to compare with"""
    steps: int | None = None
    """gradient steps of --sequential (default: the algorithm's own, mostly 1000000)"""
    set: tuple[str, ...] = ()
    """configuration fields of --sequential, e.g. --set batch_size=128"""
    preset: Literal["official", "corl"] | None = None
    """published values for --sequential, as in `datumrl train`"""
    evaluate_every: int | None = None
    """gradient steps between evaluation points of --sequential (default: the preset's, or 5,000)"""
    episodes: int | None = None
    """episodes per evaluation point of --sequential (default: the preset's, or 10)"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where --sequential trains"""
    workers: int | None = None
    """processes that --sequential trains with (default: chosen for this machine)"""
    out: Path | None = None
    """folder for report.md, .tex, .csv, .json, figures, which an earlier report there gives way to;
    with --sequential for its state and runs, and the report in a folder below"""
    json: bool = False
    """print JSON"""

    def run(self) -> int:
        self._check()
        if self.records == (ADASTOP_EXAMPLE,):
            return _show_adastop_example(self.seed, self.json)
        report = self._train() if self.sequential else self._compare()
        if self.out is not None:
            from datumrl.evaluation import report_files

            target = self._report_folder(self.out)
            written = report_files.write(report, target)
            told = f"wrote {target} ({len(written)} files)"
            console.notes.print(told, soft_wrap=True, markup=False)
        self._print(report)
        return 0

    def _check(self) -> None:
        if bool(self.records) == bool(self.sequential):
            raise DatumrlError(
                "give records to compare (folders, files, a published table), or algorithms to "
                "train with --sequential; not both"
            )
        if self.sequential and not self.on:
            raise DatumrlError("--sequential needs datasets: --on local/inverted-pendulum-mixed-v1")
        self._refuse_idle()
        if self.pairs and self.baseline is not None:
            raise DatumrlError("--pairs and --baseline both choose comparisons; give one of them")
        self._options()
        if self.out is not None:
            from datumrl.evaluation import report_files

            report_files.check_target(self._report_folder(self.out))

    def _refuse_idle(self) -> None:
        """Refuse options that would change nothing: whoever gives one expects that it does."""
        if self.records == (ADASTOP_EXAMPLE,):
            every = {field.name for field in dataclasses.fields(self)}
            own = every - {"records", "seed", "json"}
            self._refuse(sorted(own), f"not for {ADASTOP_EXAMPLE}, which shows what is published")
        if self.sequential:
            self._refuse(_FINISHED, "for finished records; --sequential trains --on datasets")
        else:
            self._refuse(_TRAINING, "for --sequential, which trains")
        if not (self.adastop or self.sequential):
            self._refuse(_DECIDING, "for --sequential and --adastop")

    def _refuse(self, names: Sequence[str], why: str) -> None:
        if given := options.changed(self, names):
            raise DatumrlError(f"{given}: {why}; leave it out")

    def _report_folder(self, out: Path) -> Path:
        return out / "report" if self.sequential else out  # state and runs are no report's

    def _compare(self) -> Report:
        runs, notes = gather(self.records, self.algorithms, self.datasets)
        tester = self._replay if self.adastop else None
        if self.adastop:
            notes.append("--adastop: decisions use as many runs as told, intervals use all runs")
        return self._report(runs, self.algorithms, self.datasets, tester, notes)

    def _report(
        self,
        runs: Sequence[ScoredRun],
        algorithms: Sequence[str],
        datasets: Sequence[str],
        tester: Callable[[ScoreTable, Sequence[str]], GroupTest] | None,
        notes: Sequence[str],
    ) -> Report:
        from datumrl.evaluation import report

        with console.Bars() as bars:
            return report.compare(
                runs,
                algorithms,
                datasets,
                tester,
                notes,
                bars.bar("comparing", "parts"),
                **dataclasses.asdict(self._options()),
            )

    def _options(self) -> Options:
        """Return the report's options; raises DatumrlError for those that make no sense."""
        from datumrl.evaluation.report_parts import Options

        named = (field.name for field in dataclasses.fields(Options))
        return Options(**{name: getattr(self, name) for name in named})

    def _question(self, algorithms: Sequence[str], datasets: Sequence[str]) -> Question:
        from datumrl.evaluation.sequential import Question

        names = list(algorithms)
        if self.baseline is not None:
            from datumrl.evaluation import compatibility

            compatibility.pick([self.baseline], names, "algorithm")
            names = [self.baseline, *(name for name in names if name != self.baseline)]
        return Question(
            algorithms=tuple(names),
            datasets=tuple(datasets),
            runs=self.runs,
            interims=self.interims,
            alpha=self.alpha,
            comparisons=self._comparisons(),
            family=self.family,
            procedure=self.procedure,
            seed=self.seed,
        )

    def _comparisons(self) -> str | tuple[tuple[str, str], ...]:
        if self.pairs:
            return tuple(_pair(text) for text in self.pairs)
        return "all-pairs" if self.baseline is None else "against-first"

    def _replay(self, table: ScoreTable, ordered: Sequence[str]) -> GroupTest:
        from datumrl.evaluation import sequential

        names = [name for name in table.algorithms if name in ordered]
        return sequential.on_records(table, ordered, self._question(names, table.common))

    def _train(self) -> Report:
        from datumrl.algorithms import executor
        from datumrl.evaluation import scored_runs, sequential
        from datumrl.scripts import sequential_comparison

        question = self._question(self.sequential, self.on)
        question.design()  # refuses what can never decide, before anything is trained
        sequential.check_suite(question)
        asked = self._training_options()
        jobs = sequential_comparison.jobs(question, asked)
        sequential_comparison.check_report(jobs, self._options(), self.family)
        settings = sequential_comparison.settings(jobs)
        folder = self.out or sequential_comparison.default_folder(question, settings)
        # Without --out, runs lie where `datumrl train` keeps its own, and those at hand are used.
        root = self.out / "runs" if self.out else None
        with console.Bars() as bars:
            show = sequential_comparison.shown_in(bars)
            training = sequential.Training(
                question,
                executor.trainer(root, self.workers, show, **asked),
                folder / "state.json",
                settings,
                self.checkpoint,
                self.failed_as,
                sequential_comparison.tell,
            )
            state = training.decide()
            runs = scored_runs.from_records(training.records(state))
        console.notes.print(f"state: {training.file}", soft_wrap=True, markup=False)
        return self._report(
            runs,
            question.algorithms,
            (),
            lambda table, ordered: sequential.group_test_of(question, state, ordered),
            [
                "the numbers of runs were chosen by the scores: the decisions allow for it, "
                "intervals and P(X > Y) do not"
            ],
        )

    def _training_options(self) -> dict[str, Any]:
        from datumrl.algorithms import registry

        return {
            "steps": self.steps,
            "settings": registry.parse_settings(self.set, self.sequential),
            "evaluate_every": self.evaluate_every,
            "episodes": self.episodes,
            "device": self.device,
            "preset": self.preset,
        }

    def _print(self, report: Report) -> None:
        from datumrl.evaluation import report_text

        if self.json:
            console.print_json(report_text.as_json(report))
        else:
            told = report_text.plain(report, self.only_pairs)
            console.output.print(told, soft_wrap=True, markup=False)


def _pair(text: str) -> tuple[str, str]:
    first, colon, second = text.partition(":")
    if not (colon and first and second) or ":" in second:
        raise DatumrlError(f"--pairs {text}: give two algorithms with a colon between, as iql:bc")
    return first, second


def gather(
    names: Sequence[str], algorithms: Sequence[str] = (), datasets: Sequence[str] = ()
) -> tuple[list[ScoredRun], list[str]]:
    """Return the runs of paths and published tables, and notes on what was left out."""
    from datumrl.evaluation import scored_runs
    from datumrl.leaderboard import published_runs, registered

    known = published_runs.ids()
    without = {table.about.id for table in registered.all_tables()} - set(known)
    paths = [Path(name) for name in names if name not in known]
    for path in paths:
        if not path.exists():
            if str(path) in without:
                raise DatumrlError(
                    f"{path}: no raw scores of this table are at hand, only its cells; those of "
                    f"{', '.join(known)} are"
                )
            close = difflib.get_close_matches(str(path), known, n=1, cutoff=0.5)
            remedy = f"did you mean the published table {close[0]}?" if close else "check the path"
            raise DatumrlError(f"{path}: no such file, folder or published table; {remedy}")
    runs = scored_runs.read(paths)
    notes: list[str] = []
    for name in dict.fromkeys(name for name in names if name in known):
        found, said = published_runs.scored(name, algorithms, datasets)
        runs += found
        notes += said
    return runs, notes


def _show_adastop_example(seed: int, as_json: bool) -> int:
    from datumrl.leaderboard import adastop_example

    example = adastop_example.decide(seed)
    if as_json:
        console.print_json(dataclasses.asdict(example))
    else:
        console.output.print(adastop_example.markdown(example), markup=False)
    return 0
