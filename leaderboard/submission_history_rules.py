"""Rules on a submission among others: nothing rewritten, nothing copied, evidence by others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from datumrl.leaderboard import names, submission_evidence
from datumrl.leaderboard.submission_context import (
    Context,
    error,
    flag,
    independent,
    listed,
    may_follow,
    owner,
    return_vectors,
)
from datumrl.leaderboard.submission_files import Finding, Submission
from datumrl.leaderboard.submission_schema import (
    EVIDENCE_FILE,
    METHOD_FILE,
    Method,
    evidence_name,
    evidence_number,
)


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
        for name in sorted(new.hashes.keys() - old.hashes.keys()):
            if not evidence_number(name):
                message = "was added to a revision that is submitted already; make a new revision"
                yield error(rule, new, message, name)


def supersedes_the_last(submission: Submission, context: Context) -> Iterator[Finding]:
    """The first revision supersedes nothing, each further one the revision before it."""
    if submission.method is None:
        return
    earlier = context.before(submission)
    expected = earlier[-1].folder[1] if earlier else None
    if submission.number > 1 and not earlier:
        yield error("supersedes", submission, "there is no earlier revision; call this one r1")
    elif submission.method.supersedes != expected:
        told = submission.method.supersedes or "nothing"
        message = f"supersedes {told}; it has to be {expected or 'nothing'}"
        yield error("supersedes", submission, message, METHOD_FILE)


def same_authors(submission: Submission, context: Context) -> Iterator[Finding]:
    """A revision takes the place of the one before: it is of the same people."""
    earlier = context.before(submission)
    before = earlier[-1].method if earlier else None
    if before and submission.method and not may_follow(submission.method, before):
        message = (
            f"{earlier[-1].title} is {by(before)}, none of whom is named here; submit under "
            "another method (the folder's name), or let one of them submit"
        )
        yield error("same-authors", submission, message, METHOD_FILE)


def by(method: Method) -> str:
    """Return who a method is by, in words."""
    shown = ", ".join(method.authors[:3]) + (" and others" if len(method.authors) > 3 else "")
    return f"by {shown} (code of {owner(method)})"


def names_taken_once(submission: Submission, context: Context) -> Iterator[Finding]:
    """No two methods are shown under one name: their rows would be taken for one method's."""
    if submission.method is None or not context.is_last(submission):
        return
    for other in context.known:
        if other.method is None or other.folder[0] == submission.folder[0]:
            continue
        alike = names.shown_as(other.method.name) == names.shown_as(submission.method.name)
        if alike and context.is_last(other):
            message = f"{other.title} is called {other.method.name!r} too; choose another name"
            yield error("names-taken-once", submission, message, METHOD_FILE)


def identical_returns(submission: Submission, context: Context) -> Iterator[Finding]:
    """No two runs have the same returns of all episodes, in this submission or in another's.

    Revisions of a method may share runs; those of other people only if one between them has both.
    """
    rule = "identical-returns"
    own = {
        one.folder
        for one in context.known
        if one.folder[0] == submission.folder[0] and not independent(one, submission)
    }
    others = own - {submission.folder}
    for vector, seed, step in return_vectors(submission):
        here = f"{vector[0]}: returns of seed {seed}, step {step}"
        places = context.vectors.get(vector, ())
        handed_on = any(place[0] in others for place in places)
        for folder, other_seed, other_step in places:
            there = f"those of seed {other_seed}, step {other_step}"
            if folder == submission.folder:
                if (seed, step) < (other_seed, other_step):
                    remedy = "one is a copy; run it, or leave it out"
                    finding = error if seed != other_seed else flag
                    yield finding(rule, submission, f"{here} are exactly {there}: {remedy}")
            elif folder not in own and not (handed_on and folder[0] == submission.folder[0]):
                message = (
                    f"{here} are exactly {there} in {'/'.join(folder)}; submit runs of your own"
                )
                yield error(rule, submission, message)


def shared_episodes(submission: Submission, context: Context) -> Iterator[Finding]:
    """Runs that share most episodes with others are flagged: a copy with some changed is one."""
    for name, result in submission.results.items():
        shared = context.shared.get((submission.folder, result.dataset), {})
        for folder, seeds in sorted(shared.items()):
            if folder[0] == submission.folder[0] and folder != submission.folder:
                continue  # revisions of a method may share runs
            whose = "others here" if folder == submission.folder else f"{'/'.join(folder)}"
            message = (
                f"{listed(sorted(seeds))} with episodes, half or more, that are to the digit those "
                f"of {whose}: copies with some changed would be so"
            )
            yield flag("shared-episodes", submission, message, name)


def evidence_holds(submission: Submission, context: Context) -> Iterator[Finding]:
    """Evidence is somebody else's, comes after the submission, and fits it."""
    rule = "evidence-holds"
    if submission.method is None or not submission.evidence:
        return
    settled = context.settled.get(submission.folder, ())
    if context.base is not None and not settled:
        message = "evidence comes after the submission, in a change of its own; remove it for now"
        yield error(rule, submission, message, next(iter(submission.evidence)))
    for place, name in enumerate(submission.evidence, start=1):
        if evidence_number(name) != place:
            message = f"there is no {evidence_name(place)} before it; call it that"
            yield error(rule, submission, message, name)
    sound, wrong = submission_evidence.sorted_out(submission)
    for name, problems in wrong.items():
        # What was accepted once counts no more, but nobody could mend it.
        finding = flag if name in settled else error
        for problem in problems:
            message = f"{problem}; verify anew with `datumrl submit --verify`"
            yield finding(rule, submission, message, name)
    if sound:
        found = submission_evidence.judged(submission, sound.values())
        if found.verdict != "agrees":
            yield flag(rule, submission, f"new results: {found}", EVIDENCE_FILE)
