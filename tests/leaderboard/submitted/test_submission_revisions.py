"""Whose a method is, under which name it is shown, and what stays sound while the rest changes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datumrl.datasets import catalogue
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.suites import suite_of
from datumrl.leaderboard import (
    names,
    reference_rows,
    runs,
    submission_building,
    submission_identity_rules,
    submitted_runs,
    tables,
)
from datumrl.leaderboard.submission_checks import check
from datumrl.leaderboard.tables import Table

MEDIUM = "local/inverted-pendulum-medium-v1"


def errors(root: Path, base: Path | None = None) -> list[str]:
    return [str(each) for each in check(root, base).errors]


def flags(root: Path, base: Path) -> str:
    return "\n".join(str(each) for each in check(root, base).findings if each.severity == "flag")


def revision(make: Any, name: str, number: int, level: int = 400, **changes: Any) -> Any:
    draft = make(name, f"r{number}", level)
    draft.method.update(supersedes=f"r{number - 1}" if number > 1 else None, **changes)
    return draft


MALLORY = {
    "authors": ["Mallory"],
    "code": {"url": "https://github.com/mallory/code", "commit": "cd" * 20},
}


def test_nobody_takes_over_anothers_method(make: Any, tmp_path: Path) -> None:
    base, subs = tmp_path / "base", tmp_path / "subs"
    for root in (base, subs):
        make("td3-bc").write(root)
    revision(make, "td3-bc", 2, **MALLORY).write(subs)  # with the very returns of r1
    found = errors(subs, base)
    assert (
        "error [same-authors] td3-bc/r2/method.json: td3-bc/r1 is by Author of td3-bc" in found[0]
    )
    assert "(code of github.com/td3-bc)" in found[0]
    assert any("submit runs of your own" in each for each in found[1:])
    assert all("td3-bc/r2" in each.partition(": ")[0] for each in found)  # r1 stays sound


@pytest.mark.parametrize(
    ("before", "after", "sound"),
    [
        ("https://github.com/lab/a", "https://github.com/lab/b", True),
        ("https://github.com/lab/a", "https://gitlab.com/lab/a", False),
        ("https://anonymous.4open.science/r/a", "https://anonymous.4open.science/r/b", False),
        ("https://anonymous.4open.science/r/a", "https://anonymous.4open.science/r/a", True),
        ("https://github.com", "https://github.com", True),
    ],
)
def test_owners_of_the_code_may_go_on(
    make: Any, tmp_path: Path, before: str, after: str, sound: bool
) -> None:
    first, second = make("one"), revision(make, "one", 2, level=300, authors=["Colleague"])
    first.method["code"]["url"], second.method["code"]["url"] = before, after
    first.write(tmp_path)
    second.write(tmp_path)
    assert ["same-authors" in each for each in errors(tmp_path)] == [True] * (not sound)


def test_authors_may_change_code_or_hand_a_method_on(make: Any, tmp_path: Path) -> None:
    make("one").write(tmp_path)
    moved = revision(make, "one", 2, code=MALLORY["code"])
    moved.method["authors"].append("Mallory")
    moved.write(tmp_path)
    # Of the third revision's people nobody made the first; its runs came by way of the second.
    revision(make, "one", 3, **MALLORY).write(tmp_path)
    assert errors(tmp_path) == []


def told_of_revisions(root: Path) -> list[str]:
    """Return the flags of the last revision alone, which are what its readers see."""
    report = submitted_runs.checked(root)
    ((_, told),) = submitted_runs.submitted(report).items()
    assert report.errors == ()
    return [each.partition(": ")[2] for each in told.flags if "unconfirmed" not in each]


def test_a_revision_tells_which_seeds_it_leaves_out(make: Any, tmp_path: Path) -> None:
    first, second = make("one"), revision(make, "one", 2)
    for run in first.runs[:3]:
        run.update(status="failed", failure="diverged")
    del second.runs[:3]
    first.write(tmp_path)
    second.write(tmp_path)
    expected = "seeds 0, 1, 2 of r1 (3 failed) not here, with equal settings"
    assert told_of_revisions(tmp_path)[-1] == expected
    # A third revision, equal to the second, does not hide the first.
    third = revision(make, "one", 3)
    del third.runs[:3]
    third.write(tmp_path)
    assert told_of_revisions(tmp_path)[-1] == expected
    chosen = revision(make, "one", 4)  # other seeds, of the same settings
    for run in chosen.runs:
        run["seed"] += 20
        run["evaluations"] = make(level=390).runs[run["seed"] - 20]["evaluations"]
    chosen.write(tmp_path)
    assert told_of_revisions(tmp_path) == [
        "seeds 0, 1, 2 of r1 (3 failed) not here, with equal settings",
        "seeds 3, 4, 5, 6, 7 and 2 more of r3 not here, with equal settings",
    ]


def test_a_revision_tells_which_returns_it_changed(make: Any, tmp_path: Path) -> None:
    first, second = make("one"), revision(make, "one", 2)
    first.runs[2].update(status="failed", failure="diverged")
    second.runs[4]["evaluations"][1]["returns"][0] -= 0.5
    for run in second.runs:  # another step: nothing to compare it with
        run["evaluations"][0]["step"] = 400
    first.write(tmp_path)
    second.write(tmp_path)
    assert told_of_revisions(tmp_path) == [
        "seed 4 with other returns than in r1, at the same steps, settings and commit",
        "seed 2 failed in r1, with the same settings and commit",
    ]


@pytest.mark.parametrize("part", ["commit", "configuration", "engine", "steps"])
def test_a_revision_of_another_experiment_has_nothing_to_tell(
    make: Any, tmp_path: Path, part: str
) -> None:
    second = revision(make, "one", 2, level=390)
    if part == "commit":  # mended, and all seeds run again
        second.method["code"]["commit"] = "cd" * 20
    elif part == "configuration":
        second.result["configuration"]["lr"] = 0.1
    elif part == "engine":
        second.result["protocol"]["engine"]["mujoco"] = "3.4.0"
    else:
        second.result["budget"]["steps"] = 2_000
        for run in second.runs:
            run["evaluations"][1]["step"] = 2_000
    if part != "commit":
        del second.runs[8:]
    make("one").write(tmp_path)
    second.write(tmp_path)
    assert [each for each in told_of_revisions(tmp_path) if "say more" not in each] == []


def test_a_revision_tells_which_datasets_it_leaves_out(make: Any, tmp_path: Path) -> None:
    first, second = make("one"), revision(make, "one", 2)
    expert = "local/inverted-pendulum-expert-v1"
    other = make("one", level=300).result
    other["dataset"] = other["protocol"]["dataset"] = expert
    first.results[expert.replace("/", "__") + ".json"] = other
    del first.method["not_run"][expert]
    first.write(tmp_path)
    second.write(tmp_path)
    assert told_of_revisions(tmp_path) == [f"r1 has results on {expert}, which are left out here"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("td3_bc", "TD3+BC"),
        ("TD3_BC", "td3 + bc"),
        ("dt-target-1", "DT, Target 1"),
        ("TD3+BC", "\u0422D3+\u0412\u0421"),  # Cyrillic T, B and C
        ("td3_bc", "\u03a4D3+\u0392C"),  # Greek T and B
    ],
)
def test_names_that_are_shown_alike_are_one(
    make: Any, tmp_path: Path, first: str, second: str
) -> None:
    for folder, name, level in (("one", first, 400), ("two", second, 300)):
        draft = make(folder, level=level)
        draft.method["name"] = name
        draft.write(tmp_path)
    assert sum("choose another name" in each for each in errors(tmp_path)) == 2


def test_an_author_is_one_in_whatever_letters() -> None:
    for own, given in (
        ("Ada Example", "Ad\u0430 Ex\u0430mple"),  # Cyrillic a
        ("\u0412\u0430\u0441\u044f", "\u0432\u0410\u0421\u042f"),  # Vasya, in either case
        ("\u039c\u03b1\u03c1\u03af\u03b1", "\u039c\u0391\u03a1\u038a\u0391"),  # Maria in Greek
    ):
        assert names.alike(own) == names.alike(given)
    assert names.alike("\u0416\u0443\u043a") != names.alike("Kyk")


def test_no_method_is_named_after_the_folder_of_schemas(make: Any, tmp_path: Path) -> None:
    draft = make("schema")
    draft.write(tmp_path)
    assert "the folder of the JSON Schemas" in errors(tmp_path / "schema" / "r1")[0]
    with pytest.raises(DatumrlError, match="'schema': the folder of the JSON Schemas; choose"):
        submission_building.method_of(draft.method, tmp_path / "none")


def test_no_method_has_the_name_of_a_reference_row(make: Any, tmp_path: Path) -> None:
    tabled = (Table("t", suite_of(MEDIUM), "p", told, (MEDIUM,), ()) for told in (True, False))
    names = {row.name for table in tabled for row in reference_rows.of_table(table, {})}
    assert "BC" in names  # which is a method too
    for number, name in enumerate(sorted(names)):
        draft = make()
        draft.method["name"] = name
        draft.write(tmp_path / str(number))
        found = errors(tmp_path / str(number))
        assert ["names-of-their-own" in each for each in found] == [True] * (name != "BC")


def grown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a dataset to the suite of the pendulum."""
    new = replace(catalogue.find(MEDIUM), id="local/inverted-pendulum-newest-v1")
    known = [*catalogue.all_records(), new]
    monkeypatch.setattr(catalogue, "all_records", lambda: known)


def test_a_dataset_more_in_the_catalogue_breaks_nothing_that_is_there(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, subs = tmp_path / "base", tmp_path / "subs"
    make("one").write(base)
    grown(monkeypatch)
    assert "1 datasets of Local inverted pendulum v1 are missing" in errors(base)[0]  # new ones
    assert errors(base, base) == []
    assert "are missing" in flags(base, base)
    assert len(submitted_runs.load(base)) == 10
    # The next revision names it; of the superseded one nothing is asked any more.
    make("one").write(subs)
    revision(make, "one", 2, level=300).write(subs)
    assert [each for each in errors(subs, base) if "whole-suites" not in each] == []
    assert all("one/r2" in each for each in errors(subs, base))
    (complete := revision(make, "one", 3, level=350)).method["not_run"][
        "local/inverted-pendulum-newest-v1"
    ] = "new"
    monkeypatch.setattr(submission_identity_rules, "dataset_of", lambda _: catalogue.find(MEDIUM))
    complete.write(subs)
    assert errors(subs, base) == []
    assert "whole-suites" not in flags(subs, base)


def test_a_hash_that_is_pinned_later_breaks_nothing_that_is_there(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("one").write(tmp_path)
    pinned = replace(catalogue.find(MEDIUM), sha256="d" * 64)
    monkeypatch.setattr(submission_identity_rules, "dataset_of", lambda _: pinned)
    assert "fetch the file again" in errors(tmp_path)[0]
    assert errors(tmp_path, tmp_path) == []
    ((_, told),) = submitted_runs.submitted(submitted_runs.checked(tmp_path)).items()
    assert any("fetch the file again" in flag for flag in told.flags)


def test_what_is_in_the_base_is_no_error_of_what_is_new(make: Any, tmp_path: Path) -> None:
    base, subs = tmp_path / "base", tmp_path / "subs"
    old = make("one")
    del old.runs[2:]  # accepted before the rule was known
    old.extra["odd.txt"] = b"x"
    for root in (base, subs):
        folder = old.write(root)
    make("two", level=300).write(subs)
    assert errors(subs, base) == []
    assert "train more seeds" in flags(subs, base)
    assert len(errors(subs)) == 2  # without a base, all is new
    (folder / "page.html").write_text("x")  # nothing that its base had
    (told,) = errors(subs, base)
    assert "one/r1/page.html: only JSON files" in told


def test_two_changes_with_one_name_that_each_passed_alone(make: Any, tmp_path: Path) -> None:
    first, both = tmp_path / "first", tmp_path / "both"
    one, two = make("one"), make("two", level=300)
    one.method["name"] = two.method["name"] = "TD3+BC"
    for draft, roots in ((one, (first, both)), (two, (both,))):
        for root in roots:
            draft.write(root)
    # The push of the second is red, so that somebody hears of it; the first is as sound as before.
    (told,) = errors(both, first)
    assert "two/r1/method.json: one/r1 is called 'TD3+BC' too" in told
    assert errors(both, both) == []
    # No row holds the runs of both, and no seed has two results.
    found = submitted_runs.load(both)
    assert {run.row.algorithm for run in found} == {"TD3+BC [one]", "TD3+BC [two]"}
    third = make("three", level=350)
    third.method["name"] = "TD3+BC [one]"
    third.write(both)
    found = submitted_runs.load(both)
    assert {run.row.algorithm for run in found} == {
        "TD3+BC [one]", "TD3+BC [one] [one]", "TD3+BC [two]",
    }  # fmt: skip
    (table,) = tables.build(found)
    assert [len(entry.runs) for entry in table.entries] == [10, 10, 10]


def test_what_is_broken_is_left_out_and_named(make: Any, tmp_path: Path) -> None:
    make("one").write(tmp_path)
    broken = make("two", level=300)
    broken.runs[1]["seed"] = 0
    del broken.runs[2:4]
    broken.write(tmp_path)
    lost = make("three", level=350)
    lost.runs[0]["evaluations"][1]["returns"][0] = 1e14  # more than a table can hold
    lost.write(tmp_path)
    (tmp_path / "stray").write_text("x")
    report = submitted_runs.checked(tmp_path)
    told = [str(each) for each in report.left_out]
    assert told[0].startswith("error [files] stray: belongs to no method")
    assert told[1].startswith("flag [attainable-returns] three/r1")
    assert told[2].startswith("error [distinct-seeds] two/r1")
    assert [one.title for one in report.submissions] == ["one/r1"]
    assert [each.rule for each in report.left_out] == [
        "files", "attainable-returns", "distinct-seeds",
    ]  # fmt: skip
    assert {run.row.algorithm for run in submitted_runs.runs_of(report)} == {"ONE"}


def test_every_file_belongs_to_the_run_that_the_board_counts(make: Any) -> None:
    # What evidence compares is what the board shows, whatever the checkpoint rule.
    from datumrl.leaderboard.submission_counted import counted
    from datumrl.leaderboard.submission_schema import DatasetResult

    for rule in ("last", "last-10-mean", "best"):
        draft = make()
        draft.result["protocol"].update(checkpoint=rule, online_selection=rule == "best")
        points = [point for run in draft.runs for point in run["evaluations"]]
        for run in draft.runs:
            run["evaluations"] = [
                {**point, "step": 100 * number} for number, point in enumerate(points, start=1)
            ]
        result = DatasetResult.model_validate(draft.result, strict=False)
        for run, own in zip(runs.from_records(result.records()), result.runs, strict=True):
            assert run.row.mean_return == pytest.approx(counted(own, rule))
