"""The local suite in two tables: what each dataset holds, and what its policies score.

Both are made from what ships: the datasets' cards, the policies' cards, and the published
TQ and SACo of D4RL's datasets of the same name (version 0: the only ones published with them).
"""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping, Sequence
from typing import Any

from datumrl.datasets import local_catalogue, markdown
from datumrl.datasets.dataset_card import Card
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.measures import NOTHING, number
from datumrl.leaderboard import known_quality
from datumrl.leaderboard.quality_tables import PublishedRow

BEGIN, END = "<!-- written by `make cards` -->", "<!-- end -->"
ENVIRONMENTS = ("hopper", "halfcheetah", "walker2d")


def tables() -> str:
    """Return both tables as Markdown."""
    published = {row.dataset: row for row in known_quality.published_rows()}
    cards = {card.id: card for card in known_quality.own_cards()}
    ordered = [cards[each.id] for each in local_catalogue.records() if each.id in cards]
    return "\n\n".join(
        (
            "### Datasets",
            dataset_table(ordered, published),
            "### Behaviour policies",
            policy_table(published),
        )
    )


def within(document: str) -> str:
    """Return a document with the tables between its two marks.

    Raises DatumrlError for a document without them.
    """
    head, begin, rest = document.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise DatumrlError(f"the document lacks {BEGIN} or {END}; put both where the tables go")
    return f"{head}{BEGIN}\n\n{tables()}\n\n{END}{tail}"


def dataset_table(cards: Sequence[Card], published: Mapping[str, PublishedRow]) -> str:
    """Return a row per card, with D4RL's numbers for the dataset of the same name."""
    head = ["dataset", "transitions", "episodes", "mean length", "mean return", "deviation"]
    head += ["score (100 TQ)", "best score", "PSV", "SACo", "100 TQ of D4RL v0", "SACo of D4RL v0"]
    rows = []
    for card in cards:
        found, scores = card.statistics, card.statistics.scores
        d4rl = published.get(d4rl_name(card.id))
        spread = found.returns.distribution
        rows.append(
            (
                f"`{card.id.removeprefix('local/')}`",
                f"{found.rows:,}",
                f"{found.returns.distribution.count:,}",
                number(found.lengths.horizon),
                number(spread.mean),
                number(spread.std),
                _score(scores.neorl_score),
                _score(scores.best),
                number(scores.psv),
                number(found.coverage.saco),
                NOTHING if d4rl is None else _score(100 * d4rl.tq),
                NOTHING if d4rl is None else number(d4rl.saco),
            )
        )
    return markdown.table(head, rows)


def policy_table(published: Mapping[str, PublishedRow]) -> str:
    """Return what expert and medium of each environment score, beside D4RL's datasets of them."""
    head = ["environment", "policy", "training step", "mean return", "deviation", "episodes"]
    head += ["score", "100 TQ of D4RL v0"]
    rows = []
    for environment in ENVIRONMENTS:
        policies = policy_card(environment)["policies"]
        for level in ("medium", "expert", "good"):
            if level in policies:
                said = policies[level]
                d4rl = published.get(f"d4rl/{environment}-{level}-v0")
                rows.append(
                    (
                        environment,
                        level,
                        f"{said['step']:,}",
                        number(said["mean_return"]),
                        number(said["std_return"]),
                        str(said["episodes"]),
                        _score(said["normalised_score"]),
                        NOTHING if d4rl is None else _score(100 * d4rl.tq),
                    )
                )
    return markdown.table(head, rows)


def policy_card(environment: str) -> dict[str, Any]:
    """Return what ships with an environment's policies: training, versions, scores."""
    folder = importlib.resources.files("datumrl.datasets").joinpath("policies", environment)
    content: dict[str, Any] = json.loads(folder.joinpath("card.json").read_text(encoding="utf-8"))
    return content


def d4rl_name(dataset: str) -> str:
    """Return the id that a local dataset's counterpart of D4RL version 0 would have."""
    return f"d4rl/{dataset.removeprefix('local/').rpartition('-v')[0]}-v0"


def _score(value: float | None) -> str:
    # Adding 0 makes 0 of the -0 that a small negative number rounds to.
    return NOTHING if value is None else f"{round(value, 1) + 0.0:.1f}"
