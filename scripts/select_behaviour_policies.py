"""Choose the behaviour policies that ship from the snapshots of one training run, and score them.

    python scripts/select_behaviour_policies.py Hopper-v4 runs/policies/hopper

*Expert* is the snapshot of the highest mean return in the second half of training.  *Medium* is the
one nearest a third of the expert's normalised score (as in D4RL) where training first gets there:
among the five snapshots around the first crossing of the running median of five, so that neither a
lucky early snapshot nor a late collapse is taken for half-learned.  *Replay* are evenly spaced
snapshots up to medium.

Snapshots are chosen on 20 episodes each, which are kept in snapshots.csv and used again if it is
there; the stated scores are measured on 100 fresh ones.  An expert below 60 normalised is called
`good`.  Weights ship as float16; the stated scores are those of the float16 weights.  Actions are
sampled, as they are when data is collected.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from datumrl.datasets import catalogue, files, scores
from datumrl.evaluation import actors, provenance
from datumrl.evaluation.rollout import rollout

REPLAY_SNAPSHOTS = 8
EXPERT_BAR = 60.0
WARM_UP = 10_000  # steps of uniform actions before the first gradient step of the training
WINDOW = 5  # snapshots
CHOOSING_SEED, STATING_SEED = 1_000, 2_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("env_id", help="for example Hopper-v4")
    parser.add_argument("run", type=Path, help="folder that the training wrote")
    parser.add_argument("--out", type=Path, default=None, help="default: datasets/policies/<name>")
    args = parser.parse_args()
    name = args.env_id.partition("-")[0].lower()
    out = args.out or Path(__file__).parents[1] / "datasets" / "policies" / name
    record = catalogue.find(f"d4rl/{name}-medium-v2")
    returns = choose_on(record, args.run, out)
    best, medium, replay = select(returns, record)
    expert = "expert" if scores.normalize(returns[best], record) >= EXPERT_BAR else "good"
    roles = {expert: best, "medium": medium}
    roles |= {f"replay-{k}": step for k, step in enumerate(replay)}
    card = {
        "environment": args.env_id,
        "training": files.read_json(args.run / "run.json"),
        "software": provenance.software_versions("mujoco", "gymnasium"),
        "policies": {},
    }
    for role, step in roles.items():
        card["policies"][role] = ship(record, args.run, out, role, step)
        print(role, json.dumps(card["policies"][role]), flush=True)
    shutil.copy(args.run / "log.csv", out / "training_log.csv")
    files.write_json(out / "card.json", card)


def choose_on(record: catalogue.DatasetRecord, run: Path, out: Path) -> dict[int, float]:
    """Return the mean return of every snapshot over 20 episodes, kept beside the policies."""
    kept = out / "snapshots.csv"
    if kept.exists():
        with kept.open(newline="") as handle:
            return {int(step): float(mean) for step, mean in list(csv.reader(handle))[1:]}
    returns = {}
    for path in sorted(run.glob("snapshot_*.safetensors")):
        actor = actors.from_weights(load_file(path), str(path))
        episodes = play(actor, record, episodes=20, seed=CHOOSING_SEED)
        returns[int(path.stem.partition("_")[2])] = float(episodes.mean())
    with files.replacing(kept, "w") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["step", "mean_return_of_20_stochastic_episodes"])
        writer.writerows(returns.items())
    return returns


def play(
    actor: actors.SquashedGaussianActor,
    record: catalogue.DatasetRecord,
    episodes: int,
    seed: int,
) -> np.ndarray:
    generator = np.random.default_rng(seed)

    def act(observations: np.ndarray) -> np.ndarray:
        noise = generator.standard_normal((len(observations), record.action_dim))
        return actor.sample(observations, noise)[0]

    assert record.environment is not None
    return rollout(act, record.environment, episodes, [seed]).returns[0]


def select(
    returns: dict[int, float], record: catalogue.DatasetRecord
) -> tuple[int, int, list[int]]:
    """Return the steps of expert and medium, and those of the replay snapshots up to medium."""
    steps = sorted(returns)
    best = max((s for s in steps if s >= steps[-1] / 2), key=lambda s: returns[s])
    score = np.array([scores.normalize(returns[s], record) for s in steps])
    third = score[steps.index(best)] / 3
    windows = np.lib.stride_tricks.sliding_window_view(score, WINDOW)
    first = int(np.flatnonzero(np.median(windows, axis=1) >= third)[0])
    medium = steps[first + int(np.abs(windows[first] - third).argmin())]
    until = [s for s in steps if WARM_UP < s <= medium]
    chosen = np.unique(np.linspace(0, len(until) - 1, REPLAY_SNAPSHOTS).round().astype(int))
    return best, medium, [until[k] for k in chosen]


def ship(
    record: catalogue.DatasetRecord, run: Path, out: Path, role: str, step: int
) -> dict[str, float | int | str]:
    """Write one policy in float16 and return its score over 100 fresh episodes."""
    weights = {
        name: array.astype(np.float16)
        for name, array in load_file(run / f"snapshot_{step:07d}.safetensors").items()
    }
    path = out / f"{role}.safetensors"
    save_file(weights, path, metadata={"environment": str(record.environment), "step": str(step)})
    episodes = play(actors.from_weights(weights, role), record, 100, STATING_SEED)
    return {
        "step": step,
        "mean_return": float(episodes.mean()),
        "std_return": float(episodes.std(ddof=1)),
        "normalised_score": float(scores.normalize(episodes.mean(), record)),
        "episodes": 100,
        "sha256": files.sha256(path),
    }


if __name__ == "__main__":
    main()
