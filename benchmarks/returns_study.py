"""Do our reference results agree with policies that d3rlpy 2.8.1 trains on the same data?

    DATUMRL_HOME=... python benchmarks/returns_study.py [--datasets ID ...]
        [--methods iql td3_bc bc] [--seeds 3] [--results FILE]

d3rlpy trains each method with the settings of our defaults (`benchmarks/peers/d3rlpy_policies.py`),
as many updates as the reference results of `leaderboard/baselines` have; its policies are rolled
out by `datumrl.evaluate` under the same protocol.  Printed are both means, and the verdict of the
tests that `datumrl reproduce --train` uses: *agrees* (within 5 points), *differs*, or too few seeds
to tell.  A policy takes half an hour and more of one core; results are written after each, so the
same command goes on where it was killed.  The first run makes `.venv-peers`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers import environments

import datumrl
from datumrl.datasets import files
from datumrl.evaluation import provenance, records
from datumrl.leaderboard import baseline_runs
from datumrl.leaderboard.training_verdict import MARGIN, Pair, Sample, judge
from datumrl.scripts import train_baselines

RESULTS = Path(__file__).parent / "results" / "returns_study.json"
PEER = ("d3rlpy==2.8.1", "gymnasium==1.0.0", "torch==2.13.0")
SCALE = 1000.0  # of IQL's rewards: this over the range of the returns of complete episodes


def ours(dataset: str, method: str) -> tuple[int, list[float]]:
    """Return the updates of the reference results and their scores, in the order of the seeds."""
    folder = baseline_runs.FOLDER / dataset.partition("/")[2] / method
    found = [records.read_record(path) for path in sorted(folder.glob("seed-*.json"))]
    if not found:
        raise SystemExit(f"{folder} holds no reference results; `make baselines` trains them")
    return found[0].budget.steps, [_score(each) for each in found]


def _score(record: records.RunRecord) -> float:
    score = records.score_rows(record)[-1].score
    assert score is not None  # local datasets have reference scores
    return score


def columns(dataset: str, method: str, folder: Path) -> Path:
    """Write a dataset as d3rlpy takes it, once; return the file."""
    path = folder / f"{dataset.replace('/', '-')}-{method}.npz"
    if not path.exists():
        episodes = datumrl.load(dataset)
        rewards = np.asarray(episodes.rewards, np.float32)
        if method == "iql":
            returns = episodes.returns()[episodes.complete()]
            rewards = rewards * np.float32(SCALE / (returns.max() - returns.min()))
        ends = np.zeros(len(rewards), np.float32)
        ends[episodes.starts[1:] - 1] = 1
        terminals = np.asarray(episodes.terminals, np.float32)
        with files.replacing(path) as handle:
            np.savez(
                handle,
                observations=episodes.observations,
                actions=episodes.actions,
                rewards=rewards,
                terminals=terminals,
                timeouts=ends * (1 - terminals),
            )
    return path


def theirs(dataset: str, method: str, steps: int, seed: int, work: Path) -> float:
    """Train one policy by d3rlpy and return its score under our protocol."""
    python = environments.ready(".venv-peers", "constraints-d3rlpy.txt", PEER)
    script = Path(__file__).parent / "peers" / "d3rlpy_policies.py"
    policy = work / f"{dataset.replace('/', '-')}-{method}-{steps}-{seed}.pt"
    if not policy.exists():
        data = columns(dataset, method, work)
        command = [python, script, method, data, str(steps), str(seed), policy]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        subprocess.run(list(map(str, command)), env={**os.environ, **threads}, check=True)
    loaded = torch.jit.load(str(policy))
    return _score(
        datumrl.evaluate(
            lambda states: loaded(torch.as_tensor(states)).detach().numpy(),
            dataset,
            seed=seed,
            episodes=train_baselines.EPISODES,
            algorithm=f"d3rlpy-{method}",
            steps=steps,
        )
    )


def table(results: dict[str, dict[str, float]]) -> list[str]:
    """Return a line per dataset and method: both means, their difference, the verdict."""
    names, pairs = [], []
    for key, scores in results.items():
        dataset, method = key.split()
        mine = ours(dataset, method)[1]
        sample = Sample(statistics.mean(mine), statistics.stdev(mine), len(mine))
        names.append((dataset, method, sample))
        pairs.append(Pair(sample, tuple(scores.values()), MARGIN))
    lines = [f"{'dataset':32}{'method':8}{'ours':>14}{'d3rlpy':>14}{'less ours':>11}  verdict"]
    for (dataset, method, mine), pair, found in zip(names, pairs, judge(pairs), strict=True):
        spread = statistics.stdev(pair.scores) if len(pair.scores) > 1 else float("nan")
        peer = f"{statistics.mean(pair.scores):.1f} ± {spread:.1f}"
        own = f"{mine.mean:.1f} ± {mine.std:.1f}"
        told = f"{found.difference:+.1f}"
        lines.append(f"{dataset:32}{method:8}{own:>14}{peer:>14}{told:>11}  {found.verdict}")
    return lines


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--datasets", nargs="+", default=["local/hopper-medium-v1"])
    parser.add_argument("--methods", nargs="+", default=["iql", "td3_bc", "bc"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    about: dict[str, Any] = {"peer": PEER[0], "scores": {}}
    content = files.read_json(options.results) if options.results.exists() else about
    work = files.home() / "d3rlpy"
    work.mkdir(parents=True, exist_ok=True)
    for dataset in options.datasets:
        for method in options.methods:
            steps, _ = ours(dataset, method)
            for seed in range(options.seeds):
                cell = content["scores"].setdefault(f"{dataset} {method}", {})
                if str(seed) not in cell:
                    cell[str(seed)] = theirs(dataset, method, steps, seed, work)
                    content["machine"] = provenance.hardware()
                    files.write_json(options.results, content)
                    print(f"{dataset} {method} seed {seed}: {cell[str(seed)]:.1f}", flush=True)
    print(*table(content["scores"]), sep="\n")


if __name__ == "__main__":
    main()
