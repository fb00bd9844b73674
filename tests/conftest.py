"""What tests of every folder need: of the process they run in, and episodes to work on."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import hypothesis
import numpy as np
import pytest

from datumrl.datasets.episodes import Episodes, episode_starts

# The same examples at every run, so that a change is judged by itself; with DATUMRL_EXPLORE=1
# others each time, which finds what nobody has thought of.
hypothesis.settings.register_profile("same", derandomize=True, database=None)
if not os.environ.get("DATUMRL_EXPLORE"):
    hypothesis.settings.load_profile("same")


def pytest_configure(config: pytest.Config) -> None:
    """Heed Ctrl-C, which what a shell runs in the background ignores, with its own processes.

    That training took a GPU, where there is one, is no failure of a test.
    """
    config.addinivalue_line("filterwarnings", "ignore:trained on a GPU:UserWarning")
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def benchmark() -> Callable[[str], ModuleType]:
    """What imports a benchmark by its name: the folder is no package."""

    def load(name: str) -> ModuleType:
        path = Path(__file__).parents[1] / "benchmarks" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def make_episodes() -> Callable[..., Episodes]:
    """A maker of small Episodes from flags as text: ``-`` plain, T terminal, O timeout, B both.

    Observation 0 of row t is t, so that successors can be told by eye; ``stored`` maps rows to the
    first number of their stored successor.
    """

    def make(flags: str, stored: dict[int, float] | None = None, **fields: object) -> Episodes:
        rows = len(flags)
        observations = np.arange(rows * 2, dtype=np.float32).reshape(2, rows).T.copy()
        terminals = np.array([flag in "TB" for flag in flags], bool)
        timeouts = np.array([flag in "OB" for flag in flags], bool)
        stored = stored or {}
        content = {
            "id": "d4rl/hopper-medium-v2",
            "observations": observations,
            "actions": -observations[:, :1],
            "rewards": np.arange(1, rows + 1, dtype=np.float32),
            "terminals": terminals,
            "timeouts": timeouts,
            "starts": episode_starts(terminals, timeouts),
            "successor_rows": np.array(list(stored), np.int64),
            "successors": np.array([[v, 0] for v in stored.values()], np.float32).reshape(-1, 2),
            "time_limit": 1000,
            "timeouts_recorded": True,
        }
        return Episodes(**{**content, **fields})

    return make
