"""The audit of a catalogued dataset: every check, with its environment where there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from datumrl.datasets import loading, prepared
from datumrl.datasets.audit import audit
from datumrl.datasets.audit_errata import recognised
from datumrl.datasets.catalogue import DatasetRecord, find
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError, installed_by
from datumrl.datasets.findings import Finding, Report
from datumrl.datasets.infos import PREFIX
from datumrl.evaluation import provenance
from datumrl.evaluation.environment_facts import environment_facts
from datumrl.evaluation.replay import can_replay, finding, replay

Progress = Callable[[int, int], None]  # done, in all
REPLAY_ROWS = 1000


def audit_dataset(
    dataset_id: str,
    *,
    path: Path | None = None,
    against: Sequence[str] = (),
    replay_rows: int | None = REPLAY_ROWS,
    seed: int = 0,
    loading_progress: Progress | None = None,
    checks_progress: Progress | None = None,
    replay_progress: Progress | None = None,
) -> Report:
    """Load a dataset and return the findings of every check.

    ``path`` names a file to use for it, as in `datumrl.load`.  ``against`` are ids of datasets that
    must share no row with it; the validation split that its record names joins them if it can be
    read, and the finding on leakage says why if it cannot.
    ``replay_rows`` rows are replayed (all: None; no replay: 0).  Raises DatumrlError for an unknown
    id or a dataset that is not here.
    """
    record = find(dataset_id)
    episodes = loading.load(dataset_id, path=path, progress=loading_progress)
    others = [loading.load(other, progress=loading_progress) for other in against]
    unread = []
    if record.validation is not None and record.validation not in against:
        try:
            others.append(loading.load(record.validation, progress=loading_progress))
        except DatumrlError as problem:
            unread.append(f"its validation split cannot be read: {problem}")
    report = audit(
        episodes,
        record,
        action_bounds=action_bounds(record),
        against=others,
        unread=unread,
        progress=checks_progress,
    )
    if replay_rows == 0 or report.finding("boundaries").verdict == "fail":
        return report
    replayed = _replayed(record, episodes, replay_rows, seed, replay_progress)
    return replace(report, findings=(*report.findings, recognised(replayed, record)))


def action_bounds(record: DatasetRecord) -> tuple[np.ndarray, np.ndarray] | None:
    """Return low and high of the actions of a dataset's environment; None where not to be had."""
    if record.environment is None or record.discrete_actions:
        return None
    try:
        facts = environment_facts(record.environment)
    except DatumrlError:
        return None
    return facts.action_low, facts.action_high


def extras_of(episodes: Episodes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return a loaded dataset's per-row extras and its provenance; nothing for one made in memory.

    They lie beside its memory-mapped columns, those of the whole dataset for a prefix.
    """
    if not isinstance(episodes.rewards, np.memmap) or episodes.rewards.filename is None:
        return {}, {}
    folder = Path(str(episodes.rewards.filename)).parent
    extras = {PREFIX + name: values for name, values in episodes.infos.items()}
    return extras, prepared.provenance(folder)


def _replayed(
    record: DatasetRecord,
    episodes: Episodes,
    rows: int | None,
    seed: int,
    progress: Progress | None,
) -> Finding:
    extras, origin = extras_of(episodes)
    environment = record.environment
    reason = can_replay(episodes, extras)
    if reason is None and (environment is None or not environment.equivalent):
        reason = "no environment here is the process of the collection"
    if reason is not None or environment is None:
        return Finding("replay", "not applicable", str(reason))
    engine = provenance.engine_versions(environment.id)
    if "mujoco" not in engine or "gymnasium" not in engine:
        needed = f"gymnasium and mujoco are not installed; install them with {installed_by('envs')}"
        return Finding("replay", "not applicable", needed)
    try:
        result = replay(episodes, extras, environment, rows=rows, seed=seed, progress=progress)
    except DatumrlError as problem:
        return Finding("replay", "fail", str(problem), {}, (), "do not use infos/qpos, qvel")
    made_with = origin.get("recipe", {}).get("engine")
    shown = ", ".join(f"{name} {version}" for name, version in engine.items())
    return finding(result, same_engine=made_with == engine, engine=shown)
