"""The catalogue: one frozen record per dataset id, and what is known of it before any download.

D4RL facts are those of Farama-Foundation/D4RL (``d4rl/infos.py``, ``d4rl/gym_mujoco/__init__.py``,
Apache-2.0; data CC BY 4.0).  An id never changes its meaning.
"""

from __future__ import annotations

import csv
import difflib
import functools
import importlib.resources
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from datumrl.datasets.errors import DatumrlError

D4RL_CITATION = (
    "Fu, Kumar, Nachum, Tucker, Levine: D4RL: Datasets for Deep Data-Driven Reinforcement "
    "Learning. arXiv:2004.07219 (2020)"
)
LOCAL_CITATION = "datumrl contributors: datumrl local datasets (generated; see the dataset's card)"

ERRATA = {
    "v0": "deprecated by its authors: the hopper v0 policies and horizons were the reason for v1 "
    "and v2; copies published before autumn 2020 hold no timeouts",
    "v1-infos": "infos/qpos and infos/qvel are wrong; v2 mends them",
    "hopper-v1-swap": "the first upload swapped hopper-medium-v1 and hopper-expert-v1",
    "never-terminates": "halfcheetah never terminates: every episode ends by timeout",
    "replay-fragments": "a timeout also marks the end of a training iteration, so short episodes "
    "with cut-off returns occur",
    "replay-float64": "some copies hold float64 columns; they are cast to float32",
    "stitched": "two files joined at an episode end; the second may have an unfinished tail",
    "unfinished-tail": "the last episode may have no end flag",
    "resimulated-x": "infos/qpos[:, 0] was re-simulated from a random start; it is not the true x",
    "snapshot-replay": "snapshot replay, not the training buffer: a uniform-random warm-up and "
    "equal shares of stochastic policies, the snapshots of one training up to the medium policy",
    "ant-contact": "111 observation values need Ant-v4 with use_contact_forces=True",
}


@dataclass(frozen=True)
class Reference:
    """The two returns that map to normalised scores 0 and 100, and where they come from."""

    minimum: float
    maximum: float
    origin: str


@dataclass(frozen=True)
class Environment:
    """The environment in which policies of a dataset are evaluated."""

    id: str
    time_limit: int
    kwargs: tuple[tuple[str, bool | int | float | str], ...] = ()
    equivalent: bool = True  # the same process the dataset's scores are defined on
    note: str = ""


@dataclass(frozen=True)
class DatasetRecord:
    """All that is known of one dataset without having it."""

    id: str
    reader: str  # "d4rl-gym-mujoco" | "local"
    environment: Environment | None
    reference: Reference | None
    time_limit: int
    observation_dim: int
    action_dim: int
    urls: tuple[str, ...] = ()
    sha256: str | None = None  # None: recorded at first fetch as unconfirmed
    prefix: int | None = None  # only the first so many transitions (``id@100k``), whole episodes
    licence: str = "CC BY 4.0"
    citation: str = ""
    source: str = ""
    errata: tuple[str, ...] = ()

    @property
    def full_id(self) -> str:
        """Return the id of the whole dataset that this record is, or is a prefix of."""
        return self.id.partition("@")[0]


def find(dataset_id: str) -> DatasetRecord:
    """Return the record of an id such as ``d4rl/hopper-medium-v2`` or ``local/...-v1@100k``.

    Raises DatumrlError for an unknown id and names the nearest ones.
    """
    name, at, size = dataset_id.partition("@")
    record = _records().get(name)
    if record is None:
        raise DatumrlError(f"unknown dataset {name!r}; {_nearest(name)}")
    if not at:
        return record
    if record.reader != "local":
        raise DatumrlError(
            f"{dataset_id}: only local datasets have prefixes, since only their order of episodes "
            f"is ours to define; use {name}"
        )
    return replace(record, id=dataset_id, prefix=_parse_prefix(dataset_id, size))


def all_records() -> list[DatasetRecord]:
    """Return every record, in the order of the catalogue."""
    return list(_records().values())


def _nearest(name: str) -> str:
    known = list(_records())
    by_tail = {candidate.partition("/")[2]: candidate for candidate in known}
    if name in by_tail:
        return f"did you mean {by_tail[name]!r}?"
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    if not close:
        close = [
            by_tail[tail] for tail in difflib.get_close_matches(name, by_tail, n=3, cutoff=0.4)
        ]
    if close:
        return "the nearest are " + ", ".join(close)
    return "`datumrl datasets` lists those known"


def _parse_prefix(dataset_id: str, size: str) -> int:
    match = re.fullmatch(r"([1-9][0-9]{0,8})(k|M)?", size)
    if match is None:
        raise DatumrlError(
            f"{dataset_id}: {size!r} is no number of transitions; write for example @50000 or @100k"
        )
    return int(match[1]) * {None: 1, "k": 1_000, "M": 1_000_000}[match[2]]


@functools.cache
def _records() -> dict[str, DatasetRecord]:
    return {record.id: record for record in [*_d4rl_gym_mujoco(), *_local()]}


def _table(name: str) -> Iterator[dict[str, str]]:
    text = importlib.resources.files("datumrl.datasets").joinpath("tables", name).read_text("utf-8")
    yield from csv.DictReader(text.splitlines())


def _d4rl_gym_mujoco() -> Iterator[DatasetRecord]:
    for row in _table("d4rl_gym_mujoco.csv"):
        ant = row["environment"] == "Ant-v4"
        yield DatasetRecord(
            id=row["id"],
            reader="d4rl-gym-mujoco",
            environment=Environment(
                id=row["environment"],
                time_limit=int(row["time_limit"]),
                kwargs=(("use_contact_forces", True),) if ant else (),
            ),
            reference=Reference(
                float(row["reference_minimum"]),
                float(row["reference_maximum"]),
                row["reference_origin"],
            ),
            time_limit=int(row["time_limit"]),
            observation_dim=int(row["observation_dim"]),
            action_dim=int(row["action_dim"]),
            urls=(row["url"],),
            citation=D4RL_CITATION,
            source="Farama-Foundation/D4RL: d4rl/infos.py",
            errata=tuple(ERRATA[key] for key in row["errata"].split()),
        )


def _local() -> Iterator[DatasetRecord]:
    for row in _table("local.csv"):
        yield DatasetRecord(
            id=row["id"],
            reader="local",
            environment=Environment(id=row["environment"], time_limit=int(row["time_limit"])),
            reference=Reference(
                float(row["reference_minimum"]),
                float(row["reference_maximum"]),
                row["reference_origin"],
            ),
            time_limit=int(row["time_limit"]),
            observation_dim=int(row["observation_dim"]),
            action_dim=int(row["action_dim"]),
            citation=LOCAL_CITATION,
            source="generated by `datumrl collect`",
            errata=tuple(ERRATA[key] for key in row["errata"].split()),
        )
