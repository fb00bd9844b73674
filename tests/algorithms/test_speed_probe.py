"""What a job takes, timed beforehand: for every method, for datasets that are not here."""

import pytest

from datumrl.algorithms import packed_rows, registry, speed_probe, training
from datumrl.datasets import catalogue
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.loading import load

DATASET = "local/inverted-pendulum-mixed-v1@2k"  # of the fixture `home`


def planned(algorithm="bc", dataset="local/inverted-pendulum-medium-v1@50k", **given):
    given = {"settings": {"batch_size": 16}, "steps": 1000, "evaluate_every": 300, **given}
    return training.plan(algorithm, dataset, (0, 1), device="cpu", episodes=2, **given)


@pytest.mark.parametrize("algorithm", registry.ALGORITHMS)
def test_every_method_is_timed_without_its_dataset(algorithm, tmp_path, monkeypatch):
    monkeypatch.setenv("DATUMRL_HOME", str(tmp_path))
    first = {"cql": {"bc_steps": 0}, "dt": {"warmup_steps": 0}}.get(algorithm, {})
    job = planned(algorithm, settings={"batch_size": 16, **first})
    speed = speed_probe.measure(job, threads=1, seconds=0.01)
    assert 0 < speed.update < 5
    assert speed.evaluation > 0
    # Four evaluations: after 300, 600, 900 and 1,000 steps.
    assert speed.seconds(job) == pytest.approx(1000 * speed.update + 4 * speed.evaluation)
    assert not list(tmp_path.iterdir())


def test_large_batches_are_scaled_from_smaller_ones(monkeypatch):
    seen = []
    method = registry.find("bc")
    update = method.update

    def noted(stack, batch, noise, step):
        seen.append(batch.actions.shape[1])
        update(stack, batch, noise, step)

    monkeypatch.setattr(method, "update", noted)
    speed_probe.measure(planned(settings={"batch_size": 4096}), 1, 0.01)
    assert set(seen) == {256}


def test_the_data_takes_what_it_takes(home):
    episodes = load(DATASET)  # whole episodes, so a few rows more than 2,000
    expected = packed_rows.bytes_of(episodes)
    assert speed_probe.data_bytes(catalogue.find(DATASET)) == pytest.approx(expected, rel=0.1)


def test_a_dataset_of_unknown_sizes_has_no_estimate(monkeypatch):
    job = planned()
    record = catalogue.find("d4rl/kitchen-complete-v0")
    unknown = type(record)(**{**vars(record), "observation_dim": 0})
    monkeypatch.setattr(speed_probe.catalogue, "find", lambda name: unknown)
    with pytest.raises(DatumrlError, match="does not tell the sizes"):
        speed_probe.measure(job)
