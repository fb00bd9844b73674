"""TensorBoard and Weights & Biases: per seed, losses as training goes and returns and scores.

A `Trackers` is told of each job's progress, like a progress display, and costs nothing when there
is none.  Returns and scores are taken from the run's records.  How far each seed has been logged is
kept in ``trackers.json`` beside them, so that a resumed run goes on in the same TensorBoard folder
and the same Weights & Biases run, and no step is logged twice.
"""

from __future__ import annotations

import importlib
import math
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from datumrl.algorithms import registry
from datumrl.algorithms.training import Job, Progress
from datumrl.datasets import files
from datumrl.datasets.errors import DatumrlError, installed_by
from datumrl.evaluation.records import RunRecord, read_record, score_rows

FILE = "trackers.json"


class _Sink(Protocol):
    """One seed's run in one tracker."""

    def log(self, step: int, scalars: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class Trackers:
    """Tells TensorBoard and Weights & Biases how jobs go; a context manager."""

    def __init__(
        self,
        tensorboard: Path | str | bool = False,
        wandb: str | None = None,
        restart: bool = False,
    ) -> None:
        """``tensorboard`` is a folder for all runs, or True for one in each run's own folder;
        ``wandb`` is a project.  With ``restart`` what was logged of a run before is forgotten.

        Raises DatumrlError if a tracker that is asked for is not installed.
        """
        if tensorboard:
            _require("tensorboard")
        if wandb:
            _require("wandb")
        self._tensorboard = tensorboard if isinstance(tensorboard, bool) else Path(tensorboard)
        self._wandb, self._restart = wandb, restart
        self._jobs: dict[Path, _Job] = {}

    def __enter__(self) -> Trackers:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._jobs.values():
            each.close()

    def update(self, job: Job, folder: Path, progress: Progress) -> None:
        """Log what is new about a job."""
        if not (self._tensorboard or self._wandb) or progress.episodes is not None:
            return
        if folder not in self._jobs:
            self._jobs[folder] = _Job(job, folder, self._tensorboard, self._wandb, self._restart)
        self._jobs[folder].update(progress)

    def finish(self, job: Job, folder: Path) -> None:
        """Log the evaluation points of a finished job that are not yet logged."""
        steps = job.config.steps
        if not self._complete(job, folder):
            self.update(job, folder, Progress(steps, steps, {}, None, evaluated=True))

    def _complete(self, job: Job, folder: Path) -> bool:
        """Return whether nothing of a job is left to log."""
        path, names = folder / FILE, _names(self._tensorboard, self._wandb)
        if (self._restart and folder not in self._jobs) or not path.exists():
            return not names
        known = files.read_json(path)
        return all(
            known.get(name, {}).get(str(seed), {"logged": -1})["logged"]
            >= max(_points(folder, seed), default=0)
            for name in names
            for seed in job.seeds
        )


class _Job:
    """The seeds of one job in every tracker asked for."""

    def __init__(
        self, job: Job, folder: Path, tensorboard: Path | bool, wandb: str | None, restart: bool
    ) -> None:
        self._job, self._folder, self._path = job, folder, folder / FILE
        known = {} if restart or not self._path.exists() else files.read_json(self._path)
        self._known: dict[str, Any] = known
        self._sinks: dict[tuple[str, int], _Sink] = {}
        for seed in job.seeds:
            if tensorboard:
                where = self._tensorboard_folder(tensorboard, seed)
                (name,) = _names(tensorboard, None)
                if self._state(name, seed, {"logged": 0})["logged"] == 0:
                    for old in where.glob("events.out.tfevents.*"):
                        old.unlink()
                self._sinks[name, seed] = _TensorBoard(where)
            if wandb:
                fresh = {"logged": 0, "id": uuid.uuid4().hex[:12]}
                state = self._state(f"wandb {wandb}", seed, fresh)
                self._sinks[f"wandb {wandb}", seed] = _WandB(wandb, state["id"], job, seed, folder)
        self._write()

    def _tensorboard_folder(self, root: Path | bool, seed: int) -> Path:
        if isinstance(root, bool):
            return self._folder / "tensorboard" / f"seed-{seed:03d}"
        digest = self._job.folder().name.partition("-seeds-")[0]
        run = f"{self._job.algorithm}/{self._job.dataset}/{digest}"
        return root / run / f"seed-{seed:03d}"

    def _state(self, tracker: str, seed: int, fresh: dict[str, Any]) -> dict[str, Any]:
        state: dict[str, Any] = self._known.setdefault(tracker, {}).setdefault(str(seed), fresh)
        return state

    def update(self, progress: Progress) -> None:
        """Log each seed's losses at this step and the evaluation points not yet logged."""
        for place, seed in enumerate(self._job.seeds):
            points = _points(self._folder, seed) if progress.evaluated else {}
            losses = {
                f"loss/{name}": values[place]
                for name, values in progress.seed_losses.items()
                if math.isfinite(values[place])
            }
            points.setdefault(progress.step, {}).update(losses)
            for (tracker, of), sink in self._sinks.items():
                if of == seed:
                    self._log(sink, self._known[tracker][str(seed)], points)
        self._write()

    def _log(self, sink: _Sink, state: dict[str, Any], points: dict[int, dict[str, float]]) -> None:
        for step in sorted(points):
            if step > state["logged"] and points[step]:
                sink.log(step, points[step])
                state["logged"] = step

    def _write(self) -> None:
        files.write_json(self._path, self._known)

    def close(self) -> None:
        for sink in self._sinks.values():
            sink.close()


def _names(tensorboard: Path | bool, wandb: str | None) -> list[str]:
    """Return what each tracker is known as in ``trackers.json``."""
    names = [f"tensorboard {'' if tensorboard is True else tensorboard}".strip()]
    return (names if tensorboard else []) + ([f"wandb {wandb}"] if wandb else [])


def _points(folder: Path, seed: int) -> dict[int, dict[str, float]]:
    """Return step -> return, length and score of one seed's records in the run's folder."""
    points: dict[int, dict[str, float]] = {}
    for path in sorted(folder.glob(f"seed-{seed:03d}*.json")):
        entry = path.stem.removeprefix(f"seed-{seed:03d}").strip("-")
        for step, scalars in _scalars(read_record(path)).items():
            named = {f"{name}{'/' if entry else ''}{entry}": x for name, x in scalars.items()}
            points.setdefault(step, {}).update(named)
    return points


def _scalars(record: RunRecord) -> dict[int, dict[str, float]]:
    scores = {row.step: row.score for row in score_rows(record)}
    found = {}
    for point in record.evaluations:
        scalars = {
            "evaluation/return": math.fsum(point.returns) / len(point.returns),
            "evaluation/length": sum(point.lengths) / len(point.lengths),
        }
        score = scores.get(point.step)
        if score is not None:
            scalars["evaluation/score"] = score
        found[point.step] = scalars
    return found


class _TensorBoard:
    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        with files.storage_errors(folder):
            self._writer: Any = SummaryWriter(str(folder))

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()  # what is said to be logged must outlive this process

    def close(self) -> None:
        self._writer.close()


class _WandB:
    def __init__(self, project: str, run_id: str, job: Job, seed: int, folder: Path) -> None:
        import wandb

        self._run: Any = wandb.init(
            project=project,
            id=run_id,
            resume="allow",
            reinit="create_new",  # the seeds' runs are open side by side
            name=f"{job.algorithm} {job.dataset} seed {seed}",
            group=f"{job.algorithm} {job.dataset} {job.folder().name.partition('-')[0]}",
            dir=str(folder),
            config={
                "algorithm": job.algorithm,
                "dataset": job.dataset,
                "seed": seed,
                "preset": job.preset,
                "view": job.view,
                **registry.configuration(job.config),
            },
            settings=wandb.Settings(silent=True, console="off", disable_git=True, save_code=False),
        )

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        self._run.log(dict(scalars), step=step, commit=True)

    def close(self) -> None:
        self._run.finish()


def _require(package: str) -> None:
    try:
        importlib.import_module(package)
    except ImportError as problem:
        raise DatumrlError(
            f"--{package}: {package} is not installed ({problem}); install it with "
            f"{installed_by('tracking')}"
        ) from problem
