"""What the commands do with a dataset, by its id: list, fetch, collect, and its environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from datumrl.datasets import catalogue
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.record import DatasetRecord

if TYPE_CHECKING:
    import gymnasium

    from datumrl.datasets.downloading import Report
    from datumrl.datasets.episodes import Episodes
    from datumrl.datasets.fetching import Fetched


def list_datasets(collection: str | None = None) -> list[DatasetRecord]:
    """Return what the catalogue knows of every dataset, or of those of a collection ("d4rl").

    A record has ``id``, ``environment``, ``reference`` (of scores 0 and 100), ``licence``,
    ``errata`` and more, see `datumrl.datasets.record`; `datumrl.find` returns that of one id.
    Datasets of this machine's own (registered, or in Minari's folder) come last.
    """
    records = catalogue.all_records()
    known = sorted({record.collection for record in records})
    if collection is not None and collection not in known:
        raise DatumrlError(f"{collection!r} is no collection; choose one of {', '.join(known)}")
    return [record for record in records if collection in (None, record.collection)]


def fetch(
    dataset_id: str,
    *,
    source: Path | str | None = None,
    force: bool = False,
    progress: Report | None = None,
) -> Fetched:
    """Download a dataset's file and verify it, as `datumrl fetch` does; return where it lies.

    One that is here is verified; ``force`` brings it anew.  ``source`` imports a file at hand, or
    the file of that name in a folder.  ``progress`` is told of bytes and of all else that happens,
    see `datumrl.datasets.downloading`.  Raises DatumrlError where the dataset cannot be fetched; an
    interrupted download is continued by the next call.
    """
    from datumrl.datasets import fetching

    given = None if source is None else Path(source)
    record = catalogue.fetchable(dataset_id)
    return fetching.fetch(record, source=given, force=force, progress=progress)


def collect(
    dataset_id: str,
    *,
    workers: int = 1,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Episodes:
    """Generate a local dataset, as `datumrl collect` does, and return it.

    One that is here is verified instead, unless ``force`` is set.  The number of ``workers``
    changes no bit; several are processes of their own, for which a script needs the guard
    ``if __name__ == "__main__":``.  ``progress`` is called with transitions done and transitions in
    all.  Raises DatumrlError for a dataset that is not generated, or is here damaged or of another
    recipe.
    """
    from datumrl.evaluation import collector

    return collector.collect(catalogue.find(dataset_id), workers, force, progress).episodes


def make(dataset_id: str, *, nearest: bool = False) -> gymnasium.Env:
    """Return the Gymnasium environment that policies of a dataset are rolled out in.

    It has the time limit of the dataset's scores, and observations laid out as the dataset's are.
    Raises DatumrlError where there is none, where gymnasium or mujoco is missing, and unless
    ``nearest`` is set, where it is only the nearest to that of the scores.
    """
    from datumrl.evaluation import environments

    record = catalogue.find(dataset_id)
    if not nearest:
        environments.require_stated(record)
    return environments.make_flat(environments.environment_of(record), nearest)
