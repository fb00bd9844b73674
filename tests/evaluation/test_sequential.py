"""Sequential comparisons train what the decision needs, resume exactly, and refuse nonsense."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import adastop, report, score_table, sequential
from datumrl.evaluation.records import RunRecord, ScoreRow
from datumrl.evaluation.sequential import Question, Training

HOPPER, WALKER = "d4rl/hopper-medium-v2", "d4rl/walker2d-medium-v2"
LEVEL = {"good": 3000.0, "fair": 2000.0, "fair too": 2000.0}
QUESTION = Question(tuple(LEVEL), (HOPPER,), runs=5, interims=3, permutations=2_000)


class Trainer:
    """Makes records of known distributions and counts what it is asked to train."""

    def __init__(self, make_record, stop_after: int | None = None, **changed) -> None:
        self.make_record, self.stop_after, self.changed = make_record, stop_after, changed
        self.trained: Counter[tuple[str, str, int]] = Counter()

    def __call__(self, algorithm: str, dataset: str, seeds: Sequence[int]) -> list[RunRecord]:
        if self.stop_after is not None and len(self.trained) >= self.stop_after:
            raise KeyboardInterrupt
        found = []
        for seed in seeds:
            self.trained[algorithm, dataset, seed] += 1
            noise = np.random.default_rng([seed, *algorithm.encode()]).normal(0, 300)
            changed = {"points": (LEVEL[algorithm] + float(noise),), **self.changed}
            found.append(self.make_record(algorithm, dataset, seed, **changed))
        return found


def test_decided_algorithms_are_dropped_and_runs_saved(make_record, tmp_path: Path) -> None:
    trainer = Trainer(make_record)
    training = Training(QUESTION, trainer, tmp_path / "state.json")
    state = training.decide()
    assert {(c.first, c.second): c.decision for c in state.comparisons} == {
        ("good", "fair"): "larger",
        ("good", "fair too"): "larger",
        ("fair", "fair too"): "equal",
    }
    assert state.runs_used == {"good": 10, "fair": 15, "fair too": 15}
    assert len(trainer.trained) == 40
    found = sequential.group_test_of(QUESTION, state, ("good", "fair", "fair too"))
    assert found.sequential["runs_saved"] == 5
    assert "40 of 45 runs used, 5 saved" in found.sequential["words"]
    assert found.letters == {"good": "a", "fair": "b", "fair too": "b"}


@pytest.mark.parametrize("stop_after", [5, 15, 20])
def test_a_killed_comparison_goes_on_to_the_same_decisions(
    make_record, tmp_path: Path, stop_after: int
) -> None:
    whole = Training(QUESTION, Trainer(make_record), tmp_path / "whole.json").decide()
    file = tmp_path / "state.json"
    killed = Trainer(make_record, stop_after)
    with pytest.raises(KeyboardInterrupt):
        Training(QUESTION, killed, file).decide()
    again = Trainer(make_record)
    assert Training(QUESTION, again, file).decide() == whole
    finished_blocks = stop_after // 15  # three algorithms of five seeds are an interim
    assert min(seed for _, _, seed in again.trained) == 5 * finished_blocks
    assert file.read_text() == (tmp_path / "whole.json").read_text()


def test_a_finished_comparison_trains_nothing(make_record, tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    state = Training(QUESTION, Trainer(make_record), file).decide()
    again = Trainer(make_record)
    assert Training(QUESTION, again, file).decide() == state
    assert not again.trained


def test_other_options_do_not_go_on_in_the_same_place(make_record, tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    Training(QUESTION, Trainer(make_record), file, {"steps": 100}).decide()
    with pytest.raises(DatumrlError, match="with steps=100, not 200"):
        Training(QUESTION, Trainer(make_record), file, {"steps": 200}).decide()
    changed = replace(QUESTION, alpha=0.1)
    with pytest.raises(DatumrlError, match=r"with alpha=0\.05, not 0\.1"):
        Training(changed, Trainer(make_record), file, {"steps": 100}).decide()
    file.write_text(json.dumps({"schema": "other"}))
    with pytest.raises(DatumrlError, match="no state of a comparison"):
        Training(QUESTION, Trainer(make_record), file).decide()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"settings": None}, "its settings are no JSON object"),
        ({"measured": []}, "its measured are no JSON object"),
        ({"measured": {HOPPER: None}}, "no list for each dataset"),
        ({"adastop": None}, "its adastop are no JSON object"),
        ({"adastop": {}}, "no comparison's state of schema|not a comparison's state"),
    ],
)
def test_a_damaged_state_is_refused_with_the_remedy(
    make_record, tmp_path: Path, change: dict, said: str
) -> None:
    file = tmp_path / "state.json"
    state = Training(QUESTION, Trainer(make_record), file).decide()
    content = json.loads(file.read_text())
    other = adastop.to_json(adastop.start(replace(QUESTION, runs=4).design()))
    damaged = [
        ({**content, **change}, said),
        ({key: value for key, value in content.items() if key not in change}, "are no JSON object"),
        ({**content, "adastop": other}, "its design is not that of its settings"),
    ]
    for written, why in damaged:
        file.write_text(json.dumps(written))
        with pytest.raises(DatumrlError, match=rf"state\.json is damaged \(.*({why}).*delete it"):
            Training(QUESTION, Trainer(make_record), file).decide()
    file.unlink()
    assert Training(QUESTION, Trainer(make_record), file).decide() == state


def test_a_failed_seed_needs_a_score_and_then_goes_on(make_record, tmp_path: Path) -> None:
    file = tmp_path / "state.json"

    def run(algorithm: str, dataset: str, seeds: Sequence[int]) -> list[RunRecord]:
        return [
            make_record(algorithm, dataset, seed, status="failed", points=())
            if (algorithm, seed) == ("fair", 7)
            else Trainer(make_record)(algorithm, dataset, [seed])[0]
            for seed in seeds
        ]

    with pytest.raises(
        DatumrlError, match=r"fair on .*, seed 7: failed \(the critic .*--failed-as"
    ):
        Training(QUESTION, run, file).decide()
    assert len(adastop.from_json(json.loads(file.read_text())["adastop"]).blocks) == 1
    state = Training(QUESTION, run, file, failed_as=0.0).decide()
    assert state.blocks[1]["fair"][2] == 0.0
    with pytest.raises(DatumrlError, match=r"failed_as=0\.0, not 9\.0"):
        Training(QUESTION, run, file, failed_as=9.0).decide()


def test_an_engine_that_changes_on_the_way_is_refused(make_record, tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    with pytest.raises(KeyboardInterrupt):
        Training(QUESTION, Trainer(make_record, stop_after=15), file).decide()
    other = Trainer(make_record, engine={"mujoco": "3.2.0"})
    with pytest.raises(DatumrlError, match="an engine version or the dataset changed"):
        Training(QUESTION, other, file).decide()


def test_data_that_changes_on_the_way_is_refused(make_record, tmp_path: Path) -> None:
    """Also where the recipe is the same; what earlier runs did not tell of it is no other data."""
    file, untold = tmp_path / "state.json", tmp_path / "untold.json"
    one, other = ({"content_sha256": content * 64} for content in "12")
    with pytest.raises(KeyboardInterrupt):
        Training(QUESTION, Trainer(make_record, 15, **one), file).decide()
    with pytest.raises(KeyboardInterrupt):
        Training(QUESTION, Trainer(make_record, 15), untold).decide()
    with pytest.raises(DatumrlError, match="an engine version or the dataset changed"):
        Training(QUESTION, Trainer(make_record, **other), file).decide()
    found = [
        Training(QUESTION, Trainer(make_record, **one), each).decide() for each in (file, untold)
    ]
    assert found[0] == found[1]
    assert json.loads(untold.read_text()) == json.loads(file.read_text())


def test_a_trainer_that_leaves_seeds_out_is_refused(make_record, tmp_path: Path) -> None:
    def run(algorithm: str, dataset: str, seeds: Sequence[int]) -> list[RunRecord]:
        return Trainer(make_record)(algorithm, dataset, seeds[1:])

    with pytest.raises(DatumrlError, match=r"seeds \[1, 2, 3, 4\] were trained"):
        Training(QUESTION, run, tmp_path / "state.json").decide()


def test_an_algorithm_of_several_results_a_seed_is_refused(make_record, tmp_path: Path) -> None:
    def run(algorithm: str, dataset: str, seeds: Sequence[int]) -> list[RunRecord]:
        names = (f"{algorithm}-target-1", f"{algorithm}-target-2")
        return [make_record(name, dataset, seed) for name in names for seed in seeds]

    with pytest.raises(DatumrlError, match="good gives several results for each seed"):
        Training(QUESTION, run, tmp_path / "state.json").decide()


def test_a_suite_score_is_the_mean_over_datasets(make_record, tmp_path: Path) -> None:
    question = replace(QUESTION, datasets=(HOPPER, WALKER), interims=1)
    training = Training(question, Trainer(make_record), tmp_path / "state.json")
    state = training.decide()
    table = score_table.build(report.gathered(training.records(state)))
    for name in LEVEL:
        expected = [table.values(name, dataset) for dataset in (HOPPER, WALKER)]
        np.testing.assert_allclose(state.blocks[0][name], np.mean(expected, axis=0))
    found = sequential.group_test_of(question, state)
    assert found.sequential["runs_total"] == 3 * 5 * 2


def test_a_family_decides_on_every_dataset(make_record, tmp_path: Path) -> None:
    question = Question(("good", "fair"), (HOPPER, WALKER), 5, 3, family=True, permutations=2_000)
    trainer = Trainer(make_record)
    state = Training(question, trainer, tmp_path / "state.json").decide()
    assert [(c.first, c.second, c.decision) for c in state.comparisons] == [
        (f"good@{HOPPER}", f"fair@{HOPPER}", "larger"),
        (f"good@{WALKER}", f"fair@{WALKER}", "larger"),
    ]
    assert sequential.group_test_of(question, state).letters == {}
    first = replace(question, algorithms=tuple(LEVEL), comparisons="against-first").design()
    assert {pair[0].partition("@")[0] for pair in first.pairs} == {"good"}


def test_given_pairs_are_decided_alone_and_resumed(make_record, tmp_path: Path) -> None:
    pairs = (("fair", "good"), ("fair too", "good"))
    question = replace(QUESTION, comparisons=pairs)
    with pytest.raises(KeyboardInterrupt):
        Training(question, Trainer(make_record, 15), tmp_path / "state.json").decide()
    state = Training(question, Trainer(make_record), tmp_path / "state.json").decide()
    assert [(c.first, c.second, c.decision) for c in state.comparisons] == [
        (*pairs[0], "smaller"),
        (*pairs[1], "smaller"),
    ]
    assert sequential.group_test_of(question, state).letters == {}
    family = replace(question, datasets=(HOPPER, WALKER), family=True).design()
    assert family.pairs[1] == (f"fair too@{HOPPER}", f"good@{HOPPER}")
    assert len(family.pairs) == 4


def test_designs_and_suites_that_cannot_be_are_refused() -> None:
    with pytest.raises(DatumrlError, match="use at least 4 runs"):
        replace(QUESTION, algorithms=("good", "fair"), runs=3, interims=1).design()
    with pytest.raises(DatumrlError, match="give each once"):
        sequential.check_suite(replace(QUESTION, datasets=(HOPPER, HOPPER)))
    mazes = replace(QUESTION, datasets=(HOPPER, "d4rl/maze2d-large-dense-v0"))
    for family in (False, True):
        with pytest.raises(DatumrlError, match=r"no common scale .*compare on it alone"):
            sequential.check_suite(replace(mazes, family=family))
    sequential.check_suite(replace(mazes, datasets=mazes.datasets[1:]))


def finished(runs: int) -> list[ScoreRow]:
    rng = np.random.default_rng(1)
    return [
        ScoreRow(tier="local", algorithm=name, dataset=task, seed=seed,
                 score=level / 50 + float(rng.normal(0, 5)))
        for name, level in LEVEL.items() for task in (HOPPER, WALKER) for seed in range(runs)
    ]  # fmt: skip


def test_finished_records_are_replayed_with_as_many_runs_as_needed() -> None:
    question = replace(QUESTION, datasets=(HOPPER, WALKER))
    found = report.compare(
        finished(15),
        tester=lambda table, ordered: sequential.on_records(table, ordered, question),
        resamples=200,
    )
    used = found.test.sequential["runs_used"]
    assert used["good"] == 10  # five seeds on two datasets
    assert found.test.decision("good", "fair") == "larger"
    assert found.test.decision("fair", "good") == "smaller"
    assert "runs used" in str(found)


def test_too_few_finished_records_are_refused_with_what_is_needed() -> None:
    table = score_table.build(report.gathered(finished(9)))
    question = replace(QUESTION, datasets=(HOPPER, WALKER))
    with pytest.raises(DatumrlError, match="9 runs, but interim 2 of 3 needs 10"):
        sequential.on_records(table, table.algorithms, question)


def test_a_pair_of_an_algorithm_that_failed_is_refused_with_the_reason() -> None:
    rows = finished(15)
    failed = next(row for row in rows if row.algorithm == "fair")
    rows[rows.index(failed)] = failed.model_copy(update={"score": None, "failed": True})
    question = Question(("good", "fair too"), (HOPPER, WALKER), comparisons=(("good", "fair"),))

    def replay(**options) -> report.Report:
        def tester(table, ordered):
            asked = replace(question, algorithms=("good", "fair")) if options else question
            return sequential.on_records(table, ordered, asked)

        return report.compare(rows, tester=tester, resamples=50, **options)

    said = r"comparison good:fair: fair .*1 of 30 runs failed \(seed 0 on .*\); .*--failed-as$"
    with pytest.raises(DatumrlError, match=said):
        replay()
    assert replay(failed_as=0.0).test.decision("good", "fair") == "larger"
