import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import datumrl
from datumrl.datasets import catalogue, places, prepared
from datumrl.datasets.episodes import Episodes
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation.recorder import Recorder, evaluate, protocol_for
from datumrl.evaluation.records import read_record, score_rows
from datumrl.evaluation.run_differences import differences

DATASET = "local/inverted-pendulum-medium-v1"
GAINS = np.float32([[0.5], [8.0], [0.7], [1.0]])


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def balance(observations: np.ndarray) -> np.ndarray:
    return observations @ GAINS


def fall(observations: np.ndarray) -> np.ndarray:
    return np.zeros((len(observations), 1))


def recorder(folder: Path | None = None, **changes: object) -> Recorder:
    fields = {"algorithm": "mine", "dataset_id": DATASET, "seed": 3, "steps": 100, "episodes": 2}
    return Recorder(**{"configuration": {"lr": 0.1}, "folder": folder, **fields, **changes})


def test_evaluate_takes_any_policy_to_a_record() -> None:
    record = datumrl.evaluate(balance, DATASET, seed=1, episodes=3)
    assert (record.status, record.algorithm, record.seed) == ("complete", "unnamed", 1)
    assert record.evaluations[0].returns == (1000.0,) * 3
    assert record.protocol.environment == "InvertedPendulum-v4"
    assert set(record.protocol.engine) == {"gymnasium", "mujoco"}
    assert score_rows(record)[0].score == pytest.approx(100.0)
    assert record.dataset_sha256 is None


def test_the_same_policy_gets_the_same_returns() -> None:
    one, same = (evaluate(fall, DATASET, seed=2, episodes=4) for _ in range(2))
    assert one == same
    assert one.evaluations != evaluate(fall, DATASET, seed=3, episodes=4).evaluations
    more = evaluate(fall, DATASET, seed=2, episodes=6)
    assert more.evaluations[0].returns[:4] == one.evaluations[0].returns
    assert more.protocol.digest != one.protocol.digest


def test_a_torch_module_is_a_policy() -> None:
    torch = pytest.importorskip("torch")
    network = torch.nn.Linear(4, 1, bias=False, dtype=torch.float64)
    network.weight.data = torch.as_tensor(GAINS.T, dtype=torch.float64)
    record = evaluate(network, DATASET, episodes=2)
    assert record.evaluations[0].returns == (1000.0, 1000.0)
    assert "torch" in record.software


def test_the_record_is_on_disk_after_every_point(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "seed-003.json"
    run = recorder(tmp_path / "runs")
    run.evaluate(fall, 50)
    assert read_record(path).status == "running"
    assert read_record(path) == run.record
    run.evaluate(balance, 100)
    finished = run.finish()
    assert read_record(path) == finished
    assert finished.status == "complete"
    assert [point.step for point in finished.evaluations] == [50, 100]
    assert finished.evaluations[1].returns == (1000.0, 1000.0)
    assert [entry.name for entry in path.parent.iterdir()] == ["seed-003.json"]


def test_foreign_numbers_are_logged_as_they_are() -> None:
    with recorder(engine={"gym": "0.23.1"}) as run:
        run.log(100, np.float32([1.5, 2.5]), np.array([2, 3]))
    record = run.record
    assert record.status == "complete"
    assert record.evaluations[0].returns == (1.5, 2.5)
    assert record.evaluations[0].lengths == (2, 3)
    assert record.protocol.engine == {"gym": "0.23.1"}


def test_an_exception_records_the_run_as_failed_and_goes_on(tmp_path: Path) -> None:
    def train() -> None:
        with recorder(tmp_path) as run:
            run.log(10, [1.0, 2.0], [1, 2])
            run.evaluate(lambda rows: np.full((len(rows), 1), np.nan), 20)

    with pytest.raises(DatumrlError, match="not finite"):
        train()
    record = read_record(tmp_path / "seed-003.json")
    assert record.status == "failed"
    assert record.failure is not None
    assert record.failure.startswith("DatumrlError: policy 0 (seed 3), episode 0")
    assert len(record.evaluations) == 1


def test_an_interruption_is_no_failure(tmp_path: Path) -> None:
    def train() -> None:
        with recorder(tmp_path) as run:
            run.log(10, [1.0, 2.0], [1, 2])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert read_record(tmp_path / "seed-003.json").status == "running"
    recorder(tmp_path).log(10, [1.0, 2.0], [1, 2])  # an unfinished record may be replaced


def test_a_finished_run_is_never_replaced(tmp_path: Path) -> None:
    run = recorder(tmp_path)
    run.fail("the disk of the other machine died")
    with pytest.raises(DatumrlError, match=r"seed-003\.json already holds a failed run"):
        recorder(tmp_path)
    for late in (run.finish, lambda: run.log(1, [0.0, 0.0], [1, 1]), lambda: run.fail("again")):
        with pytest.raises(DatumrlError, match="already failed"):
            late()


def test_a_script_over_seeds_that_was_killed_is_simply_run_again(tmp_path: Path) -> None:
    trained = []

    def script(killed_in: int | None = None) -> None:
        for seed in range(3):
            settings = {"lr": 0.1, "layers": [4, 4]}
            with recorder(tmp_path, seed=seed, configuration=settings, keep_finished=True) as run:
                if run.finished:
                    continue
                trained.append(seed)
                run.log(50, [1.0, 2.0], [1, 2])
                if seed == killed_in:
                    raise KeyboardInterrupt
                run.log(100, [1.0, 2.0], [1, 2])

    with pytest.raises(KeyboardInterrupt):
        script(killed_in=1)
    before = (tmp_path / "seed-000.json").read_bytes()
    script()
    assert trained == [0, 1, 1, 2]
    assert (tmp_path / "seed-000.json").read_bytes() == before
    for seed in range(3):
        record = read_record(tmp_path / f"seed-{seed:03d}.json")
        assert record.status == "complete"
        assert [point.step for point in record.evaluations] == [50, 100]
    script()
    assert trained == [0, 1, 1, 2]


def test_a_failed_run_that_is_kept_is_finished_and_takes_nothing(tmp_path: Path) -> None:
    failed = recorder(tmp_path).fail("diverged")
    with recorder(tmp_path, keep_finished=True) as run:
        assert run.finished
        assert run.record == failed
        with pytest.raises(DatumrlError, match="already failed"):
            run.log(10, [1.0, 2.0], [1, 2])
    assert read_record(tmp_path / "seed-003.json") == failed


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"configuration": {"lr": 0.2}}, "configuration.lr is 0.1 there and 0.2 here"),
        ({"configuration": {}}, "configuration.lr is 0.1 there and null here"),
        ({"algorithm": "other"}, 'algorithm is "mine" there and "other" here'),
        ({"steps": 200}, "budget.steps is 100 there and 200 here"),
        ({"episodes": 3}, "protocol.episodes is 2 there and 3 here"),
        ({"engine": {"gym": "0.1"}}, "protocol.engine is "),
        ({"dataset_sha256": "0" * 64}, "dataset_sha256 is "),
    ],
)
def test_a_finished_run_of_another_kind_is_refused_all_the_same(
    changes: dict, told: str, tmp_path: Path
) -> None:
    with recorder(tmp_path, dataset_sha256="a" * 64) as run:
        run.log(100, [1.0, 2.0], [1, 2])
    same = {"dataset_sha256": "a" * 64, "keep_finished": True}
    assert recorder(tmp_path, **same).finished
    assert recorder(tmp_path, keep_finished=True).finished  # where the data is not known
    with pytest.raises(DatumrlError, match="complete run of another kind") as refused:
        recorder(tmp_path, **{**same, **changes})
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("step", "returns", "lengths", "message"),
    [
        (20, [1.0], [1], "1 episodes, but the protocol says 2"),
        (20, [1.0, 2.0], [1], "2 returns but 1 lengths"),
        (10, [1.0, 2.0], [1, 1], "steps must increase"),
        (20, [1.0, np.nan], [1, 1], "finite"),
        (20, [1.0, 2.0], [1, 1001], "longer than the time limit"),
        (20, [1.0, 2.0], [1.5, 1], "lengths"),
        (20, ["one", "two"], [1, 1], "step 20"),
        (-1, [1.0, 2.0], [1, 1], "step -1"),
    ],
)
def test_impossible_points_are_refused_and_leave_the_record_as_it_was(
    step: int, returns: list, lengths: list, message: str
) -> None:
    run = recorder()
    run.log(10, [1.0, 2.0], [1, 2])
    before = run.record
    with pytest.raises(DatumrlError, match=message):
        run.log(step, returns, lengths)
    assert run.record == before


def test_a_run_whose_last_policy_was_not_evaluated_is_not_complete(tmp_path: Path) -> None:
    with pytest.raises(DatumrlError, match="at its last step, 100, but it has no evaluation"):
        recorder().finish()
    told = r"step, 100, but the last one is at step 60; .* at step 100, give the Recorder steps=60"
    run = recorder(tmp_path)

    def train() -> None:
        with run:
            for step in (30, 60):
                run.log(step, [1.0, 2.0], [1, 2])

    with pytest.raises(DatumrlError, match=told):
        train()
    assert not run.finished
    assert read_record(tmp_path / "seed-003.json").status == "running"
    run.log(100, [1.0, 2.0], [1, 2])
    assert run.finish().status == read_record(tmp_path / "seed-003.json").status == "complete"


def test_a_record_of_another_tool_that_ends_before_its_last_step_is_read(tmp_path: Path) -> None:
    run = recorder(tmp_path)
    run.log(60, [1.0, 2.0], [1, 2])
    early = run.record.model_copy(update={"status": "complete"})
    early.write(tmp_path / "seed-003.json")
    assert read_record(tmp_path / "seed-003.json") == early
    assert recorder(tmp_path, keep_finished=True).record == early


def test_a_step_beyond_the_budget_is_refused_before_anything_is_rolled_out() -> None:
    run = recorder()
    with pytest.raises(DatumrlError, match="step 101 is beyond the 100 steps of the run; give"):
        run.log(101, [1.0, 2.0], [1, 2])
    with pytest.raises(DatumrlError, match="step 101 is beyond"):
        run.evaluate(lambda _: pytest.fail("rolled out"), np.int64(101))
    assert run.record.evaluations == ()


def test_numbers_of_numpy_are_recorded_as_pythons() -> None:
    settings = {
        "lr": np.float32(0.25),
        "dims": (np.int64(8), 4),
        "scale": np.array([1.5, 2.0]),
        "net": {"bias": np.bool_(True)},
        "file": Path("a") / "b",
    }
    run = recorder(configuration=settings, seed=np.int64(3), steps=np.int32(10))
    run.log(np.int64(10), [1.0, 2.0], [1, 2])
    assert json.loads(run.finish().model_dump_json())["configuration"] == {
        "lr": 0.25,
        "dims": [8, 4],
        "scale": [1.5, 2.0],
        "net": {"bias": True},
        "file": "a/b",
    }


def test_what_is_invalid_is_told_in_our_words() -> None:
    def told(function: Callable[[], object]) -> str:
        with pytest.raises(DatumrlError) as refused:
            function()
        return str(refused.value)

    assert told(lambda: recorder().log(1, [1.0], [1])) == (
        f"mine on {DATASET}, seed 3: step 1: 1 episodes, but the protocol says 2; give every "
        "episode, or another number of episodes="
    )
    assert told(lambda: recorder(episodes=-1)) == (
        f"{DATASET}: episodes: must be greater than or equal to 0 (got -1)"
    )
    assert "configuration.net: must be a number, text, true, false, None, or a list or" in told(
        lambda: recorder(configuration={"net": object()})
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset_id": "d4rl/hoper-medium-v2"}, "d4rl/hopper-medium-v2"),
        ({"seed": -1}, "seed"),
        ({"seed": "a", "folder": "runs"}, "seed: must be a valid integer"),
        ({"dataset_id": 3}, "3: a dataset is named by its id"),
        ({"configuration": {"net": object()}}, "configuration"),
        ({"episodes": 0}, "episodes"),
        ({"dataset_sha256": "abc"}, "dataset_sha256"),
    ],
)
def test_an_impossible_run_is_refused_at_the_start(changes: dict, message: str) -> None:
    with pytest.raises(DatumrlError, match=message):
        recorder(**changes)


def test_the_record_names_the_hash_of_the_data_at_hand() -> None:
    record = catalogue.find(DATASET)
    column = np.zeros((2, 4), np.float32)
    flags = np.array([False, True])
    episodes = Episodes(
        id=record.id,
        observations=column,
        actions=column[:, :1],
        rewards=column[:, 0],
        terminals=flags,
        timeouts=~flags & False,
        starts=np.array([0, 2]),
        successor_rows=np.array([1]),
        successors=column[:1],
        time_limit=1000,
        timeouts_recorded=True,
        sha256="ab" * 32,
    )
    prepared.write(places.local_folder(record), episodes, {})
    assert recorder().record.dataset_sha256 == "ab" * 32
    assert recorder(dataset_id=f"{DATASET}@20k").record.dataset_sha256 == "ab" * 32
    assert recorder(dataset_sha256="cd" * 32).record.dataset_sha256 == "cd" * 32


def test_two_contents_of_one_recipe_are_told_and_an_unknown_one_is_none_of_them() -> None:
    record = recorder(dataset_sha256="a" * 64).record
    one, other = (
        record.model_copy(update={"dataset_content_sha256": content * 64}) for content in "12"
    )
    told = f'dataset_content_sha256 is "{"1" * 64}" there and "{"2" * 64}" here'
    assert differences(one, other) == [told]
    for found, wanted in ((one, one), (one, record), (record, other), (record, record)):
        assert differences(found, wanted) == []


def test_the_protocol_follows_the_catalogue() -> None:
    protocol = protocol_for(catalogue.find("d4rl/ant-medium-v2"), 10)
    assert protocol.environment == "datumrl/AntZeroContact-v1"
    assert set(protocol.engine) == {"gymnasium", "mujoco"}
    assert (protocol.time_limit, protocol.episodes, protocol.checkpoint) == (1000, 10, "last")
    assert json.loads(protocol.model_dump_json())["dataset"] == "d4rl/ant-medium-v2"
