"""What `datumrl stats` writes besides its table: plots and cards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from datumrl.datasets import loading
from datumrl.datasets.dataset_statistics import known_record
from datumrl.scripts import console

if TYPE_CHECKING:
    from datumrl.datasets.dataset_statistics import DatasetStatistics


def write_plot(
    target: Path, found: Sequence[DatasetStatistics], path: Path | None, seed: int
) -> None:
    """Draw the datasets that were measured side by side into a file."""
    from datumrl.datasets import figures, pictures
    from datumrl.evaluation import provenance
    from datumrl.leaderboard import known_quality

    episodes = [loading.load(each.id, path=path) for each in found]
    records = [known_record(each.id) for each in found]
    drawn = pictures.pictures(episodes, records, seed)
    subjects = [figures.Subject(*each) for each in zip(found, records, drawn, strict=True)]
    versions = provenance.software_versions("matplotlib")
    shown = ", ".join(f"{name} {version}" for name, version in versions.items())
    figures.write(target, subjects, known_quality.points(), shown)
    console.notes.print(f"wrote {target}", markup=False, soft_wrap=True)


def write_card(folder: Path, found: DatasetStatistics, path: Path | None, seed: int) -> None:
    """Audit a dataset that was measured, and write its card.

    The audit is that of the defaults: ``seed`` is of the measures and pictures only.
    """
    from datumrl.datasets import dataset_card, pictures
    from datumrl.evaluation import auditing, provenance

    record = known_record(found.id)
    episodes = loading.load(found.id, path=path)
    with console.Bars() as bars:
        report = auditing.audit_dataset(
            found.id,
            path=path,
            checks_progress=bars.bar(f"checking {found.id}", "checks"),
            replay_progress=bars.bar(f"replaying {found.id}", "rows"),
        )
    (drawn,) = pictures.pictures([episodes], [record], seed)
    _, origin = auditing.extras_of(episodes)
    versions = provenance.software_versions()
    card = dataset_card.make(episodes, record, found, drawn, report, origin, versions)
    place = dataset_card.write(card, folder)
    console.notes.print(f"wrote {place} and {dataset_card.TEXT_NAME}", markup=False, soft_wrap=True)
