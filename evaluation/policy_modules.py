"""Torch modules as policies, without importing torch: numpy batches in, eval mode while they act.

In training mode Dropout would act at random, and BatchNorm would take the mean and deviation of the
rollout's rows and change the running ones that the agent keeps.
"""

from __future__ import annotations

import contextlib
import inspect
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

    A module has ``modules()``, the flag ``training`` and methods ``eval`` and ``train``, as torch's
    have.  Afterwards, and when the block raises, it and everything in it are in the modes they were
    in: a BatchNorm that was frozen by itself stays so.  Any other policy is left alone.

    Where ``eval()`` and ``train(mode)`` are torch's, or in their place, they are called, as they
    may switch more than the flags.  Where ``train`` or ``eval`` is something else, such as a loop,
    nobody knows what a call would do: then the flags alone are set, and set back.
    """
    module: Any = getattr(policy, "__self__", policy)
    if not _is_module(module):
        yield
        return
    modes = [(each, each.training) for each in module.modules() if _is_module(each)]
    switched = all(_has_switch(each) for each, _ in modes)
    training = module.training
    try:
        if switched:
            # What torch.export made says NotImplementedError: it acts as it was exported.
            with contextlib.suppress(NotImplementedError):
                module.eval()
        else:
            _set_flags([(each, False) for each, _ in modes])
        yield
    finally:
        if switched:
            with contextlib.suppress(NotImplementedError):
                module.train(training)
        _set_flags(modes)  # train() set all parts alike


def _is_module(policy: Any) -> bool:
    methods = (getattr(policy, name, None) for name in ("modules", "eval", "train"))
    return isinstance(getattr(policy, "training", None), bool) and all(map(callable, methods))


def _has_switch(module: Any) -> bool:
    """Return whether ``eval()`` and ``train(mode)`` have the parameters of torch's."""
    try:
        of_eval, of_train = (
            list(inspect.signature(method).parameters) for method in (module.eval, module.train)
        )
    except (TypeError, ValueError):
        return False
    return not of_eval and of_train == ["mode"]


def _set_flags(modes: list[tuple[Any, bool]]) -> None:
    for module, mode in modes:
        if module.training != mode:
            with contextlib.suppress(AttributeError):  # of a module that has it as a property
                module.training = mode
