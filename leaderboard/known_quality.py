"""Where all datasets known lie on the TQ-SACo map: as published, and as measured here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from datumrl.datasets import dataset_card, quality_map
from datumrl.datasets.dataset_card import Card
from datumrl.datasets.quality_map import MapPoint
from datumrl.leaderboard import quality_tables
from datumrl.leaderboard.quality_tables import PublishedRow

CARDS = Path(__file__).parent / "cards"  # of the local datasets; `make cards` writes them


def points() -> list[MapPoint]:
    """Return the published rows and the cards that come with the suite."""
    return quality_map.merge(published_points(), card_points(own_cards()))


def published_points() -> list[MapPoint]:
    """Return where every row of the published tables of TQ and SACo lies."""
    return [
        MapPoint(row.dataset, row.tq, row.saco, row.dataset == row.reference, "published")
        for row in published_rows()
    ]


def published_rows() -> list[PublishedRow]:
    """Return every dataset's TQ and SACo as printed."""
    return [row for table in quality_tables.all_tables() for row in quality_tables.read_rows(table)]


def card_points(cards: Iterable[Card]) -> list[MapPoint]:
    """Return where cards lie, those that can be placed."""
    placed = (quality_map.place(card.statistics, "measured") for card in cards)
    return [point for point in placed if isinstance(point, MapPoint)]


def own_cards() -> list[Card]:
    """Return the cards that come with the suite, by id."""
    return [dataset_card.read(path) for path in sorted(CARDS.rglob(dataset_card.NAME))]
