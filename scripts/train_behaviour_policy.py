"""Train one behaviour policy of the local locomotion suite online, keeping evenly spaced snapshots.

Runs in an environment of its own (``make behaviour-policies``; constraints-policies.txt): it needs
SBX (the JAX half of Stable-Baselines3), which the suite itself never imports.  TQC (Kuznetsov et
al. 2020) with one gradient step per environment step; dropped quantiles per environment are those
of the paper.  A killed run resumes from its last checkpoint:

    python scripts/train_behaviour_policy.py Hopper-v4 --out runs/policies/hopper

The output folder holds ``snapshot_XXXXXX.safetensors`` (actor weights, float32), ``log.csv`` (mean
and standard deviation of deterministic evaluation returns) and ``run.json`` (versions, settings).
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import json
import os
import platform
import time
import warnings
from pathlib import Path

os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)
os.environ.setdefault("OMP_NUM_THREADS", "1")

import gymnasium
import numpy as np
from safetensors.numpy import save_file
from sbx import TQC
from stable_baselines3.common.callbacks import BaseCallback

# Quantiles dropped per critic in the TQC paper's experiments (arXiv:2005.04269).
DROPPED_QUANTILES = {"Hopper-v4": 5, "HalfCheetah-v4": 0, "Walker2d-v4": 2}
HIDDEN = [256, 256]


def actor_weights(model: TQC) -> dict[str, np.ndarray]:
    """Return the actor's layers as arrays (out, in), named as the numpy policy reads them."""
    dense = model.policy.actor_state.params["params"]
    if "params" in dense:
        dense = dense["params"]
    names = sorted(dense, key=lambda name: int(name.split("_")[1]))
    roles = [f"hidden.{i}" for i in range(len(HIDDEN))] + ["mean", "log_std"]
    weights = {}
    for role, name in zip(roles, names, strict=True):
        weights[f"{role}.weight"] = np.ascontiguousarray(np.asarray(dense[name]["kernel"]).T)
        weights[f"{role}.bias"] = np.asarray(dense[name]["bias"])
    return weights


def evaluate(model: TQC, env_id: str, episodes: int, seed: int) -> np.ndarray:
    env = gymnasium.make(env_id)
    returns = []
    for episode in range(episodes):
        observation, _ = env.reset(seed=seed + episode)
        total, done = 0.0, False
        while not done:
            action, _ = model.predict(observation, deterministic=True)
            observation, reward, terminated, truncated, _ = env.step(action)
            total += float(reward)
            done = terminated or truncated
        returns.append(total)
    env.close()
    return np.asarray(returns)


class Keeper(BaseCallback):
    """Write a snapshot, a log line and, more rarely, a checkpoint to resume from."""

    def __init__(self, out: Path, env_id: str, every: int, checkpoint_every: int) -> None:
        super().__init__()
        self.out, self.env_id = out, env_id
        self.every, self.checkpoint_every = every, checkpoint_every
        self.started = time.time()

    def _on_step(self) -> bool:
        step = self.num_timesteps
        if step % self.every == 0:
            self._snapshot(step)
        if step % self.checkpoint_every == 0:
            save_checkpoint(self.model, self.out)
        return True

    def _snapshot(self, step: int) -> None:
        path = self.out / f"snapshot_{step:07d}.safetensors"
        temporary = path.with_suffix(".tmp")
        save_file(actor_weights(self.model), temporary, metadata={"step": str(step)})
        temporary.replace(path)
        returns = evaluate(self.model, self.env_id, episodes=3, seed=10_000)
        log = self.out / "log.csv"
        new = not log.exists()
        with log.open("a", newline="") as handle:
            writer = csv.writer(handle)
            if new:
                writer.writerow(["step", "return_mean", "return_std", "episodes", "seconds"])
            seconds = round(time.time() - self.started, 1)
            writer.writerow([step, returns.mean(), returns.std(), len(returns), seconds])
        print(f"{self.env_id} {step} {returns.mean():.1f} {seconds:.0f}s", flush=True)


def save_checkpoint(model: TQC, out: Path) -> None:
    """Write model, buffer, then the marker naming both, so a kill leaves the last pair whole."""
    step = model.num_timesteps
    model.save(out / f"checkpoint_{step}.zip")
    model.save_replay_buffer(out / f"buffer_{step}.pkl")
    marker = out / "checkpoint.tmp"
    marker.write_text(str(step))
    marker.replace(out / "checkpoint")
    for old in [*out.glob("checkpoint_*.zip"), *out.glob("buffer_*.pkl")]:
        if old.stem.rsplit("_", 1)[1] != str(step):
            old.unlink()


def load_or_create(args: argparse.Namespace) -> TQC:
    env = gymnasium.make(args.env_id)
    marker = args.out / "checkpoint"
    if marker.exists():
        step = marker.read_text()
        model = TQC.load(args.out / f"checkpoint_{step}.zip", env=env)
        model.load_replay_buffer(args.out / f"buffer_{step}.pkl")
        print(f"resuming {args.env_id} at step {step}", flush=True)
        return model
    return TQC(
        "MlpPolicy",
        env,
        buffer_size=args.steps,
        learning_starts=10_000,
        train_freq=8,
        gradient_steps=8,
        top_quantiles_to_drop_per_net=DROPPED_QUANTILES[args.env_id],
        policy_kwargs={"net_arch": {"pi": HIDDEN, "qf": HIDDEN}},
        seed=args.seed,
    )


def write_provenance(args: argparse.Namespace) -> None:
    packages = ["sbx-rl", "stable-baselines3", "jax", "flax", "gymnasium", "mujoco", "numpy"]
    record = {
        "command": f"python scripts/train_behaviour_policy.py {args.env_id} --steps {args.steps} "
        f"--every {args.every} --seed {args.seed}",
        "algorithm": "TQC",
        "environment": args.env_id,
        "steps": args.steps,
        "seed": args.seed,
        "dropped_quantiles": DROPPED_QUANTILES[args.env_id],
        "hidden": HIDDEN,
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "python": platform.python_version(),
        "processor": platform.processor() or platform.machine(),
    }
    (args.out / "run.json").write_text(json.dumps(record, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("env_id", choices=sorted(DROPPED_QUANTILES))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400_000)
    parser.add_argument("--every", type=int, default=5_000, help="steps between snapshots")
    parser.add_argument("--checkpoint-every", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore", message=".*is out of date.*")
    write_provenance(args)
    model = load_or_create(args)
    keeper = Keeper(args.out, args.env_id, args.every, args.checkpoint_every)
    remaining = args.steps - model.num_timesteps
    if remaining > 0:
        model.learn(remaining, callback=keeper, reset_num_timesteps=False)


if __name__ == "__main__":
    main()
