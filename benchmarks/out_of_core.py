"""Peak memory of training and gathering where the data stays on disk, and where it is copied.

Three processes, one after the other: TD3+BC on generated transitions (17+6 dims) gathered from
disk, the same copied into memory, and batches of images (64 x 64 x 3 uint8, gathered by index).
*anonymous* is memory that the process owns and the system must keep: what grows until nothing is
left.  *resident* also counts pages of the mapped files that happen to be in memory: the system
takes those back whenever anything else needs room, so on a machine with little memory they are
few, and on one with much they grow up to the size of the data.  Training on disk runs under a
limit on anonymous memory (RLIMIT_DATA) that the copied data would break.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import kept_results
import numpy as np

OBSERVATION_DIM, ACTION_DIM, EPISODE = 17, 6, 1000
IMAGE = (64, 64, 3)
KINDS = ("states, on disk", "states, in memory", "images, on disk")
_ROWS_AT_ONCE = 1 << 14
_MIB = 1 << 20


def generate(folder: Path, rows: int, shape: tuple[int, ...], action_dim: int) -> None:
    """Write prepared columns of random episodes of 1,000 rows, block by block."""
    from datumrl.datasets.episodes import episode_starts
    from datumrl.datasets.prepared import writing

    rng = np.random.default_rng(0)
    dtype = np.uint8 if len(shape) == 3 else np.float32

    def drawn(count: int, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        if dtype is np.uint8:
            return rng.integers(0, 256, (count, *shape), dtype)
        return rng.random((count, *shape), dtype)

    columns = {
        "observations": (shape, dtype),
        "actions": ((action_dim,), np.float32),
        "rewards": ((), np.float32),
    }
    with writing(folder) as writer:
        for name, (width, kind) in columns.items():
            with writer.column(name, (rows, *width), kind) as column:
                for begin in range(0, rows, _ROWS_AT_ONCE):
                    column.append(drawn(min(_ROWS_AT_ONCE, rows - begin), width, kind))
        terminals, timeouts = np.zeros(rows, bool), np.arange(rows) % EPISODE == EPISODE - 1
        starts = episode_starts(terminals, timeouts)
        ends = starts[1:] - 1
        writer.array("terminals", terminals)
        writer.array("timeouts", timeouts)
        writer.array("starts", starts)
        writer.array("successor_rows", ends)
        with writer.column("successors", (len(ends), *shape), dtype) as column:
            for begin in range(0, len(ends), 1000):
                column.append(drawn(min(1000, len(ends) - begin), shape, dtype))
        writer.finish(
            rows=rows,
            provenance={},
            id="generated",
            time_limit=EPISODE,
            timeouts_recorded=True,
            sha256=None,
            notes=(),
        )


def status() -> dict[str, float]:
    """Return the memory of this process now, in MiB: anonymous, and resident in all."""
    found = {}
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        if name in ("RssAnon", "VmRSS"):
            found[name] = int(rest.split()[0]) * 1024 / _MIB
    return {"anonymous": found["RssAnon"], "resident": found["VmRSS"]}


def _watched(work: Callable[[], object]) -> dict[str, float]:
    """Do some work; return the highest memory seen meanwhile, in MiB, and what there was before."""
    before, peak, done = status(), status(), threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            for name, value in status().items():
                peak[name] = max(peak[name], value)

    thread = threading.Thread(target=watch)
    thread.start()
    begin = time.perf_counter()
    try:
        work()
    finally:
        done.set()
        thread.join()
    seconds = time.perf_counter() - begin
    return {"before": before["anonymous"], "seconds": seconds, **peak}


def train(folder: Path, on_disk: bool, updates: int) -> dict[str, float]:
    """Train two seeds of TD3+BC and return the memory that it took and a digest of the result."""
    import resource

    import torch

    from datumrl.algorithms import memory, td3_bc
    from datumrl.algorithms.stack import Stack, Task
    from datumrl.algorithms.streams import Streams
    from datumrl.datasets import prepared

    torch.set_num_threads(1)
    device = torch.device("cpu")
    config = td3_bc.Config(normalize_states=True)
    task = Task(OBSERVATION_DIM, ACTION_DIM, torch.ones(ACTION_DIM))
    stack = Stack.create(td3_bc, config, task, (0, 1))
    episodes = prepared.read(folder, "generated")

    def do(updates: int, episodes: object) -> None:
        with memory.limited(0 if on_disk else 1 << 62):
            source = td3_bc.data(config, episodes, "correct", device)
        noise = td3_bc.noise(config, task)
        streams = Streams((0, 1), len(source), config.batch_size, noise, device)
        for step in range(1, updates + 1):
            rows, drawn = streams.at(step)
            td3_bc.update(stack, source.gather(rows), drawn, step)

    do(50, episodes.prefix(10_000))  # what libraries and random streams keep, whatever the data
    if on_disk:
        packed = len(episodes) * (2 * OBSERVATION_DIM + ACTION_DIM + 2) * 4
        owned = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_DATA, (owned + packed // 4, resource.RLIM_INFINITY))
    found = _watched(lambda: do(updates, episodes))
    total = sum(
        each.detach().double().sum().item() for net in stack.networks.values() for each in net
    )
    return {**found, "parameters": total}


def draw_images(folder: Path, batches: int) -> dict[str, float]:
    """Gather batches of 256 transitions of images and return the memory that it took."""
    from datumrl.datasets import prepared

    index = prepared.read(folder, "generated").index()
    rng = np.random.default_rng(0)

    def do(count: int) -> None:
        for _ in range(count):
            batch = index.gather(rng.integers(0, len(index), 256))
            assert batch.observations.shape == (256, *IMAGE)

    do(2)
    return _watched(lambda: do(batches))


def run(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Generate the data in a folder that is deleted afterwards, and measure each kind."""
    results = {}
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        generate(folder / "states", options.rows, (OBSERVATION_DIM,), ACTION_DIM)
        for kind in KINDS:
            if kind.startswith("images"):
                shutil.rmtree(folder / "states")
                generate(folder / "images", options.images, IMAGE, ACTION_DIM)
            data = folder / kind.partition(",")[0]
            size = sum(path.stat().st_size for path in data.iterdir()) / _MIB
            command = [sys.executable, __file__, "--measure", kind, str(data)]
            command += ["--updates", str(options.updates)]
            answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            results[kind] = {"columns": size, **json.loads(answer)}
    finally:
        shutil.rmtree(folder)
    return results


def _table(results: dict[str, dict[str, float]], options: argparse.Namespace) -> str:
    lines = [
        f"{options.rows:,} transitions of {OBSERVATION_DIM}+{ACTION_DIM} dims, "
        f"{options.updates:,} updates of two seeds; {options.images:,} images of 64 x 64 x 3, "
        f"{options.updates:,} batches of 256",
        f"{'MiB':<20}{'on disk':>10}{'anonymous':>12}{'of it before':>14}{'resident':>11}"
        f"{'seconds':>10}",
    ]
    for kind, found in results.items():
        lines.append(
            f"{kind:<20}{found['columns']:>10,.0f}{found['anonymous']:>12,.0f}"
            f"{found['before']:>14,.0f}{found['resident']:>11,.0f}{found['seconds']:>10.1f}"
        )
    same = results[KINDS[0]]["parameters"] == results[KINDS[1]]["parameters"]
    lines.append(f"parameters from disk and from memory: {'equal' if same else 'DIFFERENT'}")
    return "\n".join(lines)


def main() -> None:
    """Parse the command line and print the table, or do one kind of work for the parent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--updates", type=int, default=300)
    parser.add_argument("--folder", type=Path, help="where to put the data (about 2 GB at a time)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    kept_results.add_option(parser, __file__)
    options = parser.parse_args()
    if options.measure:
        kind, data = options.measure[0], Path(options.measure[1])
        if kind.startswith("images"):
            found = draw_images(data, options.updates)
        else:
            found = train(data, kind.endswith("disk"), options.updates)
        print(json.dumps(found))
        return
    results = run(options)
    kept_results.keep(options, results)
    print(json.dumps(results) if options.json else _table(results, options))


if __name__ == "__main__":
    main()
