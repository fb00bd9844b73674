"""What evidence of verifications is worth: derived from its raw returns, whatever it claims.

The verified cells are drawn by the hashes of the submission's files and the verifier's name.
Whoever submits does not know who will verify, so he cannot try out files until the draw suits him;
and further verifiers draw other cells.
Compared is what the board counts: the last evaluation, the mean of the last ten, or the best.

Re-rolled policies are the submitted ones: they agree almost by construction, and say nothing of
what training yields.  They confirm only where nobody trained seeds anew; else those decide alone.

Several people may verify.  All files of one are one verifier's.  Those whose own data conclude
(agree, or differ) are counted: of two or more, over half are the verdict, and halves decide
nothing.  Where fewer conclude, the runs of all are pooled and judged together.  So one verifier,
however much data he brings, overrules no two who agree and no two who differ, and evidence that
says nothing by itself turns nobody's verdict into the other one.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from datumrl.leaderboard import names, submission_counted
from datumrl.leaderboard.agreement import CLEAR, Agreement, Verdict
from datumrl.leaderboard.attainable import bounds_in
from datumrl.leaderboard.submission_comparison import compared, unmeasured
from datumrl.leaderboard.submission_context import (
    dataset_of,
    is_author,
    says_something,
    telling,
)
from datumrl.leaderboard.submission_copies import share, telling_episodes
from datumrl.leaderboard.submission_files import Submission
from datumrl.leaderboard.submission_run_rules import outside_protocol, unattainable
from datumrl.leaderboard.submission_schema import (
    DatasetResult,
    Evidence,
    SeedRun,
    evidence_number,
)

_Before = Sequence[tuple[str, str, SeedRun]]  # runs of earlier evidence: file, kind, run
_ANEW = "retrained"
_SHOWN = 3
_CONCLUSIVE: tuple[Verdict, ...] = ("agrees", "differs")


@dataclass(frozen=True)
class Judgement:
    """The verdict on a submission, and what it rests on."""

    verdict: Verdict
    pooled: Agreement  # of the runs that were judged together
    verifiers: tuple[tuple[str, Verdict], ...]  # each one's name and what his own data say
    outvoted: tuple[str, ...]  # the minority, whose runs are not among the pooled ones
    rerolled: tuple[str, ...]  # whose re-rolled policies do not count beside seeds trained anew
    unmeasured: tuple[str, ...]  # datasets whose score the evidence cannot measure, and why

    def __str__(self) -> str:
        told = (
            f"{self.verdict}, mean difference between {self.pooled.low:.1f} and "
            f"{self.pooled.high:.1f} points (90%)"
        )
        if self.verdict == "inconclusive" and self.pooled.blind:
            told += f"; {without_notice(self.pooled)}"
        if self.outvoted:
            told += ", without " + " and ".join(f"{name}'s" for name in self.outvoted) + " runs"
        if len(self.verifiers) > 1:
            told += "; " + ", ".join(f"{name}: {verdict}" for name, verdict in self.verifiers)
        if self.rerolled:
            told += (
                f"; seeds trained anew decide, not the policies re-rolled by "
                f"{' and '.join(self.rerolled)}"
            )
        return "; ".join((told, *self.unmeasured))


def without_notice(found: Agreement) -> str:
    """Return on which datasets a large difference could go unseen, and the remedy."""
    shown = ", ".join(found.blind[:_SHOWN]) + (" and others" if len(found.blind) > _SHOWN else "")
    return f"a difference of {CLEAR:g} points on {shown} could go unseen: more seeds would show it"


def submitted_files(submission: Submission) -> dict[str, str]:
    """Return the sha256 of every file that evidence is about."""
    return {name: each for name, each in submission.hashes.items() if not evidence_number(name)}


def drawn(
    files: Mapping[str, str], verified_by: str, datasets: Sequence[str], count: int
) -> list[str]:
    """Return ``count`` datasets to verify, drawn by the hashes of the files and who verifies."""
    known = [sorted(files.items()), names.alike(verified_by)]
    seed = hashlib.sha256(json.dumps(known).encode()).digest()
    order = sorted(datasets, key=lambda name: hashlib.sha256(seed + name.encode()).digest())
    return sorted(order[:count])


def sorted_out(submission: Submission) -> tuple[dict[str, Evidence], dict[str, list[str]]]:
    """Return the evidence that says something, and why the rest does not, by file name."""
    sound: dict[str, Evidence] = {}
    wrong: dict[str, list[str]] = {}
    for name, evidence in submission.evidence.items():
        found = problems(submission, evidence, sound)
        if found:
            wrong[name] = found
        else:
            sound[name] = evidence
    return sound, wrong


def problems(
    submission: Submission, evidence: Evidence, earlier: Mapping[str, Evidence]
) -> list[str]:
    """Return why evidence says nothing of a submission, beside earlier files; empty if it does."""
    found = []
    if is_author(submission, evidence.verified_by) or not says_something(evidence.verified_by):
        what = "an author" if says_something(evidence.verified_by) else "nobody's name"
        found.append(f"{evidence.verified_by!r} is {what}; somebody else has to verify")
    if (evidence.method, evidence.revision) != submission.folder:
        found.append("it is of another submission")
    if evidence.files != submitted_files(submission):
        found.append("it is of other files (their sha256 differ)")
    by_dataset = {result.dataset: result for result in submission.results.values()}
    cells = [cell.dataset for cell in evidence.cells]
    wanted = drawn(evidence.files, evidence.verified_by, sorted(by_dataset), evidence.sampled)
    if sorted(cells) != wanted:
        found.append(
            f"its cells are not the {evidence.sampled} that the files' hashes and its name draw"
        )
        return found
    for cell in evidence.cells:
        result = by_dataset[cell.dataset]
        before = [
            (name, each.kind, run)
            for name, each in earlier.items()
            for other in each.cells
            for run in other.runs
            if other.dataset == cell.dataset
        ]
        told = (
            *_of_seeds(result, cell.runs, evidence.kind, before),
            *_of_points(result, cell.runs, evidence.kind),
            *_of_copies(result, cell.runs, evidence.kind, before),
        )
        found += [f"{cell.dataset}{each}" for each in told]
    return found


def _of_seeds(
    result: DatasetResult, runs: Sequence[SeedRun], kind: str, before: _Before
) -> Iterator[str]:
    submitted = {run.seed for run in result.runs}
    seeds = [run.seed for run in runs]
    if len(set(seeds)) < len(seeds):
        yield ": a seed is there twice"
    if kind == "re-rolled" and set(seeds) != set(submission_counted.finished(result.runs)):
        yield ": it has to re-roll every seed that did not fail, no other"
    if kind == _ANEW:
        if set(seeds) & submitted or len(seeds) < 2:
            yield ": at least two new seeds are needed, none of the submitted ones"
        known = {run.seed: name for name, other, run in before if other == kind}
        for seed in sorted(set(seeds) & known.keys()):
            yield f": seed {seed} is in {known[seed]} already; train others"


def _of_points(result: DatasetResult, runs: Sequence[SeedRun], kind: str) -> Iterator[str]:
    dataset = dataset_of(result.dataset)
    told = result.protocol.environment
    limits = bounds_in(dataset, told) if dataset is not None else None
    wanted = submission_counted.counted_steps(result) if kind == _ANEW else _last_step(result)
    for run in runs:
        where = f", seed {run.seed}"
        steps = tuple(point.step for point in run.evaluations)
        if run.status == "complete" and not run.evaluations:
            yield f"{where}: no returns"
        elif run.status == "complete" and wanted and not _measures(steps, wanted, result, kind):
            yield f"{where}: not evaluated at the steps that count"
        for point in run.evaluations:
            for message in outside_protocol(result, point):
                yield f"{where}: {message}"
            if limits is not None and (message := unattainable(limits, point)):
                yield f"{where}: {message}"


def _measures(
    steps: tuple[int, ...], wanted: tuple[int, ...], result: DatasetResult, kind: str
) -> bool:
    """Say whether evaluations are those that count; of more, the best is better by luck."""
    if kind == _ANEW and result.protocol.checkpoint == "best":
        return steps == wanted
    increase = all(earlier < later for earlier, later in itertools.pairwise(steps))
    return increase and steps[-len(wanted) :] == wanted


def _of_copies(
    result: DatasetResult, runs: Sequence[SeedRun], kind: str, before: _Before
) -> Iterator[str]:
    known = {telling(point.returns): name for name, _, run in before for point in run.evaluations}
    known |= {
        telling(point.returns): "the submission" for run in result.runs for point in run.evaluations
    }
    known.pop(None, None)
    rule = result.protocol.checkpoint if kind == _ANEW else "last"
    there = [("the submission", telling_episodes(run, rule)) for run in result.runs]
    there += [(name, telling_episodes(run, rule)) for name, _, run in before]
    for run in runs:
        sources = {known.get(telling(point.returns), "") for point in run.evaluations}
        episodes = telling_episodes(run, rule)
        sources |= {name for name, others in there if share(episodes, others)}
        for source in sorted(sources - {""}):
            yield f", seed {run.seed}: returns copied from {source}"


def _last_step(result: DatasetResult) -> tuple[int, ...]:
    return submission_counted.counted_steps(result)[-1:]


def judged(submission: Submission, evidence: Iterable[Evidence]) -> Judgement:
    """Return what sound evidence (see `sorted_out`), at least one file, says of a submission."""
    by_verifier: dict[str, list[Evidence]] = defaultdict(list)
    for each in evidence:
        by_verifier[names.alike(each.verified_by)].append(each)
    shown = {name: own[0].verified_by for name, own in by_verifier.items()}
    anew = {
        name: trained
        for name, own in by_verifier.items()
        if (trained := [each for each in own if each.kind == _ANEW])
    }
    alone = {name: compared(submission, anew.get(name, own)) for name, own in by_verifier.items()}
    deciding = anew or by_verifier
    agreeing, differing = (
        [name for name in deciding if alone[name].verdict == one] for one in _CONCLUSIVE
    )
    fewer, more = sorted((agreeing, differing), key=len)
    minority = fewer if len(fewer) < len(more) else []
    rest = [each for name, own in deciding.items() if name not in minority for each in own]
    single = next(iter(deciding)) if len(deciding) == 1 else None
    pooled = alone[single] if single is not None else compared(submission, rest)
    return Judgement(
        _voted(len(agreeing), len(differing), pooled.verdict),
        pooled,
        tuple((shown[name], found.verdict) for name, found in alone.items()),
        tuple(shown[name] for name in minority),
        tuple(shown[name] for name, own in by_verifier.items() if anew and _any_rerolled(own)),
        tuple(unmeasured(submission, rest)),
    )


def _any_rerolled(evidence: Iterable[Evidence]) -> bool:
    return any(each.kind != _ANEW for each in evidence)


def _voted(agreeing: int, differing: int, pooled: Verdict) -> Verdict:
    """Return the verdict of those who conclude, or if they are fewer than two, of pooled runs."""
    if agreeing + differing < 2:
        contrary = {"agrees": differing, "differs": agreeing, "inconclusive": 0}[pooled]
        return "inconclusive" if contrary else pooled
    if agreeing == differing:
        return "inconclusive"
    return "agrees" if agreeing > differing else "differs"
