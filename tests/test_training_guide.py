"""The guide to training: its blocks run, and what it names exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from datumrl.algorithms import presets, registry
from datumrl.scripts import main

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def test_methods_presets_and_options_are_those_there_are() -> None:
    assert set(re.findall(r"\(`(\w+)`\)", GUIDE.partition("```")[0])) == set(registry.ALGORITHMS)
    assert set(re.findall(r"`--preset (\w+)`", GUIDE)) == set(presets.PRESETS)
    scripts = ("train", "evaluate", "compare", "reproduce")
    source = "".join((ROOT / "scripts" / f"{name}.py").read_text() for name in scripts)
    for option in set(re.findall(r"--([a-z][a-z-]+)", GUIDE)):
        assert f"    {option.replace('-', '_')}: " in source, option
    for path in re.findall(r"`((?:algorithms|tests)/[\w/]+\.\w+)`", GUIDE):
        assert (ROOT / path).exists(), path


def test_times_of_default_runs_follow_from_the_rates() -> None:
    rates: dict[str, float] = {}
    told = {}
    for line in GUIDE.splitlines():
        if rate := re.match(r"\| (\S+) \| ([\d.]+)/s \| [^|]+ \| ([\d.]+)x", line):
            rates[rate[1]] = float(rate[2]) * float(rate[3])
        if times := re.match(r"\| (\S+) \| ([\d,]+) \| ([\d.]+) hours \| ([\d.]+) hours \|", line):
            told[times[1]] = int(times[2].replace(",", "")), float(times[3]), float(times[4])
    assert told.keys() == rates.keys()
    names = {"TD3+BC": "td3_bc", "IQL": "iql", "CQL": "cql", "DT": "dt"}
    for name, (steps, whole, short) in told.items():
        assert registry.resolve(names[name], {}).steps == steps
        for hours, count in ((whole, steps), (short, 50_000)):
            # The process with three of five seeds does half of the updates per second.
            assert hours == pytest.approx(3 * count / (rates[name] / 2) / 3600, rel=0.05, abs=0.05)
    options = (ROOT / "scripts" / "train.py").read_text()
    for steps in {registry.resolve(name, {}).steps for name in registry.ALGORITHMS}:
        assert f" {steps}" in options.partition("    steps: ")[2].partition("    set: ")[0]


def test_the_guide_names_every_method_that_may_see_several_states() -> None:
    seeing = {
        name
        for name in registry.ALGORITHMS
        if registry.draws_windows(
            presets.choose(name, "d4rl/hopper-medium-v2", "official", {}, {}).config
        )
    }
    assert seeing == {"dt", "bc", "percent_bc"}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for text in (GUIDE, readme):
        assert "Decision Transformer, and BC or 10% BC on several states" in " ".join(text.split())
    assert "exported: `dt`, and `bc` or `percent_bc` on several states" in GUIDE


def test_a_method_of_your_own_is_explained_once_and_in_full() -> None:
    section = GUIDE.partition("## A method of your own")[2]
    first = section.partition("docstring (")[2].partition("`registry.Method`")[0]
    parts = re.findall(r"`(\w+)`", first)
    assert parts == [*registry.Method.__annotations__]
    for name in registry.ALGORITHMS:
        module = registry.find(name)
        lines = Path(str(module.__file__)).read_text().splitlines()
        place = [
            next(n for n, line in enumerate(lines) if re.match(rf"(class|def) {part}\b", line))
            for part in parts
        ]
        assert place == sorted(place), f"{name}: {parts}"
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert "docs/training.md#a-method-of-your-own" in contributing
    assert "optimisers" not in contributing


@pytest.mark.slow
def test_blocks_run_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for line in "".join(blocks("sh")).splitlines():
        assert main.main(shlex.split(line)[1:]) == 0, line
    assert "preset corl (corl-team/CORL@" in " ".join(capsys.readouterr().out.split())
    (checkpoint,) = (tmp_path / "home").rglob("checkpoint.pt")
    written = checkpoint.stat().st_mtime_ns
    for text in blocks("python"):
        exec(compile(text, "training.md", "exec"), {})
    (checkpoint,) = (tmp_path / "home").rglob("checkpoint.pt")
    assert checkpoint.stat().st_mtime_ns == written
