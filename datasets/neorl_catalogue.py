"""Records of NeoRL (Qin et al. 2022, arXiv:2102.00714) and NeoRL-2 (arXiv:2503.19267).

Facts: polixir/NeoRL (neorl/data_map.json, neorl/core.py) and polixir/NeoRL2 (neorl2/envs/info.py);
code Apache-2.0, data CC BY 4.0.  Each file is a dataset of its own: a training set of some size, or
the split to validate on (``-val``), which the training set's record names.
"""

from __future__ import annotations

from collections.abc import Iterator

from datumrl.datasets import fact_tables
from datumrl.datasets.record import DatasetRecord, Environment, Reference

CITATION = (
    "Qin, Zhang, Gao, Chen, Li, Zhang, Yu: NeoRL: A Near Real-World Benchmark for Offline "
    "Reinforcement Learning. NeurIPS Datasets and Benchmarks (2022)"
)
CITATION_2 = (
    "Gao et al.: NeoRL-2: Near Real-World Benchmarks for Offline Reinforcement Learning with "
    "Extended Realistic Scenarios. arXiv:2503.19267 (2025)"
)
BIBTEX = """@inproceedings{qin2022neorl,
  title = {{NeoRL}: A Near Real-World Benchmark for Offline Reinforcement Learning},
  author = {Qin, Rong-Jun and Zhang, Xingyuan and Gao, Songyi and Chen, Xiong-Hui and Li, Zewen
    and Zhang, Weinan and Yu, Yang},
  booktitle = {Advances in Neural Information Processing Systems, Datasets and Benchmarks Track},
  year = {2022}
}"""
BIBTEX_2 = """@article{gao2025neorl2,
  title = {{NeoRL-2}: Near Real-World Benchmarks for Offline Reinforcement Learning with Extended
    Realistic Scenarios},
  author = {Gao, Songyi and others},
  journal = {arXiv preprint arXiv:2503.19267},
  year = {2025}
}"""

# Gymnasium's -v4 is -v3 with other bindings of the engine; the x position stays in the observation.
_ENVIRONMENTS = {
    "HalfCheetah-v3": "HalfCheetah-v4",
    "Hopper-v3": "Hopper-v4",
    "Walker2d-v3": "Walker2d-v4",
}
_TERMINATING = ("Hopper-v3", "Walker2d-v3", "Simglucose", "RocketRecovery", "RandomFrictionHopper")
_ERRATA = {
    "index": "the file's index holds the end of each trajectory and no leading 0; a loader that "
    "takes it for the beginnings loses the first trajectory",
    "horizon": "done at the end of a trajectory of full length is a time limit, no end of the "
    "process; the file has no flag of its own for that",
    "expert": "published as a file, but NeoRL's own get_dataset offers low, medium and high only",
    "sp": "actions are divided by 5, as NeoRL's own loader does",
    "names": "NeoRL looks names up by substring, so that citylearn may find citylearn-v1; names "
    "here are exact",
    "cut": "the first {} trajectories, which NeoRL-2 takes by default and its published returns "
    "are of; the file holds more",
}


def records() -> Iterator[DatasetRecord]:
    """Yield every record of both collections."""
    for row in fact_tables.rows("neorl.csv"):
        second = row["id"].startswith("neorl2/")
        task, limit = row["task"], int(row["time_limit"])
        environment = None
        if task in _ENVIRONMENTS:
            kwargs = (("exclude_current_positions_from_observation", False),)
            environment = Environment(_ENVIRONMENTS[task], limit, kwargs)
        reference = None
        if row["reference_minimum"]:
            reference = Reference(
                float(row["reference_minimum"]),
                float(row["reference_maximum"]),
                row["reference_origin"],
            )
        name = "NeoRL2" if second else "NeoRL"
        yield DatasetRecord(
            id=row["id"],
            reader="neorl",
            environment=environment,
            reference=reference,
            time_limit=limit,
            observation_dim=int(row["observation_dim"]),
            action_dim=int(row["action_dim"]),
            urls=(row["url"],),
            md5=row["md5"],
            citation=CITATION_2 if second else CITATION,
            bibtex=BIBTEX_2 if second else BIBTEX,
            source=f"polixir/{name}",
            errata=_errata(row, second),
            rows=int(row["trajectories"] or 0) * limit or None,
            rows_at_most=task in _TERMINATING,
            validation=row["validation"] or None,
            options=(
                ("trajectories", int(row["trajectories"] or 0)),
                ("terminates", task in _TERMINATING),
                ("action_divisor", 5.0 if task == "sp" else 1.0),
            ),
            publisher_environments=(task,),
        )


def _errata(row: dict[str, str], second: bool) -> tuple[str, ...]:
    if second:
        return (_ERRATA["cut"].format(row["trajectories"]),) if row["trajectories"] else ()
    keys = ["index", "horizon"]
    keys += ["expert"] * ("-expert-" in row["id"]) + ["sp"] * (row["task"] == "sp")
    keys += ["names"] * row["task"].startswith("citylearn")
    return tuple(_ERRATA[key] for key in keys)
