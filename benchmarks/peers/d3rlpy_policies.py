"""One policy trained by d3rlpy 2.8.1, run by `benchmarks/returns_study.py` in its venv.

    python benchmarks/peers/d3rlpy_policies.py METHOD DATA.npz STEPS SEED POLICY.pt

Settings are the papers', which are the defaults of both: networks of 256 and 256 units, batches of
256.  IQL's rewards come scaled, and its actor's learning rate decays by a cosine over all steps.
The policy is written as TorchScript: observations in, actions out.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import d3rlpy
import numpy as np
import torch
from d3rlpy.models import VectorEncoderFactory
from d3rlpy.optimizers import AdamFactory
from d3rlpy.optimizers.lr_schedulers import CosineAnnealingLRFactory
from d3rlpy.preprocessing import StandardObservationScaler


def created(method: str, steps: int) -> Any:
    """Return an untrained learner."""
    networks = VectorEncoderFactory([256, 256])
    both = {"actor_encoder_factory": networks, "critic_encoder_factory": networks}
    if method == "td3_bc":
        scaler = StandardObservationScaler()
        config: Any = d3rlpy.algos.TD3PlusBCConfig(observation_scaler=scaler, **both)
    elif method == "iql":
        decay = AdamFactory(lr_scheduler_factory=CosineAnnealingLRFactory(T_max=steps))
        config = d3rlpy.algos.IQLConfig(
            actor_optim_factory=decay,
            value_encoder_factory=networks,
            expectile=0.7,
            weight_temp=3.0,
            max_weight=100.0,
            **both,
        )
    else:
        config = d3rlpy.algos.BCConfig(
            learning_rate=3e-4,  # our default; d3rlpy's is 1e-3
            batch_size=256,
            encoder_factory=networks,
            observation_scaler=StandardObservationScaler(),
        )
    return config.create(device=False)


def main() -> None:
    method, path, steps, seed, out = sys.argv[1:6]
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    d3rlpy.seed(int(seed))
    columns = np.load(path)
    dataset = d3rlpy.dataset.MDPDataset(**{name: columns[name] for name in columns.files})
    learner = created(method, int(steps))
    learner.fit(
        dataset,
        n_steps=int(steps),
        n_steps_per_epoch=int(steps),
        logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
        show_progress=False,
        save_interval=int(steps) + 1,
    )
    learner.save_policy(f"{out}.part.pt")
    Path(f"{out}.part.pt").replace(out)


if __name__ == "__main__":
    main()
