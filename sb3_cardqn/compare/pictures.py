"""The main charts of a comparison as PNG files, for documents."""

import textwrap
from pathlib import Path
from typing import Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from sb3_cardqn.compare.styles import AXES, Style
from sb3_cardqn.durable import replacing

_DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
_CROWD = 6  # contestants; the bands of more hide the lines
_COLUMNS = 4  # of a legend
_WIDTH = 60  # characters of a label
_MARKERS = {"circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "cross": "P"}


def _label(name: str) -> str:
    """
    :param name: of a contestant
    :return: for Matplotlib, which leaves names with an underscore in front out of its legends
    """
    label = textwrap.fill(name, _WIDTH, max_lines=3, placeholder=" …", break_on_hyphens=False)
    return f" {label}" if label.startswith("_") else label


def _save(figure: Figure, path: Path) -> None:
    for axes in figure.axes:
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as beside:
        figure.savefig(beside, dpi=120)


def _legend(figure: Figure) -> None:
    """
    :param figure: whose panels have the same lines; they are named below it
    """
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=_COLUMNS, frameon=False
    )


def _title(estimate: str, styles: dict[str, Style], note: str) -> str:
    """
    :param estimate: what the lines are
    :param styles: of the contestants
    :param note: number of seeds, in words
    :return: title of a figure with lines
    """
    return f"{estimate}{'' if len(styles) > _CROWD else ', 95 % interval'}; {note}"


def _draw(
    axes: Axes,
    name: str,
    styles: dict[str, Style],
    table: pd.DataFrame,
    x: "pd.Series[float]",
    y: str,
    step: bool,
) -> None:
    """
    :param axes: to draw one contestant's line on, and, if there is no crowd of them, the band between the
        columns low and high
    :param name: of the contestant
    :param styles: of the contestants
    :param table: the points
    :param x: of the points
    :param y: column
    :param step: constant from each point to the next
    """
    style = styles[name]
    drawstyle = "steps-post" if step else "default"
    axes.plot(x, table[y], _DASHES[style.dash], color=style.colour, label=_label(name), drawstyle=drawstyle)
    if len(styles) <= _CROWD and table["low"].notna().any():
        kind: Literal["post"] | None = "post" if step else None
        axes.fill_between(x, table["low"], table["high"], step=kind, color=style.colour, alpha=0.16, lw=0)


def save_learning_curves(
    path: Path, curves: pd.DataFrame, runs: pd.DataFrame, styles: dict[str, Style], note: str
) -> None:
    """
    :param path: of the picture
    :param curves: of the contestants, both axes
    :param runs: curves of the runs, drawn thin if there is no crowd of contestants
    :param styles: of the contestants
    :param note: number of seeds, in words
    """
    figure = Figure(figsize=(10, 4.5 + 0.2 * (len(styles) // _COLUMNS)), layout="constrained")
    thin = runs if len(styles) <= _CROWD else runs.head(0)
    for axes, (column, (title, unit)) in zip(figure.subplots(1, 2, sharey=True), AXES.items(), strict=True):
        for name, style in styles.items():
            for _, run in thin[thin["contestant"] == name].groupby("seed"):
                axes.plot(run[column] * unit, run["score"], color=style.colour, alpha=0.25, lw=0.8)
            curve = curves[(curves["axis"] == column) & (curves["contestant"] == name)]
            _draw(axes, name, styles, curve, curve["x"] * unit, "iqm", step=False)
        axes.set(xlabel=title, xlim=(0, None))
    figure.axes[0].set(ylabel="score, validation tracks")
    figure.axes[0].xaxis.set_major_formatter(EngFormatter(sep=""))  # agent steps: 50k
    _legend(figure)
    figure.suptitle(_title("Interquartile mean of runs", styles, note), fontsize=10)
    _save(figure, path)


def save_scores(
    path: Path, aggregates: pd.DataFrame, scores: pd.DataFrame, styles: dict[str, Style], note: str
) -> None:
    """
    :param path: of the picture
    :param aggregates: of all measures to show, side by side
    :param scores: of the runs
    :param styles: of the contestants
    :param note: number of seeds, in words
    """
    measures = list(aggregates["measure"].unique())
    figure = Figure(figsize=(5 * len(measures), 1.6 + 0.5 * len(styles)), layout="constrained")
    panels = figure.subplots(1, len(measures), sharex=True, sharey=True, squeeze=False)[0]
    places = {name: -place for place, name in enumerate(styles)}
    for axes, measure in zip(panels, measures, strict=True):
        for row in aggregates[aggregates["measure"] == measure].itertuples():
            style, y = styles[row.contestant], places[row.contestant]
            runs = scores[(scores["measure"] == measure) & (scores["contestant"] == row.contestant)]["score"]
            marker = _MARKERS[style.symbol]
            axes.plot(runs, [y - 0.25] * len(runs), marker, color=style.colour, alpha=0.5, ms=5, mew=0)
            axes.plot([row.iqm_low, row.iqm_high], [y, y], "-", color=style.colour, lw=2.5)
            axes.plot(row.iqm, y, marker, color=style.colour, ms=9)
        axes.set(title=f"{measure} checkpoint", xlabel="score, held-out tracks")
        axes.set(
            yticks=list(places.values()),
            yticklabels=list(map(_label, places)),
            ylim=(-len(places) + 0.4, 0.5),
        )
    figure.suptitle(f"Interquartile mean, 95 % interval, and each run; {note}", fontsize=10)
    _save(figure, path)


def save_profiles(path: Path, profiles: pd.DataFrame, styles: dict[str, Style], note: str) -> None:
    """
    :param path: of the picture
    :param profiles: of the runs, of all measures to show, side by side
    :param styles: of the contestants
    :param note: number of seeds, in words
    """
    measures = list(profiles["measure"].unique())
    figure = Figure(figsize=(5 * len(measures), 4 + 0.2 * (len(styles) // _COLUMNS)), layout="constrained")
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axes, measure in zip(panels, measures, strict=True):
        for name in styles:
            table = profiles[(profiles["measure"] == measure) & (profiles["contestant"] == name)]
            _draw(axes, name, styles, table, table["threshold"], "share", step=True)
        axes.set(title=f"{measure} checkpoint", xlabel="score threshold")
    panels[0].set(ylabel="share of runs above it")
    _legend(figure)
    figure.suptitle(_title("Performance profile", styles, note), fontsize=10)
    _save(figure, path)
