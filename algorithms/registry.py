"""The registered methods, their configurations, and what a method's file must offer."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import math
import os
from collections.abc import Callable, Iterable, Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    NamedTuple,
    Protocol,
    get_args,
    get_origin,
    get_type_hints,
)

from datumrl.datasets.errors import DatumrlError, installed_by

if TYPE_CHECKING:
    from datumrl.datasets.catalogue import DatasetRecord

# name, which is also the module under datumrl.algorithms -> what papers call the method, the name
# that boards and reports show first
ALGORITHMS = {
    "td3_bc": ["TD3+BC"],
    "bc": ["BC"],
    "percent_bc": ["10% BC", "%BC"],
    "iql": ["IQL"],
    "dt": ["DT", "Decision Transformer"],
    "cql": ["CQL"],
}
_MODULES = {"dt": "decision_transformer"}  # where that has a longer name
# configuration fields that are no use above 1
_AT_MOST_ONE = ("discount", "tau", "expectile", "fraction")
_BELOW_ONE = "dropout"  # part of the names of shares that must leave something over
# parts of the names of fields that may be negative, and of counts that may be 0
_ANY_SIGN = ("log_", "bias", "threshold", "gap", "diff_", "target_entropy", "return_target")
_FROM_ZERO = ("warmup", "bc_steps")
# steps that come before a method's own training -> what it does in them, and what to set instead
_BEFORE = {
    "bc_steps": ("clone, and never ask its critics,", "bc_steps=0, as CORL does"),
    "warmup_steps": ("warm up its learning rate", "warmup_steps={tenth}, a tenth of them"),
}


class Method(Protocol):
    """What a method's file offers.  All of it but `data` and `update` is written for one seed.

    ``Config``                        frozen dataclass with at least ``steps`` and ``batch_size``
    ``data(config, episodes, view, device)``
                                      what batches are drawn from (`batches.Source`)
    ``noise(config, task)``           what each update draws: name -> `streams.Draw`
    ``networks(config, task, generator)``
                                      initial parameters: network name -> list of tensors
    ``optimisers(config)``            Adam's options for each network that is trained
    ``update(stack, batch, noise, step)``
                                      one gradient step of every network; steps count from 1
    ``act(config, task, networks, observations)``
                                      actions (rows, action_dim) of the evaluated policy

    A change of the code that changes results, and of no field of Config, takes a ``REVISION`` of
    the module, 2 and up: runs of different revisions are different runs.  Without one it is 1.
    A method whose Config has ``return_targets`` and ``return_scale`` acts on its last
    ``context_length`` steps and on the return it is to earn: `act` is given
    `sequence_batches.Windows`, and every target is evaluated and is an entry of its own.  One whose
    Config has ``context_length`` alone acts on so many last states, side by side as one
    observation.  Where a value depends on the dataset, ``completed(config, dataset,
    episodes=None)`` returns the Config with it.
    """

    Config: Callable[..., Any]
    data: Callable[..., Any]
    noise: Callable[..., Any]
    networks: Callable[..., Any]
    optimisers: Callable[..., Any]
    update: Callable[..., Any]
    act: Callable[..., Any]


class Entry(NamedTuple):
    """What a table knows a run as, one for every way in which its policy is evaluated."""

    algorithm: str
    suffix: str  # of the names of its records
    settings: dict[str, Any]  # beside the configuration's


def entries(name: str, configuration: Mapping[str, Any]) -> list[Entry]:
    """Return a run's entries: one, or one for each of its return targets, in their order.

    Targets that are still to be taken from the dataset are two, None until then.
    """
    if "return_targets" not in configuration:
        return [Entry(name, "", {})]
    targets = configuration["return_targets"] or (None, None)
    return [
        Entry(f"{name}-target-{place}", f"-target-{place}", {"return_target": target})
        for place, target in enumerate(targets, start=1)
    ]


def draws_windows(config: Any) -> bool:
    """Return whether a method learns from pieces of whole episodes, which no view changes."""
    return hasattr(config, "return_targets") or getattr(config, "context_length", 1) > 1


def recorded_revision(name: str) -> dict[str, str]:
    """Return what is recorded of the revision of a method's code: nothing for the first."""
    revision = getattr(find(name), "REVISION", 1)
    return {} if revision == 1 else {"revision": str(revision)}


def reward_transform(configuration: Mapping[str, Any]) -> str:
    """Return what becomes of rewards r: ``none``, a transform, ``10 r - 5``, or both in turn."""
    name = str(configuration.get("reward_transform", "none"))
    scale, bias = configuration.get("reward_scale", 1.0), configuration.get("reward_bias", 0.0)
    if (scale, bias) == (1, 0):
        return name
    factor = "" if scale == 1 else f"{scale:g} "
    term = f" {'-' if bias < 0 else '+'} {abs(bias):g}" if bias else ""
    return ("" if name == "none" else f"{name}, then ") + f"{factor}r{term}"


def remembers(config: Any) -> bool:
    """Return whether a policy acts on more than the present observation."""
    return hasattr(config, "return_targets") or getattr(config, "context_length", 1) > 1


def completed(name: str, config: Any, dataset: DatasetRecord, episodes: Any = None) -> Any:
    """Return a configuration with the values that depend on the dataset, as far as it is given.

    Raises DatumrlError for a run that ends within what is to come before its training.
    """
    method = find(name)
    for field, (what, remedy) in _BEFORE.items():
        length = getattr(config, field, 0)
        if length >= config.steps:
            setting = remedy.format(tenth=config.steps // 10)
            raise DatumrlError(
                f"{field}={length:,}: {name} would {what} in all of its {config.steps:,} steps; "
                f"use --set {setting} (beside other methods {name}.{field}=...), or more --steps"
            )
    return method.completed(config, dataset, episodes) if hasattr(method, "completed") else config


def titles() -> dict[str, str]:
    """Return the method that each name of papers is of."""
    return {title: name for name, written in ALGORITHMS.items() for title in written}


def find(name: str) -> Method:
    """Return a method's module.  DatumrlError names the nearest one, or what to install."""
    if name not in ALGORITHMS:
        raise DatumrlError(f"unknown algorithm {name!r}; {_meant(name)}")
    require_torch(name)
    module: Any = importlib.import_module(f"datumrl.algorithms.{_MODULES.get(name, name)}")
    return module


def require_torch(name: str) -> None:
    """Import torch, or raise DatumrlError saying how to install it."""
    # Threads that spin while they wait stall each other for good once another process wants a core:
    # measured on two cores, under 10 instead of 134 seed-updates/s; alone it costs about 13%.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        importlib.import_module("torch")
    except ImportError as problem:
        raise DatumrlError(
            f"{name} cannot be trained or evaluated ({problem}); install what it needs with "
            f"{installed_by('train')}"
        ) from problem


def resolve(name: str, settings: Mapping[str, object]) -> Any:
    """Return a method's configuration: its defaults with ``settings`` in their place.

    A text value is read as the type of its field, so ``{"alpha": "1.0"}`` comes from a command
    line.  Raises DatumrlError for an unknown field, naming the nearest, and for a bad value.
    """
    config_class: Any = find(name).Config
    hints = get_type_hints(config_class)
    changes = {}
    for field, value in settings.items():
        if field not in hints:
            raise DatumrlError(f"{name} has no setting {field!r}; {_nearest(field, hints)}")
        changes[field] = checked(field, value, hints[field])
    return config_class(**changes)


def parse_settings(
    texts: Iterable[str], methods: Iterable[str] = tuple(ALGORITHMS)
) -> dict[str, str]:
    """Return ``field=value`` and ``method.field=value`` texts as a dict; see `of_method`.

    Raises DatumrlError for another form, a repeated field, and a method that is none of these.
    """
    settings: dict[str, str] = {}
    known = list(methods)
    for text in texts:
        field, equals, value = text.partition("=")
        if not equals or not field:
            raise DatumrlError(f"{text!r} is no setting; write for example alpha=1.0")
        method = field.rpartition(".")[0]
        if method and method not in known:
            raise DatumrlError(f"{text!r}: {method!r} is none of {', '.join(known)}")
        if field in settings:
            raise DatumrlError(f"{text!r}: {field} is set to {settings[field]} too; set it once")
        settings[field] = value
    return settings


def of_method(name: str, settings: Mapping[str, object]) -> dict[str, object]:
    """Return what settings say of one method: ``cql.bc_steps`` is for CQL, and goes first."""
    own = {
        field.removeprefix(f"{name}."): value
        for field, value in settings.items()
        if field.startswith(f"{name}.")
    }
    return {**{field: value for field, value in settings.items() if "." not in field}, **own}


def configuration(config: Any) -> dict[str, Any]:
    """Return a configuration as JSON values."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(config).items()
    }


def _meant(name: str) -> str:
    """Return which method was meant, where that is plain, and which there are."""
    spelled = _spelled(name)
    names = {_spelled(title): method for title, method in titles().items()}
    # Of two letters, half a name is one letter: that is no likeness.
    close = [names[spelled]] if spelled in names else []
    close = close or difflib.get_close_matches(spelled, ALGORITHMS, n=1, cutoff=0.7)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return f"{meant}known are {', '.join(ALGORITHMS)}"


def _spelled(name: str) -> str:
    return name.lower().replace("-", "_").replace("+", "_").replace(" ", "_")


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(_spelled(name), known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"


def checked(field: str, value: object, kind: Any) -> Any:
    """Return a value as its field's type; DatumrlError for one that is none, or out of range."""
    shown = f"{field}={value}"
    kinds = [each for each in get_args(kind) if each is not type(None)]
    if type(None) in get_args(kind):  # a field of type T | None
        if value is None or str(value).lower() == "none":
            return None
        (kind,) = kinds
    try:
        result = _converted(value, kind)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise DatumrlError(f"{shown}: {_wanted(kind)}") from None
    numbers = result if isinstance(result, tuple) else (result,)
    element = get_args(kind)[0] if get_origin(kind) is tuple else kind
    if element is int and min(numbers, default=0) < (0 if _named(field, _FROM_ZERO) else 1):
        raise DatumrlError(f"{shown}: must be at least {0 if _named(field, _FROM_ZERO) else 1}")
    if element is float and not (numbers and all(map(math.isfinite, numbers))):
        raise DatumrlError(f"{shown}: must be finite")
    if element is float and min(numbers) < 0 and not _named(field, _ANY_SIGN):
        raise DatumrlError(f"{shown}: must be finite and not negative")
    if field in _AT_MOST_ONE and result > 1:
        raise DatumrlError(f"{shown}: must be at most 1")
    if _BELOW_ONE in field and element is float and result >= 1:
        raise DatumrlError(f"{shown}: must be below 1")
    return result


def _named(field: str, parts: Iterable[str]) -> bool:
    return any(part in field for part in parts)


def _wanted(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"choose {' or '.join(map(str, get_args(kind)))}"
    if get_origin(kind) is tuple:
        element = get_args(kind)[0].__name__
        return f"not of type {element},{element},..."
    return f"not of type {kind.__name__}"


def _converted(value: object, kind: Any) -> Any:
    if get_origin(kind) is tuple:
        parts: Any = value
        if isinstance(value, str):  # 256,256 or (256, 256) or [256, 256]
            parts = value.strip("[]() ").rstrip(",").split(",")
        return tuple(_converted(part, get_args(kind)[0]) for part in parts)
    if get_origin(kind) is Literal:
        choices: dict[object, Any] = {choice: choice for choice in get_args(kind)}
        return choices[value] if value in choices else {str(c): c for c in choices}[str(value)]
    if kind is bool:
        return {"true": True, "false": False}[str(value).lower()]
    if isinstance(value, bool):
        raise ValueError
    if kind is not int:
        return kind(value)
    try:
        return int(value) if isinstance(value, str) else _whole(value)
    except ValueError:
        return _whole(float(value))  # type: ignore[arg-type]  # 1e6


def _whole(value: Any) -> int:
    if value != int(value):
        raise ValueError
    return int(value)
