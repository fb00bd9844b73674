"""RunRecords hold what happened (raw returns, strict); ScoreRows what statistics read (lenient).

Means, normalised scores, intervals, ranks and "best" are derived from these, never stored.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from datumrl.datasets import catalogue, files, scores
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.record import DatasetRecord

SCHEMA: Literal["datumrl-run/1"] = "datumrl-run/1"

NO_ENVIRONMENT = "none"  # what a protocol names where a dataset has none
COUNTED = {"last": 1, "last-10-mean": 10, "best": 0}  # evaluations that a rule counts; 0: all

Name = Annotated[str, pydantic.StringConstraints(min_length=1, max_length=200)]
Sha256 = Annotated[str, pydantic.StringConstraints(pattern="^[0-9a-f]{64}$")]
Finite = Annotated[float, pydantic.Field(allow_inf_nan=False)]
JsonValue = pydantic.JsonValue


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True)


class Protocol(_Strict):
    """How returns were measured; rows of different protocols never share a table."""

    dataset: Name
    environment: Name
    environment_kwargs: dict[str, JsonValue] = {}
    engine: dict[str, str]  # package -> version, e.g. {"gymnasium": "1.4.0", "mujoco": "3.3.7"}
    time_limit: Annotated[int, pydantic.Field(ge=0)]  # 0: without an environment
    episodes: Annotated[
        int, pydantic.Field(ge=0)
    ]  # per evaluation point; 0: without an environment
    checkpoint: Literal["last", "last-10-mean", "best"] = "last"
    online_selection: bool = False  # did online returns choose anything (hyper-parameters, steps)?
    nearest: bool = False  # is the environment only the nearest to that of the dataset's scores?

    @classmethod
    def unmeasured(cls, dataset: str) -> Protocol:
        """Return the protocol of runs on a dataset without an environment."""
        return cls(dataset=dataset, environment=NO_ENVIRONMENT, engine={}, time_limit=0, episodes=0)

    @pydantic.model_validator(mode="after")
    def _measures(self) -> Protocol:
        without = self.environment == NO_ENVIRONMENT
        if {self.time_limit > 0, self.episodes > 0} != {not without}:
            raise ValueError(
                f"time_limit {self.time_limit} and episodes {self.episodes} must be "
                f"{'0' if without else 'above 0'} with the environment {self.environment}"
            )
        return self

    @pydantic.model_serializer(mode="wrap")
    def _without_default(self, handler: pydantic.SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave ``nearest`` out where it is False, as records made before it was known have it."""
        content: dict[str, Any] = handler(self)
        if not self.nearest:
            content.pop("nearest", None)
        return content

    @property
    def digest(self) -> str:
        """Return 12 hex digits that are equal exactly when two protocols are."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


class Evaluation(_Strict):
    """The undiscounted return and length of every episode at one evaluation point."""

    step: Annotated[int, pydantic.Field(ge=0)]
    returns: Annotated[tuple[Finite, ...], pydantic.Field(min_length=1)]
    lengths: tuple[Annotated[int, pydantic.Field(gt=0)], ...]

    @pydantic.model_validator(mode="after")
    def _same_episodes(self) -> Evaluation:
        if len(self.returns) != len(self.lengths):
            raise ValueError(
                f"{len(self.returns)} returns but {len(self.lengths)} lengths; give both of every "
                "episode"
            )
        return self


class Budget(_Strict):
    """What the training spent; shown per row, and no reason to refuse one."""

    steps: Annotated[int, pydantic.Field(ge=0)]  # gradient steps asked for
    preset: str = "none"
    reward_transform: str = "none"
    tuning: str = "none"  # e.g. "4 configurations x 3 seeds"


class RunRecord(_Strict):
    """One training run of one seed.  A failed seed is recorded as failed, never dropped."""

    schema_version: Literal["datumrl-run/1"] = SCHEMA
    algorithm: Name
    configuration: dict[str, JsonValue]
    dataset: Name
    dataset_sha256: Sha256 | None
    # Of what a generated dataset holds, which its recipe's hash does not fix on other processors.
    dataset_content_sha256: Sha256 | None = None
    protocol: Protocol
    budget: Budget
    seed: Annotated[int, pydantic.Field(ge=0)]
    status: Literal["running", "complete", "failed"]
    failure: str | None = None
    evaluations: tuple[Evaluation, ...]
    software: dict[str, str]
    hardware: str

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> RunRecord:
        steps = [point.step for point in self.evaluations]
        if any(later <= earlier for earlier, later in itertools.pairwise(steps)):
            raise ValueError(
                f"evaluation steps must increase, got {steps}; record each step once, in order"
            )
        for point in self.evaluations:
            if len(point.returns) != self.protocol.episodes:
                raise ValueError(
                    f"step {point.step}: {len(point.returns)} episodes, but the protocol says "
                    f"{self.protocol.episodes}; give every episode, or another number of episodes="
                )
            if max(point.lengths) > self.protocol.time_limit:
                raise ValueError(
                    f"step {point.step}: an episode of {max(point.lengths)} steps is longer than "
                    f"the time limit {self.protocol.time_limit}; cut episodes off there"
                )
        if not _is_strict_json(self.configuration):
            raise ValueError("configuration: numbers must be finite")
        if self.protocol.environment == NO_ENVIRONMENT:
            if self.evaluations:
                raise ValueError("a run without an environment has evaluations")
        elif self.status == "complete" and not self.evaluations:
            raise ValueError("a complete run needs at least one evaluation")
        if (self.status == "failed") != (self.failure is not None):
            raise ValueError("exactly the failed runs name their failure")
        if self.protocol.dataset != self.dataset:
            raise ValueError(
                f"the protocol names dataset {self.protocol.dataset}, the run {self.dataset}"
            )
        return self

    @pydantic.model_serializer(mode="wrap")
    def _without_unknown(self, handler: pydantic.SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave the content's hash out where it is not known, as in records made before it was."""
        content: dict[str, Any] = handler(self)
        if self.dataset_content_sha256 is None:
            content.pop("dataset_content_sha256", None)
        return content

    def write(self, path: Path) -> None:
        """Write the record as JSON, atomically."""
        files.write_json(path, self.model_dump(mode="json"))


class ScoreRow(pydantic.BaseModel):
    """One score as statistics and the board read it; what the source lacks stays None."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    tier: Literal["reproduced", "submitted", "raw published", "reported", "local"]
    algorithm: str
    dataset: str
    seed: int | None = None
    step: int | None = None
    mean_return: float | None = None  # of the episodes of this evaluation point
    score: float | None = None  # normalised, 0-100; None if the run failed or nothing defines it
    episodes: int | None = None
    protocol: str | None = None  # digest
    failed: bool = False
    source: str = ""


def read_record(path: Path) -> RunRecord:
    """Read and validate one RunRecord.  Raises DatumrlError naming the field and the file."""
    return parse_record(files.read_json(path), where=str(path))


def parse_record(content: Any, where: str) -> RunRecord:
    """Validate a RunRecord already parsed from JSON."""
    try:
        # The JSON mode is the one in which lists stand for tuples.
        return RunRecord.model_validate_json(json.dumps(content))
    except (pydantic.ValidationError, ValueError) as problem:
        raise DatumrlError(f"{where} is no RunRecord: {describe_invalid(problem)}") from None


def describe_invalid(problem: Exception) -> str:
    """Say in one line what is wrong with the first offending fields of a record."""
    if not isinstance(problem, pydantic.ValidationError):
        return str(problem)
    return "; ".join(_described(error) for error in problem.errors(include_url=False)[:3])


def _described(error: Any) -> str:
    said = str(error["msg"]).removeprefix("Value error, ").replace("Input should", "must")
    if error["type"] == "invalid-json-value":
        said = "must be a number, text, true, false, None, or a list or dict of such"
    if not error["loc"]:
        return said
    place = ".".join(str(part) for part in error["loc"])
    return f"{place}: {said} (got {repr(error['input'])[:60]})"


def find_records(paths: Sequence[Path]) -> list[RunRecord]:
    """Read every RunRecord (``seed-*.json``) at or below the given files and folders."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found.extend(files.below([path], "seed-*.json"))
        else:
            found.append(path)
    if not found:
        shown = ", ".join(str(path) for path in paths)
        raise DatumrlError(f"no run records (seed-*.json) under {shown}; train something first")
    return [read_record(path) for path in found]


def score_rows(
    record: RunRecord, tier: Literal["reproduced", "submitted", "local"] = "local", source: str = ""
) -> list[ScoreRow]:
    """Reduce a RunRecord to one ScoreRow per evaluation point; a failed run to one without score.

    Scores are normalised only where the record's environment is the one the dataset's reference
    scores are defined on; otherwise they stay None.
    """
    common: dict[str, Any] = {
        "tier": tier,
        "algorithm": record.algorithm,
        "dataset": record.dataset,
        "seed": record.seed,
        "protocol": record.protocol.digest,
        "source": source,
    }
    if record.status == "failed":
        return [ScoreRow(**common, failed=True)]
    if not record.evaluations:
        return []
    known = catalogue.find(record.dataset)
    scored = not unscored(known, record.protocol)
    rows = []
    for point in record.evaluations:
        mean_return = math.fsum(point.returns) / len(point.returns)
        rows.append(
            ScoreRow(
                **common,
                step=point.step,
                mean_return=mean_return,
                score=scores.normalize(mean_return, known) if scored else None,
                episodes=len(point.returns),
            )
        )
    return rows


def is_scored(record: DatasetRecord) -> bool:
    """Return whether returns measured in a dataset's environment become normalised scores."""
    environment = record.environment
    return record.reference is not None and environment is not None and environment.equivalent


def unscored(record: DatasetRecord, protocol: Protocol) -> str:
    """Return why returns of a dataset measured so are not normalised, "" if they are.

    They are in the environment that its reference scores are defined in: one that is made here and
    equivalent, or its publisher's own, in which other code measured; with its own time limit and
    settings.
    """
    if record.reference is None:
        return "no reference scores"
    used = record.environment_called(protocol.environment)
    if used is None:
        return (
            f"measured in {protocol.environment}, while scores of {record.id} are defined in "
            f"{_defined_in(record)}"
        )
    if not used.settings_known:
        return used.unfetched(record.id)
    if protocol.nearest or not used.equivalent:
        return used.only_nearest(record.id)
    for what, measured, defined in (
        ("the time limit", protocol.time_limit, used.time_limit),
        ("the settings", protocol.environment_kwargs, used.settings),
    ):
        if measured != defined:
            return (
                f"measured in {used.id} with {what} {measured}, while scores of {record.id} are "
                f"defined with {defined}"
            )
    return ""


def _defined_in(record: DatasetRecord) -> str:
    own = record.environment
    names = [own.id] if own is not None and own.equivalent else []
    names += record.publisher_environments[:1]
    return " or ".join(names) or "one that the catalogue does not name"


def why_unscored(dataset_id: str) -> str:
    """Return why returns in a dataset's environment, or without its scores, are not normalised."""
    record = catalogue.known(dataset_id)
    if record is None:
        return f"{dataset_id} is not in the catalogue, so it has no reference scores"
    environment = record.environment
    if record.reference is None:
        return "no reference scores"
    if environment is None or environment.equivalent:
        return f"nothing says that returns of {dataset_id} were measured where scores are defined"
    if not environment.settings_known:
        return environment.unfetched(dataset_id)
    return environment.only_nearest(dataset_id)


def _is_strict_json(content: dict[str, JsonValue]) -> bool:
    try:
        json.dumps(content, allow_nan=False)
    except ValueError:
        return False
    return True
