"""`datumrl collect`: generate local datasets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from datumrl.datasets import catalogue, scores
from datumrl.datasets.errors import DatumrlError
from datumrl.scripts import console

if TYPE_CHECKING:
    from datumrl.evaluation.collector import Collected


@dataclass(frozen=True)
class Command:
    """Generate local datasets; what is already there is verified instead.

    Nothing is downloaded: policies that come with datumrl are rolled out here. A dataset that is
    already there is verified instead. A collection that was interrupted resumes where it was.
    `datumrl datasets --collection local` lists the datasets.
    """

    datasets: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="ID...")]
    """dataset ids, e.g. local/inverted-pendulum-medium-v1, or its prefix ...-v1@20k"""
    workers: int | None = None
    """processes that collect side by side; their number does not change a bit (default: one per
    core, or a single one for a short prefix)"""
    force: bool = False
    """collect again what is already there"""
    json: bool = False
    """print JSON"""

    def run(self) -> int:
        if not self.datasets:
            raise DatumrlError("no dataset named; `datumrl datasets --collection local` lists them")
        records = [catalogue.find(name) for name in self.datasets]
        told = [_tell(_collect(record, self), record, self.json) for record in records]
        if self.json:
            console.print_json(told)
        return 0


def _collect(record: catalogue.DatasetRecord, command: Command) -> Collected:
    from datumrl.evaluation.collector import collect

    with console.Bars() as bars:
        progress = bars.bar(record.id, "transitions")
        told = f"{record.id}: another process is collecting it; waiting for that"
        return collect(
            record,
            command.workers,
            command.force,
            progress,
            waiting=lambda: console.notes.print(told, soft_wrap=True),
        )


def _tell(collected: Collected, record: catalogue.DatasetRecord, as_json: bool) -> dict[str, Any]:
    episodes = collected.episodes
    returns = episodes.returns()
    size = sum(path.stat().st_size for path in collected.folder.iterdir())
    score = scores.normalize(float(returns.mean()), record)
    told = {
        "dataset": record.id,
        "folder": str(collected.folder),
        "made": collected.made,
        "sha256": episodes.sha256,
        "content_sha256": episodes.content_sha256,
        "transitions": len(episodes),
        "episodes": len(returns),
        "mean_return": float(returns.mean()),
        "mean_score": score,
        "mean_length": float(episodes.lengths().mean()),
        "terminals": int(episodes.terminals.sum()),
        "timeouts": int(episodes.timeouts.sum()),
        "parts": collected.parts,
        "bytes": size,
    }
    if not as_json:
        verb = "collected" if collected.made else "already collected, verified:"
        console.output.print(
            f"{verb} {record.id}: {len(episodes):,} transitions in {len(returns):,} episodes, "
            f"mean return {returns.mean():.1f} (score {score:.1f}), {size / 1e6:.1f} MB",
            soft_wrap=True,
        )
        if len(collected.parts) > 1:
            for part in collected.parts:
                console.output.print(
                    f"  {part['name']}: {part['transitions']:,} transitions in "
                    f"{part['episodes']:,} episodes"
                )
        console.output.print(f"  {collected.folder}", soft_wrap=True)
    return told
