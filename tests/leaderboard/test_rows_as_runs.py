"""Score rows become the board's runs under the conditions of `datumrl compare`, or are refused."""

import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import report, score_table, scored_runs
from datumrl.evaluation.records import ScoreRow
from datumrl.leaderboard import runs, tables

HOPPER = "d4rl/hopper-medium-v2"


def row(seed: int | None = 0, score: float | None = 40.0, **more: object) -> ScoreRow:
    given = {"tier": "local", "algorithm": "A", "dataset": HOPPER, "seed": seed, "score": score}
    return ScoreRow(**{**given, **more})


BARE = {"score": None, "mean_return": 900.0}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            [row(step=1, episodes=10), row(step=2, episodes=100)],
            "seed 0: mixed episodes per evaluation: 10 .* and 100",
        ),
        (
            [row(0, episodes=10), row(1), row(2, episodes=1000)],
            r"mixed episodes per evaluation: 10 \(A on .*, seed 0, f:0\) and 1000 \(.*2, f:2\);",
        ),
        (
            [row(0, episodes=10), row(0, algorithm="B", dataset="d4rl/hopper-expert-v2",
                                      episodes=1)],
            r"D4RL locomotion v2: mixed .*: 10 .* and 1 \(B on ",
        ),
        (
            [row(step=1), row(step=2, **BARE), row(1), row(2)],
            "seed 0: step 2 has a return but no score",
        ),
        (
            [row(0), row(1), row(2, **BARE)],
            "seed 2, f:2 has a return but no score, which A on .*, seed 0, f:0 has; fill it",
        ),
    ],
)  # fmt: skip
def test_what_compare_refuses_the_board_refuses(rows: list[ScoreRow], told: str) -> None:
    places = [f"f:{n}" for n in range(len(rows))]
    with pytest.raises(DatumrlError, match=told):
        runs.from_rows(rows, places)
    with pytest.raises(DatumrlError):
        score_table.build(report.gathered(rows))


@pytest.mark.parametrize(
    "early",
    [
        {"score": None},
        {"score": float("nan")},
        {"mean_return": float("inf")},
        {"failed": True},
    ],
)
def test_a_run_of_which_one_evaluation_failed_has_failed(early: dict[str, object]) -> None:
    rows = [row(step=1, **early), row(step=2), row(1), row(2)]
    assert {run.seed: run.status for run in scored_runs.from_rows(rows)}[0] == "failed"
    failed, *others = runs.from_rows(rows)
    assert (failed.status, failed.row.score, failed.row.mean_return) == ("failed", None, None)
    assert [run.status for run in others] == ["complete"] * 2
    (table,) = tables.build([failed, *others])
    assert (table.entries[0].aggregate, table.entries[0].rank) == (None, None)


def test_rows_without_a_seed_at_several_steps_are_no_single_run() -> None:
    told = r"seed \?, one and A on .*, two: steps 990 and 1,000 without a seed, .* give every run"
    with pytest.raises(DatumrlError, match=told):
        runs.from_rows([row(None, 90.0, step=1000), row(None, 41.0, step=990)], ["two", "one"])
    (run,) = runs.from_rows([row(None, step=5), row(None, step=5)])
    assert run.row.score == 40.0


def test_numbers_of_episodes_that_are_unknown_or_of_another_table_go_together() -> None:
    rows = [
        row(0, episodes=10),
        row(1, None, failed=True),
        row(2),
        row(0, algorithm="B", episodes=1, source="elsewhere"),
        row(0, dataset="d4rl/antmaze-umaze-v2", episodes=100),
        row(0, None, dataset="neorl2/Pipeline", mean_return=5.0, episodes=7),
    ]
    built = tables.build(runs.from_rows(rows))
    assert sorted(len(table.runs) for table in built) == [1, 1, 1, 3]
