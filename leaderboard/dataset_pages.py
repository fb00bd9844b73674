"""What the site's pages of datasets show: a card's numbers, its drawings, its audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from datumrl.datasets import card_text, measures, quality_map
from datumrl.datasets.dataset_card import Card
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.quality_map import MapPoint
from datumrl.leaderboard import dataset_drawing, known_quality, names

SHAPES = "● hopper, ■ halfcheetah, ▲ walker2d, ◆ others"


@dataclass(frozen=True)
class DatasetPage:
    """One card, and where its page and its data are within the site."""

    card: Card
    page: str
    data: str


def pages(cards: Sequence[Card]) -> list[DatasetPage]:
    """Return a page per dataset, by id; DatumrlError where two cards of one dataset differ."""
    found: dict[str, Card] = {}
    for card in cards:
        if found.setdefault(card.id, card) != card:
            raise DatumrlError(
                f"{card.id}: two cards of it differ; give the board only one of them with --cards"
            )
    return [
        DatasetPage(
            card, f"datasets/{names.slug(name)}.html", f"data/cards/{names.slug(name)}.json"
        )
        for name, card in sorted(found.items())
    ]


def points(cards: Sequence[Card]) -> list[MapPoint]:
    """Return the map's points: the published ones and those of the cards."""
    return quality_map.merge(known_quality.published_points(), known_quality.card_points(cards))


def overview(every: Sequence[DatasetPage]) -> dict[str, Any]:
    """Return what the front page shows of datasets."""
    known = points([each.card for each in every])
    return {
        "map": dataset_drawing.quality_map(known, [each.card.id for each in every]),
        "legend": _legend(known),
    }


def context(page: DatasetPage, every: Sequence[DatasetPage]) -> dict[str, Any]:
    """Return all that the page of one dataset shows."""
    card, known = page.card, points([each.card for each in every])
    return {
        "page": page,
        "card": card,
        "facts": card_text.facts(card),
        "sections": measures.sections(card.statistics),
        "notes": [*measures.notes(card.statistics), *card.pictures.notes],
        "audit": card_text.ordered_audit(card),
        "plots": _plots(card, known),
    }


def _plots(card: Card, known: Sequence[MapPoint]) -> list[tuple[str, Markup, str]]:
    """Return (title, drawing, caption) of every plot of a card."""
    found, drawn = card.statistics, card.pictures
    episodes = f"{found.returns.distribution.count:,} completed episodes."
    sampled = f"{drawn.sampled_rows:,} rows, drawn with seed {drawn.seed}."
    plots = [
        ("Returns", dataset_drawing.histogram(
            found.returns.distribution, "return of an episode, reward units", _marks(card)
        ), episodes + _reference_words(card)),
        ("Lengths", dataset_drawing.histogram(
            found.lengths.distribution, "length of an episode, steps"
        ), episodes),
    ]  # fmt: skip
    if drawn.plane is not None:
        words = f"{sampled} Darker cells hold more of them, on a logarithmic scale"
        words += f", at most {max(max(row) for row in drawn.plane.counts):,}."
        plots.append(("Coverage", dataset_drawing.plane(drawn.plane), words))
    if drawn.actions is not None:
        words = f"{sampled} Marginals, each scaled to its peak."
        plots.append(("Actions", dataset_drawing.actions(drawn.actions), words))
    placed = quality_map.place(found)
    legend = _legend(known)
    words = legend if isinstance(placed, MapPoint) else f"Not on the map: {placed}. {legend}"
    plots.append(("Quality and coverage", dataset_drawing.quality_map(known, [card.id]), words))
    return plots


def _legend(known: Sequence[MapPoint]) -> str:
    return f"{SHAPES}; {quality_map.legend(known)}. Grey: published, D4RL v0."


def _marks(card: Card) -> list[tuple[str, float]]:
    reference = card.facts.reference
    if reference is None or card.statistics.scores.refused:
        return []
    return [("score 0", reference.minimum), ("score 100", reference.maximum)]


def _reference_words(card: Card) -> str:
    told = [f"{label} is a return of {value:,.6g}" for label, value in _marks(card)]
    return f" {'; '.join(told).capitalize()}." if told else ""
