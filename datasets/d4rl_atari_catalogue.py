"""Records of d4rl-atari: epochs of the DQN replay dataset (Agarwal et al. 2020, arXiv:1907.04543).

Facts: takuseno/d4rl-atari (``d4rl_atari/__init__.py``, offline_env.py), google-research/batch_rl
and google/dopamine (replay buffers).  Numbers of actions are the minimal sets of ale-py 0.12.1.
"""

from __future__ import annotations

from collections.abc import Iterator

from datumrl.datasets import fact_tables
from datumrl.datasets.record import DatasetRecord

CITATION = (
    "Agarwal, Schuurmans, Norouzi: An Optimistic Perspective on Offline Reinforcement Learning. "
    "International Conference on Machine Learning (2020); ids of Takuma Seno's d4rl-atari"
)
BIBTEX = """@inproceedings{agarwal2020optimistic,
  title = {An Optimistic Perspective on Offline Reinforcement Learning},
  author = {Agarwal, Rishabh and Schuurmans, Dale and Norouzi, Mohammad},
  booktitle = {International Conference on Machine Learning},
  year = {2020}
}"""
EPOCHS = {"mixed": 1, "medium": 10, "expert": 50}
RUNS = 5
ERRATA = (
    "single 84 x 84 frames, as published; agents stack four, with zeros before an episode's first",
    "the logging buffer pads the beginning of an episode with three rows of zeros, which are no "
    "steps: rows of zeros there are left out and counted; d4rl-atari keeps them",
    "the buffer is logged one row before it is full, so that the last row of a file is an older "
    "one (in epoch 0, anything): it is left out, and the row before it has no known successor",
    "there are no timeouts: an episode cut off at 27,000 steps (108,000 frames) is terminal in the "
    "data; the reader counts those",
    "terminal is the end of the game, unless the logging agent was set to end on the loss of a "
    "life, which Dopamine's default is not; not stated with the data",
    "sticky actions (0.25) and the minimal action set of the game, by Dopamine's defaults",
    "an epoch is a slice of a run's training: its first and last episodes are incomplete",
)
_REPORTED = {  # what the table says is missing -> the erratum
    "game": "not among the 60 games of the DQN replay dataset that a user lists ({report}), "
    "though d4rl-atari registers it: there may be no file",
    "epoch": "a user found no file of this epoch in this run ({report})",
}
_ACCESS = (
    "with Google's gsutil, copy gs://atari-replay-datasets/dqn/{game}/{run}/replay_logs/"
    "$store$_NAME_ckpt.{epoch}.gz for NAME in observation, action, reward and terminal into one "
    "folder, under these names or as NAME.gz; --from takes that folder, or d4rl-atari's own cache "
    "~/.d4rl/datasets; users report that the bucket denies access (2025, takuseno/d4rl-atari#19) "
    "and is down (2026, Toshihiro-Ota/decision-mamba#4)"
)


def records() -> Iterator[DatasetRecord]:
    """Yield every record of the collection: 62 games, three epochs, five runs."""
    for row in fact_tables.rows("d4rl_atari.csv"):
        for level, epoch in EPOCHS.items():
            for run in range(1, RUNS + 1):
                yield DatasetRecord(
                    id=f"d4rl-atari/{row['game']}-{level}-v{run - 1}",
                    reader="d4rl-atari",
                    environment=None,
                    reference=None,
                    time_limit=27_000,
                    observation_dim=0,
                    action_dim=int(row["actions"]),
                    licence="not stated with the data; d4rl-atari itself is MIT",
                    citation=CITATION,
                    bibtex=BIBTEX,
                    source="takuseno/d4rl-atari: d4rl_atari/__init__.py, offline_env.py; "
                    "google-research/batch_rl: logged_replay_buffer.py",
                    errata=(*ERRATA, *_reported(row, run, epoch)),
                    returns_note="rewards may have been clipped before they were logged, and "
                    "scores are of another protocol",
                    observation_layout="image 84x84",
                    discrete_actions=True,
                    rows=1_000_000,
                    access=_ACCESS.format(game=row["folder"], run=run, epoch=epoch),
                    folder=True,
                    file_name=f"{row['folder']}/{run}/{epoch}",
                    options=(("epoch", epoch),),
                )


def _reported(row: dict[str, str], run: int, epoch: int) -> tuple[str, ...]:
    """Return what was reported missing: a game, or an epoch of a run (written ``run/epoch``)."""
    missing = {"game": "game", f"{run}/{epoch}": "epoch"}.get(row["missing"])
    return (_REPORTED[missing].format(report=row["report"]),) if missing else ()
