"""Procgen's archives: alignment, both forms of an episode, hostile and damaged archives, memory."""

from __future__ import annotations

import dataclasses
import gc
import io
import lzma
import pickle
import shutil
import tarfile
import tracemalloc
import zipfile

import numpy as np
import pytest

from datumrl.datasets import catalogue, dgrl_procgen, prepared, scores
from datumrl.datasets.errors import DatumrlError

ID = "dgrl/chaser-1M-expert"


def episode(rows, seed=0, done=True, kind=np.float32):
    """Return an episode's arrays (code: procgen/online/datasets/storage.py, published types)."""
    rng = np.random.default_rng(1000 * rows + seed)
    dones = np.zeros(rows, np.float32)  # log: (T, 1) in one account of the file; code: (T,)
    dones[-1:] = done
    return {
        "observations": rng.integers(0, 256, (rows + 1, 3, 64, 64)).astype(kind),
        "actions": rng.integers(0, 15, (rows, 1)),  # code: long
        "rewards": rng.choice([0.0, 0.04, 1.5], (rows, 1)).astype(np.float32),
        "dones": dones,
    }


def as_npz(arrays):  # code: np.savez_compressed into the file
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def as_npy(arrays):  # log: np.load(..., allow_pickle=True).item() reads what is published
    buffer = io.BytesIO()
    np.save(buffer, arrays, allow_pickle=True)
    return buffer.getvalue()


def name_of(arrays, number, seed, suffix):  # code: the name that storage.py gives
    total = arrays["rewards"].sum()
    return f"20220101T000000_{number}_{len(arrays['actions'])}_{seed}_{total:.2f}.{suffix}"


def archive(path, members, mode="w:xz"):
    with tarfile.open(path, mode) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = content
                tar.addfile(info)
    return path


def of_episodes(path, episodes, pack=as_npy, suffix="npy", **options):
    names = [f"chaser/{name_of(e, i, 10 + i, suffix)}" for i, e in enumerate(episodes)]
    contents = [pack(e) for e in episodes]
    folder = ("chaser", (tarfile.DIRTYPE, ""))
    return archive(path, [folder, *zip(names, contents, strict=True)], **options)


def convert(path, tmp_path, dataset_id=ID, **fields):
    record = dataclasses.replace(catalogue.find(dataset_id), **fields)
    dgrl_procgen.convert(path, record, tmp_path / "columns")
    episodes = prepared.read(tmp_path / "columns", dataset_id)
    episodes.validate()
    return episodes


@pytest.mark.parametrize(("pack", "suffix"), [(as_npy, "npy"), (as_npz, "npz"), (as_npz, "npy")])
def test_steps_are_those_of_a_plain_loop_and_the_next_level_is_in_none(tmp_path, pack, suffix):
    sources = [episode(3), episode(1, seed=1), episode(5, seed=2, kind=np.float64)]
    path = of_episodes(tmp_path / "chaser.tar.xz", sources, pack, suffix)
    steps = convert(path, tmp_path).transitions()
    place = 0
    for source in sources:
        for t in range(len(source["actions"])):
            np.testing.assert_array_equal(steps.observations[place], source["observations"][t])
            assert steps.actions[place] == source["actions"][t, 0]
            assert steps.rewards[place] == source["rewards"][t, 0]
            assert steps.terminals[place] == bool(source["dones"][t])
            successor = t if source["dones"][t] else t + 1  # its own frame stands in: terminal
            np.testing.assert_array_equal(
                steps.next_observations[place], source["observations"][successor]
            )
            place += 1
    assert place == len(steps) == 9
    assert steps.dropped == {}
    assert steps.observations.dtype == np.uint8
    extras = prepared.read_extras(tmp_path / "columns")
    assert extras["infos/level_seed"].tolist() == [10] * 3 + [11] + [12] * 5
    expected = [round(float(source["rewards"].sum()), 2) for source in sources]
    np.testing.assert_allclose(extras["metadata/recorded_return"], expected, atol=0.011)


def test_an_episode_without_an_end_keeps_its_successor(tmp_path):
    source = episode(4, done=False)
    episodes = convert(of_episodes(tmp_path / "a.tar.xz", [source, episode(2)]), tmp_path)
    assert episodes.successor_rows.tolist() == [3]
    np.testing.assert_array_equal(episodes.successors[0], source["observations"][4])
    assert len(episodes.transitions()) == 6
    assert any("1 episodes do not end in done" in note for note in episodes.notes)


def test_what_differs_from_the_published_layout_is_said(tmp_path):
    short = episode(3)
    short["observations"] = short["observations"][:3]
    short["dones"] = short["dones"][:, None]
    members = [("chaser/odd.npy", as_npy(short)), ("chaser/readme.txt", b"hello")]
    wrong = episode(2)
    members.append(("chaser/x_0_9_7_99.00.npy", as_npy(wrong)))
    episodes = convert(archive(tmp_path / "a.tar", members, "w"), tmp_path)
    for note in (
        "1 episodes have no observation after their last step",
        "1 names do not tell the level's seed and the return",
        "1 names tell another length",
        "1 names tell another return",
        "1 files are no episodes",
        "5 transitions where about 1000000 are published",
    ):
        assert note in episodes.notes
    assert (
        prepared.read_extras(tmp_path / "columns")["infos/level_seed"].tolist()
        == [-1] * 3 + [7] * 2
    )


def test_an_archive_of_all_games_gives_those_of_one(tmp_path):
    mine, other = episode(2), episode(3)
    members = [
        (f"data/bigfish/{name_of(other, 0, 1, 'npz')}", as_npz(other)),
        (f"data/chaser/{name_of(mine, 0, 1, 'npz')}", as_npz(mine)),
    ]
    path = archive(tmp_path / "100k_procgen_dataset_1.tar", members, "w:gz")
    episodes = convert(path, tmp_path, "dgrl/chaser-100k-level-1-expert")
    assert len(episodes) == 2
    assert "1 episodes are of other games" in episodes.notes


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (("../evil.npy", b"x"), "leads out of the archive"),
        (("/etc/evil.npy", b"x"), "leads out of the archive"),
        (("chaser/..\\..\\evil.npy", b"x"), "leads out of the archive"),
        (("C:/evil.npy", b"x"), "leads out of the archive"),
        (("chaser/a.npy", (tarfile.SYMTYPE, "/etc/passwd")), "is a link or a device"),
        (("chaser/a.npy", (tarfile.LNKTYPE, "../b")), "is a link or a device"),
        (("chaser/a.npy", (tarfile.CHRTYPE, "")), "is a link or a device"),
        (("a" * 70_000, b"x"), "name of 70,0.. bytes"),
        (("chaser/" + "../" * 90 + "evil.npy", b"x"), "leads out of the archive"),
    ],
)
def test_hostile_members_are_refused_and_nothing_is_written(tmp_path, member, message):
    good = ("chaser/x_0_2_1_0.00.npy", as_npy(episode(2)))
    before = set(tmp_path.parent.rglob("evil*"))
    with pytest.raises(DatumrlError, match=message):
        convert(archive(tmp_path / "a.tar.xz", [good, member]), tmp_path)
    assert not (tmp_path / "columns").exists()
    assert set(tmp_path.parent.rglob("evil*")) == before


@pytest.mark.slow
def test_huge_sizes_are_refused_in_little_memory(tmp_path):
    info = tarfile.TarInfo("chaser/huge.npy")
    info.size = 1 << 40
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.PAX_FORMAT))
    with pytest.raises(DatumrlError, match="too large for a plain header"):
        convert(tmp_path / "a.tar", tmp_path)
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT))
    with pytest.raises(DatumrlError, match="says it has 1,099,511,627,776 bytes"):
        convert(tmp_path / "a.tar", tmp_path)
    info.name, info.size = "chaser/huge.bin", 1 << 28  # each is possible; they never end
    bomb = lzma.compress(info.tobuf() + bytes(info.size), preset=0)
    (tmp_path / "a.tar.xz").write_bytes(bomb * 2)
    with pytest.raises(DatumrlError, match="unpacks to more than this dataset can have"):
        convert(tmp_path / "a.tar.xz", tmp_path, rows=10)
    header = {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 3, 64, 64)}
    liar = io.BytesIO()
    np.lib.format.write_array_header_1_0(liar, header)
    npz = io.BytesIO()
    np.savez(npz, actions=np.zeros((2, 1), int))
    with zipfile.ZipFile(npz, "a") as file:
        file.writestr("observations.npy", liar.getvalue())
    path = archive(tmp_path / "b.tar", [("chaser/a.npz", npz.getvalue())], "w")
    with pytest.raises(DatumrlError, match="says it is float32"):
        convert(path, tmp_path)


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


@pytest.mark.parametrize(
    "hostile",
    [
        np.array(Bomb(), dtype=object),
        np.array({"observations": Bomb()}, dtype=object),
        np.array({"observations": np.array([Bomb()], dtype=object)}, dtype=object),
        np.array({"observations": np.random.default_rng(0)}, dtype=object),
        np.array({"observations": [1, 2, 3]}, dtype=object),
        np.array({"observations": np.ma.zeros(3)}, dtype=object),
    ],
    ids=["bomb", "value", "array", "generator", "list", "masked"],
)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_nothing_is_ever_unpickled(tmp_path, hostile, protocol):
    content = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    np.lib.format.write_array_header_1_0(content, header)
    pickle.dump(hostile, content, protocol=protocol)
    path = archive(tmp_path / "a.tar", [("chaser/a.npy", content.getvalue())], "w")
    with pytest.raises(DatumrlError, match="only unpickling could make"):
        convert(path, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observations": np.full((3, 3, 64, 64), 0.5, np.float32)}, "no whole numbers"),
        ({"observations": np.full((3, 3, 64, 64), 256, np.float32)}, "from 256.0 to 256.0"),
        ({"observations": np.full((3, 3, 64, 64), np.nan, np.float32)}, "from nan"),
        ({"observations": np.zeros((3, 3, 32, 32), np.float32)}, r"shape \(3, 3, 32, 32\)"),
        ({"observations": np.zeros((4, 3, 64, 64), np.float32)}, "for 2 actions"),
        ({"actions": np.array([[3], [15]])}, "actions from 3 to 15"),
        ({"rewards": np.zeros((3, 1))}, r"rewards of shape \(3, 1\)"),
        ({"rewards": np.array([[0], [np.inf]])}, "reward that is not finite"),
        ({"dones": np.array([0.0, 2.0])}, "dones from 0.0 to 2.0"),
        ({"dones": None}, "lacks dones"),
    ],
)
def test_what_cannot_be_right_is_refused(tmp_path, change, message):
    arrays = {**episode(2), **change}
    arrays = {name: values for name, values in arrays.items() if values is not None}
    path = archive(tmp_path / "a.tar", [("chaser/a.npz", as_npz(arrays))], "w")
    with pytest.raises(DatumrlError, match=message):
        convert(path, tmp_path)
    assert not (tmp_path / "columns").exists()


@pytest.mark.parametrize("mode", ["w", "w:xz", "w:gz"])
def test_damage_anywhere_is_an_error_or_changes_no_length(tmp_path, mode):
    sources = [episode(2), episode(3)]
    whole = of_episodes(tmp_path / "whole", sources, as_npz, "npz", mode=mode).read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for trial in range(40):
        data = bytearray(whole)
        if trial % 2:
            del data[int(rng.integers(0, len(data))) :]
        else:
            for place in rng.integers(0, len(data), 4):
                data[place] ^= 1 << int(rng.integers(0, 8))
        (tmp_path / "damaged").write_bytes(bytes(data))
        try:
            episodes = convert(tmp_path / "damaged", tmp_path)
        except DatumrlError:
            refused += 1
            assert not (tmp_path / "columns").exists()
            continue
        # Only bytes that nothing depends on, such as padding or a date, can have changed.
        np.testing.assert_array_equal(episodes.observations[:2], sources[0]["observations"][:2])
        assert len(episodes) == 5
        shutil.rmtree(tmp_path / "columns")
    assert refused >= 20


def test_an_archive_without_its_end_is_cut_off(tmp_path):
    path = of_episodes(tmp_path / "a.tar", [episode(2), episode(3)], mode="w")
    with tarfile.open(path) as tar:
        second = [member.offset for member in tar][-1]
    path.write_bytes(path.read_bytes()[:second])  # a whole number of whole files
    with pytest.raises(DatumrlError, match="ends too early"):
        convert(path, tmp_path)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_archive(tmp_path):
    def peak(episodes):
        path = of_episodes(tmp_path / "a.tar", [episode(20)] * episodes, mode="w")
        gc.collect()
        tracemalloc.start()
        convert(path, tmp_path)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1)  # what is imported and compiled once is not counted
    few, many = peak(2), peak(20)
    assert many < few + 2_000_000 < 20 * 21 * 12_288 * 4


def test_the_catalogue_has_every_game_and_size():
    ids = [each.id for each in catalogue.all_records() if each.reader == "dgrl-procgen"]
    assert len(ids) == 16 * (4 + 4)
    record = catalogue.find("dgrl/starpilot-10M")
    assert record.urls == ("https://dl.fbaipublicfiles.com/DGRL/10M/starpilot.tar.xz",)
    assert scores.normalize(33.25, record) == pytest.approx(50.0)
    assert "easy mode" in record.reference.origin
    assert record.environment is None
    names = {catalogue.find(each).file_name for each in ids}
    assert len(names) == len(ids)  # the publisher's own names are the same for every size
