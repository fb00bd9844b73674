"""Seed-updates per second of our trainers beside d3rlpy 2.8.1, which has an environment of its own.

    python benchmarks/train_against_d3rlpy.py [--methods td3_bc cql] [--seconds 4] [--turns 3]
                                              [--results FILE]

Halfcheetah-shaped data (200,000 rows of 17+6), networks of our defaults' widths for both, batch 256
(Decision Transformer 64 windows of 20 steps), sampling included, evaluation and logging not.  Every
measurement is a fresh process; contenders take turns, so that whatever else the machine does meets
all of them, and a ratio is taken within each turn; medians are shown.  The first run makes
`.venv-peers` (constraints in `benchmarks/peers`).  All of it takes some twelve minutes on two quiet
cores, of which starting processes is half.

At the end every goal is set against what was measured: one process on two threads (the better of
one seed and a stack), two single-threaded processes in total, and products in bfloat16 (the better
of the two ways to share the cores).  `--results` keeps every rate.

What was measured, when and where: `docs/training.md`, under "How fast".  There every goal is
reached but those of CQL and DT in one process in float32; that of TD3+BC in bfloat16 by two
processes only.

Why updates are not compiled (torch.compile): nearly three quarters of the time of an update of a
stack of five are matrix products, at about the speed that this CPU multiplies at, and most of the
rest is bound by memory.  Tried on TD3+BC's losses, one seed, one thread: 15.9 ms of CPU time an
update where a plain one takes 11.1, after minutes of compiling.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kept_results
import numpy as np
from peers import environments

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / ".venv-peers"
METHODS = ("td3_bc", "iql", "cql", "dt")
PEER = "d3rlpy, 2 threads"
# Seeds in a stack: many where products are small.
STACKS = {"td3_bc": 8, "iql": 8, "cql": 2, "dt": 2}
ONE, TWO, MEDIUM = "1 process, 2 threads", "2 processes, 1 thread each", "medium"
# Seed-updates per second, in d3rlpy's.
GOALS = {
    "td3_bc": {ONE: 4.0, TWO: 4.6, MEDIUM: 6.0},
    "iql": {ONE: 3.3, TWO: 3.8, MEDIUM: 5.0},
    "cql": {ONE: 1.6, TWO: 1.6, MEDIUM: 2.5},
    "dt": {ONE: 1.6, TWO: 1.6, MEDIUM: 2.5},
}

Rates = dict[str, list[float]]  # contender -> one rate per turn


def prepared() -> Path:
    """Make the peers' environment and the data, once; return the data's path."""
    wanted = ("d3rlpy==2.8.1", "gymnasium==1.0.0", "torch==2.13.0")
    environments.ready(PEERS.name, "constraints-d3rlpy.txt", wanted)
    data = PEERS / "halfcheetah-shaped.npz"
    if not data.exists():
        rng, rows = np.random.default_rng(0), 200_000
        np.savez(
            data,
            observations=rng.standard_normal((rows, 17), np.float32),
            actions=np.tanh(rng.standard_normal((rows, 6), np.float32)),
            rewards=rng.standard_normal(rows, np.float32),
            terminals=np.zeros(rows, np.float32),
            timeouts=(np.arange(rows) % 1000 == 999).astype(np.float32),
        )
    return data


@dataclass(frozen=True)
class Contender:
    """One way to use the machine for a method of ours."""

    kind: str  # which goal it is set against
    processes: int
    threads: int  # of each process
    seeds: int  # of each process
    precision: str = "highest"

    @property
    def name(self) -> str:
        precision = "" if self.precision == "highest" else f"{self.precision}, "
        seeds = "1 seed" if self.seeds == 1 else f"stack of {self.seeds}"
        if self.processes == 1:
            return f"{precision}{seeds}, {self.threads} threads"
        return f"{precision}{self.processes} processes, {seeds} each"


def contenders(method: str) -> list[Contender]:
    """Return ours for a method."""
    several = STACKS[method]
    share = several // 2
    found = [
        Contender(ONE, 1, 2, 1),
        Contender(ONE, 1, 2, several),
        Contender(TWO, 2, 1, share),
    ]
    if bfloat16():
        found += [
            Contender(MEDIUM, 1, 2, several, "medium"),
            Contender(MEDIUM, 2, 1, several, "medium"),
        ]
    return found


def bfloat16() -> bool:
    """Return whether this CPU multiplies in bfloat16; elsewhere `medium` is refused."""
    import torch

    return torch.cpu._is_avx512_bf16_supported()


def measured(commands: list[list[str]], threads: int) -> float:
    """Run processes at the same time; return the sum of their rates."""
    environment = {
        **os.environ,
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads)),
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONWARNINGS": "ignore",
    }
    running = [
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for command in commands
    ]
    total = 0.0
    for process in running:
        told, complaints = process.communicate()
        if process.returncode:
            raise SystemExit(f"{' '.join(process.args)} failed:\n{complaints[-2000:]}")
        total += float(json.loads(told.splitlines()[-1])["rate"])
    return total


def ours(method: str, seeds: int, precision: str, data: Path, seconds: float) -> None:
    """Print the rate of one stack of ours; runs in a process of its own."""
    import torch
    import train_speed

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    columns = np.load(data)
    device = torch.device("cpu")
    episodes = train_speed.episodes_of({name: columns[name] for name in columns.files})
    update = train_speed.stacked(method, episodes, seeds, device, precision)
    train_speed.rate(update, seeds, 0.5, device)
    print(json.dumps({"rate": train_speed.rate(update, seeds, seconds, device)}))


def compare(method: str, data: Path, seconds: float, turns: int) -> Rates:
    """Time one method's contenders in turn, print their rows and return their rates."""
    from datumrl.algorithms import registry

    config = registry.resolve(method, {})
    widths = (config.embedding_dim,) if method == "dt" else config.hidden_dims
    peer = [str(PEERS / "bin" / "python"), str(ROOT / "benchmarks/peers/d3rlpy_rates.py")]
    peer += [method, str(data), str(seconds), ",".join(map(str, widths))]
    rates: Rates = {PEER: []}
    for _ in range(turns):
        rates[PEER].append(measured([peer], 2))
        for each in contenders(method):
            command = [sys.executable, __file__, "--worker", method, str(each.seeds)]
            command += [each.precision, str(data), str(seconds)]
            found = measured([command] * each.processes, each.threads)
            rates.setdefault(each.name, []).append(found)
    for name, values in rates.items():
        shown = f"{statistics.median(values):9,.1f}{max(values):9,.1f}{ratio(rates, name):8.2f}"
        print(f"{method:8}{name:42}{shown}", flush=True)
    return rates


def ratio(rates: Rates, name: str) -> float:
    """Return a contender's median ratio to d3rlpy over the turns."""
    pairs = zip(rates[name], rates[PEER], strict=True)
    return statistics.median(ours / theirs for ours, theirs in pairs)


def verdicts(method: str, rates: Rates) -> list[dict[str, Any]]:
    """Return, for each goal of a method, what the best contender of its kind reached."""
    found: list[dict[str, Any]] = []
    for kind, goal in GOALS[method].items():
        ours = {each.name for each in contenders(method) if each.kind == kind}
        if ours:
            best = max(ours, key=lambda name: ratio(rates, name))
            reached = ratio(rates, best)
            found.append(
                {
                    "method": method,
                    "kind": kind,
                    "contender": best,
                    "ratio": round(reached, 3),
                    "goal": goal,
                    "reached": reached >= goal,
                }
            )
    return found


def machine() -> dict[str, Any]:
    """Return what was measured on, and how busy that was before we began."""
    from datumrl.evaluation import provenance

    return {
        "hardware": provenance.hardware(),
        "software": provenance.software_versions("torch"),
        "peer": "d3rlpy 2.8.1, torch 2.13.0",
        "load_before": os.getloadavg()[0],
    }


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        method, seeds, precision, data, seconds = sys.argv[2:]
        ours(method, int(seeds), precision, Path(data), float(seconds))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--seconds", type=float, default=4.0, help="per measurement")
    parser.add_argument("--turns", type=int, default=3)
    kept_results.add_option(parser, __file__)
    options = parser.parse_args()
    data, began, where = prepared(), time.monotonic(), machine()
    print(f"{where['hardware']}; {where['software']}; load {where['load_before']:.1f} before")
    print(f"{'':8}{'':42}{'median':>9}{'best':>9}{'ratio':>8}   seed-updates/s")
    rates: dict[str, Rates] = {}
    goals: list[dict[str, Any]] = []
    for method in options.methods:
        rates[method] = compare(method, data, options.seconds, options.turns)
        goals += verdicts(method, rates[method])
        # after each method: an interrupted run keeps what it has
        kept_results.keep(options, {"peer": where["peer"], "rates": rates, "goals": goals})
    print(f"\n{'':8}{'':28}{'':40}{'ratio':>7}{'goal':>6}")
    for each in goals:
        print(
            f"{each['method']:8}{each['kind']:28}{each['contender']:40}{each['ratio']:7.2f}"
            f"{each['goal']:6.1f}  {'reached' if each['reached'] else 'not reached'}"
        )
    if not bfloat16():
        print("medium: not measured, since this CPU does not multiply in bfloat16 (avx512_bf16)")
    print(f"{options.turns} turns, {(time.monotonic() - began) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
