"""Rules on what a submission is: names, datasets, suites, tuning.  One function per rule."""

from __future__ import annotations

import re
from collections.abc import Iterator

from datumrl.datasets import catalogue
from datumrl.datasets.suites import Suite, suite_of
from datumrl.leaderboard import names
from datumrl.leaderboard.submission_context import (
    Context,
    canonical,
    dataset_of,
    error,
    flag,
    independent,
    says_something,
)
from datumrl.leaderboard.submission_files import SCHEMAS, Finding, Submission
from datumrl.leaderboard.submission_schema import METHOD_FILE, file_name

_SHOWN = 4  # names that a message lists
_WORD = re.compile(r"[dD]4(?:rl|RL)|[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
# A key tells of a result if it has no other words than these, and one that says it alone (score,
# best_score) or two that say it together (eval/mean_return).  max_return may be a setting.
_ALONE = {"score", "scores", "iqm", "optimality"}
_RESULTS = {"return", "returns", "reward", "rewards"}
_TAKEN = {
    "mean", "average", "avg", "median", "final", "last", "best", "normalized", "normalised", "d4rl",
    "eval", "evaluation", "test", "episode", "undiscounted",
}  # fmt: skip
_TELLING = _ALONE | _RESULTS | _TAKEN | {"gap"}
# Rows beside the methods of every table (see `reference_rows`): what is trained is none of them.
_REFERENCE = {
    names.alike(name)
    for name in ("random", "random policy", "expert", "reference expert", "behaviour policy",
                 "behavior policy")
}  # fmt: skip


def names_equal_contents(submission: Submission, context: Context) -> Iterator[Finding]:
    """Folders and files are named after what they hold."""
    rule = "names-equal-contents"
    method = submission.method
    if submission.folder[0] == SCHEMAS or (method is not None and method.method == SCHEMAS):
        message = f"{SCHEMAS!r} is the folder of the JSON Schemas; choose another name"
        yield error(rule, submission, message, METHOD_FILE)
    if method is not None:
        for place, told, noun in zip(
            submission.folder,
            (method.method, method.revision),
            ("method", "revision"),
            strict=True,
        ):
            if place != told:
                message = f"{noun} is {told!r}, the folder {place!r}; make them equal"
                yield error(rule, submission, message, METHOD_FILE)
    for name, result in submission.results.items():
        if name != file_name(result.dataset):
            message = f"holds {result.dataset!r}; name it {file_name(result.dataset)}"
            yield error(rule, submission, message, name)
        if method is not None and result.method != method.method:
            message = f"is of method {result.method!r}, not {method.method!r}; make them equal"
            yield error(rule, submission, message, name)
    algorithms = sorted({result.algorithm for result in submission.results.values()})
    if len(algorithms) > 1:
        message = (
            f"holds several algorithms ({', '.join(algorithms[:_SHOWN])}); submit each as a "
            "method of its own"
        )
        yield error(rule, submission, message)


def names_of_their_own(submission: Submission, context: Context) -> Iterator[Finding]:
    """A method and its authors have names that can be read, the method no reference row's."""
    rule, method = "names-of-their-own", submission.method
    if method is None:
        return
    for name in (method.name, *method.authors):
        if not says_something(name):
            message = f"the name {name!r} has no letter or digit; choose another"
            yield error(rule, submission, message, METHOD_FILE)
    if names.alike(method.name) in _REFERENCE:
        message = f"{method.name!r} is a reference row of every table; choose another name"
        yield error(rule, submission, message, METHOD_FILE)


def ids_known(submission: Submission, context: Context) -> Iterator[Finding]:
    """Every dataset is in the catalogue, and the size of a prefix is written in one way."""
    rule = "ids-known"
    remedy = "`datumrl datasets` lists those known; add it to the catalogue first"
    for name, result in submission.results.items():
        if dataset_of(result.dataset) is None:
            yield error(rule, submission, f"unknown dataset {result.dataset!r}; {remedy}", name)
        elif canonical(result.dataset) != result.dataset:
            message = f"{result.dataset!r} is {canonical(result.dataset)!r}; write it so"
            yield error(rule, submission, message, name)
        if result.protocol.dataset != result.dataset:
            message = (
                f"the protocol is of {result.protocol.dataset!r}, the results of "
                f"{result.dataset!r}; make them equal"
            )
            yield error(rule, submission, message, name)
    if submission.method is not None:
        for dataset in (*submission.method.not_run, *submission.method.tuning.datasets):
            if dataset_of(dataset) is None:
                message = f"unknown dataset {dataset!r}; {remedy}"
                yield error(rule, submission, message, METHOD_FILE)
            elif canonical(dataset) != dataset:
                message = f"{dataset!r} is {canonical(dataset)!r}; write it so"
                yield error(rule, submission, message, METHOD_FILE)


def dataset_hashes(submission: Submission, context: Context) -> Iterator[Finding]:
    """A hash is the catalogue's, or unconfirmed until two independent submitters agree on it."""
    rule = "dataset-hashes"
    for name, result in submission.results.items():
        dataset = dataset_of(result.dataset)
        if dataset is None:
            continue
        sha256 = result.dataset_sha256
        if dataset.sha256 is not None:
            if dataset.sha256 != sha256:
                message = (
                    f"{result.dataset} has sha256 {sha256[:12]}..., the catalogue's is "
                    f"{dataset.sha256[:12]}...; fetch the file again and train on that"
                )
                yield error(rule, submission, message, name)
            continue
        copies = context.shared.get((submission.folder, result.dataset), {})
        others = {
            other.title: theirs.dataset_sha256
            for other in context.known
            if independent(submission, other) and other.folder not in copies
            for theirs in other.results.values()
            if theirs.dataset == result.dataset
        }
        if sha256 in others.values():
            continue
        told = f"unconfirmed hash {sha256} of {result.dataset}"
        if others:
            told += f"; {min(others)} has another, so one of the two is of other data"
        yield flag(rule, submission, f"{told}; an independent submitter can confirm it", name)


def whole_suites(submission: Submission, context: Context) -> Iterator[Finding]:
    """Every dataset of a suite has results or is said, with a reason, not to be run.

    It holds for the revision that is shown: a suite may have been smaller before.
    """
    rule = "whole-suites"
    if submission.method is None or not context.is_last(submission):
        return
    present = {result.dataset for result in submission.results.values()}
    if not present and not submission.unreadable:
        remedy = "add the results of at least one dataset"
        yield error(rule, submission, f"there is no dataset; {remedy}")
    named = set(submission.method.not_run)
    for dataset in sorted(present & named):
        message = f"{dataset} has results, yet is said not to be run; remove it from not_run"
        yield error(rule, submission, message, METHOD_FILE)
    for suite in sorted({suite_of(dataset) for dataset in present if dataset_of(dataset)}):
        absent = [each for each in members(suite) if each not in present | named]
        if absent:
            shown = ", ".join(absent[:_SHOWN]) + (" ..." if len(absent) > _SHOWN else "")
            message = (
                f"{len(absent)} datasets of {suite.title} are missing ({shown}); run them, or say "
                "why not under not_run"
            )
            yield error(rule, submission, message, METHOD_FILE)


def members(suite: Suite) -> list[str]:
    """Return the ids of a suite's datasets, with the suite's prefix if it has one."""
    found = []
    for record in catalogue.all_records():
        # Validation sets are for choosing policies, not for being learned from.
        if record.id.startswith("user/") or record.id.endswith("-val"):
            continue
        own = suite_of(record.id)
        if (own.collection, own.family, own.version) == (
            suite.collection,
            suite.family,
            suite.version,
        ):
            found.append(f"{record.id}@{suite.prefix}" if suite.prefix else record.id)
    return found


def tuning_is_told(submission: Submission, context: Context) -> Iterator[Finding]:
    """What was tried out names its seeds and datasets, and is told alike everywhere."""
    rule = "tuning-is-told"
    method = submission.method
    if method is None:
        return
    tuning = method.tuning
    if tuning.configurations > 1 and not (tuning.seeds and tuning.datasets):
        message = (
            f"{tuning.configurations} configurations were tried out; name the seeds and the "
            "datasets they were tried on"
        )
        yield error(rule, submission, message, METHOD_FILE)
    for name, result in submission.results.items():
        if tuning.contradicts(result.budget.tuning):
            message = (
                f"its budget tells of tuning {result.budget.tuning!r}, {METHOD_FILE} of "
                f"{tuning.budget!r}; write that in both"
            )
            yield error(rule, submission, message, name)
        if result.protocol.online_selection != method.chosen_online:
            told = "chose something" if result.protocol.online_selection else "chose nothing"
            message = (
                f"its protocol says that online returns {told}, {METHOD_FILE} "
                f"{method.online_returns_chose!r}; say the same in both"
            )
            yield error(rule, submission, message, name)
        if result.protocol.checkpoint == "best" and not result.protocol.online_selection:
            message = (
                "checkpoint 'best' is chosen by online returns; set online_selection, or use 'last'"
            )
            yield error(rule, submission, message, name)


def nothing_derived(submission: Submission, context: Context) -> Iterator[Finding]:
    """Configurations and the like hold settings, not results."""
    rule = "nothing-derived"
    for name, result in submission.results.items():
        told = [*_keys(result.configuration), *_keys(result.protocol.environment_kwargs)]
        for key in told:
            if _derived(key):
                message = f"configuration holds {key!r}, a derived number; remove it"
                yield error(rule, submission, message, name)
        for key in sorted({key for run in result.runs for key in run.software if _derived(key)}):
            message = f"software holds {key!r}, a derived number; remove it"
            yield error(rule, submission, message, name)


def _derived(key: str) -> bool:
    """Say whether a key, or what is behind its last slash or dot, tells of a result."""
    for part in (key, re.split(r"[/.]", key)[-1]):
        words = {word.lower() for word in _WORD.findall(part)}
        result = words & _ALONE or (words & _RESULTS and words & _TAKEN)
        if result and words <= _TELLING:
            return True
    return False


def _keys(content: object) -> Iterator[str]:
    """Yield the keys of values, however deep, that are not merely switched on or off."""
    if isinstance(content, dict):
        for key, value in content.items():
            if not isinstance(value, bool):
                yield key
            yield from _keys(value)
    elif isinstance(content, list):
        for value in content:
            yield from _keys(value)
