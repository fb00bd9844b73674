"""The map of methods: groups by the planned test, letters, labels that keep apart."""

import dataclasses
import re
from pathlib import Path

from datumrl.datasets.quality_map import MapPoint
from datumrl.evaluation.records import Budget, Evaluation, Protocol, RunRecord, ScoreRow
from datumrl.leaderboard import (
    board,
    dataset_results,
    method_map,
    method_map_drawing,
    runs,
    tables,
)


def row(algorithm: str, dataset: str, seed: int, score: float) -> ScoreRow:
    return ScoreRow(
        tier="local", algorithm=algorithm, dataset=dataset, seed=seed, score=score, source="x"
    )


def test_the_best_group_is_what_the_test_does_not_separate() -> None:
    levels = {"best": 80.0, "near": 79.0, "far": 20.0}
    rows = [
        row(name, "d4rl/hopper-medium-v0", seed, level + seed)
        for name, level in levels.items()
        for seed in range(8)
    ]
    rows += [row("best", "d4rl/hopper-random-v0", seed, 5.0) for seed in range(8)]
    built = tables.build(runs.from_rows(rows))
    points = [
        MapPoint(f"d4rl/hopper-{kind}-v0", 0.5, 0.5, False, "published")
        for kind in ("random", "medium", "expert")
    ]
    expert, medium, random = method_map.verdicts(points, built)
    assert [entry.algorithm for entry in medium.best] == ["best", "near"]
    assert [cell.values.size for _, cell in medium.best_lines] == [8, 8]
    assert "closed" in medium.how
    letters = method_map.letters([expert, medium, random])
    named = [(each.letter, each.title) for each in dict.fromkeys(letters.values())]
    assert named == [("A", "best"), ("B", "far"), ("C", "near")]
    assert letters.keys() == {entry.id for each in (medium, random) for entry, _ in each.measured}
    assert method_map.label(medium, letters) == "AC"
    assert (expert.best, random.best) == ((), ())
    assert "no method" in expert.how
    assert "single method" in random.how
    few = tables.build(runs.from_rows([each for each in rows if (each.seed or 0) < 3]))
    (untested,) = method_map.verdicts(points[1:2], few)
    assert method_map.label(untested, letters) == "?"
    assert "too few" in untested.how


POINT = MapPoint("d4rl/hopper-medium-v2", 0.5, 0.5, False, "published")


def record(algorithm: str, seed: int, level: float, checkpoint: str = "last") -> RunRecord:
    protocol = Protocol(
        dataset=POINT.id, environment="Hopper-v4", engine={}, time_limit=1000, episodes=1,
        checkpoint=checkpoint,
    )  # fmt: skip
    return RunRecord(
        algorithm=algorithm, configuration={}, dataset=POINT.id, dataset_sha256=None,
        protocol=protocol, budget=Budget(steps=1), seed=seed, status="complete",
        evaluations=(Evaluation(step=1, returns=(level + seed,), lengths=(1,)),), software={},
        hardware="",
    )  # fmt: skip


def test_a_table_that_ranks_nothing_declares_no_best_group() -> None:
    levels = {"better": 2000.0, "good": 1000.0, "worse": 10.0}
    chosen = [
        record(name, seed, level, "best") for name, level in levels.items() for seed in range(8)
    ]
    (verdict,) = method_map.verdicts([POINT], tables.build(runs.from_records(chosen)))
    assert (verdict.best, len(verdict.measured)) == ((), 3)
    assert "nothing is ranked" in verdict.how
    assert method_map.label(verdict, method_map.letters([verdict])) == "?"
    # Where another table ranks, it is that one, though fewer methods are in it.
    honest = [record(name, seed, levels[name]) for name in ("good", "worse") for seed in range(8)]
    (verdict,) = method_map.verdicts([POINT], tables.build(runs.from_records(chosen + honest)))
    assert [entry.algorithm for entry in verdict.best] == ["good"]


def test_a_single_run_with_the_highest_mean_hides_nobody() -> None:
    found = [record("lucky", 0, 3000.0)]
    found += [record(name, s, level) for name, level in (("a", 2e3), ("b", 9.0)) for s in range(8)]
    (verdict,) = method_map.verdicts([POINT], tables.build(runs.from_records(found)))
    assert [entry.algorithm for entry in verdict.best] == ["a"]
    assert [entry.algorithm for entry in verdict.untested] == ["lucky"]
    (told,) = method_map.as_json([verdict])
    assert told["untested"] == [verdict.measured[0][0].id]


def test_marks_and_labels_stay_inside_and_apart() -> None:
    rows = [
        row(name, f"d4rl/hopper-{kind}-v0", seed, level + seed)
        for name, level in (("best", 80.0), ("far", 20.0))
        for kind in ("random", "medium", "expert")
        for seed in range(8)
    ]
    points = [
        MapPoint(f"d4rl/hopper-{kind}-v0", 1.0 + 0.001 * place, 1.0, False, "published")
        for place, kind in enumerate(("random", "medium", "expert"))
    ]
    found = method_map.verdicts(points, tables.build(runs.from_rows(rows)))
    drawn = method_map_drawing.draw(found, method_map.letters(found))
    assert drawn.count('class="point marked"') == 3
    assert drawn.count("<tspan>") == 3
    marks = re.findall(
        r'translate\(([\d.]+) ([\d.]+)\)"><title>.*?<text x="([\d.-]+)" y="([\d.-]+)"', drawn
    )
    places = {(round(float(x) + float(dx)), round(float(y) + float(dy))) for x, y, dx, dy in marks}
    assert len(places) == 3
    assert all(0 < x < 760 and 0 < y < 470 for x, y in places)


def test_rows_of_one_name_have_letters_of_their_own() -> None:
    def tiered(name: str, level: float, tier: str, source: str) -> list[runs.Run]:
        found = runs.from_records([record(name, seed, level) for seed in range(8)])
        told = {"tier": tier, "source": source}
        return [dataclasses.replace(run, row=run.row.model_copy(update=told)) for run in found]

    found = tiered("td3_bc", 2000, "reproduced", "ours") + tiered("far", 9, "local", "")
    found += tiered("TD3+BC", 500, "reproduced", "theirs") + tiered("TD3+BC", 1000, "local", "")
    verdicts = method_map.verdicts([POINT], tables.build(found))
    letters = method_map.letters(verdicts)
    assert [(each.letter, each.title) for each in letters.values()] == [
        ("A", "far"), ("B", "TD3+BC"), ("C", "TD3+BC (ours)"), ("D", "TD3+BC (theirs)"),
    ]  # fmt: skip
    assert method_map.label(verdicts[0], letters) == "C"
    found = tiered("td3_bc", 2000, "reproduced", "ours") + tiered("TD3+BC", 1000, "local", "")
    verdicts = method_map.verdicts([POINT], tables.build(found))
    letters = method_map.letters(verdicts)
    assert [(each.letter, each.title) for each in letters.values()] == [
        ("A", "TD3+BC, local"), ("B", "TD3+BC, reproduced"),
    ]  # fmt: skip
    assert "; TD3+BC, reproduced</title>" in method_map_drawing.draw(verdicts, letters)


def test_rows_of_several_tables_share_a_letter() -> None:
    rows = [
        row(name, f"d4rl/hopper-medium-{version}", seed, level)
        for name, level in (("a", 80.0), ("b", 20.0))
        for version in ("v0", "v2")
        for seed in range(2)
    ]
    points = [MapPoint(f"d4rl/hopper-medium-{v}", 0.5, 0.5, False, "x") for v in ("v0", "v2")]
    letters = method_map.letters(method_map.verdicts(points, tables.build(runs.from_rows(rows))))
    assert sorted(each.letter for each in letters.values()) == ["A", "A", "B", "B"]


def test_all_is_of_the_methods_that_were_tested(tmp_path: Path) -> None:
    point = MapPoint("d4rl/hopper-medium-v0", 0.5, 0.5, False, "published")
    rows = [row(name, point.id, seed, 60.0 + seed) for name in "ab" for seed in range(8)]
    rows.append(row("few", point.id, 0, 9.0))
    built = tables.build(runs.from_rows(rows))
    (verdict,) = method_map.verdicts([point], built)
    assert (len(verdict.measured), [each.algorithm for each in verdict.untested]) == (3, ["few"])
    assert method_map.label(verdict, method_map.letters([verdict])) == "all 2"
    rows += [row("low", point.id, seed, 5.0 + seed) for seed in range(8)]
    (separated,) = method_map.verdicts([point], tables.build(runs.from_rows(rows)))
    assert method_map.label(separated, method_map.letters([separated])) == "AB"
    board.write(built, tmp_path / "board")
    page = (tmp_path / "board" / "map.html").read_text(encoding="utf-8")
    assert "none of the 2 tested separated from the highest mean" in page
    assert "failed runs, or too few to be tested: few<" in page
    assert page.count("<li><b>") == 3


def test_hostile_names_are_inert_on_the_map() -> None:
    point = MapPoint("<b>&\u202e", 0.5, 0.5, True, "published")
    drawn = method_map_drawing.draw(method_map.verdicts([point], []), {})
    assert "<b>" not in drawn
    assert "\u202e" not in drawn
    assert "hollow" in drawn


def test_a_method_with_failed_runs_is_not_tested_and_stands_last() -> None:
    levels = {"good half": 3000.0, "steady": 2000.0, "low": 500.0}
    records = [record(name, seed, level) for name, level in levels.items() for seed in range(8)]
    records = [
        each.model_copy(update={"status": "failed", "failure": "diverged"})
        if each.algorithm == "good half" and each.seed % 2
        else each
        for each in records
    ]
    built = tables.build(runs.from_records(records))
    (verdict,) = method_map.verdicts([POINT], built)
    assert [entry.algorithm for entry in verdict.best] == ["steady"]
    assert [entry.algorithm for entry in verdict.untested] == ["good half"]
    (part,) = dataset_results.of(POINT.id, built)
    assert [entry.algorithm for entry, _ in part.lines] == ["steady", "low", "good half"]
    alone = tables.build(runs.from_records([r for r in records if r.algorithm != "low"]))
    (verdict,) = method_map.verdicts([POINT], alone)
    assert verdict.how == "a single method was run on it without failed runs"


def test_the_maps_caption_says_what_failed_runs_do(tmp_path: Path) -> None:
    name = "d4rl/hopper-medium-v0"
    rows = [row(method, name, seed, 60.0 + seed) for method in "ab" for seed in range(8)]
    rows[0] = rows[0].model_copy(update={"failed": True, "score": None})
    board.write(tables.build(runs.from_rows(rows)), tmp_path / "board")
    page = (tmp_path / "board" / "map.html").read_text(encoding="utf-8")
    assert ">? <tspan>" in page
    assert "“?”: fewer than two methods without failed runs, too few runs" in page
    assert "Methods with failed runs on the dataset, or too few to be tested, have no part" in page
