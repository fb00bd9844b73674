"""Rules on a submission among others: nothing rewritten, nothing copied, evidence by others."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from datumrl.leaderboard import submission_evidence
from datumrl.leaderboard.submission_context import (
    Context,
    error,
    flag,
    is_author,
    return_vectors,
)
from datumrl.leaderboard.submission_files import Finding, Submission
from datumrl.leaderboard.submission_schema import EVIDENCE_FILE, METHOD_FILE


def append_only(found: Sequence[Submission], base: Sequence[Submission]) -> Iterator[Finding]:
    """What was submitted stays as it is, to the byte; only evidence may be added to it."""
    rule = "append-only"
    by_title = {one.title: one for one in found}
    for old in base:
        new = by_title.get(old.title)
        if new is None:
            message = "was submitted before and is gone; restore it (a new revision supersedes it)"
            yield error(rule, old, message)
            continue
        for name, sha256 in old.hashes.items():
            if new.hashes.get(name) != sha256:
                change = "changed" if name in new.hashes else "removed"
                message = f"was {change}; restore it, and put what is new into a new revision"
                yield error(rule, new, message, name)
        for name in sorted(new.hashes.keys() - old.hashes.keys() - {EVIDENCE_FILE}):
            message = "was added to a revision that is submitted already; make a new revision"
            yield error(rule, new, message, name)


def supersedes_the_last(submission: Submission, context: Context) -> Iterator[Finding]:
    """The first revision supersedes nothing, each further one the revision before it."""
    if submission.method is None:
        return
    numbers = [
        one.number
        for one in context.known
        if one.folder[0] == submission.folder[0] and 0 < one.number < submission.number
    ]
    expected = f"r{max(numbers)}" if numbers else None
    if submission.number > 1 and not numbers:
        yield error("supersedes", submission, "there is no earlier revision; call this one r1")
    elif submission.method.supersedes != expected:
        told = submission.method.supersedes or "nothing"
        message = f"supersedes {told}; it has to be {expected or 'nothing'}"
        yield error("supersedes", submission, message, METHOD_FILE)


def names_taken_once(submission: Submission, context: Context) -> Iterator[Finding]:
    """No two methods are shown under one name: their rows would be taken for one method's."""
    if submission.method is None:
        return
    name = _plain(submission.method.name)
    for other in context.known:
        if other.method is None or other.folder[0] == submission.folder[0]:
            continue
        if _plain(other.method.name) == name:
            message = f"{other.title} is called {other.method.name!r} too; choose another name"
            yield error("names-taken-once", submission, message, METHOD_FILE)


def _plain(name: str) -> str:
    # Compatibility forms: full-width and similar letters count as those they look like.
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())


def identical_returns(submission: Submission, context: Context) -> Iterator[Finding]:
    """No two runs have the same returns of all episodes, in this submission or in another's."""
    rule = "identical-returns"
    for vector, seed, step in return_vectors(submission):
        here = f"{vector[0]}: returns of seed {seed}, step {step}"
        for folder, other_seed, other_step in context.vectors.get(vector, ()):
            there = f"those of seed {other_seed}, step {other_step}"
            if folder == submission.folder:
                if (seed, step) < (other_seed, other_step):
                    remedy = "one is a copy; run it, or leave it out"
                    finding = error if seed != other_seed else flag
                    yield finding(rule, submission, f"{here} are exactly {there}: {remedy}")
            elif folder[0] != submission.folder[0]:
                message = (
                    f"{here} are exactly {there} in {'/'.join(folder)}; submit runs of your own"
                )
                yield error(rule, submission, message)


def evidence_holds(submission: Submission, context: Context) -> Iterator[Finding]:
    """Evidence is somebody else's, comes after the submission, and fits it."""
    evidence, rule = submission.evidence, "evidence-holds"
    if evidence is None or submission.method is None:
        return
    if is_author(submission, evidence.verified_by):
        message = f"{evidence.verified_by!r} is an author; somebody else has to verify"
        yield error(rule, submission, message, EVIDENCE_FILE)
    if context.base is not None and submission.title not in {one.title for one in context.base}:
        message = "evidence comes after the submission, in a change of its own; remove it for now"
        yield error(rule, submission, message, EVIDENCE_FILE)
    problems = submission_evidence.problems(submission, evidence)
    for problem in problems:
        message = f"{problem}; verify anew with `datumrl submit --verify`"
        yield error(rule, submission, message, EVIDENCE_FILE)
    if not problems:
        found = submission_evidence.judged(submission, evidence)
        if found.verdict != "agrees":
            message = (
                f"{evidence.kind} results: {found.verdict} (mean difference between {found.low:.1f}"
                f" and {found.high:.1f} points)"
            )
            yield flag(rule, submission, message, EVIDENCE_FILE)
