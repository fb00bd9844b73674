"""Updates per second of d3rlpy 2.8.1, run by `benchmarks/train_against_d3rlpy.py` in its venv.

    python benchmarks/peers/d3rlpy_rates.py METHOD DATA.npz SECONDS WIDTH,WIDTH...

Sampling and update are the two calls that d3rlpy's own `fit` makes for each step.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import d3rlpy
import numpy as np
import torch
from d3rlpy.models import VectorEncoderFactory


def created(method: str, widths: list[int]) -> Any:
    """Return an untrained learner of the paper's defaults and the widths given."""
    networks = VectorEncoderFactory(widths)
    if method == "dt":
        config: Any = d3rlpy.algos.DecisionTransformerConfig(
            batch_size=64, context_size=20, encoder_factory=VectorEncoderFactory(widths[:1])
        )
        return config.create(device=False)
    factories = {"actor_encoder_factory": networks, "critic_encoder_factory": networks}
    if method == "td3_bc":
        config = d3rlpy.algos.TD3PlusBCConfig(batch_size=256, **factories)
    elif method == "iql":
        config = d3rlpy.algos.IQLConfig(batch_size=256, value_encoder_factory=networks, **factories)
    else:
        config = d3rlpy.algos.CQLConfig(batch_size=256, **factories)
    return config.create(device=False)


def main() -> None:
    method, path, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    columns = np.load(path)
    dataset = d3rlpy.dataset.MDPDataset(**{name: columns[name] for name in columns.files})
    learner = created(method, [int(width) for width in sys.argv[4].split(",")])
    learner.build_with_dataset(dataset)

    def update() -> None:
        if method == "dt":
            batch = dataset.sample_trajectory_batch(64, 20)
        else:
            batch = dataset.sample_transition_batch(256)
        learner.update(batch)

    for _ in range(4):
        update()
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        update()
        done += 1
    print(json.dumps({"rate": done / (time.perf_counter() - began)}))


if __name__ == "__main__":
    main()
