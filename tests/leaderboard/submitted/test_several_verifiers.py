"""Evidence compares what the board counts, and that of several people is judged together."""

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
from datumrl.leaderboard.submission_evidence import Judgement
from datumrl.leaderboard.submission_schema import DatasetResult, evidence_name
from datumrl.scripts import submit_verify

STEPS = tuple(range(100, 1100, 100))  # ten evaluations


@pytest.fixture(autouse=True)
def _fewer_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "PERMUTATIONS", 1_000)  # no p value here is near the level


def points(steps: Sequence[int], level: int, *key: int, spread: int = 50) -> list[dict[str, Any]]:
    generator = np.random.default_rng([*key, level])
    found = []
    for step in steps:
        lengths = generator.integers(level - spread, level + spread, 10).tolist()
        found.append({"step": step, "returns": [float(n) for n in lengths], "lengths": lengths})
    return found


def trained(
    level: int, salt: int, steps: Sequence[int] = (1000,), spread: int = 50, living: int = 1_000
) -> Callable[..., list[RunRecord]]:
    """Return a stand-in for what trains or rolls out: records with returns around a level.

    Of its seeds, all after the first ``living`` ones fail.
    """

    def run(result: DatasetResult, seeds: Sequence[int]) -> list[RunRecord]:
        first = result.records()[0].model_dump()
        found = []
        for seed in seeds:
            curve = points(steps, level, 7, salt, seed, spread=spread)
            told = tuple(Evaluation.model_validate(point, strict=False) for point in curve)
            found.append(RunRecord(**{**first, "seed": seed, "evaluations": told}))
        failed = {"status": "failed", "failure": "diverged", "evaluations": ()}
        return found[:living] + [each.model_copy(update=failed) for each in found[living:]]

    return run


def verified(folder: Path, by: str, run: Any, kind: Any = "retrained", seeds: int = 5) -> Judgement:
    """Write one more file of evidence; return what is then said of the submission."""
    submission = submission_files.read(folder)
    evidence = verification.verify(submission, 1, kind, run, by, seeds)
    path = folder / evidence_name(len(submission.evidence) + 1)
    path.write_text(json.dumps(evidence.model_dump(mode="json")))
    return judged(folder)


def judged(folder: Path) -> Judgement:
    (report,) = [check(folder.parents[1])]
    assert [str(each) for each in report.errors] == []
    (submission,) = report.submissions
    sound, wrong = submission_evidence.sorted_out(submission)
    assert wrong == {}
    found = submission_evidence.judged(submission, sound.values())
    reproduced = submission_checks.tier(submission, report) == "reproduced"
    assert reproduced == (found.verdict == "agrees")
    return found


def counting(draft: Any, rule: str, earlier: int) -> Any:
    """Let a submission count by a rule, with evaluations before the last around a level."""
    draft.result["protocol"].update(checkpoint=rule, online_selection=rule == "best")
    draft.method["online_returns_chose"] = "the step" if rule == "best" else "nothing"
    for run in draft.runs:
        run["evaluations"] = [
            *points(STEPS[:-1], earlier, 1, run["seed"]),
            *points(STEPS[-1:], 400, 2, run["seed"]),
        ]
    return draft


@pytest.mark.parametrize("rule", ["last-10-mean", "best"])
def test_fabricated_evaluations_before_an_honest_last_are_found(
    draft: Any, tmp_path: Path, rule: str
) -> None:
    folder = counting(draft, rule, earlier=800).write(tmp_path)
    # The last policies are honest, and say nothing of what counts.
    rolled = verified(folder, "Roller", trained(400, 1), "re-rolled")
    assert rolled.verdict == "inconclusive"
    assert "which re-rolled last policies cannot show; retrain" in str(rolled)
    ((_, told),) = submitted_runs.submitted(submitted_runs.checked(tmp_path)).items()
    assert "cannot show; retrain" in told.evidence
    found = verified(folder, "Trainer", trained(400, 2, STEPS))
    assert found.verifiers == (("Roller", "inconclusive"), ("Trainer", "differs"))
    # What the last policies show is no part of what counts.
    assert (found.verdict, found.pooled.verdict) == ("differs", "differs")
    assert (found.rerolled, found.unmeasured) == (("Roller",), ())
    assert verified(folder, "A third", trained(400, 3, STEPS)).verdict == "differs"


@pytest.mark.parametrize("rule", ["last-10-mean", "best"])
def test_training_anew_measures_what_counts(draft: Any, tmp_path: Path, rule: str) -> None:
    folder = counting(draft, rule, earlier=400).write(tmp_path)
    found = verified(folder, "Trainer", trained(400, 1, STEPS), seeds=10)
    assert (found.verdict, found.unmeasured) == ("agrees", ())
    content = json.loads((folder / "evidence.json").read_text())
    kept = content["cells"][0]["runs"][0]["evaluations"]
    assert [point["step"] for point in kept] == list(STEPS)
    # The best of more evaluations is better, and the last alone is another quantity.
    for steps in ((*STEPS[:-1], 950, 1000), (1000,)):
        with pytest.raises(DatumrlError, match="not evaluated at the steps that count"):
            verified(folder, "Trainer", trained(400, 2, steps))


def test_the_verdict_of_one_outvotes_nobody(draft: Any, tmp_path: Path) -> None:
    folder = draft.write(tmp_path)
    assert verified(folder, "Honest", trained(400, 1)).verdict == "agrees"
    # Against one other it is undecided, however many seeds, and however many files.
    assert verified(folder, "Malicious", trained(700, 2), seeds=50).verdict == "inconclusive"
    assert verified(folder, "malicious ", trained(700, 3), seeds=50).verdict == "inconclusive"
    found = verified(folder, "A third", trained(400, 4))
    assert found.verdict == "agrees"
    assert found.verifiers == (
        ("Honest", "agrees"), ("Malicious", "differs"), ("A third", "agrees"),
    )  # fmt: skip
    assert abs(found.pooled.low) < 5 > abs(found.pooled.high)  # without the minority's data
    told = submitted_runs._verified(submission_files.read(folder))
    assert "Malicious: differs" in told
    assert "points (90%), without Malicious's runs; " in told


def test_one_who_agrees_outvotes_nobody_either(draft: Any, tmp_path: Path) -> None:
    folder = draft.write(tmp_path)
    for number, name in enumerate(("One", "Two")):
        found = verified(folder, name, trained(700, number))
    assert found.verdict == "differs"
    assert verified(folder, "A friend", trained(400, 9), seeds=50).verdict == "differs"


def test_seeds_of_several_decide_together(draft: Any, tmp_path: Path) -> None:
    folder = draft.write(tmp_path)
    verdicts = []
    for number in range(5):
        found = verified(folder, f"V{number}", trained(400, 30 + number, spread=380), seeds=3)
        verdicts.append(found.verdict)
    own = [verdict for _, verdict in found.verifiers]
    assert own.count("inconclusive") >= 3  # no majority of those who know it alone
    assert (verdicts[0], verdicts[-1]) == ("inconclusive", "agrees")
    told = submission_files.read(folder).evidence
    assert list(told) == [evidence_name(number) for number in range(1, 6)]
    seeds = [run.seed for each in told.values() for run in each.cells[0].runs]
    assert seeds == list(range(10, 25))  # none twice: the same seed would count twice


def test_policies_rolled_out_again_outvote_no_training(draft: Any, tmp_path: Path) -> None:
    folder = draft.write(tmp_path)
    for number, name in enumerate(("One", "Two")):
        found = verified(folder, name, trained(400, number), "re-rolled")
    assert (found.verdict, found.rerolled) == ("agrees", ())
    found = verified(folder, "Trainer", trained(700, 2))
    assert found.verdict == "differs"
    assert found.verifiers == (("One", "agrees"), ("Two", "agrees"), ("Trainer", "differs"))
    assert "seeds trained anew decide, not the policies re-rolled by One and Two" in str(found)
    # Nor do they among the files of the same person.
    found = verified(folder, "Trainer", trained(400, 3), "re-rolled")
    assert (found.verdict, found.verifiers[-1]) == ("differs", ("Trainer", "differs"))
    assert found.rerolled == ("One", "Two", "Trainer")
    assert found.pooled.low > 5


@pytest.mark.parametrize("order", [0, 1, 2])
def test_what_says_nothing_undoes_no_difference(draft: Any, tmp_path: Path, order: int) -> None:
    folder = draft.write(tmp_path)
    for number in range(3):
        if number == order:
            found = verified(folder, f"V{number}", trained(700, number))
        else:  # one seed shows no spread
            found = verified(folder, f"V{number}", trained(400, number, living=1), seeds=2)
        assert found.verdict == ("differs" if number >= order else "inconclusive")
    own = [verdict for _, verdict in found.verifiers]
    assert sorted(own) == ["differs", "inconclusive", "inconclusive"]
    assert found.outvoted == ()
    # One who agrees is as many as one who differs; those who conclude nothing break no tie.
    found = verified(folder, "Agreeing", trained(400, 60), seeds=30)
    assert found.verifiers[-1] == ("Agreeing", "agrees")
    assert (found.verdict, found.outvoted) == ("inconclusive", ())


@pytest.mark.parametrize(
    ("agreeing", "differing", "pooled", "verdict"),
    [
        (0, 0, "agrees", "agrees"),
        (0, 0, "inconclusive", "inconclusive"),
        (1, 0, "inconclusive", "inconclusive"),  # with failed seeds of others
        (1, 0, "agrees", "agrees"),
        (1, 0, "differs", "inconclusive"),
        (0, 1, "differs", "differs"),
        (0, 1, "agrees", "inconclusive"),  # others bring many seeds just within the margin
        (1, 1, "agrees", "inconclusive"),
        (2, 0, "inconclusive", "agrees"),
        (0, 2, "agrees", "differs"),
        (2, 1, "differs", "agrees"),
        (2, 3, "agrees", "differs"),
    ],
)
def test_votes_are_of_those_who_conclude(
    agreeing: int, differing: int, pooled: Any, verdict: str
) -> None:
    assert submission_evidence._voted(agreeing, differing, pooled) == verdict


@pytest.mark.parametrize(
    ("kind", "change", "told"),
    [
        ("retrained", lambda c, old: c.update(cells=old["cells"]), "is in evidence.json already"),
        ("re-rolled", lambda c, old: c.update(cells=old["cells"]), "copied from evidence.json"),
    ],
)
def test_further_evidence_is_new(
    draft: Any, tmp_path: Path, kind: str, change: Any, told: str
) -> None:
    folder = draft.write(tmp_path / "subs")
    verified(folder, "One", trained(400, 1), kind)
    verified(folder, "Two", trained(400, 2), kind)
    first, second = (json.loads((folder / evidence_name(n)).read_text()) for n in (1, 2))
    change(second, first)
    (folder / "evidence-2.json").write_text(json.dumps(second))
    (error, *_) = check(tmp_path / "subs").errors
    assert told in str(error)
    # Had it been accepted before the rule was known, it would be worth nothing, and no error.
    report = check(tmp_path / "subs", tmp_path / "subs")
    assert report.errors == ()
    (submission,) = report.submissions
    assert list(submission_evidence.sorted_out(submission)[0]) == ["evidence.json"]


def test_evidence_is_added_and_never_replaced(draft: Any, tmp_path: Path) -> None:
    base, subs = tmp_path / "base", tmp_path / "subs"
    for root in (base, subs):
        folder = draft.write(root)
        verified(folder, "One", trained(700, 1))
    verified(folder, "Two", trained(400, 2))
    assert check(subs, base).errors == ()
    (folder / "evidence-2.json").rename(folder / "evidence-3.json")
    assert "there is no evidence-2.json before it" in str(check(subs, base).errors[0])
    (folder / "evidence-3.json").replace(folder / "evidence.json")
    assert any("was changed" in str(each) for each in check(subs, base).errors)
    (folder / "evidence.json").rename(folder / "evidence-02.json")  # no name of evidence
    told = "\n".join(str(each) for each in check(subs, base).errors)
    assert "evidence.json: was removed" in told
    assert "evidence-02.json: was added" in told


@pytest.mark.parametrize(
    ("rule", "steps", "every"),
    [
        ("last", (300, 700, 1000), 1000),
        ("best", (300, 600, 900, 1000), 300),
        ("last-10-mean", STEPS, 100),
        ("best", (300, 700, 1000), None),
        ("best", (0, 500, 1000), None),
    ],
)
def test_training_anew_meets_the_evaluations_that_count(
    draft: Any, rule: str, steps: tuple[int, ...], every: int | None
) -> None:
    draft.result["protocol"].update(checkpoint=rule)
    for run in draft.runs:
        run["evaluations"] = points(steps, 400, run["seed"])
    result = DatasetResult.model_validate(draft.result, strict=False)
    if every is None:
        with pytest.raises(DatumrlError, match="no interval of `datumrl train` meets"):
            submit_verify._evaluate_every(result)
    else:
        assert submit_verify._evaluate_every(result) == every
