"""Records of D4RL (Fu et al. 2020, arXiv:2004.07219).

Facts are those of Farama-Foundation/D4RL (``d4rl/infos.py``, ``d4rl/gym_mujoco/__init__.py``,
Apache-2.0; data CC BY 4.0).
"""

from __future__ import annotations

from collections.abc import Iterator

from datumrl.datasets import fact_tables
from datumrl.datasets.record import DatasetRecord, Environment, Reference

CITATION = (
    "Fu, Kumar, Nachum, Tucker, Levine: D4RL: Datasets for Deep Data-Driven Reinforcement "
    "Learning. arXiv:2004.07219 (2020)"
)

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
    "ant-contact": "111 observation values need Ant-v4 with use_contact_forces=True",
}


def records() -> Iterator[DatasetRecord]:
    """Yield every record of the collection."""
    for row in fact_tables.rows("d4rl_gym_mujoco.csv"):
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
            citation=CITATION,
            source="Farama-Foundation/D4RL: d4rl/infos.py",
            errata=tuple(ERRATA[key] for key in row["errata"].split()),
        )
