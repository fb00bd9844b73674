"""Transitions: both views against row-by-row statements of their rules, on generated data."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from datumrl.datasets import catalogue, d4rl_hdf5, prepared
from datumrl.datasets.errors import DatumrlError

HOPPER = catalogue.find("d4rl/hopper-medium-v2")


def d4rl_row_by_row(content, time_limit):
    """State D4RL's qlearning_dataset one row at a time, from its documented semantics.

    Walk all rows but the last.  A row is an end of observation when its timeout flag is set or, in
    a file without timeouts, when the step counter stands at the last step before the limit.  Such
    a row is left out and the counter goes back to 0.  Any other row is given out with the next row
    of the file as its successor; the counter goes back to 0 if it is terminal, and then counts it.
    """
    observations = np.asarray(content["observations"])
    steps = {key: [] for key in ("observations", "actions", "next_observations", "rewards")}
    terminals = []
    counter = 0
    for row in range(len(observations) - 1):
        terminal = bool(np.squeeze(content["terminals"][row]))
        if "timeouts" in content:
            leave_out = bool(np.squeeze(content["timeouts"][row]))
        else:
            leave_out = counter == time_limit - 1
        if leave_out:
            counter = 0
            continue
        steps["observations"].append(np.float32(observations[row]))
        steps["actions"].append(np.float32(content["actions"][row]))
        steps["next_observations"].append(np.float32(observations[row + 1]))
        steps["rewards"].append(np.float32(np.squeeze(content["rewards"][row])))
        terminals.append(terminal)
        counter = 1 if terminal else counter + 1
    return {**{key: np.array(values) for key, values in steps.items()}, "terminals": terminals}


def correct_row_by_row(content, time_limit):
    """State the `correct` view one row at a time: rows that are kept and their successors."""
    rows, successors = [], []
    last = len(content["observations"]) - 1
    step = 0
    for row in range(last + 1):
        terminal = bool(np.squeeze(content["terminals"][row]))
        step += 1
        if "timeouts" in content:
            timeout = bool(np.squeeze(content["timeouts"][row]))
        else:
            timeout = step == time_limit
        ended = terminal or timeout
        if ended:
            step = 0
        if "next_observations" in content:
            successor = content["next_observations"][row]
        elif not ended and row < last:
            successor = content["observations"][row + 1]
        elif terminal:
            successor = content["observations"][row]
        else:
            continue
        rows.append(row)
        successors.append(np.float32(successor))
    return rows, successors


def content_with_quirks(rng, d4rl_files):
    """Draw a file's content: any mixture of the quirks that are known of D4RL's files."""
    rows = int(rng.choice([1, 2, 3, 7, 40]))
    rates = {"terminals": rng.choice([0, 0.1, 0.3, 1])}
    if rng.random() < 0.6:
        rates["timeouts"] = rng.choice([0, 0.1, 0.3, 1])
    content = d4rl_files.columns(rng, rows, **rates)
    if "timeouts" in content and rng.random() < 0.5:
        content["next_observations"] = d4rl_files.true_successors(rng, content)
        disagree = rng.random(rows) < rng.choice([0, 0.2])
        content["next_observations"][disagree] += 1
    flat = [name for name in ("rewards", "terminals", "timeouts") if name in content]
    if rng.random() < 0.3:
        content |= {name: content[name][:, None] for name in flat}
    if rng.random() < 0.3:
        content |= {name: content[name].astype(np.float32) for name in flat}
    if rng.random() < 0.3:  # a replay buffer's float64, with digits that float32 does not hold
        content |= {
            name: values + rng.normal(size=values.shape) * 1e-12
            for name, values in content.items()
            if name in ("observations", "actions", "rewards", "next_observations")
        }
    return content


def through_a_file(content, time_limit, tmp_path, d4rl_files):
    record = dataclasses.replace(HOPPER, time_limit=time_limit)
    source = d4rl_files.write(tmp_path / "file.hdf5", content)
    d4rl_hdf5.convert(source, record, tmp_path / "columns")
    return prepared.read(tmp_path / "columns", record.id)


def assert_equals_d4rl(view, expected):
    assert len(view) == len(expected["terminals"])
    assert view.terminals.tolist() == expected["terminals"]
    for name in ("observations", "actions", "next_observations", "rewards"):
        column = getattr(view, name)
        assert column.dtype == np.float32
        assert column.flags.c_contiguous
        if len(view):  # D4RL's arrays lose their width when they are empty; ours keep it
            np.testing.assert_array_equal(column, expected[name])


@pytest.mark.parametrize("seed", range(60))
def test_both_views_equal_their_row_by_row_statements_on_files_with_every_quirk(
    seed, tmp_path, d4rl_files
):
    rng = np.random.default_rng(seed)
    content = content_with_quirks(rng, d4rl_files)
    time_limit = int(rng.choice([1, 2, 3, 5, 1000]))
    episodes = through_a_file(content, time_limit, tmp_path, d4rl_files)
    episodes.validate()

    legacy = episodes.transitions("d4rl-legacy")
    assert_equals_d4rl(legacy, d4rl_row_by_row(content, time_limit))
    np.testing.assert_array_equal(legacy.observations, episodes.observations[legacy.rows])

    correct = episodes.transitions()
    rows, successors = correct_row_by_row(content, time_limit)
    assert correct.rows.tolist() == rows
    np.testing.assert_array_equal(correct.next_observations, np.reshape(successors, (-1, 11)))
    np.testing.assert_array_equal(
        correct.rewards, np.float32(np.reshape(content["rewards"], -1)[rows])
    )
    for view in (legacy, correct):
        assert sum(view.dropped.values()) == len(episodes) - len(view)


@pytest.mark.parametrize("time_limit", [1, 2, 3, 4, 9])
def test_the_step_counter_of_files_without_timeouts_is_d4rls(time_limit, make_episodes, d4rl_files):
    rng = np.random.default_rng(time_limit)
    for _ in range(150):
        rows = int(rng.integers(1, 40))
        content = d4rl_files.columns(rng, rows, terminals=rng.choice([0, 0.05, 0.3, 0.7, 1]))
        flags = "".join("T" if terminal else "-" for terminal in content["terminals"])
        episodes = make_episodes(
            flags,
            timeouts_recorded=False,
            time_limit=time_limit,
            **{name: content[name] for name in ("observations", "actions", "rewards")},
        )
        assert_equals_d4rl(
            episodes.transitions("d4rl-legacy"), d4rl_row_by_row(content, time_limit)
        )


def test_the_counter_starts_late_after_a_terminal_and_on_time_after_the_limit(make_episodes):
    # By hand, limit 4: rows 0-3 count 0-3; after the terminal at row 5 counting restarts at 1.
    episodes = make_episodes("-----T--------", timeouts_recorded=False, time_limit=4)
    kept = episodes.transitions("d4rl-legacy").rows.tolist()
    assert kept == [0, 1, 2, 4, 5, 6, 7, 9, 10, 11]  # 3, 8, 12 are at the limit, 13 is the last row


def test_both_views_of_one_small_dataset_by_eye(make_episodes):
    episodes = make_episodes("--T-O--", stored={4: 50, 6: 60})
    correct = episodes.transitions("correct")
    assert correct.rows.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert correct.next_observations[:, 0].tolist() == [1, 2, 2, 4, 50, 6, 60]
    assert correct.dropped == {}
    legacy = episodes.transitions("d4rl-legacy")
    assert legacy.rows.tolist() == [0, 1, 2, 3, 5]
    assert legacy.next_observations[:, 0].tolist() == [1, 2, 3, 4, 6]
    assert legacy.terminals.tolist() == [False, False, True, False, False]


def test_each_view_says_what_it_drops_and_why(make_episodes):
    episodes = make_episodes("--T-O--B-O---")
    correct = episodes.transitions("correct")
    assert correct.rows.tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 10, 11]
    assert correct.dropped == {
        "timeout row without a known successor": 2,
        "end without a flag or a known successor": 1,
    }
    legacy = episodes.transitions("d4rl-legacy")
    assert legacy.dropped == {
        "timeout row": 3,
        "last row of the file, which D4RL never looks past": 1,
    }


def test_a_row_that_is_terminal_and_timeout_is_terminal_in_correct_and_gone_in_legacy(
    make_episodes,
):
    episodes = make_episodes("-B--")
    correct = episodes.transitions("correct")
    assert correct.rows.tolist() == [0, 1, 2]
    assert correct.terminals.tolist() == [False, True, False]
    assert episodes.transitions("d4rl-legacy").rows.tolist() == [0, 2]


def test_a_stored_successor_that_disagrees_is_used_by_correct_and_ignored_by_legacy(
    make_episodes,
):
    episodes = make_episodes("----", stored={1: 99})
    assert episodes.transitions("correct").next_observations[:, 0].tolist() == [1, 99, 3]
    assert episodes.transitions("d4rl-legacy").next_observations[:, 0].tolist() == [1, 2, 3]


def test_transitions_are_arrays_of_their_own(make_episodes):
    episodes = make_episodes("----")
    episodes.transitions().observations[:] = -1
    assert episodes.observations[0, 0] == 0


def test_an_unknown_view_is_refused(make_episodes):
    with pytest.raises(DatumrlError, match=r"'d4rl' is no view.*correct or d4rl-legacy"):
        make_episodes("--").transitions("d4rl")


@pytest.mark.parametrize("view", ["correct", "d4rl-legacy"])
@pytest.mark.parametrize("flags", ["", "-", "T", "O", "--T-O--", "OO-TT-B-", "---O", "T-" * 20])
@pytest.mark.parametrize("recorded", [True, False])
def test_gathering_by_number_gives_the_rows_of_the_whole(view, flags, recorded, make_episodes):
    stored = {row: 90.0 + row for row, flag in enumerate(flags) if flag == "O"}
    episodes = make_episodes(flags, stored=stored, timeouts_recorded=recorded)
    index, whole = episodes.index(view), episodes.transitions(view)
    assert len(index) == len(whole)
    numbers = np.random.default_rng(0).permutation(len(whole)) if len(whole) else np.zeros(0, int)
    some = index.gather(numbers)
    for field in dataclasses.fields(whole):
        expected, found = getattr(whole, field.name), getattr(some, field.name)
        if isinstance(expected, np.ndarray):
            np.testing.assert_array_equal(found, expected[numbers])
        else:
            assert found == expected


def test_a_number_out_of_range_is_refused(make_episodes):
    index = make_episodes("--T").index()
    for number in (-1, 3):
        with pytest.raises(IndexError, match="not within"):
            index.gather(np.array([number]))
