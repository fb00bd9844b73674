"""The TQ-SACo map of methods as inline SVG: a mark per dataset, the letters of its best group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from datumrl.leaderboard import dataset_drawing, drawing, method_map, names
from datumrl.leaderboard.method_map import Named, Verdict

_WIDTH, _HEIGHT = 760, 470
_LEFT, _RIGHT, _TOP, _BOTTOM = 48.0, 740.0, 24.0, 424.0
_LETTER, _LINE = 7.6, 14.0  # width and height that a letter of a label takes
_MARK = 6.0  # half the width of a mark with some air


@dataclass(frozen=True)
class _Box:
    """A rectangle that is taken."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: _Box) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    @property
    def inside(self) -> bool:
        return self.left >= _LEFT - 2 and self.right <= _WIDTH and 12 <= self.top < _BOTTOM - 10


def draw(found: Sequence[Verdict], letters: Mapping[str, Named]) -> Markup:
    """Draw the map; datasets without a tested group are hollow and grey.

    ``letters`` are what rows are called, by id.
    """
    found = sorted(found, key=lambda verdict: bool(verdict.best))  # the last lie on top
    points = [verdict.point for verdict in found]
    x = drawing.axis([point.tq for point in points], (0.0, 1.0))
    y = drawing.axis([point.saco for point in points], (1.0,))
    at = [
        (
            _LEFT + (_RIGHT - _LEFT) * x.fraction(point.tq),
            _BOTTOM - (_BOTTOM - _TOP) * y.fraction(point.saco),
        )
        for point in points
    ]
    taken = [_Box(left - _MARK, top - _MARK, left + _MARK, top + _MARK) for left, top in at]
    parts = _axes(x, y)
    for verdict, (left, top) in zip(found, at, strict=True):
        words = method_map.label(verdict, letters)
        kind = verdict.point.mark if words and len(verdict.point.mark) < 3 else ""
        box, anchor = _place(left, top, f"{words} {kind}".strip(), taken)
        if words:
            taken.append(box)
        best = ", ".join(letters[entry.id].title for entry in verdict.best) or verdict.how
        parts.append(_mark(verdict, best, left, top, (words, kind), box, anchor))
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    told = 'role="img" aria-label="TQ-SACo map; the table below holds all of it"'
    return Markup(f'<svg class="plot" {size} {told}>{"".join(parts)}</svg>')


def _axes(x: drawing.Axis, y: drawing.Axis) -> list[str]:
    parts = [f'<path class="axis-line" d="M{_LEFT} {_BOTTOM}H{_RIGHT}"/>']
    for tick in x.ticks:
        place = _LEFT + (_RIGHT - _LEFT) * x.fraction(tick)
        parts.append(f'<path class="axis-line" d="M{place:.1f} {_BOTTOM}v4"/>')
        parts.append(_text(_number(tick), place, _BOTTOM + 18, "middle"))
    for tick in y.ticks:
        place = _BOTTOM - (_BOTTOM - _TOP) * y.fraction(tick)
        parts.append(f'<path class="grid" d="M{_LEFT} {place:.1f}H{_RIGHT}"/>')
        parts.append(_text(_number(tick), _LEFT - 6, place + 4, "end"))
    across = "TQ: how good the episodes are (0 random, 1 expert)"
    up = "SACo: how much of the state-action space they cover (1: as the reference)"
    parts.append(_text(across, (_LEFT + _RIGHT) / 2, _HEIGHT - 8, "middle"))
    parts.append(_text(up, 2, 12, "start"))
    return parts


def _place(left: float, top: float, words: str, taken: Sequence[_Box]) -> tuple[_Box, str]:
    """Return where a label goes, and its anchor: the first free place around its mark."""
    width = _LETTER * len(words)
    choices = [
        (dx, dy, anchor)
        for far in (0.0, _LINE, 2 * _LINE)
        for dx, dy, anchor in (
            (9.0, -far, "start"),
            (-9.0, -far, "end"),
            (9.0, far, "start"),
            (-9.0, far, "end"),
            (0.0, -far - 15, "middle"),
            (0.0, far + 15, "middle"),
        )
    ]
    boxes = []
    for dx, dy, anchor in choices:
        start = left + dx - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
        middle = top + dy
        box = _Box(start, middle - _LINE / 2, start + width, middle + _LINE / 2)
        if box.inside and not any(box.meets(other) for other in taken):
            return box, anchor
        boxes.append((box, anchor))
    return boxes[0]


def _mark(
    verdict: Verdict,
    best: str,
    left: float,
    top: float,
    label: tuple[str, str],
    box: _Box,
    anchor: str,
) -> str:
    point = verdict.point
    kind = "marked" if verdict.best else "none"
    hollow = " hollow" if point.own_reference else ""
    title = f"{point.id}: TQ {point.tq:.3f}, SACo {point.saco:.3f}; {best}"
    shape = dataset_drawing.SHAPES[point.environment]
    where = {"start": box.left, "middle": (box.left + box.right) / 2, "end": box.right}[anchor]
    place = f'x="{where - left:.1f}" y="{(box.top + box.bottom) / 2 - top + 4:.1f}"'
    letters, data = (_inert(words) for words in label)
    told = f'<text {place} text-anchor="{anchor}">{letters} <tspan>{data}</tspan></text>'
    return (
        f'<g class="point {kind}{hollow}" transform="translate({left:.1f} {top:.1f})">'
        f'<title>{_inert(title)}</title><path d="{shape}"/>{told if letters else ""}</g>'
    )


def _number(value: float) -> str:
    return f"{value:,.6g}".replace("-", "−")


def _text(words: str, x: float, y: float, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_inert(words)}</text>'


def _inert(text: str) -> Markup:
    return escape(names.shown(text))
