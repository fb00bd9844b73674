"""`datumrl submit`: build, import, check and verify submissions to the leaderboard."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from datumrl.datasets import files
from datumrl.datasets.errors import DatumrlError
from datumrl.scripts import console, options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datumrl.evaluation.records import RunRecord
    from datumrl.leaderboard.submission_checks import Report
    from datumrl.leaderboard.submission_schema import Method

REFUSED = 1
SUBMISSIONS = Path("leaderboard/submissions")
_USEFUL = {  # options -> what they belong to
    ("dataset", "metric", "quantity", "published"): ("--from",),
    ("base",): ("--check",),
    ("sample", "seeds", "verified_by"): ("--verify",),
    ("method",): ("RUNS",),
    ("algorithm", "out"): ("RUNS", "--from"),
}


@dataclass(frozen=True)
class Command:
    """Build a submission from run records; or import (--from), check or verify one.

    Without --from, --check and --verify, a submission is built from run records and the method's
    TOML. Nothing of it is sent anywhere: it is a folder, to be proposed as a pull request.
    The rules are in docs/submitting.md.

    Exit code 1 if a submission breaks a rule, or if a verification does not agree.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """run records (seed-*.json) or folders of them; with --verify, folders with checkpoints"""
    method: Path | None = None
    """the method's TOML: who, which code, what was tuned (--example prints one)"""
    algorithm: str | None = None
    """which algorithm, where the records are of several; with --from, the rows' algorithm"""
    out: Path | None = None
    """folder of submissions (default: leaderboard/submissions); with --from, the CSV to write"""
    example: bool = False
    """print a commented method TOML and stop"""
    source: Annotated[
        tuple[Literal["wandb", "d3rlpy", "csv"], Path] | None,
        tyro.conf.arg(name="from", metavar="{wandb,d3rlpy,csv} PATH"),
    ] = None
    """import another tool's results as score rows: a CSV export, a folder of logs, a CSV file"""
    dataset: Annotated[str | None, tyro.conf.arg(metavar="ID")] = None
    """with --from: the dataset, where the file does not say"""
    metric: str | None = None
    """with --from: the column with the values (d3rlpy: the log's name)"""
    quantity: Literal["return", "score"] | None = None
    """with --from: what the values are, undiscounted returns or normalised scores"""
    published: str | None = None
    """with --from: the publication they are from; without it, they are your own"""
    check: Path | None = None
    """check a submission, or a folder of them"""
    base: Path | None = None
    """with --check: the submissions before, which must all be there unchanged"""
    verify: Path | None = None
    """re-roll a submission's checkpoints, found under the paths given; without any, retrain"""
    sample: int = 3
    """with --verify: how many datasets, drawn by the submission's hashes and your name"""
    seeds: int = 5
    """with --verify: new seeds per dataset to train, where nothing is re-rolled"""
    verified_by: str | None = None
    """with --verify: your name; it must be none of the authors'"""
    json: bool = False
    """print JSON"""

    def run(self) -> int:
        wanted = [self.example, self.source, self.check, self.verify]
        if sum(bool(each) for each in wanted) > 1:
            raise DatumrlError("--example, --from, --check and --verify: one at a time")
        self._refuse_idle()
        if self.example:
            from datumrl.leaderboard.submission_building import EXAMPLE

            print(EXAMPLE, end="")
            return 0
        if self.source is not None:
            return _import(self)
        if self.check is not None:
            return _check(self.check, self.base, self.json)
        if self.verify is not None:
            from datumrl.scripts.submit_verify import verify

            return verify(
                self.verify, self.runs, self.sample, self.seeds, self.verified_by, self.json
            )
        return _build(self)

    def _refuse_idle(self) -> None:
        """Refuse options that would change nothing: whoever gives one expects that it does."""
        ways = {
            "--from": self.source is not None,
            "--check": self.check is not None,
            "--verify": self.verify is not None,
            "RUNS": not (self.example or self.source or self.check or self.verify),
        }
        for names, useful in _USEFUL.items():
            given = options.changed(self, names)
            if given and not any(ways[way] for way in useful):
                raise DatumrlError(f"{given}: only with {' or '.join(useful)}; leave it out")


def _build(command: Command) -> int:
    from datumrl.evaluation.records import find_records
    from datumrl.leaderboard import submission_building, submission_checks, submission_files
    from datumrl.leaderboard.submission_schema import FOLDER

    if not command.runs:
        raise DatumrlError(
            "nothing to submit; name run folders and --method FILE.toml, or one of --from, "
            "--check, --verify, --example"
        )
    root = command.out or SUBMISSIONS
    found = find_records(list(dict.fromkeys(command.runs)))
    records = _chosen(submission_building.with_canonical_ids(found), command.algorithm)
    method = _method(command.method, records, root)
    results = submission_building.results_of(records, method)
    with files.scratch_folder("datumrl-submit") as scratch:
        if (there := submission_building.last_if_same(method, results, root, scratch)) is not None:
            return _told_nothing_new(there, command.json)
        trial = submission_building.trial(method, results, scratch)
        others = submission_files.read_all(root) if root.is_dir() else []
        published = submission_files.read_all(FOLDER)
        report = submission_checks.check_read([trial], None, [*others, *published])
    if not report.errors:
        folder = submission_building.write(method, results, root)
    if command.json:
        console.print_json({**_as_json(report), "folder": None if report.errors else str(folder)})
        return REFUSED if report.errors else 0
    _print(report)
    if report.errors:
        _say(f"nothing written: {len(report.errors)} rules are broken")
        return REFUSED
    _say(f"wrote {folder}; check it with `datumrl submit --check {folder}`")
    return 0


def _chosen(records: Sequence[RunRecord], algorithm: str | None) -> list[RunRecord]:
    """Return the records of one algorithm: nothing is asked that only another's runs call for."""
    known = sorted({record.algorithm for record in records})
    if algorithm is None and len(known) > 1:
        raise DatumrlError(
            f"records of several algorithms ({', '.join(known)}); choose one with --algorithm"
        )
    if algorithm is not None and algorithm not in known:
        raise DatumrlError(f"no records of {algorithm!r}; there are {', '.join(known)}")
    return [record for record in records if algorithm in (None, record.algorithm)]


def _told_nothing_new(folder: Path, as_json: bool) -> int:
    if as_json:
        nothing: dict[str, object] = {"submissions": [], "findings": [], "unconfirmed": []}
        console.print_json({**nothing, "folder": str(folder)})
    else:
        _say(f"{folder} holds exactly this already; nothing written")
    return 0


def _method(path: Path | None, records: Sequence[RunRecord], root: Path) -> Method:
    """Return the method, asking for what is missing where somebody can answer."""
    from datumrl.leaderboard import names, submission_building

    given = submission_building.read_toml(path) if path is not None else {}
    while asked := submission_building.questions(given, records):
        if not sys.stdin.isatty():
            lines = "".join(
                f"\n  {names.shown(question.key)}: {names.shown(question.text)}"
                for question in asked
            )
            where = path or "the method's TOML (--method)"
            raise DatumrlError(f"{where} lacks {len(asked)} entries; add them:{lines}")
        question = asked[0]
        answer = console.notes.input(f"{names.shown(question.text)}: ", markup=False)
        if answer.strip():
            given = submission_building.answered(given, question, answer)
    given = submission_building.with_suites_spelled_out(given, records)
    return submission_building.method_of(given, root)


def _check(path: Path, base: Path | None, as_json: bool) -> int:
    from datumrl.leaderboard import submission_checks

    report = submission_checks.check(path, base)
    if as_json:
        console.print_json(_as_json(report))
    else:
        _print(report)
        _say(
            f"{len(report.submissions)} submissions, {len(report.errors)} errors, "
            f"{len(report.findings) - len(report.errors)} flags"
        )
    return REFUSED if report.errors else 0


def _print(report: Report) -> None:
    for finding in report.findings:
        _say(str(finding))


def _as_json(report: Report) -> dict[str, object]:
    from datumrl.leaderboard import submission_checks

    return {
        "submissions": [
            {
                "submission": one.title,
                "sound": not report.of(one),
                "tier": submission_checks.tier(one, report) if not report.of(one) else None,
            }
            for one in report.submissions
        ],
        "findings": [vars(finding) for finding in report.findings],
        "unconfirmed": [
            {"submission": title, "dataset": dataset, "sha256": sha256}
            for title, dataset, sha256 in report.unconfirmed
        ],
    }


def _import(command: Command) -> int:
    from datumrl.leaderboard import imported_rows, imports

    assert command.source is not None
    kind, path = command.source
    given = imports.Given(
        command.quantity, command.metric, command.algorithm, command.dataset, command.published
    )
    out = command.out or Path("scores.csv")
    imported_rows.check_target(out, path)
    found = imports.read(kind, path, given)
    imported_rows.write(found, out)
    if found.doubt:
        console.notes.print(found.doubt, markup=False, soft_wrap=True)
    if command.json:
        rows = [row.model_dump(mode="json") for row in found.rows]
        console.print_json({"rows": rows, "missing": found.missing, "file": str(out)})
        return 0
    _say(f"wrote {len(found.rows)} rows to {out}; `datumrl compare {out}` reads it")
    for name, count in found.missing.items():
        _say(f"missing: {name} in {count} of {len(found.rows)} rows")
    return 0


def _say(text: str) -> None:
    console.output.print(text, markup=False, soft_wrap=True)
