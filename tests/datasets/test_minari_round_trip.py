"""What is written as Minari is read back equal, whatever its observations and actions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import datumrl
from datumrl.datasets import catalogue, exports, minari_writer, prepared
from datumrl.datasets.columns import parts
from datumrl.datasets.episodes import Episodes, episode_starts

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:minari")  # of fields left out

PENDULUM = catalogue.find("local/inverted-pendulum-mixed-v1")


@st.composite
def small_episodes(draw: st.DrawFn) -> Episodes:
    lengths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    rows, ends = sum(lengths), np.cumsum(lengths) - 1
    terminal_ends = np.array([draw(st.booleans()) for _ in lengths])
    terminals, timeouts = np.zeros(rows, bool), np.zeros(rows, bool)
    terminals[ends] = terminal_ends
    timeouts[ends] = ~terminal_ends | np.array([draw(st.booleans()) for _ in lengths])

    def column(count: int, kind: str) -> np.ndarray:
        generator = np.random.default_rng(rng.integers(1 << 30))
        return {
            "flat": lambda: generator.normal(size=(count, 3)).astype(np.float32),
            "double": lambda: generator.normal(size=(count, 2)),
            "image": lambda: generator.integers(0, 256, (count, 33, 34, 3), np.uint8),
            "one": lambda: generator.integers(-3, 9, count),
            "bits": lambda: generator.random((count, 2)) < 0.5,
        }[kind]()

    kinds = draw(
        st.one_of(
            st.sampled_from(["flat", "double", "image", "one"]),
            st.dictionaries(
                st.sampled_from(["a", "b/c", "b/d e", "f.g"]),
                st.sampled_from(["flat", "double", "image", "one", "bits"]),
                min_size=1,
            ),
        )
    )

    def observations(count: int) -> Any:
        if isinstance(kinds, str):
            return column(count, kinds)
        return {name: column(count, kind) for name, kind in kinds.items()}

    actions = draw(
        st.sampled_from(
            [
                rng.normal(size=(rows, 2)).astype(np.float32),
                rng.normal(size=(rows, 1)),
                rng.integers(0, 4, rows),
                rng.integers(0, 4, (rows, 2)),
            ]
        )
    )
    return Episodes(
        id=PENDULUM.id,
        observations=observations(rows),
        actions=actions,
        rewards=rng.normal(size=rows).astype(draw(st.sampled_from(["f4", "f8"]))),
        terminals=terminals,
        timeouts=timeouts,
        starts=episode_starts(terminals, timeouts),
        successor_rows=ends.astype(np.int64),
        successors=observations(len(ends)),
        time_limit=1000,
        timeouts_recorded=True,
    )


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(episodes=small_episodes())
def test_what_we_write_is_what_we_read(episodes: Episodes, home: Path, minari_root: Path) -> None:
    episodes = replace(episodes, infos={"number": np.arange(len(episodes))})
    episodes.validate()
    source = exports.Source(PENDULUM, episodes, {}, {})
    export = minari_writer.write(minari_root, source, None, force=True)
    read = datumrl.load(f"minari/{export.name}")
    read.validate()
    for name in prepared.COLUMNS:
        ours, theirs = parts(getattr(episodes, name)), parts(getattr(read, name))
        spaces = [part.partition("/")[0] for part in ours]  # each with its parts together
        assert list(theirs) == sorted(ours, key=lambda part: spaces.index(part.partition("/")[0]))
        for part in ours:
            np.testing.assert_array_equal(theirs[part], ours[part])
            assert theirs[part].dtype == ours[part].dtype
    np.testing.assert_array_equal(read.infos["number"], episodes.infos["number"])
