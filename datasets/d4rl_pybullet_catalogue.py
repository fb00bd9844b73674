"""Records of d4rl-pybullet (Takuma Seno, 2020).

Facts: takuseno/d4rl-pybullet (``d4rl_pybullet/__init__.py``, README.md, collect.py).  D4RL's own
``bullet-*`` datasets are other data.
"""

from __future__ import annotations

from collections.abc import Iterator

from datumrl.datasets import fact_tables
from datumrl.datasets.record import DatasetRecord

CITATION = "Takuma Seno: d4rl-pybullet. https://github.com/takuseno/d4rl-pybullet (2020)"
BIBTEX = """@misc{seno2020d4rlpybullet,
  title = {{d4rl-pybullet}: Datasets for Data-Driven Deep Reinforcement Learning with {PyBullet}
    Environments},
  author = {Seno, Takuma},
  howpublished = {\\url{https://github.com/takuseno/d4rl-pybullet}},
  year = {2020}
}"""
_ERRATA = (
    "as its collector writes it, reward and terminal of a row led into it, and an episode of n "
    "steps is n + 1 rows, the last with an action of zeros; a loader that takes the file for "
    "D4RL's layout gives every action the reward of the one before. The reader tells by the zeros "
    "which layout a file has, and says so",
    "there are no timeouts: an episode of 1,000 steps was cut off by the time limit although its "
    "last row is terminal, a shorter one ended",
    "the file is cut at its number of rows, so the last episode may be unfinished",
)
_MIXED = "the whole training of one agent, of a length of its own: no multiple of 1,000"


def records() -> Iterator[DatasetRecord]:
    """Yield every record of the collection."""
    for row in fact_tables.rows("d4rl_pybullet.csv"):
        mixed = "-mixed-" in row["name"]
        mean = f"{float(row['return_mean']):g} is the mean return its publisher states"
        yield DatasetRecord(
            id=f"d4rl-pybullet/{row['name']}",
            reader="d4rl-pybullet",
            environment=None,
            reference=None,
            time_limit=int(row["time_limit"]),
            observation_dim=int(row["observation_dim"]),
            action_dim=int(row["action_dim"]),
            urls=(row["url"],),
            licence="MIT (of the repository)",
            citation=CITATION,
            bibtex=BIBTEX,
            source="takuseno/d4rl-pybullet: d4rl_pybullet/__init__.py, collect.py, README.md",
            errata=(*_ERRATA, *([_MIXED] if mixed else []), mean),
            rows=int(row["rows"]),
            layout="unverified",
            file_name=f"{row['name']}.hdf5",
        )
