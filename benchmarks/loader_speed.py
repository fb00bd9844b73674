"""Ratios of the loader to plain peers: conversion, opening, both views, random batches.

All in one run, on a generated D4RL v2 file of 1,000,000 transitions (17+6 dims, gzip, with next
observations and infos), repeated in turns; times are medians, ratios those of the medians:

    conversion      to a bare h5py read of every column and a plain write of each as .npy
    second load     opening what the first load converted, in milliseconds
    as arrays       D4RL's row loop to `transitions("d4rl-legacy")`
    as an index     D4RL's row loop to `index("d4rl-legacy")`
    batch of 256    gathered from memory-mapped columns, to the same columns in memory; and of a
                    trainer whose data stays on disk, to one that packed it in memory

`load_speed.py` shows the peak memory of each.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import kept_results
import numpy as np

GOALS = {  # name -> what it should be at most, or at least
    "conversion / h5py read and write": ("<=", 1.3),
    "second load, ms": ("<=", 20.0),
    "row loop / d4rl-legacy as arrays": (">=", 60.0),
    "row loop / d4rl-legacy as an index": (">=", 1000.0),
    "batch of 256, mapped / in memory": ("<=", 1.5),
    "trainer's batch, on disk / packed": ("<=", 1.5),
}


def _load_speed() -> ModuleType:
    path = Path(__file__).with_name("load_speed.py")
    specification = importlib.util.spec_from_file_location("load_speed", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def bare(source: Path, folder: Path) -> None:
    """Read every dataset of the file and write it as it is, a column at a time."""
    import h5py

    folder.mkdir()
    with h5py.File(source, "r") as file:
        names: list[str] = []
        file.visititems(
            lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
        )
        for name in names:
            if file[name].shape:
                np.save(folder / f"{name.replace('/', '.')}.npy", file[name][:])


def _seconds(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def _taken_in_turns(actions: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(repeats):
        for name, action in actions.items():
            times[name].append(_seconds(action))
    return {name: statistics.median(each) for name, each in times.items()}


def conversion(peers: ModuleType, source: Path, home: Path, repeats: int) -> dict[str, float]:
    """Return seconds of converting, of the bare peer, and of opening what is converted."""
    from datumrl.datasets import d4rl_hdf5, loading  # noqa: F401, imports are not what is measured

    def convert() -> None:
        shutil.rmtree(home / "prepared", ignore_errors=True)
        loading.load(peers.ID)

    def read_and_write() -> None:
        shutil.rmtree(home / "bare", ignore_errors=True)
        bare(source, home / "bare")

    convert()  # what only the first call in a process does
    found = _taken_in_turns({"convert": convert, "bare": read_and_write}, repeats)
    shutil.rmtree(home / "bare")
    opening = _taken_in_turns({"open": lambda: loading.load(peers.ID)}, 20)
    return {**found, **opening}


def views(peers: ModuleType, source: Path, repeats: int) -> dict[str, float]:
    """Return seconds of D4RL's row loop and of both forms of our view."""
    from datumrl.datasets import loading

    episodes, plain = loading.load(peers.ID), peers.read_columns(source)
    slow = _taken_in_turns({"loop": lambda: peers.row_loop(plain)}, max(1, repeats // 2))
    fast = _taken_in_turns(
        {
            "arrays": lambda: episodes.transitions("d4rl-legacy"),
            "index": lambda: episodes.index("d4rl-legacy"),
        },
        5 * repeats,
    )
    return {**slow, **fast}


def batches(peers: ModuleType, count: int) -> dict[str, float]:
    """Return seconds of a random batch, each way."""
    import torch

    from datumrl.algorithms import memory
    from datumrl.algorithms.batches import Transitions
    from datumrl.datasets import columns, loading

    torch.set_num_threads(1)
    mapped = loading.load(peers.ID)
    names = ("observations", "actions", "rewards", "terminals", "successors")
    copies = {name: columns.apply(np.array, getattr(mapped, name)) for name in names}
    rng = np.random.default_rng(0)
    sources: dict[str, Any] = {
        "index mapped": mapped.index(),
        "index in memory": dataclasses.replace(mapped, **copies).index(),
    }
    for name, limit in (("trainer on disk", 0), ("trainer packed", 1 << 62)):
        with memory.limited(limit):
            sources[name] = Transitions(mapped, "correct", torch.device("cpu"), 1e-3)
    times: dict[str, list[float]] = {name: [] for name in sources}
    for turn in range(count):
        for name, source in sources.items():
            numbers: Any = rng.integers(0, len(source), 256)
            if name.startswith("trainer"):
                numbers = torch.from_numpy(numbers)[None]
            seconds = _seconds(lambda source=source, numbers=numbers: source.gather(numbers))
            if turn >= count // 2:  # before that, pages of the files come into memory
                times[name].append(seconds)
    return {name: statistics.median(each) for name, each in times.items()}


def run(rows: int, repeats: int) -> dict[str, dict[str, float]]:
    """Generate the file in a temporary home; return the seconds of everything, and the ratios."""
    peers = _load_speed()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ["DATUMRL_HOME"] = folder
        source = home / "raw" / "d4rl" / "halfcheetah_medium-v2.hdf5"
        peers.generate(source, rows)
        found = conversion(peers, source, home, repeats)
        found |= views(peers, source, repeats)
        found |= batches(peers, 4000)
    ratios = {
        "conversion / h5py read and write": found["convert"] / found["bare"],
        "second load, ms": 1000 * found["open"],
        "row loop / d4rl-legacy as arrays": found["loop"] / found["arrays"],
        "row loop / d4rl-legacy as an index": found["loop"] / found["index"],
        "batch of 256, mapped / in memory": found["index mapped"] / found["index in memory"],
        "trainer's batch, on disk / packed": found["trainer on disk"] / found["trainer packed"],
    }
    return {"seconds": found, "ratios": ratios}


def _table(results: dict[str, dict[str, float]], rows: int) -> str:
    lines = [f"{rows:,} transitions of 17+6 dims", f"{'':<38}{'found':>10}{'goal':>12}"]
    for name, value in results["ratios"].items():
        sign, goal = GOALS[name]
        met = value <= goal if sign == "<=" else value >= goal
        lines.append(f"{name:<38}{value:>10,.2f}{f'{sign} {goal:,g}':>12}{'' if met else '  no'}")
    lines.append("")
    lines += [f"{name:<38}{1000 * each:>10,.3f} ms" for name, each in results["seconds"].items()]
    return "\n".join(lines)


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print JSON")
    kept_results.add_option(parser, __file__)
    options = parser.parse_args()
    results = run(options.rows, options.repeats)
    kept_results.keep(options, results)
    print(json.dumps(results) if options.json else _table(results, options.rows))


if __name__ == "__main__":
    main()
