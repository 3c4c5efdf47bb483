"""Graphs of the notebooks: each function draws one figure of numbers."""

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from gallery import Diary, smooth
from pictures import BLUE, GREEN, GREY, RED, WIDTH

COLORS = {"cardqn": BLUE, "dqn": RED, "qrdqn": GREEN, "ppo": "#CC79A7"}


def bars(values: dict[str, float], label: str) -> None:
    """
    :param values: name to length of its bar
    :param label: what is measured, with its unit
    """
    _, axes = plt.subplots(figsize=(WIDTH, 0.5 * len(values) + 0.7))
    drawn = axes.barh(list(values), list(values.values()), color=BLUE)
    axes.bar_label(drawn, [f"{value:,.0f}" for value in values.values()], padding=4)
    axes.set(xlabel=label, xticks=[], xlim=(0, 1.22 * max(values.values())))
    axes.invert_yaxis()
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    plt.show()


def correlation(
    seconds: np.ndarray, correlations: dict[str, np.ndarray], at_random: float
) -> None:
    """
    :param seconds: (lags,) time between two moments
    :param correlations: what is compared to (lags,) correlations
    :param at_random: mean correlation of shuffled pictures
    """
    _, axes = plt.subplots(figsize=(WIDTH, 2.8))
    for (name, values), color in zip(correlations.items(), (BLUE, RED), strict=True):
        axes.plot(seconds, values, color=color, label=name)
    axes.axhline(at_random, color="black", ls="--", lw=0.8, label="pictures, shuffled")
    axes.set(xlabel="seconds between two moments", ylabel="correlation")
    axes.legend()
    plt.show()


def curves(
    runs: dict[str, list[np.ndarray]],
    ylabel: str,
    limit: tuple[float, str] | None = None,
    log: bool = False,
) -> None:
    """
    Draw each training run thinly and the mean over their seeds boldly.

    :param runs: name to one (n, 2) curve per seed: agent steps, measurement
    :param ylabel: what was measured
    :param limit: a line to compare with, and its name
    :param log: with a logarithmic axis
    """
    _, axes = plt.subplots(figsize=(WIDTH, 3.2))
    for color, (name, seeds) in enumerate(runs.items()):
        style = {"color": f"C{color}"}
        for x, y in (run.T for run in seeds):
            axes.plot(x, y, alpha=0.25, lw=0.8, **style)
        mean = np.mean([run[:, 1] for run in seeds], axis=0)
        axes.plot(seeds[0][:, 0], mean, lw=2, label=name, **style)
    if limit:
        axes.axhline(limit[0], color="black", ls="--", lw=0.8, label=limit[1])
    axes.set(xlabel="agent steps", ylabel=ylabel, yscale="log" if log else "linear")
    axes.legend(fontsize=9)
    axes.grid(alpha=0.3)
    plt.show()


def calls(hooks: tuple[str, ...], called: list[tuple[int, str]], starts: int) -> None:
    """
    :param hooks: names, in the order of their rows
    :param called: agent steps taken by then, name of the hook
    :param starts: agent steps before anything is learned
    """
    _, axes = plt.subplots(figsize=(WIDTH, 3))
    for row, name in enumerate(hooks):
        when = [step for step, hook in called if hook == name]
        color = RED if name in ("train", "_update") else BLUE
        axes.plot(when, [row] * len(when), "o", markersize=5, color=color)
    axes.axvspan(-0.5, starts, color="gray", alpha=0.12, lw=0)
    axes.set(yticks=range(len(hooks)), yticklabels=hooks)
    axes.set(xlabel="agent steps taken when the hook is called", xticks=range(0, 25, 4))
    axes.set_title("grey: before learning_starts")
    axes.invert_yaxis()
    axes.grid(alpha=0.3)
    plt.show()


def schedules(named: dict[str, Callable[[float], float]]) -> None:
    """
    :param named: name to epsilon as a function of the progress remaining, 1 to 0
    """
    _, axes = plt.subplots(figsize=(WIDTH, 2.8))
    done = np.linspace(0, 1, 200)
    for name, schedule in named.items():
        epsilon = [schedule(1 - x) for x in done]
        label = f"{name}: {np.mean(epsilon):.2f} of the actions are random"
        axes.plot(done, epsilon, label=label)
    axes.set(xlabel="part of the learning period", ylabel="ε")
    axes.legend(fontsize=9)
    plt.show()


def logged(log: pd.DataFrame, metrics: tuple[str, ...]) -> None:
    """
    :param log: a row per dump, a column per metric
    :param metrics: those to draw
    """
    rows = len(metrics) // 2
    _, axes = plt.subplots(rows, 2, figsize=(WIDTH, 1.5 * rows), sharex=True)
    for ax, metric in zip(axes.flat, metrics, strict=True):
        seen = log[["time/total_timesteps", metric]].dropna()
        ax.plot(*seen.to_numpy().T, lw=1.2, color=BLUE)
        ax.set_title(metric)
        ax.grid(alpha=0.3)
    for ax in axes[-1]:
        ax.set_xlabel("agent steps")
    plt.show()


def intervals(aggregates: pd.DataFrame, scores: pd.DataFrame) -> None:
    """
    Draw each contestant's interquartile mean, its interval, and its runs as strokes.

    :param aggregates: a row per measure and contestant
    :param scores: a row per measure and run
    """
    titles = {"final": "final checkpoint", "best": "best on validation"}
    _, axes = plt.subplots(1, 2, figsize=(WIDTH, 3), sharex=True, sharey=True)
    for ax, (measure, title) in zip(axes, titles.items(), strict=True):
        rows = aggregates[aggregates["measure"] == measure].reset_index(drop=True)
        for y, row in rows.iterrows():
            color = COLORS[row["contestant"]]
            ax.plot([row["iqm_low"], row["iqm_high"]], [y, y], color=color, lw=3)
            ax.plot(row["iqm"], y, "o", color=color, markersize=9)
            chosen = scores["contestant"] == row["contestant"]
            runs = scores[chosen & (scores["measure"] == measure)]["score"]
            ax.plot(runs, [y + 0.25] * len(runs), "|", color=color, markersize=10)
        ax.set(title=title, xlabel="points, 100 held-out tracks")
        ax.set_yticks(range(len(rows)), rows["contestant"])
    axes[0].invert_yaxis()
    plt.show()


def learning_curves(runs: pd.DataFrame, means: pd.DataFrame) -> None:
    """
    :param runs: a row per evaluation of a run
    :param means: a row per contestant and point: interquartile mean
    """
    size = {"figsize": (WIDTH, 4.6), "sharex": True, "sharey": True}
    figure, axes = plt.subplots(2, 2, **size)
    means = means[means["axis"] == "agent_steps"]
    for ax, (name, color) in zip(axes.flat, COLORS.items(), strict=True):
        for _, run in runs[runs["contestant"] == name].groupby("seed"):
            x = run["agent_steps"] / 1000
            ax.plot(x, run["score"], color=color, lw=0.8, alpha=0.4)
        curve = means[means["contestant"] == name]
        x = curve["x"] / 1000
        ax.plot(x, curve["iqm"], color=color, lw=2.5)
        ax.set_title(name)
    figure.supxlabel("thousand agent steps", fontsize=10)
    figure.supylabel("points on validation tracks", fontsize=10)
    plt.show()


def profiles(shares: pd.DataFrame) -> None:
    """
    :param shares: a row per contestant and threshold: share of drives above it
    """
    _, axes = plt.subplots(figsize=(WIDTH, 3))
    for name, color in COLORS.items():
        one = shares[shares["contestant"] == name]
        style = {"where": "post", "color": color, "lw": 2, "label": name}
        axes.step(one["threshold"], one["share"], **style)
    axes.set(xlabel="score", ylabel="share of drives above it", ylim=(0, 1.03))
    axes.legend()
    plt.show()


def laps(frames: pd.Series, scores: pd.Series) -> None:
    """
    :param frames: of each finished lap
    :param scores: of each finished lap
    """
    _, axes = plt.subplots(figsize=(WIDTH, 2.8))
    f = np.array([580, 1000])
    axes.plot(f, 1000 - 0.1 * f, color="black", lw=1, label="1000 − 0.1 f")
    axes.plot(frames, scores, "o", color=BLUE, alpha=0.5, label="finished lap")
    axes.set(xlabel="frames f", ylabel="points")
    axes.legend()
    plt.show()


def histogram(values: pd.Series, xlabel: str, ylabel: str) -> None:
    """
    :param values: between 0 and 100
    :param xlabel: what they are
    :param ylabel: what is counted
    """
    _, axes = plt.subplots(figsize=(WIDTH, 2.4))
    axes.hist(values, bins=np.arange(0, 101, 5), color=RED)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    plt.show()


def diaries(
    kinds: dict[str, list[Diary]], *notes: str, limit: float | None = None
) -> None:
    """
    :param kinds: name to one diary per seed
    :param notes: those to draw, each in a panel: "episodes", "values", "rates"
    :param limit: a line in the panel of values
    """
    labels = {"episodes": "return", "values": "mean Q of a batch", "rates": "epsilon"}
    size = {"figsize": (WIDTH, 2.5 * len(notes)), "sharex": True, "squeeze": False}
    _, axes = plt.subplots(len(notes), 1, **size)
    for ax, note in zip(axes.flat, notes, strict=True):
        colors = (BLUE, RED, GREEN, GREY)
        for (name, runs), color in zip(kinds.items(), colors, strict=False):
            for i, diary in enumerate(runs):
                label = name if i == 0 else None
                noted = getattr(diary, note)
                # epsilon has no noise to smooth away
                line = np.array(noted) if note == "rates" else smooth(noted).to_numpy()
                x, y = line.T
                ax.plot(x / 1000, y, color=color, lw=1.8, alpha=0.8, label=label)
        ax.set(ylabel=labels[note], yscale="log" if note == "values" else "linear")
        ax.grid(alpha=0.3)
        if note == "values" and limit:
            ax.axhline(limit, color="black", ls=":", label="limit")
    axes[0, 0].legend(fontsize=9)
    axes[-1, 0].set_xlabel("thousand agent steps")
    plt.show()
