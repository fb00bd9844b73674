"""Collections of one dataset, and of its prefixes, at the same time or stopped half-way."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from datumrl.datasets import catalogue, content_hash, loading, prepared
from datumrl.evaluation import collector, provenance, recipes
from datumrl.evaluation.recorder import Recorder

WHOLE = "local/inverted-pendulum-random-v1"
SHORT = f"{WHOLE}@100"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which the whole dataset has 400 transitions, of chunks of about 50."""

    def small(record: catalogue.DatasetRecord) -> recipes.Recipe:
        recipe = recipes.recipe_for(record)
        return replace(recipe, transitions=400, lanes=2, stream_rows=20)

    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path))
    monkeypatch.setattr(collector, "recipe_for", small)
    return tmp_path


def collect(dataset: str, **options: object) -> collector.Collected:
    return collector.collect(catalogue.find(dataset), workers=1, **options)  # type: ignore[arg-type]


def stop(dataset: str, **options: object) -> None:
    """Begin to collect, and stop after the first chunk."""

    def leave(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(dataset, progress=leave, **options)


def once(work: Callable[[], object]) -> Callable[..., None]:
    """Return a progress callback that does something the first time."""
    done: list[object] = []

    def look(*_: int) -> None:
        if not done:
            done.append(None)
            done.append(work())

    return look


def stamps(home: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in home.rglob("*chunk-*.npz")}


def names(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "local").iterdir())


def content(collected: collector.Collected) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in collected.folder.glob("*.npy")}


def test_pieces_of_another_processor_are_left_alone(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a home that machines share."""
    stop(WHOLE)
    before = stamps(home)
    with monkeypatch.context() as patch:
        patch.setattr(collector.provenance, "arithmetic", lambda: ("of another kernel",))
        stop(WHOLE)
        assert before.items() < stamps(home).items()
        assert len({Path(path).parent for path in stamps(home)}) == 2
    stop(WHOLE)
    assert before.items() < stamps(home).items()
    told = prepared.provenance(collect(WHOLE).folder)["arithmetic"]
    assert told == list(provenance.arithmetic())
    assert not stamps(home)


def test_a_prefix_has_the_same_content_alone_and_in_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def recorded(dataset: str, **fields: object) -> str | None:
        recorder = Recorder("mine", dataset, 0, {}, 1, **fields)  # type: ignore[arg-type]
        return recorder.record.dataset_content_sha256

    found = collect(SHORT)
    content = prepared.provenance(found.folder)["content_sha256"]
    assert found.episodes.content_sha256 == recorded(SHORT) == content
    assert recorded(SHORT, dataset_sha256="c" * 64) is None  # data that other code loaded
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "other"))
    whole = collect(WHOLE).episodes.content_sha256
    assert content_hash.known(loading.load(SHORT)).content_sha256 == recorded(SHORT) == content
    assert recorded(WHOLE) == loading.load(WHOLE).content_sha256 == whole != content


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, bytes]]:
    """The columns of both, collected by themselves, by id."""
    with monkeypatch.context() as patch:
        patch.setenv("DATUMRL_HOME", str(tmp_path / "alone"))
        return {dataset: content(collect(dataset)) for dataset in (WHOLE, SHORT)}


def test_a_prefix_leaves_what_a_stopped_whole_has(home: Path) -> None:
    stop(WHOLE)
    kept = stamps(home)
    assert len(kept) == 1
    assert collect(SHORT).made
    assert stamps(home) == kept
    seen: list[dict[str, int]] = []
    assert collect(WHOLE, progress=lambda *_: seen.append(stamps(home))).made
    assert kept.items() <= seen[-1].items()  # none was made again
    assert names(home) == ["inverted-pendulum-random-v1", "inverted-pendulum-random-v1@100"]


@pytest.mark.parametrize(("first", "beside"), [(WHOLE, SHORT), (SHORT, WHOLE)])
def test_a_prefix_and_the_whole_are_collected_side_by_side(
    first: str, beside: str, home: Path, alone: dict[str, dict[str, bytes]]
) -> None:
    made = []
    collected = collect(first, progress=once(lambda: made.append(collect(beside))))
    assert content(collected) == alone[first]
    assert content(made[0]) == alone[beside]
    assert not stamps(home / "local")
    assert names(home) == ["inverted-pendulum-random-v1", "inverted-pendulum-random-v1@100"]


def test_of_two_that_collect_the_same_one_waits_and_verifies(
    home: Path, alone: dict[str, dict[str, bytes]]
) -> None:
    begun, waiting = Event(), Event()

    def second() -> collector.Collected:
        assert begun.wait(60)
        return collect(WHOLE, waiting=waiting.set)

    def until_the_other_waits() -> None:
        begun.set()
        assert waiting.wait(60)

    with ThreadPoolExecutor(1) as other:
        found = other.submit(second)
        first = collect(WHOLE, progress=once(until_the_other_waits))
        assert first.made
        assert not found.result().made
    assert content(first) == alone[WHOLE]
    assert names(home) == ["inverted-pendulum-random-v1"]


def test_chunks_of_stopped_prefixes_go_with_the_whole(home: Path) -> None:
    stop(SHORT)
    stop(f"{WHOLE}@300")
    collect("local/inverted-pendulum-expert-v1@100")
    stop("local/inverted-pendulum-expert-v1@300")
    assert len(stamps(home)) == 3
    collect(WHOLE)
    assert len(stamps(home)) == 1
    assert names(home)[1:] == ["inverted-pendulum-expert-v1@100", "inverted-pendulum-random-v1"]


def test_chunks_of_a_stopped_force_go_when_what_is_there_is_verified(home: Path) -> None:
    collect(SHORT)
    stop(SHORT, force=True)
    assert stamps(home)
    assert not collect(SHORT).made
    assert names(home) == ["inverted-pendulum-random-v1@100"]
