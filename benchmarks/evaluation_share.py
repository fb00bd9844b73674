"""How much of a training run's time its evaluation takes, at the default protocol.

    python benchmarks/evaluation_share.py [--methods td3_bc iql] [--seeds 4] [--threads 1]
                                          [--matmul-precision highest]

The protocol is 10 episodes per seed every 5,000 gradient steps.  Updates of a stack are timed on
made-up rows of the dataset's sizes; roll-outs, of all its episodes side by side, over their first
steps, environments made anew, and scaled to episodes of full length: the most that they can take,
as a policy that falls over ends sooner.  Both are timed in turns, and the median of the shares is
shown.  One thread of torch is what a process of `datumrl train` has; the rollouts step the physics
on every core.
"""

from __future__ import annotations

import argparse
import statistics

import kept_results

from datumrl.algorithms import speed_probe, training
from datumrl.evaluation.provenance import hardware

DATASETS = tuple(f"local/{name}-medium-v1" for name in ("hopper", "halfcheetah", "walker2d"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=["td3_bc", "iql", "cql"])
    parser.add_argument("--datasets", nargs="+", default=DATASETS)
    parser.add_argument("--seeds", type=int, default=4, help="in one stack")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--matmul-precision", choices=("highest", "medium"), default="highest")
    kept_results.add_option(parser, __file__)
    options = parser.parse_args()
    print(f"{hardware()}; stacks of {options.seeds}, {options.threads} threads of torch")
    print(f"{'':10}{'':28}{'updates s':>10}{'rollouts s':>11}{'share':>7}   per evaluation point")
    found = {}
    for method in options.methods:
        for dataset in options.datasets:
            job = training.plan(
                method,
                dataset,
                range(options.seeds),
                matmul_precision=options.matmul_precision,
            )
            found[f"{method} {dataset}"] = pairs = []
            for _ in range(options.turns):
                speed = speed_probe.measure(job, options.threads)
                pairs.append((speed.update * job.evaluate_every, speed.evaluation))
            updates, rollouts = (statistics.median(column) for column in zip(*pairs, strict=True))
            share = statistics.median(rollout / (update + rollout) for update, rollout in pairs)
            print(f"{method:10}{dataset:28}{updates:10.1f}{rollouts:11.1f}{share:7.1%}", flush=True)
    kept_results.keep(options, {"seconds of updates and rollouts": found})


if __name__ == "__main__":
    main()
