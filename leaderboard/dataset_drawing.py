"""Drawings of a dataset as inline SVG: histograms, coverage, actions, the TQ-SACo map.

Colours come from the page's style sheet, so they follow its light and its dark form.  Numbers are
those of cards that were read strictly; text is made inert.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from datumrl.datasets.pictures import Marginals, Plane
from datumrl.datasets.quality_map import ENVIRONMENTS, MapPoint
from datumrl.datasets.returns_quality import Distribution
from datumrl.leaderboard import drawing, names
from datumrl.leaderboard.drawing import Axis

_WIDTH, _HEIGHT = 380, 242
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 370.0, 32.0, 202.0  # the largest frame
_LETTER, _LINE = 8.0, 11.0  # at most, of the text in a drawing
_LEVELS = 6  # of opacity, each twice as many rows as the one before at least
_FAR = 1.0  # marks further off than this many widths of the data are left to the text
SHAPES = {
    "hopper": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
    "halfcheetah": "M-3.6 -3.6h7.2v7.2h-7.2z",
    "walker2d": "M0 -4.6l4.4 7.8h-8.8z",
    "": "M0 -4.8l4.8 4.8l-4.8 4.8l-4.8 -4.8z",
}
assert set(SHAPES) == {*ENVIRONMENTS, ""}


@dataclass(frozen=True)
class _Frame:
    """Where two axes lie in a drawing."""

    x: Axis
    y: Axis
    right: float = _RIGHT
    top: float = _TOP

    def across(self, value: float) -> float:
        return _LEFT + (self.right - _LEFT) * self.x.fraction(value)

    def up(self, value: float) -> float:
        return _BOTTOM - (_BOTTOM - self.top) * self.y.fraction(value)

    def parts(self, across: str, up: str) -> list[str]:
        """Return grid lines, ticks and the names of the axes."""
        parts = [_line("axis-line", _LEFT, _BOTTOM, self.right, _BOTTOM)]
        for tick in self.x.ticks:
            place = self.across(tick)
            parts.append(_line("axis-line", place, _BOTTOM, place, _BOTTOM + 3))
            parts.append(_text(f"{tick:,.6g}", place, _BOTTOM + 15, "middle"))
        for tick in self.y.ticks:
            place = self.up(tick)
            parts.append(_line("grid", _LEFT, place, self.right, place))
            parts.append(_text(f"{tick:,.6g}", _LEFT - 5, place + 4, "end"))
        parts.append(_text(across, (_LEFT + _RIGHT) / 2, _HEIGHT - 6, "middle"))
        parts.append(_text(up, 2, 10, "start"))
        return parts


def histogram(found: Distribution, unit: str, marks: Sequence[tuple[str, float]] = ()) -> Markup:
    """Draw a histogram of completed episodes; ``marks`` are (label, value) of vertical lines."""
    if not found.count or found.minimum is None or found.maximum is None:
        return _nothing("no completed episode")
    width = (found.maximum - found.minimum) or max(abs(found.maximum), 1.0) * 0.1
    low, high = found.minimum - _FAR * width, found.maximum + _FAR * width
    near = [(label, value) for label, value in marks if low <= value <= high]
    edges, ends = found.bin_edges, found.bin_edges
    if len(found.bin_counts) == 1:  # all episodes alike
        edges = (found.minimum - 0.05 * width, found.maximum + 0.05 * width)
        ends = (found.minimum - width, found.maximum + width)
    frame = _Frame(
        drawing.axis(ends, [value for _, value in near]), drawing.axis(found.bin_counts, (0.0,))
    )
    parts = frame.parts(unit, "episodes")
    parts += [
        _rectangle("bin", frame.across(left), frame.up(count), frame.across(right), frame.up(0.0))
        for (left, right), count in zip(itertools.pairwise(edges), found.bin_counts, strict=True)
        if count
    ]
    for label, value in near:
        place = frame.across(value)
        parts.append(_line("mark", place, _TOP, place, _BOTTOM))
        parts.append(_text(label, place, _TOP - 5, "middle"))
    return _drawing(parts, f"histogram, {unit}")


def plane(found: Plane) -> Markup:
    """Draw the coverage in two dimensions; the darker a cell, the more rows."""
    frame = _plane_frame(found)
    width = (frame.right - _LEFT) / (len(found.x_edges) - 1)
    height = (_BOTTOM - frame.top) / (len(found.y_edges) - 1)
    largest = max(2, *(max(row) for row in found.counts))
    cells: dict[int, list[str]] = {}
    for row, counts in enumerate(found.counts):
        for column, count in enumerate(counts):
            if count:
                level = min(_LEVELS - 1, int(_LEVELS * math.log(count) / math.log(largest)))
                left, top = _LEFT + column * width, _BOTTOM - (row + 1) * height
                cells.setdefault(level, []).append(f"M{left:.1f} {top:.1f}")
    box = f"h{width:.2f}v{height:.2f}h-{width:.2f}z"
    parts = frame.parts(*found.labels)
    for level, starts in sorted(cells.items()):
        opacity = 0.15 + 0.85 * level / (_LEVELS - 1)
        path = "".join(start + box for start in starts)
        parts.append(f'<path class="covered" opacity="{opacity:.2f}" d="{path}"/>')
    return _drawing(parts, f"coverage: {found.labels[0]} against {found.labels[1]}")


def _plane_frame(found: Plane) -> _Frame:
    """Return the largest frame, narrower or lower where a step must be as long on either axis."""
    x = Axis(found.x_edges[0], found.x_edges[-1], _ticks(found.x_edges))
    y = Axis(found.y_edges[0], found.y_edges[-1], _ticks(found.y_edges))
    if not found.square:
        return _Frame(x, y)
    scale = min((_RIGHT - _LEFT) / (x.high - x.low), (_BOTTOM - _TOP) / (y.high - y.low))
    right, top = _LEFT + scale * (x.high - x.low), _BOTTOM - scale * (y.high - y.low)
    return _Frame(x, y, right, top)


def actions(found: Marginals) -> Markup:
    """Draw a marginal per action dimension, the first on top, each as high as its own peak."""
    x = Axis(found.edges[0], found.edges[-1], _ticks(found.edges))
    frame = _Frame(x, Axis(0.0, float(len(found.counts)), ()))
    parts = frame.parts(found.label, "share of rows" if found.discrete else "dimension")
    every = max(1, -(-len(found.counts) // 12))
    for number, counts in enumerate(found.counts):
        base = len(found.counts) - number - 1
        path = f"M{frame.across(found.edges[0]):.1f} {frame.up(base):.1f}"
        for right, count in zip(found.edges[1:], counts, strict=True):
            top = frame.up(base + 0.88 * count / max(1, *counts))
            path += f"V{top:.1f}H{frame.across(right):.1f}"
        parts.append(f'<path class="bin" d="{path}V{frame.up(base):.1f}z"/>')
        if number % every == 0 and not found.discrete:
            parts.append(_text(str(number), _LEFT - 6, frame.up(base + 0.5) + 4, "end"))
    return _drawing(parts, "marginals of actions")


def quality_map(points: Sequence[MapPoint], shown: Iterable[str] = ()) -> Markup:
    """Draw the TQ-SACo map; datasets whose ids are ``shown`` stand out."""
    if not points:
        return _nothing("no dataset has a TQ and a SACo")
    ours = set(shown)
    frame = _Frame(
        drawing.axis([point.tq for point in points], (0.0, 1.0)),
        drawing.axis([point.saco for point in points], (0.0, 1.0)),
    )
    parts = frame.parts("TQ: 0 random, 1 expert", "SACo: 1 as the reference")
    parts.append(_line("axis-line faint", frame.across(1.0), _TOP, frame.across(1.0), _BOTTOM))
    parts.append(_line("axis-line faint", _LEFT, frame.up(1.0), _RIGHT, frame.up(1.0)))
    labelled = _labelled(points, ours, frame)
    for point in sorted(points, key=lambda each: each.id in ours):
        kind = "ours" if point.id in ours else point.origin
        hollow = " hollow" if point.own_reference else ""
        place = f"translate({frame.across(point.tq):.1f} {frame.up(point.saco):.1f})"
        title = f"{point.id}: TQ {point.tq:.3f}, SACo {point.saco:.3f}"
        label = _text(point.mark, 6, -4, "start") if point.id in labelled else ""
        parts.append(
            f'<g class="point {kind}{hollow}" transform="{place}"><title>{_inert(title)}</title>'
            f'<path d="{SHAPES[point.environment]}"/>{label}</g>'
        )
    return _drawing(parts, "TQ and SACo of all datasets known")


def _labelled(points: Sequence[MapPoint], ours: set[str], frame: _Frame) -> set[str]:
    """Return whose short marks are written: those that meet no other, what is shown first."""
    found: set[str] = set()
    taken: list[tuple[float, float, float]] = []  # left, right, base line
    ordered = sorted(points, key=lambda each: (each.id not in ours, each.own_reference, each.id))
    for point in ordered:
        if len(point.mark) > 2:
            continue
        left, base = frame.across(point.tq) + 6, frame.up(point.saco) - 4
        right = left + _LETTER * len(point.mark)
        if all(left >= end or right <= begin or abs(base - other) >= _LINE
               for begin, end, other in taken):  # fmt: skip
            taken.append((left, right, base))
            found.add(point.id)
    return found


def _ticks(edges: Sequence[float]) -> tuple[float, ...]:
    """Return round numbers within a frame that is drawn to its very ends."""
    return tuple(
        tick
        for tick in drawing.axis((edges[0], edges[-1]), ()).ticks
        if edges[0] <= tick <= edges[-1]
    )


def _inert(text: str) -> Markup:
    return escape(names.shown(text))


def _text(words: str, x: float, y: float, anchor: str) -> str:
    words = words.replace("-", "−") if words[:1] == "-" and words[1:2].isdigit() else words
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_inert(words)}</text>'


def _line(css_class: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path class="{css_class}" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>'


def _rectangle(css_class: str, left: float, top: float, right: float, bottom: float) -> str:
    return (
        f'<rect class="{css_class}" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
        f'height="{bottom - top:.1f}"/>'
    )


def _drawing(parts: Sequence[str], words: str) -> Markup:
    box = f'viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    label = f'role="img" aria-label="{_inert(words)}"'
    return Markup(f'<svg class="plot" {box} {label}>{"".join(parts)}</svg>')


def _nothing(words: str) -> Markup:
    return Markup(f'<p class="none">{_inert(words)}</p>')
