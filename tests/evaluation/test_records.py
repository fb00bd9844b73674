import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from datumrl import leaderboard
from datumrl.datasets import catalogue
from datumrl.datasets.errors import DatumrlError
from datumrl.evaluation import records


def protocol(**changes: object) -> records.Protocol:
    fields = {
        "dataset": "d4rl/hopper-medium-v2",
        "environment": "Hopper-v4",
        "engine": {"gymnasium": "1.4.0", "mujoco": "3.3.7"},
        "time_limit": 1000,
        "episodes": 2,
    }
    return records.Protocol(**(fields | changes))


def record(**changes: object) -> records.RunRecord:
    fields = {
        "algorithm": "td3_bc",
        "configuration": {"alpha": 2.5},
        "dataset": "d4rl/hopper-medium-v2",
        "dataset_sha256": None,
        "protocol": protocol(),
        "budget": records.Budget(steps=2000),
        "seed": 3,
        "status": "complete",
        "evaluations": (
            records.Evaluation(step=1000, returns=(0.1, 0.2), lengths=(5, 6)),
            records.Evaluation(step=2000, returns=(1617.01, 1617.01), lengths=(1000, 1000)),
        ),
        "software": {"datumrl": "0.1.0"},
        "hardware": "a processor",
    }
    return records.RunRecord(**(fields | changes))


def test_a_record_survives_the_disk_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "seed-003.json"
    record().write(path)
    assert records.read_record(path) == record()
    assert [child.name for child in tmp_path.iterdir()] == ["seed-003.json"]


def test_the_hash_of_the_content_is_there_where_it_is_known(tmp_path: Path) -> None:
    """Records made before it was recorded read, and are written, as they were."""
    known = record(dataset_sha256="a" * 64, dataset_content_sha256="b" * 64)
    known.write(tmp_path / "known.json")
    assert records.read_record(tmp_path / "known.json") == known
    unknown = record(dataset_sha256="a" * 64).model_dump(mode="json")
    assert "dataset_content_sha256" not in unknown
    assert records.parse_record(unknown, "old").dataset_content_sha256 is None


def test_returns_keep_every_digit(tmp_path: Path) -> None:
    returns = (math.pi * 1e3, -1 / 3)
    point = records.Evaluation(step=1, returns=returns, lengths=(1, 1))
    record(evaluations=(point,)).write(tmp_path / "r.json")
    assert records.read_record(tmp_path / "r.json").evaluations[0].returns == returns


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": 3.0}, "mean: Extra inputs"),
        ({"seed": -1}, "seed: must be greater than or equal to 0"),
        ({"seed": "3"}, "seed: must be a valid integer"),
        ({"dataset_sha256": "abc"}, "dataset_sha256"),
        ({"dataset_content_sha256": "abc"}, "dataset_content_sha256"),
        ({"status": "done"}, "status"),
        ({"status": "failed"}, "failed runs name their failure"),
        ({"dataset": "d4rl/ant-medium-v2"}, "protocol names dataset"),
        ({"evaluations": []}, "at least one evaluation"),
        ({"evaluations": [{"step": 1, "returns": [1.0], "lengths": [1]}]}, "protocol says 2"),
        ({"evaluations": [{"step": 1, "returns": [1, 2], "lengths": [1]}]}, "2 returns but 1"),
        ({"evaluations": [{"step": 1, "returns": [1, 2], "lengths": [1, 1001]}]}, "time limit"),
        (
            {
                "evaluations": [
                    {"step": 2, "returns": [1, 2], "lengths": [1, 1]},
                    {"step": 2, "returns": [1, 2], "lengths": [1, 1]},
                ]
            },
            "must increase",
        ),
    ],
)
def test_an_invalid_record_is_refused_by_name(change: dict, message: str) -> None:
    content = record().model_dump(mode="json") | change
    with pytest.raises(DatumrlError, match=message):
        records.parse_record(content, where="record")


@pytest.mark.parametrize("text", ["", "{", "NaN", '{"seed": Infinity}', "[" * 100_000])
def test_damaged_json_is_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "seed-000.json"
    path.write_text(text)
    with pytest.raises(DatumrlError, match=r"seed-000\.json"):
        records.read_record(path)


def test_a_return_that_is_not_finite_is_refused() -> None:
    text = json.dumps(record().model_dump(mode="json")).replace("0.1, 0.2", "1e999, 0.2")
    with pytest.raises(DatumrlError, match=r"returns\.0.*finite"):
        records.parse_record(json.loads(text), where="record")


def test_the_digest_of_a_protocol_tells_any_difference() -> None:
    assert protocol().digest == protocol().digest
    changes = [{"episodes": 3}, {"engine": {"mujoco": "3.3.6"}}, {"checkpoint": "best"}]
    digests = {protocol(**change).digest for change in [{}, *changes]}
    assert len(digests) == 4


def test_rows_hold_the_mean_return_and_the_normalised_score() -> None:
    first, last = records.score_rows(record())
    assert first.mean_return == pytest.approx(0.15)
    reference = (-20.272305, 3234.3)
    expected = 100 * (1617.01 - reference[0]) / (reference[1] - reference[0])
    assert last.score == pytest.approx(expected, rel=1e-12)
    assert (last.step, last.seed, last.episodes) == (2000, 3, 2)


def test_no_score_where_the_environment_is_not_the_one_of_the_reference() -> None:
    other = record(protocol=protocol(environment="Hopper-v5"))
    assert [row.score for row in records.score_rows(other)] == [None, None]
    assert records.score_rows(other)[0].mean_return is not None


@pytest.mark.parametrize(
    ("dataset", "environment", "settings"),
    [
        ("d4rl/hopper-medium-v2", "Hopper-v4", {}),
        ("d4rl/hopper-medium-v2", "Hopper-v2", {}),
        ("d4rl/pen-human-v1", "pen-v0", {}),
        (
            "neorl/Hopper-v3-low-100",
            "Hopper-v4",
            {"exclude_current_positions_from_observation": False},
        ),
    ],
)
def test_another_time_limit_or_setting_is_no_score_in_any_environment_of_the_scores(
    dataset: str, environment: str, settings: dict
) -> None:
    known = catalogue.find(dataset)

    def reason(**changes: object) -> str:
        fields = {"time_limit": known.time_limit, "environment_kwargs": settings, **changes}
        return records.unscored(known, protocol(dataset=dataset, environment=environment, **fields))

    if known.reference is None:  # as NeoRL's sets would be with a pair of their own
        known = replace(known, reference=catalogue.Reference(0.0, 100.0, "this test"))
    assert reason() == ""
    limit = known.time_limit
    assert f"with the time limit 50, while scores of {dataset} are defined with {limit}" in reason(
        time_limit=50
    )
    other = {**settings, "terminate_when_unhealthy": False}
    told = reason(environment_kwargs=other)
    assert f"the settings {other}, while scores of {dataset} are defined with {settings}" in told
    changed = record(
        dataset=dataset,
        protocol=protocol(
            dataset=dataset, environment=environment, time_limit=limit, environment_kwargs=other
        ),
        evaluations=(records.Evaluation(step=1, returns=(1.0, 2.0), lengths=(5, 6)),),
    )
    assert [row.score for row in records.score_rows(changed)] == [None]


def test_every_reference_result_is_scored() -> None:
    found = records.find_records([Path(leaderboard.__file__).parent / "baselines"])
    assert found
    for each in found:
        assert records.unscored(catalogue.find(each.dataset), each.protocol) == ""


def test_the_reason_has_brackets_only_around_a_note() -> None:
    hopper = catalogue.find("d4rl/hopper-medium-v2")
    assert hopper.environment is not None
    told = "Hopper-v4 is only the nearest to the environment of d4rl/hopper-medium-v2's scores"
    for note, expected in (("", told), ("its reward differs", f"{told} (its reward differs)")):
        near = replace(hopper.environment, equivalent=False, note=note)
        assert records.unscored(replace(hopper, environment=near), protocol()) == expected


def test_a_failed_run_stays_a_row() -> None:
    failed = record(status="failed", failure="loss is not finite at step 700")
    (row,) = records.score_rows(failed)
    assert row.failed
    assert row.score is None


def test_finding_records(tmp_path: Path) -> None:
    record().write(tmp_path / "a" / "seed-003.json")
    record(seed=4).write(tmp_path / "b" / "seed-004.json")
    (tmp_path / "b" / "up").symlink_to(tmp_path)
    assert [found.seed for found in records.find_records([tmp_path])] == [3, 4]
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "one").symlink_to(tmp_path / "a")
    assert [found.seed for found in records.find_records([tmp_path / "links"])] == [3]
    with pytest.raises(DatumrlError, match="none does not exist"):
        records.find_records([tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatumrlError, match="no run records"):
        records.find_records([tmp_path / "empty"])
