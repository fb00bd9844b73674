"""The compiled permutation kernels compute what a plain statement of the same computes."""

from __future__ import annotations

import collections
import itertools
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import datumrl.evaluation
from datumrl.evaluation import permutation_kernels, permutation_paths, provenance


def plain_statistics(
    scores: np.ndarray, edges: np.ndarray, labels: np.ndarray, studentized: bool
) -> np.ndarray:
    """Pool the runs, take each group's by its label, and compare every pair; no sharing at all."""
    sets, blocks, groups, runs = scores.shape
    out = np.zeros((sets, blocks, labels.shape[1]))
    for each, block, path in np.ndindex(*out.shape):
        pool = scores[each, : block + 1].reshape(block + 1, groups * runs)
        pool = (pool - scores[each].mean()) / scores[each].std()
        chosen = [pool[labels[: block + 1, path] == group] for group in range(groups)]
        for pair, (a, b) in enumerate(itertools.combinations(chosen, 2)):
            value = (a.mean() - b.mean()) ** 2
            if studentized:
                value /= a.var() + b.var()
            out[each, block, path] = max(out[each, block, path], value * edges[each, pair])
    return out


@pytest.mark.parametrize("studentized", [True, False])
@pytest.mark.parametrize(("sets", "groups"), [(1, 2), (1, 4), (3, 3), (45, 2)])
def test_statistics_equal_a_plain_statement(sets: int, groups: int, studentized: bool) -> None:
    generator = np.random.default_rng([sets, groups])
    scores = generator.normal(size=(sets, 3, groups, 4)) * 7.0 + 100.0
    edges = generator.random((sets, math.comb(groups, 2))) < 0.8
    labels = permutation_paths.labels(groups, 4, blocks=3, paths=30, interims=3, seed=1)
    found = permutation_paths.largest_statistics(scores, edges, labels, studentized)
    expected = plain_statistics(scores, edges, labels, studentized)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def plainly_rejected_at(values: np.ndarray, level: float, interims: int) -> int:
    """Mark by sorting whole interims; ``values (blocks, paths)``."""
    alive = np.ones(values.shape[1], dtype=bool)
    for block, row in enumerate(values):
        allowed = permutation_paths.allowance(level, block + 1, interims, len(row))
        bound = permutation_paths.boundary(row[alive], allowed - int((~alive).sum()))
        alive &= ~permutation_paths.beyond(row, bound)
        if not alive[0]:
            return block + 1
    return 0


def test_rejections_equal_a_plain_statement_with_ties_and_without() -> None:
    generator = np.random.default_rng(0)
    seen: collections.Counter[int] = collections.Counter()
    for _ in range(300):
        paths, blocks = int(generator.integers(5, 60)), int(generator.integers(1, 4))
        values = generator.integers(0, 30, size=(2, blocks, paths)).astype(float)
        values[1] += generator.random((blocks, paths))
        values[:, :, 0] += 8.0  # so that path 0 is marked in many
        levels = generator.choice([0.02, 0.2, 0.7, 1.0], size=2)
        found = permutation_paths.first_rejections(values, levels, 3)
        for each in range(2):
            assert found[each] == plainly_rejected_at(values[each], levels[each], 3)
        seen.update(found.tolist())
    assert set(seen) == {0, 1, 2, 3}
    assert min(seen.values()) > 20


def test_drawn_labels_are_uniform_and_a_function_of_the_seed() -> None:
    paths = 60_001
    drawn = permutation_paths.drawn(3, 2, paths, permutation_paths.stream(5, 3, 0))
    assert drawn[0].tolist() == [0, 0, 1, 1, 2, 2]
    counts = collections.Counter(map(bytes, drawn[1:]))
    assert len(counts) == 90
    expected = (paths - 1) / 90
    squares = sum((count - expected) ** 2 / expected for count in counts.values())
    # Chi-square of 89 degrees of freedom: above 139 once in two thousand.
    assert squares < 139
    again = permutation_paths.drawn(3, 2, paths, permutation_paths.stream(5, 3, 0))
    other = permutation_paths.drawn(3, 2, paths, permutation_paths.stream(6, 3, 0))
    assert np.array_equal(drawn, again)
    # Two streams agree in a place about as often as by chance, one in three.
    assert abs((drawn[1:] == other[1:]).mean() - 1 / 3) < 0.01
    # The numbers themselves are fixed, so that a seed decides alike on every machine.
    assert drawn[1:4].tolist() == [[1, 1, 2, 0, 2, 0], [0, 2, 1, 1, 0, 2], [0, 1, 2, 0, 2, 1]]


def test_numba_is_imported_only_when_a_test_is_run() -> None:
    code = (
        "import sys; from datumrl.evaluation import adastop, adastop_design\n"
        "adastop_design.Design(('a', 'b'))\n"
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_kernels_work_where_nothing_can_be_written(tmp_path: Path) -> None:
    """Neither the package's folder nor the user's cache takes files: compiled anew, same result."""
    kernels = Path(datumrl.evaluation.__file__).parent / "permutation_kernels.py"
    copy = tmp_path / "kernels_copy.py"
    copy.write_text(kernels.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "__pycache__").write_text("a file where numba wants a folder")
    code = "import kernels_copy; print(kernels_copy.draw_labels(5, 2, 2, 3).tolist())"
    home = tmp_path / "home"
    home.write_text("no folder either")
    surroundings = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    surroundings.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=tmp_path,
        env=surroundings,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("[[0, 0, 1, 1], ")


@pytest.mark.parametrize(("sets", "threads"), [(1, 1), (40, 1), (40, 3), (150, 2)])
def test_neither_stopping_early_nor_threads_change_a_rejection(
    sets: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More paths than one look at them, scores from alike to far apart, ties and none."""
    monkeypatch.setattr(provenance, "usable_threads", lambda: threads)
    monkeypatch.setattr(permutation_kernels, "_WORTH_THREADS", 0)
    seen: collections.Counter[int] = collections.Counter()
    labels = permutation_paths.labels(3, 3, blocks=3, paths=1_300, interims=4, seed=1)
    for turn in range(60 // sets + 3):
        generator = np.random.default_rng([sets, turn])
        scores = generator.normal(size=(sets, 3, 3, 3)).round(turn % 3)
        scores[:, :, 2] += generator.choice([0.0, 1.0, 2.0, 4.0], size=(sets, 1, 1))
        edges = np.ones((sets, 3), dtype=bool)
        levels = generator.choice([0.02, 0.05, 0.4], size=sets)
        values = permutation_paths.largest_statistics(scores, edges, labels, True)
        expected = permutation_paths.first_rejections(values, levels, 4)
        found = permutation_paths.rejections(scores, edges, labels, True, levels, 4)
        assert found.tolist() == expected.tolist()
        seen.update(found.tolist())
    assert seen[0] > 10
    assert seen[1] + seen[2] + seen[3] > 10
