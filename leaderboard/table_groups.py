"""Which runs may share a table: one suite, one protocol, scores apart from raw returns."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from datumrl.datasets.suites import Suite, suite_of
from datumrl.leaderboard.runs import Run


def groups(all_runs: Iterable[Run]) -> dict[tuple[Suite, str, bool], list[Run]]:
    """Return the runs of each table, by suite, protocol and whether their scores are normalised."""
    by_protocol: dict[tuple[Suite, str], list[Run]] = defaultdict(list)
    for run in all_runs:
        by_protocol[suite_of(run.row.dataset), run.protocol].append(run)
    found: dict[tuple[Suite, str, bool], list[Run]] = defaultdict(list)
    for (suite, protocol), members in by_protocol.items():
        usual = _usual_digests(members)
        raw = {
            run.row.dataset for run in members if run.status == "complete" and run.row.score is None
        }
        for run in members:
            # The same dataset under two protocols: the rarer one gets a table of its own.
            own = run.row.protocol != usual[run.row.dataset]
            key = f"{protocol} {run.row.protocol}" if own else protocol
            unscored = run.status != "complete" and run.row.dataset in raw
            normalised = not unscored if run.status != "complete" else run.row.score is not None
            found[suite, key, normalised].append(run)
    return found


def _usual_digests(members: Sequence[Run]) -> dict[str, str | None]:
    counts: dict[str, Counter[str | None]] = defaultdict(Counter)
    for run in members:
        counts[run.row.dataset][run.row.protocol] += 1
    return {
        dataset: min(count, key=lambda digest: (-count[digest], digest or ""))
        for dataset, count in counts.items()
    }
