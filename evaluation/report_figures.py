"""A report's figures, fit for a paper: one function each, and the caption that goes with it.

Colours are those of Okabe and Ito, told apart by the colour-blind; line styles change with each
round of them.  matplotlib is imported when a figure is drawn, and never its interactive part.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datumrl.datasets import files
from datumrl.evaluation import report_tables
from datumrl.evaluation.report_parts import Report

NAMES = ("intervals", "profiles", "improvement", "ranks", "decisions", "sample_efficiency")
ENDINGS = ("pdf", "svg", "png")
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLES = ("-", "--", ":", "-.")
_STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "datumrl",
    "pdf.fonttype": 42,
    "text.parse_math": False,  # a dollar in a name is a dollar
}
_DIVERGING = "PuOr"
_NAME_LENGTH = 44
_MARKS = {"larger": ">", "smaller": "<", "equal": "=", "continue": "?"}
_FILLS = {"larger": "#0072B2", "smaller": "#D55E00", "equal": "#DDDDDD", "continue": "#FFFFFF"}

Draw = Callable[[Any, Report], None]


def write(report: Report, folder: Path) -> dict[str, str]:
    """Write every figure that a report has the numbers for as PDF, SVG and PNG.

    Returns file name (without ending) -> caption.
    """
    import matplotlib
    from matplotlib.figure import Figure

    captions = {}
    for name, draw, size, caption in _wanted(report):
        with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
            # A name in a script that the font lacks is drawn as boxes; captions spell it out.
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            figure = Figure(figsize=size, layout="constrained")
            draw(figure, report)
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # laid out once, not for every ending
            for ending in ENDINGS:
                # Without a date, equal numbers give equal files.
                dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(ending)
                with files.replacing(folder / f"{name}.{ending}") as handle:
                    figure.savefig(
                        handle, format=ending, dpi=200, metadata=dates, bbox_inches="tight"
                    )
        captions[name] = caption
    return captions


def _wanted(report: Report) -> list[tuple[str, Draw, tuple[float, float], str]]:
    names = report.defined
    basis, height = report_tables.basis(report), 0.8 + 0.22 * len(names)
    room = _room(names)
    percentile = report_tables.bootstrap_words(report.options.plan)
    pointwise = f"pointwise {report_tables.bootstrap_words(report.options.curve_plan)}"
    few = any(each.few_runs for each in report.summaries)
    flag = "Fewer than 3 runs: intervals are not to be trusted. " if few else ""
    found: list[tuple[str, Draw, tuple[float, float], str]] = []
    if names:
        panels = len(report_tables.metric_names(report))
        words = f"Aggregates: {basis}; {report_tables.interval_words(report)}. {flag}"
        found.append(("intervals", _intervals, (1.6 * panels + room, height), words.strip()))
        words = "Performance profiles over runs (left) and over tasks' means (right): "
        words += f"{basis}; {pointwise}. {flag}"
        size = (7.0, 2.5 + _legend_height(names, 7.0))
        found.append(("profiles", _profiles, size, words.strip()))
    if len(names) > 1:
        side = 0.6 + room + 0.42 * len(names)
        words = (
            "Probability of improvement: chance that a run of the row's algorithm scores above one "
            f"of the column's on the same task, with {percentile} below it: {basis}. {flag}"
        )
        found.append(("improvement", _improvement, (side + 1.2, side), words.strip()))
        words = (
            "Rank distributions: chance of each rank (1 is best) when every algorithm draws one "
            f"run per task, exact for these runs, without intervals: {basis}."
        )
        found.append(("ranks", _ranks, (5.0 + room, height + 0.3), words))
    if report.test.decisions:
        groups = _decision_groups(report)
        side = 0.5 + room + 0.36 * max(len(members) for members in groups.values())
        columns = min(3, len(groups))
        lines = -(-len(groups) // columns)
        words = f"Decisions, row against column: {report_tables.test_words(report)}; {basis}."
        found.append(("decisions", _decisions, (side * columns + 0.9, side * lines), words))
    if report.curves:
        words = f"IQM at each evaluation: {basis}; {pointwise}. {flag}"
        found.append(
            ("sample_efficiency", _curves, (5.2, 2.6 + _legend_height(names, 5.2)), words.strip())
        )
    return found


def _room(names: Sequence[str]) -> float:
    """Return the inches that the longest name takes beside an axis."""
    return 0.3 + 0.065 * max((len(_short(name)) for name in names), default=0)


def _short(text: str) -> str:
    """Return a name that fits; what tells variants apart stands at its end, so the middle goes."""
    shown = report_tables.name(text)
    half = _NAME_LENGTH // 2
    return shown if len(shown) <= _NAME_LENGTH else f"{shown[: half - 1]}…{shown[-half:]}"


def _legend_columns(names: Sequence[str], width: float) -> int:
    return max(1, min(len(names), 4, int(width / (_room(names) + 0.35))))


def _legend_height(names: Sequence[str], width: float) -> float:
    return 0.17 * -(-len(names) // _legend_columns(names, width)) if names else 0.0


def _looks(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return colour and line style of each algorithm, the same in every figure."""
    pairs = itertools.cycle(itertools.product(_STYLES, _COLOURS))
    return {
        name: {"color": colour, "linestyle": style}
        for name, (style, colour) in zip(sorted(names), pairs, strict=False)
    }


def _intervals(figure: Any, report: Report) -> None:
    keys = report_tables.metric_names(report)
    names = report.defined
    looks = _looks(names)
    panels = figure.subplots(1, len(keys), sharey=True, squeeze=False)[0]
    by_name = {each.algorithm: each for each in report.summaries}
    for axes, (key, words) in zip(panels, keys.items(), strict=True):
        for place, name in enumerate(names):
            found, colour = by_name[name].metrics[key], looks[name]["color"]
            if found.low is not None:
                axes.plot(
                    [found.low, found.high], [place, place], color=colour, linewidth=5, alpha=0.45,
                    solid_capstyle="butt",
                )  # fmt: skip
            axes.plot(found.value, place, "o", color=colour, markersize=4)
        axes.set_title(words)
        axes.grid(axis="x", color="#DDDDDD", linewidth=0.5)
        axes.margins(x=0.08)
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(names)), [_short(name) for name in names])
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    figure.supxlabel(report_tables.unit(report), fontsize=8)


def _profiles(figure: Any, report: Report) -> None:
    looks = _looks(report.defined)
    panels = figure.subplots(1, 2, sharey=True)
    for level, axes in enumerate(panels):
        for name in report.defined:
            found = report.profiles[name][level]
            axes.plot(
                report.thresholds, found.value, drawstyle="steps-post", label=_short(name),
                linewidth=1.2, **looks[name],
            )  # fmt: skip
            if found.low is not None:
                axes.fill_between(
                    report.thresholds, found.low, found.high, step="post", alpha=0.15, linewidth=0,
                    color=looks[name]["color"],
                )  # fmt: skip
        axes.set_xlabel(f"threshold, {report_tables.unit(report)}")
        axes.grid(color="#DDDDDD", linewidth=0.5)
        axes.set_ylim(0, 1.02)
    panels[0].set_ylabel("share of runs above it")
    panels[1].set_ylabel("share of tasks, mean above it")
    _legend(figure, panels[0])


def _legend(figure: Any, axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=_legend_columns(labels, figure.get_figwidth()),
        frameon=False,
    )


def _luminance(colour: Sequence[float]) -> float:
    """Return how bright a colour is, 0 to 1 (Rec. 709 weights)."""
    return 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]


def _improvement(figure: Any, report: Report) -> None:
    import matplotlib

    names = report.defined
    place = {name: index for index, name in enumerate(names)}
    values = np.full((len(names), len(names)), np.nan)
    axes = figure.subplots()
    for pair in report.pairs:
        i, j = place[pair.first], place[pair.second]
        found = pair.improvement
        for row, column, flip in ((i, j, False), (j, i, True)):
            value = 1.0 - found.value if flip else found.value
            values[row, column] = value
            text = f"{value:.2f}"
            if found.low is not None and found.high is not None:
                low, high = found.low, found.high
                text += f"\n{1 - high:.2f}–{1 - low:.2f}" if flip else f"\n{low:.2f}–{high:.2f}"
            dark = _luminance(matplotlib.colormaps[_DIVERGING](value)) < 0.45
            colour = "white" if dark else "black"
            axes.text(column, row, text, ha="center", va="center", fontsize=5.5, color=colour)
    image = axes.imshow(values, cmap=_DIVERGING, vmin=0.0, vmax=1.0)
    _label_matrix(axes, names)
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label("P(row > column)")


def _label_matrix(axes: Any, names: Sequence[str]) -> None:
    shown = [_short(name) for name in names]
    axes.set_xticks(range(len(names)), shown, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), shown)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def _ranks(figure: Any, report: Report) -> None:
    import matplotlib

    assert report.ranks is not None  # wanted with two algorithms or more
    names, shares = report.defined, report.ranks.value
    axes = figure.subplots()
    colours = matplotlib.colormaps["cividis"](np.linspace(0.0, 1.0, len(names)))
    left = np.zeros(len(names))
    for rank in range(len(names)):
        axes.barh(
            range(len(names)), shares[:, rank], left=left, color=colours[rank], height=0.75,
            label=str(rank + 1),
        )  # fmt: skip
        left += shares[:, rank]
    axes.set_yticks(range(len(names)), [_short(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("share of draws")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, title="rank", loc="outside right center", frameon=False)


def _decision_groups(report: Report) -> dict[str, list[str]]:
    """Return the entries of each matrix; a family over datasets has one matrix per dataset."""
    entries = list(
        dict.fromkeys(n for each in report.test.decisions for n in (each.first, each.second))
    )
    order = {name: place for place, name in enumerate(report.defined)}
    if all(entry in order for entry in entries):
        return {"": sorted(entries, key=lambda entry: order[entry])}
    groups: dict[str, list[str]] = {}
    for entry in entries:
        groups.setdefault(entry.partition("@")[2], []).append(entry)
    return groups


def _decisions(figure: Any, report: Report) -> None:
    from matplotlib.patches import Rectangle

    groups = _decision_groups(report)
    columns = min(3, len(groups))
    panels = figure.subplots(-(-len(groups) // columns), columns, squeeze=False).ravel()
    for axes in panels[len(groups) :]:
        axes.set_axis_off()
    for axes, (title, members) in zip(panels, groups.items(), strict=False):
        for row, column in itertools.permutations(range(len(members)), 2):
            decision = report.test.decision(members[row], members[column])
            if decision is None:
                continue
            corner = (column - 0.5, row - 0.5)
            axes.add_patch(
                Rectangle(corner, 1, 1, facecolor=_FILLS[decision], edgecolor="white", linewidth=1)
            )
            colour = "black" if decision in ("equal", "continue") else "white"
            axes.text(column, row, _MARKS[decision], ha="center", va="center", color=colour)
        axes.set_xlim(-0.5, len(members) - 0.5)
        axes.set_ylim(len(members) - 0.5, -0.5)
        axes.set_aspect("equal")
        axes.set_title(_short(title.rpartition("/")[2]))
        _label_matrix(axes, [member.partition("@")[0] for member in members])
    kinds = (("larger", "> larger"), ("smaller", "< smaller"), ("equal", "= not separated"))
    handles = [
        Rectangle((0, 0), 1, 1, facecolor=_FILLS[kind], label=words) for kind, words in kinds
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)


def _curves(figure: Any, report: Report) -> None:
    from matplotlib.ticker import EngFormatter

    looks = _looks(report.defined)
    axes = figure.subplots()
    for name, curve in report.curves.items():
        found, colour = curve.band, looks[name]["color"]
        axes.plot(curve.steps, found.value, label=_short(name), linewidth=1.2, **looks[name])
        if found.low is not None:
            axes.fill_between(
                curve.steps, found.low, found.high, alpha=0.15, linewidth=0, color=colour
            )
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel("gradient steps")
    axes.set_ylabel(f"IQM, {report_tables.unit(report)}")
    axes.grid(color="#DDDDDD", linewidth=0.5)
    _legend(figure, axes)
