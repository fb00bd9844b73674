"""Outcomes read back from the files that `outcome_files.write` left, to be shown on the site."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datumrl.datasets import files
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import bootstrap
from datumrl.evaluation.report_tables import Sheet
from datumrl.leaderboard import outcome_files, trained
from datumrl.leaderboard.beyond_table import Aggregate, Pool
from datumrl.leaderboard.bold_claims import Claim, Claims
from datumrl.leaderboard.diagnosis import Candidate, Diagnosis, Explanation
from datumrl.leaderboard.outcome import STATUSES, About, CellVerdict, Outcome
from datumrl.leaderboard.rules import Rule
from datumrl.leaderboard.table_case import PrintedCell


def read_all(folder: Path, taken: frozenset[str] = frozenset()) -> list[Outcome]:
    """Return the outcome in each folder of a folder, by id; none where there is no such folder.

    ``taken`` are ids of tables that have a page already: their outcomes are left out where they
    come from a registered source, others are told apart by their folder's name.
    Raises DatumrlError for one that cannot be read, naming its file.
    """
    found: dict[str, Outcome] = {}
    for path in sorted(folder.glob(f"*/{outcome_files.NAMES[2]}")):
        own = read(path)
        if own.about.id in taken and own.about.source:
            continue
        own_id = own.about.id
        if own_id in taken or own_id in found:
            own_id = f"{own_id} ({path.parent.name})"
        about = dataclasses.replace(own.about, id=own_id)
        found[own_id] = dataclasses.replace(own, about=about)
    return [found[own_id] for own_id in sorted(found)]


def read(path: Path) -> Outcome:
    """Return the outcome that `outcome_files.write` wrote as JSON."""
    content = files.read_json(path)
    try:
        return _outcome(content, str(path))
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise DatumrlError(
            f"{path} holds no reproduction of a table ({type(problem).__name__}: {problem}); move "
            "it away"
        ) from None


def _outcome(content: Mapping[str, Any], where: str) -> Outcome:
    kept = content.get("trained")
    return Outcome(
        About(**_texts(content["table"])),
        tuple(_verdict(each) for each in content["cells"]),
        _diagnosis(content["diagnosis"]),
        tuple(_pool(each) for each in content["pools"]),
        _claims(content["claims"]),
        tuple(map(str, content["notes"])),
        tuple(map(str, content["facts"])),
        tuple((str(each["rule"]), int(each["cells_that_fail"])) for each in content["departures"]),
        tuple(_sheet(each) for each in content["sheets"]),
        None if kept is None else trained.from_json(kept, where),
        str(content.get("command", "")),
        str(content.get("scored", "")),
    )


def _texts(content: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in content.items()}


def _verdict(content: Mapping[str, Any]) -> CellVerdict:
    own = [each.name for each in dataclasses.fields(PrintedCell)]
    cell = PrintedCell(**{name: content[name] for name in own})
    if content["status"] not in STATUSES:
        raise ValueError(f"no status {content['status']!r}")
    if content["recomputed_mean"] is not None:
        float(cell.mean or 0)  # printed digits, or nothing; decisions are words
        float(cell.std or 0)
    return CellVerdict(
        cell,
        content["status"],
        str(content["recomputed"]),
        str(content["rule"]),
        str(content["note"]),
        _number(content["recomputed_mean"]),
        _number(content["recomputed_std"]),
        tuple(map(str, content.get("wrong", ()))),
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _diagnosis(content: Mapping[str, Any] | None) -> Diagnosis | None:
    """Return a diagnosis in words: the rules themselves are not kept."""
    if content is None:
        return None
    explanations = tuple(
        Explanation(
            _candidate(each),
            frozenset(),
            str(each["explains"]),
            tuple(map(str, each["equivalent"])),
        )
        for each in content["explanations"]
    )
    tried = tuple(_candidate(each) for each in content["tried"])
    return Diagnosis(explanations, tried, int(content["rules_tried"]))


def _candidate(content: Mapping[str, Any]) -> Candidate:
    return Candidate((str(content["rule"]),), Rule(), int(content["fits"]), int(content["of"]))


def _pool(content: Mapping[str, Any]) -> Pool:
    aggregates = []
    for each in content["aggregates"]:
        ends = each["interval"]
        interval = None if ends is None else bootstrap.Interval(**ends)
        aggregates.append(
            Aggregate(str(each["algorithm"]), float(each["iqm"]), interval, str(each["letters"]))
        )
    low, high = content["runs"]
    datasets = tuple(map(str, content["datasets"]))
    return Pool(datasets, (int(low), int(high)), tuple(aggregates), str(content["test"]))


def _claims(content: Mapping[str, Any] | None) -> Claims | None:
    if content is None:
        return None
    rows = tuple(
        Claim(
            str(each["dataset"]),
            str(each["column"]),
            tuple(map(str, each["bold"])),
            tuple(map(str, each["others"])),
            tuple(map(str, each["beaten"])),
            bool(each["contradicted"]),
            int(each["runs"]),
            str(each["note"]),
        )
        for each in content["rows"]
    )
    return Claims(bool(content["marked"]), rows)


def _sheet(content: Mapping[str, Any]) -> Sheet:
    return Sheet(
        str(content["key"]),
        str(content["title"]),
        tuple(map(str, content["columns"])),
        tuple(tuple(map(str, row)) for row in content["rows"]),
        str(content["caption"]),
    )
