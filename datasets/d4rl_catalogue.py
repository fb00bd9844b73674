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
    "ant-contact": "observation values 27 to 110, the contact forces, are all 0, since MuJoCo 2.0 "
    "no longer filled them, and so was their cost: reported of v2 (Farama-Foundation/D4RL#143, "
    "#173; openai/gym#1541), of v0 and v1 the audit's constant columns tell; policies are "
    "evaluated in the same way",
    "maze2d-goals": "one continuous trajectory: timeouts mark a goal reached and a new one drawn, "
    "not the time limit, and the following row is the true successor; infos/goal is the "
    "controller's changing goal, not the one that rewards are for",
    "maze2d-reward": "the reward of a row is that of its own observation, one step earlier than "
    "the environment gives it (Farama-Foundation/D4RL#194)",
    "maze2d-v0": "superseded by v1, whose time limits are longer and reference scores others",
    "eval-layout": "made in the evaluation layout of the maze, which is another maze",
    "antmaze-clusters": "terminals is the success flag while the trajectory goes on, so runs of "
    "terminal rows are normal; episodes end at timeouts and where the ant leaps",
    "antmaze-length": "timeouts come after the time limit of evaluation: D4RL's generator sets "
    "them a row late, so that 1,000 steps are 1,001 rows",
    "antmaze-goal": "the goal of the data is not that of evaluation, and observations have none; "
    "agents are commonly trained on rewards less 1, which the trainers' presets state",
    "antmaze-v0": "timeouts are out of step with the resets, which show as leaps of x and y; v2 "
    "mends them (Farama-Foundation/D4RL#77, #146)",
    "antmaze-v1": "a separate collection, registered by D4RL but absent from its list of datasets",
    "antmaze-umaze-diverse": "one reward for each goal reached where the other sets have runs of "
    "them (Farama-Foundation/D4RL#199)",
    "adroit-human": "demonstrations, longer than the time limit of evaluation; none is terminal",
    "adroit-longhorizon": "the same file as without longhorizon; only the time limit is longer",
    "adroit-cloned": "half rollouts of a cloned policy, half the demonstrations repeated to the "
    "same length: duplicates by construction, and the seam is at no end of an episode",
    "adroit-cloned-v1": "half rollouts of a cloned policy, up to an end of an episode after the "
    "middle, then the demonstrations, repeated: duplicates by construction; the last may be cut",
    "adroit-pen": "the pen may drop, which is terminal; other adroit tasks end by timeout only",
    "adroit-v0": "deprecated by its authors; no state of the task in infos",
    "adroit-logstd": "infos/action_logstd in v0 is infos/action_log_std in v1",
    "kitchen-terminals": "the last row of each demonstration is terminal although nothing ended; "
    "by convention nothing is bootstrapped past it; a demonstration may be longer than the time "
    "limit of evaluation",
    "kitchen-rewards": "rewards count the finished elements at every step, where the environment "
    "rewards each of them once",
    "kitchen-goal": "observation columns 30 to 59 hold the goal of the task",
    "minigrid-actions": "actions are stored as floats; they are read as whole numbers 0 to 6",
    "minigrid-rewards": "rewards are 0 unless relabelled",
    "carla-images": "48 x 48 x 3 images, one flat row each; users differ on whether they scale "
    "them by 255",
    "carla-render": "the layout of this file is not known; the reader says what it finds",
    "no-timeouts": "the file may have no timeouts; episodes then end at the time limit",
    "bullet-layout": "only the four basic columns are sure to be there",
}

_ANT = "datumrl/AntZeroContact-v1"
_ANT_NOTE = (
    "Gymnasium's Ant-v4 without contact forces, 84 zeros appended to its observations: Ant-v2 as "
    "MuJoCo 2.0 ran it, in rewards, ends and starts; D4RL does not say whether its reference "
    "scores were measured so, which matters by 1 score point at most (contact costs up to 0.042 a "
    "step)"
)
_CLONED = (
    "half the data are demonstrations, repeated and longer than the episodes of evaluation, whose "
    "returns the reference scores are"
)
_RETURNS = {  # erratum -> why returns of the episodes of a dataset that has it are no scores
    "maze2d-goals": "a row of the data is no episode of evaluation: timeouts mark goals reached",
    "antmaze-clusters": "rewards are repeated while the ant stays at the goal, where evaluation "
    "ends at it",
    "adroit-human": "the demonstrations are longer than the episodes of evaluation, whose returns "
    "the reference scores are",
    "adroit-cloned": _CLONED,
    "adroit-cloned-v1": _CLONED,
    "kitchen-rewards": "rewards of the data count finished elements at every step; the "
    "environment's once",
    "minigrid-rewards": "rewards of the data are 0 unless relabelled; those of evaluation are not",
}
_DICT = "its observations are a dict with the goal"
_KWARGS = {"antmaze": (("continuing_task", False),)}  # D4RL ends an episode at the goal
_NEAREST = {
    "maze2d": f"{_DICT}, other maze coordinates and a time limit of its own",
    "antmaze": f"{_DICT} and 27 values of the ant, where D4RL's 29 are qpos and qvel",
    "adroit": "gymnasium-robotics rebuilt it, changed rewards of some tasks since, and ends "
    "episodes by another rule",
    "kitchen": "its observations are a dict without D4RL's layout of 60 values, and finished "
    "elements are taken out of the task",
    "minigrid": "D4RL fixes the goal at (12, 12)",
}


BIBTEX = """@article{fu2020d4rl,
  title = {{D4RL}: Datasets for Deep Data-Driven Reinforcement Learning},
  author = {Fu, Justin and Kumar, Aviral and Nachum, Ofir and Tucker, George and Levine, Sergey},
  journal = {arXiv preprint arXiv:2004.07219},
  year = {2020}
}"""


def records() -> Iterator[DatasetRecord]:
    """Yield every record of the collection."""
    yield from _gym_mujoco()
    yield from _other_families()


def _other_families() -> Iterator[DatasetRecord]:
    for row in fact_tables.rows("d4rl_other.csv"):
        family, limit = row["family"], int(row["time_limit"])
        errata = row["errata"].split()
        environment = reference = None
        if row["environment"]:
            environment = Environment(
                row["environment"], limit, _KWARGS.get(family, ()), False, _NEAREST[family]
            )
        if row["reference_origin"]:
            reference = Reference(
                float(row["reference_minimum"]),
                float(row["reference_maximum"]),
                row["reference_origin"],
            )
        yield DatasetRecord(
            id=row["id"],
            reader="d4rl",
            environment=environment,
            reference=reference,
            time_limit=limit,
            observation_dim=int(row["observation_dim"]),
            action_dim=int(row["action_dim"]),
            urls=(row["url"],),
            citation=CITATION,
            bibtex=BIBTEX,
            source="Farama-Foundation/D4RL: d4rl/infos.py and the family's registration",
            errata=tuple(ERRATA[key] for key in errata),
            returns_note="; ".join(_RETURNS[key] for key in errata if key in _RETURNS),
            observation_layout=row["observation_layout"],
            discrete_actions=family == "minigrid",
            layout="by its publisher's code" if row["layout"] == "code" else "unverified",
            options=(("family", family),),
            publisher_environments=_publisher_environments(row),
        )


def _gym_mujoco() -> Iterator[DatasetRecord]:
    for row in fact_tables.rows("d4rl_gym_mujoco.csv"):
        yield DatasetRecord(
            id=row["id"],
            reader="d4rl-gym-mujoco",
            environment=Environment(
                id=row["environment"],
                time_limit=int(row["time_limit"]),
                note=_ANT_NOTE if row["environment"] == _ANT else "",
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
            bibtex=BIBTEX,
            rows=_nominal_rows(row["id"]),
            source="Farama-Foundation/D4RL: d4rl/infos.py",
            errata=tuple(ERRATA[key] for key in row["errata"].split()),
            publisher_environments=_publisher_environments(row),
        )


def _publisher_environments(row: dict[str, str]) -> tuple[str, ...]:
    """Return the id of D4RL's own environment, and the dataset's name, which D4RL registers too.

    PyBullet's it registers by the agent as well: d4rl/gym_bullet/__init__.py.
    """
    name = row["id"].partition("/")[2]
    names = [row["publisher_environment"], name]
    if row.get("family") == "gym-bullet":
        names.append(f"bullet-{name.split('-')[1]}-v0")
    return tuple(dict.fromkeys(names))


def _nominal_rows(dataset_id: str) -> int | None:
    """Return how many transitions were collected; sizes of replay sets are not stated."""
    if "replay" in dataset_id:
        return None
    stitched = "medium-expert" in dataset_id or "random-expert" in dataset_id
    return 2_000_000 if stitched else 1_000_000
