"""The check for discontinuities: steps within an episode that its own dynamics cannot explain.

How it decides.  A linear model predicts each step (next observation minus this one) from the
observation and the action, fitted by least squares to steps within episodes, thrice, leaving out
the worst tenth each time, so that the jumps looked for do not shape it.  A row's score is the
largest residual of its dimensions, each in units of that dimension's median residual.  A row is a
jump if its score exceeds `FACTOR` times the score that 95 % of the rows stay below.

False alarms.  Contacts give heavy tails: over the whole local suite, the largest score of any true
step is up to 38 times the 95 % score for the point mazes (a ball that hits a wall), below 11 times
for Hopper, Walker2d and HalfCheetah.  `FACTOR` 40 is above that; 99 of 100 missing boundaries of a
random Hopper score 41 times the 95 % score or more, of a maze up to 1,000 times.  That score does
not move as long as fewer than one row in twenty is a jump.

Power.  The same score at the known boundaries tells how many of them would have been seen, which is
reported.  On the local suite it is nearly all (90 to 100 %) for pendulums, mazes and Hopper, 13 to
78 % for Walker2d, and none for HalfCheetah, whose ordinary steps are as large as resets.
"""

from __future__ import annotations

import numpy as np

from datumrl.datasets.episodes import Episodes
from datumrl.datasets.findings import Finding, first, flat, named_columns, pieces, sampled, share

FACTOR = 40.0
FIT_ROWS = 50_000  # steps that the model is fitted to
WIDEST = 512  # dimensions; images and their like have no dynamics that a line could fit
FEWEST = 100  # steps; with fewer there is no telling

_ROUNDS, _KEPT = 3, 0.9
_RESET_QUANTILE = 0.1  # a jump this large among the known resets is taken for one


def _states(episodes: Episodes) -> list[np.ndarray]:
    """Return the real-valued parts of observations, (rows, width) each."""
    return [
        values
        for name, values in named_columns(episodes).items()
        if name.startswith("observations") and values.dtype.kind == "f"
    ]


class _Model:
    """A linear prediction of steps; `scores` are large where it fails."""

    def __init__(self, episodes: Episodes, rows: np.ndarray) -> None:
        self._states = _states(episodes)
        self._actions = flat(episodes.actions)
        inputs, steps = self._inputs(rows)
        self._mean, deviation = inputs.mean(axis=0), inputs.std(axis=0)
        self._scale = np.where(deviation > 0, deviation, 1.0)
        self._weights = np.zeros((inputs.shape[1] + 1, steps.shape[1]))
        # A residual below float32's rounding says nothing, however small the median.
        largest = np.abs(inputs[:, : steps.shape[1]]).max(axis=0)
        self._floor = 8 * np.finfo(np.float32).eps * np.maximum(largest, 1e-3)
        self._unit = self._floor
        design = self._design(inputs)
        kept = np.ones(len(design), bool)
        for _ in range(_ROUNDS):
            self._weights = np.linalg.lstsq(design[kept], steps[kept], rcond=1e-8)[0]
            residuals = np.abs(steps - design @ self._weights)
            self._unit = np.maximum(np.median(residuals[kept], axis=0), self._floor)
            scores = (residuals / self._unit).max(axis=1)
            kept = scores <= np.quantile(scores, _KEPT)

    def _inputs(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what steps are predicted from, and the steps, (len(rows), any) float64 each."""
        before = np.concatenate([part[rows] for part in self._states], axis=1, dtype=np.float64)
        after = np.concatenate([part[rows + 1] for part in self._states], axis=1, dtype=np.float64)
        return np.concatenate([before, self._actions[rows]], axis=1), after - before

    def _design(self, inputs: np.ndarray) -> np.ndarray:
        scaled = (inputs - self._mean) / self._scale
        return np.concatenate([scaled, np.ones((len(inputs), 1))], axis=1)

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """Return the score of the step after each of the rows, (len(rows),) float64."""
        inputs, steps = self._inputs(rows)
        with np.errstate(invalid="ignore", over="ignore"):
            residuals = np.abs(steps - self._design(inputs) @ self._weights)
            scores = (residuals / self._unit).max(axis=1)
        return np.where(np.isfinite(scores), scores, 0.0)  # NaNs are another check's


def check_continuity(episodes: Episodes) -> Finding:
    """Consecutive states of an episode follow from one another; see the module for the rule."""
    name = "continuity"
    states = _states(episodes)
    if not 0 < sum(part.shape[1] for part in states) <= WIDEST:
        reason = f"observations are no vector of at most {WIDEST} real numbers"
        return Finding(name, "not applicable", reason)
    within = np.ones(len(episodes), bool)
    within[episodes.starts[1:] - 1] = False
    steps = np.flatnonzero(within)
    fitted = steps[sampled(len(steps), FIT_ROWS)]
    finite = np.isfinite(flat(episodes.actions)[fitted]).all(axis=1)
    for part in states:
        finite &= np.isfinite(part[fitted]).all(axis=1) & np.isfinite(part[fitted + 1]).all(axis=1)
    fitted = fitted[finite]
    if len(fitted) < FEWEST:
        reason = f"fewer than {FEWEST} steps within episodes"
        return Finding(name, "not applicable", reason, {"steps": len(fitted)})
    model = _Model(episodes, fitted)
    threshold = FACTOR * float(np.quantile(model.scores(fitted), 0.95))
    known = model.scores(episodes.starts[1:-1] - 1)
    jumps, scores = _beyond(model, steps, threshold)
    return _judged(name, jumps, scores, len(steps), threshold, known)


def _beyond(model: _Model, steps: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    rows, scores = [np.zeros(0, np.int64)], [np.zeros(0)]
    for piece in pieces(len(steps)):
        found = model.scores(steps[piece])
        beyond = found > threshold
        rows.append(steps[piece][beyond])
        scores.append(found[beyond])
    return np.concatenate(rows), np.concatenate(scores)


def _judged(
    name: str,
    jumps: np.ndarray,
    scores: np.ndarray,
    steps: int,
    threshold: float,
    known: np.ndarray,
) -> Finding:
    seen = float((known > threshold).mean()) if len(known) else float("nan")
    counts = {
        "steps": steps,
        "jumps": len(jumps),
        "threshold": threshold,
        "largest score": float(scores.max(initial=0.0)),
        "share of known resets beyond the threshold": seen,
    }
    power = "no known reset to compare with"
    if len(known):
        power = f"{100 * seen:.0f} % of the {len(known):,} known resets would be seen"
    if not len(jumps):
        return Finding(name, "pass", f"no jump in {steps:,} steps ({power})", counts)
    like_reset = not len(known) or scores.max() >= np.quantile(known, _RESET_QUANTILE)
    return Finding(
        name,
        "fail" if like_reset else "warn",
        f"{share(len(jumps), steps)} steps jump"
        + (" as far as a reset" if like_reset else ", less far than resets do")
        + f" ({power})",
        counts,
        first(jumps),
        "an end of an episode is missing after these rows, or states were altered: end the episode "
        "there, since the next state is no consequence of the action",
    )
