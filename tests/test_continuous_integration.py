"""The workflow for code parses, calls what exists, and covers the Pythons that setup.cfg claims."""

import configparser
import os
import re
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")


def test_every_command_of_the_workflow_exists() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = [
        step["run"]
        for job in yaml.safe_load(TEXT)["jobs"].values()
        for step in job["steps"]
        if "run" in step
    ]
    assert commands == [".ci/run", "make test-fast"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    called = re.findall(r"^make ([\w-]+)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert {*called, "test-fast"} == {"lint", "test", "test-fast"} <= targets


def test_every_python_of_setup_cfg_is_tested() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    claimed = re.findall(r"Python :: (3\.\d+)", setup["metadata"]["classifiers"])
    jobs = yaml.safe_load(TEXT)["jobs"]
    assert ["3.11", *jobs["fast"]["strategy"]["matrix"]["python"]] == claimed
    assert 'python-version: "3.11"' in TEXT


def test_the_token_can_only_read_and_actions_are_commits() -> None:
    assert yaml.safe_load(TEXT)["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in TEXT
    assert "secrets" not in TEXT
    used = re.findall(r"uses: (\S+)", TEXT)
    known = (ROOT / ".github" / "workflows" / "check-submission.yml").read_text()
    assert set(used) <= set(re.findall(r"uses: (\S+)", known))
    assert all(re.fullmatch(r"\S+@[0-9a-f]{40}", each) for each in used)
    assert TEXT.count("persist-credentials: false") == TEXT.count("actions/checkout")


def test_make_clean_never_deletes_an_environment_that_the_shell_names(tmp_path: Path) -> None:
    outer = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}  # of the make that runs these tests
    kept = {name: value for name, value in os.environ.items() if name not in outer}

    def shown(*arguments: str) -> str:
        return subprocess.run(
            ["make", "-n", "clean", *arguments],
            cwd=ROOT,
            env={**kept, "VENV": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert shown().split()[:3] == ["rm", "-rf", ".venv"]
    assert shown("VENV=other").split()[:3] == ["rm", "-rf", "other"]
