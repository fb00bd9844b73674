"""A sound submission as plain JSON values, to be spoiled by tests one thing at a time."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

DATASET = "local/inverted-pendulum-medium-v1"
OTHERS = [f"local/inverted-pendulum-{kind}-v1" for kind in ("random", "expert", "mixed")]


def make_run(seed: int, steps: tuple[int, ...] = (500, 1000), level: int = 400) -> dict[str, Any]:
    generator = np.random.default_rng([seed, level])
    points = []
    for step in steps:
        lengths = generator.integers(level - 50, level + 50, size=10).tolist()
        points.append({"step": step, "returns": [float(n) for n in lengths], "lengths": lengths})
    return {
        "seed": seed,
        "status": "complete",
        "failure": None,
        "evaluations": points,
        "software": {"python": "3.11.7"},
        "hardware": "a machine",
    }


class Draft:
    """One revision: ``method`` and ``results`` (by file name) are changed, then written."""

    def __init__(self, name: str = "my-bc", revision: str = "r1", level: int = 400) -> None:
        self.folder = (name, revision)
        self.method: dict[str, Any] = {
            "schema_version": "datumrl-submission/1",
            "method": name,
            "revision": revision,
            "name": name.upper(),
            "authors": [f"Author of {name}"],
            "paper": None,
            "code": {"url": f"https://github.com/{name}/code", "commit": "ab" * 20},
            "licence": "CC BY 4.0",
            "tuning": {"configurations": 1, "seeds": [], "datasets": []},
            "online_returns_chose": "nothing",
            "supersedes": None,
            "not_run": dict.fromkeys(OTHERS, "no time"),
        }
        self.results: dict[str, Any] = {
            DATASET.replace("/", "__") + ".json": {
                "schema_version": "datumrl-submission/1",
                "method": name,
                "algorithm": "bc",
                "dataset": DATASET,
                "dataset_sha256": "c" * 64,
                "configuration": {"lr": 0.001, "hidden": [32, 32]},
                "protocol": {
                    "dataset": DATASET,
                    "environment": "InvertedPendulum-v4",
                    "engine": {"gymnasium": "1.4.0", "mujoco": "3.3.7"},
                    "time_limit": 1000,
                    "episodes": 10,
                },
                "budget": {"steps": 1000},
                "runs": [make_run(seed, level=level) for seed in range(10)],
            }
        }
        self.evidence: dict[str, Any] | None = None
        self.extra: dict[str, bytes] = {}

    @property
    def result(self) -> dict[str, Any]:
        return next(iter(self.results.values()))

    @property
    def runs(self) -> list[dict[str, Any]]:
        return self.result["runs"]

    def copy(self) -> "Draft":
        return copy.deepcopy(self)

    def write(self, root: Path) -> Path:
        folder = root.joinpath(*self.folder)
        folder.mkdir(parents=True)
        contents = {"method.json": self.method, **self.results}
        if self.evidence is not None:
            contents["evidence.json"] = self.evidence
        for name, content in contents.items():
            (folder / name).write_text(json.dumps(content), encoding="utf-8")
        for name, raw in self.extra.items():
            (folder / name).write_bytes(raw)
        return folder


@pytest.fixture
def draft() -> Draft:
    return Draft()


@pytest.fixture
def make() -> Callable[..., Draft]:
    return Draft


@pytest.fixture
def runs_of() -> Callable[..., dict[str, Any]]:
    return make_run


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))
