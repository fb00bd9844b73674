"""A whole sequential comparison of ten algorithms: ours against the released AdaStop package.

    python benchmarks/adastop_speed.py [--repeats 3]

The first run makes `.venv-peers-adastop` for the package (constraints in `benchmarks/peers`).

n=5 runs per interim, K=5 interims, B=10,000, level 0.05, all pairs.  Each repeat takes new scores,
gives the same ones to the package (in an environment of its own, as it needs pandas 3) and to ours,
one after the other; only the tests are timed, not imports nor our once-a-machine compilation.
Nothing of the package is scaled: it runs all its interims.  Told B=10,000 it holds only the 252
relabellings of its first block, as it enumerates them; the default procedure of ours uses 10,000
and tests up to 1,013 sets of algorithms.  "same rule" is our compatibility mode, which computes
what the package computes.  Figures are in `docs/speed.md`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from pathlib import Path

import kept_results
import numpy as np
from peers import environments

from datumrl.evaluation import adastop
from datumrl.evaluation.adastop_design import Design
from datumrl.evaluation.provenance import hardware

RUNS, INTERIMS, PERMUTATIONS, ALPHA = 5, 5, 10_000, 0.05
NAMES = tuple(f"a{place}" for place in range(10))
TRUTHS = {
    "all alike": np.zeros(10),
    "last 3 sd above": np.where(np.arange(10) == 9, 3.0, 0.0),
    "groups of 3, 1 sd apart": np.arange(10) // 3 * 1.0,
    "all 3 sd apart": np.arange(10) * 3.0,
}
PEER = """
import json, sys, time
import numpy as np
from adastop import MultipleAgentsComparator
options, scores = json.load(sys.stdin)
tests = MultipleAgentsComparator(**options)
seen = {name: np.zeros(0) for name in scores}
taken = []
while not tests.is_finished:
    for place, name in enumerate(scores):
        if tests.k == 0 or place in tests.current_comparisons:
            seen[name] = np.append(seen[name], scores[name][tests.k])
    began = time.perf_counter()
    tests.partial_compare(seen, verbose=False)
    taken.append(time.perf_counter() - began)
paths = max(map(len, tests.mean_diffs.values()), default=0)
decided = {str(pair): tests.decisions[str(pair)] for pair in tests.comparisons}
print(json.dumps([sum(taken), tests.k, list(decided.values()), paths]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    kept_results.add_option(parser, __file__)
    options = parser.parse_args()
    peer = environments.ready(".venv-peers-adastop", "constraints-adastop.txt", ["adastop"])
    print(hardware())
    print(f"n={RUNS}, K={INTERIMS}, B={PERMUTATIONS:,}, 10 algorithms, {options.repeats} repeats")
    ours(np.zeros((INTERIMS, 10, RUNS)) + np.arange(10)[:, None], "closed", 0)  # compiles
    print(f"{'scores':<26}{'':<22}{'min s':>9}{'median s':>10}{'ratio':>8}   interims, decided")
    found = {truth: compare(truth, means, peer, options.repeats) for truth, means in TRUTHS.items()}
    kept_results.keep(options, found)


def compare(truth: str, means: np.ndarray, peer: Path, repeats: int) -> dict[str, object]:
    """Time all on the same scores, repeat by repeat, print their rows, and return all seconds."""
    times: dict[str, list[float]] = {}
    last = {}
    for seed in range(repeats):
        scores = means[:, None] + np.random.default_rng(seed).normal(size=(INTERIMS, 10, RUNS))
        for name, result in (
            ("adastop 0.1.3", theirs(peer, scores, seed)),
            ("datumrl, same rule", ours(scores, "released", seed)),
            ("datumrl, default", ours(scores, "closed", seed)),
        ):
            times.setdefault(name, []).append(result[0])
            last[name] = result[1:]
    middle = statistics.median(times["adastop 0.1.3"])
    for name, taken in times.items():
        interims, decided = last[name]
        print(
            f"{truth:<26}{name:<22}{min(taken):>9.4f}{statistics.median(taken):>10.4f}"
            f"{middle / statistics.median(taken):>7.0f}x   {interims}, {decided} of 45"
        )
    return {"seconds": times, "interims and decided in the last repeat": last}


def ours(scores: np.ndarray, procedure: str, seed: int) -> tuple[float, int, int]:
    """Return seconds, interims and comparisons decided."""
    began = time.perf_counter()
    design = Design(
        NAMES, RUNS, INTERIMS, ALPHA, permutations=PERMUTATIONS, procedure=procedure, seed=seed
    )
    state = adastop.start(design)
    while not state.finished:
        block = dict(zip(NAMES, scores[len(state.blocks)].tolist(), strict=True))
        state = adastop.update(state, {name: block[name] for name in state.wanted})
    taken = time.perf_counter() - began
    return taken, len(state.blocks), sum(c.decision != "equal" for c in state.comparisons)


def theirs(peer: Path, scores: np.ndarray, seed: int) -> tuple[float, int, int]:
    """Return the same of the package."""
    by_name = {name: scores[:, place].tolist() for place, name in enumerate(NAMES)}
    settings = {"n": RUNS, "K": INTERIMS, "B": PERMUTATIONS, "alpha": ALPHA, "seed": seed}
    done = subprocess.run(
        [str(peer), "-c", PEER],
        input=json.dumps([settings, by_name]),
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, interims, decisions, _ = json.loads(done.stdout)
    return seconds, interims, sum(decision != "equal" for decision in decisions)


if __name__ == "__main__":
    main()
