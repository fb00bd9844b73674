"""Pages of methods and datasets, the map and the statistics: what they say, and its sources."""

import dataclasses
import importlib.util
import json
import re
import shlex
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tyro

from datumrl.algorithms import presets, registry
from datumrl.datasets import catalogue
from datumrl.evaluation.records import Budget, Evaluation, Protocol, RunRecord
from datumrl.leaderboard import (
    board,
    further_pages,
    known_quality,
    learning_curves,
    published_tables,
    runs,
    submission_schema,
    submitted_runs,
    tables,
    training_commands,
)
from datumrl.leaderboard.further_pages import Beside
from datumrl.scripts import train

HOSTILE = "<img src=x onerror=alert(1)></template><script>alert(2)</script>\u202e"
HOPPER = "local/hopper-medium-v1"
TRAINABLE = tuple(registry.ALGORITHMS)
ENGINE = {"gymnasium": "1.4.0", "mujoco": "3.3.7"}


def record(
    algorithm: str,
    dataset: str,
    seed: int,
    configuration: dict[str, Any] | None = None,
    status: str = "complete",
    points: int = 5,
    preset: str = "none",
    nearest: bool = False,
) -> RunRecord:
    generator = np.random.default_rng([seed, len(algorithm), len(dataset)])
    protocol = Protocol(
        dataset=dataset, environment="Hopper-v4", engine=ENGINE, time_limit=1000, episodes=4,
        nearest=nearest,
    )  # fmt: skip
    return RunRecord(
        algorithm=algorithm,
        configuration=configuration or {"steps": 5000, "alpha": 2.5, "view": "correct"},
        dataset=dataset,
        dataset_sha256=None,
        protocol=protocol,
        budget=Budget(steps=5000, preset=preset),
        seed=seed,
        status=status,
        failure=HOSTILE if status == "failed" else None,
        evaluations=tuple(
            Evaluation(
                step=1000 * (place + 1),
                returns=tuple(generator.normal(900 + 300 * place, 50, 4).tolist()),
                lengths=(500,) * 4,
            )
            for place in range(points)
        ),
        software={"datumrl": "0.1.0", "torch": "2.13.0"},
        hardware="test",
    )


def entry_of(found: list[RunRecord]) -> tuple[tables.Entry, tables.Table]:
    (table,) = tables.build(runs.from_records(found))
    (entry,) = table.entries
    return entry, table


# -- Learning curves -----------------------------------------------------------------------------


def test_a_curve_is_mean_and_spread_of_the_finished_seeds() -> None:
    found = [record("iql", HOPPER, seed) for seed in range(3)]
    found.append(record("iql", HOPPER, 3, status="failed", points=2))
    entry, table = entry_of(found)
    (curve,) = learning_curves.of_entry(entry, table, {})
    assert (curve["dataset"], curve["seeds"]) == (HOPPER, 3)
    assert curve["steps"] == [1000, 2000, 3000, 4000, 5000]
    # 0 and 100 of hopper's scores are returns of -20.272305 and 3234.3.
    for place in range(5):
        each = [
            100 * (statistics.fmean(r.evaluations[place].returns) + 20.272305) / 3254.572305
            for r in found[:3]
        ]
        assert curve["mean"][place] == pytest.approx(statistics.fmean(each), rel=1e-5)
        assert curve["spread"][place] == pytest.approx(statistics.pstdev(each), rel=1e-4)
        assert (curve["low"][place], curve["high"][place]) == pytest.approx(
            (min(each), max(each)), rel=1e-5
        )
    (failed,) = curve["others"]
    assert (failed["seed"], failed["steps"]) == (3, [1000, 2000])


def test_long_curves_are_thinned_and_keep_their_ends() -> None:
    entry, table = entry_of([record("iql", HOPPER, seed, points=200) for seed in range(2)])
    (curve,) = learning_curves.of_entry(entry, table, {})
    assert len(curve["steps"]) == 60
    assert (curve["steps"][0], curve["steps"][-1]) == (1000, 200_000)


def test_one_evaluation_is_no_curve_and_seeds_meet_at_shared_steps() -> None:
    entry, table = entry_of([record("iql", HOPPER, 0, points=1)])
    assert learning_curves.of_entry(entry, table, {}) == []
    entry, table = entry_of([record("iql", HOPPER, 0), record("iql", HOPPER, 1, points=3)])
    (curve,) = learning_curves.of_entry(entry, table, {})
    assert curve["steps"] == [1000, 2000, 3000]


def test_published_curves_end_at_the_scores_of_the_table() -> None:
    (published,) = published_tables.all_tables()
    rows = published_tables.score_rows(published.id)
    one = [row for row in rows if row.dataset == "d4rl/hopper-medium-v0"]
    built = tables.build(runs.from_rows(one))
    curves = learning_curves.published([published.source])
    drawn = 0
    for table in built:
        for entry in table.entries:
            for curve in learning_curves.of_entry(entry, table, curves):
                cell = entry.cells[curve["dataset"]]
                assert curve["seeds"] == cell.values.size == 10
                assert curve["mean"][-1] == pytest.approx(cell.mean, rel=1e-5)
                drawn += 1
    assert drawn >= 8


# -- Commands ------------------------------------------------------------------------------------


def parsed(command: str) -> train.Command:
    words = shlex.split(command)
    assert words[:2] == ["datumrl", "train"]
    return tyro.cli(train.Command, args=words[2:])


@pytest.mark.parametrize("name", registry.ALGORITHMS)
def test_the_command_resolves_to_the_configuration_of_the_record(name: str) -> None:
    first = {"cql": {"bc_steps": 100}, "dt": {"warmup_steps": 100}}.get(name, {})
    config = registry.resolve(name, {"steps": 5000, "batch_size": 64, **first})
    content = {**registry.configuration(config), "view": "correct"}
    label = name if "return_targets" not in content else f"{name}-target-1"
    entry, _ = entry_of([record(label, HOPPER, seed, content) for seed in (0, 1, 2)])
    (command,) = training_commands.of_entry(entry, TRAINABLE)
    ((job, _),) = parsed(command)._jobs()
    known = catalogue.find(HOPPER)  # some values of Decision Transformer depend on the dataset
    assert registry.completed(name, job.config, known) == registry.completed(name, config, known)
    assert (job.algorithm, job.dataset, job.seeds) == (name, HOPPER, (0, 1, 2))
    assert (job.evaluate_every, job.episodes, job.view, job.preset) == (1000, 4, "correct", "none")


def test_a_preset_stands_for_its_values_and_changes_are_named() -> None:
    dataset = "d4rl/hopper-medium-v2"
    chosen = presets.choose("td3_bc", dataset, "corl", {"alpha": 1.0, "steps": 5000})
    content = {**registry.configuration(chosen.config), "view": chosen.view}
    entry, _ = entry_of([record("td3_bc", dataset, 7, content, preset=chosen.preset)])
    (command,) = training_commands.of_entry(entry, TRAINABLE)
    assert "--preset corl" in command
    assert "--seeds 7," in command
    ((job, _),) = parsed(command)._jobs()
    assert job.config == dataclasses.replace(chosen.config, steps=5000)
    assert job.preset.startswith("corl")
    assert job.seeds == (7,)


def test_settings_that_differ_are_commands_of_their_own() -> None:
    found = [record("iql", HOPPER, seed) for seed in (0, 1, 2, 5, 6)]
    other = {"alpha": 1, "view": "correct"}
    found += [record("iql", "local/hopper-random-v1", seed, other) for seed in range(2)]
    (table,) = tables.build(runs.from_records(found))
    commands = [c for entry in table.entries for c in training_commands.of_entry(entry, ["iql"])]
    assert len(commands) == 2
    assert any("--seeds 0-2,5-6" in command for command in commands)
    assert training_commands.of_entry(table.entries[0], ["td3_bc"]) == []


def test_other_code_s_runs_of_the_same_name_get_no_command() -> None:
    found = [record("iql", HOPPER, seed, {"alpha": 1}) for seed in range(2)]
    entry, _ = entry_of(found)
    assert training_commands.of_entry(entry, TRAINABLE) == []


def test_hostile_configurations_are_one_word_of_the_shell() -> None:
    entry, _ = entry_of(
        [record("iql", HOPPER, 0, {"view": "correct", "note": "$(touch x); rm -rf '*'"})]
    )
    (command,) = training_commands.of_entry(entry, ["iql"])
    assert "note=$(touch x); rm -rf '*'" in shlex.split(command)


# -- Pages ---------------------------------------------------------------------------------------

METHOD = submission_schema.Method(
    method="their-iql",
    revision="r2",
    name="Their IQL",
    authors=(HOSTILE, "B. Author"),
    paper="https://example.org/paper",
    code=submission_schema.Code(url="https://example.org/code", commit="a" * 40),
    licence="CC BY 4.0",
    tuning=submission_schema.Tuning(configurations=4, seeds=(100, 101), datasets=(HOPPER,)),
    online_returns_chose="nothing",
    supersedes="r1",
    not_run={"local/hopper-expert-v1": HOSTILE},
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a board of an own row with a failed seed, a submitted one, and a hostile one."""
    own = [record("iql", HOPPER, seed) for seed in range(4)]
    own += [record("iql", "local/hopper-random-v1", seed) for seed in range(4)]
    own[0] = record("iql", HOPPER, 0, status="failed", points=3)
    found = runs.from_records(own)
    for name, tier, source in (
        ("Their IQL", "submitted", "submission their-iql/r2"),
        (HOSTILE, "local", HOSTILE),
    ):
        for run in runs.from_records([record(name, HOPPER, seed) for seed in range(4)]):
            told = run.row.model_copy(update={"tier": tier, "source": source})
            found.append(dataclasses.replace(run, row=told))
    out = tmp_path_factory.mktemp("further") / "board"
    flags = (f"x.json: unconfirmed hash {HOSTILE}", *("5 seeds; 10 say more" for _ in range(20)))
    told = submitted_runs.Submitted(METHOD, flags, "re-rolled by Somebody on 1 of 1 datasets")
    beside = Beside({"submission their-iql/r2": told}, TRAINABLE)
    board.write(tables.build(found), out, {}, known_quality.own_cards()[:2], beside=beside)
    return out


def page_of(site: Path, name: str) -> str:
    (path,) = (each for each in site.glob("runs/*.html") if name in each.name)
    return path.read_text(encoding="utf-8")


def test_an_own_row_tells_its_command_and_its_curves(site: Path) -> None:
    text = page_of(site, "--iql-")
    assert "datumrl train iql --on" in text
    assert "1 failed" in text
    assert text.count('data-curve="') == 2
    match = re.search(r'<template id="curves">(.*?)</template>', text, re.DOTALL)
    assert match is not None
    (path,) = (each for each in (site / "data" / "curves").iterdir() if "--iql-" in each.name)
    assert json.loads(match[1]) == json.loads(path.read_text(encoding="utf-8"))


def test_a_submitted_row_tells_who_and_with_what(site: Path) -> None:
    text = page_of(site, "their-iql")
    for told in ("B. Author", "https://example.org/paper", "https://example.org/code", "a" * 40):
        assert told in text
    assert "4 configurations × 2 seeds (100, 101) × 1 dataset" in text
    assert "CC BY 4.0" in text
    assert "re-rolled by Somebody on 1 of 1 datasets" in text
    assert "unconfirmed hash &lt;img" in text
    assert "and 1 more; <code>datumrl submit --check</code>" in text
    assert "datumrl train" not in text


def test_every_dataset_has_a_page_with_its_seeds(site: Path) -> None:
    for dataset in (HOPPER, "local/hopper-random-v1"):
        name = dataset.partition("/")[2]
        (path,) = (each for each in site.glob("datasets/*.html") if f"-{name}-" in each.name)
        text = path.read_text(encoding="utf-8")
        assert "Methods on this dataset" in text
        assert "runs/" in text
        assert text.count('<svg class="strip"') == (3 if dataset == HOPPER else 1)
        assert "../compare.html#" in text or dataset != HOPPER


def test_pages_are_small_link_to_files_and_keep_hostile_text_inert(site: Path) -> None:
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert len(text.encode()) < 300_000, path
        assert text.count("<script") == 1, path
        assert "<img" not in text, path
        assert "\u202e" not in text, path
        for link in re.findall(r'href="([^"]*)"', text):
            target, _, anchor = link.replace("&amp;", "&").partition("#")
            if target.startswith(("https:", "data:")):
                continue
            file = (path.parent / target).resolve() if target else path
            assert file.is_file(), (path, link)
            if anchor and file.name != "compare.html":
                assert f'id="{anchor}"' in file.read_text(encoding="utf-8"), (path, link)


def test_many_runs_and_large_settings_leave_a_page_small(tmp_path: Path) -> None:
    settings = {"note": "x" * 70_000}
    found = [record("iql", HOPPER, seed, settings) for seed in range(further_pages.MOST_RUNS + 1)]
    board.write(tables.build(runs.from_records(found)), tmp_path / "board")
    (page,) = tmp_path.glob("board/runs/*.html")
    text = page.read_text(encoding="utf-8")
    assert len(text.encode()) < 300_000
    assert "The first 300 of 301 runs; all are in" in text
    assert "characters; the run records have all" in text
    (rows,) = tmp_path.glob("board/data/*.csv")
    assert len(rows.read_text(encoding="utf-8").splitlines()) == 302


def test_the_statistics_are_all_explained(site: Path) -> None:
    text = (site / "statistics.html").read_text(encoding="utf-8")
    for anchor in (
        "iqm", "mean", "gap", "intervals", "rank", "letters", "improvement", "profile", "tq",
        "saco", "psv", "tiers", "protocols", "checkpoints",
    ):  # fmt: skip
        assert f'<h2 id="{anchor}">' in text
        assert f'href="#{anchor}"' in text
    assert set(re.findall(r"arXiv:\d{4}\.\d{5}", text)) == {
        "arXiv:2004.07219", "arXiv:2108.13264", "arXiv:2306.10882", "arXiv:2111.04714",
        "arXiv:2306.13085",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (360, True)])
def test_a_browser_draws_every_page_without_complaint_or_barrier(
    browser: Any, site: Path, width: int, dark: bool
) -> None:
    found = importlib.util.find_spec("axe_core_python")
    if found is None or found.origin is None:
        pytest.skip("axe-core is not installed")
    axe = (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")
    browser.show(width, dark=dark)
    wanted = [*site.glob("runs/*.html"), *site.glob("datasets/*.html")]
    wanted += [site / name for name in ("map.html", "statistics.html", "compare.html")]
    for path in wanted:
        browser.open(path)
        assert browser.run("document.documentElement.scrollWidth") <= width, path
        browser.run(f"{axe}; 0")
        violations = browser.run(
            "axe.run().then((found) => found.violations.map((each) => `${each.id}: "
            "${each.nodes.map((node) => node.html.slice(0, 150)).join(' | ')}`))"
        )
        assert violations == [], path
        assert not browser.complaints(), path
    (own,) = site.glob("runs/*--iql-*.html")
    browser.open(own)
    assert browser.run("document.querySelectorAll('.curves svg .curve').length") == 2
    assert browser.run("document.querySelectorAll('.curves svg .lost').length") == 1
    assert all(each.startswith(("file:", "about:", "data:")) for each in browser.requests())


@pytest.mark.slow
def test_the_arrow_keys_read_a_curve(browser: Any, site: Path) -> None:
    (own,) = site.glob("runs/*--iql-*.html")
    browser.open(own)
    browser.run("document.querySelector('.curves svg').focus()")
    press = "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: '%s'}))"
    told = "document.querySelector('.readout').textContent"
    assert browser.run(told).startswith("step 5,000: ")
    browser.run(press % "ArrowLeft")
    assert browser.run(told).startswith("step 4,000: ")
    browser.run(press % "Home")
    browser.run(press % "ArrowLeft")
    assert browser.run(told).startswith("step 1,000: ")
    curve = json.loads(browser.run("document.getElementById('curves').content.textContent"))[0]
    assert f"{curve['mean'][0]:.1f} ± {curve['spread'][0]:.1f}" in browser.run(told)
