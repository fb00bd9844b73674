"""Records of RL Unplugged's control suite (Gulcehre et al. 2020, arXiv:2006.13888).

Facts are those of tensorflow/datasets (``tensorflow_datasets/rl_unplugged/rlu_control_suite``):
names and sizes of observations, the address, 100 shards, gzip, and the alignment of rewards.
"""

from __future__ import annotations

from collections.abc import Iterator

from datumrl.datasets.record import DatasetRecord

CITATION = (
    "Gulcehre et al.: RL Unplugged: A Suite of Benchmarks for Offline Reinforcement Learning. "
    "NeurIPS 33, 7248-7259 (2020)"
)
BIBTEX = """@inproceedings{gulcehre2020rl,
  title = {{RL Unplugged}: A Suite of Benchmarks for Offline Reinforcement Learning},
  author = {Gulcehre, Caglar and Wang, Ziyu and Novikov, Alexander and Paine, Thomas and
    G\\'{o}mez, Sergio and Zolna, Konrad and Agarwal, Rishabh and Merel, Josh S and
    Mankowitz, Daniel J and Paduraru, Cosmin and Dulac-Arnold, Gabriel and Li, Jerry and
    Norouzi, Mohammad and Hoffman, Matthew and Heess, Nicolas and de Freitas, Nando},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {33},
  pages = {7248--7259},
  year = {2020}
}"""
SHARDS = 100
_BUCKET = "gs://rl_unplugged/dm_control_suite_episodes"
_MANIPULATOR = {
    "arm_pos": 16,
    "arm_vel": 8,
    "hand_pos": 4,
    "object_pos": 4,
    "object_vel": 3,
    "target_pos": 4,
    "touch": 5,
}
_WALKER = {"height": 1, "orientations": 14, "velocity": 9}
_TASKS: dict[str, tuple[dict[str, int], int]] = {  # task -> (parts of its observations, actions)
    "cartpole_swingup": ({"position": 3, "velocity": 2}, 1),
    "cheetah_run": ({"position": 8, "velocity": 9}, 6),
    "finger_turn_hard": (
        {"dist_to_target": 1, "position": 4, "target_position": 2, "velocity": 3},
        2,
    ),
    "fish_swim": ({"joint_angles": 7, "target": 3, "upright": 1, "velocity": 13}, 5),
    "humanoid_run": (
        {
            "com_velocity": 3,
            "extremities": 12,
            "head_height": 1,
            "joint_angles": 21,
            "torso_vertical": 3,
            "velocity": 27,
        },
        21,
    ),
    "manipulator_insert_ball": (_MANIPULATOR, 5),
    "manipulator_insert_peg": (_MANIPULATOR, 5),
    "walker_stand": (_WALKER, 6),
    "walker_walk": (_WALKER, 6),
}


def records() -> Iterator[DatasetRecord]:
    """Yield the record of every task."""
    for task, (sizes, actions) in _TASKS.items():
        # Names in the order of the alphabet: the files have no order of their own.
        parts = ", ".join(f"{name} {sizes[name]}" for name in sorted(sizes))
        yield DatasetRecord(
            id=f"rlu/{task}",
            reader="rlu-control",
            environment=None,
            reference=None,
            time_limit=1000,
            observation_dim=sum(sizes.values()),
            action_dim=actions,
            licence="CC BY 4.0 (commonly stated; no licence of the data was at hand)",
            citation=CITATION,
            bibtex=BIBTEX,
            source="tensorflow/datasets tensorflow_datasets/rl_unplugged/rlu_control_suite",
            errata=_errata(task, parts),
            access=f"`gsutil -m cp -r {_BUCKET}/{task} .` brings the folder of {SHARDS} shards, "
            "train-00000-of-00100 and so on",
            folder=True,
            file_name=task,
            options=(("parts", parts),),
        )


def _errata(task: str, parts: str) -> tuple[str, ...]:
    by = "V-MPO" if task.startswith("manipulator") else "D4PG"
    return (
        f"collected while {by} trained",
        f"observations are one vector of {parts}, names in the order of the alphabet",
        "rewards and discounts are stored beside the observation they led to; here beside the "
        "action that brought them",
        "an episode ends by time unless its last discount is 0",
        "no environment: dm_control is no dependency; its tasks have returns from 0 to 1000",
    )
