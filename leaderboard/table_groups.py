"""Which runs may share a table: one suite, one protocol, scores apart from raw returns."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from datumrl.datasets import catalogue
from datumrl.datasets.suites import Suite, suite_of
from datumrl.evaluation import records
from datumrl.leaderboard import names
from datumrl.leaderboard.runs import Run

# (method or "" for any, dataset, protocol)
_Kind = tuple[str, str, str | None]


def groups(all_runs: Iterable[Run]) -> dict[tuple[Suite, str, bool], list[Run]]:
    """Return the runs of each table, by suite, protocol and whether their scores are normalised.

    A failed or unfinished run is where its method's finished ones of the same protocol are.
    """
    by_protocol: dict[tuple[Suite, str], list[Run]] = defaultdict(list)
    for run in all_runs:
        by_protocol[suite_of(run.row.dataset), run.protocol].append(run)
    found: dict[tuple[Suite, str, bool], list[Run]] = defaultdict(list)
    for (suite, protocol), members in by_protocol.items():
        finished = _finished(members)
        kinds: dict[bool, list[Run]] = defaultdict(list)
        for run in members:
            kinds[_is_scored(run, finished)].append(run)
        for scored, own in kinds.items():
            # Of each kind by itself: else many raw returns would take scores out of their table.
            usual = _usual_digests(own)
            for run in own:
                # The same dataset under two protocols: the rarer one gets a table of its own.
                rarer = run.row.protocol != usual[run.row.dataset]
                key = f"{protocol} {run.row.protocol}" if rarer else protocol
                found[suite, key, scored].append(run)
    return found


def _finished(members: Iterable[Run]) -> dict[_Kind, set[bool]]:
    """Return whether complete runs have scores, by method, dataset and protocol, and of any."""
    found: dict[_Kind, set[bool]] = defaultdict(set)
    for run in (each for each in members if each.status == "complete"):
        for method in ("", names.shown_as(run.row.algorithm)):
            found[method, run.row.dataset, run.row.protocol].add(run.row.score is not None)
    return found


def _is_scored(run: Run, finished: Mapping[_Kind, Collection[bool]]) -> bool:
    """Return whether a run is one of normalised scores, or would be, had it finished.

    That is what its record's protocol says.  A row without a record follows the finished rows of
    its method, or of others; where some of them have scores it stays with those, as there it
    keeps what is left of its method from being ranked.
    """
    if run.status == "complete":
        return run.row.score is not None
    known = catalogue.known(run.row.dataset) if run.record is not None else None
    if run.record is not None and known is not None:
        return not records.unscored(known, run.record.protocol)
    place = (run.row.dataset, run.row.protocol)
    own = finished.get((names.shown_as(run.row.algorithm), *place)) or finished.get(("", *place))
    return not own or True in own


def _usual_digests(members: Sequence[Run]) -> dict[str, str | None]:
    counts: dict[str, Counter[str | None]] = defaultdict(Counter)
    for run in members:
        counts[run.row.dataset][run.row.protocol] += 1
    return {
        dataset: min(count, key=lambda digest: (-count[digest], digest or ""))
        for dataset, count in counts.items()
    }
