"""Torch modules as policies, without importing torch: numpy batches in, eval mode while they act.

In training mode Dropout would act at random, and BatchNorm would take the mean and deviation of the
rollout's rows and change the running ones that the agent keeps.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


def as_act(policy: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], Any]:
    """Wrap a torch module so that it takes numpy batches; anything else is a policy as it is."""
    torch: Any = sys.modules.get("torch")  # a module cannot exist where torch was never imported
    if torch is None or not isinstance(policy, torch.nn.Module):
        return policy
    parameter = next(iter(policy.parameters()), torch.empty(0))

    def act(observations: np.ndarray) -> Any:
        with torch.inference_mode():
            return policy(torch.as_tensor(observations).to(parameter.device, parameter.dtype))

    return act


@contextlib.contextmanager
def evaluating(policy: object) -> Iterator[None]:
    """Put a module, or the module that a policy is a method of, into eval mode for a block.

    A module is whatever has ``eval()``, ``train(mode)`` and the flag ``training``.  Afterwards, and
    when the block raises, it and everything in it are in the modes they were in: a BatchNorm that
    was frozen by itself stays so.  Any other policy is left alone.
    """
    module: Any = getattr(policy, "__self__", policy)
    if not _has_modes(module):
        yield
        return
    modes = [(each, each.training) for each in _parts(module) if _has_modes(each)]
    training = module.training
    try:
        # What torch.export made says NotImplementedError: it acts as it was exported.
        with contextlib.suppress(NotImplementedError):
            module.eval()
        yield
    finally:
        with contextlib.suppress(NotImplementedError):
            module.train(training)
        for each, mode in modes:
            if each.training != mode:  # train() set all parts alike
                each.training = mode


def _has_modes(module: Any) -> bool:
    flag = getattr(module, "training", None)
    methods = (getattr(module, name, None) for name in ("eval", "train"))
    return isinstance(flag, bool) and all(map(callable, methods))


def _parts(module: Any) -> list[Any]:
    parts = getattr(module, "modules", None)
    return list(parts()) if callable(parts) else [module]
