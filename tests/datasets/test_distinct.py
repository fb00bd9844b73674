"""Exact counts against an independent statement: string keys of digitised rows in a set."""

import numpy as np
import pytest

from datumrl.datasets import distinct
from datumrl.datasets.discretization import edges
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.packing import Binned, Exact, Packing


def brute_force(columns: list[np.ndarray], limits: list[list[np.ndarray]]) -> int:
    """Count rows of bins as the published evaluation does, but in an exact set."""
    binned = [
        np.digitize(column[:, place], limit[place])
        for column, limit in zip(columns, limits, strict=True)
        for place in range(column.shape[1])
    ]
    return len({",".join(str(number) for number in row) for row in zip(*binned, strict=True)})


def awkward(rng: np.random.Generator, rows: int, dims: int, count: int, dtype: str, edge_dtype):
    """Return a column with ties at edges and their neighbours, values out of range, and edges."""
    low, high = rng.normal(size=dims) * 3, None
    high = low + rng.exponential(size=dims) * 10.0 ** rng.integers(-3, 4, dims)
    high[0] = low[0]  # constant in the reference
    made = [np.linspace(lo, hi, count, dtype=edge_dtype) for lo, hi in zip(low, high, strict=True)]
    column = rng.uniform(low - 0.2, high + 0.2, (rows, dims)).astype(dtype)
    for place in range(dims):
        ties = rng.choice(made[place], rows).astype(dtype)
        nearby = np.nextafter(ties, rng.choice([-np.inf, np.inf], rows).astype(dtype))
        column[:, place] = np.choose(rng.integers(0, 3, rows), [column[:, place], ties, nearby])
    column[rng.integers(0, rows, 3), rng.integers(0, dims, 3)] = [np.inf, -np.inf, np.nan]
    return column, made, (low, high)


@pytest.mark.parametrize("edge_dtype", ["float64", "float32"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize(("count", "dims"), [(2, 1), (5, 3), (100, 2), (100, 12)])
def test_counts_equal_those_of_string_keys(count, dims, dtype, edge_dtype):
    rng = np.random.default_rng(count * dims)
    for _ in range(5):
        column, made, (low, high) = awkward(rng, 400, dims, count, dtype, edge_dtype)
        packing = Packing([Binned(column, edges(low, high, count, edge_dtype))])
        assert distinct.count(packing) == brute_force([column], [made])
        coarse = Packing([Binned(column[:, :1], edges(low[:1], high[:1], count, edge_dtype))])
        assert distinct.count(coarse) == brute_force([column[:, :1]], [made])


def test_bins_themselves_equal_digitize():
    rng = np.random.default_rng(5)
    column, made, (low, high) = awkward(rng, 3000, 4, 100, "float32", "float64")
    packing = Packing([Binned(column, edges(low, high, 100))])
    keys = np.zeros((3000, packing.words), np.uint64)
    assert packing.pack(0, 3000, keys) == np.isnan(column).sum()
    for place in range(4):
        bins = (keys[:, 0] >> np.uint64(7 * place)) & np.uint64(127)
        np.testing.assert_array_equal(bins, np.digitize(column[:, place], made[place]))


def test_out_of_range_and_the_last_edge():
    column = np.array([[-0.1], [0.0], [0.4], [0.5], [0.99], [1.0], [7.0]], np.float32)
    packing = Packing([Binned(column, edges(np.zeros(1), np.ones(1), 3))])
    keys = np.zeros((7, 1), np.uint64)
    packing.pack(0, 7, keys)
    assert keys[:, 0].tolist() == [0, 1, 1, 2, 2, 3, 3]
    assert distinct.count(packing) == 4


def test_the_type_of_the_edges_matters():
    low, high = np.array([0.0]), np.array([0.3])
    edge = np.linspace(0.0, 0.3, 4)[1]
    narrow = np.float64(np.float32(edge))
    assert narrow != edge
    column = np.array([[min(narrow, edge)], [max(narrow, edge)]])
    counts = {
        dtype: distinct.count(Packing([Binned(column, edges(low, high, 4, dtype))]))
        for dtype in ("float64", "float32")
    }
    assert sorted(counts.values()) == [1, 2]


@pytest.mark.parametrize("spill", [False, True])
def test_many_rows_in_memory_and_in_files(monkeypatch, spill):
    rng = np.random.default_rng(1)
    column = rng.integers(0, 60, (150_000, 3))
    expected = len(np.unique(column, axis=0))
    assert 60_000 < expected < 150_000
    if spill:
        monkeypatch.setattr(distinct, "_MEMORY_BYTES", 1)
        monkeypatch.setattr(distinct, "_FILE_BYTES", 1 << 17)
    monkeypatch.setattr(distinct, "_BATCH_BYTES", 1 << 18)
    told = []
    found = distinct.count(
        Packing([Exact(column)]), progress=lambda done, total: told.append((done, total))
    )
    assert found == expected
    assert told[-1] == (150_000, 150_000)
    assert len(told) > 3


def test_keys_are_not_all_in_memory(monkeypatch):
    import tracemalloc

    for name in ("_MEMORY_BYTES", "_FILE_BYTES", "_BATCH_BYTES"):
        monkeypatch.setattr(distinct, name, 1 << 18)
    column = np.random.default_rng(6).integers(0, 2**62, (400_000, 2))
    tracemalloc.start()
    assert distinct.count(Packing([Exact(column)])) == len(column)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < column.nbytes / 2


def test_files_are_removed_and_a_skewed_dataset_counts(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(distinct, "_MEMORY_BYTES", 1)
    column = np.ones((50_000, 9), np.float32)
    assert distinct.count(Packing([Exact(column)])) == 1
    assert list(tmp_path.iterdir()) == []


def test_equal_hashes_do_not_make_rows_equal():
    from datumrl.datasets.packing_kernels import hash_key

    def one(word: int) -> int:
        return int(hash_key(np.array([word], np.uint64)))

    # The hash of (a, b) is that of the one word hash(a) ^ b, so collisions can be made at will.
    keys = np.array([[word, one(word) ^ 12345] for word in range(300)], np.uint64)
    assert len({int(hash_key(key)) for key in keys}) == 1
    assert distinct._distinct([keys, keys[::-1].copy()], 600, 2) == 300


@pytest.mark.parametrize(
    "column",
    [
        np.array([[True], [False], [True]]),
        np.array([[3], [-5], [3]], np.int8),
        np.array([[2**63 - 1], [-(2**63)], [2**63 - 1]]),
        np.array([[2**64 - 1], [0], [2**64 - 1]], np.uint64),
        np.array([0.0, 1.0, -0.0]),
        np.array([np.nan, 1.0, -np.nan], np.float32),
    ],
)
def test_values_counted_as_they_are(column):
    assert distinct.count(Packing([Exact(column)])) == 2


def test_parts_of_different_kinds_and_the_first_rows():
    rng = np.random.default_rng(2)
    states, actions = rng.normal(size=(500, 2)), rng.integers(0, 3, 500)
    made = edges(states.min(0), states.max(0), 4)
    packing = Packing([Binned(states, made), Exact(actions)])
    keys = [
        (*(int(np.digitize(v, e)) for v, e in zip(s, made, strict=True)), int(a))
        for s, a in zip(states, actions, strict=True)
    ]
    assert distinct.count(packing) == len(set(keys))
    assert distinct.count(packing, 20) == len(set(keys[:20]))
    assert distinct.count(packing, 10_000) == len(set(keys))


def test_no_rows_and_bad_columns():
    assert distinct.count(Packing([Exact(np.zeros((0, 3), np.float32))])) == 0
    with pytest.raises(DatumrlError, match=r"columns of \[2, 3\] rows"):
        Packing([Exact(np.zeros((2, 1))), Exact(np.zeros((3, 1)))])
    with pytest.raises(DatumrlError, match="cannot be counted"):
        Packing([Exact(np.array(["a", "b"]))])


def test_images_are_counted_whole():
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    doubled = np.concatenate([images, images[:7]])
    assert distinct.count(Packing([Exact(doubled)])) == 40
