"""RL Unplugged's control suite: framing, checksums, alignment, ends, shards, and damage.

Records are framed by tensorboard's writer and messages encoded by the protocol buffers' own
library, neither of which the reader knows of.
"""

from __future__ import annotations

import gc
import gzip
import struct
import tracemalloc

import numpy as np
import pytest

from datumrl.datasets import catalogue, loading, prepared, rlu_control, tfrecord
from datumrl.datasets.errors import DatumrlError

pytest.importorskip("tensorboard")
ID = "rlu/finger_turn_hard"
SIZES = {"position": 4, "velocity": 3, "target_position": 2, "dist_to_target": 1}


def example_class():
    """Return the class of tf.train.Example (code: feature.proto, example.proto)."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="t", syntax="proto3")
    kinds = {"BytesList": "TYPE_BYTES", "FloatList": "TYPE_FLOAT", "Int64List": "TYPE_INT64"}
    field = descriptor_pb2.FieldDescriptorProto
    for name, kind in kinds.items():
        message = file.message_type.add(name=name)
        message.field.add(name="value", number=1, label=3, type=getattr(field, kind))
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(kinds, 1):
        lower = name.replace("List", "_list").lower()
        feature.field.add(
            name=lower, number=number, label=1, type=11, type_name=f".t.{name}", oneof_index=0
        )
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=1, type=9)
    entry.field.add(name="value", number=2, label=1, type=11, type_name=".t.Feature")
    features.field.add(
        name="feature", number=1, label=3, type=11, type_name=".t.Features.FeatureEntry"
    )
    example = file.message_type.add(name="Example")
    example.field.add(name="features", number=1, label=1, type=11, type_name=".t.Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Example"))


EXAMPLE = example_class()


def encode(features):
    message = EXAMPLE()
    for name, values in features.items():
        feature = message.features.feature[name]
        if isinstance(values, list):
            feature.bytes_list.value.extend(values)
        elif values.dtype.kind == "i":
            feature.int64_list.value.extend(values.ravel().tolist())
        else:
            feature.float_list.value.extend(values.ravel().tolist())
    return message.SerializeToString()


def episode(rows, seed=0, terminal=False, **changes):
    """Return an episode's features (code: rlu_control_suite.py), ``rows`` observations."""
    rng = np.random.default_rng(100 * rows + seed)
    discounts = np.ones(rows, np.float32)
    discounts[-1] = 0 if terminal else 1
    kinds = np.ones(rows, np.float32)
    kinds[0], kinds[-1] = 0, 2
    observations = {
        f"observation/{name}": rng.normal(size=(rows, width)).astype(np.float32)
        for name, width in SIZES.items()
    }
    return {
        **observations,
        "action": rng.uniform(-1, 1, (rows, 2)).astype(np.float32),
        "reward": rng.random(rows).astype(np.float32),
        "discount": discounts,
        "step_type": kinds,
        "episode_id": np.array([seed], np.int64),
        "timestamp": np.array([-(1 << 40) - seed], np.int64),
        **changes,
    }


def write(folder, shards, compressed=True, stem="train"):
    from tensorboard.summary.writer.record_writer import RecordWriter

    folder.mkdir(exist_ok=True)
    for number, messages in enumerate(shards):
        path = folder / f"{stem}-{number:05d}-of-{len(shards):05d}"
        with gzip.open(path, "wb") if compressed else path.open("wb") as handle:
            writer = RecordWriter(handle)
            for message in messages:
                writer.write(message if isinstance(message, bytes) else encode(message))
            writer.flush()
    return folder


def convert(folder, tmp_path):
    rlu_control.convert(folder, catalogue.find(ID), tmp_path / "columns")
    episodes = prepared.read(tmp_path / "columns", ID)
    episodes.validate()
    return episodes


@pytest.mark.parametrize("compressed", [True, False])
def test_steps_are_those_of_a_plain_loop(tmp_path, compressed):
    sources = [episode(5, 0), episode(3, 1, terminal=True), episode(2, 2), episode(7, 3)]
    between = [] if compressed else [sources[2]]  # a compressed shard may hold no episode
    last = sources[2:] if compressed else sources[3:]
    folder = write(tmp_path / "task", [sources[:2], between, last], compressed)
    episodes = convert(folder, tmp_path)
    steps = episodes.transitions()
    assert steps.dropped == {}
    place = 0
    for source in sources:
        vector = np.concatenate([source[f"observation/{name}"] for name in sorted(SIZES)], axis=1)
        for t in range(len(vector) - 1):
            np.testing.assert_array_equal(steps.observations[place], vector[t])
            np.testing.assert_array_equal(steps.next_observations[place], vector[t + 1])
            np.testing.assert_array_equal(steps.actions[place], source["action"][t])
            assert steps.rewards[place] == source["reward"][t + 1]
            assert steps.terminals[place] == (source["discount"][t + 1] == 0)
            place += 1
    assert place == len(steps) == 4 + 2 + 1 + 6
    assert np.flatnonzero(episodes.terminals).tolist() == [5]
    assert np.flatnonzero(episodes.timeouts).tolist() == [3, 6, 12]
    extras = prepared.read_extras(tmp_path / "columns")
    assert extras["metadata/episode_id"].tolist() == [0, 1, 2, 3]
    assert extras["metadata/timestamp"][1] == -(1 << 40) - 1
    assert ("3 shards are not compressed" in " ".join(episodes.notes)) == (not compressed)
    assert "3 shards, where 100 are published" in episodes.notes


def test_numbers_may_be_packed_or_one_by_one():
    packed = encode({"a": np.array([1.5, -2.0], np.float32), "b": [b"x", b""]})
    assert tfrecord.example(packed)["a"].tolist() == [1.5, -2.0]
    assert tfrecord.example(packed)["b"] == [b"x", b""]
    floats = b"".join(b"\x0d" + struct.pack("<f", value) for value in (1.5, -2.0))
    feature = b"\x12" + bytes([len(floats)]) + floats
    entry = b"\x0a\x01a\x12" + bytes([len(feature)]) + feature
    features = b"\x0a" + bytes([len(entry)]) + entry
    message = b"\x0a" + bytes([len(features)]) + features
    assert tfrecord.example(message)["a"].tolist() == [1.5, -2.0]


def test_the_checksum_is_that_of_the_standard():
    # RFC 3720, appendix B.4: 32 bytes of zeros have the CRC 0x8A9136AA.
    crc = 0x8A9136AA
    expected = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert tfrecord.masked_crc(bytes(32)) == expected


@pytest.mark.parametrize("place", [0, 3, 8, 12, 40, -1])
def test_a_flipped_bit_is_seen_by_the_checksums(tmp_path, place):
    folder = write(tmp_path / "task", [[episode(5), episode(4)]], compressed=False)
    (path,) = folder.iterdir()
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(bytes(data))
    with pytest.raises(DatumrlError, match=r"record [01] is damaged \(.*checksum"):
        convert(folder, tmp_path)
    assert not (tmp_path / "columns").exists()


def test_damage_anywhere_is_an_error(tmp_path):
    folder = write(tmp_path / "task", [[episode(5), episode(4)]])
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for trial in range(60):
        data = bytearray(whole)
        if trial % 2:
            del data[int(rng.integers(0, len(data))) :]
        else:
            data[int(rng.integers(0, len(data)))] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(bytes(data))
        try:
            episodes = convert(folder, tmp_path)
        except DatumrlError:
            refused += 1
            continue
        assert len(episodes) == 7  # only gzip's own header, such as its date, was changed
    assert refused >= 50


def test_messages_that_lie_are_refused(tmp_path):
    message = encode(episode(5))
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(100):
        data = bytearray(message)
        for place in rng.integers(0, len(data), 3):
            data[place] ^= 1 << int(rng.integers(0, 8))
        folder = write(tmp_path / "task", [[bytes(data)]])  # with the right checksums
        try:
            assert len(convert(folder, tmp_path)) == 4
        except DatumrlError:
            refused += 1
    assert refused > 5


def test_a_length_beyond_reason_is_refused(tmp_path):
    head = struct.pack("<Q", 1 << 60)
    (tmp_path / "task").mkdir()
    path = tmp_path / "task" / "train-00000-of-00001"
    path.write_bytes(head + struct.pack("<I", tfrecord.masked_crc(head)))
    with pytest.raises(DatumrlError, match="says it has 1,152,921,504,606,846,976 bytes"):
        convert(tmp_path / "task", tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reward": np.zeros(4, np.float32)}, "observation/dist_to_target for 4 steps"),
        ({"action": np.zeros((5, 3), np.float32)}, "15 numbers of action for 5 steps of 2"),
        ({"discount": np.zeros(5, np.int64)}, "has no floats discount"),
        ({"reward": [b"x"] * 5}, "has no floats reward"),
        ({"action": np.full((5, 2), np.nan, np.float32)}, "action with a value that is not finite"),
        ({"observation/touch": np.zeros(5, np.float32)}, "observation/touch, which .* has not"),
    ],
)
def test_what_cannot_be_right_is_refused(tmp_path, changes, message):
    with pytest.raises(DatumrlError, match=message):
        convert(write(tmp_path / "task", [[episode(5, **changes)]]), tmp_path)


def test_what_is_odd_is_kept_and_said(tmp_path):
    odd = np.array([1, 0.5, 0, 1, 1], np.float32)
    sources = [episode(5, discount=odd, step_type=np.ones(5, np.float32)), episode(1)]
    del sources[0]["timestamp"]
    folder = write(tmp_path / "task", [sources])
    (folder / "notes.txt").write_text("mine")
    episodes = convert(folder, tmp_path)
    for note in (
        "2 episodes do not begin and end as their step types say",
        "1 steps end the process (discount 0) within an episode",
        "1 discounts are neither 0 nor 1; see infos/discount",
        "1 numbers of episodes, or times, are missing (-1)",
        "1 episodes have no step and are left out",
        "1 files are no shards",
    ):
        assert note in episodes.notes
    assert prepared.read_extras(tmp_path / "columns")["infos/discount"].tolist() == [0.5, 0, 1, 1]
    assert episodes.terminals.tolist() == [False, True, False, False]


def test_all_shards_of_one_set_must_be_there(tmp_path):
    folder = write(tmp_path / "task", [[episode(3)]] * 3)
    (folder / "train-00001-of-00003").unlink()
    with pytest.raises(DatumrlError, match="holds 2 of 3 shards, lacking train-00001-of-00003"):
        convert(folder, tmp_path)
    write(folder, [[episode(3)]], stem="test")
    with pytest.raises(DatumrlError, match="shards of 2 sets where one is needed"):
        convert(folder, tmp_path)
    with pytest.raises(DatumrlError, match=r"shards of 0 sets .*\(none\)"):
        convert((tmp_path / "empty").mkdir() or tmp_path / "empty", tmp_path)
    write(tmp_path / "zero", [[episode(3)]])
    (tmp_path / "zero" / "train-00000-of-00001").write_bytes(b"")
    with pytest.raises(DatumrlError, match="is empty"):
        convert(tmp_path / "zero", tmp_path)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_episodes(tmp_path):
    message = encode(episode(2000))

    def peak(count):
        folder = write(tmp_path / f"task{count}", [[message] * count])
        gc.collect()
        tracemalloc.start()
        convert(folder, tmp_path)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1)  # what is imported and compiled once is not counted
    few, many = peak(3), peak(40)
    assert many < few + 1_500_000 < 40 * len(message)


def test_a_folder_is_loaded_and_the_catalogue_has_every_task(tmp_path, home):
    folder = write(tmp_path / "task", [[episode(4)]])
    assert len(loading.load(ID, path=folder)) == 3
    records = [each for each in catalogue.all_records() if each.collection == "rlu"]
    dims = {each.id: (each.observation_dim, each.action_dim) for each in records}
    assert dims == {
        "rlu/cartpole_swingup": (5, 1),
        "rlu/cheetah_run": (17, 6),
        "rlu/finger_turn_hard": (10, 2),
        "rlu/fish_swim": (24, 5),
        "rlu/humanoid_run": (67, 21),
        "rlu/manipulator_insert_ball": (44, 5),
        "rlu/manipulator_insert_peg": (44, 5),
        "rlu/walker_stand": (24, 6),
        "rlu/walker_walk": (24, 6),
    }
    assert all(each.folder and "gs://" in each.access for each in records)
