"""`datumrl stats`: quality measures of datasets, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from datumrl.datasets.errors import DatumrlError
from datumrl.scripts import console, options

if TYPE_CHECKING:
    from datumrl.datasets.dataset_statistics import DatasetStatistics

_MEASURES = ("reference", "preset", "rows", "plot", "card")  # options that the audit has no use for
_AUDITS = ("against", "replay_rows", "strict")


@dataclass(frozen=True)
class Command:
    """Measure datasets: returns, TQ, state-action coverage, quality for imitation, duplicates.

    Measured are returns, TQ, state-action coverage (SACo), quality for imitation, duplicates and
    more; docs/measures.md defines them all. Coverage is measured against a reference: by
    default the medium-replay dataset of the same environment and version if it is here, else the
    dataset itself, whose coverage is then 1 and says nothing. With --audit, it is checked instead
    whether the data is sound.
    """

    datasets: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="ID...")]
    """dataset ids, such as d4rl/hopper-medium-v2"""
    reference: Annotated[str | None, tyro.conf.arg(metavar="ID")] = None
    """dataset id to measure coverage against (default: as described above)"""
    preset: Literal["d4rl-study", "paper"] | None = None
    """discretisation: d4rl-study (5 edges a dimension, the first 100k rows; the default) or
    paper (100 edges, all rows)"""
    rows: int | None = None
    """count coverage over the first so many rows instead of the preset's"""
    seed: int = 0
    """seed of the sampled measures"""
    path: Path | None = None
    """a file to use for the one id, instead of the downloaded one"""
    plot: Path | None = None
    """draw returns, lengths, coverage, actions and the TQ-SACo map into this .png, .svg or .html"""
    card: Path | None = None
    """write a card of each dataset, with its audit, as FOLDER/<id>/card.json and CARD.md"""
    audit: bool = False
    """check that the data is sound instead; exit code 1 if a check fails"""
    against: Annotated[tuple[str, ...], tyro.conf.arg(metavar="ID...")] = ()
    """with --audit: ids of datasets that must share no row with these"""
    replay_rows: int | None = None
    """with --audit: rows to replay in MuJoCo, where states are recorded (1000; -1: all, 0: none)"""
    strict: bool = False
    """with --audit: failures that are known errata count too"""
    json: bool = False
    """print JSON (a list if several ids are given)"""

    def run(self) -> int:
        names = list(dict.fromkeys(self.datasets))
        self._check(names)
        if self.audit:
            return self._audit(names)
        found = self._measure(names)
        self._write(found)
        if self.json:
            content = [each.to_json() for each in found]
            console.print_json(content if len(content) > 1 else content[0])
        else:
            from datumrl.scripts import stats_table

            for line in stats_table.lines(found):
                console.output.print(line, soft_wrap=True, markup=False)
        return 0

    def _check(self, names: Sequence[str]) -> None:
        if not names:
            raise DatumrlError("no dataset named; `datumrl datasets` lists those known")
        if self.path is not None and len(names) > 1:
            raise DatumrlError(f"--path {self.path}: is one file for {len(names)} datasets")
        self._check_kind()
        if self.plot is not None:
            from datumrl.datasets import figures

            figures.check(self.plot, len(names))
        if self.replay_rows is not None and self.replay_rows < -1:
            raise DatumrlError(f"--replay-rows {self.replay_rows}: use a number, 0 none, -1 all")
        if self.seed < 0:
            raise DatumrlError(f"--seed {self.seed} is negative; use 0 or more")

    def _check_kind(self) -> None:
        """Raise DatumrlError for options of the measures with --audit, or of the audit without."""
        unused = options.changed(self, _MEASURES if self.audit else _AUDITS)
        if unused and self.audit:
            raise DatumrlError(
                f"{unused}: for the measures, which --audit replaces; leave --audit out"
            )
        if unused and self.card:
            raise DatumrlError(
                f"{unused}: a card's audit is always the same; leave it out, or run the audit by "
                "itself with --audit instead of --card"
            )
        if unused:
            raise DatumrlError(f"{unused}: for the audit only; add --audit")

    def _write(self, found: Sequence[DatasetStatistics]) -> None:
        from datumrl.scripts import stats_outputs

        if self.plot is not None:
            stats_outputs.write_plot(self.plot, found, self.path, self.seed)
        if self.card is not None:
            for each in found:
                stats_outputs.write_card(self.card, each, self.path, self.seed)

    def _audit(self, names: Sequence[str]) -> int:
        from datumrl.evaluation.auditing import REPLAY_ROWS
        from datumrl.scripts.audit import run_audit

        return run_audit(
            names,
            against=self.against,
            path=self.path,
            replay_rows=REPLAY_ROWS if self.replay_rows is None else self.replay_rows,
            seed=self.seed,
            strict=self.strict,
            as_json=self.json,
        )

    def _measure(self, names: Sequence[str]) -> list[DatasetStatistics]:
        from datumrl.datasets.dataset_statistics import PREPARING, stats
        from datumrl.datasets.discretization import DEFAULT

        with console.Bars() as bars:
            return [
                stats(
                    name,
                    reference=self.reference,
                    preset=DEFAULT if self.preset is None else self.preset,
                    rows=self.rows,
                    seed=self.seed,
                    path=self.path,
                    progress=lambda what: bars.bar(
                        what, "bytes" if what.endswith(PREPARING) else "rows"
                    ),
                )
                for name in names
            ]
