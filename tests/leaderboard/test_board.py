"""The board: its numbers against plain Python, and the page in a real browser."""

import csv
import html.parser
import json
import re
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.records import (
    Budget,
    Evaluation,
    Protocol,
    RunRecord,
    ScoreRow,
    find_records,
)
from datumrl.leaderboard import board, drawing, names, runs, tables, wording

HOPPER = [f"d4rl/hopper-{kind}-v2" for kind in ("medium", "medium-expert", "random")]
HOSTILE = '<script>alert("1")</script>\u202e../../etc/passwd\x07&amp;\'=1+1'


def make_record(
    algorithm: str,
    dataset: str,
    seed: int,
    level: float,
    status: str = "complete",
    configuration: dict[str, Any] | None = None,
    failure: str = "critic loss is not finite",
    **protocol: Any,
) -> RunRecord:
    """Return a record whose last evaluation has a mean return of about ``level``."""
    generator = np.random.default_rng([seed, len(algorithm), len(dataset)])
    returns = generator.normal(level, 100, size=(2, 4)).round(3).tolist()
    points = [
        Evaluation(step=step, returns=tuple(row), lengths=(500,) * 4)
        for step, row in zip((1000, 2000), returns, strict=True)
    ]
    environment = {"environment": "Hopper-v4", "engine": {"mujoco": "3.3.7"}, "time_limit": 1000}
    return RunRecord(
        algorithm=algorithm,
        configuration={"alpha": 2.5} if configuration is None else configuration,
        dataset=dataset,
        dataset_sha256=None,
        protocol=Protocol(**{"dataset": dataset, "episodes": 4, **environment, **protocol}),
        budget=Budget(steps=2000, tuning="2 configurations x 1 seed"),
        seed=seed,
        status=status,
        failure=failure if status == "failed" else None,
        evaluations=tuple(points if status == "complete" else points[:1]),
        software={},
        hardware="test",
    )


def make_records(seeds: int = 4) -> list[RunRecord]:
    return [
        make_record(algorithm, dataset, seed, level + 300 * index)
        for algorithm, level in (("TD3+BC", 1500), ("BC", 900))
        for index, dataset in enumerate(HOPPER)
        for seed in range(seeds)
    ]


def build(records: list[RunRecord]) -> list[tables.Table]:
    return tables.build(runs.from_records(records))


def d4rl_score(record: RunRecord) -> float:
    """Return the score of a record's last evaluation, from the published reference returns."""
    last = statistics.fmean(record.evaluations[-1].returns)
    return 100 * (last + 20.272305) / (3234.3 + 20.272305)


def plain_iqm(values: list[float]) -> float:
    ordered = sorted(values)
    cut = len(ordered) // 4
    return statistics.fmean(ordered[cut : len(ordered) - cut])


class Rows(html.parser.HTMLParser):
    """Collects the text of every table row, by the row's id (or its first cell)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: dict[str, list[str]] = {}
        self.tags: list[str] = []
        self.references: list[tuple[str, str]] = []
        self._row: list[str] | None = None
        self._id = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.references += [(tag, values[key] or "") for key in ("src", "href") if key in values]
        if tag == "tr":
            self._row, self._id = [], values.get("id") or ""
        elif tag in ("td", "th") and self._row is not None:
            self._row.append("")

    def handle_data(self, data: str) -> None:
        if self._row:
            self._row[-1] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "tr" and self._row is not None:
            row = [" ".join(cell.split()) for cell in self._row]
            self.cells[self._id or row[0]] = row
            self._row = None


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a board with a failed seed, an incomplete method and a hostile name."""
    records = make_records()
    records[0] = make_record("TD3+BC", HOPPER[0], 0, 0, status="failed", failure=HOSTILE)
    records += [make_record(HOSTILE, HOPPER[0], seed, 700) for seed in range(2)]
    board.write(build(records), tmp_path / "board")
    return tmp_path / "board"


def test_page_shows_the_numbers_that_plain_python_gets(tmp_path: Path) -> None:
    records = make_records()
    board.write(build(records), tmp_path / "board")
    (page,) = tmp_path.glob("board/suites/*.html")
    rows = Rows(page.read_text(encoding="utf-8")).cells
    (table,) = build(records)
    assert [entry.algorithm for entry in table.entries] == ["TD3+BC", "BC"]
    for rank, entry in enumerate(table.entries, start=1):
        own = [record for record in records if record.algorithm == entry.algorithm]
        by_task = [[d4rl_score(r) for r in own if r.dataset == dataset] for dataset in HOPPER]
        every = [score for task in by_task for score in task]
        row = rows[entry.id]
        assert row[:2] == [f"{rank} [{rank}]", entry.algorithm]
        assert row[3].startswith(f"{plain_iqm(every):.1f} [")
        assert row[4] == "ab"[rank - 1]
        assert row[5] == f"{statistics.fmean(every):.1f}"
        assert row[6] == f"{statistics.median(map(statistics.fmean, by_task)):.1f}"
        assert row[7] == f"{statistics.fmean([max(0.0, 100 - s) for s in every]):.1f}"
        assert row[8] == "4 × 3"
        assert row[9:] == ["2,000 stepstuning: 2 configurations x 1 seed", "local"]
    task = [d4rl_score(r) for r in records if (r.algorithm, r.dataset) == ("BC", HOPPER[0])]
    expected = f"{statistics.fmean(task):.1f} ± {statistics.pstdev(task):.1f}"
    assert rows["hopper-medium-v2"][2] == expected


def test_what_is_not_comparable_stands_apart() -> None:
    records = make_records()
    records += [make_record("BC", "d4rl/hopper-medium-v0", seed, 900) for seed in range(3)]
    records += [make_record("BC", HOPPER[0], s, 900, engine={"mujoco": "3.2.0"}) for s in range(3)]
    records += [make_record("BC", HOPPER[0], s, 900, checkpoint="best") for s in range(3)]
    records += [make_record("BC", HOPPER[0], s, 900, time_limit=500) for s in range(3)]
    records += [make_record("BC", HOPPER[0], s, 900, environment="Hopper-v5") for s in range(3)]
    records += [make_record("BC", "d4rl/ant-medium-v2", s, 900) for s in range(3)]
    found = build(records)
    assert len(found) == 7
    assert len({table.id for table in found}) == 7
    raw = [table for table in found if not table.normalised]
    # Hopper-v5, episodes of 500 steps and Hopper-v4 for ant are not what the scores are defined in.
    titles = ["D4RL ant v2", "D4RL locomotion v2", "D4RL locomotion v2"]
    assert sorted(table.suite.title for table in raw) == titles
    assert all(entry.aggregate is None for table in raw for entry in table.entries)


def averaged_record(points: int, seed: int = 0) -> RunRecord:
    """Return a record of the mean of the last ten evaluations that has so many."""
    given = make_record("BC", HOPPER[0], seed, 900, checkpoint="last-10-mean")
    first = given.evaluations[0]
    returns = np.random.default_rng(seed).normal(900, 50, (points, 4)).round(3).tolist()
    found = tuple(
        first.model_copy(update={"step": step, "returns": tuple(row)})
        for step, row in enumerate(returns, start=1)
    )
    return given.model_copy(update={"evaluations": found})


def test_a_mean_of_fewer_evaluations_than_it_says_is_no_result(tmp_path: Path) -> None:
    records = [averaged_record(9 if seed == 1 else 10, seed) for seed in range(4)]
    (table,) = build(records)
    (entry,) = table.entries
    assert [run.row.seed for run in entry.cells[HOPPER[0]].finished] == [0, 2, 3]
    reason = "of 10 evaluations that count it has 9"
    assert wording.warnings(entry, table) == [f"1 of 4 runs unfinished ({reason})"]
    board.write([table], tmp_path / "board")
    (page,) = tmp_path.glob("board/runs/*.html")
    assert reason in page.read_text(encoding="utf-8")


def test_checkpoint_rules_differ_and_are_named() -> None:
    last = build([make_record("BC", HOPPER[0], 0, 900)])[0].entries[0]
    record = make_record("BC", HOPPER[0], 0, 900, checkpoint="best")
    best = build([record])[0]
    means = [statistics.fmean(point.returns) for point in record.evaluations]
    assert last.runs[0].row.mean_return == pytest.approx(means[-1])
    assert best.runs[0].row.mean_return == pytest.approx(max(means))
    assert "optimistic" in wording.protocol_words(best, {})
    long = averaged_record(12)
    means = [statistics.fmean(point.returns) for point in long.evaluations]
    (averaged,) = build([long])
    assert averaged.runs[0].row.mean_return == pytest.approx(statistics.fmean(means[-10:]))


def test_an_incomplete_method_is_listed_last_and_not_ranked() -> None:
    records = make_records()
    records += [make_record("narrow", HOPPER[0], seed, 3000) for seed in range(4)]
    (table,) = build(records)
    assert [(entry.algorithm, entry.rank) for entry in table.entries] == [
        ("TD3+BC", 1),
        ("BC", 2),
        ("narrow", None),
    ]
    assert wording.warnings(table.entries[2], table) == [
        "not ranked: 1 of 3 datasets, without hopper-medium-expert-v2, hopper-random-v2"
    ]


def test_two_configurations_are_two_rows_and_never_pooled() -> None:
    records = make_records()
    records += [make_record("BC", HOPPER[0], s, 500, configuration={"alpha": 1}) for s in range(3)]
    (table,) = build(records)
    labels = sorted(entry.label for entry in table.entries if entry.algorithm == "BC")
    assert [label.partition(",")[0] for label in labels] == ["alpha=1", "alpha=2.5"]


def test_a_record_given_twice_counts_once_but_two_results_of_a_seed_are_an_error() -> None:
    records = make_records()
    assert [len(t.runs) for t in build(records + records)] == [len(t.runs) for t in build(records)]
    again = make_record("BC", HOPPER[0], 0, 1000)
    with pytest.raises(DatumrlError, match=r"BC on d4rl/hopper-medium-v2, seed 0: 2 different"):
        build([*records, again])


def test_gigantic_scores_are_refused_with_the_seed_named() -> None:
    with pytest.raises(DatumrlError, match=r"seed 1: .*no attainable score"):
        build([make_record("BC", HOPPER[0], 1, 1e200)])


def test_the_last_step_of_a_published_seed_counts() -> None:
    common = {"tier": "raw published", "algorithm": "X", "dataset": HOPPER[0], "seed": 0}
    rows = [ScoreRow(**common, step=step, score=float(step)) for step in (1, 3, 2)]
    (table,) = tables.build(runs.from_rows(rows))
    assert table.entries[0].cells[HOPPER[0]].values.tolist() == [3.0]


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    records = make_records()
    board.write(build(records), tmp_path / "one")
    board.write(build(records[::-1]), tmp_path / "two")
    board.write(build(records), tmp_path / "two")
    # The copies of the records on the page are enough to make the page again.
    board.write(build(find_records([tmp_path / "one" / "data" / "runs"])), tmp_path / "three")
    first = contents(tmp_path / "one")
    assert len(first) > 20
    assert contents(tmp_path / "two") == first
    assert contents(tmp_path / "three") == first


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_raw_data_hold_every_seed_and_every_link_leads_to_a_file(site: Path) -> None:
    (path,) = site.glob("data/*.csv")
    assert len(list(site.glob("data/aggregates/*.csv"))) == 1
    with path.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 26
    (failed,) = [row for row in rows if row["status"] == "failed"]
    assert (failed["algorithm"], failed["seed"], failed["score"]) == ("TD3+BC", "0", "")
    for row in rows:
        record = json.loads((site / row["record"]).read_text(encoding="utf-8"))
        assert str(record["seed"]) == row["seed"]
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for _, link in Rows(text).references:
            target, _, anchor = link.partition("#")
            if link == "data:," or link.startswith("https://"):
                continue
            file = (page.parent / target).resolve() if target else page
            assert file.is_file(), link
            if anchor and file.name != "compare.html":  # what it compares is its anchor
                assert f'id="{anchor}"' in file.read_text(encoding="utf-8"), link
    manifest = json.loads((site / "board.json").read_text(encoding="utf-8"))
    assert set(manifest["files"]) == set(contents(site)) - {"board.json"}


def test_pages_ask_nothing_of_the_network(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for tag, link in Rows(text).references:
            assert tag == "a" or not re.match(r"(?i)\s*(https?:)?//", link), (page, tag, link)
        assert "@import" not in text
        assert "url(" not in text
        assert "default-src 'none'" in text


def test_hostile_names_are_inert(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert Rows(text).tags.count("script") == 1
        assert "<script>alert" not in text
        assert "\u202e" not in text
        assert "\x07" not in text
    root = site.parent
    assert {path.name for path in root.iterdir()} == {"board"}
    for path in site.rglob("*"):
        assert re.fullmatch(r"[a-z0-9.-]+", path.name), path
    (hostile,) = site.glob("runs/*script-alert*.html")
    assert "\\u202e../../etc/passwd\\u0007" in hostile.read_text(encoding="utf-8")


def test_names_become_distinct_safe_slugs_and_spreadsheet_text() -> None:
    given = ["TD3", "td3", "td3 ", "../x", "con", "", "é" * 500, "a/b", "a\\b", "\ud800"]
    slugs = [names.slug(text) for text in given]
    assert len(set(slugs)) == len(given)
    assert all(re.fullmatch(r"[a-z0-9-]{8,60}", slug) for slug in slugs)
    assert names.spreadsheet_text("=cmd|'/c calc'!A0") == "'=cmd|'/c calc'!A0"
    assert names.shown("a\x00b\u2028") == "a\\u0000b\\u2028"


@pytest.mark.parametrize(
    ("value", "text"),
    [(-0.04, "0.0"), (-1.25, "−1.2"), (None, "–"), (12345.67, "12,345.7"), (1e9, "1e+09")],
)
def test_numbers_read_well(value: float | None, text: str) -> None:
    assert wording.number(value) == text


def test_axis_holds_its_values_between_round_ticks() -> None:
    axis = drawing.axis([-1.3, 55.7], anchors=(0.0,))
    assert axis.ticks == (0.0, 20.0, 40.0, 60.0)
    assert 0 <= axis.fraction(-1.3) < axis.fraction(0.0) < axis.fraction(60.0) <= 1
    flat = drawing.axis([3.0, 3.0], anchors=())
    assert 0 <= flat.fraction(3.0) <= 1


@pytest.mark.parametrize("kind", ["foreign folder", "file", "added file", "other manifest"])
def test_a_folder_that_is_not_ours_is_left_alone(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "board"
    found = build(make_records(seeds=2))
    if kind == "file":
        out.write_text("mine")
    elif kind == "added file":
        board.write(found, out)
        (out / "notes.txt").write_text("mine")
    else:
        out.mkdir()
        name = "board.json" if kind == "other manifest" else "thesis.tex"
        (out / name).write_text('{"format": "something else"}')
    before = contents(tmp_path)
    with pytest.raises(DatumrlError, match=r"choose another folder with --out"):
        board.write(found, out)
    assert contents(tmp_path) == before


def test_a_failure_while_writing_keeps_the_earlier_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "board"
    board.write(build(make_records(seeds=2)), out)
    before = contents(tmp_path)
    monkeypatch.setattr(wording, "protocol_words", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        board.write(build(make_records(seeds=3)), out)
    assert contents(tmp_path) == before
