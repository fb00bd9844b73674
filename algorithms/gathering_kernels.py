"""The compiled inner loop of drawing a batch from columns that stay on disk."""

from __future__ import annotations

import numpy as np

from datumrl.datasets.compiling import compiled


@compiled
def place(values: np.ndarray, hints: np.ndarray, shift: int, value: int) -> int:
    """Return how many of ``values``, increasing, are less than ``value`` (which is 0 or more).

    ``hints`` holds that number for every multiple of 2**shift: the search begins there.
    """
    count = hints[value >> shift]
    while count < len(values) and values[count] < value:
        count += 1
    return count


@compiled
def normalize(rows: np.ndarray, first: np.uintp, mean: np.ndarray, scale: np.ndarray) -> None:
    """Replace the numbers of ``rows`` from place ``first`` on by (number - mean) / scale."""
    for i in range(np.uintp(len(rows))):
        for j in range(np.uintp(len(mean))):
            rows[i, first + j] = (rows[i, first + j] - mean[j]) / scale[j]


@compiled
def gather(
    numbers: np.ndarray,
    count: int,
    jumps: np.ndarray,
    jump_hints: np.ndarray,
    jump_shift: int,
    skipped: np.ndarray,
    special: np.ndarray,
    special_hints: np.ndarray,
    special_shift: int,
    elsewhere: np.ndarray,
    observations: np.ndarray,
    actions: np.ndarray,
    rewards: np.ndarray,
    terminals: np.ndarray,
    successors: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    out: np.ndarray,
) -> bool:
    """Fill ``out`` (numbers, width) float32 with packed rows; rewards as they are in the column.

    False, with nothing to rely on in ``out``, where a number is not within 0 .. ``count`` - 1.

    ``skipped[k]`` rows of the dataset lie before a transition with k ``jumps`` below or at its
    number.  The successor of ``special`` row k is row ``elsewhere[k]`` of the observations or,
    below 0, row -1 - ``elsewhere[k]`` of the successors; that of any other row is the next one.
    """
    # Unsigned places spare the compiled code a look for negative ones: half of its time.
    width, action_dim = np.uintp(observations.shape[1]), np.uintp(actions.shape[1])
    following = width + action_dim + np.uintp(1)
    for i in range(np.uintp(len(numbers))):
        number = numbers[i]
        if number < 0 or number >= count:
            return False
        signed = number + skipped[place(jumps, jump_hints, jump_shift, number + 1)]
        at = place(special, special_hints, special_shift, signed)
        successor = signed + 1
        if at < len(special) and special[at] == signed:
            successor = elsewhere[at]
        row = np.uintp(signed)
        for j in range(width):
            out[i, j] = observations[row, j]
        for j in range(action_dim):
            out[i, width + j] = actions[row, j]
        out[i, following - np.uintp(1)] = rewards[row]
        if successor >= 0:
            other = np.uintp(successor)
            for j in range(width):
                out[i, following + j] = observations[other, j]
        else:
            other = np.uintp(-1 - successor)
            for j in range(width):
                out[i, following + j] = successors[other, j]
        out[i, following + width] = terminals[row]
    normalize(out, np.uintp(0), mean, scale)
    normalize(out, following, mean, scale)
    return True
