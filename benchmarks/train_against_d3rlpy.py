"""Seed-updates per second of our trainers beside d3rlpy 2.8.1, which has an environment of its own.

    python benchmarks/train_against_d3rlpy.py [--methods td3_bc cql] [--seconds 4] [--turns 3]

Halfcheetah-shaped data (200,000 rows of 17+6), networks of our defaults' widths for both, batch 256
(Decision Transformer 64 windows of 20 steps), sampling included, evaluation and logging not.  Every
measurement is a fresh process; contenders take turns, so that whatever else the machine does meets
all of them, and medians are shown.  The first run makes `.venv-peers` (constraints in
`benchmarks/peers`).  All of it takes some ten minutes, of which starting processes is half.

Why updates are not compiled (torch.compile): nearly three quarters of the time of an update of a
stack of five are matrix products, at about the speed that this CPU multiplies at, and most of the
rest is bound by memory.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import venv
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / ".venv-peers"
METHODS = ("td3_bc", "iql", "cql", "dt")
PEER = "d3rlpy, 2 threads"
# Seeds in a stack: many where products are small.
STACKS = {"td3_bc": 8, "iql": 8, "cql": 2, "dt": 2}


def prepared() -> Path:
    """Make the peers' environment and the data, once; return the data's path."""
    ready, data = PEERS / ".ready-d3rlpy", PEERS / "halfcheetah-shaped.npz"
    if not ready.exists():
        print("making .venv-peers for d3rlpy, once", file=sys.stderr)
        venv.create(PEERS, with_pip=True)
        constraints = ROOT / "benchmarks" / "peers" / "constraints-d3rlpy.txt"
        wanted = ("d3rlpy==2.8.1", "gymnasium==1.0.0", "torch==2.13.0")
        pip = [str(PEERS / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "-c", str(constraints), *wanted], check=True)
        ready.touch()
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


def contenders(method: str) -> dict[str, tuple[int, int, int, str]]:
    """Return name -> processes, threads of each, seeds of each, precision; ours only."""
    several = STACKS[method]
    share = max(1, several // 2)
    return {
        "1 seed, 2 threads": (1, 2, 1, "highest"),
        f"stack of {several}, 2 threads": (1, 2, several, "highest"),
        f"2 processes, stacks of {share}": (2, 1, share, "highest"),
        f"medium, stack of {several}, 2 threads": (1, 2, several, "medium"),
        f"medium, 2 processes, stacks of {share}": (2, 1, share, "medium"),
    }


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


def compare(method: str, data: Path, seconds: float, turns: int) -> None:
    """Time one method's contenders in turn and print their rows."""
    from datumrl.algorithms import registry

    config = registry.resolve(method, {})
    widths = (config.embedding_dim,) if method == "dt" else config.hidden_dims
    peer = [str(PEERS / "bin" / "python"), str(ROOT / "benchmarks/peers/d3rlpy_rates.py")]
    peer += [method, str(data), str(seconds), ",".join(map(str, widths))]
    rates: dict[str, list[float]] = {PEER: []}
    for _ in range(turns):
        rates[PEER].append(measured([peer], 2))
        for name, (processes, threads, seeds, precision) in contenders(method).items():
            command = [sys.executable, __file__, "--worker", method, str(seeds), precision]
            command += [str(data), str(seconds)]
            rates.setdefault(name, []).append(measured([command] * processes, threads))
    for name, found in rates.items():
        ratio = statistics.median(found) / statistics.median(rates[PEER])
        print(
            f"{method:8}{name:42}{statistics.median(found):9,.1f}{max(found):9,.1f}{ratio:8.2f}",
            flush=True,
        )


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        method, seeds, precision, data, seconds = sys.argv[2:]
        ours(method, int(seeds), precision, Path(data), float(seconds))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--seconds", type=float, default=4.0, help="per measurement")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    data, began = prepared(), time.monotonic()
    print(f"{'':8}{'':42}{'median':>9}{'best':>9}{'ratio':>8}   seed-updates/s")
    for method in options.methods:
        compare(method, data, options.seconds, options.turns)
    print(f"{options.turns} turns, {(time.monotonic() - began) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
