"""Reference scores for a table of one's own: from a file, and from the catalogue."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from datumrl.datasets import catalogue
from datumrl.datasets.errors import DatumrlError
from datumrl.leaderboard import cell_text, own_files, own_names
from datumrl.leaderboard.rules import Scale, Units


def units(datasets: Iterable[str], path: Path | None) -> Units:
    """Return the scales of datasets; those of other versions have the same name but for ``-vN``.

    With ``path`` (CSV: dataset, minimum, maximum) the scales are stated there, else the catalogue's
    are kept as a suspect.  Raises DatumrlError where a stated one is missing or empty.
    """
    names = sorted(datasets)
    known = _catalogue()
    if path is None:
        own = {name: known[name] for name in names if name in known}
        return Units(catalogue=own, other_versions=_others(own, known))
    stated = _read(path)
    alike = own_names.finder(stated)
    found: dict[str, Scale] = {}
    for name in names:
        rows = alike(name)
        if len({stated[row] for row in rows}) != 1:
            problem = f"several of {name} ({', '.join(rows)})" if rows else f"none of {name}"
            raise DatumrlError(f"{path.name}: reference scores: {problem}; write a row for it")
        found[name] = stated[rows[0]]
    # What the file says of another version goes before what the catalogue says.
    others = {**_others(found, known), **_others(found, stated)}
    return Units(references=found, other_versions=others)


def _others(found: Mapping[str, Scale], known: Mapping[str, Scale]) -> dict[str, Scale]:
    """Return the first other scale known of each dataset, but for its version."""
    by_stem: dict[str, list[Scale]] = defaultdict(list)
    for other, its in known.items():
        by_stem[_stem(other)].append(its)
    alike = own_names.finder(by_stem)
    others: dict[str, Scale] = {}
    for name, scale in found.items():
        for stem in alike(_stem(name)):
            for its in by_stem[stem]:
                if its != scale:
                    others.setdefault(name, its)
    return others


def _stem(name: str) -> str:
    """Return a dataset's name without its version."""
    stem, _, version = name.rpartition("-v")
    return stem if version.isdigit() else name


def _read(path: Path) -> dict[str, Scale]:
    sheet = own_files.read(path)
    for name in ("dataset", "minimum", "maximum"):
        if name not in sheet.columns:
            raise own_files.missing_column(sheet, name)
    found = {}
    for line, row in sheet.rows:
        ends = [
            cell_text.value(row[name], sheet.where(line, name), sheet.commas)
            for name in ("minimum", "maximum")
        ]
        if not ends[0] < ends[1]:
            raise DatumrlError(
                f"{sheet.name}, line {line}: minimum {row['minimum']} is not below maximum "
                f"{row['maximum']}; correct them"
            )
        found[row["dataset"]] = (ends[0], ends[1])
    return found


def _catalogue() -> dict[str, Scale]:
    """Return the catalogue's scales by id, and by the name without the collection."""
    found: dict[str, Scale] = {}
    for record in catalogue.all_records():
        if record.reference is not None:
            scale = (record.reference.minimum, record.reference.maximum)
            found[record.id] = scale
            found.setdefault(record.id.partition("/")[2], scale)
    return found
