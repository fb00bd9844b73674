"""Records of D5RL (Rafailov et al. 2024): kitchen, Adroit with binary rewards, WidowX, A1.

Facts: d5rlbenchmark/d5rl (README.md, benchmark/domains, examples).  Kitchen ids are the task names
of its launch scripts, the others are paths on its servers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from datumrl.datasets.record import DatasetRecord, Reference

CITATION = (
    "Rafailov, Hatch, Singh, Kumar, Smith, Kostrikov, Hansen-Estruch, Kolev, Ball, Wu, Levine, "
    "Finn: D5RL: Diverse Datasets for Data-Driven Deep Reinforcement Learning. Reinforcement "
    "Learning Conference (2024)"
)
BIBTEX = """@inproceedings{rafailov2024d5rl,
  title = {{D5RL}: Diverse Datasets for Data-Driven Deep Reinforcement Learning},
  author = {Rafailov, Rafael and Hatch, Kyle Beltran and Singh, Anikait and Kumar, Aviral
    and Smith, Laura and Kostrikov, Ilya and Hansen-Estruch, Philippe and Kolev, Victor
    and Ball, Philip J. and Wu, Jiajun and Levine, Sergey and Finn, Chelsea},
  booktitle = {Reinforcement Learning Conference},
  year = {2024}
}"""
_SERVER = "http://rail.eecs.berkeley.edu/datasets/finetune_rl"
_BUCKET = "gs://d5rl_datasets"
_DEMOS = "kitchen_demos_multitask_lexa_view_and_wrist_npz"
_IN = "microwave,kettle,light switch,slide cabinet"
_OUT = "microwave,kettle,bottom burner,light switch"
_RANDOM_IN = "microwave,kettle,switch,slide"  # the randomized kitchen has names of its own
_RANDOM_OUT = "microwave,kettle,bottomknob,switch"
_KITCHEN = {  # task name of its scripts -> (folder, elements whose rewards are summed)
    "standardkitchen_indistribution": (_DEMOS, _IN),
    "standardkitchen_outofdistribution": (_DEMOS, _OUT),
    "randomizedkitchen_indistribution-expert_demos": ("expert_demos", _RANDOM_IN),
    "randomizedkitchen_indistribution-play_data": ("play_data", _RANDOM_IN),
    "randomizedkitchen_outofdistribution-play_data": ("play_data", _RANDOM_OUT),
}
_ADROIT = {"door": (28, 200), "pen": (24, 100), "relocate": (30, 200)}  # actions, steps
_WIDOWX = ("reach_sparse", "pick_and_place", "drawer")
_A1 = {"a1_extrapolate_above": 400, "a1_hiking": 1000, "a1_interpolate": 400}
ERRATA = {
    "shift": "the file's action and reward of a row led into it: a step here is the observation of "
    "row t with action and reward of row t + 1",
    "tasks": "where a file has a reward for each element and none in all, the reward is the sum "
    "over the elements of the task: {}",
    "end": "an episode ends where its recording does, as a timeout with a known successor; D5RL's "
    "own loader does not bootstrap past it",
    "objects": "files also hold metadata as Python objects and text, which are never read",
    "clipped": "actions were clipped to 1e-5 within -1 and 1, and terminals removed, before the "
    "file was written",
    "found": "the shape of observations is not stated; it is the one that the file has",
    "pickle": "published as a pickled object of the authors' own classes, which is never unpickled "
    "here; its arrays are read from an .npz that you write of them, see how to get it",
    "shared": "the same folder as other tasks' of the same kitchen, with other rewards",
}


def records() -> Iterator[DatasetRecord]:
    """Yield every record of the collection."""
    yield from _kitchen()
    for task, (actions, limit) in _ADROIT.items():
        yield _record(
            f"adroit/{task}_binary",
            reader="d5rl-steps",
            reference=Reference(-float(limit), 0.0, "registered in benchmark/domains/adroit"),
            time_limit=limit,
            action_dim=actions,
            urls=(f"{_SERVER}/adroit/{task}_binary.hdf5",),
            errata=(ERRATA["clipped"], ERRATA["found"]),
        )
    for task in _WIDOWX:
        yield _record(
            f"widowx/{task}",
            reader="d5rl-steps",
            reference=Reference(0.0, 200.0, "registered in benchmark/domains/widowx"),
            time_limit=200,
            action_dim=4,
            urls=(f"{_SERVER}/widowx/{task}.hdf5",),
            errata=(ERRATA["found"],),
        )
    for name, limit in _A1.items():
        yield _record(
            f"a1/{name}",
            reader="d5rl-steps",
            time_limit=limit,
            action_dim=12,
            file_name=f"{name}.npz",
            errata=(ERRATA["pickle"], ERRATA["found"]),
            access=f"`gsutil cp {_BUCKET}/a1/{name}.zip .`, unpack it, and in D5RL's own "
            "environment, if you trust the file, run `import pickle, numpy; numpy.savez("
            f"'{name}.npz', **pickle.load(open('buffers/buffer.pkl', 'rb')).dataset_dict)`",
        )


def _kitchen() -> Iterator[DatasetRecord]:
    for name, (folder, elements) in _KITCHEN.items():
        errata = [ERRATA[key] for key in ("shift", "end", "objects", "shared", "found")]
        yield _record(
            name,
            reader="d5rl-kitchen",
            time_limit=500,
            action_dim=9,
            errata=(*errata, ERRATA["tasks"].format(elements)),
            access=f"`gsutil -m cp -r {_BUCKET}/KITCHEN_DATA/{folder} .`",
            folder=True,
            file_name=f"KITCHEN_DATA/{folder}",
            observation_layout="dict",
            options=(("elements", elements),),
        )


def _record(name: str, **fields: Any) -> DatasetRecord:
    return DatasetRecord(
        **{
            "id": f"d5rl/{name}",
            "environment": None,
            "reference": None,
            "observation_dim": 0,
            "observation_layout": "as found",
            "licence": "not stated for the data (parts of the code: Apache-2.0)",
            "citation": CITATION,
            "bibtex": BIBTEX,
            "source": "d5rlbenchmark/d5rl: README.md, benchmark/domains, examples",
            "layout": "unverified",
            **fields,
        }
    )
