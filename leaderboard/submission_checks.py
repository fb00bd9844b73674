"""Checking submissions: every rule over every submission, without exemptions, and their tiers.

Needs neither torch nor an environment, and starts in well under a second.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from datumrl.leaderboard import (
    submission_context,
    submission_evidence,
    submission_files,
    submission_history_rules,
    submission_identity_rules,
    submission_revision_rules,
    submission_run_rules,
)
from datumrl.leaderboard.submission_context import Context
from datumrl.leaderboard.submission_files import Finding, Submission
from datumrl.leaderboard.submission_schema import FOLDER, METHOD_FILE

Rule = Callable[[Submission, Context], Iterator[Finding]]

RULES: tuple[Rule, ...] = (
    submission_identity_rules.names_equal_contents,
    submission_identity_rules.names_of_their_own,
    submission_identity_rules.ids_known,
    submission_identity_rules.dataset_hashes,
    submission_identity_rules.whole_suites,
    submission_identity_rules.tuning_is_told,
    submission_identity_rules.nothing_derived,
    submission_run_rules.distinct_seeds,
    submission_run_rules.tuning_seeds_apart,
    submission_run_rules.tuning_configurations,
    submission_run_rules.failures_are_told,
    submission_run_rules.evaluation_points,
    submission_run_rules.episodes,
    submission_run_rules.protocol_is_the_datasets,
    submission_run_rules.attainable_returns,
    submission_history_rules.supersedes_the_last,
    submission_history_rules.same_authors,
    submission_revision_rules.revisions_are_told,
    submission_history_rules.names_taken_once,
    submission_history_rules.identical_returns,
    submission_history_rules.shared_episodes,
    submission_history_rules.evidence_holds,
)
# What these find depends on the catalogue or on other submissions, which change, while what was
# submitted may not: of what is there to be shown, they flag.
CHANGING: frozenset[Rule] = frozenset(
    (
        submission_identity_rules.ids_known,
        submission_identity_rules.dataset_hashes,
        submission_identity_rules.whole_suites,
        submission_run_rules.protocol_is_the_datasets,
        submission_run_rules.attainable_returns,
        submission_history_rules.names_taken_once,
        submission_history_rules.identical_returns,
    )
)
MOST_FINDINGS = 20  # of one rule on one submission

Tier = Literal["reproduced", "submitted"]


@dataclass(frozen=True)
class Report:
    """What was checked, and what the rules found."""

    submissions: tuple[Submission, ...]
    findings: tuple[Finding, ...]
    left_out: tuple[Finding, ...] = ()  # of a board: why submissions are not shown, one reason each

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Return the findings that must be mended."""
        return tuple(each for each in self.findings if each.severity == "error")

    @property
    def unconfirmed(self) -> list[tuple[str, str, str]]:
        """Return (submission, dataset, sha256) of hashes that no independent submitter confirms."""
        named = {each.where for each in self.findings if (each.rule, each.severity) == UNCONFIRMED}
        return [
            (one.title, result.dataset, result.dataset_sha256)
            for one in self.submissions
            for name, result in one.results.items()
            if f"{one.title}/{name}" in named
        ]

    def of(self, submission: Submission) -> list[Finding]:
        """Return the errors of one submission."""
        title = submission.title
        return [
            each
            for each in self.errors
            if each.where == title or each.where.startswith(f"{title}/")
        ]


UNCONFIRMED = ("dataset-hashes", "flag")


def check(path: Path, base: Path | None = None, settled: bool = False) -> Report:
    """Check a submission, or a folder of them, against what is in ``base`` if that is given.

    ``settled`` says that all were accepted before, as those in the base were.
    """
    found = submission_files.read_all(path)
    before = submission_files.read_all(base) if base is not None else None
    others = []
    if (path / METHOD_FILE).exists():  # a revision stands among its method's others
        beside = submission_files.read_revisions(path)
        others = [one for one in beside if one.title != found[0].title]
    elif base is not None:
        report = check_read(found, before, settled=settled)
        return replace(report, findings=(*report.findings, *submission_files.beside(path, base)))
    elif not submission_files.is_method(path):
        return check_read(found, settled=settled)
    # One method, or a revision of it, stands among what is published.
    published = () if base is not None else submission_files.read_all(FOLDER)
    return check_read(found, before, [*others, *published], whole=False, settled=settled)


def check_read(
    found: Sequence[Submission],
    base: Sequence[Submission] | None = None,
    others: Sequence[Submission] = (),
    whole: bool = True,
    settled: bool = False,
) -> Report:
    """Check submissions that were read; ``whole`` says that all there are must be among them.

    ``others`` are looked at, for copies and confirmed hashes, but not checked.  ``settled`` says
    that all were accepted before: what others and the catalogue changed since is flagged.  Of what
    is in the base everything is, but for what is done to its files: nobody could mend it, and it
    is nothing of what is new.
    """
    around = submission_context.context(found, others, base, found if settled else ())
    accepted = {one.folder: one for one in base or ()}
    findings: list[Finding] = []
    for submission in found:
        findings += _found_in(submission, around, settled, accepted.get(submission.folder))
    if base is not None:
        titles = {one.title for one in found}
        old = [one for one in base if whole or one.title in titles]
        findings += submission_history_rules.append_only(found, old)
    return Report(tuple(found), tuple(findings))


def _found_in(
    submission: Submission, around: Context, settled: bool, before: Submission | None
) -> Iterator[Finding]:
    """Yield what there is to say of a submission, which ``before`` was in the base."""
    for each in submission.unreadable:
        known = before is not None and each in before.unreadable
        yield replace(each, severity="flag") if known else each
    for rule in RULES:
        accepted = before is not None and rule is not submission_history_rules.evidence_holds
        flagged = accepted or (settled and rule in CHANGING)
        for each in itertools.islice(rule(submission, around), MOST_FINDINGS):
            yield replace(each, severity="flag") if flagged else each


def tier(submission: Submission, report: Report) -> Tier:
    """Return a sound submission's tier: reproduced with evidence that agrees, else submitted."""
    if not submission.evidence or report.of(submission):
        return "submitted"
    sound, _ = submission_evidence.sorted_out(submission)
    if not sound:
        return "submitted"
    found = submission_evidence.judged(submission, sound.values())
    return "reproduced" if found.verdict == "agrees" else "submitted"
