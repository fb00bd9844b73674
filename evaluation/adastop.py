"""AdaStop: compare algorithms while their runs come in, and stop as early as the level allows.

After Mathieu, Della Vecchia, Shilova, Centa, Kohler, Maillard, Preux: AdaStop: adaptive statistical
testing for sound comparisons of Deep RL agents (arXiv:2306.10882): every interim brings ``runs``
new scores of each algorithm still in question, a permutation test decides what it can, and the
level is spent evenly over the interims.  One score per run; scores of several tasks either become
one suite score per seed (the default way: it asks one question and needs fewest runs), or one
family over comparisons and datasets: name the entries ``"iql@hopper"`` and give the comparisons.

**How the family-wise error is held** (``procedure="closed"``, a departure from the paper).  A set
of algorithms, connected by comparisons, is tested for being all alike: its runs are relabelled
jointly within each block and the largest pairwise statistic is compared.  A comparison is decided
once every such set that holds both its algorithms is rejected.  A set of s of the L algorithms is
tested at level ``alpha * s / L``, or at ``alpha * c / L`` if no comparison among the c algorithms
that comparisons connect to it lies outside it.  Were a true null decided, the set of all its equals
connected to it would have been rejected; these sets are disjoint, each test is exact in finite
samples, and their levels add up to at most ``alpha`` (proof in ``adastop_design.set_level``): the
error is at most ``alpha`` whichever comparisons are null.  The null says that two algorithms'
scores have the same distribution.  What is not decided by the last interim is called ``equal``: no
difference was found.

The paper's step-down over the largest statistic, with three ways to permute, and the released
package's rule, which does not hold its level, are in ``stepdown``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from datumrl.datasets import files
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import metrics, permutation_paths, stepdown
from datumrl.evaluation.adastop_design import Design, connected_sets, set_level

SCHEMA = "datumrl-adastop/1"
DECISIONS = ("larger", "smaller", "equal", "continue")

Scores = Mapping[str, Sequence[float]]  # algorithm -> one score per run


@dataclass(frozen=True)
class Comparison:
    """Is ``first`` larger or smaller than ``second``?  ``interim`` counts from 1, once decided."""

    first: str
    second: str
    decision: str = "continue"
    interim: int | None = None


@dataclass(frozen=True)
class State:
    """A design, the scores so far and what they decided.  ``blocks[k]``: algorithm -> scores."""

    design: Design
    blocks: tuple[dict[str, tuple[float, ...]], ...]
    comparisons: tuple[Comparison, ...]

    @property
    def finished(self) -> bool:
        """Return whether every comparison is decided."""
        return not self.wanted

    @property
    def wanted(self) -> tuple[str, ...]:
        """Return the algorithms that the next interim needs new scores of."""
        open_ = {
            name
            for c in self.comparisons
            if c.decision == "continue"
            for name in (c.first, c.second)
        }
        return tuple(name for name in self.design.algorithms if name in open_)

    @property
    def runs_used(self) -> dict[str, int]:
        """Return how many scores of each algorithm were used."""
        return {
            name: sum(len(block.get(name, ())) for block in self.blocks)
            for name in self.design.algorithms
        }


def start(design: Design) -> State:
    """Return the state before any score."""
    return State(design, (), tuple(Comparison(*pair) for pair in design.pairs))


def update(state: State, scores: Scores) -> State:
    """Return the state after one more interim: ``design.runs`` new scores of each wanted algorithm.

    Pure, and a function of the design and all scores: resuming gives the same decisions.
    """
    design = state.design
    block = _checked_block(state, scores)
    blocks = (*state.blocks, block)
    interim = len(blocks)
    pending = [c.decision == "continue" for c in state.comparisons]
    if design.procedure == "closed":
        found = _closed(design, blocks, pending)
    else:
        decided = [c.interim or 0 for c in state.comparisons]
        found = stepdown.rejections(design, array(design, blocks), decided)
    comparisons = list(state.comparisons)
    for index in np.flatnonzero(pending):
        comparison = comparisons[index]
        if found[index]:
            decision = _direction(comparison, blocks)
        elif interim == design.interims:
            decision = "equal"
        else:
            continue
        comparisons[index] = replace(comparison, decision=decision, interim=interim)
    return State(design, blocks, tuple(comparisons))


def save(path: Path, state: State) -> None:
    """Write a state as JSON."""
    files.write_json(path, to_json(state))


def load(path: Path) -> State:
    """Read a state that ``save`` wrote."""
    return from_json(files.read_json(path))


def to_json(state: State) -> dict[str, Any]:
    """Return a state as what JSON can hold."""
    return {
        "schema": SCHEMA,
        "design": asdict(state.design),
        "blocks": [{name: list(values) for name, values in b.items()} for b in state.blocks],
        "comparisons": [asdict(comparison) for comparison in state.comparisons],
    }


def from_json(content: Any) -> State:
    """Return the state that ``to_json`` wrote; anything else is refused."""
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise DatumrlError(f"this is not a comparison's state of schema {SCHEMA}; check the file")
    try:
        if set(content) != {"schema", "design", "blocks", "comparisons"}:
            raise ValueError(f"fields {sorted(content)}")
        raw = dict(content["design"])
        if not isinstance(raw["algorithms"], list):
            raise ValueError(f"algorithms {raw['algorithms']!r}")
        raw["algorithms"] = tuple(raw["algorithms"])
        if not isinstance(raw["comparisons"], str):
            raw["comparisons"] = tuple((a, b) for a, b in raw["comparisons"])
        state = start(Design(**raw))
        saved = tuple(Comparison(**entry) for entry in content["comparisons"])
        for interim, block in enumerate(content["blocks"], start=1):
            checked = _checked_block(state, block)
            # The comparisons as they stood then; what they decided is taken as saved.
            then = tuple(
                c
                if c.interim is not None and c.interim <= interim
                else Comparison(c.first, c.second)
                for c in saved
            )
            state = State(state.design, (*state.blocks, checked), then)
        if state.comparisons != saved or any(not _sound(c, state) for c in saved):
            raise ValueError("its comparisons do not fit its design and scores")
        if [(c.first, c.second) for c in saved] != list(state.design.pairs):
            raise ValueError("its comparisons are not those of its design")
    except DatumrlError:
        raise
    except (TypeError, ValueError, KeyError, AttributeError) as problem:
        raise DatumrlError(
            f"the state of a comparison is damaged ({problem}); restore it or start again"
        ) from None
    return state


def _sound(comparison: Comparison, state: State) -> bool:
    last = state.design.interims
    if comparison.decision == "continue":
        return comparison.interim is None and len(state.blocks) < last
    if comparison.decision == "equal":
        return comparison.interim == last
    return comparison.decision in DECISIONS and comparison.interim in range(1, last + 1)


def _checked_block(state: State, scores: Scores) -> dict[str, tuple[float, ...]]:
    wanted, runs = state.wanted, state.design.runs
    if not wanted:
        raise DatumrlError("every comparison is decided; start a new design for more scores")
    if set(scores) != set(wanted):
        raise DatumrlError(
            f"scores of {', '.join(map(str, scores)) or 'nothing'}: this interim needs exactly "
            f"those of {', '.join(wanted)}"
        )
    block = {}
    for name in wanted:
        if np.ndim(scores[name]) != 1 or np.asarray(scores[name]).dtype.kind not in "iuf":
            raise DatumrlError(
                f"{name}: give a list of numbers, one score per run; of several tasks take the "
                "mean over them for each seed"
            )
        values = tuple(float(value) for value in scores[name])
        if len(values) != runs:
            raise DatumrlError(
                f"{name}: {len(values)} scores; this design needs {runs} per interim"
            )
        if not all(abs(value) <= metrics.LARGEST for value in values):
            raise DatumrlError(
                f"{name}: a score of {values} is not finite, or beyond {metrics.LARGEST:g}; a "
                "failed run needs a score that you choose for all failed runs before comparing"
            )
        block[name] = values
    return block


def array(design: Design, blocks: Sequence[Scores]) -> np.ndarray:
    """Return scores ``(interims so far, algorithms, runs)``; NaN where an algorithm had stopped."""
    missing = (math.nan,) * design.runs
    return np.array([[block.get(name, missing) for name in design.algorithms] for block in blocks])


def _direction(comparison: Comparison, blocks: Sequence[Scores]) -> str:
    first, second = (
        sum(math.fsum(block[name]) for block in blocks)
        for name in (comparison.first, comparison.second)
    )
    return "larger" if first > second else "smaller"


def _closed(design: Design, blocks: Sequence[Scores], pending: Sequence[bool]) -> np.ndarray:
    """Return which pending comparisons are decided: those outside every set that stays."""
    scores = array(design, blocks)
    edges = list(zip(design.edges, pending, strict=True))
    open_edges = [edge for edge, open_ in edges if open_]
    decided = [edge for edge, open_ in edges if not open_]
    kept: list[frozenset[int]] = []
    by_size: dict[int, list[frozenset[int]]] = {}
    for members in connected_sets(design.edges):
        by_size.setdefault(len(members), []).append(members)
    # From the largest down: sets within one that stays decide nothing.  Before those between, the
    # pairs: they cost least, and early on none of them can be rejected.
    for size in dict.fromkeys((max(by_size), 2, *sorted(by_size, reverse=True))):
        sets = [
            members for members in by_size[size] if _matters(members, open_edges, decided, kept)
        ]
        if sets:
            kept += _not_rejected(design, scores, sets)
    return np.array(
        [
            open_ and not any(a in members and b in members for members in kept)
            for (a, b), open_ in zip(design.edges, pending, strict=True)
        ]
    )


def _matters(
    members: frozenset[int],
    open_edges: Sequence[tuple[int, int]],
    decided: Sequence[tuple[int, int]],
    kept: Sequence[frozenset[int]],
) -> bool:
    """Return whether keeping a set would keep a comparison open that no kept set keeps open yet.

    A set with a decided comparison was rejected at an earlier interim.
    """
    if any(a in members and b in members for a, b in decided):
        return False
    inside = [(a, b) for a, b in open_edges if a in members and b in members]
    return any(not any(a in each and b in each for each in kept) for a, b in inside)


def _not_rejected(
    design: Design, scores: np.ndarray, sets: Sequence[frozenset[int]]
) -> list[frozenset[int]]:
    levels = [set_level(design, each) for each in sets]
    found = permutation_paths.rejections(*of_sets(design, scores, sets), levels, design.interims)
    return [each for each, interim in zip(sets, found, strict=True) if not interim]


def of_sets(
    design: Design, scores: np.ndarray, sets: Sequence[frozenset[int]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Return what ``permutation_paths.largest_statistics`` takes for sets of one size.

    ``scores (interims so far, algorithms, runs)``.
    """
    members = np.array([sorted(each) for each in sets])
    compared = {frozenset(edge) for edge in design.edges}
    edges = np.array(
        [
            [frozenset(pair) in compared for pair in itertools.combinations(row, 2)]
            for row in members.tolist()
        ]
    )
    paths = permutation_paths.labels(
        len(sets[0]), design.runs, len(scores), design.permutations, design.interims, design.seed
    )
    of_members = scores[:, members].swapaxes(0, 1)
    return of_members, edges, paths, design.statistic == "studentized"
