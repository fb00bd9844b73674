"""Records of OGBench (Park et al. 2025, arXiv:2410.20092).

Facts: seohongpark/ogbench and the released package ogbench 1.2.2 (MIT).  A file without rewards is
the goal-conditioned dataset, and the single-task datasets with the rewards of one fixed goal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from datumrl.datasets import fact_tables
from datumrl.datasets.record import DatasetRecord

CITATION = (
    "Park, Frans, Eysenbach, Levine: OGBench: Benchmarking Offline Goal-Conditioned RL. "
    "International Conference on Learning Representations (2025)"
)
BIBTEX = """@inproceedings{park2025ogbench,
  title = {{OGBench}: Benchmarking Offline Goal-Conditioned {RL}},
  author = {Park, Seohong and Frans, Kevin and Eysenbach, Benjamin and Levine, Sergey},
  booktitle = {International Conference on Learning Representations},
  year = {2025}
}"""
ERRATA = {
    "last": "terminals of the file marks the last stored state of a trajectory, whose action leads "
    "nowhere: 1,001 stored rows are 1,000 transitions; a loader that takes it for the end of the "
    "process, or keeps that row, is wrong",
    "goals": "the file has no rewards: they are 0 here, and nothing is terminal; goals are for the "
    "method to choose",
    "task": "rewards and terminals are computed from the state that an action is taken in, as "
    "OGBench's loader does: the parts of the goal that are satisfied, less their number",
    "own-length": "trajectories of the data have a length of their own, shorter or longer than the "
    "time limit of evaluation",
    "beyond": "a trajectory goes on after its goal is reached, so a terminal row may lie within it",
    "noise": "OGBench's single-task environments put no noise on the goal, its goal-conditioned "
    "ones do",
    "powderworld": "three actions make one move (element, x, y); the stage is in the observation",
    "shards": "a folder of .npz files of about 100 million rows in all; how its files are named is "
    "not known, and every one but those with val in their names is read",
    "oraclerep": "what OGBench's oraclerep ids add is computed from qpos and button_states, which "
    "are kept as extras",
}
_NO_REWARDS = "the file has no rewards; success is told by goals of evaluation"
_NO_END = "a trajectory of the data goes on after success, where evaluation ends"


def records() -> Iterator[DatasetRecord]:
    """Yield every record of the collection: each file, and its single-task datasets."""
    for row in fact_tables.rows("ogbench.csv"):
        name = row["name"]
        if row["folder"]:
            yield _folder(row)
            continue
        train = _goal_conditioned(row, name, row["url"])
        train = replace(train, rows=int(row["episodes"]) * (int(row["stored_steps"]) - 1))
        yield from _pair(train, row["validation_url"])
        for task in range(int(row["tasks"]) + 1 if row["tasks"] else 0):
            stem = name.removesuffix("-v0") + "-singletask" + (f"-task{task}" if task else "")
            yield from _pair(_single_task(train, row, f"{stem}-v0", task), row["validation_url"])


def _pair(train: DatasetRecord, validation_url: str) -> Iterator[DatasetRecord]:
    """Yield a dataset and the split to validate on."""
    validation = f"{train.id}-val"
    yield replace(train, validation=validation)
    yield replace(train, id=validation, urls=(validation_url,), rows=None)


def _goal_conditioned(row: dict[str, str], name: str, url: str) -> DatasetRecord:
    powder = row["environment"].startswith("powderworld")
    keys = ["last", "goals", "powderworld" if powder else "oraclerep", *_length(row)]
    return DatasetRecord(
        id=f"ogbench/{name}",
        reader="ogbench",
        environment=None,
        reference=None,
        time_limit=int(row["time_limit"]),
        observation_dim=int(row["observation_dim"]),
        action_dim=int(row["action_dim"]),
        urls=(url,),
        licence="MIT (of the repository; none is stated for the data alone)",
        citation=CITATION,
        bibtex=BIBTEX,
        source="seohongpark/ogbench: ogbench/utils.py, data_gen_scripts/commands.sh",
        errata=tuple(ERRATA[key] for key in keys),
        returns_note=_NO_REWARDS,
        observation_layout=row["observation_layout"],
        discrete_actions=powder,
        options=(("task", -1),),
    )


def _length(row: dict[str, str]) -> list[str]:
    return ["own-length"] * (int(row["stored_steps"]) - 1 != int(row["time_limit"]))


def _single_task(train: DatasetRecord, row: dict[str, str], name: str, task: int) -> DatasetRecord:
    keys = ["last", "task", "beyond", "noise", *_length(row)]
    return replace(
        train,
        id=f"ogbench/{name}",
        errata=tuple(ERRATA[key] for key in keys),
        returns_note=_NO_END,
        source=f"{train.source}, ogbench/relabel_utils.py, goals of the released package 1.2.2",
        options=(("task", task), ("goals", row["environment"].removeprefix("visual-"))),
    )


def _folder(row: dict[str, str]) -> DatasetRecord:
    record = _goal_conditioned(row, row["name"], row["url"])
    return replace(
        record,
        urls=(),
        folder=True,
        file_name=row["name"],
        layout="unverified",
        errata=(ERRATA["shards"], *record.errata),
        access=f"download the folder {row['url']}, for example with `wget -r -np -nd`",
    )
