"""What a rule may look at besides the submission itself: the others, and the base to compare with.

Rules yield findings through `error` and `flag`, named after the rule.
"""

from __future__ import annotations

import array
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from datumrl.datasets import catalogue
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.record import DatasetRecord
from datumrl.leaderboard.submission_files import Finding, Submission

# Distinct returns of an evaluation below which two can well be equal by nature; of whole numbers
# more (there are five in kitchen), and in their order.
_TELLING, _TELLING_WHOLE = 4, 6
_ON_THIS_MACHINE = ("user/",)  # ids that mean something else, or nothing, elsewhere

Vector = tuple[str, str]  # dataset, hash of the returns of one evaluation point
Place = tuple[tuple[str, str], int, int]  # submission's folders, seed, step


@dataclass(frozen=True)
class Context:
    """All submissions known, the one under check included, and the base if there is one."""

    known: Sequence[Submission]
    base: Sequence[Submission] | None = None
    vectors: dict[Vector, list[Place]] = field(default_factory=dict)


def context(
    found: Sequence[Submission],
    others: Sequence[Submission] = (),
    base: Sequence[Submission] | None = None,
) -> Context:
    """Return the context of submissions checked together; those win over others of their title."""
    by_title = {one.folder: one for one in (*(base or ()), *others, *found)}
    known = list(by_title.values())
    vectors: dict[Vector, list[Place]] = defaultdict(list)
    for one in known:
        for vector, seed, step in return_vectors(one):
            vectors[vector].append((one.folder, seed, step))
    return Context(known, base, dict(vectors))


def return_vectors(submission: Submission) -> Iterator[tuple[Vector, int, int]]:
    """Yield every evaluation point whose returns are telling, with its seed and step."""
    for result in submission.results.values():
        for run in result.runs:
            for point in run.evaluations:
                told = telling(point.returns)
                if told is not None:
                    digest = hashlib.sha256(array.array("d", told).tobytes()).hexdigest()
                    yield (result.dataset, digest), run.seed, point.step


def telling(returns: Sequence[float]) -> tuple[float, ...] | None:
    """Return what two evaluations have in common only if one is a copy; None without that.

    A copy is one in whatever order its episodes are given.
    """
    whole = all(value.is_integer() for value in returns)
    if len(set(returns)) < (_TELLING_WHOLE if whole else _TELLING):
        return None
    return tuple(returns) if whole else tuple(sorted(returns))


def dataset_of(dataset: str) -> DatasetRecord | None:
    """Return the record of a dataset that means the same on every machine, None if unknown."""
    if dataset.startswith(_ON_THIS_MACHINE):
        return None
    try:
        return catalogue.find(dataset)
    except DatumrlError:
        return None


def independent(one: Submission, other: Submission) -> bool:
    """Say whether two submissions come from different people and different code."""
    if one.method is None or other.method is None:
        return False
    mine, theirs = ({_plain(a) for a in each.method.authors} for each in (one, other))  # type: ignore[union-attr]
    owners = ["/".join(each.method.code.url.split("/")[2:4]).lower() for each in (one, other)]  # type: ignore[union-attr]
    return not mine & theirs and owners[0] != owners[1]


def is_author(submission: Submission, name: str) -> bool:
    """Say whether a name is among a submission's authors."""
    assert submission.method is not None
    return _plain(name) in {_plain(author) for author in submission.method.authors}


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())


def error(rule: str, submission: Submission, message: str, file: str = "") -> Finding:
    """Return what must be mended; ``message`` ends in the remedy."""
    return Finding(rule, "error", f"{submission.title}/{file}".rstrip("/"), message)


def flag(rule: str, submission: Submission, message: str, file: str = "") -> Finding:
    """Return what is no mistake, but must be seen."""
    return Finding(rule, "flag", f"{submission.title}/{file}".rstrip("/"), message)
