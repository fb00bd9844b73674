"""Cards: what a collected dataset is and how it was made, as Markdown beside its columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from datumrl.datasets import files, markdown, prepared, scores
from datumrl.datasets.catalogue import DatasetRecord
from datumrl.datasets.episodes import Episodes

NAME = "CARD.md"

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def write(folder: Path, record: DatasetRecord) -> Path:
    """Write the card of the collected dataset in ``folder`` into it; return its path."""
    text = card(
        record,
        prepared.read(folder, record.id),
        prepared.provenance(folder),
        prepared.read_extras(folder),
    )
    with files.replacing(folder / NAME, "w") as handle:
        handle.write(text)
    return folder / NAME


def card(
    record: DatasetRecord,
    episodes: Episodes,
    provenance: Mapping[str, Any],
    extras: Mapping[str, np.ndarray],
) -> str:
    """Return the card of a collected dataset.

    ``provenance`` is what the collector recorded (command, recipe, recipe_sha256, content_sha256,
    software, hardware); ``extras`` hold ``infos/policy``, the recipe's part of every row.
    """
    sections = [
        f"# {record.id}",
        f"{len(episodes):,} transitions in {len(episodes.lengths()):,} episodes of "
        f"{provenance['recipe']['environment']}, collected by datumrl.",
        _identity(record, provenance),
        _policies(record, episodes, provenance, extras),
        _returns(record, episodes),
        _ends(episodes),
        _notes(record, episodes),
        _columns(episodes, extras),
        _use(record),
        f"## Licence\n\n{record.licence}. {record.citation}",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _identity(record: DatasetRecord, provenance: Mapping[str, Any]) -> str:
    rows = [*recipe_rows(provenance), ("machine", provenance["hardware"])]
    if record.reference is not None:
        span = f"{record.reference.minimum:g} and {record.reference.maximum:g}"
        rows.append(("scores 0 and 100", f"returns {span}; {record.reference.origin}"))
    how = (
        "The recipe is the dataset's identity: the same recipe gives the same bits on one "
        "platform, whatever the number of workers. Independent streams of whole episodes are "
        "interleaved in a fixed order, so every prefix has the mixture of the whole."
    )
    return f"## How it was made\n\n{markdown.table(('', ''), rows)}\n\n{how}"


def recipe_rows(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what to know of a collected dataset's recipe, as (name, value in Markdown)."""
    recipe = provenance["recipe"]
    settings = "".join(f", {key}={value}" for key, value in recipe["environment_kwargs"].items())
    engine = ", ".join(f"{package} {version}" for package, version in recipe["engine"].items())
    software = ", ".join(f"{name} {version}" for name, version in provenance["software"].items())
    return [
        ("made by", f"`{provenance['command']}`"),
        ("environment", f"{recipe['environment']}{settings}, time limit {recipe['time_limit']}"),
        ("engine", engine),
        ("recipe", f"sha256 `{provenance['recipe_sha256']}`"),
        ("content", f"sha256 `{provenance['content_sha256']}`"),
        ("seed", str(recipe["seed"])),
        ("software", software),
    ]


def _policies(
    record: DatasetRecord,
    episodes: Episodes,
    provenance: Mapping[str, Any],
    extras: Mapping[str, np.ndarray],
) -> str:
    """Return the mixture: what each behaviour policy contributed."""
    of_episode = np.asarray(extras["infos/policy"])[episodes.starts[:-1]]
    returns, lengths, complete = episodes.returns(), episodes.lengths(), episodes.complete()
    rows = []
    for number, part in enumerate(provenance["recipe"]["parts"]):
        mine = of_episode == number
        ended = returns[mine & complete]
        mean = float(ended.mean()) if len(ended) else None
        rows.append(
            (
                part["name"],
                f"{mine.sum():,}",
                f"{lengths[mine].sum():,}",
                f"{100 * lengths[mine].sum() / len(episodes):.1f} %",
                "none" if mean is None else f"{mean:,.1f}",
                "none" if mean is None else _score(mean, record),
                _policy(part["policy"]),
            )
        )
    head = ("policy", "episodes", "transitions", "share", "mean return", "score", "what it is")
    return f"## Behaviour policies\n\n{markdown.table(head, rows)}"


def _policy(described: Mapping[str, Any]) -> str:
    """Return a policy's kind and its plain settings; arrays stay in the recipe."""
    settings = [
        f"{key} {str(value)[:12] if 'sha256' in key else value}"
        for key, value in described.items()
        if key != "kind" and isinstance(value, str | int | float)
    ]
    return ", ".join([str(described["kind"]), *settings])


def _returns(record: DatasetRecord, episodes: Episodes) -> str:
    complete = episodes.complete()
    returns = episodes.returns()[complete]
    if not len(returns):
        return "## Returns and lengths\n\nNo episode has an end."
    lengths = episodes.lengths()[complete]
    names = ["mean", "deviation", "minimum"]
    names += [f"{100 * quantile:g} %" for quantile in _QUANTILES] + ["maximum"]
    rows = []
    for name, values in (("return", returns), ("length", lengths)):
        spread = [values.mean(), values.std(), values.min(), *np.quantile(values, _QUANTILES)]
        rows.append((name, *(f"{value:,.1f}" for value in [*spread, values.max()])))
    if record.reference is not None:
        score = scores.normalize(returns, record)
        spread = [
            score.mean(),
            scores.normalize_spread(float(returns.std()), record),
            score.min(),
            *np.quantile(score, _QUANTILES),
            score.max(),
        ]
        rows.insert(1, ("score", *(f"{value:,.1f}" for value in spread)))
    return f"## Returns and lengths\n\n{markdown.table(('of episodes', *names), rows)}"


def _ends(episodes: Episodes) -> str:
    ends = episodes.starts[1:] - 1
    terminal, timeout = episodes.terminals[ends], episodes.timeouts[ends]
    known = np.isin(ends, episodes.successor_rows)
    tail = int((~terminal & ~timeout).sum())
    lines = [
        f"- {terminal.sum():,} episodes ended by the process (`terminals`)",
        f"- {timeout.sum():,} episodes cut off by the time limit of {episodes.time_limit} steps "
        "(`timeouts`)",
        f"- {known.sum():,} of {len(ends):,} final observations are stored",
    ]
    lines += [f"- {tail} without an end"] if tail else []
    return "## Ends of episodes\n\n" + "\n".join(lines)


def _notes(record: DatasetRecord, episodes: Episodes) -> str:
    notes = dict.fromkeys([*record.errata, *episodes.notes])
    return "## Notes\n\n" + "\n".join(f"- {note}" for note in notes) if notes else ""


def _columns(episodes: Episodes, extras: Mapping[str, np.ndarray]) -> str:
    columns = {name: getattr(episodes, name) for name in prepared.COLUMNS} | dict(extras)
    rows = [
        (
            f"`{name}`",
            " x ".join(f"{size:,}" for size in values.shape),
            values.dtype.name,
            f"{values.nbytes / 1e6:,.2f}",
        )
        for name, values in columns.items()
    ]
    total = sum(values.nbytes for values in columns.values())
    table = markdown.table(("column", "shape", "type", "MB"), rows)
    return f"## Columns\n\n{table}\n\n{total / 1e6:,.2f} MB in all."


def _use(record: DatasetRecord) -> str:
    return f"""## How to load it

```python
import datumrl

episodes = datumrl.load("{record.id}")
steps = episodes.transitions()
```

`datumrl convert {record.id} --to d4rl` (or `minari`) writes it for other tools."""


def _score(value: float, record: DatasetRecord) -> str:
    return "none" if record.reference is None else f"{scores.normalize(value, record):,.1f}"
