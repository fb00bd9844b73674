"""The commands that train a row's runs again, from what their records hold."""

from __future__ import annotations

import itertools
import re
import shlex
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from datumrl.evaluation.records import RunRecord
from datumrl.leaderboard.tables import Entry

# In a record's configuration, but options or results of the command and no fields of a method.
_NO_FIELDS = ("steps", "view", "matmul_precision", "revision", "return_target", "seed")
_RUN_FIELDS = ("evaluate_every", "episodes", "view")  # that a preset may fix too
_TARGET = re.compile(r"(?P<name>.+)-target-\d+")


def of_entry(entry: Entry, trainable: Collection[str]) -> list[str]:
    """Return a `datumrl train` command for each way in which the row's runs were trained.

    ``trainable`` are the methods that datumrl trains; rows of others have no command.  Given the
    same version of datumrl, a command resolves to the very configuration of the records.
    """
    seeds: dict[tuple[str, ...], dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for run in entry.runs:
        record = run.record
        if record is not None and _trained(record, trainable):
            seeds[_options(record)][record.dataset].add(record.seed)
    grouped: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for options, by_dataset in seeds.items():
        for dataset, found in by_dataset.items():
            grouped[_seeds(found), options].append(dataset)
    commands = []
    for (listed, options), datasets in sorted(grouped.items(), key=lambda item: sorted(item[1])):
        method, *others = options
        words = ["datumrl", "train", method, "--on", *sorted(datasets), "--seeds", listed, *others]
        commands.append(shlex.join(words))
    return commands


def _trained(record: RunRecord, trainable: Collection[str]) -> bool:
    return method_of(record, trainable) is not None and bool(record.evaluations)


def method_of(record: RunRecord, trainable: Collection[str]) -> str | None:
    """Return the method that datumrl trained, None if other code did, maybe of the same name."""
    ours = "view" in record.configuration and "torch" in record.software
    return _method(record) if ours and _method(record) in trainable else None


def _method(record: RunRecord) -> str:
    match = _TARGET.fullmatch(record.algorithm)
    return match["name"] if match else record.algorithm


def _options(record: RunRecord) -> tuple[str, ...]:
    """Return the method and every option but datasets and seeds."""
    configuration, protocol = record.configuration, record.protocol
    words = [_method(record), "--steps", str(record.budget.steps)]
    preset, _, changed = record.budget.preset.partition(" except ")
    run: dict[str, Any] = {
        "evaluate_every": record.evaluations[0].step,
        "episodes": protocol.episodes,
        "view": configuration.get("view", "correct"),
    }
    fields = {name: value for name, value in configuration.items() if name not in _NO_FIELDS}
    if preset != "none":
        # The preset has the rest; all of a run's own options stay, they are short.
        words += ["--preset", preset]
        fields = {name: fields[name] for name in changed.split(", ") if name in fields}
    for name in _RUN_FIELDS:
        words += [f"--{name.replace('_', '-')}", str(run[name])]
    if fields:
        words += ["--set", *(f"{name}={_text(value)}" for name, value in sorted(fields.items()))]
    precision = configuration.get("matmul_precision")
    if precision is not None:
        words += ["--matmul-precision", str(precision)]
    if protocol.nearest:
        words.append("--nearest")
    return tuple(words)


def _text(value: Any) -> str:
    """Return a configuration's value as `--set` reads it."""
    if isinstance(value, list):
        return ",".join(_text(each) for each in value)
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value)


def _seeds(found: Collection[int]) -> str:
    """Return seeds as the command reads them: ``5`` for 0 to 4, else ``3,7-9``."""
    ordered = sorted(found)
    if ordered == list(range(len(ordered))):
        return str(len(ordered))
    parts = []
    for _, group in itertools.groupby(enumerate(ordered), lambda pair: pair[1] - pair[0]):
        members = [seed for _, seed in group]
        parts.append(f"{members[0]}-{members[-1]}" if len(members) > 1 else str(members[0]))
    # A comma says that a single number is a seed and not how many there are.
    return ",".join(parts) if len(parts) > 1 or "-" in parts[0] else f"{parts[0]},"


def versions(entry: Entry) -> list[str]:
    """Return each set of software versions that the row's records name, in words."""
    found = {_versions(run.record) for run in entry.runs if run.record is not None}
    return sorted(text for text in found if text)


def _versions(record: RunRecord) -> str:
    known = {**record.software, **record.protocol.engine}
    named: Sequence[str] = [f"{name} {version}" for name, version in sorted(known.items())]
    return ", ".join(named)
