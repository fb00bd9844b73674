"""Random numbers as a function of (seed, stream, step), so that a run can go on from any step.

Every seed has streams of its own.  A stream comes in blocks of many updates; block b of a stream
is drawn from a generator seeded by a hash of (seed, name of the stream, b) and depends on nothing
else: not on the other seeds of a stack, not on the blocks before it.  Resuming needs the step's
number only.  Numbers are drawn on the device that uses them, so CPU and CUDA draw different ones.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

_BLOCK_UPDATES = 1000
_BLOCK_NUMBERS = 1 << 21  # at most so many in one seed's block, unless one update needs more
INDICES = "batch"  # the stream of batch rows


@dataclass(frozen=True)
class Draw:
    """What one update of one seed draws: numbers of a distribution in a shape."""

    shape: tuple[int, ...]
    kind: Literal["normal", "uniform", "dropout"] = "normal"  # N(0, 1), U[0, 1), or factors:
    rate: float = 0.0  # 0 at this rate, in steps of 2^-16, elsewhere what makes their mean 1


def generator(seed: int, name: str, block: int, device: torch.device) -> torch.Generator:
    """Return the generator of one block of one seed's stream."""
    digest = hashlib.sha256(f"{seed}/{name}/{block}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "little"))


class Streams:
    """The batch rows and the noise of a stack of seeds, for any update in any order."""

    def __init__(
        self,
        seeds: Sequence[int],
        rows: int,
        batch_size: int,
        noise: Mapping[str, Draw],
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Batches are drawn from 0 .. ``rows`` - 1, uniformly, with replacement."""
        self._seeds = seeds
        self._rows = rows
        self._draws = {INDICES: Draw((batch_size,)), **noise}
        self._device = device
        self._dtype = dtype
        self._blocks: dict[str, tuple[int, torch.Tensor]] = {}

    def at(self, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return rows (seeds, batch) and noise, name -> (seeds, ...), of update ``step``."""
        drawn = {name: self._drawn(name, draw, step) for name, draw in self._draws.items()}
        return drawn.pop(INDICES), drawn

    def _drawn(self, name: str, draw: Draw, step: int) -> torch.Tensor:
        length = min(_BLOCK_UPDATES, max(1, _BLOCK_NUMBERS // math.prod(draw.shape)))
        number, place = divmod(step, length)
        known, block = self._blocks.get(name, (-1, None))
        if known != number or block is None:
            pieces = [self._block(seed, name, draw, number, length) for seed in self._seeds]
            block = torch.stack(pieces, dim=1)
            self._blocks[name] = number, block
        return block[place]

    def _block(self, seed: int, name: str, draw: Draw, number: int, length: int) -> torch.Tensor:
        source = generator(seed, name, number, self._device)
        shape = (length, *draw.shape)
        if name == INDICES:
            return torch.randint(self._rows, shape, generator=source, device=self._device)
        if draw.kind == "dropout":
            return _dropout(shape, draw.rate, source).to(self._dtype)
        sample = torch.randn if draw.kind == "normal" else torch.rand
        return sample(shape, generator=source, device=self._device, dtype=self._dtype)


def _dropout(shape: tuple[int, ...], rate: float, source: torch.Generator) -> torch.Tensor:
    """Return factors, float32; four of 16 bits from each number: 4 times as fast as torch.rand."""
    count, kept = math.prod(shape), 65536 - round(65536 * rate)
    bits = torch.empty(-(-count // 4), dtype=torch.int64, device=source.device)
    bits.random_(-(1 << 63), None, generator=source)
    keep = bits.view(torch.int16)[:count] >= 32768 - kept
    return keep.view(shape).to(torch.float32).mul_(65536 / kept)
