"""Charts of a comparison as Matplotlib figures: scores, learning curves, performance profiles."""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

# Okabe and Ito 2008: distinguishable for colour-blind people; without black and yellow, which are hard to see
# on dark and on light pages
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_LINES = ("-", "--", ":", "-.")
_MARKERS = ("o", "s", "D", "^", "P")
# column of a learning curve -> title, factor
_AXES = {"agent_steps": ("agent steps", 1.0), "seconds": ("minutes of training", 1 / 60)}
_CROWD = 6  # with more contestants, bands would hide the lines
_BAND_SEEDS = 10  # with fewer, bands of learning curves would cover everything
_COLUMNS = 4  # columns of a legend
_WIDTH = 60  # characters per line of a label


class Style(NamedTuple):
    """Matplotlib's colour, line style and marker; no two contestants share all three."""

    colour: str
    line: str
    marker: str


def styles(contestants: list[str]) -> dict[str, Style]:
    """
    Choose a style for every contestant, the same in all charts.

    >>> styles(["cardqn", "dqn"])["dqn"]
    Style(colour='#D55E00', line='--', marker='s')

    :param contestants: names, in the order of the plan
    :return: contestant -> style
    """
    return {
        name: Style(_COLOURS[i % len(_COLOURS)], _LINES[i % len(_LINES)], _MARKERS[i % len(_MARKERS)])
        for i, name in enumerate(contestants)
    }


def _label(name: str) -> str:
    """
    :param name: name of a contestant
    :return: label for Matplotlib, whose legends omit labels that begin with an underscore
    """
    label = textwrap.fill(name, _WIDTH, max_lines=3, placeholder=" …", break_on_hyphens=False)
    return f" {label}" if label.startswith("_") else label


def _finish(figure: Figure, title: str, legend: bool = True) -> Figure:
    """
    :param figure: figure with all its panels
    :param title: title of the figure
    :param legend: True for a legend of the lines, which are the same in all panels
    :return: the figure
    """
    for axes in figure.axes:
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    if legend:
        lines = figure.axes[0].get_legend_handles_labels()
        figure.legend(*lines, loc="outside lower center", ncols=_COLUMNS, frameon=False)
    figure.suptitle(title, fontsize=10)
    return figure


def learning_curves(curves: pd.DataFrame, runs: pd.DataFrame, styles: dict[str, Style], note: str) -> Figure:
    """
    :param curves: curves of the contestants, over both axes
    :param runs: curves of the runs, drawn as thin lines if there are few contestants
    :param styles: styles of the contestants
    :param note: number of seeds, in words
    :return: score over agent steps, and over minutes
    """
    figure = Figure(figsize=(10, 4.5 + 0.2 * (len(styles) // _COLUMNS)), layout="constrained")
    crowd = len(styles) > _CROWD
    bands = not crowd and bool(runs.groupby("contestant")["seed"].nunique().min() >= _BAND_SEEDS)
    thin = runs.head(0) if crowd else runs
    for axes, (column, (title, unit)) in zip(figure.subplots(1, 2, sharey=True), _AXES.items(), strict=True):
        for name, style in styles.items():
            for _, run in thin[thin["contestant"] == name].groupby("seed"):
                axes.plot(run[column] * unit, run["score"], color=style.colour, alpha=0.25, lw=0.8)
            curve = curves[(curves["axis"] == column) & (curves["contestant"] == name)]
            x = curve["x"] * unit
            axes.plot(x, curve["iqm"], style.line, color=style.colour, label=_label(name))
            if bands:
                axes.fill_between(x, curve["low"], curve["high"], color=style.colour, alpha=0.16, lw=0)
        axes.set(xlabel=title, xlim=(0, None))
    figure.axes[0].set(ylabel="score in evaluations")
    figure.axes[0].xaxis.set_major_formatter(EngFormatter(sep=""))  # agent steps: 50k
    return _finish(figure, f"Interquartile mean of the runs{', 95 % interval' * bands}; {note}")


def scores(aggregates: pd.DataFrame, runs: pd.DataFrame, styles: dict[str, Style], note: str) -> Figure:
    """
    :param aggregates: aggregates of all measures to show, side by side
    :param runs: scores of the runs
    :param styles: styles of the contestants
    :param note: number of seeds, in words
    :return: interquartile mean of each contestant with its interval, and below it the scores of its runs
    """
    measures = list(aggregates["measure"].unique())
    figure = Figure(figsize=(5 * len(measures), 1.6 + 0.5 * len(styles)), layout="constrained")
    panels = figure.subplots(1, len(measures), sharex=True, sharey=True, squeeze=False)[0]
    places = {name: -place for place, name in enumerate(styles)}
    for axes, measure in zip(panels, measures, strict=True):
        for row in aggregates[aggregates["measure"] == measure].itertuples():
            (colour, _, marker), y = styles[row.contestant], places[row.contestant]
            own = runs[(runs["measure"] == measure) & (runs["contestant"] == row.contestant)]["score"]
            axes.plot(own, [y - 0.25] * len(own), marker, color=colour, alpha=0.5, ms=5, mew=0)
            axes.plot([row.iqm_low, row.iqm_high], [y, y], "-", color=colour, lw=2.5)
            axes.plot(row.iqm, y, marker, color=colour, ms=9)
        axes.set(title=f"{measure} checkpoint", xlabel="score in held-out episodes")
        axes.set(yticks=list(places.values()), yticklabels=list(map(_label, places)))
        axes.set(ylim=(-len(places) + 0.4, 0.5))
    return _finish(figure, f"Interquartile mean with 95 % interval, and single runs; {note}", legend=False)


def profiles(tables: dict[str, pd.DataFrame], styles: dict[str, Style], note: str) -> Figure:
    """
    :param tables: "runs" or "episodes" -> its profiles, of the same measures
    :param styles: styles of the contestants
    :param note: number of seeds, in words
    :return: share that scores more than a threshold, with one row per table and one column per measure
    """
    measures: Sequence[str] = next(iter(tables.values()))["measure"].unique()
    size = 5 * len(measures), 4 * len(tables) + 0.2 * (len(styles) // _COLUMNS)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(tables), len(measures), sharey=True, squeeze=False)
    for row, (what, table) in zip(panels, tables.items(), strict=True):
        for axes, measure in zip(row, measures, strict=True):
            for name, (colour, line, _) in styles.items():
                profile = table[(table["measure"] == measure) & (table["contestant"] == name)]
                steps = {"drawstyle": "steps-post", "label": _label(name)}
                axes.plot(profile["threshold"], profile["share"], line, color=colour, **steps)
            axes.set(title=f"{measure} checkpoint", xlabel="score threshold")
        row[0].set(ylabel=f"share of {what} above the threshold")
    return _finish(figure, f"Performance profile; {note}")
