"""The Health Gym: columns, actions of levels, rewards of the user's own, and what is refused."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from datumrl.datasets import catalogue, fetching, health_gym, health_gym_csv, loading, prepared
from datumrl.datasets.errors import DatumrlError

HYPOTENSION = {  # code: data_types.csv; the levels as code that plots them writes them
    **dict.fromkeys(
        ["MAP", "diastolic_bp", "systolic_bp", "urine", "ALT", "AST", "PO2", "lactic_acid"]
    ),
    "serum_creatinine": None,
    "fluid_boluses": [0, 250, 500, 1000],
    "vasopressors": [0.0, 1e-06, 8.4, 20.28],
    "FiO2": [0.2, 0.3, 1.0],
    "GCS_total": [3, 9, 15],
    **{name: [True, False] for name in ("urine_m", "ALT_AST_m", "FiO2_m", "GCS_total_m")},
    **{name: [0, 1] for name in ("PO2_m", "lactic_acid_m", "serum_creatinine_m")},
}
SEPSIS = [  # code: Demo/Z001_DataPreprocessing.py
    *("Age", "HR", "SysBP", "MeanBP", "DiaBP", "RR", "K", "Na", "Cl", "Ca", "IonisedCa", "CO2"),
    *("Albumin", "Hb", "pH", "BE", "HCO3", "FiO2", "Glucose", "BUN", "Creatinine", "Mg", "SGOT"),
    *("SGPT", "TotalBili", "WbcCount", "PlateletsCount", "PaO2", "PaCO2", "Lactate"),
    *("InputTotal", "Input4H", "MaxVaso", "OutputTotal", "Output4H", "Gender", "ReAd", "Mech"),
    *("GCS", "SpO2", "Temp", "PTT", "PT", "INR"),
]
HIV = {  # log: columns and ranges as printed by people who had the file
    **dict.fromkeys(["VL", "CD4", "Rel CD4"]),
    "Gender": [1, 2],
    "Ethnic": [1, 2, 3, 4],
    "Base Drug Combo": range(6),
    "Comp. INI": range(4),
    "Comp. NNRTI": range(4),
    "Extra PI": range(6),
    "Extra pk-En": range(2),
    **{name: [0, 1] for name in ("VL (M)", "CD4 (M)", "Drug (M)")},
}


def table(columns, lengths, time="Timepoints", index=True, seed=0):
    """Return a published table: an unnamed index (code: Demo), PatientID, the time, the columns."""
    rng = np.random.default_rng(seed)
    rows = sum(lengths)
    content = {"Unnamed: 0": np.arange(rows)} if index else {}
    content["PatientID"] = np.repeat(np.arange(len(lengths)), lengths)
    content[time] = np.concatenate([np.arange(length) for length in lengths])
    for name, levels in columns.items():
        content[name] = (
            rng.gamma(2.0, 30.0, rows) if levels is None else rng.choice(list(levels), rows)
        )
    return pd.DataFrame(content)


def write(path, frame):
    frame.to_csv(path, index=False)
    return path


def convert(path, tmp_path, dataset_id="healthgym/hypotension"):
    health_gym_csv.convert(path, catalogue.find(dataset_id), tmp_path / "columns")
    episodes = prepared.read(tmp_path / "columns", dataset_id)
    episodes.validate()
    return episodes


def with_reward(frame):
    return frame.assign(reward=np.round(np.sin(np.arange(len(frame))), 3))


def test_steps_are_those_of_a_plain_loop(tmp_path):
    frame = with_reward(table(HYPOTENSION, [48, 48, 30]))
    episodes = convert(write(tmp_path / "file.csv", frame), tmp_path)
    steps = episodes.transitions()
    state = [name for name in HYPOTENSION if name not in ("fluid_boluses", "vasopressors")]
    place = 0
    for _, patient in frame.groupby("PatientID"):
        values = patient[state].to_numpy(np.float64).astype(np.float32)
        for t in range(len(patient) - 1):
            row = patient.iloc[t]
            fluid = [0, 250, 500, 1000].index(row["fluid_boluses"])
            pressor = [0.0, 1e-06, 8.4, 20.28].index(row["vasopressors"])
            assert steps.actions[place] == 4 * fluid + pressor
            assert steps.rewards[place] == np.float32(row["reward"])
            np.testing.assert_array_equal(steps.observations[place], values[t])
            np.testing.assert_array_equal(steps.next_observations[place], values[t + 1])
            place += 1
    assert place == len(steps) == 47 + 47 + 29
    assert steps.dropped == {"timeout row without a known successor": 3}
    assert not episodes.terminals.any()
    for note in (
        "1 patients have not 48 rows",
        "3 patients where 3910 are published",
        "levels of vasopressors are written as 0, 1e-06, 8.4, 20.28",
    ):
        assert note in episodes.notes
    extras = prepared.read_extras(tmp_path / "columns")
    np.testing.assert_array_equal(extras["infos/fluid_boluses"], frame["fluid_boluses"])


def test_levels_may_be_written_as_codes_but_in_one_way_only(tmp_path):
    coded = {**HYPOTENSION, "fluid_boluses": range(4), "vasopressors": range(4)}
    frame = with_reward(table(coded, [48, 48]))
    episodes = convert(write(tmp_path / "file.csv", frame), tmp_path)
    expected = 4 * frame["fluid_boluses"] + frame["vasopressors"]
    np.testing.assert_array_equal(episodes.actions, expected)
    frame["vasopressors"] = frame["vasopressors"].where(frame["PatientID"] == 0, 8.4)
    with pytest.raises(DatumrlError, match=r"patient 1: vasopressors holds \[8.4\] .* alike"):
        convert(write(tmp_path / "file.csv", frame), tmp_path)


def test_all_variables_of_hiv_make_one_action(tmp_path):
    frame = with_reward(table(HIV, [60, 60], "Timestep", index=False))
    episodes = convert(write(tmp_path / "file.csv", frame), tmp_path, "healthgym/hiv")
    row = frame.iloc[77]
    expected = row["Base Drug Combo"]
    for name, count in (("Comp. INI", 4), ("Comp. NNRTI", 4), ("Extra PI", 6), ("Extra pk-En", 2)):
        expected = expected * count + row[name]
    assert episodes.actions[77] == expected
    record = catalogue.find("healthgym/hiv")
    assert (record.action_dim, record.observation_dim) == (1152, 8)


def test_without_a_reward_the_error_says_how_to_add_one(tmp_path, home):
    path = write(tmp_path / "file.csv", table(HYPOTENSION, [48]))
    with pytest.raises(DatumrlError, match=r"no column reward.*health_gym\.prepare"):
        loading.load("healthgym/hypotension", path=path)


def test_a_function_adds_the_reward_and_nothing_else_changes(tmp_path, home):
    frame = table(HYPOTENSION, [48, 47])
    source, target = write(tmp_path / "file.csv", frame), tmp_path / "with-reward.csv"

    def reward(patient):
        low = patient["MAP"] < 65
        patient["MAP"][:] = 0  # a copy: the file keeps its values
        return -low.astype(float)

    health_gym.prepare(source, target, "healthgym/hypotension", reward)
    lines = zip(source.read_text().splitlines(), target.read_text().splitlines(), strict=True)
    assert all(new.startswith(f"{old},") for old, new in lines)
    record = catalogue.find("healthgym/hypotension")
    fetching.fetch(record, source=target)
    episodes = loading.load("healthgym/hypotension")
    np.testing.assert_array_equal(episodes.rewards, -(frame["MAP"] < 65).astype(np.float32))
    with pytest.raises(DatumrlError, match="has a column reward already"):
        health_gym.prepare(target, tmp_path / "c.csv", "healthgym/hypotension", reward)


def test_sepsis_needs_cuts_or_actions(tmp_path):
    frame = table(dict.fromkeys(SEPSIS), [20, 20])
    frame = frame.rename(columns={"HR": "HR [bpm]", "Input4H": "Input4H [mL]"})
    source = write(tmp_path / "file.csv", frame)
    with_rewards = write(tmp_path / "rewards.csv", with_reward(frame))
    with pytest.raises(DatumrlError, match=r"no column action.*Input4H and MaxVaso"):
        convert(with_rewards, tmp_path, "healthgym/sepsis")
    cuts = {"MaxVaso": [10.0, 50.0], "Input4H": [20.0, 40.0, 80.0]}
    target = tmp_path / "ready.csv"
    health_gym.prepare(source, target, "healthgym/sepsis", lambda each: each["pH"], cuts)
    episodes = convert(target, tmp_path, "healthgym/sepsis")
    for row in range(40):
        fluid = sum(frame["Input4H [mL]"][row] >= cut for cut in cuts["Input4H"])
        pressor = sum(frame["MaxVaso"][row] >= cut for cut in cuts["MaxVaso"])
        assert episodes.actions[row] == 3 * fluid + pressor
    assert episodes.observations.shape == (40, 42)
    np.testing.assert_array_equal(episodes.observations[:, 1], frame["HR [bpm]"].astype("f4"))


@pytest.mark.parametrize(
    ("cuts", "message"),
    [
        ({"Input4H": [1]}, "actions are made of Input4H, MaxVaso"),
        ({"Input4H": [2, 1], "MaxVaso": [1]}, "are no increasing numbers"),
        ({"Input4H": [np.inf], "MaxVaso": [1]}, "are no increasing numbers"),
    ],
)
def test_cuts_that_do_not_fit_are_refused(tmp_path, cuts, message):
    source = write(tmp_path / "file.csv", table(dict.fromkeys(SEPSIS), [20]))
    with pytest.raises(DatumrlError, match=message):
        health_gym.prepare(source, tmp_path / "t", "healthgym/sepsis", lambda p: p["pH"], cuts)
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    "function", [lambda p: 0.0, lambda p: p["MAP"][1:], lambda p: p["MAP"] * np.nan]
)
def test_a_function_that_gives_no_rewards_is_refused(tmp_path, function):
    source = write(tmp_path / "file.csv", table(HYPOTENSION, [48]))
    with pytest.raises(DatumrlError, match=r"reward of patient 0: .* where 48 finite numbers"):
        health_gym.prepare(source, tmp_path / "t", "healthgym/hypotension", function)
    assert not (tmp_path / "t").exists()
    with pytest.raises(DatumrlError, match="is the file to read"):
        health_gym.prepare(source, source, "healthgym/hypotension", function)


def changed(row, column, value):
    def change(frame):
        frame[column] = frame[column].astype(object)
        frame.loc[row, column] = value
        return frame

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns=["MAP"]), "lacks the columns MAP"),
        (lambda frame: frame.drop(columns=["Timepoints"]), "Timepoints or Timestep"),
        (lambda frame: frame.rename(columns={"ALT": "MAP [mmHg]", "AST": "ALT"}), "lacks .* AST"),
        (lambda frame: frame.assign(**{"MAP [mmHg]": 1}), "has 2 columns called MAP"),
        (changed(3, "urine", "low"), "row 5: urine holds 'low' where a number is needed"),
        (changed(3, "urine", None), "row 5: urine holds ''"),
        (changed(3, "urine", "inf"), "row 5: urine holds 'inf'"),
        (changed(3, "urine", "1e300"), "beyond single precision"),
        (changed(3, "Timepoints", 9), "row 5: Timepoints of patient 0 does not count up by 1"),
        (changed(95, "PatientID", 0), "row 97: patient 0 was there before"),
        (changed(3, "fluid_boluses", 300), r"fluid_boluses holds .*300.0.*0, 250, 500, 1000"),
        (lambda frame: frame.assign(action=0.5), "action is other than whole numbers"),
        (lambda frame: frame[:0], "holds no patients"),
    ],
)
def test_what_cannot_be_right_is_refused(tmp_path, change, message):
    frame = change(with_reward(table(HYPOTENSION, [48, 48])))
    with pytest.raises(DatumrlError, match=message):
        convert(write(tmp_path / "file.csv", frame), tmp_path)
    assert not (tmp_path / "columns").exists()


def test_damage_is_an_error_or_a_load_of_whole_rows(tmp_path):
    frame = with_reward(table(HYPOTENSION, [5, 5]))
    whole = write(tmp_path / "file.csv", frame).read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for trial in range(60):
        data = bytearray(whole)
        if trial % 2:
            del data[int(rng.integers(0, len(data))) :]
        else:
            for place in rng.integers(0, len(data), 8):
                data[place] ^= 1 << int(rng.integers(0, 8))
        path = tmp_path / "damaged.csv"
        path.write_bytes(bytes(data))
        try:
            convert(path, tmp_path)
        except DatumrlError:
            refused += 1
    assert refused > 40


def test_a_file_that_ends_within_a_row_is_cut_off(tmp_path):
    path = write(tmp_path / "file.csv", with_reward(table(HYPOTENSION, [48])))
    path.write_bytes(path.read_bytes()[:-3])  # the last reward is a number still
    with pytest.raises(DatumrlError, match="ends within a row"):
        convert(path, tmp_path)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_patients(tmp_path):
    def peak(patients):
        path = write(tmp_path / "file.csv", with_reward(table(HYPOTENSION, [48] * patients)))
        gc.collect()
        tracemalloc.start()
        convert(path, tmp_path)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1)  # what is imported and compiled once is not counted
    assert peak(60) < peak(10) + 200_000


def test_nothing_is_downloaded_and_the_catalogue_says_how_to_get_access():
    records = [each for each in catalogue.all_records() if each.collection == "healthgym"]
    assert [each.observation_dim for each in records] == [18, 42, 8]
    for record in records:
        assert record.urls == ()
        assert record.layout == "unverified"
        assert "nothing is downloaded for you" in record.access
