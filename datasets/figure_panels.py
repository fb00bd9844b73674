"""The panels of a figure of datasets, one function each; all draw into matplotlib axes given."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from datumrl.datasets.pictures import Marginals, Plane
from datumrl.datasets.quality_map import ENVIRONMENTS, MapPoint
from datumrl.datasets.record import Reference
from datumrl.datasets.returns_quality import Distribution

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_GRID = "#DDDDDD"
_SOFT = "#666666"
_PUBLISHED, _MEASURED = "#999999", "#444444"
_MARKERS = dict(zip((*ENVIRONMENTS, ""), "os^D", strict=True))
_UNITS = {
    "return": "return of an episode, reward units",
    "length": "length of an episode, steps",
}
_COLOUR_MAP = "cividis_r"
_NAME_WIDTH, _NAME_LENGTH = 32, 96  # letters in a line of the map's legend, and in all
_FAR = 1.0  # reference lines further off than this many widths of the data are only pointed at

Axes = Any


def colour(number: int) -> str:
    """Return the colour of the dataset of this number in a figure."""
    return COLOURS[number % len(COLOURS)]


def histogram(axes: Axes, found: Distribution, what: str, shade: str) -> None:
    """Draw the distribution of ``"return"`` or ``"length"`` of completed episodes."""
    axes.set_title(f"{what}s")
    axes.set_xlabel(_UNITS[what])
    if not found.count:
        _empty(axes, "no completed episode")
        return
    edges = np.asarray(found.bin_edges)
    widths = np.diff(edges)
    if not widths.all():  # all episodes alike
        widths = np.full(len(widths), 0.04 * max(abs(edges[0]), 1.0))
        edges = edges - widths[0] / 2
        axes.set_xlim(edges[0] - 6 * widths[0], edges[0] + 7 * widths[0])
    axes.bar(edges[:-1], found.bin_counts, widths, align="edge", color=shade, alpha=0.85,
             edgecolor="white", linewidth=0.4)  # fmt: skip
    axes.set_ylabel("episodes")
    axes.grid(axis="y", color=_GRID, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.yaxis.get_major_locator().set_params(integer=True)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:,.5g}")
    axes.xaxis.get_major_locator().set_params(nbins=6)


def reference_lines(axes: Axes, reference: Reference) -> None:
    """Mark the returns of scores 0 and 100; those far from the data are told beside the title."""
    low, high = axes.get_xlim()
    width = high - low
    far = []
    for score, value in ((0, reference.minimum), (100, reference.maximum)):
        if value < low - _FAR * width:
            far.append(f"← score {score} at {value:,.4g}")
        elif value > high + _FAR * width:
            far.append(f"score {score} at {value:,.4g} →")
        else:
            _reference_line(axes, score, value, 0.04 * width)
    axes.set_title("   ".join(far), loc="right", fontsize=6.5, color=_SOFT)


def _reference_line(axes: Axes, score: int, value: float, margin: float) -> None:
    axes.axvline(value, color="black", linestyle="--" if score == 0 else "-.", linewidth=0.9)
    axes.annotate(
        f"score {score}", (value, 0.98), xycoords=("data", "axes fraction"), fontsize=6.5,
        xytext=(-1.5, 0), textcoords="offset points", rotation=90, ha="right", va="top",
        color="black", bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.5},
    )  # fmt: skip
    left, right = axes.get_xlim()
    axes.set_xlim(min(left, value - 2.5 * margin), max(right, value + margin))


def plane(axes: Axes, bar_axes: Axes, found: Plane | None) -> None:
    """Draw the coverage in two dimensions, and its scale; empty cells stay white."""
    axes.set_title("coverage")
    if found is None:
        _empty(axes, "not drawn: see below")
        bar_axes.set_axis_off()
        return
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import FuncFormatter

    counts = np.ma.masked_equal(np.asarray(found.counts), 0)
    extent = (found.x_edges[0], found.x_edges[-1], found.y_edges[0], found.y_edges[-1])
    image = axes.imshow(
        counts, origin="lower", extent=extent, cmap=_COLOUR_MAP, interpolation="nearest",
        norm=LogNorm(1, max(2, int(counts.max()))), aspect="equal" if found.square else "auto",
    )  # fmt: skip
    axes.set_anchor("E")  # beside its scale
    axes.set_xlabel(found.labels[0])
    axes.set_ylabel(found.labels[1])
    # Logarithmic ticks are set in mathematical script, which is off.
    bar = axes.figure.colorbar(
        image, cax=bar_axes, format=FuncFormatter(lambda value, _: f"{value:g}")
    )
    bar.ax.minorticks_off()
    bar.ax.tick_params(labelsize=6.5, length=2)
    bar.set_label("sampled rows a cell", fontsize=6.5)
    bar.outline.set_visible(False)


def actions(axes: Axes, found: Marginals | None, shade: str) -> None:
    """Draw a marginal per action dimension, the first on top, each as high as its own peak."""
    axes.set_title("actions, each scaled to its peak")
    if found is None:
        _empty(axes, "not drawn: see the notes")
        return
    number = len(found.counts)
    for dimension, counts in enumerate(found.counts):
        base = number - 1 - dimension
        top = base + 0.9 * np.asarray(counts) / max(1, *counts)
        axes.stairs(top, found.edges, baseline=base, fill=True, color=shade, alpha=0.8)
        axes.axhline(base, color=_GRID, linewidth=0.5, zorder=0)
    step = max(1, -(-number // 12))
    shown = range(0, number, step)
    axes.set_yticks([number - 1 - each + 0.45 for each in shown], [str(each) for each in shown])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(-0.05, number)
    axes.set_xlabel(found.label)
    axes.xaxis.get_major_locator().set_params(nbins=5)
    axes.set_ylabel("share of rows" if found.discrete else "dimension")
    if found.discrete:
        axes.set_yticks([])


def quality_map(
    axes: Axes, shown: Sequence[tuple[MapPoint, int]], known: Sequence[MapPoint]
) -> None:
    """Draw the TQ-SACo map: points known in grey, those shown in the colours of their numbers."""
    ours = {point.id for point, _ in shown}
    for point in known:
        if point.id not in ours:
            shade = _PUBLISHED if point.origin == "published" else _MEASURED
            # Only letters: names of others would cover each other; the legend tells the shapes.
            words = point.mark if point.environment else ""
            _mark(axes, point, shade, 18, words, 6, zorder=2)
    for point, number in shown:
        _mark(axes, point, colour(number), 60, "", 8, zorder=4)
    axes.set_title("trajectory quality and coverage, among all datasets known")
    axes.set_xlabel("TQ: mean return, 0 random to 1 expert (no unit)")
    axes.set_ylabel("SACo: distinct state-actions, reference = 1 (no unit)")
    axes.axhline(1.0, color=_GRID, linewidth=0.8, zorder=0)
    axes.axvline(1.0, color=_GRID, linewidth=0.8, zorder=0)
    axes.margins(x=0.08, y=0.1)
    axes.set_ylim(bottom=0)
    if not shown and not known:
        _empty(axes, "no dataset has a TQ")
        return
    _map_legend(axes, known, shown)


def _mark(
    axes: Axes, point: MapPoint, shade: str, size: float, words: str, font: float, zorder: int
) -> None:
    axes.scatter(
        [point.tq], [point.saco], s=size, marker=_MARKERS[point.environment], linewidths=1.0,
        facecolors="white" if point.own_reference else shade, edgecolors=shade, zorder=zorder,
    )  # fmt: skip
    axes.annotate(
        words, (point.tq, point.saco), textcoords="offset points", xytext=(4 + size / 30, 2.5),
        fontsize=font, color=shade, zorder=zorder,
    )  # fmt: skip


def _map_legend(
    axes: Axes, known: Sequence[MapPoint], shown: Sequence[tuple[MapPoint, int]]
) -> None:
    from matplotlib.lines import Line2D

    def handle(marker: str, shade: str, words: str) -> Line2D:
        return Line2D([], [], marker=marker, color=shade, label=words, linestyle="", markersize=4.5)

    handles = [
        handle(_MARKERS[point.environment], colour(number), _narrow(point.id))
        for point, number in shown
    ]
    every = [*known, *(point for point, _ in shown)]
    used = {point.environment for point in every}
    handles += [handle(_MARKERS[name], _SOFT, name or "other") for name in _MARKERS if name in used]
    origins = {point.origin for point in known}
    if "published" in origins:
        handles.append(handle("s", _PUBLISHED, "grey: published, D4RL v0"))
    if "measured" in origins:
        handles.append(handle("s", _MEASURED, "dark: cards of datumrl"))
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False,
                fontsize=7)  # fmt: skip


def _narrow(name: str) -> str:
    """Return a name in lines that fit beside the map, broken where an id has its joints."""
    lines = [""]
    for part in re.findall(r"[^/@-]{1,31}[/@-]?|[/@-]", name[:_NAME_LENGTH]):
        if lines[-1] and len(lines[-1] + part) > _NAME_WIDTH:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _empty(axes: Axes, words: str) -> None:
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color=_SOFT)
    axes.set_xticks([])
    axes.set_yticks([])
