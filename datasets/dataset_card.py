"""Dataset cards: every number, picture and verdict of a dataset as data, and read back strictly.

``card.json`` (format ``datumrl-card``, version 1) holds all; ``CARD.md`` is rendered from it and
from nothing else.  A card of someone else's is data to distrust: it is read against its schema, and
numbers that could not be drawn are refused.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from datumrl.datasets import cards, columns, files
from datumrl.datasets.dataset_statistics import DatasetStatistics
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.findings import Report, Verdict
from datumrl.datasets.pictures import Pictures
from datumrl.datasets.record import DatasetRecord, Reference
from datumrl.datasets.returns_quality import Distribution

FORMAT = "datumrl-card"
VERSION = 1
NAME, TEXT_NAME = "card.json", cards.NAME
_LARGEST_FILE = 8 << 20  # bytes
_LARGEST_NUMBER = 1e100  # sums and differences of such are finite
# A list of numbers that json.dumps has broken into lines; no string holds a line break.
_NUMBERS = re.compile(r"\[\s*\n\s*(-?[\d.][^\[\]{}\"]*?)\s*\n\s*\]")


@dataclass(frozen=True)
class Facts:
    """What the catalogue knows of a dataset, and of what form its columns are."""

    environment: str | None
    environment_note: str
    time_limit: int  # steps; 0: none, or not known
    observations: str  # type and shape
    actions: str
    reference: Reference | None  # the returns of scores 0 and 100
    returns_note: str  # why returns of its episodes are no scores; empty: they are
    errata: tuple[str, ...]
    licence: str
    citation: str
    bibtex: str
    source: str


@dataclass(frozen=True)
class AuditVerdict:
    """What one check of the audit found."""

    check: str
    verdict: Verdict
    summary: str
    remedy: str
    known_erratum: str | None


@dataclass(frozen=True)
class Card:
    """A dataset's card."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    format: Literal["datumrl-card"]
    version: Literal[1]
    id: str
    facts: Facts
    statistics: DatasetStatistics
    pictures: Pictures
    audit: tuple[AuditVerdict, ...]
    recipe: tuple[tuple[str, str], ...]  # how a collected dataset was made
    versions: dict[str, str]  # of the software that measured

    @property
    def failures(self) -> list[AuditVerdict]:
        """Return the checks that fail, known errata left out."""
        return [
            each for each in self.audit if each.verdict == "fail" and each.known_erratum is None
        ]

    @property
    def verdict(self) -> str:
        """Return the audit in a word or two."""
        if self.failures:
            return f"{len(self.failures)} failed"
        known = sum(each.known_erratum is not None for each in self.audit)
        warned = sum(each.verdict == "warn" and each.known_erratum is None for each in self.audit)
        words = [f"{warned} to know"] * bool(warned) + [f"{known} known"] * bool(known)
        return f"sound{', ' * bool(words)}{', '.join(words)}"

    def to_json(self) -> dict[str, Any]:
        """Return JSON content; what is undefined is null."""
        return asdict(self)


def make(
    episodes: Episodes,
    record: DatasetRecord | None,
    statistics: DatasetStatistics,
    pictures: Pictures,
    report: Report,
    provenance: Mapping[str, Any],
    versions: Mapping[str, str],
) -> Card:
    """Return the card of a dataset from what was measured and found.

    ``provenance`` is that of its prepared columns: of a collected dataset it holds the recipe.
    """
    return Card(
        format="datumrl-card",
        version=1,
        id=episodes.id,
        facts=_facts(episodes, record),
        statistics=statistics,
        pictures=pictures,
        audit=tuple(
            AuditVerdict(each.check, each.verdict, each.summary, each.remedy, each.known_erratum)
            for each in report.findings
        ),
        recipe=_recipe(provenance, len(episodes)),
        versions=dict(versions),
    )


def _recipe(provenance: Mapping[str, Any], rows_here: int) -> tuple[tuple[str, str], ...]:
    if "recipe" not in provenance:
        return ()
    parts = provenance["parts"]
    # A prefix that the whole dataset serves has the whole's origin.
    whole = sum(part["transitions"] for part in parts) == rows_here
    mixture = ("mixture" if whole else "mixture of the whole dataset", _mixture(parts))
    rows = [mixture, *cards.recipe_rows(provenance)]
    return tuple((name, text.replace("`", "")) for name, text in rows)


def _mixture(parts: Sequence[Mapping[str, Any]]) -> str:
    """Return what each behaviour policy contributed to a collected dataset."""
    total = sum(part["transitions"] for part in parts)
    return "; ".join(
        f"{part['name']} {100 * part['transitions'] / total:.1f} % "
        f"({part['transitions']:,} transitions in {part['episodes']:,} "
        f"episode{'s' * (part['episodes'] != 1)})"
        for part in parts
    )


def _facts(episodes: Episodes, record: DatasetRecord | None) -> Facts:
    environment = None if record is None else record.environment
    return Facts(
        environment=None if environment is None else environment.id,
        environment_note="" if environment is None else environment.note,
        time_limit=episodes.time_limit,
        observations=columns.describe(episodes.observations),
        actions=columns.describe(episodes.actions),
        reference=None if record is None else record.reference,
        returns_note="" if record is None else record.returns_note,
        errata=() if record is None else record.errata,
        licence="" if record is None else record.licence,
        citation="" if record is None else record.citation,
        bibtex="" if record is None else record.bibtex,
        source="" if record is None else record.source,
    )


def write(card: Card, folder: Path) -> Path:
    """Write ``<folder>/<id>/card.json`` and ``CARD.md`` beside it; return the former's path."""
    from datumrl.datasets import card_text

    parts = card.id.split("/")
    if not all(parts) or any(part in (".", "..") or "\\" in part for part in parts):
        raise DatumrlError(f"{card.id!r} cannot name a folder; give the dataset another id")
    place = folder.joinpath(*parts)
    text = json.dumps(card.to_json(), indent=1, allow_nan=False, ensure_ascii=False)
    with files.replacing(place / NAME, "w") as handle:
        handle.write(_NUMBERS.sub(_on_one_line, text) + "\n")
    with files.replacing(place / TEXT_NAME, "w") as handle:
        handle.write(card_text.render(card))
    return place / NAME


def _on_one_line(match: re.Match[str]) -> str:
    return f"[{' '.join(match[1].split())}]"


def find(paths: list[Path]) -> list[Path]:
    """Return the cards among files and folders, by name; DatumrlError for a path without any."""
    found: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise DatumrlError(f"{path} does not exist; check the path")
        mine = [path] if path.is_file() else sorted(path.rglob(NAME))
        if not mine:
            raise DatumrlError(f"{path}: holds no {NAME}; write one with `datumrl stats ID --card`")
        found.update(mine)
    return sorted(found)


def read(path: Path) -> Card:
    """Read a card; DatumrlError for a file that is none, or whose numbers make no sense."""
    import pydantic

    if path.exists() and path.stat().st_size > _LARGEST_FILE:
        raise DatumrlError(f"{path}: larger than {_LARGEST_FILE >> 20} MB, so no card; remove it")
    content = files.read_json(path)
    try:
        card = pydantic.TypeAdapter(Card).validate_json(json.dumps(content), strict=True)
    except pydantic.ValidationError as problem:
        first = problem.errors()[0]
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise DatumrlError(
            f"{path}: no card of version {VERSION} ({why}); write it again"
        ) from None
    wrong = next(_wrong(card, content), None)
    if wrong is not None:
        raise DatumrlError(f"{path}: {wrong}; write the card again with `datumrl stats --card`")
    return card


def _wrong(card: Card, content: Any) -> Iterator[str]:
    """Yield what makes a card unfit to be drawn."""
    if card.id != card.statistics.id:
        yield f"is of {card.id!r}, its statistics of {card.statistics.id!r}"
    if any(abs(number) > _LARGEST_NUMBER for number in _every_number(content)):
        yield "holds a number that nothing measured can be"
    for what in ("returns", "lengths"):
        found: Distribution = getattr(card.statistics, what).distribution
        if found.count and not _is_histogram(found.bin_edges, found.bin_counts):
            yield f"the histogram of {what} is none"
        if found.count and None in (found.minimum, found.maximum, found.mean):
            yield f"{what} have no extremes"
    plane, actions = card.pictures.plane, card.pictures.actions
    if plane is not None:
        rows = [_is_histogram(plane.x_edges, row) for row in plane.counts]
        if not all(rows) or not _is_histogram(plane.y_edges, [0] * len(rows)):
            yield "the plane of coverage is no grid"
    if actions is not None:
        marginals = [_is_histogram(actions.edges, row) for row in actions.counts]
        if not marginals or not all(marginals):
            yield "the marginals of actions are no histograms"


def _is_histogram(edges: tuple[float, ...], counts: Any) -> bool:
    rising = all(low < high for low, high in itertools.pairwise(edges))
    return (
        len(counts) > 0
        and len(edges) == len(counts) + 1
        and (rising or len(counts) == 1)
        and min(counts) >= 0
    )


def _every_number(content: Any) -> Iterator[float]:
    if isinstance(content, dict):
        content = list(content.values())
    if isinstance(content, list):
        for each in content:
            yield from _every_number(each)
    elif isinstance(content, int | float):
        yield content
