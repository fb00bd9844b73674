"""Pages of suites: ranks, groups, reference rows, reported means, tiers; sizes."""

import csv
import html
import re
import statistics
from pathlib import Path

import numpy as np
import pytest

from datumrl.evaluation.records import Budget, Evaluation, Protocol, RunRecord, ScoreRow
from datumrl.leaderboard import (
    board,
    known_quality,
    neorl_selection,
    published_sources,
    reference_rows,
    reported_means,
    runs,
    standings,
    suite_pages,
    tables,
    wording,
)

HOPPER = ("d4rl/hopper-medium-v0", "d4rl/hopper-random-v0")


def rows_of(
    levels: dict[str, float], seeds: int = 6, names: tuple[str, ...] = HOPPER
) -> list[ScoreRow]:
    """Return scores around a level per method, the same for every call."""
    return [
        ScoreRow(
            tier="raw published",
            algorithm=method,
            dataset=name,
            seed=seed,
            score=level + float(np.random.default_rng([seed, place, number]).normal()),
        )
        for number, (method, level) in enumerate(levels.items())
        for place, name in enumerate(names)
        for seed in range(seeds)
    ]  # fmt: skip


def build(rows: list[ScoreRow]) -> list[tables.Table]:
    return tables.build(runs.from_rows(rows))


def plain_iqm(values: list[float]) -> float:
    ordered = sorted(values)
    cut = len(ordered) // 4
    return statistics.fmean(ordered[cut : len(ordered) - cut])


def text_of(path: Path) -> str:
    plain = re.sub(r"<[^>]+>", " ", path.read_text(encoding="utf-8"))
    return " ".join(html.unescape(plain).split())


def test_rank_intervals_are_those_of_a_plain_bootstrap() -> None:
    generator = np.random.default_rng(3)
    scores = {
        name: generator.normal(level, 6, (5, 2))
        for name, level in (("a", 90.0), ("b", 60.0), ("c", 58.0), ("d", 57.0), ("e", 10.0))
    }
    drawn: dict[str, list[int]] = {name: [] for name in scores}
    for _ in range(3000):
        values = {}
        for name, array in scores.items():
            picked = [array[generator.integers(5, size=5), task].tolist() for task in range(2)]
            values[name] = plain_iqm([score for task in picked for score in task])
        for name, value in values.items():
            drawn[name].append(1 + sum(other > value for other in values.values()))
    expected = {
        name: tuple(np.percentile(ranks, (2.5, 97.5)).round().astype(int).tolist())
        for name, ranks in drawn.items()
    }
    assert standings.rank_intervals(scores, 0.95) == expected
    assert expected["a"] == (1, 1)
    assert expected["c"][0] < expected["c"][1]


def test_groups_separate_what_differs_and_say_by_which_test() -> None:
    (table,) = build(rows_of({"low": 10, "high": 90, "twin": 90}))
    letters = {entry.algorithm: entry.letters for entry in table.entries}
    assert letters == {"high": "a", "twin": "a", "low": "b"}
    assert "permutation test" in table.test
    assert "family-wise alpha 0.05" in table.test
    assert "6 seeds of each" in table.test


def test_too_few_runs_have_no_groups_and_a_single_one_no_rank_interval() -> None:
    (table,) = build(rows_of({"low": 10, "high": 90}, seeds=2))
    assert [entry.letters for entry in table.entries] == ["", ""]
    assert table.test.startswith("none, as 2 runs of each are too few")
    (table,) = build(rows_of({"low": 10, "high": 90}, seeds=1))
    assert [entry.rank_interval for entry in table.entries] == [None, None]
    (table,) = build(rows_of({"alone": 10}))
    assert (table.entries[0].rank, table.entries[0].rank_interval, table.test) == (1, None, "")


def test_a_best_checkpoint_ranks_nobody() -> None:
    def record(algorithm: str, level: float) -> RunRecord:
        return RunRecord(
            algorithm=algorithm, configuration={}, dataset="d4rl/hopper-medium-v2",
            dataset_sha256=None,
            protocol=Protocol(
                dataset="d4rl/hopper-medium-v2", environment="Hopper-v4", engine={},
                time_limit=1000, episodes=1, checkpoint="best",
            ),
            budget=Budget(steps=1), seed=0, status="complete",
            evaluations=(Evaluation(step=1, returns=(level,), lengths=(1,)),), software={},
            hardware="",
        )  # fmt: skip

    (table,) = tables.build(runs.from_records([record("worse", 1.0), record("better", 2000.0)]))
    assert [entry.rank for entry in table.entries] == [None, None]
    assert [entry.algorithm for entry in table.entries] == ["better", "worse"]  # by name
    assert "nothing is ranked" in table.test


def test_reference_rows_are_definitions_and_the_datasets_own_means() -> None:
    (table,) = build(rows_of({"CQL": 50}))
    known = reference_rows.behaviours([])
    rows = {row.name: row for row in reference_rows.of_table(table, known)}
    assert list(rows) == ["Reference expert", "Behaviour policy", "BC", "Random policy"]
    for name, score in (("Reference expert", 100.0), ("Random policy", 0.0)):
        found = rows[name].aggregate
        assert found is not None
        assert (found.iqm, found.mean, rows[name].origin) == (score, score, "by definition")
    published = {point.id: point.tq for point in known_quality.published_points()}
    own = rows["Behaviour policy"]
    assert own.values == {name: pytest.approx(100 * published[name]) for name in HOPPER}
    assert own.origin == "published TQ"
    assert (rows["BC"].origin, rows["BC"].aggregate) == ("not run", None)


def test_what_was_measured_is_not_said_again() -> None:
    (table,) = build(rows_of({"BC": 40, "Random": 1}))
    names = [row.name for row in reference_rows.of_table(table, {})]
    assert names == ["Reference expert", "Behaviour policy"]


def test_a_behaviour_policy_whose_returns_are_no_scores_says_so() -> None:
    demonstrations = ("d4rl/pen-human-v1", "d4rl/door-human-v1")
    (table,) = build(rows_of({"CQL": 50}, names=demonstrations))
    found = {row.name: row for row in reference_rows.of_table(table, {})}["Behaviour policy"]
    assert (found.origin, found.values) == ("no scores", {})
    assert found.note.startswith("the demonstrations are longer than the episodes of evaluation")
    (table,) = build(rows_of({"CQL": 50}))
    found = {row.name: row for row in reference_rows.of_table(table, {})}["Behaviour policy"]
    assert (found.origin, found.note) == ("not measured", "no card of these datasets")


def test_the_behaviour_policy_of_a_local_dataset_is_its_card_s_mean() -> None:
    card = next(c for c in known_quality.own_cards() if c.id == "local/hopper-medium-v1")
    found = reference_rows.behaviours([card])[card.id]
    reference, mean = card.facts.reference, card.statistics.returns.distribution.mean
    assert reference is not None
    assert mean is not None
    expected = 100 * (mean - reference.minimum) / (reference.maximum - reference.minimum)
    assert found.score == pytest.approx(expected)
    assert (found.mean_return, found.origin) == (mean, "dataset card")


def test_reported_means_are_as_printed_without_best_and_stand_apart(tmp_path: Path) -> None:
    rows = reported_means.rows()
    folder = Path(reported_means.__file__).parent / "published"
    with (folder / "corl_offline_cells.csv").open(encoding="utf-8", newline="") as handle:
        printed = [row for row in csv.DictReader(handle) if row["algorithm"] == "ReBRAC"]
    expected = {
        row["dataset"]: row["mean"]
        for row in printed
        if row["checkpoint"] == "last" and "/" in row["dataset"]
    }
    (found,) = [row for row in rows if row.algorithm == "ReBRAC"]
    assert {name: cell.mean for name, cell in found.cells.items()} == expected
    board.write(build(rows_of({"CQL": 50})), tmp_path / "board", reported=rows)
    (page,) = tmp_path.glob("board/suites/d4rl-locomotion-v0-*.html")
    text = page.read_text(encoding="utf-8")
    main, reported = text.split('id="reported"')
    assert "BRAC-v" in reported
    assert "BRAC-v" not in main
    (table,) = tmp_path.glob("board/data/aggregates/*.csv")
    with table.open(encoding="utf-8", newline="") as handle:
        tiers = {line["algorithm"]: line["tier"] for line in csv.DictReader(handle)}
    assert tiers == {
        "CQL": "raw published",
        "Reference expert": "by definition",
        "Behaviour policy": "published TQ",
        "BC": "not run",
        "Random policy": "by definition",
    }
    summary = (tmp_path / "board" / "data" / "summary.json").read_text(encoding="utf-8")
    assert "BRAC-v" not in summary  # nor in any aggregate
    assert "No results yet: NeoRL, Local" in text_of(tmp_path / "board" / "index.html")
    (data,) = tmp_path.glob("board/data/reported/d4rl-locomotion-v0-*.csv")
    with data.open(encoding="utf-8", newline="") as handle:
        lines = list(csv.DictReader(handle))
    assert {line["tier"] for line in lines} == {"reported"}


def test_imported_means_are_neither_ranked_nor_pooled(tmp_path: Path) -> None:
    means = [
        row.model_copy(update={"tier": "reported", "seed": None, "source": "P (2020)"})
        for row in rows_of({"A": 90, "B": 50}, seeds=1)
    ]
    found = build([*means, *rows_of({"A": 20, "C": 10})])
    (reported,) = [table for table in found if table.runs[0].row.tier == "reported"]
    assert [(entry.algorithm, entry.rank, entry.letters) for entry in reported.entries] == [
        ("A", None, ""), ("B", None, ""),
    ]  # fmt: skip
    (other,) = [table for table in found if table is not reported]
    assert [entry.rank for entry in other.entries] == [1, 2]
    assert other.entries[0].aggregate is not None
    assert other.entries[0].aggregate.iqm == pytest.approx(20, abs=2)
    board.write(found, tmp_path / "board")
    (page,) = tmp_path.glob("board/suites/*.html")
    assert "Means as printed. How they were measured is not stated here." in text_of(page)


def test_neorl2_has_the_printed_means_and_the_datasets_own(tmp_path: Path) -> None:
    rows = {row.algorithm: row for row in reported_means.rows() if row.about.id == "neorl2"}
    assert len(rows) == 10
    assert all(len(row.cells) == 7 for row in rows.values())
    assert rows["mobile"].cells["neorl2/RandomFrictionHopper"].mean == "35.12"
    found = reference_rows.behaviours([])["neorl2/Pipeline"]
    assert (found.score, found.origin) == (69.25, "published mean")


def test_suites_have_pages_and_versions_stand_apart() -> None:
    rows = rows_of({"BC": 40}, seeds=2)
    others = (
        "d4rl/hopper-medium-v2",
        "d4rl/pen-human-v1",
        "d4rl/antmaze-umaze-v2",
        "d4rl/maze2d-umaze-v1",
        "d4rl/kitchen-mixed-v0",
        "neorl/Hopper-v3-low-100",
        "neorl2/DMSD",
        "local/hopper-medium-v1",
        "local/pointmaze-umaze-v1",
    )
    for name in others:
        rows += rows_of({"BC": 40}, seeds=2, names=(name,))
    pages = suite_pages.pages(build(rows), {})
    assert [page.title for page in pages] == list(suite_pages.KNOWN)
    (local,) = [page for page in pages if page.title == "Local"]
    assert len(local.views) == 2
    assert suite_pages.without_results(pages) == []


def test_neorl_shows_the_setting_that_an_offline_estimate_chose() -> None:
    rows = published_sources.neorl_rows()
    place = ("neorl/HalfCheetah-v3-low-100", "cql")
    each = neorl_selection.read()[place]
    found = [row for row in rows if (row.dataset, row.algorithm) == place]
    medians = [statistics.median(values) for values in each.fqe.tolist()]
    setting = medians.index(max(medians))
    assert [row.mean_return for row in found] == each.online[setting].tolist()
    assert found[0].score == pytest.approx(100 * (found[0].mean_return + 298) / (12284 + 298))


def test_every_tier_is_told_and_looks_its_own_way(tmp_path: Path) -> None:
    rows = [
        row.model_copy(update={"tier": tier})
        for tier in ("reproduced", "submitted", "raw published", "local")
        for row in rows_of({"BC": 40}, seeds=2)
    ]
    board.write(build(rows), tmp_path / "board", reported=reported_means.rows())
    (page,) = tmp_path.glob("board/suites/d4rl-locomotion-v0-*.html")
    text = html.unescape(page.read_text(encoding="utf-8"))
    for tier, meaning in wording.TIERS.items():
        style = wording.tier_class(tier)
        assert f".tier.{style} {{" in text
        assert f'<span class="tier {style}">{tier}</span></dt><dd>{meaning}' in text


@pytest.mark.slow
def test_the_widest_board_has_pages_below_300_kilobytes(tmp_path: Path) -> None:
    names = tuple(f"d4rl/hopper-{number:02}-v2" for number in range(30))
    rows = rows_of({f"method {number}": 30 + 3 * number for number in range(15)}, 10, names)
    (table,) = build(rows)
    assert "independent permutations" in table.test  # beyond 12 methods
    board.write([table], tmp_path / "board")
    for page in tmp_path.rglob("*.html"):
        assert page.stat().st_size < 300_000, page
