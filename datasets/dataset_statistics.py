"""All measures of one dataset in one frozen record."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from datumrl.datasets import catalogue, loading, returns_quality
from datumrl.datasets import coverage as coverages
from datumrl.datasets.behaviour_entropy import BehaviourEntropy, Bounds, Policy, behaviour_entropy
from datumrl.datasets.catalogue import DatasetRecord
from datumrl.datasets.coverage import Coverage
from datumrl.datasets.discretization import DEFAULT, find_preset
from datumrl.datasets.duplicates import Duplicates, duplicates
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.imitation_quality import ImitationQuality, imitation_quality, yardstick
from datumrl.datasets.returns_quality import Lengths, Returns, Rewards, Scores
from datumrl.datasets.views import View

Progress = Callable[[str], Callable[[int, int], None]]  # what -> (rows done, rows in all) -> None
PREPARING = "preparing"  # the end of a "what" of which bytes are counted, not rows
_KINDS = r"random|medium|medium-replay|medium-expert|full-replay|random-expert|expert|mixed"


@dataclass(frozen=True)
class DatasetStatistics:
    """What `stats` found; each part's docstring gives definitions, units and sources."""

    id: str
    sha256: str | None
    rows: int
    episodes: int  # the unfinished tail, if there is one, included
    returns: Returns
    lengths: Lengths
    rewards: Rewards
    scores: Scores
    coverage: Coverage
    imitation: ImitationQuality | None  # None: too few rows for distances
    duplicates: Duplicates
    dropped: dict[str, dict[str, int]]  # view -> reason -> rows
    entropy: BehaviourEntropy | None  # None: no policy was given
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return JSON content; what is undefined is null."""
        return asdict(self)


def stats(
    dataset: str | Episodes,
    *,
    reference: str | Episodes | None = None,
    preset: str = DEFAULT,
    rows: int | None = None,
    seed: int = 0,
    path: Path | str | None = None,
    policy: Policy | None = None,
    action_bounds: Bounds | None = None,
    progress: Progress | None = None,
) -> DatasetStatistics:
    """Return every measure of a dataset, given by id or as Episodes.

    ``reference`` is what coverage and similarity are measured against; by default the medium-replay
    dataset of the same environment and version if it is here, else the dataset itself (then SACo is
    1).  ``preset`` and ``rows`` say how rows are discretised and how many are counted (see
    `discretization`).  ``seed`` draws the rows of the sampled measures.  ``path`` names a file to
    use for the id.  ``policy`` is asked for the behaviour entropy (see `behaviour_entropy`); one of
    Gaussians needs the low and high of the actions, ``action_bounds``, which
    `evaluation.auditing.action_bounds` returns for a catalogued dataset's record.

    Raises DatumrlError for ids that are not known or not here, for a reference of another
    environment, without rows or with values that are not finite, and for a policy that is refused.
    """
    find_preset(preset)  # before anything is read
    _require_dataset(dataset)
    if reference is not None:
        _require_dataset(reference)
    tell = progress or (lambda _what: lambda _done, _all: None)
    if isinstance(dataset, str):
        episodes = loading.load(dataset, path=path, progress=tell(f"{dataset}: {PREPARING}"))
    else:
        episodes = dataset
    if len(episodes) == 0:
        raise DatumrlError(f"{episodes.id}: has no rows, so there is nothing to measure")
    other, notes = _reference(episodes, known_record(episodes.id), reference)
    entropy = None
    if policy is not None:  # first: it may be refused
        entropy = behaviour_entropy(episodes, policy, action_bounds=action_bounds, seed=seed)
    counted = coverages.coverage(episodes, other, preset, rows, tell(f"{episodes.id}: coverage"))
    found = _measures(episodes, other, counted, seed, tell(f"{episodes.id}: duplicates"))
    return replace(found, entropy=entropy, notes=(*episodes.notes, *notes))


def _measures(
    episodes: Episodes,
    reference: Episodes | None,
    counted: Coverage,
    seed: int,
    progress: Callable[[int, int], None],
) -> DatasetStatistics:
    """Return everything but what a policy tells; without a reference the dataset is its own."""
    values = returns_quality.episode_returns(episodes)
    return DatasetStatistics(
        id=episodes.id,
        sha256=episodes.sha256,
        rows=len(episodes),
        episodes=len(episodes.starts) - 1,
        returns=returns_quality.returns(episodes, values),
        lengths=returns_quality.lengths(episodes),
        rewards=returns_quality.rewards(episodes),
        scores=returns_quality.scores(episodes, known_record(episodes.id), values),
        coverage=counted,
        imitation=_imitation(episodes, episodes if reference is None else reference, seed),
        duplicates=duplicates(episodes, progress),
        dropped={view: dict(episodes.index(view).dropped) for view in get_args(View)},
        entropy=None,
        notes=(),
    )


def known_record(dataset_id: str) -> DatasetRecord | None:
    """Return the catalogue's record of a dataset; None for one of the user's own."""
    try:
        return catalogue.find(dataset_id)
    except DatumrlError:
        return None


def default_reference(dataset_id: str) -> str | None:
    """Return the id of the medium-replay dataset of the same environment and version.

    Like ``d4rl/hopper-medium-replay-v2`` for ``d4rl/hopper-expert-v2``, with the same ``@100k``, or
    whole where it has no more rows than that; None where the catalogue has none or the dataset is
    itself that one.
    """
    name, at, size = dataset_id.partition("@")
    match = re.fullmatch(rf"(.+?)-(?:{_KINDS})-(v\d+)", name)
    if match is None:
        return None
    sibling = f"{match[1]}-medium-replay-{match[2]}"
    whole = known_record(sibling)
    if sibling == name or whole is None:
        return None
    asked = known_record(dataset_id)
    prefix = None if asked is None else asked.prefix
    if prefix is not None and whole.rows is not None and prefix >= whole.rows:
        return sibling
    return sibling + at + size


def _reference(
    episodes: Episodes, record: DatasetRecord | None, reference: str | Episodes | None
) -> tuple[Episodes | None, tuple[str, ...]]:
    """Return the reference dataset, None for the dataset itself, and what to say of the choice."""
    if isinstance(reference, str):
        if reference == episodes.id:
            return None, ()
        _check_environment(episodes.id, record, reference)
        return loading.load(reference), ()
    if reference is not None:
        _check_environment(episodes.id, record, reference.id)
        return reference, ()
    sibling = default_reference(episodes.id)
    if sibling is None:
        return None, ()
    try:
        return loading.load(sibling), ()
    except DatumrlError as problem:
        return None, (f"the usual reference cannot be used: {problem}",)


def _require_dataset(given: object) -> None:
    if not isinstance(given, str | Episodes):
        found = f"an array {given.shape}" if isinstance(given, np.ndarray) else repr(given)[:60]
        raise DatumrlError(
            f"{found}: is no dataset; give its id, or the Episodes that datumrl.load returned"
        )


def _check_environment(name: str, record: DatasetRecord | None, reference: str) -> None:
    """Raise DatumrlError for a reference whose environment is known to be another one."""
    other = known_record(reference)
    if record is None or other is None or not record.environment or not other.environment:
        return
    if record.environment.id != other.environment.id:
        raise DatumrlError(
            f"{reference}: is of {other.environment.id}, no reference for {name} of "
            f"{record.environment.id}; use a dataset of the same environment"
        )


def _imitation(episodes: Episodes, reference: Episodes, seed: int) -> ImitationQuality | None:
    if min(len(episodes), len(reference)) < 2:
        return None
    found = imitation_quality(episodes, yardstick(reference, seed), seed)
    return replace(found, reference=reference.id)
