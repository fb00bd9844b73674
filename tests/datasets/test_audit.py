"""Every check of the audit: a sound dataset passes, exactly the planted fault is found."""

import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from datumrl.datasets import catalogue, loading
from datumrl.datasets.audit import audit
from datumrl.datasets.audit_errata import FORETOLD
from datumrl.datasets.catalogue import COLLECTIONS
from datumrl.datasets.episodes import Episodes, episode_starts
from datumrl.datasets.findings import Finding

LIMIT, EPISODES = 100, 60
BOUNDS = (np.full(2, -1.0, np.float32), np.full(2, 1.0, np.float32))
HOPPER = catalogue.find("d4rl/hopper-medium-v2")


def sound(seed: int = 0, **fields: object) -> Episodes:
    """Return a noisy linear system's episodes: two of three reach the limit, others terminate."""
    rng = np.random.default_rng(seed)
    lengths = np.full(EPISODES, LIMIT)
    lengths[::3] = rng.integers(40, 90, len(lengths[::3]))
    rows = int(lengths.sum())
    ends = np.cumsum(lengths) - 1
    observations, successors = np.empty((rows, 4)), []
    actions = rng.uniform(-1, 1, (rows, 2))
    state = rng.normal(size=4) * 5
    for row in range(rows):
        observations[row] = state
        state = 0.99 * state + 0.1 * np.repeat(actions[row], 2) + 0.01 * rng.normal(size=4)
        if row in ends:
            successors.append(state)
            state = rng.normal(size=4) * 5
    terminals, timeouts = np.zeros(rows, bool), np.zeros(rows, bool)
    terminals[ends[::3]] = True
    timeouts[ends[lengths == LIMIT]] = True
    content = {
        "id": "test/linear-v1",
        "observations": observations.astype(np.float32),
        "actions": actions.astype(np.float32),
        "rewards": rng.normal(5, 1, rows).astype(np.float32),
        "terminals": terminals,
        "timeouts": timeouts,
        "starts": episode_starts(terminals, timeouts),
        "successor_rows": ends.astype(np.int64),
        "successors": np.asarray(successors, np.float32),
        "time_limit": LIMIT,
        "timeouts_recorded": True,
    }
    return Episodes(**{**content, **fields})


def changed(data: Episodes, column: str, rows: object, value: object) -> Episodes:
    """Return the dataset with some entries of one column set; flags move the boundaries too."""
    values = getattr(data, column).copy()
    values[rows] = value
    data = replace(data, **{column: values})
    if column in ("terminals", "timeouts"):
        data = replace(data, starts=episode_starts(data.terminals, data.timeouts))
        ends = data.starts[1:] - 1
        keep = np.isin(data.successor_rows, ends)
        data = replace(
            data, successor_rows=data.successor_rows[keep], successors=data.successors[keep]
        )
    return data


def found(data: Episodes, check: str, **options: object) -> Finding:
    return audit(data, action_bounds=BOUNDS, **options).finding(check)


# --- A sound dataset ---


def test_a_sound_dataset_passes_every_check() -> None:
    report = audit(sound(), action_bounds=BOUNDS, against=[sound(1)])
    verdicts = {finding.check: finding.verdict for finding in report.findings}
    assert verdicts.pop("returns") == verdicts.pop("level") == "not applicable"  # no record
    assert set(verdicts.values()) == {"pass"}, report.findings
    assert len(verdicts) == 18
    assert report.failures(strict=True) == []


def test_ten_sound_datasets_raise_no_false_alarm() -> None:
    for seed in range(2, 12):
        report = audit(sound(seed), action_bounds=BOUNDS)
        assert {f.verdict for f in report.findings} <= {"pass", "not applicable"}


def test_the_report_is_strict_json_and_progress_is_told() -> None:
    seen: list[tuple[int, int]] = []
    report = audit(
        sound(), action_bounds=BOUNDS, progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1][0] == seen[-1][1] == len(seen)
    content = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert [each["check"] for each in content["findings"]] == [f.check for f in report.findings]
    assert content["failures"] == []


# --- Boundaries ---


def test_starts_that_disagree_with_flags_fail_and_nothing_else_is_judged() -> None:
    data = sound()
    first_end = int(data.starts[1]) - 1
    moved = replace(data, starts=np.concatenate([[0, 7], data.starts[1:]]))
    report = audit(moved)
    assert [finding.verdict for finding in report.findings] == ["fail"]
    assert report.findings[0].counts["episodes that end without a flag"] == 1
    assert report.findings[0].rows == (6,)
    joined = found(replace(data, starts=np.delete(data.starts, 1)), "boundaries")
    assert joined.counts["flags inside an episode"] == 1
    assert joined.rows == (first_end,)
    empty = found(replace(data, starts=np.insert(data.starts, 3, data.starts[3])), "boundaries")
    assert empty.counts["episodes without rows"] == 1


def test_rows_with_both_flags_are_counted() -> None:
    data = sound()
    rows = data.starts[[1, 4]] - 1  # two that terminate
    result = found(changed(data, "timeouts", rows, True), "boundaries")
    assert (result.verdict, result.rows) == ("warn", tuple(rows))
    assert result.counts["rows both terminal and timeout"] == 2


def test_an_unfinished_tail_is_measured() -> None:
    data = changed(sound(), "timeouts", -1, False)
    result = found(data, "unfinished tail")
    assert (result.verdict, result.counts["rows"]) == ("warn", LIMIT)
    assert result.rows == (len(data) - LIMIT,)


def test_timeouts_before_the_time_limit_fail() -> None:
    data = sound()
    ends = data.starts[[2, 5]] - 1  # of episodes of 100 rows; what is left of them is short too
    cut = changed(data, "timeouts", ends - 20, True)
    result = found(cut, "timeouts off the horizon")
    assert (result.verdict, result.counts["before the time limit"]) == ("fail", 4)
    assert result.rows == (ends[0] - 20, ends[0], ends[1] - 20, ends[1])
    last = changed(data, "timeouts", len(data) - 20, True)
    last = last.prefix(len(data) - 20)
    assert found(last, "timeouts off the horizon").verdict == "warn"


def test_a_missing_flag_makes_an_episode_beyond_the_horizon() -> None:
    data = sound()
    result = found(
        changed(data, "timeouts", data.starts[2] - 1, False), "episodes beyond the horizon"
    )
    assert (result.verdict, result.counts["episodes"]) == ("fail", 1)
    assert result.rows == (int(data.starts[1]),)


def test_time_limits_recorded_as_terminals_fail() -> None:
    data = sound()
    at_limit = np.flatnonzero(data.timeouts)
    swapped = changed(changed(data, "terminals", at_limit, True), "timeouts", at_limit, False)
    result = found(swapped, "terminals at the horizon")
    assert (result.verdict, result.counts["at the time limit"]) == ("fail", len(at_limit))


def test_timeouts_that_were_inferred_are_a_warning() -> None:
    assert found(sound(timeouts_recorded=False), "recorded timeouts").verdict == "warn"


# --- What follows what ---


def test_a_missing_boundary_is_a_discontinuity() -> None:
    data = sound()
    ends = data.starts[[1, 7, 10]] - 1  # terminals of three shorter episodes
    result = found(changed(data, "terminals", ends, False), "continuity")
    assert (result.verdict, result.counts["jumps"]) == ("fail", 3)
    assert result.rows == tuple(ends)
    assert result.counts["share of known resets beyond the threshold"] > 0.9


def test_a_jump_smaller_than_resets_is_a_warning_and_one_dimension_suffices() -> None:
    data = sound()
    row = int(data.starts[5]) + 30
    observations = data.observations.copy()
    observations[row + 1 : data.starts[6], 2] += 1.5
    result = found(replace(data, observations=observations), "continuity")
    assert (result.verdict, result.rows) == ("warn", (row,))


def test_stored_successors_that_disagree_are_counted_and_rounding_is_told_apart() -> None:
    data = sound()
    inside = np.array([10, 20, 30])
    stored = data.observations[inside + 1].copy()

    def listed(successors: np.ndarray) -> Episodes:
        rows = np.concatenate([inside, data.successor_rows])
        return replace(
            data, successor_rows=rows, successors=np.concatenate([successors, data.successors])
        )

    wrong = found(listed(stored + np.float32(0.5)), "stored next observations")
    assert (wrong.verdict, wrong.rows) == ("fail", (10, 20, 30))
    assert wrong.counts["disagree with the following row"] == 3
    near = found(listed(np.nextafter(stored, np.inf)), "stored next observations")
    assert (near.verdict, near.counts["differ by rounding"]) == ("warn", 3)


def test_successors_shifted_across_episodes_fail() -> None:
    data = sound()
    successors = data.successors.copy()
    successors[[2, 5]] = data.observations[data.starts[[3, 6]]]
    result = found(replace(data, successors=successors), "stored next observations")
    assert result.verdict == "fail"
    assert result.counts["final ones equal to the next episode's start"] == 2
    assert result.rows == tuple(data.starts[[3, 6]] - 1)


# --- Values ---


def test_numbers_that_are_not_finite_are_found_and_leave_other_checks_defined() -> None:
    data = changed(sound(), "observations", ([5, 9], [1, 2]), np.nan)
    data = changed(changed(data, "actions", (70, 0), np.inf), "rewards", 80, np.nan)
    report = audit(data, action_bounds=BOUNDS, against=[sound(1)])
    result = report.finding("finite values")
    assert (result.verdict, result.rows) == ("fail", (5, 9, 70, 80))
    assert result.counts == {"observations": 2, "actions": 1, "rewards": 1, "successors": 0}
    assert {report.finding(name).verdict for name in ("continuity", "constant columns")} == {"pass"}
    json.dumps(report.to_json(), allow_nan=False)


def test_constant_dimensions_are_named() -> None:
    data = changed(sound(), "observations", (slice(None), 3), 0.5)
    result = found(data, "constant columns")
    assert (result.verdict, result.counts["constant"]) == ("warn", 1)
    assert "observations[3]" in result.summary


def test_actions_outside_are_counted_and_rounding_at_the_bound_is_not() -> None:
    data = changed(sound(), "actions", ([3, 50], 1), [1.5, -1.25])
    data = changed(data, "actions", (60, 0), np.nextafter(np.float32(1), np.float32(2)))
    result = found(data, "actions in their space")
    assert (result.verdict, result.rows, result.counts["rows outside"]) == ("fail", (3, 50), 2)
    assert result.counts["largest excess"] == pytest.approx(0.5)
    saturated = changed(sound(), "actions", (slice(None), 1), 1.0)
    assert found(saturated, "actions in their space").verdict == "warn"
    assert audit(sound()).finding("actions in their space").verdict == "not applicable"


def test_a_column_that_passed_through_float16_is_named() -> None:
    data = sound()
    narrow = data.observations[:, 1].astype(np.float16).astype(np.float32)
    result = found(changed(data, "observations", (slice(None), 1), narrow), "precision")
    assert (result.verdict, result.counts["float16"]) == ("warn", 1)
    assert "observations[1] passed through float16" in result.summary
    bits = (data.actions.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    assert found(replace(data, actions=bits), "precision").counts["bfloat16"] == 2
    steps = np.round(data.rewards * 4) / 4  # few values that float16 holds: discrete, not narrow
    assert found(replace(data, rewards=steps), "precision").verdict == "pass"


# --- Rewards ---


def test_implausible_rewards_are_counted() -> None:
    result = found(changed(sound(), "rewards", [11, 400], [1e6, -1e6]), "reward values")
    assert (result.verdict, result.rows) == ("fail", (11, 400))
    assert result.counts["implausible"] == 2


def test_rewards_that_are_all_alike() -> None:
    zero = changed(sound(), "rewards", slice(None), 0)
    assert found(zero, "reward values").verdict == "fail"
    assert found(changed(zero, "rewards", slice(None), 1), "reward values").verdict == "warn"


def test_episodes_that_lost_their_rewards_fail_but_sparse_rewards_do_not() -> None:
    data = sound()
    lost = changed(data, "rewards", slice(int(data.starts[4]), int(data.starts[6])), 0)
    result = found(lost, "rewards per episode")
    assert (result.verdict, result.counts["episodes of zeros"]) == ("fail", 2)
    assert result.rows == tuple(data.starts[4:6])
    sparse = np.zeros(len(data), np.float32)
    sparse[data.starts[1::4] - 1] = 1
    assert found(replace(data, rewards=sparse), "rewards per episode").verdict == "pass"
    assert found(replace(data, rewards=sparse), "final rewards").verdict == "pass"


def test_lost_final_rewards_fail() -> None:
    data = sound()
    ends = data.starts[1:11] - 1
    result = found(changed(data, "rewards", ends, 0), "final rewards")
    assert (result.verdict, result.counts["zero at the end"]) == ("fail", 10)
    assert result.rows == tuple(ends[:5])


def test_returns_far_off_the_reference_fail() -> None:
    # 100 rewards of about 20 are a return of 2,000: a Hopper's normalised score of 62.
    data = replace(sound(), rewards=sound().rewards * 4)
    assert audit(data, HOPPER).finding("returns").verdict == "pass"
    rows = slice(int(data.starts[1]), int(data.starts[2]))
    beyond = changed(data, "rewards", rows, data.rewards[rows] * 3)
    result = audit(beyond, HOPPER).finding("returns")
    assert (result.verdict, result.counts["unusual"], result.counts["wrong"]) == ("warn", 1, 0)
    assert result.rows == (rows.start,)
    scaled = audit(replace(data, rewards=data.rewards * 20), HOPPER).finding("returns")
    assert (scaled.verdict, scaled.counts["wrong"]) == ("fail", EPISODES)


def test_a_mean_score_that_belongs_to_another_level_is_the_known_swap() -> None:
    record = catalogue.find("d4rl/hopper-medium-v1")
    data = replace(sound(), rewards=sound().rewards * 8)
    result = audit(data, record).finding("level")
    assert result.verdict == "warn"
    assert "swapped" in result.known_erratum
    assert audit(data, HOPPER).finding("level").known_erratum is None
    for name in ("d4rl/hopper-medium-expert-v2", "local/pointmaze-medium-v1"):
        assert audit(data, catalogue.find(name)).finding("level").verdict == "not applicable"


# --- Duplicates and leakage ---


def test_duplicated_rows_and_episodes_are_counted_exactly() -> None:
    data = sound()
    for column in ("observations", "actions", "rewards"):
        data = changed(data, column, [300, 500], getattr(data, column)[[20, 21]])
    result = found(data, "duplicated rows")
    assert (result.verdict, result.rows, result.counts["repeated"]) == ("warn", (300, 500), 2)
    data = sound()
    source, target = (slice(int(data.starts[i]), int(data.starts[i + 1])) for i in (1, 4))
    for column in ("observations", "actions", "rewards"):
        data = changed(data, column, target, getattr(data, column)[source])
    result = found(data, "duplicated episodes")
    assert (result.verdict, result.counts["repeated"]) == ("fail", 1)
    assert result.rows == (target.start,)
    assert found(data, "duplicated rows").counts["repeated"] == LIMIT


def test_zero_and_minus_zero_are_one_number() -> None:
    data = changed(sound(), "observations", ([0, 1],), 0.0)
    data = changed(changed(data, "actions", [0, 1], 0.0), "rewards", [0, 1], 0.0)
    data = changed(data, "observations", 1, -0.0)
    assert found(data, "duplicated rows").counts["repeated"] == 1


def test_leakage_counts_shared_rows_and_episodes() -> None:
    training = sound()
    validation = training.prefix(250)
    result = audit(training, against=[sound(1), replace(validation, id="test/held-out-v1")])
    shared = [finding for finding in result.findings if finding.check == "leakage"]
    assert [finding.verdict for finding in shared] == ["pass", "fail"]
    assert shared[1].counts["shared rows"] == len(validation)
    assert shared[1].counts["shared episodes"] == len(validation.lengths())


@pytest.mark.parametrize(
    ("column", "dtype"),
    [("rewards", "f8"), ("observations", "f2"), ("actions", ">f8"), ("rewards", ">f4")],
)
def test_leakage_is_seen_whatever_type_a_copy_is_stored_in(column: str, dtype: str) -> None:
    training = sound()
    copy = replace(training, **{column: getattr(training, column).astype(dtype)}, id="test/copy-v1")
    for one, other in ((training, copy), (copy, training)):
        (result,) = (f for f in audit(one, against=[other]).findings if f.check == "leakage")
        assert (result.verdict, result.counts["shared rows"]) == ("fail", len(training))
        assert f"({column} compared as float" in result.summary
    (apart,) = (f for f in audit(sound(1), against=[copy]).findings if f.check == "leakage")
    assert apart.verdict == "pass"


def test_leakage_is_seen_whatever_order_the_parts_of_a_state_come_in() -> None:
    data = sound()
    numbers = np.arange(-3, len(data) - 3, dtype=np.int32)
    named = {"state": data.observations, "number": numbers}
    wider = {"number": numbers.astype(np.int64), "state": data.observations}
    finals = np.zeros(len(data.successor_rows), np.int32)
    training = replace(
        data, observations=named, successors={"state": data.successors, "number": finals}
    )
    copy = replace(training, observations=wider, id="test/copy-v1")
    wide = replace(copy, observations={**wider, "number": np.stack([numbers, numbers], axis=1)})
    result = audit(training, against=[copy, data, wide])
    verdicts = [each for each in result.findings if each.check == "leakage"]
    assert [each.verdict for each in verdicts] == ["fail", "not applicable", "not applicable"]
    assert verdicts[0].counts["shared rows"] == len(data)
    assert "has actions, observations, rewards" in verdicts[1].summary
    assert "observations number have 1 dimensions in " in verdicts[2].summary


def test_leakage_that_was_not_looked_for_is_said() -> None:
    (alone,) = (each for each in audit(sound()).findings if each.check == "leakage")
    assert alone.verdict == "not applicable"
    assert "name one with --against" in alone.summary
    report = audit(sound(), against=[sound(1)], unread=["the other is damaged"])
    both = [each for each in report.findings if each.check == "leakage"]
    assert [each.verdict for each in both] == ["pass", "not applicable"]
    assert both[1].summary == "the other is damaged"


# --- Other forms, and degenerate input ---


def test_images_named_parts_and_discrete_actions_have_defined_results() -> None:
    data, rng = sound(), np.random.default_rng(0)
    images = rng.integers(0, 255, (len(data), 6, 6, 3), np.uint8)
    pixels = replace(
        data,
        observations={"image": images, "state": data.observations},
        successors={"image": images[data.successor_rows], "state": data.successors},
        actions=rng.integers(0, 4, len(data)),
    )
    report = audit(pixels)
    assert report.failures() == []
    assert report.finding("duplicated rows").verdict == "pass"
    images[7] = images[5]
    again = replace(
        pixels, observations={"image": images}, successors={"image": images[data.successor_rows]}
    )
    again = replace(
        again, actions=np.zeros(len(data), np.int64), rewards=np.ones_like(data.rewards)
    )
    assert audit(again).finding("duplicated rows").rows == (7,)
    assert audit(again).finding("continuity").verdict == "not applicable"


@pytest.mark.parametrize("flags", ["", "-", "T", "O", "TT", "--"])
def test_degenerate_datasets_have_defined_results(
    make_episodes: Callable[..., Episodes], flags: str
) -> None:
    data = make_episodes(flags)
    report = audit(data, HOPPER, action_bounds=BOUNDS, against=[data])
    json.dumps(report.to_json(), allow_nan=False)
    if not flags:
        assert [finding.check for finding in report.failures()] == ["boundaries"]


# --- Known errata ---


def test_errata_and_the_checks_they_foretell_exist() -> None:
    names = {finding.check for finding in audit(sound(), against=[sound(1)]).findings}
    assert set(FORETOLD) <= names | {"replay"}
    modules = [importlib.import_module(f"datumrl.datasets.{name}") for name in COLLECTIONS.values()]
    known = {key for module in modules for key in getattr(module, "ERRATA", {})}
    assert {key for keys in FORETOLD.values() for key in keys} <= known


def test_d4rl_quirks_are_recognised_by_the_errata_of_their_records(
    home: Path, tmp_path: Path, d4rl_files: ModuleType
) -> None:
    rng = np.random.default_rng(0)
    content = d4rl_files.columns(rng, 3000, timeouts=0.0)
    content["timeouts"][[999, 1039, 2039]] = True  # one after only 40 steps, and a tail
    content["rewards"] = np.abs(content["rewards"])
    wide = {**content, "observations": content["observations"].astype(np.float64)}
    path = d4rl_files.write(tmp_path / "replay.hdf5", wide)
    name = "d4rl/hopper-medium-replay-v2"
    report = audit(loading.load(name, path=path), catalogue.find(name))
    short = report.finding("timeouts off the horizon")
    assert (short.verdict, short.rows) == ("fail", (1039,))
    assert "training iteration" in short.known_erratum
    assert "float64" in report.finding("precision").known_erratum
    assert report.finding("unfinished tail").known_erratum is not None
    assert report.failures() == []
    assert [finding.check for finding in report.failures(strict=True)] == [short.check]
    # The same file under an id without such an erratum is a failure.
    name = "d4rl/hopper-medium-v2"
    report = audit(loading.load(name, path=path), catalogue.find(name))
    assert [finding.check for finding in report.failures()] == [short.check]


def test_a_v0_file_without_timeouts_is_a_known_erratum(
    home: Path, tmp_path: Path, d4rl_files: ModuleType
) -> None:
    content = d4rl_files.columns(np.random.default_rng(0), 2000)
    path = d4rl_files.write(tmp_path / "hopper.hdf5", content)
    report = audit(
        loading.load("d4rl/hopper-random-v0", path=path), catalogue.find("d4rl/hopper-random-v0")
    )
    finding = report.finding("recorded timeouts")
    assert (finding.verdict, finding.counts["inferred"]) == ("warn", 2)
    assert "timeouts" in finding.known_erratum


def test_a_halfcheetah_never_terminates_and_that_is_known() -> None:
    record = catalogue.find("d4rl/halfcheetah-medium-v2")
    data = changed(sound(), "terminals", slice(None), False)
    finding = audit(data, record).finding("terminals at the horizon")
    assert finding.verdict == "not applicable"
    assert "never terminates" in finding.known_erratum
