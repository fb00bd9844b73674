"""From run records and a method's TOML to a submission; what is missing is told all at once."""

from __future__ import annotations

import json
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic

from datumrl.datasets import catalogue, files
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.suites import Suite, suite_of
from datumrl.evaluation.records import RunRecord, describe_invalid
from datumrl.leaderboard import names, submission_evidence, submission_files
from datumrl.leaderboard.submission_context import canonical, may_follow
from datumrl.leaderboard.submission_files import Submission
from datumrl.leaderboard.submission_history_rules import by
from datumrl.leaderboard.submission_identity_rules import members
from datumrl.leaderboard.submission_schema import (
    FOLDER,
    FORMAT,
    METHOD_FILE,
    DatasetResult,
    Method,
    file_name,
)

EXAMPLE = """\
# What `datumrl submit RUNS... --method FILE.toml` needs to know of a method.
name = "TD3+BC"                  # as the leaderboard shows it
method = "td3-bc"                # the folder's name, its own: small letters, digits, hyphens
authors = ["Ada Example"]        # those who made and submit the results
paper = "https://arxiv.org/abs/2106.06860"   # optional
licence = "CC BY 4.0"            # of the results
# Did returns in the environment choose anything (hyper-parameters, steps)? "nothing", or what.
online_returns_chose = "nothing"

[code]                           # what made the results, at the very commit
url = "https://github.com/example/td3-bc"
commit = "0123456789abcdef0123456789abcdef01234567"

[tuning]                         # configurations x seeds x datasets that settings were chosen on
configurations = 1               # 1: nothing was tried out
seeds = []                       # never among those of the results
datasets = []

[not_run]                        # dataset id = why; a suite's datasets are run or named here
# "d4rl/hopper-random-v2" = "no time left"
# "D4RL locomotion v2" = "no time left"      # all others of a suite at once
"""
_QUESTIONS = {
    "name": "name of the method, as the leaderboard shows it",
    "method": "name of its folder (small letters, digits, hyphens)",
    "authors": "authors, separated by commas",
    "licence": "licence of the results, e.g. CC BY 4.0",
    "online_returns_chose": "what online returns chose: nothing, or what",
    "code.url": "address of the code (https://...)",
    "code.commit": "commit of the code that made the results (40 hex digits)",
    "tuning.configurations": "how many configurations were tried out (1: nothing was)",
    "tuning.seeds": "seeds they were tried on, separated by commas",
    "tuning.datasets": "datasets they were tried on, separated by commas",
}
_LISTS = {"authors", "tuning.seeds", "tuning.datasets"}
_NUMBERS = {"tuning.seeds", "tuning.configurations"}
_NOT_RUN = "not_run."
_MANY = 4  # datasets of a suite that were not run: one reason is asked for them all


@dataclass(frozen=True)
class Question:
    """Something that is missing: its place in the TOML (``code.commit``) and what it is."""

    key: str
    text: str


def read_toml(path: Path) -> dict[str, Any]:
    """Read a method's TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DatumrlError(
            f"{path} does not exist; `datumrl submit --example > {path}` writes one to fill in"
        ) from None
    except (ValueError, OSError) as problem:
        raise DatumrlError(f"{path} is no TOML file ({problem}); mend it") from None


def questions(given: Mapping[str, Any], records: Sequence[RunRecord]) -> list[Question]:
    """Return what a method's TOML lacks; tuning seeds only if something was tuned."""
    wanted = dict(_QUESTIONS)
    configurations = _at(given, "tuning.configurations")
    if not isinstance(configurations, int) or configurations <= 1:
        del wanted["tuning.seeds"], wanted["tuning.datasets"]
    asked = [
        Question(key, text) for key, text in wanted.items() if _at(given, key) in (None, "", [])
    ]
    not_run = _reasons(given)
    for suite, others in _not_run(records):
        missing = [] if suite.title in not_run else [each for each in others if each not in not_run]
        if len(missing) < _MANY:
            asked += [
                Question(f"{_NOT_RUN}{name}", f"why {name} was not run ({suite.title} has it)")
                for name in missing
            ]
        else:
            names = f"{', '.join(missing[:3])} and {len(missing) - 3} more datasets"
            text = f"why {names} of this suite were not run (or name each with its reason)"
            asked.append(Question(f"{_NOT_RUN}{suite.title}", text))
    return asked


def with_suites_spelled_out(
    given: Mapping[str, Any], records: Sequence[RunRecord]
) -> dict[str, Any]:
    """Return a TOML's content with a suite's reason at each of its datasets that was not run."""
    reasons = dict(_reasons(given))
    for suite, others in _not_run(records):
        if suite.title in reasons:
            reason = reasons.pop(suite.title)
            reasons = {**dict.fromkeys(others, reason), **reasons}
    return {**given, "not_run": reasons} if reasons else dict(given)


def _reasons(given: Mapping[str, Any]) -> Mapping[str, Any]:
    not_run = given.get("not_run", {})
    return not_run if isinstance(not_run, dict) else {}


def _not_run(records: Sequence[RunRecord]) -> Iterator[tuple[Suite, list[str]]]:
    """Yield every suite that runs are of and its datasets without runs."""
    present = {record.dataset for record in records}
    for suite in sorted({suite_of(dataset) for dataset in present}):
        yield suite, [name for name in members(suite) if name not in present]


def answered(given: Mapping[str, Any], question: Question, answer: str) -> dict[str, Any]:
    """Return the TOML's content with an answer put in its place."""
    value: Any = answer.strip()
    key = question.key
    parts = [part.strip() for part in value.split(",") if part.strip()]
    try:
        if key in _LISTS:
            value = [int(part) for part in parts] if key in _NUMBERS else parts
        elif key in _NUMBERS:
            value = int(value)
    except ValueError:
        raise DatumrlError(f"{answer!r} is no whole number; {question.text}") from None
    if key.startswith(_NOT_RUN):
        section, name = "not_run", key.removeprefix(_NOT_RUN)
    else:
        section, _, name = key.rpartition(".")
    if not section:
        return {**given, name: value}
    inner = given.get(section)
    return {**given, section: {**(inner if isinstance(inner, dict) else {}), name: value}}


def method_of(given: Mapping[str, Any], root: Path, published: Path = FOLDER) -> Method:
    """Return the method with its next revision among those below ``root`` and those published.

    Raises DatumrlError where the last one is somebody else's: it would be superseded.
    """
    known = [
        submission
        for place in dict.fromkeys((root, published))
        if (folder := place / str(given.get("method", ""))).is_dir()
        for submission in submission_files.read_revisions(folder / "r1")
    ]
    before = max(known, key=lambda one: one.number, default=None)
    last = before.number if before is not None else 0
    content = {
        **given,
        "schema_version": FORMAT,
        "revision": f"r{last + 1}",
        "supersedes": f"r{last}" if last else None,
    }
    try:
        method = Method.model_validate_json(json.dumps(content))
    except (pydantic.ValidationError, TypeError, ValueError) as problem:
        raise DatumrlError(f"the method's TOML: {describe_invalid(problem)}; mend it") from None
    if method.method == submission_files.SCHEMAS:
        raise DatumrlError(
            f"method = {method.method!r}: the folder of the JSON Schemas; choose another name"
        )
    if before is not None and before.method and not may_follow(method, before.method):
        raise DatumrlError(
            f"method = {method.method!r}: {before.title} is {by(before.method)}, and this would "
            "take its place; choose another method (the folder's name), or name one of its authors"
        )
    return method


def with_canonical_ids(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Return records with the one id of each dataset: ``@20k`` where it says ``@20000``."""
    found = []
    for record in records:
        dataset = canonical(record.dataset)
        protocol = record.protocol.model_copy(update={"dataset": dataset})
        found.append(record.model_copy(update={"dataset": dataset, "protocol": protocol}))
    return found


def results_of(records: Sequence[RunRecord], method: Method) -> dict[str, DatasetResult]:
    """Return one result per dataset by file name, of the records of one algorithm.

    Runs of a dataset must be alike but for the seed.
    """
    by_dataset: dict[str, list[RunRecord]] = defaultdict(list)
    for record in records:
        by_dataset[record.dataset].append(record)
    return {
        file_name(dataset): _result(dataset, own, method)
        for dataset, own in sorted(by_dataset.items())
    }


def _result(dataset: str, records: Sequence[RunRecord], method: Method) -> DatasetResult:
    catalogue.find(dataset)
    shared = [_shared(record) for record in records]
    for record, content in zip(records, shared, strict=True):
        if record.status == "running":
            raise DatumrlError(
                f"{dataset}, seed {record.seed}: still running or cut off; finish it, or record it "
                "as failed"
            )
        differing = sorted(key for key in content if content[key] != shared[0][key])
        if differing:
            raise DatumrlError(
                f"{dataset}: {', '.join(differing)} of seed {record.seed} differ from those of "
                f"seed {records[0].seed}; submit runs of one configuration"
            )
    contents = {record.dataset_content_sha256 for record in records} - {None}
    if len(contents) > 1:
        raise DatumrlError(
            f"{dataset}: trained on other data under one id, of content hashes "
            f"{' and '.join(sorted(map(str, contents)))}; submit runs on one copy of the data"
        )
    if records[0].dataset_sha256 is None:
        raise DatumrlError(
            f"{dataset}: the records lack the dataset's hash; load the dataset before training, or "
            "give Recorder(dataset_sha256=...)"
        )
    budget = shared[0]["budget"]
    if budget["tuning"] != "none" and method.tuning.contradicts(budget["tuning"]):
        raise DatumrlError(
            f"{dataset}: the records tell of tuning {budget['tuning']!r}, the method's TOML of "
            f"{method.tuning.budget!r}; mend the one that is wrong"
        )
    content = {
        **shared[0],
        "budget": {**budget, "tuning": method.tuning.budget},
        "schema_version": FORMAT,
        "method": method.method,
        "runs": [_run(record) for record in sorted(records, key=lambda each: each.seed)],
    }
    try:
        return DatasetResult.model_validate_json(json.dumps(content))
    except (pydantic.ValidationError, ValueError) as problem:
        raise DatumrlError(f"{dataset}: {describe_invalid(problem)}; mend the records") from None


def _shared(record: RunRecord) -> dict[str, Any]:
    content = record.model_dump(
        mode="json",
        include={"algorithm", "dataset", "dataset_sha256", "configuration", "protocol", "budget"},
    )
    content["configuration"].pop("seed", None)
    return content


def _run(record: RunRecord) -> dict[str, Any]:
    content = record.model_dump(
        mode="json", include={"seed", "status", "failure", "evaluations", "software", "hardware"}
    )
    if record.failure is not None:  # often a traceback's last lines
        content["failure"] = names.shown(record.failure)[:300]
    return content


def last_if_same(
    method: Method, results: Mapping[str, DatasetResult], root: Path, scratch: Path
) -> Path | None:
    """Return the folder of the last revision if it holds exactly this already, else None."""
    if method.supersedes is None:
        return None
    last = submission_files.read(root / method.method / method.supersedes)
    if last.method is None:
        return None
    kept = {"revision": last.method.revision, "supersedes": last.method.supersedes}
    again = trial(method.model_copy(update=kept), results, scratch)
    there = submission_evidence.submitted_files(last)
    return last.path if there == again.hashes else None


def write(method: Method, results: Mapping[str, DatasetResult], root: Path) -> Path:
    """Write a submission below ``root``, at once or not at all; return its folder."""
    target = root / method.method / method.revision
    with files.replacing_folder(target) as folder:
        fill(method, results, folder)
    return target


def fill(method: Method, results: Mapping[str, DatasetResult], folder: Path) -> None:
    """Write a submission's files into an empty folder, the raw numbers compactly."""
    files.write_json(folder / METHOD_FILE, method.model_dump(mode="json"))
    for name, result in results.items():
        with files.replacing(folder / name, "w") as handle:
            json.dump(result.model_dump(mode="json"), handle, allow_nan=False)
            handle.write("\n")


def trial(method: Method, results: Mapping[str, DatasetResult], scratch: Path) -> Submission:
    """Return the submission as a checker would read it, written to a scratch folder."""
    folder = scratch / method.method / method.revision
    folder.mkdir(parents=True)
    fill(method, results, folder)
    return submission_files.read(folder)


def _at(given: Mapping[str, Any], key: str) -> Any:
    section, _, name = key.rpartition(".")
    content = given.get(section, {}) if section else given
    return content.get(name) if isinstance(content, dict) else None
