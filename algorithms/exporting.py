"""A policy as a file of its own: a numpy callable (.npz), and a torch.export program (.pt2).

Neither needs the method's code, and the first no torch.  What is exported is the policy that is
evaluated: the raw observation in, the action of the environment out, normalisation included.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from datumrl.datasets import files
from datumrl.datasets.errors import DatumrlError

if TYPE_CHECKING:
    import torch

    from datumrl.algorithms.batches import Statistics
    from datumrl.algorithms.stack import Task

FORMAT = "datumrl-policy/1"
TOLERANCE = 1e-5  # of max_action, in which numpy's actions may differ from torch's
_DAMAGED = (zipfile.BadZipFile, zlib.error)
_TRIED = 256  # random observations on which the two are compared before anything is written


class NumpyPolicy:
    """A deterministic policy: max_action tanh of a ReLU network of the normalised observation."""

    def __init__(
        self,
        layers: Sequence[tuple[np.ndarray, np.ndarray]],
        mean: np.ndarray,
        scale: np.ndarray,
        max_action: np.ndarray,
        origin: dict[str, Any],
    ) -> None:
        """Weights are (out, in) and biases (out,); ``origin`` says what was trained, on what."""
        self.layers, self.mean, self.scale = list(layers), mean, scale
        self.max_action, self.origin = max_action, origin

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """Return actions (rows, action_dim) for observations (rows, observation_dim), float32."""
        hidden = (np.asarray(observations, np.float32) - self.mean) / self.scale
        for place, (weight, bias) in enumerate(self.layers):
            hidden = hidden @ weight.T + bias
            if place < len(self.layers) - 1:
                hidden = np.maximum(hidden, 0)
        actions: np.ndarray = self.max_action * np.tanh(hidden)
        return actions

    def save(self, path: Path) -> None:
        """Write the policy as .npz: ``weight_0``, ``bias_0``, ..., and what the names say."""
        arrays: dict[str, Any] = {
            "mean": self.mean,
            "scale": self.scale,
            "max_action": self.max_action,
        }
        for place, (weight, bias) in enumerate(self.layers):
            arrays |= {f"weight_{place}": weight, f"bias_{place}": bias}
        arrays["origin"] = np.array(json.dumps({"format": FORMAT, **self.origin}))
        with files.replacing(path) as handle:
            np.savez(handle, **arrays)


def load_policy(path: Path | str) -> NumpyPolicy:
    """Return the policy in an .npz file of `export_policy`; it needs numpy only."""
    path = Path(path)
    try:
        if path.exists() and not zipfile.is_zipfile(path):  # numpy would say how to unpickle it
            raise ValueError("not an archive of arrays")
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
        if (origin := json.loads(str(arrays["origin"]))).pop("format") != FORMAT:
            raise ValueError("of another format")
        count = sum(name.startswith("weight_") for name in arrays)
        layers = [(arrays[f"weight_{place}"], arrays[f"bias_{place}"]) for place in range(count)]
        return NumpyPolicy(layers, arrays["mean"], arrays["scale"], arrays["max_action"], origin)
    except (OSError, EOFError, KeyError, ValueError, AttributeError, *_DAMAGED) as problem:
        raise DatumrlError(
            f"{path} is no exported policy ({problem}); give a .npz file of "
            "`datumrl evaluate RUN --export FOLDER`"
        ) from None


def export_policy(
    run_folder: Path | str, seed: int, folder: Path | str | None = None
) -> tuple[Path, Path]:
    """Write a run's policy of one seed as .npz and as .pt2; return the two paths.

    ``run_folder`` may also be above runs of which one holds the seed.  ``folder`` is by default
    the run's own.  Raises DatumrlError for a seed that is not in the run or has failed, or is in
    several, and for a policy that is more than a network of the observation.
    """
    from datumrl.algorithms import registry

    registry.require_torch("a run")
    run = _holder(Path(run_folder), seed)
    where = Path(folder) if folder is not None else run
    return _checked(run, _loaded(run), seed).write(where)


def _holder(folder: Path, seed: int) -> Path:
    """Return the run in a folder or below it that holds a seed; if it is the only run, that."""
    from datumrl.algorithms import checkpoints

    runs = checkpoints.require_runs(folder)
    if len(runs) == 1:
        return runs[0]
    seeds = {each: checkpoints.seeds_of(each) for each in runs}
    holders = [each for each in runs if seed in seeds[each]]
    if len(holders) > 1:
        shown = ", ".join(map(str, holders))
        raise DatumrlError(f"seed {seed} is in several runs below {folder}: {shown}; name one")
    if not holders:
        known = ", ".join(map(str, sorted({each for own in seeds.values() for each in own})))
        raise DatumrlError(f"seed {seed} is in no run below {folder}; their seeds are {known}")
    return holders[0]


@dataclass(frozen=True)
class RunExport:
    """What was exported of a run, and what was not."""

    folder: Path  # of the run
    paths: list[Path] = field(default_factory=list)  # of the files that were written
    step: int = 0  # of its policies
    steps: int = 0  # of the finished run
    failures: Mapping[int, str] = field(default_factory=dict)  # seed -> why it has no policy
    problem: str = ""  # why nothing was exported

    @property
    def unfinished(self) -> bool:
        """Return whether what was written are policies of an unfinished run."""
        return bool(self.paths) and self.step < self.steps


def export_runs(run_folder: Path | str, folder: Path | str | None = None) -> list[RunExport]:
    """Export every policy that has not failed, of a run or of all runs below; return what was done.

    Policies of one method, dataset and settings go into ``folder`` itself, whatever runs their
    seeds were trained in; others into subfolders, named as their runs are below ``run_folder``.
    Without ``folder`` each goes into its run's own.  Nothing of a run is written if one of its
    policies cannot be exported, or if all its seeds have failed; that is told of this run, and
    does not stop the others.  Raises DatumrlError where there is no run.
    """
    from datumrl.algorithms import registry

    registry.require_torch("a run")
    from datumrl.algorithms import checkpoints

    identities: dict[Path, dict[str, Any]] = {}
    unread: list[RunExport] = []
    for run in checkpoints.require_runs(Path(run_folder)):
        try:
            identities[run] = _loaded(run)["identity"]
        except DatumrlError as problem:
            unread.append(RunExport(run, problem=str(problem)))
    places = _places(identities, Path(run_folder), Path(folder) if folder is not None else None)
    exported = [_exported(run, where) for run, where in places.items()]
    return sorted(exported + unread, key=lambda each: each.folder)


def _exported(run: Path, where: Path) -> RunExport:
    """Write a run's policies once all of them are found to be what can be exported."""
    saved = _loaded(run)
    identity, failures = saved["identity"], saved["failures"]
    steps = identity["configuration"]["steps"]
    done = RunExport(run, [], saved["step"], steps, failures)
    living = [seed for seed in identity["seeds"] if seed not in failures]
    try:
        _require_no_memory(run, identity)
        if not living:
            raise DatumrlError(
                f"{run}: all its seeds have failed, so there is no policy to export; train it "
                "again with --restart, or in other settings"
            )
        for each in [_checked(run, saved, seed) for seed in living]:
            done.paths.extend(each.write(where))
    except DatumrlError as problem:
        return replace(done, problem=str(problem))
    return done


def _places(
    identities: Mapping[Path, Mapping[str, Any]], root: Path, folder: Path | None
) -> dict[Path, Path]:
    """Return where each run's policies go, so that none takes another's place."""
    if folder is None:
        return {run: run for run in identities}
    from datumrl.algorithms import run_settings

    seeds = [seed for identity in identities.values() for seed in identity["seeds"]]
    alike = run_settings.alike(identities.values()) and len(set(seeds)) == len(seeds)
    return {run: folder if alike else folder / run.relative_to(root) for run in identities}


def _loaded(run: Path) -> dict[str, Any]:
    import torch

    from datumrl.algorithms import checkpoints

    return checkpoints.load(run / checkpoints.FILE, torch.device("cpu"))


@dataclass(frozen=True)
class _Checked:
    """A seed's policy in both forms, which have been found to act alike."""

    seed: int
    policy: NumpyPolicy
    program: torch.export.ExportedProgram

    def write(self, folder: Path) -> tuple[Path, Path]:
        import torch

        with files.storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        paths = folder / f"policy-{self.seed:03d}.npz", folder / f"policy-{self.seed:03d}.pt2"
        self.policy.save(paths[0])
        with files.replacing(paths[1]) as handle:
            torch.export.save(self.program, handle)
        return paths


def _require_no_memory(run_folder: Path, identity: Mapping[str, Any]) -> None:
    from datumrl.algorithms import registry

    name = identity["algorithm"]
    if registry.remembers(registry.resolve(name, identity["configuration"])):
        raise DatumrlError(
            f"{run_folder}: the policy of {name} acts on what it remembers, not on one observation "
            "alone, so it cannot be exported; roll it out with `datumrl evaluate`"
        )


def _checked(run_folder: Path, saved: Mapping[str, Any], seed: int) -> _Checked:
    """Return the policy of a seed; DatumrlError if it cannot be exported."""
    from datumrl.algorithms import registry
    from datumrl.algorithms.batches import Statistics
    from datumrl.algorithms.stack import Task

    identity = saved["identity"]
    name, seeds = identity["algorithm"], identity["seeds"]
    if seed not in seeds:
        shown = ", ".join(map(str, seeds))
        raise DatumrlError(f"seed {seed} is not in {run_folder}; its seeds are {shown}")
    if seed in saved["failures"]:
        raise DatumrlError(f"seed {seed} of {run_folder} failed: {saved['failures'][seed]}")
    _require_no_memory(run_folder, identity)
    config = registry.resolve(name, identity["configuration"])
    task, statistics = Task(**saved["task"]), Statistics(**saved["statistics"])
    place = seeds.index(seed)
    networks = {
        network: [tensor[place] for tensor in layers]
        for network, layers in saved["stack"]["networks"].items()
        if "target" not in network and "critic" not in network
    }
    if not all(bool(each.isfinite().all()) for layers in networks.values() for each in layers):
        raise DatumrlError(
            f"{run_folder}: the policy of seed {seed} has weights that are not finite, so it "
            "cannot be exported; train it again with --restart, or in other settings"
        )
    module = _module(registry.find(name), config, task, networks, statistics)
    origin = {
        "algorithm": name,
        "dataset": identity["dataset"],
        "seed": seed,
        "step": saved["step"],
    }
    policy = _in_numpy(networks["actor"], statistics, task, origin)
    tried = _require_alike(run_folder, name, policy, module, statistics, task)
    return _Checked(seed, policy, _program(module, tried))


def _require_alike(
    run_folder: Path,
    name: str,
    policy: NumpyPolicy,
    module: torch.nn.Module,
    statistics: Statistics,
    task: Task,
) -> torch.Tensor:
    """Return observations on which the two forms of a policy act alike; DatumrlError if not."""
    import torch

    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((_TRIED, task.observation_dim), generator=generator)
    tried = statistics.mean + 2 * statistics.scale * noise
    with torch.no_grad():
        difference = torch.as_tensor(policy(tried.numpy())) - module(tried)
    if not bool((difference.abs() <= TOLERANCE * task.max_action).all()):
        raise DatumrlError(
            f"{run_folder}: the policy of {name} is not max_action tanh of a ReLU network, which "
            "is what can be exported"
        )
    return tried


def _module(
    method: Any, config: Any, task: Task, networks: dict[str, Any], statistics: Statistics
) -> torch.nn.Module:
    import torch

    class Policy(torch.nn.Module):
        """Raw observations (rows, observation_dim) to actions (rows, action_dim)."""

        def __init__(self) -> None:
            super().__init__()
            for name, layers in networks.items():
                for place, tensor in enumerate(layers):
                    self.register_buffer(f"{name}_{place}", tensor.clone())

        def forward(self, observations: torch.Tensor) -> torch.Tensor:
            """Return the method's own actions."""
            own = {
                name: [self.get_buffer(f"{name}_{place}") for place in range(len(layers))]
                for name, layers in networks.items()
            }
            actions: torch.Tensor = method.act(
                config, task, own, statistics.normalized(observations)
            )
            return actions

    return Policy().eval()


def _in_numpy(actor: Any, statistics: Any, task: Any, origin: dict[str, Any]) -> NumpyPolicy:
    """Return the policy; of what the last layer gives, the first values are the actions."""
    pairs = zip(actor[::2], actor[1::2], strict=False)  # less what a Gaussian's deviations add
    layers = [(weight.numpy(), bias.numpy().reshape(-1)) for weight, bias in pairs]
    weight, bias = layers[-1]
    layers[-1] = weight[: task.action_dim], bias[: task.action_dim]
    mean, scale = statistics.mean.numpy(), statistics.scale.numpy()
    return NumpyPolicy(layers, mean, scale, task.max_action.numpy(), origin)


def _program(module: torch.nn.Module, example: torch.Tensor) -> torch.export.ExportedProgram:
    import torch

    rows = torch.export.Dim("rows", min=1)
    return torch.export.export(module, (example,), dynamic_shapes={"observations": {0: rows}})
