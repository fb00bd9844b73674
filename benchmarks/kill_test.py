"""Killed at any moment and run again, does a command give what it gives when nothing kills it?

    python benchmarks/kill_test.py [--kills 50] [--commands collect train board submit quickstart]
        [--seed 0] [--results benchmarks/results/kill_test.json] [--work FOLDER]

Each command first runs uninterrupted. Then, for every kill, it starts from the same files, its
process gets SIGKILL at a random moment of that time (its workers are left to themselves), and it
is run again once.  Every other kill comes at a random moment after the command's first file, since
much of a short command's time is spent on starting.

What lies there then must be what the uninterrupted command left: the same files, none more, none
less, the same bytes in each; of checkpoints the same tensors, numbers and text, since an archive's
bytes hold nothing else of interest.  That covers run records, columns of datasets, the site, the
report and the submission, and it finds temporary files that stay behind, in the folders of the
command and in the system's.

The moments depend on the seed, the command and the kill's number alone.  A kill that comes after
the command's end (it was faster this time) is kept but not counted.  Results are written after
every kill, so this test goes on where it was killed itself.  Exit code 1 if any outcome differs.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datumrl.datasets import files
from datumrl.evaluation import provenance
from datumrl.leaderboard.submission_building import EXAMPLE

RESULTS = Path(__file__).parent / "results" / "kill_test.json"
FORMAT = "datumrl-kill-test/1"
DATASET = "local/inverted-pendulum-random-v1@2k"  # its policies soon fall: short episodes
OTHERS = [f"local/inverted-pendulum-{kind}-v1@2k" for kind in ("medium", "expert", "mixed")]
METHOD = EXAMPLE.replace('"TD3+BC"', '"Mine"').replace('"td3-bc"', '"mine"') + "".join(
    f'"{each}" = "no time"\n' for each in OTHERS
)
MOST = 3  # times as many kills as are wanted, before giving up on finding the command running
PACKAGES = ("torch", "gymnasium", "mujoco", "numba")


@dataclass(frozen=True)
class Case:
    """A command, and the commands that make what it starts from."""

    command: str
    before: tuple[str, ...] = ()


def _train(method: str, seeds: int, steps: int, more: str) -> str:
    return f"train {method} --on {DATASET} --seeds {seeds} --steps {steps} --episodes {more}"


CASES = {
    "collect": Case("collect local/inverted-pendulum-random-v1@20k --workers 1"),
    "train": Case(
        _train("td3_bc", 2, 60, "5 --evaluate-every 10 --checkpoint-seconds 0.1"),
        (f"collect {DATASET}",),
    ),
    "train-workers": Case(
        _train("td3_bc", 2, 60, "5 --evaluate-every 10 --checkpoint-seconds 0.1 --workers 2"),
        (f"collect {DATASET}",),
    ),
    "board": Case(
        "board home/runs --no-published --out board",  # the whole site comes with quickstart
        (
            f"collect {DATASET}",
            _train("bc", 5, 20, "10"),
            "board home/runs --no-published --out board",  # an earlier one, which is replaced
            _train("td3_bc", 5, 20, "10"),
        ),
    ),
    "submit": Case(
        "submit home/runs --method method.toml --out submissions",
        (f"collect {DATASET}", _train("bc", 5, 40, "10 --evaluate-every 10")),
    ),
    "quickstart": Case(f"quickstart --out quickstart --dataset {DATASET} --seeds 5 --steps 60"),
}


@dataclass(frozen=True)
class Kill:
    """One kill and what came of it."""

    number: int
    share: float  # moment of the kill, as a share of the uninterrupted command's time
    since: str  # "start" or "first file": what that time begins with
    running: bool  # was the command killed? It may have ended before
    files: int  # that the killed command had made or changed, or begun
    problems: list[str]  # differences from the uninterrupted outcome
    seconds: float  # of the second run
    commit: str

    @property
    def equal(self) -> bool:
        """Return whether the outcome is that of the uninterrupted command."""
        return not self.problems


class Place:
    """The folder in which a case's commands run; always the same one, should it be written down."""

    def __init__(self, root: Path, name: str, case: Case) -> None:
        self.here, self._start = root / name / "here", root / name / "start"
        self._reference, self._said = root / name / "reference", root / name / "said.txt"
        self._case = case
        self.seconds = self.writing = 0.0  # of the uninterrupted command; from its first file on

    def prepare(self) -> None:
        """Make what the command starts from, and its uninterrupted outcome."""
        shutil.rmtree(self.here.parent, ignore_errors=True)
        (self.here / "tmp").mkdir(parents=True)
        (self.here / "method.toml").write_text(METHOD, encoding="utf-8")
        for command in self._case.before:
            self._finish(command)
        shutil.copytree(self.here, self._start)
        started = time.monotonic()
        process = self._begin(self._case.command)
        self._wait_for_a_file(process)
        begun = time.monotonic()
        if process.wait() != 0:
            sys.exit(f"{self._case.command}: {self._said.read_text(encoding='utf-8')[-500:]}")
        self.seconds, self.writing = time.monotonic() - started, time.monotonic() - begun
        self.here.rename(self._reference)
        self.reset()

    def reset(self) -> None:
        """Go back to what the command starts from."""
        shutil.rmtree(self.here, ignore_errors=True)
        shutil.copytree(self._start, self.here)

    def kill(self, number: int, share: float) -> Kill:
        """Start the command, kill it, count what it left, run it again, compare."""
        self.reset()
        process = self._begin(self._case.command)
        late = number % 2 == 1
        if late:
            self._wait_for_a_file(process)
        try:
            process.wait(share * (self.writing if late else self.seconds))
            running = False
        except subprocess.TimeoutExpired:
            process.kill()
            running = True
        process.wait()
        left = sum(1 for _ in differences(self._start, self.here))
        started = time.monotonic()
        problems = []
        try:
            self._finish(self._case.command)
        except RuntimeError as problem:
            problems.append(str(problem))
        seconds = time.monotonic() - started
        problems += differences(self._reference, self.here)
        since = "first file" if late else "start"
        seconds = round(seconds, 2)
        return Kill(number, share, since, running, left, problems[:20], seconds, _commit())

    def _wait_for_a_file(self, process: subprocess.Popen[str]) -> None:
        """Wait until the command has made or begun a file, or ended."""
        known = set(_contents(self.here))
        while process.poll() is None and set(_contents(self.here)) <= known:
            time.sleep(0.005)

    def _begin(self, command: str) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "DATUMRL_HOME": str(self.here / "home"),
            "TMPDIR": str(self.here / "tmp"),
            "OMP_NUM_THREADS": "1",  # the order of sums is then the same in every process
        }
        # To a file: the workers of a killed command need a place to write to.
        with self._said.open("w", encoding="utf-8") as said:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "datumrl.scripts.main", *command.split()],
                cwd=self.here,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                text=True,
            )

    def _finish(self, command: str) -> None:
        process = self._begin(command)
        if process.wait() != 0:
            said = self._said.read_text(encoding="utf-8")[-500:]
            raise RuntimeError(f"datumrl {command}: exit code {process.returncode}: {said}")


def differences(expected: Path, found: Path) -> Iterator[str]:
    """Tell in what two folders differ: files that only one has, and files of other content."""
    here, there = _contents(found), _contents(expected)
    for name in sorted(here.keys() - there.keys()):
        yield f"{name}: is too much"
    for name in sorted(there.keys() - here.keys()):
        yield f"{name}: is missing"
    for name in sorted(there.keys() & here.keys()):
        if not _same(there[name], here[name]):
            yield f"{name}: differs"


def _contents(folder: Path) -> dict[str, Path]:
    """Return what lies in a folder, empty folders included, by name; some may be gone by now."""
    return {
        path.relative_to(folder).as_posix(): path
        for place, folders, names in os.walk(folder)
        for path in (Path(place) / name for name in [*folders, *names])
    }


def _same(one: Path, other: Path) -> bool:
    if one.is_dir() or other.is_dir():
        return one.is_dir() and other.is_dir()
    try:
        if one.read_bytes() == other.read_bytes():
            return True
    except FileNotFoundError:  # by a worker that outlived the killed command for a moment
        return False
    if one.suffix != ".pt":
        return False
    try:
        contents = [torch.load(path, weights_only=True) for path in (one, other)]
    except Exception:  # what a damaged file raises is not specified
        return False
    return equal(*contents)


def equal(one: Any, other: Any) -> bool:
    """Return whether two values of tensors, numbers, text and containers are the same, exactly."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, Mapping):
        return list(one) == list(other) and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, Sequence) and not isinstance(one, str):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


class Results:
    """What was found so far, in a file."""

    def __init__(self, path: Path, seed: int) -> None:
        self._path = path
        about = {
            "format": FORMAT,
            "seed": seed,
            "machine": provenance.hardware(),
            "software": provenance.software_versions(*PACKAGES),
        }
        self._content: dict[str, Any] = {**about, "commands": {}}
        if path.exists():
            self._content = files.read_json(path)
            if {**self._content, **about} != self._content:
                sys.exit(f"{path} is of another seed, machine or version; choose other --results")

    def kills(self, name: str) -> list[Kill]:
        """Return the kills of a command as it is now, in their order."""
        case = self._content["commands"].get(name)
        if case is None or case["command"] != f"datumrl {CASES[name].command}":
            return []
        return [Kill(**each) for each in case["kills"]]

    def add(self, name: str, kill: Kill, seconds: float) -> None:
        """Keep a kill, in the place of an earlier one of its number."""
        kills = [each for each in self.kills(name) if each.number != kill.number]
        kills = sorted([*kills, kill], key=lambda each: each.number)
        self._content["commands"][name] = {
            "command": f"datumrl {CASES[name].command}",
            "seconds": round(seconds, 2),
            "kills": [dataclasses.asdict(each) for each in kills],
        }
        files.write_json(self._path, self._content)

    def table(self) -> Iterator[str]:
        """Tell the numbers of every command."""
        yield f"{'command':<12}{'seconds':>8}{'kills':>7}{'running':>9}{'equal':>7}{'other':>7}"
        for name, case in self._content["commands"].items():
            kills = self.kills(name)
            counts = (len(kills), sum(each.running for each in kills))
            same = sum(each.equal for each in kills)
            yield (
                f"{name:<12}{case['seconds']:>8.1f}{counts[0]:>7}{counts[1]:>9}{same:>7}"
                f"{len(kills) - same:>7}"
            )


def moment(seed: int, name: str, number: int) -> float:
    """Return when a kill comes, as a share of the uninterrupted command's time."""
    return float(np.random.default_rng([seed, zlib.crc32(name.encode()), number]).random())


def _commit() -> str:
    """Return the commit, with -dirty if more than results was changed since."""
    changes = _git("status", "--porcelain", "--", ":/", ":!/benchmarks/results")
    return _git("describe", "--always") + ("-dirty" if changes else "")


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def study(options: argparse.Namespace, results: Results, work: Path) -> bool:
    """Kill until every command was hit often enough; return whether every outcome was the same."""
    for name in options.commands:
        numbers = _open(results, name, options.kills)
        number = next(numbers, None)
        if number is None:
            continue
        place = Place(work, name, CASES[name])
        place.prepare()
        print(f"{name}: {place.seconds:.1f} s uninterrupted", flush=True)
        while number is not None:
            kill = place.kill(number, moment(options.seed, name, number))
            results.add(name, kill, place.seconds)
            told = "equal" if kill.equal else "; ".join(kill.problems)
            when = f"{kill.share:.0%} from {kill.since}" if kill.running else "had ended"
            print(f"  kill {number:>3} {when:<19} {kill.files:>3} files begun: {told}", flush=True)
            number = next(numbers, None)
        shutil.rmtree(place.here.parent)
    return all(each.equal for name in options.commands for each in results.kills(name))


def _open(results: Results, name: str, wanted: int) -> Iterator[int]:
    """Yield numbers of kills to do, until enough have found the command running."""
    for number in itertools.count():
        kills = results.kills(name)
        if sum(each.running for each in kills) >= wanted:
            return
        if number == MOST * wanted:
            sys.exit(
                f"{name}: most kills came after its end; choose other --results and begin anew"
            )
        if all(each.number != number for each in kills):
            yield number


def main() -> int:
    """Run the test and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50, help="of each command while it runs")
    parser.add_argument("--commands", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--work", type=Path, help="folder to work in (default: a temporary one)")
    options = parser.parse_args()
    results = Results(options.results, options.seed)
    with tempfile.TemporaryDirectory() as scratch:
        sound = study(options, results, options.work or Path(scratch))
    print(*results.table(), sep="\n")
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
