"""`datumrl.train`: a stack of seeds of one method on one dataset, into a folder of run records."""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from datumrl.algorithms import registry
from datumrl.datasets import catalogue, files
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.views import View
from datumrl.evaluation.records import RunRecord

EVALUATE_EVERY = 5_000
EPISODES = 10
CHECKPOINT_SECONDS = 30.0


@dataclass(frozen=True)
class Job:
    """What is to be trained; two jobs that are equal give the same run."""

    algorithm: str
    config: Any  # the method's Config
    dataset: str
    seeds: tuple[int, ...]
    evaluate_every: int  # gradient steps; the last step is always evaluated too
    episodes: int  # per evaluation point and seed
    view: View
    device: str  # "cpu" or "cuda"

    def folder(self) -> Path:
        """Return where the run is kept unless told otherwise; differs wherever the jobs do."""
        settings = {
            "configuration": registry.configuration(self.config),
            "evaluate_every": self.evaluate_every,
            "episodes": self.episodes,
            "view": self.view,
            "device": self.device,
        }
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
        folder = files.home() / "runs" / self.algorithm / self.dataset
        return folder / f"{digest}-seeds-{_seed_range(self.seeds)}"


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    step: int
    steps: int
    losses: Mapping[str, float]  # last ones, mean over the seeds that are well
    mean_return: float | None  # at the last evaluation point, mean over the seeds that are well
    evaluated: bool = False  # has this very step just been evaluated?
    episodes: int | None = None  # of the evaluation going on, episodes done; None while training


def train(
    algorithm: str,
    dataset_id: str,
    seeds: Iterable[int] = range(5),
    steps: int | None = None,
    settings: Mapping[str, object] | None = None,
    evaluate_every: int = EVALUATE_EVERY,
    episodes: int = EPISODES,
    folder: Path | str | None = None,
    device: str = "auto",
    view: View = "correct",
    progress: Callable[[Progress], None] | None = None,
    restart: bool = False,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> list[RunRecord]:
    """Train all seeds as one stack; return the record of each, failed ones included.

    ``settings`` replace fields of the method's configuration, ``steps`` its number of gradient
    steps.  Every ``evaluate_every`` steps and at the end each policy is rolled out for ``episodes``
    episodes; records (``seed-000.json``...) and a checkpoint are then written to ``folder``, which
    defaults to a place under ``DATUMRL_HOME`` that depends on all of this.  A run that is there
    goes on where it stopped, to the very same result, or with ``restart`` is done anew.

    ``view`` says how episodes become transitions, see `datumrl.datasets.views`.  ``progress`` is
    called about twice a second.  Raises DatumrlError for input that cannot be used.
    """
    job = plan(
        algorithm, dataset_id, seeds, steps, settings, evaluate_every, episodes, device, view
    )
    where = Path(folder) if folder is not None else job.folder()
    return train_job(job, where, progress, restart, checkpoint_seconds)


def train_job(
    job: Job,
    folder: Path,
    progress: Callable[[Progress], None] | None = None,
    restart: bool = False,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> list[RunRecord]:
    """Do a job that `plan` made; see `train`."""
    from datumrl.algorithms import loop

    return loop.run(job, folder, restart, checkpoint_seconds, progress)


def reroll(
    folder: Path | str,
    episodes: int | None = None,
    offset: int = 10_000,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> list[RunRecord]:
    """Roll out the policies in a run's folder anew; return one record per seed, failed ones too.

    The policy of seed s meets the episodes of evaluation seed s + ``offset``; with 0 they are those
    of its training run, and so are the returns.  ``episodes`` defaults to the run's own number.
    ``progress`` is called with episodes done and episodes in all.
    """
    registry.require_torch("a run")
    if episodes is not None and episodes < 1:
        raise DatumrlError(f"episodes={episodes}: must be at least 1")
    if offset < 0:
        raise DatumrlError(f"offset={offset}: must not be negative")
    from datumrl.algorithms import policies

    return policies.reroll(Path(folder), episodes, offset, _device(device), progress)


def use_threads(count: int) -> None:
    """Let torch use so many threads on the CPU."""
    if count < 1:
        raise DatumrlError(f"threads={count}: must be at least 1")
    import torch

    torch.set_num_threads(count)


def plan(
    algorithm: str,
    dataset_id: str,
    seeds: Iterable[int] = range(5),
    steps: int | None = None,
    settings: Mapping[str, object] | None = None,
    evaluate_every: int = EVALUATE_EVERY,
    episodes: int = EPISODES,
    device: str = "auto",
    view: View = "correct",
) -> Job:
    """Check all that `train` is given, without touching data, and return the job."""
    settings = dict(settings or {})
    if steps is not None:
        if "steps" in settings:
            raise DatumrlError(f"steps={settings['steps']}: steps are given twice; give them once")
        settings["steps"] = steps
    config = registry.resolve(algorithm, settings)
    if view not in get_args(View):
        raise DatumrlError(f"{view!r} is no view of transitions; use {' or '.join(get_args(View))}")
    for name, value in (("evaluate_every", evaluate_every), ("episodes", episodes)):
        if value < 1:
            raise DatumrlError(f"{name}={value}: must be at least 1")
    return Job(
        algorithm,
        config,
        catalogue.find(dataset_id).id,
        _checked_seeds(seeds),
        evaluate_every,
        episodes,
        view,
        _device(device),
    )


def _checked_seeds(seeds: Iterable[int]) -> tuple[int, ...]:
    try:
        checked = tuple(operator.index(seed) for seed in seeds)
    except TypeError:
        raise DatumrlError(f"seeds={seeds!r}: seeds are integers, for example range(5)") from None
    if not checked:
        raise DatumrlError("no seeds; give at least one, for example range(5)")
    if min(checked) < 0:
        raise DatumrlError(f"seed {min(checked)}: seeds are not negative")
    repeated = {seed for seed in checked if checked.count(seed) > 1}
    if repeated:
        raise DatumrlError(f"seed {min(repeated)} is given twice; a run counts once")
    return checked


def _device(name: str) -> str:
    import torch

    if name not in ("auto", "cpu", "cuda"):
        raise DatumrlError(f"device {name!r}; choose auto, cpu or cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise DatumrlError("device 'cuda': this torch finds no CUDA GPU; use --device cpu")
    if name == "auto":
        return "cuda" if available else "cpu"
    return name


def _seed_range(seeds: tuple[int, ...]) -> str:
    if len(seeds) > 1 and seeds == tuple(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}-{seeds[-1]}"
    if len(seeds) <= 8:
        return "+".join(str(seed) for seed in seeds)
    return hashlib.sha256(repr(seeds).encode()).hexdigest()[:8]
