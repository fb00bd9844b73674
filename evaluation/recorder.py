"""From any policy, or any training code, to a RunRecord: `datumrl.evaluate`, `datumrl.Recorder`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import pydantic

from datumrl.datasets import catalogue
from datumrl.datasets.catalogue import DatasetRecord
from datumrl.datasets.content_hash import at_hand
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import environments, provenance
from datumrl.evaluation.plain_values import plain
from datumrl.evaluation.records import (
    Budget,
    Evaluation,
    Protocol,
    RunRecord,
    describe_invalid,
    read_record,
)
from datumrl.evaluation.rollout import Act, rollout
from datumrl.evaluation.run_differences import differences

_FRAMEWORKS = ("torch", "jax", "flax", "tensorflow")  # recorded if the process has imported them


def protocol_for(
    record: DatasetRecord,
    episodes: int,
    online_selection: bool = False,
    engine: Mapping[str, str] | None = None,
    nearest: bool = False,
    environment: str | None = None,
    time_limit: int | None = None,
) -> Protocol:
    """Return how policies of a dataset are measured here: its environment, this engine, ``last``.

    ``engine`` names the packages that moved the environment where it was not this installation's.
    ``nearest`` says that rollouts may be in an environment that is only the nearest; whether it is,
    the protocol records.  ``environment`` and ``time_limit`` are of returns that other code
    measured, which has to name its ``engine`` too.
    """
    used = environments.measured_in(record, environment, time_limit)
    if (record.environment is None or used.id != record.environment.id) and not engine:
        raise DatumrlError(
            f"{used.id}: what moved this environment is not known here; name its packages and "
            "their versions, for example engine={'gym': '0.23.1', 'mujoco-py': '2.1.2.14'}"
        )
    try:
        return Protocol(
            dataset=record.id,
            environment=used.id,
            environment_kwargs=used.settings,
            engine=dict(engine) if engine is not None else provenance.engine_versions(used.id),
            time_limit=used.time_limit,
            episodes=episodes,
            online_selection=online_selection,
            nearest=(nearest or environment is not None) and not used.equivalent,
        )
    except pydantic.ValidationError as problem:
        raise DatumrlError(f"{record.id}: {describe_invalid(problem)}") from None


def evaluate(
    policy: Act,
    dataset_id: str,
    seed: int = 0,
    episodes: int = 10,
    algorithm: str = "unnamed",
    configuration: Mapping[str, Any] | None = None,
    steps: int = 0,
    folder: Path | str | None = None,
    progress: Callable[[int], None] | None = None,
    nearest: bool = False,
) -> RunRecord:
    """Roll out a trained policy in a dataset's environment and return the record of it.

    ``policy`` is any callable from a batch of observations (rows, observation_dim) float32 to a
    batch of actions, or a torch module.  A module, or one whose method is given, is in eval mode
    during the rollout and then again in the mode it was in; what other callables call is not looked
    into.  A policy with memory, or the object whose method it is, has ``reset(rows)``, called once
    before all rows' episodes begin together, and, if it needs them, ``rewarded(rewards)``, called
    after every step; without ``reset`` it would begin with what it remembers.

    ``steps`` is the number of gradient steps it was trained for.  With ``folder`` the record is
    also written there, as ``seed-000.json``.
    """
    recorder = Recorder(
        algorithm, dataset_id, seed, configuration or {}, steps, folder, episodes, nearest=nearest
    )
    recorder.evaluate(policy, steps, progress)
    return recorder.finish()


class Recorder:
    """Collects the evaluation points of one seed's training run, whatever code does the training.

    Used as a context manager, it finishes the record at the end of the block, see `finish`; an
    exception inside records the run as failed and goes on its way (an interruption from the
    keyboard leaves it unfinished).  With ``folder`` the record is written after every point,
    atomically.

    A script over several seeds that was killed is simply run again if it says ``keep_finished``::

        for seed in range(10):
            with Recorder(..., seed=seed, folder="runs/mine", keep_finished=True) as recorder:
                if recorder.finished:
                    continue
                ...  # train; the seed that was cut off starts anew

    A finished run, complete or failed, of this seed in the folder is kept if it is this very run
    (algorithm, dataset, configuration, budget and protocol).  Another is refused with DatumrlError,
    and without ``keep_finished`` so is any.
    """

    def __init__(
        self,
        algorithm: str,
        dataset_id: str,
        seed: int,
        configuration: Mapping[str, Any],
        steps: int,
        folder: Path | str | None = None,
        episodes: int = 10,
        *,
        preset: str = "none",
        reward_transform: str = "none",
        tuning: str = "none",
        online_selection: bool = False,
        dataset_sha256: str | None = None,
        engine: Mapping[str, str] | None = None,
        nearest: bool = False,
        environment: str | None = None,
        time_limit: int | None = None,
        keep_finished: bool = False,
    ) -> None:
        """Start a record; ``steps`` is the number of gradient steps the training will take.

        ``configuration`` holds the resolved hyper-parameters: JSON values, or NumPy's numbers and
        arrays.  ``dataset_sha256`` is that of the data trained on; by default that of the dataset
        as it is on this machine, None if it never was.  ``engine`` is for returns measured
        elsewhere, e.g. ``{"gym": "0.23.1", "mujoco-py": "2.1.2.14"}``.

        ``environment`` is the id of the one that other code measured returns in, e.g. D4RL's own
        ``antmaze-umaze-v2``; they can then be logged only, and are scores where the dataset's are
        defined in it.  ``time_limit`` is its own, needed where the catalogue does not know it.
        """
        seed, steps, episodes = plain(seed), plain(steps), plain(episodes)
        self._dataset = catalogue.find(dataset_id)
        if environment is None and not nearest:
            environments.require_stated(self._dataset)
        frameworks = [name for name in _FRAMEWORKS if name in sys.modules]
        # Of data that other code loaded, nothing else is known.
        sha256, content = (dataset_sha256, None) if dataset_sha256 else at_hand(self._dataset)
        try:
            self._record = RunRecord(
                algorithm=algorithm,
                configuration=plain(configuration),
                dataset=self._dataset.id,
                dataset_sha256=sha256,
                dataset_content_sha256=content,
                protocol=protocol_for(
                    self._dataset,
                    episodes,
                    online_selection,
                    engine,
                    nearest,
                    environment,
                    time_limit,
                ),
                budget=Budget(
                    steps=steps, preset=preset, reward_transform=reward_transform, tuning=tuning
                ),
                seed=seed,
                status="running",
                evaluations=(),
                software=provenance.software_versions(*frameworks),
                hardware=provenance.hardware(),
            )
        except pydantic.ValidationError as problem:
            raise DatumrlError(
                f"{algorithm} on {dataset_id}: {describe_invalid(problem)}"
            ) from None
        self._path = Path(folder) / f"seed-{seed:03d}.json" if folder is not None else None
        self._look_for_finished(keep_finished)

    @property
    def finished(self) -> bool:
        """Return whether the run is complete or failed, so that nothing is left to do."""
        return self._record.status != "running"

    @property
    def record(self) -> RunRecord:
        """Return the record as it stands."""
        return self._record

    def evaluate(
        self, policy: Act, step: int, progress: Callable[[int], None] | None = None
    ) -> Evaluation:
        """Roll out a policy as it is after ``step`` gradient steps and append the point.

        ``policy`` is what `datumrl.evaluate` takes; a torch module goes on training as it was.
        Raises DatumrlError where the returns of this record are of an environment not made here.
        """
        self._require_running()
        self._require_within(step)
        protocol, own = self._record.protocol, self._dataset.environment
        if own is None or protocol.environment != own.id:
            made = "" if own is None else f"; {own.id} is, for a Recorder without environment="
            raise DatumrlError(
                f"{protocol.environment}, which this run's returns are of, is not made here for "
                f"{self._dataset.id}{made}; roll out by your own code and hand the returns to .log"
            )
        result = rollout(
            policy, own, protocol.episodes, [self._record.seed], progress, protocol.nearest
        )
        return self.log(step, result.returns[0], result.lengths[0])

    def log(
        self,
        step: int,
        returns: Sequence[float] | np.ndarray,
        lengths: Sequence[int] | np.ndarray,
    ) -> Evaluation:
        """Append a point measured elsewhere: undiscounted return and length of every episode.

        ``step`` is at most the run's number of gradient steps.
        """
        self._require_running()
        self._require_within(step)
        try:
            point = Evaluation(
                step=plain(step),
                returns=tuple(np.asarray(returns, dtype=np.float64).tolist()),
                lengths=tuple(np.asarray(lengths).tolist()),
            )
        except (pydantic.ValidationError, TypeError, ValueError) as problem:
            raise DatumrlError(f"evaluation at step {step}: {describe_invalid(problem)}") from None
        self._update(evaluations=(*self._record.evaluations, point))
        return point

    def finish(self) -> RunRecord:
        """Mark the run as complete and return its record.

        Raises DatumrlError, and leaves the run unfinished, where its last policy, the one that
        counts, was not evaluated: the last point has to be at the last of its ``steps``.
        """
        self._require_running()
        self._require_last_point()
        return self._update(status="complete")

    def fail(self, reason: str) -> RunRecord:
        """Mark the run as failed, keeping the points so far, and return its record."""
        self._require_running()
        return self._update(status="failed", failure=reason or "no reason given")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        if not self.finished:
            if problem is None:
                self.finish()
            elif isinstance(problem, Exception):
                self.fail(f"{type(problem).__name__}: {problem}")
        return False

    def _update(self, **changes: Any) -> RunRecord:
        fields = {name: getattr(self._record, name) for name in RunRecord.model_fields}
        try:
            record = RunRecord(**{**fields, **changes})
        except pydantic.ValidationError as problem:
            raise DatumrlError(f"{self._name}: {describe_invalid(problem)}") from None
        if self._path is not None:
            record.write(self._path)
        self._record = record
        return record

    @property
    def _name(self) -> str:
        return f"{self._record.algorithm} on {self._record.dataset}, seed {self._record.seed}"

    def _require_running(self) -> None:
        if self.finished:
            raise DatumrlError(
                f"{self._name}: this run is already {self._record.status}; start another Recorder"
            )

    def _require_within(self, step: int) -> None:
        steps = self._record.budget.steps
        if isinstance(step, int | np.integer) and step > steps:
            raise DatumrlError(
                f"{self._name}: step {step} is beyond the {steps} steps of the run; give the "
                "Recorder as many steps= as training takes"
            )

    def _require_last_point(self) -> None:
        points, steps = self._record.evaluations, self._record.budget.steps
        reached = points[-1].step if points else None
        if reached == steps:
            return
        where = "it has no evaluation" if reached is None else f"the last one is at step {reached}"
        other = "" if reached is None else f", give the Recorder steps={reached} if those are all"
        raise DatumrlError(
            f"{self._name}: a complete run needs an evaluation at its last step, {steps}, but "
            f"{where}; evaluate the policy that training ended with at step {steps}{other}, or "
            "call .fail(reason) if training broke off"
        )

    def _look_for_finished(self, keep: bool) -> None:
        """Take a finished run for this one if it is the same, and ``keep`` says so; else refuse it.

        A complete or failed run stays on record; only one cut off while running is replaced.
        """
        if self._path is None or not self._path.exists():
            return
        found = read_record(self._path)
        if found.status == "running":
            return
        if not keep:
            raise DatumrlError(
                f"{self._path} already holds a {found.status} run; choose another folder or delete "
                "it, or pass keep_finished=True to go on with the seeds that are not finished"
            )
        if different := differences(found, self._record):
            raise DatumrlError(
                f"{self._path} already holds a {found.status} run of another kind "
                f"({'; '.join(different)}); choose another folder or delete it"
            )
        self._record = found
