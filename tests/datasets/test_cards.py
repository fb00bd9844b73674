"""Cards say what the data says, and stay out of the way of reading it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datumrl.datasets import cards, catalogue, loading, places
from datumrl.datasets.episodes import Episodes
from datumrl.evaluation import collector

MIXED = catalogue.find("local/inverted-pendulum-mixed-v1")
RANDOM = catalogue.find("local/inverted-pendulum-random-v1@1k")
PROVENANCE: dict[str, Any] = {
    "command": "datumrl collect it",
    "recipe": {
        "environment": "InvertedPendulum-v4",
        "environment_kwargs": {"reset_noise_scale": 0.01},
        "time_limit": 1000,
        "parts": [
            {"name": "random", "policy": {"kind": "uniform", "bound": 3.0}},
            {"name": "expert", "policy": {"kind": "actor", "sha256": "0123456789abcdef"}},
        ],
        "seed": 4,
        "engine": {"mujoco": "3.3.7"},
    },
    "recipe_sha256": "cafe",
    "content_sha256": "beef",
    "software": {"datumrl": "0.1.0"},
    "hardware": "a machine",
}


@pytest.fixture
def episodes(make_episodes: Callable[..., Episodes]) -> Episodes:
    """Returns 6, 9 and 21 of policies 0, 1, 0, and an unfinished tail of one row of policy 1."""
    known = {2: 90.0, 4: 91.0, 7: 92.0, 8: 93.0}
    return make_episodes("--T-O--O-", known, id=MIXED.id, notes=("seen by hand",))


def policies(*of_rows: int) -> dict[str, np.ndarray]:
    return {"infos/policy": np.array(of_rows, np.int16)}


def tables(card: str) -> dict[str, list[str]]:
    """The rows of all tables of a card, by their first cell."""
    rows = [line.strip("| ").split(" | ") for line in card.splitlines() if line.startswith("|")]
    return {cells[0]: cells[1:] for cells in rows}


def test_the_mixture_is_told_by_policy(episodes: Episodes) -> None:
    found = tables(cards.card(MIXED, episodes, PROVENANCE, policies(0, 0, 0, 1, 1, 0, 0, 0, 1)))
    low, high = MIXED.reference.minimum, MIXED.reference.maximum
    # The tail counts as an episode, but it has no return.
    score = f"{100 * (13.5 - low) / (high - low):.1f}"
    assert found["random"] == ["2", "6", "66.7 %", "13.5", score, "uniform, bound 3.0"]
    score = f"{100 * (9 - low) / (high - low):.1f}"
    assert found["expert"] == ["2", "3", "33.3 %", "9.0", score, "actor, sha256 0123456789ab"]


def test_returns_and_lengths_are_those_of_finished_episodes(episodes: Episodes) -> None:
    found = tables(cards.card(MIXED, episodes, PROVENANCE, policies(0, 0, 0, 1, 1, 0, 0, 0, 1)))
    # Between order statistics, quantiles are interpolated: 5 % of 6, 9, 21 lies at 6.3.
    assert found["return"] == ["12.0", "6.5", "6.0", "6.3", "7.5", "9.0", "15.0", "19.8", "21.0"]
    assert found["length"][:3] == ["2.7", "0.5", "2.0"]
    low, high = MIXED.reference.minimum, MIXED.reference.maximum
    assert found["score"][0] == f"{100 * (12 - low) / (high - low):.1f}"
    assert found["score"][1] == f"{100 * np.std([6, 9, 21]) / (high - low):.1f}"


def test_it_says_what_it_is_and_how_it_was_made(episodes: Episodes) -> None:
    extras = policies(0, 0, 0, 1, 1, 0, 0, 0, 1)
    card = cards.card(MIXED, episodes, PROVENANCE, extras)
    found = tables(card)
    assert card.startswith(f"# {MIXED.id}\n\n9 transitions in 4 episodes of InvertedPendulum-v4")
    assert found["made by"] == ["`datumrl collect it`"]
    assert found["environment"] == ["InvertedPendulum-v4, reset_noise_scale=0.01, time limit 1000"]
    assert found["engine"] == ["mujoco 3.3.7"]
    assert found["recipe"] == ["sha256 `cafe`"]
    assert found["content"] == ["sha256 `beef`"]
    assert MIXED.reference.origin in found["scores 0 and 100"][0]
    assert found["`observations`"][:2] == ["9 x 2", "float32"]
    for line in (
        "- 1 episodes ended by the process (`terminals`)",
        "- 2 episodes cut off by the time limit of 1000 steps (`timeouts`)",
        "- 4 of 4 final observations are stored",
        "- 1 without an end",
        "- seen by hand",
        f'episodes = datumrl.load("{MIXED.id}")',
    ):
        assert line in card.splitlines()
    assert MIXED.licence in card


def test_a_replay_of_snapshots_is_not_called_a_training_buffer(episodes: Episodes) -> None:
    replay = catalogue.find("local/hopper-medium-replay-v1@100k")
    extras = policies(0, 0, 0, 1, 1, 0, 0, 0, 1)
    assert "snapshot replay, not the training buffer" in cards.card(
        replay, episodes, PROVENANCE, extras
    )
    assert "training buffer" not in cards.card(MIXED, episodes, PROVENANCE, extras)


def test_without_reference_scores_none_are_told(episodes: Episodes) -> None:
    bare = replace(MIXED, reference=None)
    found = tables(cards.card(bare, episodes, PROVENANCE, policies(0, 0, 0, 1, 1, 0, 0, 0, 1)))
    assert found["random"][3:5] == ["13.5", "none"]
    # The head of the table of policies has a column of that name, but no row has it.
    assert "score" not in found
    assert "scores 0 and 100" not in found


def test_a_collected_dataset_gets_its_card_and_stays_what_it_is(home: Path) -> None:
    folder = collector.collect(RANDOM).folder
    path = cards.write(folder, RANDOM)
    assert path == places.local_folder(RANDOM) / "CARD.md"
    found = tables(path.read_text(encoding="utf-8"))
    episodes = loading.load(RANDOM.id)
    assert found["random"][:3] == [f"{len(episodes.lengths()):,}", f"{len(episodes):,}", "100.0 %"]
    assert found["return"][0] == f"{episodes.returns().mean():,.1f}"
    assert not collector.collect(RANDOM).made
