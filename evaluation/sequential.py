"""AdaStop over blocks of seeds: from records at hand, or training only what the decision needs.

Scores of several datasets are put to the test in one of two ways.  By default each seed has one
*suite score*, its mean over the datasets: one question ("is it better on this suite?"), the fewest
comparisons, and so the fewest runs.  A *family* asks the question on every dataset: an entry is
``iql@d4rl/hopper-medium-v2``, comparisons are within a dataset, and the level is shared over all of
them, so that the chance of any false decision on any dataset is at most alpha; it needs more runs
and may call an algorithm larger here and smaller there.

Who trains is passed in: ``run(algorithm, dataset, seeds)`` returns their records, and does not
retrain what is finished.  After every interim the state is written as JSON; a killed comparison
goes on from there.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from datumrl.datasets import catalogue, files
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import adastop, group_test, score_table, scored_runs
from datumrl.evaluation.adastop import State
from datumrl.evaluation.adastop_design import Design
from datumrl.evaluation.group_test import GroupTest
from datumrl.evaluation.records import RunRecord, is_scored
from datumrl.evaluation.score_table import ScoreTable

SCHEMA = "datumrl-comparison/1"

Run = Callable[[str, str, Sequence[int]], Sequence[RunRecord]]
BlockScores = Callable[[str, str, int], Sequence[float]]  # algorithm, dataset, interim from 0


@dataclass(frozen=True)
class Question:
    """What is compared, and how; fixed before the first run."""

    algorithms: tuple[str, ...]
    datasets: tuple[str, ...]
    runs: int = 5
    interims: int = 5
    alpha: float = 0.05
    comparisons: str | tuple[tuple[str, str], ...] = "all-pairs"  # or against-first, or pairs
    family: bool = False
    procedure: str = "closed"
    permutations: int = 10_000
    seed: int = 0

    @property
    def cells(self) -> dict[str, list[tuple[str, str]]]:
        """Return the pairs of algorithm and dataset behind each entry of the test."""
        if self.family:
            return {f"{a}@{d}": [(a, d)] for d in self.datasets for a in self.algorithms}
        return {a: [(a, d) for d in self.datasets] for a in self.algorithms}

    def design(self) -> Design:
        """Return AdaStop's design; one that can never decide is refused with the runs it needs."""
        comparisons = self.comparisons
        if self.family and (pairs := self._pairs()):
            comparisons = tuple((f"{a}@{d}", f"{b}@{d}") for d in self.datasets for a, b in pairs)
        return Design(
            tuple(self.cells),
            self.runs,
            self.interims,
            self.alpha,
            comparisons,
            self.permutations,
            self.procedure,
            seed=self.seed,
        )

    def _pairs(self) -> Sequence[tuple[str, str]]:
        """Return the comparisons on one dataset; none for a word that the design will refuse."""
        if not isinstance(self.comparisons, str):
            return self.comparisons
        pairs = list(itertools.combinations(self.algorithms, 2))
        first = [pair for pair in pairs if pair[0] == self.algorithms[0]]
        return {"all-pairs": pairs, "against-first": first}.get(self.comparisons, [])


def play(
    question: Question,
    block: BlockScores,
    state: State | None = None,
    after: Callable[[State], None] | None = None,
) -> State:
    """Feed blocks until everything is decided; ``after`` sees the state of every interim."""
    state = state or adastop.start(question.design())
    while not state.finished:
        interim = len(state.blocks)
        scores = {
            entry: np.mean(
                [block(a, d, interim) for a, d in question.cells[entry]], axis=0
            ).tolist()
            for entry in state.wanted
        }
        state = adastop.update(state, scores)
        if after is not None:
            after(state)
    return state


def group_test_of(question: Question, state: State, ordered: Sequence[str] = ()) -> GroupTest:
    """Return the decisions as a report shows them, with the runs used and saved."""
    cells = question.cells
    used = {entry: count * len(cells[entry]) for entry, count in state.runs_used.items()}
    fixed = question.runs * question.interims * sum(len(found) for found in cells.values())
    total = sum(used.values())
    per = ", ".join(f"{entry} {count}" for entry, count in used.items())
    words = (
        f"{total} of {fixed} runs used, {fixed - total} saved against the fixed design ({per}); "
        f"{len(state.blocks)} of {question.interims} interims."
    )
    sequential: dict[str, object] = {
        "words": words,
        "runs_used": used,
        "runs_total": total,
        "runs_fixed": fixed,
        "runs_saved": fixed - total,
        "interims_used": len(state.blocks),
        "question": asdict(question),
    }
    what = "a family over comparisons and datasets" if question.family else "a suite score per seed"
    names = list(ordered) or list(question.algorithms)
    letters = {} if question.family else group_test.lettered(names, state)
    method = f"AdaStop, {group_test.described(state.design)}; {what}"
    return GroupTest(state.comparisons, letters, method, sequential=sequential)


def on_records(table: ScoreTable, ordered: Sequence[str], question: Question) -> GroupTest:
    """Replay a sequential comparison on the seeds of a table, in their order.

    Raises DatumrlError where an undecided comparison needs more seeds than a dataset has, and where
    one is asked for of an algorithm without defined scores.
    """
    _check_defined(table, question)
    if len(ordered) < 2:
        return GroupTest((), {}, "", "fewer than two algorithms have defined scores")
    scores = {
        (name, dataset): values
        for name in question.algorithms
        for dataset, values in zip(table.common, table.scores(name).tasks, strict=True)
    }

    def block(algorithm: str, dataset: str, interim: int) -> Sequence[float]:
        values = scores[algorithm, dataset]
        start, stop = interim * question.runs, (interim + 1) * question.runs
        if len(values) < stop:
            raise DatumrlError(
                f"{algorithm} on {dataset}: {len(values)} runs, but interim {interim + 1} of "
                f"{question.interims} needs {stop} in all; use fewer --interims or --runs"
            )
        return values[start:stop].tolist()

    return group_test_of(question, play(question, block), ordered)


def _check_defined(table: ScoreTable, question: Question) -> None:
    """Refuse pairs of an algorithm whose scores are undefined, with the reason."""
    wanted = () if isinstance(question.comparisons, str) else question.comparisons
    for pair in wanted:
        for name in pair:
            if name in table.algorithms and (reason := table.undefined(name)):
                raise DatumrlError(
                    f"comparison {pair[0]}:{pair[1]}: {name} has no defined scores: {reason}"
                )


@dataclass
class Training:
    """A sequential comparison that trains; ``settings`` are those of the trainer (JSON values).

    ``file`` holds the state.  ``measured`` is what the runs of each dataset must have in common.
    """

    question: Question
    run: Run
    file: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    rule: str | None = None
    failed_as: float | None = None
    tell: Callable[[State], None] | None = None
    measured: dict[str, list[str | None]] = field(default_factory=dict)

    def decide(self) -> State:
        """Train until everything is decided, going on where an earlier call was cut off."""
        return play(self.question, self._block, self._resumed(), self._keep)

    def records(self, state: State) -> list[RunRecord]:
        """Return the record of every run that a state rests on; none is trained for it."""
        return [
            record
            for entry, count in state.runs_used.items()
            for algorithm, dataset in self.question.cells[entry]
            for record in self._trained(algorithm, dataset, range(count))
        ]

    def _resumed(self) -> State | None:
        if not self.file.exists():
            return None
        kept, self.measured, state = _read_state(self.file)
        own = self._described()
        if kept.get("failed_as") is None:  # no failure was scored so far
            kept = {**kept, "failed_as": own["failed_as"]}
        differing = [name for name in {**kept, **own} if kept.get(name) != own.get(name)]
        if differing:
            name = sorted(differing)[0]
            raise DatumrlError(
                f"{self.file.parent} holds a comparison with {name}={kept.get(name)}, not "
                f"{own.get(name)}; use the same options, or another --out"
            )
        if state.design != self.question.design():
            raise _damaged(self.file, "its design is not that of its settings")
        return state

    def _described(self) -> dict[str, Any]:
        flat = {**asdict(self.question), **self.settings}
        described = {**flat, "checkpoint": self.rule, "failed_as": self.failed_as}
        told: dict[str, Any] = json.loads(json.dumps(described))  # as it is read back
        return told

    def _keep(self, state: State) -> None:
        files.write_json(
            self.file,
            {
                "schema": SCHEMA,
                "settings": self._described(),
                "measured": self.measured,
                "adastop": adastop.to_json(state),
            },
        )
        if self.tell is not None:
            self.tell(state)

    def _block(self, algorithm: str, dataset: str, interim: int) -> Sequence[float]:
        seeds = range(interim * self.question.runs, (interim + 1) * self.question.runs)
        return [self._score(record) for record in self._trained(algorithm, dataset, seeds)]

    def _trained(self, algorithm: str, dataset: str, seeds: Sequence[int]) -> list[RunRecord]:
        """Return one record of each seed, under the name that the question uses."""
        found = list(self.run(algorithm, dataset, seeds))
        names = sorted({record.algorithm for record in found})
        if len(names) > 1:
            raise DatumrlError(
                f"{algorithm} gives several results for each seed ({', '.join(names)}), and a "
                "sequential comparison needs one; choose it with --set"
            )
        records = {record.seed: record for record in found}
        if set(records) != set(seeds):
            raise DatumrlError(
                f"{algorithm} on {dataset}: seeds {sorted(records)} were trained, not "
                f"{list(seeds)}; the trainer must return a record of every seed"
            )
        return [records[seed].model_copy(update={"algorithm": algorithm}) for seed in seeds]

    def _score(self, record: RunRecord) -> float:
        self._check_measured(record)
        (run,) = scored_runs.from_records([record])
        if run.status == "complete" and run.unit is not None:
            return score_table.score_of(run, run.unit, self.rule or run.rule)
        if run.status == "failed" and self.failed_as is not None:
            return self.failed_as
        remedy = (
            "say what a failed run scores with --failed-as and run the same command again"
            if run.status == "failed"
            else "let it finish"
        )
        raise DatumrlError(f"{run.title}: {run.status} ({run.reason}); {remedy}")

    def _check_measured(self, record: RunRecord) -> None:
        own = [record.protocol.digest, record.dataset_sha256]
        known = self.measured.setdefault(record.dataset, list(own))
        content = [record.dataset_content_sha256] if record.dataset_content_sha256 else []
        if known[:2] != own or (known[2:] and content and known[2:] != content):
            raise DatumrlError(
                f"{record.algorithm} on {record.dataset}, seed {record.seed}: the evaluation "
                "protocol, an engine version or the dataset changed since earlier runs of this "
                "comparison; restore it, or start again with another --out"
            )
        known[2:] = known[2:] or content  # not known so far is no other data


def _read_state(file: Path) -> tuple[dict[str, Any], dict[str, list[str | None]], State]:
    """Return the settings, what was measured and the state that a file holds."""
    content = files.read_json(file)
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise DatumrlError(f"{file} is no state of a comparison; choose another --out")
    for name in ("settings", "measured", "adastop"):
        if not isinstance(content.get(name), dict):
            raise _damaged(file, f"its {name} are no JSON object")
    if not all(isinstance(each, list) for each in content["measured"].values()):
        raise _damaged(file, "what was measured is no list for each dataset")
    try:
        state = adastop.from_json(content["adastop"])
    except DatumrlError as problem:
        raise _damaged(file, str(problem)) from None
    return content["settings"], content["measured"], state


def _damaged(file: Path, what: str) -> DatumrlError:
    return DatumrlError(
        f"{file} is damaged ({what}); restore it, or delete it: the runs stay, and the same "
        "command decides by them again"
    )


def check_suite(question: Question) -> None:
    """Refuse datasets that no report can hold together: without normalised scores, or returns."""
    known = [catalogue.find(name) for name in question.datasets]
    if len({record.id for record in known}) < len(known) or not known:
        raise DatumrlError(f"datasets {', '.join(question.datasets)}: give each once, at least one")
    if silent := [record.id for record in known if record.environment is None]:
        raise DatumrlError(
            f"{silent[0]} has no environment, so policies trained on it have no returns to "
            "compare; leave it out"
        )
    if len(known) == 1:
        return
    for record in known:
        if not is_scored(record):
            raise DatumrlError(
                f"{record.id} has no normalised scores, so its returns have no common scale with "
                "other datasets; leave it out, or compare on it alone"
            )
