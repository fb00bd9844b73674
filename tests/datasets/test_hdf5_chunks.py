"""Chunks that were never written are counted, whatever their shape, filters and index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from datumrl.datasets import hdf5_chunks


@pytest.fixture(params=[True, False], ids=["status", "count"])
def asked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether HDF5 is asked for the status first, which is of use in its newer versions only."""
    newer = request.param and h5py.version.hdf5_version_tuple >= (1, 13, 1)
    monkeypatch.setattr(hdf5_chunks, "_STATUS_COUNTS_CHUNKS", newer)


@pytest.mark.parametrize("version", ["earliest", "latest"])
@pytest.mark.parametrize("limits", [(5, 5), (None, 5), (None, None)])
@pytest.mark.parametrize("filters", [{}, {"compression": "gzip"}, {"fletcher32": True}])
@pytest.mark.usefixtures("asked")
def test_chunks_never_written_are_counted(
    version: str, limits: tuple[int | None, ...], filters: dict[str, Any], tmp_path: Path
) -> None:
    """Chunks of 4 x 4 in 5 x 5: two of the four take more bytes than all values do."""
    values = np.random.default_rng(0).random((5, 5))
    with h5py.File(tmp_path / "data.hdf5", "w", libver=version) as file:
        for written in range(5):
            made = file.create_dataset(
                str(written), (5, 5), "f8", chunks=(4, 4), maxshape=limits, **filters
            )
            for row, column in [(0, 0), (0, 4), (4, 0), (4, 4)][:written]:
                part = np.s_[row : row + 4, column : column + 4]
                made[part] = values[part]
    with h5py.File(tmp_path / "data.hdf5") as file:
        found = [hdf5_chunks.never_written(file[str(written)].id) for written in range(5)]
    assert found == [4, 3, 2, 1, 0]


@pytest.mark.usefixtures("asked")
def test_what_has_no_chunks_lacks_none(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "data.hdf5", "w") as file:
        file["whole"] = np.ones(5)
        file["number"] = 1.0
        file.create_dataset("unwritten", (5,), "f8")
        file.create_dataset("no rows", (0, 2), "f8", chunks=(1, 2), maxshape=(None, 2))
        assert [hdf5_chunks.never_written(file[name].id) for name in file] == [0] * 4


@pytest.mark.skipif(h5py.version.hdf5_version_tuple < (1, 13, 1), reason="HDF5 compares bytes")
def test_of_what_is_all_there_only_the_status_is_asked(tmp_path: Path) -> None:
    """Anything else would take longer than to read a short episode."""

    class Status:
        def __init__(self, dataset: h5py.Dataset) -> None:
            self.get_space_status = dataset.id.get_space_status

    with h5py.File(tmp_path / "data.hdf5", "w") as file:
        whole = file.create_dataset("whole", data=np.zeros(50), chunks=(20,), maxshape=(None,))
        assert hdf5_chunks.never_written(Status(whole)) == 0
