"""What methods are called on boards and in tables: as they are registered, in one place."""

from __future__ import annotations

import runpy
import subprocess
import sys

import pytest

from datumrl.algorithms import registry
from datumrl.leaderboard import names, training_cells


def test_one_line_in_the_registry_names_a_method_everywhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(registry.ALGORITHMS, "my_method", ["MyM+", "My Method"])
    assert names.method("my_method") == "MyM+"
    assert names.method("my_method-target-2") == "MyM+, target 2"
    trained = runpy.run_path(training_cells.__file__)["METHODS"]
    assert (trained["MyM+"], trained["My Method"]) == ("my_method", "my_method")


def test_every_registered_method_is_shown_by_its_first_name_and_found_by_all() -> None:
    for name, titles in registry.ALGORITHMS.items():
        assert names.method(name) == titles[0] != name
        assert {training_cells.METHODS[title] for title in titles} == {name}
    assert names.method("dt-target-1") == "DT, target 1"
    assert names.method("bremen") == "BREMEN"  # of NeoRL's files
    assert names.method("mine") == "mine"


def test_names_are_known_without_torch() -> None:
    code = (
        "import sys; from datumrl.leaderboard import names, training_cells;"
        "print(names.method('td3_bc'), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["TD3+BC", "False"]
