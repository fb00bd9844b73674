"""Every rule lets a sound submission pass and names what is wrong with a spoiled one."""

import inspect
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datumrl.datasets import catalogue
from datumrl.leaderboard import (
    submission_checks,
    submission_history_rules,
    submission_identity_rules,
)
from datumrl.leaderboard.attainable import bounds, bounds_in
from datumrl.leaderboard.submission_checks import check
from datumrl.leaderboard.submission_context import telling

Make = Callable[..., Any]
EXPERT = "local/inverted-pendulum-expert-v1"


def errors(root: Path, base: Path | None = None) -> list[str]:
    return [str(each) for each in check(root, base).errors]


def flags(root: Path) -> list[str]:
    return [str(each) for each in check(root).findings if each.severity == "flag"]


def test_a_sound_submission_passes_with_its_hash_unconfirmed(draft: Any, tmp_path: Path) -> None:
    draft.write(tmp_path / "subs")
    report = check(tmp_path / "subs")
    assert [str(each) for each in report.errors] == []
    assert report.unconfirmed == [
        ("my-bc/r1", "local/inverted-pendulum-medium-v1", "c" * 64),
    ]
    assert submission_checks.tier(report.submissions[0], report) == "submitted"


def _set(*path: Any, value: Any) -> Callable[[Any], None]:
    def spoil(draft: Any) -> None:
        place = draft
        for part in path[:-1]:
            place = getattr(place, part) if isinstance(place, type(draft)) else place[part]
        place[path[-1]] = value

    return spoil


def _other_dataset(draft: Any) -> None:
    draft.result["dataset"] = draft.result["protocol"]["dataset"] = EXPERT
    del draft.method["not_run"][EXPERT]


def _unknown_dataset(draft: Any) -> None:
    _renamed(draft, "d4rl/hoper-medium-v2")


def _renamed(draft: Any, dataset: str) -> None:
    (result,) = draft.results.values()
    result["dataset"] = result["protocol"]["dataset"] = dataset
    draft.results = {dataset.replace("/", "__") + ".json": result}


def _point(draft: Any) -> Any:
    return draft.runs[3]["evaluations"][-1]


def _copied(draft: Any) -> None:
    draft.runs[4]["evaluations"] = draft.runs[3]["evaluations"]


def _shuffled(draft: Any) -> None:
    returns = [value - 0.25 for value in draft.runs[3]["evaluations"][1]["returns"]]
    draft.runs[3]["evaluations"][1]["returns"] = returns
    draft.runs[4]["evaluations"][1]["returns"] = [*reversed(returns)]


def _fewer_points(draft: Any) -> None:
    del draft.runs[2]["evaluations"][0]


def _cut_off(draft: Any) -> None:
    del draft.runs[2]["evaluations"][1]


def _nine_episodes(draft: Any) -> None:
    del _point(draft)["returns"][0], _point(draft)["lengths"][0]


def _few_episodes(draft: Any) -> None:
    draft.result["protocol"]["episodes"] = 2
    for run in draft.runs:
        for point in run["evaluations"]:
            del point["returns"][2:], point["lengths"][2:]


def _second_algorithm(draft: Any) -> None:
    import copy

    other = copy.deepcopy(draft.result)
    other.update(dataset=EXPERT, algorithm="iql")
    other["protocol"]["dataset"] = EXPERT
    draft.results[EXPERT.replace("/", "__") + ".json"] = other
    del draft.method["not_run"][EXPERT]


SPOILED: list[tuple[str, Callable[[Any], None], str]] = [
    ("names-equal-contents", _set("method", "method", value="other"), "make them equal"),
    ("names-equal-contents", _set("method", "revision", value="r2"), "make them equal"),
    ("names-equal-contents", _set("result", "method", value="other"), "make them equal"),
    ("names-equal-contents", _other_dataset, "name it local__inverted-pendulum-expert-v1.json"),
    ("names-equal-contents", _second_algorithm, "several algorithms (bc, iql)"),
    ("ids-known", _unknown_dataset, "`datumrl datasets` lists"),
    ("ids-known", _set("method", "not_run", "d4rl/nothing-v9", value="why"), "unknown dataset"),
    ("ids-known", _set("result", "protocol", "dataset", value=EXPERT), "make them equal"),
    ("ids-known", _set("method", "not_run", f"{EXPERT}@20000", value="-"), "expert-v1@20k'; write"),
    ("ids-known", lambda d: _renamed(d, f"{EXPERT}@1000k"), "expert-v1@1M'; write it so"),
    ("names-of-their-own", _set("method", "name", value=" + "), "no letter or digit"),
    ("names-of-their-own", _set("method", "authors", value=["--"]), "no letter or digit"),
    ("names-of-their-own", _set("method", "name", value="Random  Policy"), "a reference row"),
    ("whole-suites", lambda d: d.method["not_run"].pop(EXPERT), "run them, or say why not"),
    ("whole-suites", _set("method", "not_run", "local/inverted-pendulum-medium-v1", value="-"),
     "remove it from not_run"),
    ("whole-suites", lambda d: d.results.clear(), "no dataset"),
    ("tuning-is-told", _set("method", "tuning", "configurations", value=8), "name the seeds"),
    ("tuning-is-told", _set("method", "online_returns_chose", value="the step"), "same in both"),
    ("tuning-is-told", _set("result", "protocol", "online_selection", value=True), "same in both"),
    ("tuning-is-told", _set("result", "protocol", "checkpoint", value="best"), "use 'last'"),
    ("tuning-is-told", _set("result", "budget", "tuning", value="400 configurations x 3 seeds"),
     "tells of tuning '400"),
    ("tuning-is-told", _set("method", "tuning", value={"configurations": 400, "seeds": [90],
     "datasets": [EXPERT]}), "tells of tuning 'none'"),
    ("nothing-derived", _set("result", "configuration", "normalized_score", value=90), "remove"),
    ("nothing-derived", _set("result", "configuration", "x", value=[{"mean_return": 1}]), "remove"),
    ("nothing-derived", _set("result", "configuration", "evalMeanReturn", value=3), "remove"),
    ("nothing-derived", _set("result", "configuration", "a/final_D4RL_score", value="9"), "remove"),
    ("nothing-derived", _set("runs", 3, "software", "best score", value="99"), "software holds"),
    ("distinct-seeds", _set("runs", 1, "seed", value=0), "seed 0 is there 2 times"),
    ("distinct-seeds", lambda d: d.runs.__delitem__(slice(4, None)), "train more seeds"),
    ("tuning-seeds-apart", _set("method", "tuning", "seeds", value=[3]), "report others"),
    ("failures-are-told", _set("runs", 0, "status", value="failed"), "`failure`"),
    ("failures-are-told", _set("runs", 0, "failure", value="burst"), "`failure`"),
    ("evaluation-points", _fewer_points, "other steps than the rest"),
    ("evaluation-points", _cut_off, "evaluate the last policy"),
    ("evaluation-points", lambda d: d.runs[1]["evaluations"].reverse(), "must increase"),
    ("evaluation-points", _set("result", "protocol", "checkpoint", value="last-10-mean"),
     "2 evaluations, but 'last-10-mean' is the mean of 10"),
    ("evaluation-points", lambda d: d.runs[1]["evaluations"].clear(), "at step none"),
    ("episodes", _nine_episodes, "give every episode"),
    ("episodes", lambda d: _point(d)["lengths"].pop(), "give every episode"),
    ("episodes", _few_episodes, "at least 10 are needed"),
    ("episodes", lambda d: _point(d)["lengths"].__setitem__(0, 1001), "cut episodes off"),
    ("protocol-is-the-datasets", _set("result", "protocol", "time_limit", value=2000), "has 1000"),
    ("protocol-is-the-datasets", _set("result", "protocol", "engine", value={}), "no engine"),
    ("protocol-is-the-datasets", _set("result", "protocol", "environment_kwargs", value={"a": 1}),
     "must be {}"),
    ("attainable-returns", lambda d: _point(d)["returns"].__setitem__(0, 1e6), "lies outside"),
    ("attainable-returns", lambda d: _point(d)["returns"].__setitem__(0, -0.5), "lies outside"),
    ("supersedes", _set("method", "supersedes", value="r1"), "has to be nothing"),
    ("identical-returns", _copied, "one is a copy"),
    ("identical-returns", _shuffled, "one is a copy"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "spoil", "told"), SPOILED, ids=[f"{n}-{each[0]}" for n, each in enumerate(SPOILED)]
)
def test_a_spoiled_submission_breaks_exactly_the_rule(
    draft: Any, tmp_path: Path, rule: str, spoil: Callable[[Any], None], told: str
) -> None:
    spoil(draft)
    draft.write(tmp_path / "subs")
    found = errors(tmp_path / "subs")
    matching = [each for each in found if f"[{rule}]" in each]
    assert matching, found
    assert any(told in each for each in matching), matching


def test_settings_may_be_named_after_returns(draft: Any, tmp_path: Path) -> None:
    draft.result["configuration"] |= {
        "target_return": 3600, "return_scale": 1000, "normalize_reward": True, "max_return": 4.0,
        "normalized_returns": True, "last_layer": "mean", "eval_episodes": 10, "score_norm": 1.5,
    }  # fmt: skip
    draft.write(tmp_path / "subs")
    assert errors(tmp_path / "subs") == []


def test_bounds_are_those_of_the_rewards_or_of_what_was_seen() -> None:
    cheetah = catalogue.find("neorl2/SafetyHalfCheetah")
    assert cheetah.reference is not None
    low, high = bounds(cheetah).of(1000)
    width = cheetah.reference.maximum - cheetah.reference.minimum
    printed = cheetah.reference.minimum - 4.2243 * width  # RAMBO's mean score there: -422.43
    assert low < printed < high
    assert high == pytest.approx(cheetah.reference.minimum + 3 * width)
    assert bounds(catalogue.find("d4rl/kitchen-mixed-v0")).of(280) == (0, 4)
    antmaze = catalogue.find("d4rl/antmaze-umaze-v2")  # an episode ends at the goal, in either
    for environment in ("antmaze-umaze-v2", "AntMaze_UMaze-v4"):
        assert bounds_in(antmaze, environment).of(700) == (0, 1)


def test_few_whole_numbers_are_equal_by_nature() -> None:
    # In kitchen, 10 seeds of 100 evaluations: pairs of 10 returns of five values do coincide.
    kitchen, maze = [0.0, 1.0, 2.0, 3.0, 4.0] * 2, [float(n) for n in (7, 9, 11, 8, 30, 12)]
    assert telling(kitchen) is None
    assert telling(maze) == tuple(maze) != telling(maze[::-1])
    assert telling([1.5, 2.0, 3.0, 4.0]) == telling([4.0, 3.0, 2.0, 1.5])


def test_every_rule_has_a_failing_submission() -> None:
    elsewhere = {"append-only", "dataset-hashes", "evidence-holds", "names-taken-once",
                 "same-authors"}  # fmt: skip
    tried = {each[0] for each in SPOILED} | elsewhere
    names = {rule.__name__ for rule in submission_checks.RULES}
    told = {
        "tuning_configurations",
        "revisions_are_told",
        "shared_episodes",
    }  # only flags, see their tests
    spelled = {"supersedes_the_last": "supersedes"}
    for name in names - told:
        assert spelled.get(name, name.replace("_", "-")) in tried
    modules = {inspect.getmodule(rule) for rule in submission_checks.RULES}
    assert submission_history_rules in modules


def test_what_is_no_mistake_is_flagged(draft: Any, tmp_path: Path) -> None:
    import copy

    draft.results[EXPERT.replace("/", "__") + ".json"] = other = copy.deepcopy(draft.result)
    other.update(dataset=EXPERT, configuration={"lr": 0.1})
    other["protocol"].update(dataset=EXPERT, environment="InvertedPendulum-v5")
    del draft.method["not_run"][EXPERT]
    del draft.runs[5:9]
    draft.runs[0].update(status="failed", failure="critic diverged")
    draft.write(tmp_path / "subs")
    assert errors(tmp_path / "subs") == []
    told = "\n".join(flags(tmp_path / "subs"))
    for part in ("6 seeds; 10 say more", "lack 4 in between", "1 of 6 seeds failed; the "
                 "board will not rank the method in a table that ranks over this dataset",
                 "shown as returns", "2 configurations or budgets over 2 datasets"):  # fmt: skip
        assert part in told


@pytest.mark.parametrize(
    ("seeds", "told"),
    [
        ((3, 17, 28, 41, 66, 71, 80, 85, 93, 99), "10 seeds between 3 and 99, not consecutive"),
        ((0, 1, 2, 3, 4, 5, 6, 7, 8, 10), "lack 1 in between"),
        (tuple(range(1000, 1010)), ""),
    ],
)
def test_seeds_that_were_picked_are_flagged(
    draft: Any, tmp_path: Path, seeds: tuple[int, ...], told: str
) -> None:
    for run, seed in zip(draft.runs, seeds, strict=True):
        run["seed"] = seed
    draft.write(tmp_path)
    found = [each for each in flags(tmp_path) if "distinct-seeds" in each]
    assert [told in each for each in found] == [True] * bool(told)


@pytest.mark.parametrize(
    "change", [{"steps": 1000}, {"steps": 500}, {"preset": "corl"}, {"reward_transform": "x - 1"}]
)
def test_what_is_chosen_per_dataset_is_tuning(draft: Any, tmp_path: Path, change: Any) -> None:
    import copy

    other = copy.deepcopy(draft.result)
    other["dataset"] = other["protocol"]["dataset"] = EXPERT
    other["budget"].update(change)
    draft.results[EXPERT.replace("/", "__") + ".json"] = other
    draft.write(tmp_path)
    tuned = any("2 configurations or budgets over 2 datasets" in each for each in flags(tmp_path))
    assert tuned == (change != {"steps": 1000})  # which is the first dataset's


def test_a_hash_is_confirmed_by_an_independent_submitter_only(make: Make, tmp_path: Path) -> None:
    root = tmp_path / "subs"
    make("one").write(root)
    mine = make("two", level=300)
    mine.method["authors"] = ["author  OF one"]
    mine.write(root)
    assert len(check(root).unconfirmed) == 2
    make("three", level=200).write(root)
    assert check(root).unconfirmed == []
    other = make("four", level=500)
    other.result["dataset_sha256"] = "d" * 64
    other.write(root)
    assert [each[0] for each in check(root).unconfirmed] == ["four/r1"]
    assert any("has another, so one of the two" in each for each in flags(root))


def test_a_hash_that_the_catalogue_knows_must_be_it(
    draft: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No dataset of the catalogue has a hash that its publisher states, so one is given it here.
    known = replace(catalogue.find("local/inverted-pendulum-medium-v1"), sha256="d" * 64)
    monkeypatch.setattr(submission_identity_rules, "dataset_of", lambda _: known)
    draft.write(tmp_path / "subs")
    assert any("fetch the file again" in each for each in errors(tmp_path / "subs"))
    draft.result["dataset_sha256"] = "d" * 64
    draft.write(tmp_path / "right")
    assert (errors(tmp_path / "right"), check(tmp_path / "right").unconfirmed) == ([], [])


def test_returns_are_not_copied_from_another_submission(make: Make, tmp_path: Path) -> None:
    root = tmp_path / "subs"
    make("one").write(root)
    thief = make("two", level=300)
    thief.runs[0]["evaluations"][1] = make("one").runs[7]["evaluations"][0] | {"step": 1000}
    thief.write(root)
    assert any("submit runs of your own" in each for each in errors(root))
    # The same revision's successor may hold the same runs.
    again = make("one", "r2")
    again.method["supersedes"] = "r1"
    again.write(tmp_path / "more")
    make("one").write(tmp_path / "more")
    assert errors(tmp_path / "more") == []


def test_two_methods_have_two_names(make: Make, tmp_path: Path) -> None:
    make("one").write(tmp_path / "subs")
    other = make("two", level=300)
    other.method["name"] = "Ｏne "
    other.write(tmp_path / "subs")
    found = errors(tmp_path / "subs")
    assert len(found) == 2
    assert all("choose another name" in each for each in found)


def test_nothing_that_was_submitted_changes(make: Make, tmp_path: Path) -> None:
    base = tmp_path / "base"
    make("one").write(base)
    grown = tmp_path / "grown"
    make("one").write(grown)
    make("two", level=300).write(grown)
    assert errors(grown, base) == []
    for name, change, told in (
        ("changed", lambda d: d.runs.pop(), "was changed"),
        ("added", lambda d: d.extra.update({"x.json": b"{}"}), "was added"),
        ("renamed", lambda d: d.results.clear(), "was removed"),
    ):
        spoiled = make("one")
        change(spoiled)
        spoiled.write(tmp_path / name)
        found = [each for each in errors(tmp_path / name, base) if "append-only" in each]
        assert any(told in each for each in found), found
    make("two", level=300).write(tmp_path / "gone")
    assert any("is gone" in each for each in errors(tmp_path / "gone", base))
    # One revision alone is compared with itself only.
    assert errors(grown / "two" / "r1", base) == []
    assert errors(grown / "two") == []


def test_no_name_of_a_method_hides_the_others(make: Make, tmp_path: Path) -> None:
    make("one").write(tmp_path / "base")
    for name in ("base", "subs"):
        (tmp_path / name / "README.md").parent.mkdir(exist_ok=True)
        (tmp_path / name / "README.md").write_text("x")
    # As revisions of a method "subs", and without the submission that was there.
    stranger = make("subs", level=300)
    stranger.folder = ("r1", ".")
    stranger.write(tmp_path / "subs")
    found = errors(tmp_path / "subs", tmp_path / "base")
    assert any("one/r1: was submitted before and is gone" in each for each in found)
    assert errors(tmp_path / "subs") != []


def test_checking_needs_neither_torch_nor_an_environment(draft: Any, tmp_path: Path) -> None:
    folder = draft.write(tmp_path / "subs")
    probe = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'gymnasium', 'mujoco', 'h5py', 'scipy',"
        " 'numba', 'matplotlib', 'pyarrow'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from datumrl.scripts.main import main\n"
        f"sys.exit(main(['submit', '--check', {str(folder)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
