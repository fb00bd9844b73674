"""Rows of an HDF5 dataset, and whether the file really holds them.

HDF5 reads values that it cannot find as zeros, without an error: those of a chunk that was never
written, or whose key in the dataset's index is damaged, which nothing in the file guards.
"""

from __future__ import annotations

import itertools
import math

import h5py
import numpy as np
from h5py import h5d

# Older versions compare bytes: of chunks that reach over an edge, some take as many as the values.
_STATUS_COUNTS_CHUNKS = h5py.version.hdf5_version_tuple >= (1, 13, 1)


def is_stored(dataset: h5py.Dataset) -> bool:
    """Return whether the file lists a place for every value of a dataset."""
    if dataset.chunks is None:
        return bool(dataset.id.get_storage_size() >= dataset.nbytes)
    sizes = zip(dataset.shape, dataset.chunks, strict=True)
    starts = (range(0, length, piece) for length, piece in sizes)
    found = (dataset.id.get_chunk_info_by_coord(place) for place in itertools.product(*starts))
    return all(chunk.byte_offset for chunk in found)  # none, or 0, where the file itself begins


def never_written(dataset: h5d.DatasetID) -> int:
    """Return how many chunks of a dataset nothing was ever written to; 0 where there are no chunks.

    Only counted, where `is_stored` looks each chunk up: HDF5 walks through all of them for that,
    which takes hours where every row is a chunk of its own.  Whether all are there is asked first:
    to get at a dataset's properties takes longer than to read a short episode.
    """
    if _STATUS_COUNTS_CHUNKS and dataset.get_space_status() == h5d.SPACE_STATUS_ALLOCATED:
        return 0
    made = dataset.get_create_plist()
    if made.get_layout() != h5d.CHUNKED:
        return 0
    sizes = zip(dataset.shape, made.get_chunk(), strict=True)
    return math.prod(-(-length // piece) for length, piece in sizes) - dataset.get_num_chunks()


def read_rows(dataset: h5py.Dataset, begin: int, end: int) -> np.ndarray:
    """Return rows ``begin`` to ``end`` as they are stored.

    Raises what h5py raises for a damaged file, and RuntimeError for zeros that are not stored.
    """
    values: np.ndarray = dataset[begin:end]
    if dataset.chunks is not None:
        _check_zeros(dataset, begin, values)
    return values


def _check_zeros(dataset: h5py.Dataset, begin: int, values: np.ndarray) -> None:
    """Look for every chunk that came out as zeros in the way that reading looks for it."""
    sizes = zip(values.shape[1:], dataset.chunks[1:], strict=True)
    columns = [range(0, length, piece) for length, piece in sizes]
    rows = dataset.chunks[0]
    for first in range(begin - begin % rows, begin + len(values), rows):
        part = values[max(0, first - begin) : first + rows - begin]
        for place in itertools.product(*columns):
            ranges = zip(place, dataset.chunks[1:], strict=True)
            piece = part[(slice(None), *(slice(at, at + size) for at, size in ranges))]
            if not piece[0].any() and not piece.any():
                dataset.id.read_direct_chunk((first, *place))
