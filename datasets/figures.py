"""A figure of datasets: returns, lengths, coverage, actions, and where they lie among all known.

Colours are those of Okabe and Ito and the map cividis, told apart by the colour-blind.  Equal input
gives equal bytes.  matplotlib is imported when a figure is drawn, and never its interactive part.
"""

from __future__ import annotations

import html
import io
import textwrap
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datumrl.datasets import figure_panels, files
from datumrl.datasets.dataset_statistics import DatasetStatistics
from datumrl.datasets.errors import DatumrlError
from datumrl.datasets.pictures import Pictures
from datumrl.datasets.quality_map import MapPoint, legend, place
from datumrl.datasets.record import DatasetRecord, Reference

ENDINGS = ("png", "svg", "html")
MOST = 8  # datasets in one figure
_STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "svg.fonttype": "none",
    "svg.hashsalt": "datumrl",
    "text.parse_math": False,  # a dollar in a name is a dollar
}
_WIDTH, _ROW, _MAP, _LINE = 12.0, 2.4, 3.85, 0.125  # inches
_CAPTION_WIDTH = 205  # characters

Axes = Any


@dataclass(frozen=True)
class Subject:
    """One dataset of a figure."""

    statistics: DatasetStatistics
    record: DatasetRecord | None  # None: not in the catalogue
    pictures: Pictures

    @property
    def reference(self) -> Reference | None:
        """Return the returns of scores 0 and 100; None where returns cannot be put there."""
        if self.record is None or self.statistics.scores.refused:
            return None
        return self.record.reference

    @property
    def environment(self) -> str:
        """Return what datasets must share for one axis of returns."""
        known = self.record is not None and self.record.environment is not None
        return self.record.environment.id if known else self.statistics.id  # type: ignore[union-attr]


def check(path: Path, datasets: int) -> None:
    """Raise DatumrlError for a file that no figure can be, and for too many datasets."""
    if path.suffix.lower().lstrip(".") not in ENDINGS:
        raise DatumrlError(f"{path}: a plot is a .{', .'.join(ENDINGS[:-1])} or .{ENDINGS[-1]}")
    if path.is_dir():
        raise DatumrlError(f"{path} is a folder; name a file in it")
    if not 1 <= datasets <= MOST:
        raise DatumrlError(f"{datasets} datasets in one figure; give 1 to {MOST}")


def write(
    path: Path, subjects: Sequence[Subject], known: Sequence[MapPoint], versions: str
) -> None:
    """Draw datasets side by side into a file; its ending says the format (see `ENDINGS`).

    ``known`` are the other points of the map; ``versions`` names the software that measured.
    Raises DatumrlError for another ending, no dataset, or more than `MOST`.
    """
    check(path, len(subjects))
    ending = path.suffix.lower().lstrip(".")
    lines = caption(subjects, known, versions)
    if ending == "html":
        content = _page(subjects, _render(subjects, known, [], "svg").decode(), lines).encode()
    else:
        content = _render(subjects, known, lines, ending)
    with files.replacing(path) as handle:
        handle.write(content)


def caption(subjects: Sequence[Subject], known: Sequence[MapPoint], versions: str) -> list[str]:
    """Return what to know of the numbers drawn, a sentence or two per line."""
    lines = [_numbers(each) for each in subjects]
    sampled = subjects[0].pictures
    shown = [place(subject.statistics) for subject in subjects]
    placed = [each for each in shown if isinstance(each, MapPoint)]
    lines.append(
        f"Histograms: completed episodes. Coverage, actions: up to {sampled.sampled_rows:,} rows "
        f"drawn with seed {sampled.seed}; white cells hold none, those beyond the frame (0.1 % a "
        "side) count at its border; components are of standardised observations."
    )
    lines.append(f"Map: {legend([*known, *placed])}.")
    for subject, point in zip(subjects, shown, strict=True):
        if isinstance(point, str):
            lines.append(f"{subject.statistics.id} is not on the map: {point}.")
        lines += [f"{subject.statistics.id}: {note}." for note in subject.pictures.notes]
    return [*lines, f"Measured with {versions}."]


def _numbers(subject: Subject) -> str:
    found = subject.statistics
    covered, tq = found.coverage, found.scores.tq
    mark = f" (sha256 {found.sha256[:12]})" if found.sha256 else ""
    quality = "TQ none" if tq is None else f"TQ {tq:.3f}"
    return (
        f"{found.id}{mark}: {found.rows:,} rows, {found.returns.distribution.count:,} completed "
        f"episodes; {quality}, SACo {covered.saco:.3f} ({covered.preset}, the first "
        f"{covered.rows:,} rows, reference {covered.reference})."
    )


@dataclass(frozen=True)
class _Sheet:
    """A figure on which places are inches from its upper left corner."""

    figure: Any
    height: float

    def panel(self, left: float, top: float, width: float, height: float) -> Axes:
        """Add axes; their labels are outside of the rectangle."""
        bottom = self.height - top - height
        sizes = (_WIDTH, self.height, _WIDTH, self.height)
        places = zip((left, bottom, width, height), sizes, strict=True)
        return self.figure.add_axes(tuple(inches / whole for inches, whole in places))

    def text(self, left: float, top: float, words: str, **look: Any) -> None:
        """Write a heading, or lines of text if it is not bold."""
        style = {"fontweight": "bold", "va": "top", "ha": "left", **look}
        self.figure.text(left / _WIDTH, 1 - top / self.height, words, **style)


def write_map(path: Path, known: Sequence[MapPoint]) -> None:
    """Draw the TQ-SACo map alone into a .png or .svg file, with what its marks mean below it.

    Raises DatumrlError for another ending.
    """
    ending = path.suffix.lower().lstrip(".")
    if ending not in ("png", "svg"):
        raise DatumrlError(f"{path}: the map alone is a .png or .svg")

    def draw(sheet: _Sheet) -> None:
        figure_panels.quality_map(sheet.panel(0.65, 0.35, 9.3, 4.4), [], known)
        _notes(sheet, 5.35, textwrap.wrap(f"{legend(known)}.", _CAPTION_WIDTH))

    content = _rendered(5.65, ending, draw)
    with files.replacing(path) as handle:
        handle.write(content)


def _render(
    subjects: Sequence[Subject], known: Sequence[MapPoint], lines: Sequence[str], ending: str
) -> bytes:
    wrapped = [part for line in lines for part in textwrap.wrap(line, _CAPTION_WIDTH)]
    drawn = 6.75 if len(subjects) == 1 else _ROW * len(subjects) + _MAP

    def draw(sheet: _Sheet) -> None:
        (_one if len(subjects) == 1 else _several)(sheet, subjects, known)
        _notes(sheet, drawn, wrapped)

    return _rendered(drawn + _LINE * len(wrapped) + 0.1, ending, draw)


def _notes(sheet: _Sheet, top: float, lines: Sequence[str]) -> None:
    look = {"fontsize": 6.5, "fontweight": "normal", "color": "#444444", "linespacing": 1.35}
    sheet.text(0.15, top, "\n".join(lines), **look)


def _rendered(height: float, ending: str, draw: Callable[[_Sheet], None]) -> bytes:
    """Return a figure of a height in inches as the bytes of a file."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        sheet = _Sheet(Figure(figsize=(_WIDTH, height)), height)
        draw(sheet)
        held = io.BytesIO()
        dates = {"Date": None, "Creator": None} if ending == "svg" else {"Software": None}
        sheet.figure.savefig(held, format=ending, dpi=150, metadata=dates)
    return held.getvalue()


def _one(sheet: _Sheet, subjects: Sequence[Subject], known: Sequence[MapPoint]) -> None:
    """Draw one dataset: distributions and coverage above, actions and the map below."""
    (subject,) = subjects
    colour, found = figure_panels.colour(0), subject.statistics
    sheet.text(0.15, 0.1, found.id, fontsize=11)
    above = sheet.panel(0.65, 0.7, 3.0, 1.75)
    figure_panels.histogram(above, found.returns.distribution, "return", colour)
    if subject.reference is not None:
        figure_panels.reference_lines(above, subject.reference)
    lengths = sheet.panel(4.5, 0.7, 3.0, 1.75)
    figure_panels.histogram(lengths, found.lengths.distribution, "length", colour)
    plane = sheet.panel(8.35, 0.7, 2.75, 1.75), sheet.panel(11.2, 0.7, 0.09, 1.75)
    figure_panels.plane(*plane, subject.pictures.plane)
    figure_panels.actions(sheet.panel(0.65, 3.3, 3.0, 2.9), subject.pictures.actions, colour)
    _map(sheet.panel(4.5, 3.3, 5.2, 2.9), subjects, known)


def _several(sheet: _Sheet, subjects: Sequence[Subject], known: Sequence[MapPoint]) -> None:
    """Draw datasets below each other, a row each, and the map of them all."""
    returns, lengths = [], []
    for number, subject in enumerate(subjects):
        colour, found = figure_panels.colour(number), subject.statistics
        top = number * _ROW + 0.6
        sheet.text(0.15, top - 0.45, found.id, fontsize=9, color=colour)
        returns.append(sheet.panel(0.65, top, 2.3, 1.35))
        figure_panels.histogram(returns[-1], found.returns.distribution, "return", colour)
        lengths.append(sheet.panel(3.55, top, 2.2, 1.35))
        figure_panels.histogram(lengths[-1], found.lengths.distribution, "length", colour)
        plane = sheet.panel(6.4, top, 2.1, 1.35), sheet.panel(8.57, top, 0.07, 1.35)
        figure_panels.plane(*plane, subject.pictures.plane)
        figure_panels.actions(sheet.panel(9.55, top, 2.25, 1.35), subject.pictures.actions, colour)
    _share(subjects, returns, lambda each: each.statistics.returns)
    _share(subjects, lengths, lambda each: each.statistics.lengths)
    for subject, panel in zip(subjects, returns, strict=True):
        if subject.reference is not None:
            figure_panels.reference_lines(panel, subject.reference)
    _map(sheet.panel(0.65, len(subjects) * _ROW + 0.35, 7.85, 2.9), subjects, known)


def _share(
    subjects: Sequence[Subject], panels: Sequence[Axes], pick: Callable[[Subject], Any]
) -> None:
    """Give the panels of datasets of one environment one axis."""
    for environment in dict.fromkeys(subject.environment for subject in subjects):
        mine = [
            (panel, pick(subject).distribution)
            for subject, panel in zip(subjects, panels, strict=True)
            if subject.environment == environment and pick(subject).distribution.count
        ]
        if len(mine) > 1:
            low = min(found.minimum for _, found in mine)
            high = max(found.maximum for _, found in mine)
            margin = 0.03 * (high - low) or 1.0
            for panel, _ in mine:
                panel.set_xlim(low - margin, high + margin)


def _map(axes: Axes, subjects: Sequence[Subject], known: Sequence[MapPoint]) -> None:
    points = [(place(subject.statistics), number) for number, subject in enumerate(subjects)]
    shown = [(point, number) for point, number in points if isinstance(point, MapPoint)]
    figure_panels.quality_map(axes, shown, known)


def _page(subjects: Sequence[Subject], svg: str, lines: Sequence[str]) -> str:
    """Return a page that needs nothing else: the drawing inline, what to know of it below."""
    names = html.escape(", ".join(each.statistics.id for each in subjects))
    drawing = svg[svg.index("<svg") :]
    notes = "\n".join(f"<p>{html.escape(line)}</p>" for line in lines)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
style-src 'unsafe-inline'; img-src data:">
<title>{names}</title>
<style>
body {{ margin: 1rem auto; max-width: 80rem; padding: 0 1rem; background: #fff; color: #1a1f26;
  font: 14px/1.5 system-ui, sans-serif; }}
.drawing {{ overflow-x: auto; }}
svg {{ width: 100%; min-width: 48rem; height: auto; }}
p {{ margin: 0.2rem 0; color: #444; overflow-wrap: anywhere; }}
</style>
</head>
<body>
<h1>{names}</h1>
<div class="drawing">{drawing}</div>
{notes}
</body>
</html>
"""
