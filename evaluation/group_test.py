"""Which algorithms a permutation test separates: AdaStop's closed test with a single interim.

One score per seed, the mean over the datasets, so that one question is asked.  The closed test
holds the family-wise error at ``alpha`` whichever algorithms are alike (see ``adastop``); beyond
the number of algorithms it can take, the published step-down with independent permutations is used,
which promises less, and the report says which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import adastop, letters
from datumrl.evaluation.adastop import Comparison
from datumrl.evaluation.adastop_design import Design
from datumrl.evaluation.score_table import ScoreTable

_CLOSED_AT_MOST = 12  # algorithms; the number of sets doubles with each
_METHODS = {
    "closed": "closed step-down permutation test on studentised differences of means",
    "independent": "step-down permutation test with independent permutations",
    "shared": "step-down permutation test with shared permutations",
    "joint": "step-down permutation test with joint permutations",
    "released": "rule of the released adastop 0.1.3 (does not hold its level)",
}


@dataclass(frozen=True)
class GroupTest:
    """What was decided, and how; without decisions, ``reason`` says why there are none.

    ``letters`` is empty where not every pair was compared on one suite score.
    """

    decisions: tuple[Comparison, ...]
    letters: dict[str, str]
    method: str
    reason: str = ""
    sequential: dict[str, object] | None = None  # runs used and saved, if decided sequentially

    def decision(self, first: str, second: str) -> str | None:
        """Return ``larger``, ``smaller``, ``equal`` of first against second, None if not tested."""
        for each in self.decisions:
            if (each.first, each.second) == (first, second):
                return each.decision
            if (each.first, each.second) == (second, first):
                return {"larger": "smaller", "smaller": "larger"}.get(each.decision, each.decision)
        return None


def separate(
    table: ScoreTable,
    ordered: Sequence[str],
    alpha: float,
    seed: int,
    baseline: str | None = None,
    permutations: int = 10_000,
) -> GroupTest:
    """Test all pairs of ``ordered`` (best first), or each against ``baseline``."""
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
    )


def described(design: Design) -> str:
    """Return a design's procedure, level and family in words."""
    family = (
        "all pairs" if design.comparisons == "all-pairs" else f"{len(design.pairs)} comparisons"
    )
    spent = f", {design.interims} interims of {design.runs} runs" if design.interims > 1 else ""
    return f"{_METHODS[design.procedure]}, family-wise alpha {design.alpha:g}, {family}{spent}"


def lettered(ordered: Sequence[str], state: adastop.State) -> dict[str, str]:
    """Return the compact letter display of a state's decisions, if it compared all pairs."""
    if len(state.comparisons) < len(ordered) * (len(ordered) - 1) // 2:
        return {}
    apart = [(c.first, c.second) for c in state.comparisons if c.decision in ("larger", "smaller")]
    return letters.compact(ordered, apart)


def _what(table: ScoreTable) -> str:
    tasks = len(table.common)
    return f"mean over {tasks} tasks per seed" if tasks > 1 else "one score per seed"
