"""Evidence is worth what its raw returns show; the tests behind the verdict hold their level."""

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.records import Evaluation, RunRecord
from datumrl.leaderboard import (
    agreement,
    submission_checks,
    submission_evidence,
    submission_files,
    submitted_runs,
    verification,
)
from datumrl.leaderboard.submission_checks import check
from datumrl.leaderboard.submission_schema import (
    FOLDER,
    DatasetResult,
    json_schemas,
)


def rerun(level: int, spread: int = 50, status: str = "complete") -> Callable[..., list[RunRecord]]:
    """Return a stand-in for what trains: records with returns around a level."""

    def run(result: DatasetResult, seeds: Sequence[int]) -> list[RunRecord]:
        first = result.records()[0].model_dump()
        found = []
        for seed in seeds:
            generator = np.random.default_rng([7, seed])
            lengths = tuple(generator.integers(level - spread, level + spread, 10).tolist())
            point = Evaluation(step=1000, returns=tuple(map(float, lengths)), lengths=lengths)
            changes = {"seed": seed, "evaluations": (point,), "status": status}
            if status == "failed":
                changes["failure"] = "diverged"
            found.append(RunRecord(**{**first, **changes}))
        return found

    return run


def verified(draft: Any, root: Path, kind: str, run: Any, by: str = "Somebody Else") -> Path:
    folder = draft.write(root)
    evidence = verification.verify(submission_files.read(folder), 1, kind, run, by)
    (folder / "evidence.json").write_text(json.dumps(evidence.model_dump(mode="json")))
    return folder


@pytest.mark.parametrize("kind", ["re-rolled", "retrained"])
@pytest.mark.parametrize(
    ("level", "status", "verdict"),
    [(400, "complete", "agrees"), (700, "complete", "differs"), (400, "failed", "inconclusive")],
)
def test_tier_follows_from_the_new_returns(
    draft: Any, tmp_path: Path, kind: str, level: int, status: str, verdict: str
) -> None:
    verified(draft, tmp_path / "subs", kind, rerun(level, status=status))
    report = check(tmp_path / "subs")
    assert [str(each) for each in report.errors] == []
    (submission,) = report.submissions
    assert submission_evidence.judged(submission, submission.evidence.values()).verdict == verdict
    tier = "reproduced" if verdict == "agrees" else "submitted"
    assert submission_checks.tier(submission, report) == tier
    told = any(verdict in str(each) and "evidence-holds" in str(each) for each in report.findings)
    assert told == (verdict != "agrees")
    runs = submitted_runs.load(tmp_path / "subs")
    assert {run.row.tier for run in runs} == {tier}
    assert len(runs) == 10
    ((source, told_of),) = submitted_runs.submitted(report).items()
    assert {run.row.source for run in runs} == {source}
    assert kind in told_of.evidence
    assert (
        f"1 of 1 datasets, drawn by the files' hashes and the verifier's name: {verdict}"
        in told_of.evidence
    )
    assert any("unconfirmed hash" in flag for flag in told_of.flags)


def spoiled(draft: Any, folder: Path, change: Callable[[dict[str, Any]], object]) -> str:
    path = folder / "evidence.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return "\n".join(str(each) for each in check(folder.parents[1]).errors)


def _evaluation(content: dict[str, Any]) -> dict[str, Any]:
    evaluation: dict[str, Any] = content["cells"][0]["runs"][0]["evaluations"][0]
    return evaluation


def _copied(content: dict[str, Any], draft: Any) -> None:
    content["cells"][0]["runs"][0]["evaluations"] = draft.runs[0]["evaluations"][1:]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c, d: c.update(verified_by=" author of MY-BC"), "is an author"),
        (lambda c, d: c["files"].update({"method.json": "0" * 64}), "of other files"),
        (lambda c, d: c.update(method="other"), "of another submission"),
        (lambda c, d: c.update(sampled=2, cells=c["cells"] * 2), "are not the 2"),
        (lambda c, d: c["cells"][0]["runs"].pop(), "every seed that did not fail"),
        (lambda c, d: c["cells"][0]["runs"].append(c["cells"][0]["runs"][0]), "there twice"),
        (lambda c, d: c.update(kind="retrained"), "none of the submitted ones"),
        (_copied, "copied from the submission"),
        (lambda c, d: c["cells"][0]["runs"][0]["evaluations"].clear(), "no returns"),
        (lambda c, d: c.update(verdict="agrees"), "Extra inputs"),
        (lambda c, d: c.update(verified_by="..."), "is nobody's name"),
        (lambda c, d: _evaluation(c)["returns"].pop(), "give every episode"),
        (lambda c, d: _evaluation(c)["lengths"].__setitem__(0, 1001), "longer than the time limit"),
        (lambda c, d: _evaluation(c)["returns"].__setitem__(0, 1e6), "lies outside"),
        (lambda c, d: _evaluation(c).update(step=999), "not evaluated at the steps that count"),
    ],
)
def test_evidence_that_does_not_hold_is_refused(
    draft: Any, tmp_path: Path, change: Any, told: str
) -> None:
    folder = verified(draft, tmp_path / "subs", "re-rolled", rerun(400))
    assert told in spoiled(draft, folder, lambda content: change(content, draft))
    # It is worth nothing; the results are what they were.
    if told != "Extra inputs":
        assert {run.row.tier for run in submitted_runs.load(tmp_path / "subs")} == {"submitted"}
        return
    report = submitted_runs.checked(tmp_path / "subs")
    assert submitted_runs.runs_of(report) == []
    (reason,) = report.left_out
    assert str(reason).startswith("error [files] my-bc/r1")


def test_evidence_comes_after_the_submission(draft: Any, tmp_path: Path) -> None:
    draft.write(tmp_path / "base")
    verified(draft, tmp_path / "subs", "retrained", rerun(400))
    assert check(tmp_path / "subs", tmp_path / "base").errors == ()
    (tmp_path / "empty").mkdir()
    told = str(check(tmp_path / "subs", tmp_path / "empty").errors[0])
    assert "in a change of its own" in told


def test_an_author_cannot_verify_and_seeds_are_new(draft: Any, tmp_path: Path) -> None:
    with pytest.raises(DatumrlError, match="is an author"):
        verified(draft, tmp_path / "a", "retrained", rerun(400), by="Author of my-bc")
    draft.method["tuning"]["seeds"] = [10, 12]
    folder = verified(draft, tmp_path / "b", "retrained", rerun(400))
    found = submission_files.read(folder).evidence["evidence.json"]
    assert [run.seed for run in found.cells[0].runs] == [11, 13, 14, 15, 16]


def test_the_sample_is_drawn_by_the_hashes_and_who_verifies() -> None:
    datasets = [f"d{n}" for n in range(30)]
    first = submission_evidence.drawn({"a": "1"}, "Ada B", datasets, 3)
    assert first == submission_evidence.drawn({"a": "1"}, "ada  b", datasets[::-1], 3)
    assert first != submission_evidence.drawn({"a": "2"}, "Ada B", datasets, 3)
    # An author who tried files until one verifier draws what he wants has no say in the next's.
    others = {name: submission_evidence.drawn({"a": "1"}, name, datasets, 3) for name in "BCDEFG"}
    assert len({tuple(each) for each in others.values()}) == 6
    counts = dict.fromkeys(datasets, 0)
    for n in range(2_000):
        for name in submission_evidence.drawn({"a": str(n)}, "Ada", datasets, 3):
            counts[name] += 1
    assert 130 < min(counts.values()) <= max(counts.values()) < 275  # 200 expected


def test_permutation_p_value_is_that_of_all_relabellings() -> None:
    old, new = np.array([1.0, 4, 2, 8]), np.array([9.0, 7, 12])
    pool = np.concatenate([old, new])
    observed = abs(new.mean() - old.mean())
    splits = list(itertools.combinations(range(7), 3))
    differences = [
        abs(pool[list(each)].mean() - np.delete(pool, list(each)).mean()) for each in splits
    ]
    exact = np.mean([each >= observed - 1e-12 for each in differences])
    found = agreement.permutation_p_value([(old, new)], np.random.default_rng(0))
    assert abs(found - exact) < 0.01


def test_the_interval_is_welchs() -> None:
    from scipy import stats

    generator = np.random.default_rng(1)
    old, new = generator.normal(50, 2, 8), generator.normal(51, 4, 5)
    found = agreement.compare({"d": [(old, new)]})
    expected = stats.ttest_ind(new, old, equal_var=False).confidence_interval(0.90)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_equal_methods_are_rarely_said_to_differ_and_far_ones_never_to_agree() -> None:
    generator = np.random.default_rng(2)
    same = far = 0
    for _ in range(60):
        cells = {name: [(generator.normal(50, 3, 5), generator.normal(50, 3, 5))] for name in "abc"}
        same += agreement.compare(cells).verdict == "differs"
        moved = {name: [(old, new + agreement.MARGIN)] for name, ((old, new),) in cells.items()}
        far += agreement.compare(moved).verdict == "agrees"
    assert same <= 6
    assert far <= 8  # at the margin itself, 5% are expected


def cells_of(generator: np.random.Generator, count: int, spread: float) -> dict[str, Any]:
    draws = ((generator.normal(50, spread, 5), generator.normal(50, spread, 5)) for _ in "ab" * 5)
    return {f"d{n}": [pair] for n, pair in zip(range(count), draws, strict=False)}


@pytest.mark.parametrize("count", [3, 9])
def test_one_dataset_wrong_by_30_points_is_found_among_any_number(count: int) -> None:
    # Of 5 against 5 the smallest p is 2/252, above 0.05/9: relabelling alone cannot find it.
    generator = np.random.default_rng(4)
    honest = 0
    for draw in range(60):
        cells = cells_of(generator, count, spread=(1, 2, 3)[draw % 3])
        honest += agreement.compare(cells).verdict == "agrees"
        ((old, new),) = cells["d1"]
        found = agreement.compare({**cells, "d1": [(old + 30, new)]})
        assert found.verdict == "differs"
        assert [cell.dataset for cell in found.cells if cell.differs] == ["d1"]
    assert honest >= 57


def test_agreement_is_not_said_where_a_wrong_dataset_could_go_unseen() -> None:
    cells = cells_of(np.random.default_rng(5), 9, spread=2)
    pattern = np.array([-1.0, -0.5, 0, 0.5, 1])
    cells["d4"] = [(50 + 16 * pattern, 51 + 16 * pattern)]
    found = agreement.compare(cells)
    assert (found.verdict, found.blind) == ("inconclusive", ("d4",))
    assert -agreement.MARGIN < found.low < found.high < agreement.MARGIN
    many = {**cells, "d4": [tuple(np.tile(each, 4) for each in cells["d4"][0])]}
    assert (agreement.compare(many).verdict, agreement.compare(many).blind) == ("agrees", ())


def test_many_values_take_the_limit_of_the_permutation_distribution() -> None:
    generator = np.random.default_rng(3)
    groups = [(generator.normal(0, 1, 90), generator.normal(0.15, 1, 90)) for _ in range(5)]
    sampled = agreement.permutation_p_value(groups, generator)
    observed = abs(np.mean([new.mean() - old.mean() for old, new in groups]))
    assert agreement._normal_p_value(groups, observed) == pytest.approx(sampled, abs=0.02)


def test_published_schemas_are_those_of_the_models() -> None:
    for name, text in json_schemas().items():
        written = (FOLDER / "schema" / name).read_text(encoding="utf-8")
        assert written == text, "python -m datumrl.scripts.submission_schemas writes them anew"


def test_what_ships_passes_its_own_check() -> None:
    assert check(FOLDER, FOLDER).errors == ()
