"""What a rule may look at besides the submission itself: the others, and the base to compare with.

Rules yield findings through `error` and `flag`, named after the rule.
"""

from __future__ import annotations

import array
import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from datumrl.datasets import catalogue
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.record import DatasetRecord
from datumrl.leaderboard import names, submission_copies
from datumrl.leaderboard.submission_copies import Folder, Shared
from datumrl.leaderboard.submission_files import Finding, Submission
from datumrl.leaderboard.submission_schema import Method

# Distinct returns of an evaluation below which two can well be equal by nature; of whole numbers
# more (there are five in kitchen), and in their order.
_TELLING, _TELLING_WHOLE = 4, 6
_SHOWN = 5
_FORGES = ("github.com", "gitlab.com", "codeberg.org", "bitbucket.org")
_ON_THIS_MACHINE = ("user/",)  # ids that mean something else, or nothing, elsewhere

Vector = tuple[str, str]  # dataset, hash of the returns of one evaluation point
Place = tuple[Folder, int, int]  # submission's folders, seed, step


@dataclass(frozen=True)
class Context:
    """All submissions known, the one under check included, and the base if there is one."""

    known: Sequence[Submission]
    base: Sequence[Submission] | None = None
    vectors: dict[Vector, list[Place]] = field(default_factory=dict)
    shared: Shared = field(default_factory=dict)
    # Revisions that were accepted before, with the names of their files then.
    settled: Mapping[Folder, Collection[str]] = field(default_factory=dict)

    def before(self, submission: Submission) -> list[Submission]:
        """Return the earlier revisions of a submission's method, the first one first."""
        name, number = submission.folder[0], submission.number
        found = [one for one in self.known if one.folder[0] == name and 0 < one.number < number]
        return sorted(found, key=lambda one: one.number)

    def is_last(self, submission: Submission) -> bool:
        """Say whether it is its method's last revision, the one that is shown."""
        name, number = submission.folder[0], submission.number
        return not any(one.folder[0] == name and one.number > number for one in self.known)


def context(
    found: Sequence[Submission],
    others: Sequence[Submission] = (),
    base: Sequence[Submission] | None = None,
    settled: Sequence[Submission] = (),
) -> Context:
    """Return the context of submissions checked together; those win over others of their title.

    ``settled`` have been accepted before, as those in the base have.
    """
    by_title = {one.folder: one for one in (*(base or ()), *others, *found)}
    known = list(by_title.values())
    accepted = {one.folder: frozenset(one.hashes) for one in (*settled, *(base or ()))}
    vectors: dict[Vector, list[Place]] = defaultdict(list)
    for one in known:
        for vector, seed, step in return_vectors(one):
            vectors[vector].append((one.folder, seed, step))
    return Context(known, base, dict(vectors), submission_copies.shared(known), accepted)


def return_vectors(submission: Submission) -> Iterator[tuple[Vector, int, int]]:
    """Yield every evaluation point whose returns are telling, with its seed and step.

    A point that is there again with the same seed and step (which other rules refuse) is left out:
    looked for among its like in vain, thousands of them would take hours.
    """
    seen: set[tuple[Vector, int, int]] = set()
    for result in submission.results.values():
        for run in result.runs:
            for point in run.evaluations:
                told = telling(point.returns)
                if told is not None:
                    digest = hashlib.sha256(array.array("d", told).tobytes()).hexdigest()
                    found = (result.dataset, digest), run.seed, point.step
                    if found not in seen:
                        seen.add(found)
                        yield found


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


def canonical(dataset: str) -> str:
    """Return an id with the size of its prefix as we write it: ``@20k``, not ``@20000``."""
    record = dataset_of(dataset)
    if record is None or record.prefix is None:
        return dataset
    name, size = dataset.partition("@")[0], record.prefix
    for unit, mark in ((1_000_000, "M"), (1_000, "k")):
        if size % unit == 0:
            return f"{name}@{size // unit}{mark}"
    return f"{name}@{size}"


def independent(one: Submission, other: Submission) -> bool:
    """Say whether two submissions come from different people and different code."""
    if one.method is None or other.method is None:
        return False
    return not share_authors(one.method, other.method) and owner(one.method) != owner(other.method)


def may_follow(method: Method, before: Method) -> bool:
    """Say whether a method can be a revision of the one before: of its authors, or of its owner.

    Where addresses do not begin with the owner (https://anonymous.4open.science/r/...), the code
    has to be the very same.
    """
    if share_authors(method, before) or method.code.url == before.code.url:
        return True
    host, _, name = owner(before).partition("/")
    return host in _FORGES and bool(name) and owner(method) == owner(before)


def share_authors(one: Method, other: Method) -> bool:
    """Say whether two methods have an author in common."""
    mine, theirs = ({names.alike(author) for author in each.authors} for each in (one, other))
    return bool(mine & theirs)


def owner(method: Method) -> str:
    """Return whose code it is, for example ``github.com/somebody``."""
    return "/".join(method.code.url.split("/")[2:4]).lower()


def is_author(submission: Submission, name: str) -> bool:
    """Say whether a name is among a submission's authors."""
    assert submission.method is not None
    return names.alike(name) in {names.alike(author) for author in submission.method.authors}


def says_something(name: str) -> bool:
    """Say whether a name has a letter or a digit."""
    return any(letter.isalnum() for letter in name)


def listed(seeds: Sequence[int]) -> str:
    """Return seeds in words, the first of them if they are many."""
    noun = "seed" if len(seeds) == 1 else "seeds"
    more = f" and {len(seeds) - _SHOWN} more" if len(seeds) > _SHOWN else ""
    return f"{noun} {', '.join(map(str, sorted(seeds)[:_SHOWN]))}{more}"


def error(rule: str, submission: Submission, message: str, file: str = "") -> Finding:
    """Return what must be mended; ``message`` ends in the remedy."""
    return Finding(rule, "error", f"{submission.title}/{file}".rstrip("/"), message)


def flag(rule: str, submission: Submission, message: str, file: str = "") -> Finding:
    """Return what is no mistake, but must be seen."""
    return Finding(rule, "flag", f"{submission.title}/{file}".rstrip("/"), message)
