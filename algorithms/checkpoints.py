"""One file per stack: all that a run needs to go on exactly, and its policies to be rolled out."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from datumrl.datasets import files
from datumrl.datasets.errors import DatumrlError

FILE = "checkpoint.pt"
FORMAT = "datumrl-checkpoint/1"
_KEYS = {
    "format",
    "identity",  # what the run is, as JSON: two runs are the same run if it is equal
    "step",  # updates done
    "stack",  # see Stack.state
    "task",  # fields of Task
    "statistics",  # fields of Statistics
    "evaluations",  # seed -> points so far, as JSON
    "failures",  # seed -> why it failed
}
_CONTENT = "dataset_content_sha256"  # of the identity; only generated datasets have it
_OPTIONAL = {"software"}  # see `run_software`; without it, it is unknown


def save(path: Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint, atomically: tensors, numbers, text and containers of these."""
    content = {"format": FORMAT, **content}
    assert _KEYS <= set(content) <= _KEYS | _OPTIONAL
    # Through memory, so that a full disk is met by our own writing and reported as such.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with files.replacing(path) as handle:
        handle.write(buffer.getbuffer())


def load(path: Path, device: torch.device) -> dict[str, Any]:
    """Return a checkpoint's content on a device.  Nothing in the file is executed.

    Raises DatumrlError if it is missing, damaged, or no checkpoint of ours.
    """
    if not path.exists():
        raise DatumrlError(f"{path} does not exist; give the folder of a run of `datumrl train`")
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except Exception as problem:  # what a damaged file raises is not specified
        kind = type(problem).__name__
        # Torch explains an unpickling error by advice to load what may run code.
        unpickled = isinstance(problem, pickle.UnpicklingError)
        reason = "no checkpoint" if unpickled else str(problem).partition("\n")[0][:120]
        raise DatumrlError(
            f"{path} cannot be read ({kind}: {reason}); train again with --restart, or restore the "
            "file"
        ) from None
    complete = isinstance(content, dict) and set(content) - _OPTIONAL == _KEYS
    if not complete or content["format"] != FORMAT:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise DatumrlError(
            f"{path} is no {FORMAT} file (found {found!r}); train again with --restart"
        )
    return content


def runs_below(folders: Iterable[Path]) -> list[Path]:
    """Return the runs that have a checkpoint, in folders or anywhere below them, each once."""
    return [path.parent for path in files.below(folders, FILE)]


def require_runs(folder: Path) -> list[Path]:
    """Return the runs in a folder or below it; DatumrlError where there is none."""
    found = runs_below([folder])
    if not found:
        missing = f"no {FILE} in it or below it" if folder.exists() else "it does not exist"
        raise DatumrlError(
            f"{folder}: {missing}; give the folder of a run of `datumrl train`, or one above runs"
        )
    return found


def seeds_of(folder: Path) -> tuple[int, ...]:
    """Return the seeds, in their order, of the run in a folder."""
    return tuple(load(folder / FILE, torch.device("cpu"))["identity"]["seeds"])


def require_same(path: Path, saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise DatumrlError naming every field in which a checkpoint is of another run."""
    there, here = dict(_flat(saved)), dict(_flat(wanted))
    if not {_CONTENT} <= there.keys() & here.keys():  # not known is no other data
        there.pop(_CONTENT, None)
        here.pop(_CONTENT, None)
    differing = [
        f"{name} is {_shown(there.get(name))} there and {_shown(here.get(name))} here"
        for name in {**there, **here}
        if there.get(name) != here.get(name)
    ]
    if differing:
        raise DatumrlError(
            f"{path} is of another run: {'; '.join(differing)}; choose another folder with --out, "
            "or replace that run with --restart"
        )


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _shown(value: Any) -> str:
    return "missing" if value is None else f"{value!r}"[:60]
