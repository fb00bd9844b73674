"""Rules on the runs of a submission: seeds, episodes, returns.  One function per rule."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator

from datumrl.datasets.record import DatasetRecord, Environment
from datumrl.evaluation.records import COUNTED, NO_ENVIRONMENT, Protocol, unscored
from datumrl.leaderboard.attainable import Bounds, bounds_in
from datumrl.leaderboard.submission_context import Context, dataset_of, error, flag
from datumrl.leaderboard.submission_files import Finding, Submission
from datumrl.leaderboard.submission_schema import (
    METHOD_FILE,
    DatasetResult,
    Point,
    SeedRun,
)

# With 5 seeds each, two methods that never overlap differ with p = 2/252 < 0.01 in a permutation
# test; with 3 the least possible p is 2/20 = 0.1, so no result could tell them apart.
FEWEST_SEEDS = 5
FEW_SEEDS = 10  # fewer are flagged: their intervals cover less than they say
FEWEST_EPISODES = 10  # per evaluation point, as D4RL's publications have it
_SHOWN = 5


def distinct_seeds(submission: Submission, context: Context) -> Iterator[Finding]:
    """Seeds differ, there are enough of them, and none is missing or was chosen unsaid."""
    rule = "distinct-seeds"
    for name, result in submission.results.items():
        seeds = [run.seed for run in result.runs]
        seed, count = Counter(seeds).most_common(1)[0]
        if count > 1:
            yield error(rule, submission, f"seed {seed} is there {count} times; keep one", name)
        distinct = len(set(seeds))
        if distinct < FEWEST_SEEDS:
            message = (
                f"{distinct} seeds, but {FEWEST_SEEDS} are needed (with fewer, no test can tell "
                "methods apart reliably); train more seeds"
            )
            yield error(rule, submission, message, name)
        elif distinct < FEW_SEEDS:
            yield flag(rule, submission, f"{distinct} seeds; {FEW_SEEDS} say more", name)
        gaps = max(seeds) - min(seeds) + 1 - distinct
        if 0 < gaps <= distinct:
            message = (
                f"seeds {min(seeds)} to {max(seeds)} lack {gaps} in between; a failed seed is "
                "submitted as failed, not left out"
            )
            yield flag(rule, submission, message, name)
        elif gaps:
            message = (
                f"{distinct} seeds between {min(seeds)} and {max(seeds)}, not consecutive: nothing "
                "says how they were chosen"
            )
            yield flag(rule, submission, message, name)


def tuning_seeds_apart(submission: Submission, context: Context) -> Iterator[Finding]:
    """No seed that settings were chosen on is among those reported."""
    if submission.method is None:
        return
    tuned = set(submission.method.tuning.seeds)
    for name, result in submission.results.items():
        both = sorted(tuned & {run.seed for run in result.runs})
        if both:
            shown = ", ".join(map(str, both[:_SHOWN]))
            message = f"seeds {shown} were used for tuning too; report others"
            yield error("tuning-seeds-apart", submission, message, name)


def failures_are_told(submission: Submission, context: Context) -> Iterator[Finding]:
    """Exactly the failed runs say why; they stay, and are seen."""
    rule = "failures-are-told"
    for name, result in submission.results.items():
        for run in result.runs:
            if (run.status == "failed") != (run.failure is not None):
                message = f"seed {run.seed} is {run.status}; give `failure` for failed runs only"
                yield error(rule, submission, message, name)
        failed = [run.seed for run in result.runs if run.status == "failed"]
        if failed:
            told = (
                f"{len(failed)} of {len(result.runs)} seeds failed; the board will not rank the "
                "method in a table that ranks over this dataset"
            )
            yield flag(rule, submission, told, name)


def evaluation_points(submission: Submission, context: Context) -> Iterator[Finding]:
    """Complete runs are evaluated at the same steps, the last of training included, and enough."""
    rule = "evaluation-points"
    for name, result in submission.results.items():
        checkpoint = result.protocol.checkpoint
        needed = COUNTED[checkpoint]
        usual = Counter(_steps(run) for run in result.runs if run.status == "complete")
        expected = usual.most_common(1)[0][0] if usual else None
        for run in result.runs:
            steps = _steps(run)
            if any(later <= earlier for earlier, later in itertools.pairwise(steps)):
                message = f"seed {run.seed}: steps of evaluation must increase; sort them"
                yield error(rule, submission, message, name)
            if run.status == "failed":
                continue
            if not steps or steps[-1] != result.budget.steps:
                reached = steps[-1] if steps else "none"
                message = (
                    f"seed {run.seed}: the last evaluation is at step {reached}, training ends at "
                    f"{result.budget.steps}; evaluate the last policy, or record the run as failed"
                )
                yield error(rule, submission, message, name)
            elif len(steps) < needed:
                message = (
                    f"seed {run.seed}: {len(steps)} evaluations, but {checkpoint!r} is the mean "
                    f"of {needed}; evaluate more often, or use 'last'"
                )
                yield error(rule, submission, message, name)
            elif steps != expected:
                message = f"seed {run.seed} is evaluated at other steps than the rest; keep all"
                yield error(rule, submission, message, name)


def episodes(submission: Submission, context: Context) -> Iterator[Finding]:
    """Every point has the protocol's number of episodes, none longer than the time limit."""
    rule = "episodes"
    for name, result in submission.results.items():
        wanted = result.protocol.episodes
        if wanted < FEWEST_EPISODES:
            message = f"{wanted} episodes per evaluation; at least {FEWEST_EPISODES} are needed"
            yield error(rule, submission, message, name)
        for run, point in _points(result):
            for message in outside_protocol(result, point):
                where = f"seed {run.seed}, step {point.step}"
                yield error(rule, submission, f"{where}: {message}", name)


def outside_protocol(result: DatasetResult, point: Point) -> Iterator[str]:
    """Yield how an evaluation's episodes are not those of the protocol, and the remedy."""
    wanted, limit = result.protocol.episodes, result.protocol.time_limit
    if not len(point.returns) == len(point.lengths) == wanted:
        yield (
            f"{len(point.returns)} returns and {len(point.lengths)} lengths, but the protocol says "
            f"{wanted} episodes; give every episode"
        )
    if max(point.lengths) > limit:
        yield (
            f"an episode of {max(point.lengths)} steps is longer than the time limit {limit}; cut "
            "episodes off there"
        )


def protocol_is_the_datasets(submission: Submission, context: Context) -> Iterator[Finding]:
    """Policies are evaluated in an environment of the dataset's scores, up to its time limit.

    In any other, returns are flagged; its time limit is the one that is recorded (`episodes`).
    """
    rule = "protocol-is-the-datasets"
    for name, result in submission.results.items():
        dataset, told = dataset_of(result.dataset), result.protocol
        if dataset is None:
            continue
        if dataset.environment is None and told.environment == NO_ENVIRONMENT:
            continue
        elsewhere = _elsewhere(dataset, told)
        if elsewhere:
            yield flag(rule, submission, elsewhere, name)
        used = dataset.environment_called(told.environment)
        for message in _otherwise(used, told) if used is not None else ():
            yield error(rule, submission, message, name)
        if not told.engine:
            message = "no engine version is given; name the packages that moved the environment"
            yield error(rule, submission, message, name)


def _otherwise(used: Environment, told: Protocol) -> Iterator[str]:
    """Yield how a known environment is not as it has to be; any other's limit is what it says."""
    if used.settings != told.environment_kwargs:
        yield (
            f"environment_kwargs must be {used.settings}; evaluate with `datumrl.evaluate` or "
            "a Recorder"
        )
    if used.time_limit and told.time_limit != used.time_limit:
        yield (
            f"time limit {told.time_limit}, but {told.dataset} has {used.time_limit}; evaluate "
            "with that"
        )


def _elsewhere(dataset: DatasetRecord, told: Protocol) -> str:
    """Return how a protocol's environment is not that of the dataset's scores, "" if it is."""
    if dataset.reference is not None:
        reason = unscored(dataset, told)
        return f"{reason}: shown as returns, not as scores" if reason else ""
    if dataset.environment is None or dataset.environment_called(told.environment) is not None:
        return ""
    return f"measured in {told.environment}, while {dataset.id} has {dataset.environment.id}"


def attainable_returns(submission: Submission, context: Context) -> Iterator[Finding]:
    """No episode's return is beyond what its environment can give."""
    for name, result in submission.results.items():
        dataset = dataset_of(result.dataset)
        if dataset is None:
            continue
        limits = bounds_in(dataset, result.protocol.environment)
        for run, point in _points(result):
            message = unattainable(limits, point)
            if message:
                where = f"seed {run.seed}, step {point.step}"
                yield error("attainable-returns", submission, f"{where}: {message}", name)


def unattainable(limits: Bounds, point: Point) -> str:
    """Return which of an evaluation's returns none can have, and the remedy; "" if all can be."""
    for value, length in zip(point.returns, point.lengths, strict=False):
        low, high = limits.of(length)
        if not low - 1e-6 <= value <= high + 1e-6:
            return (
                f"return {value:g} of {length} steps lies outside [{low:g}, {high:g}]: "
                f"{limits.why}; give raw undiscounted returns"
            )
    return ""


def tuning_configurations(submission: Submission, context: Context) -> Iterator[Finding]:
    """A different configuration for every dataset is tuning, and is told as such."""
    if submission.method is None or submission.method.tuning.configurations > 1:
        return
    results = submission.results.values()
    distinct = {_settings(result) for result in results}
    if len(distinct) > 1:
        message = (
            f"{len(distinct)} configurations or budgets over {len(results)} datasets, yet tuning "
            "says one: chosen elsewhere, e.g. taken from a paper"
        )
        yield flag("tuning-configurations", submission, message, METHOD_FILE)


def _settings(result: DatasetResult) -> str:
    """Return what may be tuned: hyper-parameters, when training stops, what is done to rewards."""
    budget = result.budget
    told = (result.configuration, budget.steps, budget.preset, budget.reward_transform)
    return json.dumps(told, sort_keys=True)


def _steps(run: SeedRun) -> tuple[int, ...]:
    return tuple(point.step for point in run.evaluations)


def _points(result: DatasetResult) -> Iterator[tuple[SeedRun, Point]]:
    for run in result.runs:
        for point in run.evaluations:
            yield run, point
