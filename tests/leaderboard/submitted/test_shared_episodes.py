"""A copy is found though some of its episodes were changed; what runs share by nature is none."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datumrl.leaderboard import submission_files, verification
from datumrl.leaderboard.submission_checks import check
from datumrl.leaderboard.submission_copies import Episodes, share, telling_episodes
from datumrl.leaderboard.submission_schema import Point, SeedRun


def flags(root: Path, rule: str) -> list[str]:
    return [str(each) for each in check(root).findings if each.rule == rule]


def lowered(draft: Any, place: int) -> Any:
    """Change one return of every evaluation a little, as a thief would."""
    for run in draft.runs:
        for point in run["evaluations"]:
            point["returns"][place] -= 0.5
    return draft


def test_a_copy_with_an_episode_changed_is_flagged_and_confirms_no_hash(
    make: Any, tmp_path: Path
) -> None:
    make("one").write(tmp_path)
    lowered(make("two"), place=0).write(tmp_path)
    for run in (partly := make("three", level=300)).runs[:4]:
        run["evaluations"] = make("one").runs[run["seed"]]["evaluations"]
    lowered(partly, place=9).write(tmp_path)
    assert check(tmp_path).errors == ()
    of_one = [each for each in flags(tmp_path, "shared-episodes") if "] one/r1/" in each]
    assert "seeds 0, 1, 2, 3 with episodes" in of_one[0]
    assert "seeds 0, 1, 2, 3, 4 and 5 more with episodes" in of_one[1]
    assert "are to the digit those of two/r1: copies" in of_one[1]
    assert len(check(tmp_path).unconfirmed) == 3
    told = flags(tmp_path, "shared-episodes")
    make("four", level=200).write(tmp_path)
    assert flags(tmp_path, "shared-episodes") == told
    assert check(tmp_path).unconfirmed == []  # by runs of its own, which are nobody's


def test_copies_within_a_submission_are_flagged_and_revisions_may_share(
    make: Any, tmp_path: Path
) -> None:
    first, second = make("one"), make("one", "r2")
    second.method["supersedes"] = "r1"
    for draft in (first, second):
        draft.write(tmp_path / "revisions")
    assert flags(tmp_path / "revisions", "shared-episodes") == []
    for place in range(2):
        copied = json.loads(json.dumps(first.runs[3]["evaluations"][place]))
        copied["returns"][0] -= 0.5
        first.runs[7]["evaluations"][place] = copied
    first.write(tmp_path / "own")
    (told,) = flags(tmp_path / "own", "shared-episodes")
    assert "seeds 3, 7 with episodes, half or more, that are to the digit those of others" in told


def test_evidence_with_an_episode_changed_is_a_copy(draft: Any, tmp_path: Path) -> None:
    from datumrl.datasets.errors import DatumrlError

    def copied(result: Any, seeds: Sequence[int]) -> Any:
        found = []
        for record, seed in zip(result.records(), seeds, strict=False):
            point = record.evaluations[-1]
            changed = point.model_copy(
                update={"returns": (point.returns[0] - 1, *point.returns[1:])}
            )
            found.append(record.model_copy(update={"seed": seed, "evaluations": (changed,)}))
        return found

    submission = submission_files.read(draft.write(tmp_path))
    with pytest.raises(DatumrlError, match="seed 10: returns copied from the submission"):
        verification.verify(submission, 1, "retrained", copied, "Somebody")


def episodes(returns: Sequence[float], lengths: Sequence[int]) -> Episodes:
    point = Point(step=1, returns=tuple(map(float, returns)), lengths=tuple(map(int, lengths)))
    run = SeedRun(
        seed=0, status="complete", evaluations=(point,), software={}, hardware="a machine"
    )
    return telling_episodes(run, "last")


@pytest.mark.parametrize(("changed", "found"), [(0, True), (5, True), (6, False)])
def test_measured_returns_are_compared_in_any_order(changed: int, found: bool) -> None:
    generator = np.random.default_rng(0)
    own, other = generator.normal(3000, 200, (2, 10))
    thief = generator.permutation([*own[changed:], *other[:changed]])
    assert share(episodes(own, [1000] * 10), episodes(thief, [1000] * 10)) == found


@pytest.mark.parametrize(("changed", "found"), [(1, True), (2, True), (4, False)])
def test_whole_returns_are_compared_with_their_lengths_in_their_order(
    changed: int, found: bool
) -> None:
    lengths = np.array([700, 212, 305, 251, 190, 260, 244, 288, 231, 270])  # of D4RL's antmaze
    returns = (lengths < 700).astype(float)
    thief = lengths.copy()
    thief[1 : 1 + changed] += 1
    own = episodes(returns, lengths)
    assert share(own, episodes(returns, thief)) == found
    assert not share(own, episodes(returns[::-1], lengths[::-1]))


def saturated(generator: np.random.Generator) -> tuple[Sequence[float], Sequence[int]]:
    return [1000.0] * 10, [1000] * 10


def deterministic(generator: np.random.Generator) -> tuple[Sequence[float], Sequence[int]]:
    return [3211.125] * 10, [1000] * 10


def kitchen(generator: np.random.Generator) -> tuple[Sequence[float], Sequence[int]]:
    returns = generator.integers(0, 5, 100)
    return returns.tolist(), np.where(returns == 4, generator.integers(200, 280, 100), 280).tolist()


def short_falls(generator: np.random.Generator) -> tuple[Sequence[float], Sequence[int]]:
    lengths = generator.integers(20, 60, 100).tolist()
    return lengths, lengths


def shortest_paths(generator: np.random.Generator) -> tuple[Sequence[float], Sequence[int]]:
    """A grid's near-optimal policies: of the same ten episodes, one in five is equally long."""
    best = np.array([13, 21, 9, 17, 25, 30, 11, 19, 15, 23])
    lengths = best + generator.integers(0, 5, 10)
    return (1 - 0.9 * lengths / 576).tolist(), lengths.tolist()


@pytest.mark.parametrize("kind", [saturated, deterministic, kitchen, short_falls, shortest_paths])
def test_what_runs_share_by_nature_is_no_copy(kind: Any) -> None:
    generator = np.random.default_rng(1)
    runs = [episodes(*kind(generator)) for _ in range(30)]
    assert not any(share(one, other) for n, one in enumerate(runs) for other in runs[:n])
