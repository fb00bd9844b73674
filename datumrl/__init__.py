"""datumrl: offline RL datasets, reference trainers, honest statistics and a leaderboard.

The names below are the public API; each is imported on first use, so that ``import datumrl`` costs
nothing and reading data needs neither torch nor MuJoCo.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "list_datasets": "datumrl.by_id",
    "find": "datumrl.datasets.catalogue",
    "fetch": "datumrl.by_id",
    "collect": "datumrl.by_id",
    "load": "datumrl.datasets.loading",
    "qlearning_dataset": "datumrl.datasets.loading",
    "stats": "datumrl.datasets.dataset_statistics",
    "score": "datumrl.datasets.scores",
    "make": "datumrl.by_id",
    "train": "datumrl.algorithms.training",
    "export_policy": "datumrl.algorithms.exporting",
    "load_policy": "datumrl.algorithms.exporting",
    "compare": "datumrl.evaluation.report",
    "evaluate": "datumrl.evaluation.recorder",
    "Recorder": "datumrl.evaluation.recorder",
    "DatumrlError": "datumrl.datasets.errors",
}
__all__ = [
    "DatumrlError",
    "Recorder",
    "__version__",
    "collect",
    "compare",
    "evaluate",
    "export_policy",
    "fetch",
    "find",
    "list_datasets",
    "load",
    "load_policy",
    "make",
    "qlearning_dataset",
    "score",
    "stats",
    "train",
]

if TYPE_CHECKING:
    from datumrl.algorithms.exporting import export_policy, load_policy
    from datumrl.algorithms.training import train
    from datumrl.by_id import collect, fetch, list_datasets, make
    from datumrl.datasets.catalogue import find
    from datumrl.datasets.dataset_statistics import stats
    from datumrl.datasets.errors import DatumrlError
    from datumrl.datasets.loading import load, qlearning_dataset
    from datumrl.datasets.scores import score
    from datumrl.evaluation.recorder import Recorder, evaluate
    from datumrl.evaluation.report import compare


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'datumrl' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
