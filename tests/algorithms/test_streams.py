"""Random streams: functions of seed, name and step, and of nothing else."""

from __future__ import annotations

import pytest
import torch

from datumrl.algorithms.streams import Draw, Streams

CPU = torch.device("cpu")
NOISE = {"a": Draw((4, 2)), "b": Draw((4, 2)), "u": Draw((3,), "uniform")}


def make(seeds, rows=100, **changes):
    return Streams(seeds, rows, 8, {**NOISE, **changes}, CPU)


def test_any_order_of_steps_gives_the_same_numbers():
    steps = [1, 999, 1000, 1001, 2500, 3]
    straight, other = make((0, 1)), make((0, 1))
    expected = {step: straight.at(step) for step in sorted(steps)}
    for step in steps:
        rows, noise = other.at(step)
        assert torch.equal(rows, expected[step][0])
        for name in NOISE:
            assert torch.equal(noise[name], expected[step][1][name])


def test_a_seed_draws_the_same_in_any_company():
    rows, noise = make((5, 2, 9)).at(17)
    alone_rows, alone = make((9,)).at(17)
    assert torch.equal(rows[2], alone_rows[0])
    assert all(torch.equal(noise[name][2], alone[name][0]) for name in NOISE)


def test_streams_seeds_and_steps_are_different_numbers():
    streams = make((0, 1))
    drawn = [streams.at(step)[1][name][place] for step in (1, 2, 1001) for name in "ab"
             for place in (0, 1)]  # fmt: skip
    for i, one in enumerate(drawn):
        assert not any(torch.equal(one, other) for other in drawn[:i])


def test_distributions():
    streams = Streams((0,), 50, 1000, {"n": Draw((1000,)), "u": Draw((1000,), "uniform")}, CPU)
    draws = [streams.at(step) for step in range(50)]
    rows = torch.stack([rows for rows, _ in draws])
    counts = torch.bincount(rows.flatten(), minlength=50)
    assert len(counts) == 50
    assert ((counts - 1000).abs() < 6 * 1000**0.5).all()
    normal = torch.stack([noise["n"] for _, noise in draws])
    assert normal.mean().item() == pytest.approx(0, abs=0.03)
    assert normal.std().item() == pytest.approx(1, abs=0.02)
    uniform = torch.stack([noise["u"] for _, noise in draws])
    assert 0 <= uniform.min() < 0.001
    assert 0.999 < uniform.max() < 1
    neighbours = (normal[1:] * normal[:-1]).mean().item()
    assert neighbours == pytest.approx(0, abs=0.03)


def test_an_update_that_needs_more_than_a_block_still_gets_it():
    big = Streams((0,), 10, 2, {"big": Draw((1 << 21, 2), "uniform")}, CPU)
    assert big.at(3)[1]["big"].shape == (1, 1 << 21, 2)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5])
def test_dropout_drops_its_share_and_keeps_the_mean(rate):
    for dtype in (torch.float32, torch.float64):
        draw = {"d": Draw((301, 333), "dropout", rate)}  # not a multiple of 4 numbers
        streams = Streams((0, 1), 10, 2, draw, CPU, dtype)
        factors = torch.stack([streams.at(step)[1]["d"] for step in range(40)])
        assert factors.dtype == dtype
        assert factors.shape == (40, 2, 301, 333)
        dropped = factors == 0
        assert dropped.double().mean().item() == pytest.approx(rate, abs=6e-4)
        assert factors.mean().item() == pytest.approx(1, abs=1e-3)
        assert factors.unique().numel() == (1 if rate == 0 else 2)
        together = (dropped[:, 0] & dropped[:, 1]).double().mean().item()
        assert together == pytest.approx(rate**2, abs=1e-3)
