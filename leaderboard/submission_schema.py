"""What a submission says: one ``method.json`` and one JSON of raw results per dataset.

Unknown fields are refused, so numbers that can be derived (means, normalised scores) have no place.
The same models are published as JSON Schema in ``submissions/schema/``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import pydantic

from datumrl.datasets import files
from datumrl.evaluation.records import Budget, Evaluation, JsonValue, Protocol, RunRecord

FORMAT: Literal["datumrl-submission/1"] = "datumrl-submission/1"
FOLDER = Path(__file__).parent / "submissions"
METHOD_FILE = "method.json"
EVIDENCE_FILE = "evidence.json"  # the first; the next are evidence-2.json, evidence-3.json...
_EVIDENCE = re.compile(r"evidence(?:-(?P<number>[2-9]|[1-9][0-9]))?\.json")

MOST_SEEDS = 100
MOST_POINTS = 2_000  # evaluation points of a run
MOST_EPISODES = 1_000  # per evaluation point
MOST_CELLS = 20  # of evidence
LARGEST_SETTINGS = 64_000  # characters of JSON: settings are written out once for every seed
LARGEST_STEP = 10**10
LARGEST_SEED = 2**63 - 1

Slug = Annotated[
    str, pydantic.StringConstraints(pattern="^[a-z0-9]+([-_][a-z0-9]+)*$", max_length=48)
]
Revision = Annotated[str, pydantic.StringConstraints(pattern="^r[1-9][0-9]{0,3}$")]
Line = Annotated[str, pydantic.StringConstraints(min_length=1, max_length=300)]
Url = Annotated[
    str,
    pydantic.StringConstraints(
        pattern=r"^https://[A-Za-z0-9][A-Za-z0-9.-]*(/[A-Za-z0-9._~!$&()*+,;=:@%/?#-]*)?$",
        max_length=500,
    ),
]
Commit = Annotated[str, pydantic.StringConstraints(pattern="^[0-9a-f]{40}$")]
Sha256 = Annotated[str, pydantic.StringConstraints(pattern="^[0-9a-f]{64}$")]
Seed = Annotated[int, pydantic.Field(ge=0, le=LARGEST_SEED)]
Number = Annotated[float, pydantic.Field(ge=-1e15, le=1e15, allow_inf_nan=False)]


def _many(most: int, least: int = 1) -> pydantic.fields.FieldInfo:
    """Limit a tuple; the first bad entry ends it, so that a file of bad ones takes no minutes."""
    return pydantic.Field(min_length=least, max_length=most, fail_fast=True)


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True)


class Code(_Strict):
    """The code that made the results, at the commit that made them."""

    url: Url
    commit: Commit


class Tuning(_Strict):
    """What was spent on choosing settings: ``configurations`` x ``seeds`` x ``datasets`` runs."""

    configurations: Annotated[int, pydantic.Field(ge=1, le=10**6)]  # 1: nothing was tried out
    seeds: Annotated[tuple[Seed, ...], pydantic.Field(max_length=1_000)] = ()
    datasets: Annotated[tuple[Line, ...], pydantic.Field(max_length=1_000)] = ()

    @property
    def budget(self) -> str:
        """Return what a run's budget says of it, for example ``4 configurations x 3 seeds...``."""
        if self.configurations == 1:
            return "none"
        counts = {
            "configuration": self.configurations,
            "seed": len(self.seeds),
            "dataset": len(self.datasets),
        }
        return " x ".join(f"{n} {noun}{'s' * (n != 1)}" for noun, n in counts.items())

    def contradicts(self, told: str) -> bool:
        """Say whether a run's budget tells of another tuning; words without numbers may differ."""
        if "none" in (told, self.budget):
            return told != self.budget
        numbers = re.findall(r"(\d[\d,]*) (configuration|seed|dataset)s?\b", told)
        own = {noun: n for n, noun in re.findall(r"(\d+) (\w+?)s?\b", self.budget)}
        return any(own[noun] != n.replace(",", "") for n, noun in numbers)


class Method(_Strict):
    """``method.json``: who, what, with which code, and what was spent on tuning."""

    schema_version: Literal["datumrl-submission/1"] = FORMAT
    method: Slug  # the folder's name
    revision: Revision  # the folder's name: r1, r2, ...
    name: Annotated[str, pydantic.StringConstraints(min_length=1, max_length=60)]
    authors: Annotated[tuple[Line, ...], pydantic.Field(min_length=1, max_length=100)]
    paper: Url | None = None
    code: Code
    licence: Line  # of the results, for example "CC BY 4.0"
    tuning: Tuning
    online_returns_chose: Annotated[str, pydantic.StringConstraints(min_length=1, max_length=500)]
    supersedes: Revision | None = None
    # dataset id -> why it was not run; of every suite, each dataset is in a file or here
    not_run: Annotated[dict[str, Line], pydantic.Field(max_length=1_000)] = {}

    @property
    def chosen_online(self) -> bool:
        """Say whether online returns chose anything: hyper-parameters, steps, checkpoints."""
        return self.online_returns_chose != "nothing"


class Point(_Strict):
    """One evaluation point: the undiscounted return and the length of every episode."""

    step: Annotated[int, pydantic.Field(ge=0, le=LARGEST_STEP)]
    returns: Annotated[tuple[Number, ...], _many(MOST_EPISODES)]
    lengths: Annotated[
        tuple[Annotated[int, pydantic.Field(gt=0, le=10**7)], ...],
        _many(MOST_EPISODES),
    ]


class SeedRun(_Strict):
    """One seed; a failed one stays, with the points it reached and the reason."""

    seed: Seed
    status: Literal["complete", "failed"]
    failure: Line | None = None
    evaluations: Annotated[tuple[Point, ...], _many(MOST_POINTS, 0)]
    software: Annotated[dict[Line, Line], pydantic.Field(max_length=50)]
    hardware: Line


class DatasetResult(_Strict):
    """All seeds of the method on one dataset."""

    schema_version: Literal["datumrl-submission/1"] = FORMAT
    method: Slug
    algorithm: Line  # as the run records name it
    dataset: Line
    dataset_sha256: Sha256
    configuration: dict[str, JsonValue]  # resolved: every hyper-parameter with its value
    protocol: Protocol
    budget: Budget
    runs: Annotated[tuple[SeedRun, ...], _many(MOST_SEEDS)]

    @pydantic.model_validator(mode="after")
    def _settings_are_short(self) -> DatasetResult:
        settings = {"configuration", "protocol", "budget"}
        size = len(json.dumps(self.model_dump(mode="json", include=settings)))
        if size > LARGEST_SETTINGS:
            raise ValueError(
                f"configuration, protocol and budget have {size:,} characters, over "
                f"{LARGEST_SETTINGS:,}; give settings, not data"
            )
        return self

    def records(self, name: str | None = None) -> list[RunRecord]:
        """Return the run records, under the algorithm's own or another name."""
        return [
            RunRecord(
                algorithm=name or self.algorithm,
                configuration=self.configuration,
                dataset=self.dataset,
                dataset_sha256=self.dataset_sha256,
                protocol=self.protocol,
                budget=self.budget,
                seed=run.seed,
                status=run.status,
                failure=run.failure,
                evaluations=tuple(
                    Evaluation(step=point.step, returns=point.returns, lengths=point.lengths)
                    for point in run.evaluations
                ),
                software=run.software,
                hardware=run.hardware,
            )
            for run in self.runs
        ]


class VerifiedCell(_Strict):
    """New raw returns of one dataset: of the submitted policies, or of policies trained anew."""

    dataset: Line
    # Re-rolled policies have the seeds of their training; trained anew, other seeds.
    runs: Annotated[tuple[SeedRun, ...], _many(MOST_SEEDS)]


class Evidence(_Strict):
    """``evidence.json`` or a later one: raw returns; the verdict is derived, never stored."""

    schema_version: Literal["datumrl-submission/1"] = FORMAT
    method: Slug
    revision: Revision
    kind: Literal["re-rolled", "retrained"]
    verified_by: Line
    files: dict[str, Sha256]  # of the submission, as they were verified
    sampled: Annotated[int, pydantic.Field(ge=1, le=MOST_CELLS)]  # drawn by files and verified_by
    cells: Annotated[tuple[VerifiedCell, ...], _many(MOST_CELLS)]


MODELS: dict[str, type[_Strict]] = {
    "method": Method,
    "dataset": DatasetResult,
    "evidence": Evidence,
}


def file_name(dataset: str) -> str:
    """Return the name of a dataset's file: its id with ``__`` for every slash."""
    return dataset.replace("/", "__") + ".json"


def evidence_name(number: int) -> str:
    """Return the name of a revision's first, second... file of evidence."""
    return EVIDENCE_FILE if number == 1 else EVIDENCE_FILE.replace(".", f"-{number}.")


def evidence_number(name: str) -> int:
    """Return which file of evidence a file is, 0 for any other file."""
    match = _EVIDENCE.fullmatch(name)
    return int(match["number"] or 1) if match else 0


def json_schemas() -> dict[str, str]:
    """Return the JSON Schema of each kind of file, as text, by file name."""
    return {
        f"{name}.schema.json": json.dumps(
            {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                **model.model_json_schema(),
            },
            indent=1,
            sort_keys=True,
        )
        + "\n"
        for name, model in MODELS.items()
    }


def write_json_schemas(folder: Path) -> Sequence[Path]:
    """Write the JSON Schemas into a folder and return their paths."""
    paths = []
    for name, text in json_schemas().items():
        with files.replacing(folder / name, "w") as handle:
            handle.write(text)
        paths.append(folder / name)
    return paths
