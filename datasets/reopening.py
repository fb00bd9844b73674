"""Episodes on their way to another process: the folder that they are mapped from, not its bytes.

Columns that are memory maps of a folder of prepared columns, or of some of its rows in a row, are
pickled as these row numbers; whatever else there is, such as rewards that were scaled, is pickled
as it is.  A folder that no longer holds what it did is not reopened.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from datumrl.datasets.columns import Column
from datumrl.datasets.errors import DatumrlError

if TYPE_CHECKING:
    from datumrl.datasets.episodes import Episodes


@dataclass(frozen=True)
class Origin:
    """The folder of prepared columns that Episodes were opened from, and what it held then."""

    folder: Path  # absolute
    identity: str  # see `prepared.identity`


@dataclass(frozen=True)
class _Rows:
    """Rows of a column of the folder."""

    begin: int
    end: int


def reduced(episodes: Episodes) -> tuple[Any, ...] | None:
    """Return what Episodes are pickled as; None where their folder is not there as it was."""
    from datumrl.datasets import prepared  # which imports Episodes

    origin = episodes.origin
    if origin is None:
        return None
    try:
        if prepared.identity(origin.folder) != origin.identity:
            return None
    except DatumrlError:
        return None
    content = {each.name: getattr(episodes, each.name) for each in fields(episodes)}
    for name in prepared.COLUMNS:
        content[name] = _mapped(content[name], origin.folder, name)
    return reopened, (content,)


def reopened(content: dict[str, Any]) -> Episodes:
    """Return the Episodes that `reduced` described.

    Raises DatumrlError where their folder is gone or holds something else now.
    """
    from datumrl.datasets import prepared

    origin: Origin = content["origin"]
    whole = prepared.read(origin.folder, prepared.dataset_id(origin.folder))
    if whole.origin != origin:
        raise DatumrlError(
            f"{origin.folder}: is not what it was when {content['id']} was pickled; load the "
            "dataset again, and pickle that"
        )
    columns = {name: _filled(content[name], getattr(whole, name)) for name in prepared.COLUMNS}
    return replace(whole, **{**content, **columns})


def _mapped(column: Column, folder: Path, name: str) -> Any:
    """Return a column with rows in place of what is mapped from the folder."""
    from datumrl.datasets import prepared

    if not isinstance(column, dict):
        return _rows(column, prepared.column_path(folder, name))
    return {
        part: _rows(values, prepared.column_path(folder, f"{name}/{part}"))
        for part, values in column.items()
    }


def _rows(values: np.ndarray, path: Path) -> _Rows | np.ndarray:
    """Return which rows of a file an array maps; the array itself if it is no such map."""
    plain = np.asarray(values)
    whole = values.base if isinstance(values.base, np.memmap) else values
    if not (isinstance(values, np.memmap) and isinstance(whole, np.memmap)):
        return plain
    if whole.filename is None or os.path.realpath(whole.filename) != os.path.realpath(path):
        return plain
    alike = (values.dtype, values.shape[1:], values.strides)
    if not values.ndim or alike != (whole.dtype, whole.shape[1:], whole.strides):
        return plain
    begin, rest = divmod(values.ctypes.data - whole.ctypes.data, max(1, whole.strides[0]))
    return plain if rest else _Rows(begin, begin + len(values))


def _filled(column: Any, whole: Column) -> Column:
    """Return a column with the folder's rows where it has row numbers."""
    if isinstance(column, dict):
        return {
            part: _filled(values, whole[part]) if isinstance(values, _Rows) else values
            for part, values in column.items()
        }
    if not isinstance(column, _Rows):
        return column
    alike = (column.begin, column.end) == (0, len(whole))
    return whole if alike else whole[column.begin : column.end]
