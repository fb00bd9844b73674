"""Train the local suite's reference results and put them into the project (`make baselines`).

Run ``python -m datumrl.scripts.train_baselines``.  It collects the local datasets that are not in
DATUMRL_HOME and trains for about ten hours of two cores.  What is trained goes into
``DATUMRL_HOME/baselines``; killed, the next call resumes there.  Finished records are copied to
where `leaderboard.baseline_runs` reads them, after every dataset and at the start.  One whose
method, budget or settings are not those asked for here is stale: it is named and trained again.

Configurations are the methods' defaults, but for what a short budget leaves no time for: CQL does
not clone first (``bc_steps=0``, as CORL's configurations; its official code clones for 40,000
steps), and Decision Transformer warms up for a tenth of its steps, as 10,000 are of the 100,000 of
its official code.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from datumrl.algorithms import registry, training
from datumrl.datasets import files
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.records import RunRecord, read_record
from datumrl.leaderboard import baseline_runs
from datumrl.scripts import collect, console, train

EPISODES = 20


@dataclass(frozen=True)
class Batch:
    """Methods that are trained alike on one dataset."""

    dataset: str
    algorithms: tuple[str, ...]
    steps: int
    seeds: int
    settings: tuple[str, ...] = ()  # field=value, in place of the methods' defaults
    evaluate_every: int = 5_000


FULL = ("bc", "percent_bc", "td3_bc", "iql")
CLONING = ("bc",)
_SETS = [
    f"local/{robot}-{quality}-v1"
    for robot in ("hopper", "halfcheetah", "walker2d")
    for quality in ("medium-replay", "medium")
]
_EXPERT_SETS = [f"local/{robot}-expert-v1" for robot in ("hopper", "halfcheetah", "walker2d")]
_SHORT_SETS = ("local/hopper-medium-replay-v1", "local/hopper-medium-v1")
BATCHES = (  # in the order of training
    *(Batch(dataset, FULL, baseline_runs.FULL_BUDGET, 5) for dataset in _SETS),
    *(Batch(dataset, CLONING, baseline_runs.FULL_BUDGET, 5) for dataset in _EXPERT_SETS),
    *(Batch(dataset, ("cql",), 20_000, 3, ("bc_steps=0",)) for dataset in _SHORT_SETS),
    *(Batch(dataset, ("dt",), 10_000, 3, ("warmup_steps=1000",)) for dataset in _SHORT_SETS),
)


@dataclass(frozen=True)
class Command:
    """Train the reference results of the local suite, as far as they are not there yet."""

    datasets: tuple[str, ...] = ()
    """only these (default: all)"""
    workers: int | None = None
    """processes of one thread each (default: one per core)"""
    list: bool = False
    """say what is there, and train nothing"""

    def run(self) -> int:
        """Train what is missing, one dataset after the other."""
        wanted = [batch for batch in BATCHES if not self.datasets or batch.dataset in self.datasets]
        if not wanted:
            known = ", ".join(dict.fromkeys(batch.dataset for batch in BATCHES))
            raise DatumrlError(f"no baselines on {', '.join(self.datasets)}; there are on {known}")
        for batch in wanted:
            _keep(batch)
        for batch in wanted:
            if not self.list and _missing(batch):
                collect.Command((batch.dataset,), self.workers).run()
                for algorithm, seeds in _to_replace(batch).items():
                    command(batch, self.workers, algorithm, seeds).run()
                command(batch, self.workers).run()
                _keep(batch)
        for batch in wanted:
            _tell(batch)
        return 0


def _tell(batch: Batch) -> None:
    """Say how many runs are there, and what is wrong with those that do not count."""
    missing, names = _missing(batch), ", ".join(batch.algorithms)
    of = len(batch.algorithms) * batch.seeds
    state = f"{of - len(missing)} of {of} runs" if missing else "complete"
    console.output.print(f"{batch.dataset:36}{names:30}{state}", soft_wrap=True)
    for algorithm in batch.algorithms:
        for path in _paths(batch, algorithm, range(batch.seeds)):
            wrong = differences(batch, algorithm, read_record(path)) if path.exists() else []
            if wrong:
                console.output.print(f"  {path}: stale, {'; '.join(wrong)}", soft_wrap=True)


def command(
    batch: Batch,
    workers: int | None = None,
    algorithm: str | None = None,
    replaced: Sequence[int] | None = None,
) -> train.Command:
    """Return the command that trains a batch, or with ``replaced`` these seeds of one again."""
    algorithms = batch.algorithms if algorithm is None else (algorithm,)
    # Of several algorithms each has a folder below --out; a single one is trained in it.
    (first, *others) = algorithms
    return train.Command(
        algorithms=algorithms,
        on=(batch.dataset,),
        seeds=str(batch.seeds) if replaced is None else "".join(f"{seed}," for seed in replaced),
        steps=batch.steps,
        set=batch.settings,
        evaluate_every=batch.evaluate_every,
        episodes=EPISODES,
        workers=workers,
        out=_root() if others else _trained(batch, first),
        restart=replaced is not None,
    )


@functools.cache
def _job(batch: Batch, algorithm: str) -> training.Job:
    """Return what a batch trains of one method, with all its settings."""
    return training.plan(
        algorithm,
        batch.dataset,
        range(batch.seeds),
        batch.steps,
        registry.parse_settings(batch.settings),
        batch.evaluate_every,
        EPISODES,
    )


def differences(batch: Batch, algorithm: str, record: RunRecord) -> list[str]:
    """Say in what a record is no run of this batch's; a setting it lacks has its default."""
    job = _job(batch, algorithm)
    defaults = registry.configuration(registry.resolve(algorithm, {}))
    labels = [entry.algorithm for entry in _entries(job)]
    pairs = {
        "algorithm": (record.algorithm, record.algorithm if record.algorithm in labels else labels),
        "dataset": (record.dataset, batch.dataset),
        "budget": (record.budget.steps, batch.steps),
        "episodes": (record.protocol.episodes, EPISODES),
        "preset": (record.budget.preset, job.preset),
        "view": (record.configuration.get("view"), job.view),
        "revision": (
            record.configuration.get("revision"),
            registry.recorded_revision(algorithm).get("revision"),
        ),
        **{
            name: (record.configuration.get(name, defaults[name]), value)
            for name, value in registry.configuration(job.config).items()
            if value is not None  # otherwise it is taken from the data
        },
    }
    return [
        f"{name} is {found!r} and not {due!r}"
        for name, (found, due) in pairs.items()
        if found != due
    ]


def _entries(job: training.Job) -> list[registry.Entry]:
    return registry.entries(job.algorithm, registry.configuration(job.config))


def _paths(batch: Batch, algorithm: str, seeds: Iterable[int]) -> list[Path]:
    """Return where the records of some seeds are kept: one of each, or of each return target."""
    labels = [entry.algorithm for entry in _entries(_job(batch, algorithm))]
    return [_kept(batch) / label / f"seed-{seed}.json" for seed in seeds for label in labels]


def _root() -> Path:
    return files.home() / "baselines"


def _trained(batch: Batch, algorithm: str) -> Path:
    return _root() / algorithm / batch.dataset


def _kept(batch: Batch) -> Path:
    return baseline_runs.FOLDER / batch.dataset.partition("/")[2]


def _keep(batch: Batch) -> None:
    """Copy the finished records of a batch to where the board reads them."""
    for algorithm in batch.algorithms:
        for path, record in _records(batch, algorithm):
            if record.status != "running" and not differences(batch, algorithm, record):
                name = f"seed-{record.seed}.json"
                with files.replacing(_kept(batch) / record.algorithm / name) as handle:
                    handle.write(path.read_bytes())


def _records(batch: Batch, algorithm: str) -> list[tuple[Path, RunRecord]]:
    """Return what has been trained of one method, finished or not."""
    paths = sorted(_trained(batch, algorithm).rglob("seed-*.json"))
    return [(path, read_record(path)) for path in paths]


def _to_replace(batch: Batch) -> dict[str, list[int]]:
    """Return the seeds of each method that have been trained otherwise than they are to be."""
    found: dict[str, list[int]] = {}
    for algorithm in batch.algorithms:
        for path, record in _records(batch, algorithm):
            wrong = differences(batch, algorithm, record)
            if wrong:
                told = f"{path}: trained again, {'; '.join(wrong)}"
                console.notes.print(told, soft_wrap=True)
                found.setdefault(algorithm, []).append(record.seed)
    return {algorithm: sorted(set(seeds)) for algorithm, seeds in found.items()}


def _missing(batch: Batch) -> list[str]:
    """Return which runs of a batch are not kept yet, as ``algorithm seed N``."""
    return [
        f"{algorithm} seed {seed}"
        for algorithm in batch.algorithms
        for seed in range(batch.seeds)
        if not all(
            path.exists() and not differences(batch, algorithm, read_record(path))
            for path in _paths(batch, algorithm, [seed])
        )
    ]


def main() -> int:
    """Do it; exit code 2 with one line for what is wrong."""
    try:
        return tyro.cli(Command).run()
    except DatumrlError as problem:
        print(problem, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; what is done is kept, and the same command resumes", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
