"""JPEG frames, as Minari stores images unless told otherwise: lossy, and decoded as it does."""

from __future__ import annotations

import functools
import importlib
import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from datumrl.datasets.errors import DatumrlError


def decode(
    frames: Sequence[Any], shape: tuple[int, ...], error: Callable[[str], Exception]
) -> np.ndarray:
    """Return JPEG frames (bytes, or uint8 arrays of them) as (frames, *shape) uint8.

    Raises what ``error`` makes for a frame that is damaged or of another shape, and DatumrlError
    where Pillow is missing.
    """
    images = np.empty((len(frames), *shape), np.uint8)
    image_module = _pillow()

    def fill(number: int) -> None:
        try:
            image = image_module.open(io.BytesIO(bytes(frames[number])), formats=("JPEG",))
            if image.size == shape[1::-1]:  # before any of it is decoded
                values = np.asarray(image)
                if values.shape == shape:
                    images[number] = values
                    return
            found = f"{image.size[1]} x {image.size[0]} {image.mode}"
        except (OSError, ValueError, TypeError, SyntaxError) as problem:
            raise error(f"holds an image that is no JPEG ({problem})") from None
        raise error(f"holds an image of {found} where its space says {shape}")

    if len(frames) < 8:
        for number in range(len(frames)):
            fill(number)
    else:
        list(_threads().map(fill, range(len(frames))))
    return images


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(8, os.cpu_count() or 1))


def _pillow() -> Any:
    try:
        return importlib.import_module("PIL.Image")
    except ImportError:
        raise DatumrlError(
            "its images are JPEG, which Pillow decodes; install it with `pip install pillow`"
        ) from None
