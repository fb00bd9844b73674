"""Writer of Minari datasets in HDF5 storage, which `minari` loads by its own means.

Written directly: the package's own writer holds three chunked, resizable datasets where one plain
one does, and takes three times the time and four times the space for short episodes.  So `minari`
need not be installed; where it is, the result is opened with it before it counts.

An episode of Minari has one more observation than steps.  Where the source does not know the final
one, the rule is that of the ``correct`` view of transitions (see `views`): a terminal step is kept
and its own observation stands in for the final one, which nothing may read since the process ended;
any other last step is left out, and its episode ends truncated one step earlier.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from datumrl.datasets import columns, files, hdf5_output, minari_spaces
from datumrl.datasets.catalogue import DatasetRecord
from datumrl.datasets.columns import Column
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.exports import Export, Progress, Source, described, refuse_existing

MINARI_VERSION = "0.5.3"  # whose layout this is; minari refuses datasets of versions after its own
_MAIN_FILE = "main_data.hdf5"


@dataclass(frozen=True)
class EnvironmentFacts:
    """What Minari keeps of an environment, which only Gymnasium knows."""

    spec: str  # JSON of Gymnasium's EnvSpec
    action_low: np.ndarray  # (action_dim,) float32
    action_high: np.ndarray  # (action_dim,) float32


def minari_id(record: DatasetRecord) -> str:
    """Return the id under which `minari` will know a dataset.

    ``local/hopper-medium-v1@100k`` is ``datumrl/hopper/medium-100k-v1``, and
    ``d4rl/hopper-medium-v2`` is ``datumrl/d4rl/hopper/medium-v2``: Minari's own ``D4RL`` datasets
    are others.  A dot, which Minari's ids have none of, becomes an underscore, and a name without
    a version, such as ``neorl2/Pipeline``, gets 0.
    """
    collection, _, name = record.full_id.replace(".", "_").partition("/")
    _, at, prefix = record.id.partition("@")
    match = re.fullmatch(r"(.*)-v([0-9]+)", name)
    stem, version = match.groups() if match else (name, "0")
    words = stem.split("-")
    environment = record.environment.id.partition("-v")[0].lower() if record.environment else ""
    joined = ["".join(words[:count]) for count in range(1, len(words))]
    split = joined.index(environment) + 1 if environment in joined else 1
    namespace = "datumrl" if collection == "local" else f"datumrl/{collection}"
    kind = "-".join([*words[split:], *([prefix] if at else [])])
    return f"{namespace}/{'-'.join(words[:split])}/{kind or 'all'}-v{version}"


def write(
    root: Path,
    source: Source,
    environment: EnvironmentFacts | None,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> Export:
    """Write a dataset as ``root/<its Minari id>``, all or nothing.

    Without ``environment``, `minari` cannot recover one, and the action space has no bounds.
    Raises DatumrlError for a dataset that exists there (unless ``force``), for one without any step
    that Minari can hold, and for a disk that is full or read-only.
    """
    name = minari_id(source.record)
    folder = root / name
    refuse_existing(folder, force)
    plan = _plan(source.episodes)
    notes = (*plan.notes, *_other_notes(source, environment))
    with files.replacing_folder(folder) as temporary:
        data = temporary / "data"
        with (
            files.replacing(data / _MAIN_FILE, "w+b") as handle,
            hdf5_output.writing(handle) as output,
        ):
            for number, episode in enumerate(_episodes(source, plan)):
                _write_episode(output.file.create_group(f"episode_{number}"), number, episode)
                output.check()
                if progress is not None:
                    progress(int(plan.begins[number] + plan.lengths[number]), len(source.episodes))
        size = (data / _MAIN_FILE).stat().st_size
        metadata = _metadata(source, environment, name, plan, notes, size)
        files.write_json(data / "metadata.json", metadata)
        _open_with_minari(data, plan)
    _declare_namespaces(root, name)
    return Export(folder, name, int(plan.lengths.sum()), len(plan.lengths), notes)


@dataclass(frozen=True)
class _Plan:
    """Which steps of which episodes are written, and what ends them."""

    begins: np.ndarray  # (episodes,) int64: first row
    lengths: np.ndarray  # (episodes,) int64: steps that are written, at least one
    finals: Column  # (episodes, ...), of the form of observations; those that are `final`
    final: np.ndarray  # (episodes,) bool; False: the row after the steps is the last observation
    notes: tuple[str, ...]


def _plan(episodes: Episodes) -> _Plan:
    begins, ends = episodes.starts[:-1], episodes.starts[1:] - 1
    finals, known = episodes.final_observations()
    terminal = np.asarray(episodes.terminals[ends])
    stand_ins = terminal & ~known
    own = columns.take(episodes.observations, ends[stand_ins])
    columns.place(finals, np.flatnonzero(stand_ins), own)
    cut = ~terminal & ~known
    lengths = episodes.lengths() - cut
    kept = lengths > 0
    if not kept.any():
        raise DatumrlError(
            f"{episodes.id}: no step has a known next observation, so Minari can hold none; fetch "
            "a source that stores them"
        )
    notes = {
        "{} episodes ended by the process have no known final observation; their last one is "
        "repeated": stand_ins.sum(),
        "{} last steps of episodes are left out: the observation after them is not known, so those "
        "episodes end truncated one step earlier, with that much less return": cut.sum(),
        "{} episodes of one such step are left out with it": (~kept).sum(),
        "{} episodes without a flag at their end are marked truncated": (
            kept & ~(terminal | np.asarray(episodes.timeouts[ends]))
        ).sum(),
        "{} stored next observations disagree with the following row, which Minari cannot hold; "
        "the following row stands": (~np.isin(episodes.successor_rows, ends)).sum(),
    }
    told = tuple(note.format(int(count)) for note, count in notes.items() if count)
    finals = columns.apply(lambda values: values[kept], finals)
    return _Plan(begins[kept], lengths[kept], finals, ~cut[kept], told)


def _other_notes(source: Source, environment: EnvironmentFacts | None) -> Iterator[str]:
    metadata = [name for name in source.extras if name.startswith("metadata/")]
    if metadata:
        yield f"{len(metadata)} arrays of metadata have no place in Minari and are left out"
    if source.episodes.infos:
        yield "infos have a row per step, the state before it, and none for the final observation"
    if environment is None:
        yield "without an environment specification, and actions without bounds"


def _episodes(source: Source, plan: _Plan) -> Iterator[dict[str, Any]]:
    """Yield each episode's arrays by their names in Minari."""
    episodes, infos = source.episodes, dict(source.episodes.infos)
    for number, (begin, length) in enumerate(zip(plan.begins, plan.lengths, strict=True)):
        rows = slice(begin, begin + length)
        observations = _observations(episodes, plan, number)
        terminations = np.asarray(episodes.terminals[rows])
        truncations = np.array(episodes.timeouts[rows])
        truncations[-1] |= not terminations[-1]
        yield {
            "observations": observations,
            "actions": episodes.actions[rows],
            "rewards": episodes.rewards[rows],
            "terminations": terminations,
            "truncations": truncations,
            "infos": {name: values[rows] for name, values in infos.items()},
        }


def _observations(episodes: Episodes, plan: _Plan, number: int) -> Column:
    """Return the observations of an episode, one more than its steps."""
    begin, length = plan.begins[number], plan.lengths[number]
    if not plan.final[number]:
        return columns.apply(lambda each: each[begin : begin + length + 1], episodes.observations)
    return columns.apply(
        lambda each, finals: np.concatenate([each[begin : begin + length], finals[[number]]]),
        episodes.observations,
        plan.finals,
    )


def _write_episode(group: h5py.Group, number: int, episode: dict[str, Any]) -> None:
    group.attrs["id"] = number
    group.attrs["total_steps"] = len(episode["rewards"])
    infos = episode.pop("infos")
    for name, column in episode.items():
        for part, values in columns.parts(column).items():
            group.create_dataset(f"{name}/{part}" if part else name, data=values)
    if infos:
        inner = group.create_group("infos")
        for name, values in infos.items():
            inner.create_dataset(name, data=values)


def _metadata(
    source: Source,
    environment: EnvironmentFacts | None,
    name: str,
    plan: _Plan,
    notes: tuple[str, ...],
    size: int,
) -> dict[str, Any]:
    """Return the content of ``metadata.json``; keys of which nothing is known are absent."""
    record, episodes = source.record, source.episodes
    bounds = (environment.action_low, environment.action_high) if environment else None
    metadata: dict[str, Any] = {
        "total_episodes": len(plan.lengths),
        "total_steps": int(plan.lengths.sum()),
        "data_format": "hdf5",
        "jpeg_encoding": False,
        "observation_space": minari_spaces.of_observations(episodes.observations),
        "action_space": minari_spaces.of_actions(episodes.actions, bounds),
        "dataset_id": name,
        "minari_version": MINARI_VERSION,
        "author": [record.citation.partition(":")[0] or "unknown"],
        "description": _description(source, notes),
        "dataset_size": round(size / 1e6, 1),
    }
    if environment is not None:
        # An environment that is not the one of the data is only for evaluation.
        same = record.environment is not None and record.environment.equivalent
        metadata["env_spec" if same else "eval_env_spec"] = environment.spec
    if algorithm := _algorithm(source):
        metadata["algorithm_name"] = algorithm
    if record.reference is not None:
        metadata["ref_min_score"] = record.reference.minimum
        metadata["ref_max_score"] = record.reference.maximum
    if requirements := _requirements(source):
        metadata["requirements"] = requirements
    return metadata


def _algorithm(source: Source) -> str | None:
    parts = source.provenance.get("recipe", {}).get("parts", [])
    if parts:
        return ", ".join(f"{part['name']} ({part['policy']['kind']})" for part in parts)
    return source.provenance.get("metadata", {}).get("algorithm")


def _requirements(source: Source) -> list[str]:
    """Return the packages whose versions define the environment, as pip names them."""
    packages = dict(source.provenance.get("recipe", {}).get("engine", {}))
    environment = source.record.environment
    if environment is not None and environment.id.startswith("datumrl/"):  # one of our own
        packages["datumrl"] = source.provenance.get("software", {}).get("datumrl")
    return [f"{package}=={version}" for package, version in packages.items() if version]


def _description(source: Source, notes: tuple[str, ...]) -> str:
    told = described(source)
    facts = {
        "sha256": "sha256 {}.",
        "command": "Made by `{}`.",
        "reference_origin": "Reference scores: {}.",
        "licence": "Licence: {}.",
        "citation": "{}",
        "notes": "{}",
    }
    lines = [f"{told['dataset']} of datumrl."]
    lines += [text.format(told[key]) for key, text in facts.items() if key in told]
    lines += [f"Conversion: {note}." for note in notes]
    return "\n".join(lines)


def _open_with_minari(data: Path, plan: _Plan) -> None:
    """Open the result as a user will, where minari is installed."""
    if util.find_spec("minari") is None:
        return
    from minari import MinariDataset

    dataset = MinariDataset(data)
    last = dataset[len(plan.lengths) - 1]
    if dataset.total_steps != plan.lengths.sum() or len(last) != plan.lengths[-1]:
        raise DatumrlError(
            f"{data}: minari reads {dataset.total_steps} steps where {plan.lengths.sum()} were "
            "written; please report it"
        )


def _declare_namespaces(root: Path, name: str) -> None:
    """Put the file into each namespace folder by which minari lists it."""
    for folder in list((root / name).parents)[: name.count("/")]:
        declared = folder / "namespace_metadata.json"
        if not declared.exists():
            files.write_json(declared, {})
