"""NeoRL and NeoRL-2: the meaning of index and done, splits, cuts, names, and what is refused."""

from __future__ import annotations

import dataclasses
import io
import zipfile

import numpy as np
import pytest

from datumrl.datasets import catalogue, neorl_npz, prepared, scores
from datumrl.datasets.errors import DatumrlError


def content(lengths, observation_dim, action_dim, done="ends", **columns):
    """Return the arrays of a published file (code: polixir/NeoRL neorl/core.py)."""
    rows, rng = sum(lengths), np.random.default_rng(len(lengths))
    observations = rng.normal(size=(rows, observation_dim)).astype(np.float32)
    ends = np.cumsum(lengths) - 1
    following = np.roll(observations, -1, axis=0)
    following[ends] = rng.normal(size=(len(ends), observation_dim))
    flags = np.zeros((rows, 1), np.float32)  # unverified: whether set at the time limit
    if done == "ends":
        flags[ends] = 1
    return {
        "obs": observations,
        "next_obs": following,
        "action": rng.uniform(-1, 1, (rows, action_dim)).astype(np.float32),
        "reward": rng.random((rows, 1)).astype(np.float32),  # code: (N, 1) or (N,)
        "done": flags,
        "index": (ends + 1).astype(np.float32),  # code: exclusive ends, float32, no leading 0
        **columns,
    }


@pytest.fixture
def convert(tmp_path):
    def made(dataset_id, arrays, **fields):
        file = tmp_path / "file.npz"
        np.savez_compressed(file, **arrays)
        # Generated files have other hashes, and fewer trajectories, than those published.
        record = dataclasses.replace(catalogue.find(dataset_id), md5=None)
        options = {**record.option, "trajectories": fields.pop("trajectories", 0)}
        record = dataclasses.replace(record, options=tuple(options.items()))
        neorl_npz.convert(file, record, tmp_path / "columns")
        episodes = prepared.read(tmp_path / "columns", dataset_id)
        episodes.validate()
        return episodes

    return made


def test_index_holds_ends_and_the_first_trajectory_is_kept(convert):
    arrays = content([5, 1000, 7], 12, 3)
    episodes = convert("neorl/Hopper-v3-low-100", arrays)
    assert episodes.starts.tolist() == [0, 5, 1005, 1012]
    # Done at full length is a time limit; earlier it is the end of the process.
    assert np.flatnonzero(episodes.terminals).tolist() == [4, 1011]
    assert np.flatnonzero(episodes.timeouts).tolist() == [1004]
    steps = episodes.transitions()
    assert len(steps) == 1012
    np.testing.assert_array_equal(steps.next_observations, arrays["next_obs"])
    np.testing.assert_array_equal(steps.rewards, arrays["reward"][:, 0])


def test_a_process_of_fixed_length_never_terminates(convert):
    episodes = convert("neorl/ib-low-100", content([1000, 1000], 180, 3))
    assert not episodes.terminals.any()
    assert np.flatnonzero(episodes.timeouts).tolist() == [999, 1999]


def test_the_ends_of_trajectories_need_no_done(convert):
    episodes = convert("neorl/finance-low-100", content([4, 6], 181, 30, done="never"))
    assert episodes.lengths().tolist() == [4, 6]
    assert episodes.timeouts.sum() == 2


def test_actions_of_sp_are_divided_as_its_own_loader_does(convert):
    arrays = content([50, 50], 4, 2)
    episodes = convert("neorl/sp-v0-10000", arrays)
    np.testing.assert_allclose(episodes.actions, arrays["action"] / 5)


def test_neorl2_takes_the_first_trajectories_and_says_so(convert):
    truncated = np.zeros(40, bool)
    truncated[[9, 19, 39]] = True
    arrays = content([10, 10, 10, 10], 15, 6, done="never", truncated=truncated)
    arrays["done"][29] = 1
    del arrays["index"]
    episodes = convert("neorl2/Fusion", arrays, trajectories=3)
    assert episodes.starts.tolist() == [0, 10, 20, 30]
    assert np.flatnonzero(episodes.terminals).tolist() == [29]
    assert np.flatnonzero(episodes.timeouts).tolist() == [9, 19]
    assert any("first 3 of 4 trajectories" in note for note in episodes.notes)
    assert dict(catalogue.find("neorl2/Fusion").options)["trajectories"] == 20
    assert dict(catalogue.find("neorl2/Fusion-val").options)["trajectories"] == 5


def test_too_few_trajectories_are_refused(convert):
    with pytest.raises(DatumrlError, match=r"holds 2 trajectories where .* has 100"):
        convert("neorl/ib-low-100", content([5, 5], 180, 3), trajectories=100)


def test_every_training_set_names_a_validation_set_that_is_here():
    records = [each for each in catalogue.all_records() if each.collection.startswith("neorl")]
    assert len(records) == 94 + 90 + 16
    without = {each.id for each in records if each.validation is None and "-val" not in each.id}
    assert without == {
        f"neorl/citylearn-v1-{level}-10" for level in ("low", "medium", "high", "expert")
    }
    for record in records:
        assert len(record.md5) == 32
        if record.validation:
            assert catalogue.find(record.validation).id.endswith("-val")


def test_names_are_exact_and_scores_are_never_guessed():
    assert catalogue.find("neorl/citylearn-low-100").id == "neorl/citylearn-low-100"
    with pytest.raises(DatumrlError, match="nearest"):
        catalogue.find("neorl/citylearn-low-10")
    with pytest.raises(DatumrlError, match="no reference scores"):
        scores.normalize(1.0, catalogue.find("neorl/ib-low-100"))
    pipeline = catalogue.find("neorl2/Pipeline")
    assert scores.normalize(429.0072265625, pipeline) == pytest.approx(69.24615344436485)


def test_the_environment_has_the_x_position_in_its_observations():
    from datumrl.evaluation import environments

    for name in ("HalfCheetah-v3-low-100", "Hopper-v3-low-100", "Walker2d-v3-low-100"):
        record = catalogue.find(f"neorl/{name}")
        env = environments.make(environments.environment_of(record))
        assert env.observation_space.shape == (record.observation_dim,)
        env.close()


def with_member(arrays, name, data):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(f"{name}.npy", data)
    return buffer.getvalue()


SMALL = content([5, 5], 180, 3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"obs": SMALL["obs"][:, :17]}, r"obs has shape \(10, 17\)"),
        ({"reward": SMALL["reward"][:9]}, "obs has shape"),
        ({"done": SMALL["done"] * 2}, "done holds 2.0 at row 4"),
        ({"index": np.array([5, 9], np.float32)}, "index does not increase to the number of rows"),
        ({"index": np.array([5, 5, 10], np.float32)}, "index does not increase"),
        ({"index": np.array([5.5, 10], np.float32)}, "index does not increase"),
        ({"next_obs": np.full_like(SMALL["obs"], np.nan)}, "next_obs holds .* at row 0"),
        ({"action": SMALL["action"].astype("S4")}, "action holds .S4, not numbers"),
    ],
)
def test_what_cannot_be_right_is_refused(convert, tmp_path, wrong, message):
    with pytest.raises(DatumrlError, match=message):
        convert("neorl/ib-low-100", {**SMALL, **wrong})
    assert not (tmp_path / "columns").exists()


def raw(tmp_path, data):
    file = tmp_path / "file.npz"
    file.write_bytes(data)
    record = dataclasses.replace(catalogue.find("neorl/ib-low-100"), md5=None)
    neorl_npz.convert(file, record, tmp_path / "columns")


def test_objects_are_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (exec, ("raise SystemExit('unpickled')",))

    array = io.BytesIO()
    np.lib.format.write_array(array, np.array([Bomb()], dtype=object), allow_pickle=True)
    data = with_member({k: v for k, v in SMALL.items() if k != "obs"}, "obs", array.getvalue())
    with pytest.raises(DatumrlError, match="Python objects"):
        raw(tmp_path, data)


def test_a_file_that_lies_about_its_shapes_is_refused(tmp_path):
    header = io.BytesIO()
    described = {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 180)}
    np.lib.format.write_array_header_1_0(header, described)
    data = with_member(
        {k: v for k, v in SMALL.items() if k != "obs"}, "obs", header.getvalue() + b"1234"
    )
    with pytest.raises(DatumrlError, match="says it is float32"):
        raw(tmp_path, data)


def test_damage_anywhere_is_an_error_or_changes_nothing(tmp_path):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **SMALL)
    whole = buffer.getvalue()
    rng = np.random.default_rng(0)
    refused = 0
    for trial in range(60):
        data = bytearray(whole)
        if trial % 3 == 0:
            del data[int(rng.integers(0, len(data))) :]
        else:
            for place in rng.integers(0, len(data), 4):
                data[place] ^= 1 << int(rng.integers(0, 8))
        try:
            raw(tmp_path, bytes(data))
        except DatumrlError:
            refused += 1
            assert not (tmp_path / "columns").exists()
            continue
        episodes = prepared.read(tmp_path / "columns", "neorl/ib-low-100")
        np.testing.assert_array_equal(episodes.observations, SMALL["obs"])
        np.testing.assert_array_equal(episodes.rewards, SMALL["reward"][:, 0])
    assert refused > 40


def test_the_publishers_md5_is_held_against_the_file(tmp_path):
    np.savez(tmp_path / "file.npz", **SMALL)
    record = catalogue.find("neorl/ib-low-100")
    with pytest.raises(DatumrlError, match=f"expected md5 {record.md5}"):
        neorl_npz.convert(tmp_path / "file.npz", record, tmp_path / "columns")
