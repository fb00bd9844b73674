"""Which algorithms a permutation test separates: AdaStop's closed test with a single interim.

One score per seed, the mean over the datasets, so that one question is asked.  The closed test
holds the family-wise error at ``alpha`` whichever algorithms are alike (see ``adastop``); beyond
the number of algorithms it can take, the published step-down with independent permutations is used,
which promises less, and the report says which.  Algorithms of too few runs for a test are left out
of that of the others, and named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import adastop, adjusted_p_values, letters, permutation_paths, stepdown
from datumrl.evaluation.adastop import Comparison
from datumrl.evaluation.adastop_design import Design
from datumrl.evaluation.score_table import ScoreTable

_CLOSED_AT_MOST = 12  # algorithms; the number of sets doubles with each
_LISTED = 5  # algorithms named that were not tested
_METHODS = {
    "closed": "closed step-down permutation test",
    "independent": "step-down permutation test with independent permutations",
    "shared": "step-down permutation test with shared permutations",
    "joint": "step-down permutation test with joint permutations",
    "released": "rule of the released adastop 0.1.3 (does not hold its level)",
}


@dataclass(frozen=True)
class GroupTest:
    """What was decided, and how; without decisions, ``reason`` says why there are none.

    ``letters`` is empty where not every pair was compared on one suite score.  ``untested`` are
    algorithms with too few runs for the test of the others, with the reason.
    """

    decisions: tuple[Comparison, ...]
    letters: dict[str, str]
    method: str
    reason: str = ""
    sequential: dict[str, object] | None = None  # runs used and saved, if decided sequentially
    untested: Mapping[str, str] = field(default_factory=dict)
    p_values: Mapping[tuple[str, str], float] = field(
        default_factory=dict
    )  # adjusted, if asked for

    def decision(self, first: str, second: str) -> str | None:
        """Return ``larger``, ``smaller``, ``equal`` of first against second, None if not tested."""
        for each in self.decisions:
            if (each.first, each.second) == (first, second):
                return each.decision
            if (each.first, each.second) == (second, first):
                return {"larger": "smaller", "smaller": "larger"}.get(each.decision, each.decision)
        return None

    def p_value(self, first: str, second: str) -> float | None:
        """Return the adjusted p-value of a pair, None where there is none."""
        return self.p_values.get((first, second), self.p_values.get((second, first)))


def groups(
    table: ScoreTable, ordered: Sequence[str], alpha: float, seed: int, baseline: str | None = None
) -> GroupTest:
    """Return ``separate`` of those of ``ordered`` with enough runs for it; the words name others.

    Without any two of them the reason says how many runs each has.
    """
    counts = {name: len(table.suite_scores(name)) for name in ordered}

    def test(names: Sequence[str]) -> GroupTest:
        return separate(table, names, alpha, seed, baseline, adjusted=True)

    found = with_enough_runs(counts, test, baseline)
    if found.method:
        return replace(found, method=listed(found.method, found.untested.items()))
    if len(set(counts.values())) > 1:
        fewest = sorted(counts.items(), key=lambda each: each[1])
        told = ", ".join(f"{name} has {plural_runs(count)}" for name, count in fewest[:_LISTED])
        return replace(found, reason=f"{found.reason} ({told}{_more(len(fewest))})")
    return found


def with_enough_runs(
    counts: Mapping[str, int],
    test: Callable[[Sequence[str]], GroupTest],
    baseline: str | None = None,
) -> GroupTest:
    """Return the test of all algorithms with enough runs for one, ``baseline`` among them.

    ``counts`` are each algorithm's runs, best first.  One of too few would leave no letter to
    anybody.  Without any test that can decide, returned is that of all.
    """
    every = test(list(counts))
    if every.method:
        return every
    most = max(counts.values()) if baseline is None else counts[baseline]
    for fewest in sorted({count for count in counts.values() if count <= most})[1:]:
        found = test([name for name, count in counts.items() if count >= fewest])
        if found.method:
            few = {name: count for name, count in counts.items() if count < fewest}
            return replace(
                found,
                untested={name: f"{plural_runs(count)}, too few" for name, count in few.items()},
            )
    return every


def listed(test: str, untested: Iterable[tuple[str, str]]) -> str:
    """Return a test in words, with the algorithms that it leaves out and the reasons."""
    told = [f"{title} ({reason})" for title, reason in untested]
    if not told:
        return test
    return f"{test}; not tested: {', '.join(told[:_LISTED])}{_more(len(told))}"


def plural_runs(count: int) -> str:
    """Return ``1 run`` or ``2 runs``."""
    return f"{count} run" if count == 1 else f"{count} runs"


def _more(count: int) -> str:
    return f" and {count - _LISTED} more" if count > _LISTED else ""


def separate(
    table: ScoreTable,
    ordered: Sequence[str],
    alpha: float,
    seed: int,
    baseline: str | None = None,
    permutations: int = 10_000,
    adjusted: bool = False,
) -> GroupTest:
    """Test all pairs of ``ordered`` (best first), or each against ``baseline``.

    ``adjusted`` asks for adjusted p-values, which take as long again.
    """
    if len(ordered) < 2:
        return GroupTest((), {}, "", "fewer than two algorithms have defined scores")
    scores = {name: table.suite_scores(name) for name in ordered}
    runs = min(len(values) for values in scores.values())
    names = tuple(ordered)
    if baseline is not None:
        names = (baseline, *(name for name in ordered if name != baseline))
    procedure = "closed" if len(names) <= _CLOSED_AT_MOST else "independent"
    try:
        design = Design(
            names,
            runs=runs,
            interims=1,
            alpha=alpha,
            comparisons="all-pairs" if baseline is None else "against-first",
            permutations=permutations,
            procedure=procedure,
            seed=seed,
        )
    except DatumrlError as problem:
        return GroupTest((), {}, "", f"no test: {problem}")
    block = {name: values[:runs].tolist() for name, values in scores.items()}
    state = adastop.update(adastop.start(design), block)
    longest = max(len(values) for values in scores.values())
    used = f"{runs} seeds of each" + (f", the first of up to {longest}" if longest > runs else "")
    return GroupTest(
        state.comparisons,
        lettered(ordered, state) if baseline is None else {},
        f"{described(design)}; {_what(table)}; {used}",
        p_values=adjusted_p_values.of_pairs(state) if adjusted else {},
    )


def described(design: Design) -> str:
    """Return a design's procedure, relabellings, level and family in words."""
    count = len(design.pairs)
    family = "1 comparison" if count == 1 else f"{count} comparisons"
    if design.comparisons == "all-pairs":
        family = "all pairs"
    spent = f", {design.interims} interims of {design.runs} runs" if design.interims > 1 else ""
    method = _METHODS[design.procedure]
    if design.procedure == "closed":
        studentised = "studentised " if design.statistic == "studentized" else ""
        method = f"{method} on {studentised}differences of means"
    return (
        f"{method} ({_relabellings(design)}), family-wise alpha {design.alpha:g}, {family}{spent}"
    )


def _relabellings(design: Design) -> str:
    """Return how many relabellings are used, all or drawn, and the seed of the drawn."""
    drawn = f"{design.permutations:,} relabellings, seed {design.seed}"
    if design.procedure == "released":
        return f"at most {drawn}"
    if design.procedure != "closed":
        return "all relabellings" if stepdown.lists_all(design) else drawn

    def enumerated(size: int) -> bool:
        return permutation_paths.all_fit(size, design.runs, design.interims, design.permutations)

    if enumerated(max(map(len, design.components))):
        return "all relabellings"
    return f"all relabellings of pairs; of larger sets {drawn}" if enumerated(2) else drawn


def lettered(ordered: Sequence[str], state: adastop.State) -> dict[str, str]:
    """Return the compact letter display of a state's decisions, if it compared all pairs."""
    if len(state.comparisons) < len(ordered) * (len(ordered) - 1) // 2:
        return {}
    apart = [(c.first, c.second) for c in state.comparisons if c.decision in ("larger", "smaller")]
    return letters.compact(ordered, apart)


def _what(table: ScoreTable) -> str:
    tasks = len(table.common)
    return f"mean over {tasks} tasks per seed" if tasks > 1 else "one score per seed"
