"""Arrays of pickled dicts: equal to what numpy wrote, and no program in them is ever run."""

from __future__ import annotations

import io
import pickle
import struct

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from datumrl.datasets import npz_file, pickled_arrays, tfrecord
from datumrl.datasets.errors import DatumrlError

TYPES = st.sampled_from(["u1", "<i4", ">i8", "<f4", ">f8", "f2", "?"])
ARRAYS = npst.arrays(TYPES, npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))


def header():
    buffer = io.BytesIO()
    described = {"descr": "|O", "fortran_order": False, "shape": ()}
    np.lib.format.write_array_header_1_0(buffer, described)
    return buffer.getvalue()


@pytest.mark.slow
@hypothesis.given(
    content=st.dictionaries(st.text(max_size=5), ARRAYS, max_size=3),
    protocol=st.integers(2, 5),
    fortran=st.booleans(),
)
@hypothesis.settings(max_examples=150, deadline=None)
def test_every_dict_of_arrays_comes_back(content, protocol, fortran):
    if fortran:
        content = {name: np.asarray(values, order="F") for name, values in content.items()}
    data = header() + pickle.dumps(np.array(content, dtype=object), protocol=protocol)
    found = pickled_arrays.arrays(data, DatumrlError)
    assert list(found) == list(content)
    for name, values in content.items():
        assert found[name].dtype == values.dtype
        assert found[name].shape == values.shape
        np.testing.assert_array_equal(found[name], values)


def test_what_numpy_itself_saves_is_read():
    buffer = io.BytesIO()
    shared = np.arange(6, dtype=np.float32)
    np.save(buffer, {"a": shared, "b": shared}, allow_pickle=True)
    found = pickled_arrays.arrays(buffer.getvalue(), DatumrlError)
    np.testing.assert_array_equal(found["b"], shared)
    np.save(plain := io.BytesIO(), shared)
    with pytest.raises(DatumrlError, match="no dict of arrays"):
        pickled_arrays.arrays(plain.getvalue(), DatumrlError)


@hypothesis.given(data=st.data(), protocol=st.integers(2, 5))
@hypothesis.settings(max_examples=300, deadline=None)
def test_a_changed_pickle_gives_arrays_or_an_error(data, protocol):
    content = {"a": np.arange(5), "b": np.ones((2, 2), np.float32)}
    whole = bytearray(pickle.dumps(np.array(content, dtype=object), protocol=protocol))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(whole) - 1))
        whole[place] = data.draw(st.integers(0, 255))
    try:
        found = pickled_arrays.arrays(header() + bytes(whole), DatumrlError)
    except DatumrlError:
        return
    assert all(values.dtype.kind in "biuf" for values in found.values())


@pytest.mark.parametrize(
    "program",
    [
        b")" + b"\x85" * 100_000 + b".",  # a tuple in a tuple, a hundred thousand deep
        b"cnumpy\ndtype\n)" + b"\x85" * 100_000 + b"R.",
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
        b"\x80\x02\x8a\xff" + b"\xff" * 255 + b".",
        b"\x8e" + struct.pack("<Q", 1 << 62) + b"x.",
        b"]q\x00h\x00a.",  # a list in itself
        b"0.",
        b"",
    ],
)
def test_hostile_programs_are_refused(program):
    with pytest.raises(DatumrlError):
        pickled_arrays.arrays(header() + program, DatumrlError)


@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=300, deadline=None)
@pytest.mark.filterwarnings("ignore:Reading `.npy`")  # of headers by Python 2
def test_a_changed_header_is_read_or_a_value_error(data):
    changed = bytearray(header())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, 80))
        changed[place] = data.draw(st.sampled_from(b"'\"(){}[],: \n\\0#b9L"))
    try:
        npz_file.read_header(io.BytesIO(bytes(changed)))
    except ValueError:
        return


@hypothesis.given(st.binary(max_size=200))
@hypothesis.settings(max_examples=200, deadline=None)
def test_any_bytes_are_an_example_or_a_value_error(message):
    try:
        features = tfrecord.example(message)
    except ValueError:
        return
    assert isinstance(features, dict)


def test_a_name_with_an_escape_that_python_warns_of_is_refused() -> None:
    with pytest.raises(DatumrlError, match="only unpickling could make"):
        pickled_arrays.arrays(header() + b"\x80\x02cnumpy\nu\\u\n.", DatumrlError)
