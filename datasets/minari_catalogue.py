"""Records of Minari datasets: those known by table, and whatever lies in Minari's own folder.

Facts of the table: Farama-Foundation/Minari docs, Farama-Foundation/minari-dataset-generation-
scripts, and the listings of huggingface.co/datasets/farama-minari.  A dataset of Minari's folder
(MINARI_DATASETS_PATH, by default ~/.minari/datasets) needs no row: its metadata makes its record,
and adds to that of a row what the table does not know.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from datumrl.datasets import fact_tables, minari_metadata
from datumrl.datasets.errors import DatumrlError, installed_by
from datumrl.datasets.minari_metadata import Metadata
from datumrl.datasets.record import DatasetRecord, Environment, Reference

PREFIX = "minari/"
ROOT_VARIABLE = "MINARI_DATASETS_PATH"  # which the package honours
CITATION = (
    "Younis, Perez-Vicente, Balis, Dudley, Davey, Terry: Minari. Zenodo, "
    "doi:10.5281/zenodo.13767625 (2024)"
)
BIBTEX = """@software{minari,
  title = {Minari},
  author = {Younis, Omar G. and Perez-Vicente, Rodrigo and Balis, John U. and Dudley, Will and
    Davey, Alex and Terry, Jordan K},
  publisher = {Zenodo},
  doi = {10.5281/zenodo.13767625},
  year = {2024}
}"""
ACCESS = f"downloaded by the minari package, which {installed_by('interop')} brings"
LICENCE = "not stated in the dataset (Minari's code: MIT)"
NOT_D4RL = (
    "not D4RL's {}: a benchmark of its own on regenerated data, so that neither D4RL's scores nor "
    "its reference scores apply, and no table holds both"
)
ERRATA = {
    "minari-goals": "one continuous trajectory: a truncation marks a goal reached, not the time "
    "limit, and an episode's last observation is the next one's first, where the goal may still be "
    "the one that was reached",
    "copied-final": "the last observation of every episode is a copy of the one before it, which "
    "Minari's script put there, since D4RL's file has none: it is left out, as the true one is not "
    "known",
    "minigrid-rewards": "rewards are those of D4RL's file: 0 unless relabelled",
}
_RETURNS = {  # erratum -> why returns of the episodes of a dataset that has it are no scores
    "minari-goals": "an episode of the data ends at the first goal reached; those of evaluation, "
    "whose returns the reference scores are, go on to the time limit",
    "minigrid-rewards": "rewards of the data are 0 unless relabelled; those of evaluation are not",
}
COPIED = "not D4RL's {}, though converted from its file: an id of its own, and no table holds both"
_NAME = re.compile(r"(?:[\w.-]+/)*[\w.-]+-v[0-9]+")
_MINARIS_RULE = re.compile(r"(?:[-\w]+/)*[-\w]+-v[0-9]+")  # what minari itself takes for an id


def root() -> Path:
    """Return the folder in which `minari` keeps its datasets."""
    given = os.environ.get(ROOT_VARIABLE)
    return Path(given) if given else Path.home() / ".minari" / "datasets"


def folder_of(dataset_id: str) -> Path:
    """Return where Minari keeps the dataset of an id such as ``minari/D4RL/door/human-v2``."""
    return root() / dataset_id.removeprefix(PREFIX)


def records() -> Iterator[DatasetRecord]:
    """Yield the records of the table."""
    for row in fact_tables.rows("minari.csv"):
        reference = environment = None
        if row["reference_minimum"]:
            low, high = float(row["reference_minimum"]), float(row["reference_maximum"])
            reference = Reference(low, high, "D4RL's pair, which Minari's own script writes")
        if row["environment"]:
            environment = Environment(
                row["environment"],
                int(row["time_limit"]),
                equivalent=False,
                note="its settings are known once the dataset is here, from its own metadata",
                settings_known=False,
            )
        keys = row["errata"].split()
        errata = [f"version: {row['evidence']}", row["notes"], *(ERRATA[key] for key in keys)]
        if row["d4rl"]:
            stated = COPIED if "copied-final" in keys else NOT_D4RL
            errata.insert(0, stated.format(row["d4rl"]))
        yield DatasetRecord(
            id=row["id"],
            reader="minari",
            environment=environment,
            reference=reference,
            time_limit=int(row["time_limit"] or 0),
            observation_dim=int(row["observation_dim"] or 0),
            action_dim=int(row["action_dim"] or 0),
            licence=LICENCE,
            citation=CITATION,
            bibtex=BIBTEX,
            source=row["source"],
            errata=tuple(errata),
            returns_note="; ".join(_RETURNS[key] for key in keys if key in _RETURNS),
            observation_layout=row["observation_layout"],
            discrete_actions=bool(row["discrete"]),
            rows=int(row["rows"]) if row["rows"] else None,
            access=ACCESS,
            folder=True,
            options=(("final_observation", "copied"),) if "copied-final" in keys else (),
        )


def find_local(dataset_id: str, known: DatasetRecord | None) -> DatasetRecord | None:
    """Return the record of a dataset in Minari's folder; None if it is not there.

    ``known`` is its row of the table.  Raises DatumrlError for metadata that cannot be read.
    """
    if not _NAME.fullmatch(dataset_id.removeprefix(PREFIX)) or ".." in dataset_id.split("/"):
        return None
    folder = folder_of(dataset_id)
    if not (folder / "data" / "metadata.json").is_file():
        return None

    def error(problem: str) -> DatumrlError:
        return DatumrlError(f"{folder}: {problem}; mend or delete it")

    own = _record(dataset_id, minari_metadata.read(folder, error))
    if known is None:
        return own
    return replace(
        known,
        environment=own.environment or _without_settings(known.environment),
        reference=own.reference or known.reference,
        time_limit=own.time_limit or known.time_limit,
        observation_dim=own.observation_dim,
        observation_layout=own.observation_layout,
        action_dim=own.action_dim,
        discrete_actions=own.discrete_actions,
        rows=own.rows or known.rows,
    )


def _without_settings(environment: Environment | None) -> Environment | None:
    """Return a row's environment where the metadata, which is here, names none to be made."""
    if environment is None:
        return None
    note = "its settings are not known, as the dataset's own metadata names no such environment"
    return replace(environment, note=note, settings_known=True)


def unlisted(dataset_id: str) -> DatasetRecord | None:
    """Return a record that holds an id of Minari's and no facts, which is enough to fetch it by.

    None for an id that Minari cannot have.  What the dataset is, its metadata tells once it is here
    (see `find_local`).
    """
    if not dataset_id.startswith(PREFIX):
        return None
    if not _MINARIS_RULE.fullmatch(dataset_id.removeprefix(PREFIX)):
        return None
    return DatasetRecord(
        id=dataset_id,
        reader="minari",
        environment=None,
        reference=None,
        time_limit=0,
        observation_dim=0,
        action_dim=0,
        licence=LICENCE,
        citation=CITATION,
        bibtex=BIBTEX,
        observation_layout="unknown",
        access=ACCESS,
        folder=True,
    )


def local_records(known: dict[str, DatasetRecord]) -> Iterator[DatasetRecord]:
    """Yield the records of all datasets in Minari's folder; one that cannot be read is left out."""
    if not root().is_dir():
        return
    for folder in dataset_folders(root()):
        dataset_id = PREFIX + folder.relative_to(root()).as_posix()
        try:
            record = find_local(dataset_id, known.get(dataset_id))
        except DatumrlError:  # told when it is asked for
            continue
        if record is not None:
            yield record


def dataset_folders(folder: Path) -> Iterator[Path]:
    """Yield the folders that hold a dataset, in the order of their names; none that is hidden."""
    try:
        found = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return
    for path in found:
        if path.name.startswith("."):  # what is being fetched or replaced
            continue
        if (path / "data" / "metadata.json").is_file():
            yield path
        elif not path.is_symlink():
            yield from dataset_folders(path)


def _record(dataset_id: str, metadata: Metadata) -> DatasetRecord:
    environment, problem = minari_metadata.environment(metadata)
    observations, actions = metadata.observations, metadata.actions
    flat = minari_metadata.layout(observations)
    discrete = actions[0].type in ("Discrete", "MultiDiscrete", "MultiBinary")
    width = 1
    for size in actions[0].shape:
        width *= size
    described = metadata.fields.get("description")
    notes = (described.strip() if isinstance(described, str) else "", problem)
    return DatasetRecord(
        id=dataset_id,
        reader="minari",
        environment=environment,
        reference=minari_metadata.reference(metadata),
        time_limit=environment.time_limit if environment else 0,
        observation_dim=observations[0].shape[0] if flat == "flat" else 0,
        action_dim=actions[0].count or width,
        licence=LICENCE,
        citation=_citation(metadata),
        bibtex=BIBTEX,
        source=_text(metadata, "code_permalink") or "its own metadata, in Minari's folder",
        errata=tuple(note for note in notes if note),
        observation_layout=flat,
        discrete_actions=discrete,
        rows=metadata.total_steps,
        access=ACCESS,
        folder=True,
    )


def _citation(metadata: Metadata) -> str:
    authors = metadata.fields.get("author")
    named = ", ".join(map(str, authors)) if isinstance(authors, list) else str(authors or "")
    return f"{named}; {CITATION}" if named else CITATION


def _text(metadata: Metadata, name: str) -> str:
    value = metadata.fields.get(name)
    return value if isinstance(value, str) else ""
