"""`datumrl.train`: a stack of seeds of one method on one dataset, into a folder of run records."""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from datumrl.algorithms import presets, registry, run_notes
from datumrl.datasets import catalogue, files
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.views import View
from datumrl.evaluation import environments
from datumrl.evaluation.records import RunRecord

CHECKPOINT_SECONDS = 30.0
EXACT: Literal["highest"] = "highest"
Precision = Literal["highest", "medium"]  # medium: factors in bfloat16, see `stack.product`


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
    preset: str = presets.NONE  # of which published values, as recorded
    matmul_precision: Precision = EXACT  # of the updates' matrix products
    nearest: bool = False  # roll out in an environment that is only the nearest

    def as_json(self) -> dict[str, Any]:
        """Return the job as JSON values, for another process or machine."""
        fields = {**vars(self), "config": registry.configuration(self.config)}
        return {**fields, "seeds": list(self.seeds)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Job:
        """Return the job that `as_json` described."""
        config = registry.resolve(content["algorithm"], content["config"])
        return cls(**{**content, "config": config, "seeds": tuple(content["seeds"])})

    def folder(self, root: Path | None = None) -> Path:
        """Return where the run is kept unless told otherwise; differs wherever the jobs do.

        ``root`` is by default the ``runs`` under ``DATUMRL_HOME``.
        """
        settings = {
            "configuration": registry.configuration(self.config),
            "evaluate_every": self.evaluate_every,
            "episodes": self.episodes,
            "view": self.view,
            "device": self.device,
            **self.recorded_preset(),
            **self.recorded_precision(),
            **registry.recorded_revision(self.algorithm),
            **({"nearest": True} if self.nearest else {}),
        }
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
        folder = (root or files.home() / "runs") / self.algorithm / self.dataset
        return folder / f"{digest}-{seeds_name(self.seeds)}"

    def recorded_preset(self) -> dict[str, str]:
        """Return what the preset adds to the run's identity: nothing without one."""
        return {} if self.preset == presets.NONE else {"preset": self.preset}

    def recorded_precision(self) -> dict[str, str]:
        """Return what is recorded of the precision: nothing where it is exact."""
        exact = self.matmul_precision == EXACT
        return {} if exact else {"matmul_precision": self.matmul_precision}


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    step: int
    steps: int
    losses: Mapping[str, float]  # last ones, mean over the seeds that are well
    mean_return: float | None  # at the last evaluation point, mean over the seeds that are well
    evaluated: bool = False  # has this very step just been evaluated?
    episodes: int | None = None  # of the evaluation going on, episodes done; None while training
    seed_losses: Mapping[str, Sequence[float]] = field(default_factory=dict)  # of each seed
    notes: Sequence[str] = ()  # what a user should know of the run; each is told once


def train(
    algorithm: str,
    dataset_id: str,
    seeds: Iterable[int] = range(5),
    steps: int | None = None,
    settings: Mapping[str, object] | None = None,
    evaluate_every: int | None = None,
    episodes: int | None = None,
    folder: Path | str | None = None,
    device: str = "auto",
    view: View | None = None,
    progress: Callable[[Progress], None] | None = None,
    restart: bool = False,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    preset: str | None = None,
    tensorboard: Path | str | bool = False,
    wandb: str | None = None,
    matmul_precision: Precision = EXACT,
    memory: int | str | None = None,
    nearest: bool = False,
    **fields: object,
) -> list[RunRecord]:
    """Train all seeds as one stack; return the record of each, failed ones included.

    ``preset``, "official" or "corl", takes the values published for the dataset; ``settings`` and
    ``fields`` replace fields of the method's configuration, ``steps`` its number of gradient steps.
    Every ``evaluate_every`` steps (5,000 unless the preset says otherwise) and at the end each
    policy is rolled out for ``episodes`` (10) episodes; records (``seed-000.json``...) and a
    checkpoint are then written to ``folder``, which defaults to a place under ``DATUMRL_HOME`` that
    depends on all of this.  A run that is there goes on where it stopped, to the very same result,
    or with ``restart`` is done anew.

    ``view`` says how episodes become transitions, see `datumrl.datasets.views`.  ``progress`` is
    called about twice a second; without it, what you should know of the run (an action beyond the
    bounds, other versions than it began with) comes as a UserWarning.  ``tensorboard`` is a folder
    of TensorBoard's, or True for one in the run's folder, ``wandb`` a project of Weights & Biases;
    see `trackers`.

    Data that would take more than ``memory`` ("4GB"; by default half of what is available) stays on
    disk, and every batch is gathered from there; the result is the same.  ``nearest`` lets policies
    be rolled out where the environment is only the nearest to that of the dataset's scores; such
    returns are never normalised.  Raises DatumrlError for input that cannot be used.
    """
    settings = _joined(settings, fields)
    job = plan(
        algorithm,
        dataset_id,
        seeds,
        steps,
        settings,
        evaluate_every,
        episodes,
        device,
        view,
        preset,
        matmul_precision,
        nearest,
    )
    limit = memory_limit(memory)
    where = Path(folder) if folder is not None else job.folder()
    if not (tensorboard or wandb):
        return train_job(job, where, progress, restart, checkpoint_seconds, limit)
    from datumrl.algorithms.trackers import Trackers

    with Trackers(tensorboard, wandb, restart) as tracked:

        def tell(now: Progress) -> None:
            tracked.update(job, where, now)
            if progress is None:
                run_notes.warn(now.notes)
            else:
                progress(now)

        records = train_job(job, where, tell, restart, checkpoint_seconds, limit)
        tracked.finish(job, where)
        return records


def train_job(
    job: Job,
    folder: Path,
    progress: Callable[[Progress], None] | None = None,
    restart: bool = False,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    memory: int | None = None,
) -> list[RunRecord]:
    """Do a job that `plan` made; see `train`.  ``memory`` is in bytes."""
    from datumrl.algorithms import loop
    from datumrl.algorithms.memory import limited

    with limited(memory):
        return loop.run(job, folder, restart, checkpoint_seconds, progress)


def reroll(
    folder: Path | str,
    episodes: int | None = None,
    offset: int = 10_000,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
    nearest: bool = False,
) -> list[RunRecord]:
    """Roll out the policies in a run's folder anew; return one record per seed, failed ones too.

    The policy of seed s meets the episodes of evaluation seed s + ``offset``; with 0 they are those
    of its training run, and so are the returns.  ``episodes`` defaults to the run's own number.
    ``progress`` is called with episodes done and episodes in all.  ``nearest`` allows an
    environment that is only the nearest to that of the dataset's scores.
    """
    registry.require_torch("a run")
    if episodes is not None and episodes < 1:
        raise DatumrlError(f"episodes={episodes}: must be at least 1")
    if offset < 0:
        raise DatumrlError(f"offset={offset}: must not be negative")
    from datumrl.algorithms import policies

    return policies.reroll(Path(folder), episodes, offset, _device(device), progress, nearest)


def memory_limit(given: int | str | None) -> int | None:
    """Return a limit on memory in bytes; DatumrlError for what is no size."""
    from datumrl.algorithms.memory import parse_size

    return None if given is None else parse_size(str(given))


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
    evaluate_every: int | None = None,
    episodes: int | None = None,
    device: str = "auto",
    view: View | None = None,
    preset: str | None = None,
    matmul_precision: Precision = EXACT,
    nearest: bool = False,
) -> Job:
    """Check all that `train` is given, without touching data, and return the job."""
    settings = _joined(settings, {} if steps is None else {"steps": steps})
    dataset = catalogue.find(dataset_id).id
    run = {"evaluate_every": evaluate_every, "episodes": episodes, "view": view}
    given = {field: value for field, value in run.items() if value is not None}
    chosen = presets.choose(algorithm, dataset, preset, settings, given)
    return Job(
        algorithm,
        registry.completed(algorithm, chosen.config, catalogue.find(dataset)),
        dataset,
        _checked_seeds(seeds),
        chosen.evaluate_every,
        chosen.episodes,
        chosen.view,
        _device(device),
        chosen.preset,
        _precision(matmul_precision, device),
        nearest and not environments.environment_of(catalogue.find(dataset)).equivalent,
    )


def _joined(settings: Mapping[str, object] | None, more: Mapping[str, object]) -> dict[str, object]:
    """Return settings given in two ways as one; DatumrlError for a field given in both."""
    settings = dict(settings or {})
    for name in settings.keys() & more.keys():
        raise DatumrlError(f"{name}={settings[name]}: {name} is given twice; give it once")
    return {**settings, **more}


def _checked_seeds(seeds: Iterable[int]) -> tuple[int, ...]:
    try:
        checked = tuple(operator.index(seed) for seed in seeds)
    except TypeError:
        raise DatumrlError(f"seeds={seeds!r}: seeds are integers, for example range(5)") from None
    if not checked:
        raise DatumrlError("no seeds; give at least one: --seeds 5, or range(5) in Python")
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


def _precision(name: Precision, device: str) -> Precision:
    import torch

    if name not in get_args(Precision):
        known = " or ".join(get_args(Precision))
        raise DatumrlError(f"matmul_precision {name!r}; choose {known}")
    # Without the instruction, products in bfloat16 take longer than exact ones.
    if name != EXACT and _device(device) == "cpu" and not torch.cpu._is_avx512_bf16_supported():
        raise DatumrlError(
            f"matmul_precision {name!r}: this CPU does not multiply in bfloat16 (avx512_bf16), so "
            f"training would be slower; leave it {EXACT}"
        )
    return name


def seeds_name(seeds: tuple[int, ...]) -> str:
    """Return the part of a folder's name that tells the seeds, such as ``seeds-0-4``."""
    if len(seeds) > 1 and seeds == tuple(range(seeds[0], seeds[-1] + 1)):
        return f"seeds-{seeds[0]}-{seeds[-1]}"
    if len(seeds) <= 8:
        return "seeds-" + "+".join(str(seed) for seed in seeds)
    return "seeds-" + hashlib.sha256(repr(seeds).encode()).hexdigest()[:8]
