"""The rule on what a revision leaves out of those before it, or has otherwise: readers see only it.

A revision takes the place of the one before.  Had that one failed seeds, or low ones, a next one
without them would be ranked again, and nobody would know.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from datumrl.leaderboard.submission_context import Context, flag, listed
from datumrl.leaderboard.submission_files import Finding, Submission
from datumrl.leaderboard.submission_schema import METHOD_FILE, DatasetResult, SeedRun

_RULE = "revisions-are-told"
# What changes no return, and is chosen once they are known.
_UNTOLD = {"protocol": {"checkpoint", "online_selection"}, "budget": {"tuning"}}


def revisions_are_told(submission: Submission, context: Context) -> Iterator[Finding]:
    """Seeds and datasets of earlier revisions that are gone, or have other returns, are flagged.

    Compared are results of the same data, settings, budget and protocol.
    """
    earlier = context.before(submission)
    for name, result in submission.results.items():
        before = [
            (one, one.results[name])
            for one in earlier
            if name in one.results and _alike(one.results[name], result)
        ]
        for message in (
            *_left_out(result, before),
            *_otherwise(submission, result, before),
        ):
            yield flag(_RULE, submission, message, name)
    yield from _datasets_left_out(submission, earlier)


def _alike(one: DatasetResult, other: DatasetResult) -> bool:
    """Say whether two results are of one experiment: the same seeds would give the same returns."""
    told = {"dataset", "dataset_sha256", "configuration", *_UNTOLD}
    first, second = (each.model_dump(include=told) for each in (one, other))
    for content in (first, second):
        for part, keys in _UNTOLD.items():
            for key in keys:
                del content[part][key]
    return first == second


_Before = Sequence[tuple[Submission, DatasetResult]]


def _left_out(result: DatasetResult, before: _Before) -> Iterator[str]:
    here = {run.seed for run in result.runs}
    last = {run.seed: (one, run) for one, known in before for run in known.runs}
    gone: dict[str, list[SeedRun]] = defaultdict(list)
    for seed in sorted(last.keys() - here):
        one, run = last[seed]
        gone[one.folder[1]].append(run)
    for revision, runs in gone.items():
        failed = sum(run.status == "failed" for run in runs)
        told = f" ({failed} failed)" if failed else ""
        seeds = listed([run.seed for run in runs])
        yield f"{seeds} of {revision}{told} not here, with equal settings"


def _otherwise(submission: Submission, result: DatasetResult, before: _Before) -> Iterator[str]:
    here = {run.seed: run for run in result.runs}
    for one, known in before:
        if one.method is None or submission.method is None:
            continue
        if one.method.code != submission.method.code:
            continue  # mended code may well give other returns
        runs = [run for run in known.runs if run.seed in here]
        changed = [run.seed for run in runs if _returns_differ(run, here[run.seed])]
        if changed:
            yield (
                f"{listed(changed)} with other returns than in {one.folder[1]}, at the same steps, "
                "settings and commit"
            )
        mended = [
            run.seed
            for run in runs
            if (run.status, here[run.seed].status) == ("failed", "complete")
        ]
        if mended:
            yield f"{listed(mended)} failed in {one.folder[1]}, with the same settings and commit"


def _returns_differ(one: SeedRun, other: SeedRun) -> bool:
    known = {point.step: (point.returns, point.lengths) for point in one.evaluations}
    return any(
        known.get(point.step, told) != told
        for point in other.evaluations
        for told in [(point.returns, point.lengths)]
    )


def _datasets_left_out(submission: Submission, earlier: Sequence[Submission]) -> Iterator[Finding]:
    here = {result.dataset for result in submission.results.values()}
    last = {result.dataset: one for one in earlier for result in one.results.values()}
    for dataset in sorted(last.keys() - here):
        message = f"{last[dataset].folder[1]} has results on {dataset}, which are left out here"
        yield flag(_RULE, submission, message, METHOD_FILE)
