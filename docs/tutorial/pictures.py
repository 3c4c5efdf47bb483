"""Pictures of the notebooks: tracks, frames, and what networks make of them."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np

from reader import ACTION_NAMES

# a figure is as wide as a page of the site, and can still be read at half that
WIDTH = 6.4
plt.rcParams.update(
    {"figure.dpi": 115, "font.size": 10, "figure.constrained_layout.use": True}
)
BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7d8793"


def _arrows(axes: plt.Axes, q: np.ndarray, columns: int) -> None:
    for square, values in enumerate(q):
        if np.ptp(values) == 0:
            continue  # nothing learned, or nothing to choose: the finish
        row, column = divmod(square, columns)
        dy, dx = ((-1, 0), (0, 1), (1, 0), (0, -1))[int(values.argmax())]
        tail = (column - 0.2 * dx, row - 0.2 * dy)
        axes.arrow(*tail, 0.3 * dx, 0.3 * dy, head_width=0.16, color="white", lw=0.8)


def draw_table(
    axes: plt.Axes,
    track: list[str],
    q: np.ndarray,
    title: str,
    path: Sequence[int] = (),
) -> None:
    """
    :param axes: to draw on
    :param track: rows of letters
    :param q: (squares, 4) values: the best is the color, its move the arrow
    :param title: above it
    :param path: squares to join by a line
    """
    columns = len(track[0])
    axes.clear()
    axes.imshow(q.max(axis=1).reshape(-1, columns), cmap="viridis", vmin=-25, vmax=20)
    _arrows(axes, q, columns)
    for square, letter in enumerate("".join(track)):
        row, column = divmod(square, columns)
        axes.text(column - 0.46, row - 0.26, letter, fontsize=7, color="white")
    if path:
        rows, places = np.divmod(path, columns)
        axes.plot(places, rows, color="tab:red", lw=2)
    axes.set(xticks=[], yticks=[], title=title)


def track(squares: list[str]) -> None:
    """
    :param squares: rows of letters: G grass, R road, S start, F finish
    """
    colors = ((0.42, 0.42, 0.42), (0.40, 0.76, 0.40))  # road, grass
    _, axes = plt.subplots(figsize=(0.7 * WIDTH, 0.45 * WIDTH))
    axes.imshow([[colors[letter == "G"] for letter in row] for row in squares])
    rows, columns = len(squares), len(squares[0])
    axes.hlines(np.arange(rows - 1) + 0.5, -0.5, columns - 0.5, color="white", lw=1)
    axes.vlines(np.arange(columns - 1) + 0.5, -0.5, rows - 0.5, color="white", lw=1)
    axes.set(xticks=[], yticks=[])
    for row, letters in enumerate(squares):
        for column, letter in enumerate(letters):
            if letter in "SF":
                place = {
                    "ha": "center",
                    "va": "center",
                    "weight": "bold",
                    "fontsize": 14,
                }
                axes.text(column, row, letter, color="white", **place)
    plt.show()


def value_iteration(
    squares: list[str],
    q: np.ndarray,
    path: list[int],
    changes: list[float],
    gamma: float,
) -> None:
    """
    :param squares: rows of letters
    :param q: (squares, 4) optimal values
    :param path: squares that the best driver visits
    :param changes: largest change of a value, per round
    :param gamma: discount factor
    """
    _, (top, bottom) = plt.subplots(2, figsize=(WIDTH, 5.4), height_ratios=(1.7, 1))
    draw_table(top, squares, q, "V*, the best moves, and the way from S", path)
    bottom.semilogy(changes, color=BLUE)
    guarantee = changes[0] * gamma ** np.arange(len(changes))
    bottom.semilogy(guarantee, "--", color=GREY, label=r"$\gamma^k$, the guarantee")
    bottom.set(xlabel="round k of value iteration", ylabel="largest change of V")
    bottom.legend()
    plt.show()


def convergence(
    squares: list[str], snapshots: list[tuple[int, np.ndarray]], errors: list[float]
) -> None:
    """
    :param squares: rows of letters
    :param snapshots: number of races, (squares, 4) Q-table after them
    :param errors: mean distance to the exact values, for each snapshot
    """
    figure = plt.figure(figsize=(WIDTH, 6))
    tables, curve = figure.subfigures(2, height_ratios=(1.4, 1))
    axes = tables.subplots(2, 2)
    chosen = np.linspace(0, len(snapshots) - 1, 4).astype(int)
    for ax, i in zip(axes.flat, chosen, strict=True):
        draw_table(ax, squares, snapshots[i][1], f"races: {snapshots[i][0]}")
    ax = curve.subplots()
    races = [races for races, _ in snapshots]
    ax.loglog(races, errors, "o-", markersize=3, color=BLUE)
    ax.set(xlabel="races", ylabel="mean |V − V*|")
    ax.grid(alpha=0.3)
    plt.show()


def show(
    pictures: dict[str, np.ndarray], columns: int = 3, width: float = WIDTH
) -> None:
    """
    :param pictures: title to (height, width) or (height, width, 3) levels, 0 to 255
    :param columns: pictures side by side
    :param width: of the figure, in inches
    """
    rows = -(-len(pictures) // columns)
    shape = next(iter(pictures.values())).shape
    height = rows * (width / columns * shape[0] / shape[1] + 0.3)
    _, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, (title, picture) in zip(axes.flat, pictures.items(), strict=False):
        levels = np.clip(picture, 0, 255).astype(np.uint8)
        ax.imshow(levels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        ax.set_title(title)
    plt.show()


def action_sets(sets: dict[str, np.ndarray]) -> None:
    """
    :param sets: title to (actions, 3) steering, gas, brake
    """
    _, axes = plt.subplots(1, len(sets), figsize=(WIDTH, 3), sharey=True)
    for ax, (title, actions) in zip(axes, sets.items(), strict=True):
        steering, pedals = actions[:, 0], actions[:, 1] - actions[:, 2]
        ax.scatter(steering, pedals, s=40, color=BLUE)
        for i, place in enumerate(zip(steering, pedals, strict=True)):
            ax.annotate(str(i), place, textcoords="offset points", xytext=(5, 4))
        ax.set(xlabel="steering: −1 left, 1 right", title=title)
        ax.set(xlim=(-1.25, 1.3), ylim=(-1.15, 1.25))
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("gas (up), brake (down)")
    plt.show()


def decision(stack: np.ndarray, q: np.ndarray) -> None:
    """
    :param stack: (4, 64, 48) what the network reads
    :param q: (12,) what it answers
    """
    figure = plt.figure(figsize=(WIDTH, 5))
    top, bottom = figure.subfigures(2, height_ratios=(1, 2))
    for i, (ax, picture) in enumerate(zip(top.subplots(1, 4), stack, strict=True)):
        ax.imshow(picture, cmap="gray", vmin=0, vmax=255)
        ax.set(xticks=[], yticks=[], title=f"{80 * (i - 3)} ms" if i < 3 else "now")
    ax = bottom.subplots()
    colors = [RED if i == q.argmax() else BLUE for i in range(len(q))]
    ax.barh(ACTION_NAMES, q, color=colors)
    ax.set_xlabel("Q-value")
    ax.invert_yaxis()
    plt.show()


def histograms(p: np.ndarray, centers: np.ndarray) -> None:
    """
    :param p: (12, bins) probabilities
    :param centers: (bins,) middle of each bin
    """
    q = p @ centers
    _, axes = plt.subplots(figsize=(WIDTH, 3))
    for action, color in ((q.argmax(), RED), (q.argmin(), BLUE)):
        label = f"{ACTION_NAMES[action]}: mean {q[action]:.1f}"
        axes.bar(
            centers,
            p[action],
            width=centers[1] - centers[0],
            alpha=0.5,
            color=color,
            label=label,
        )
        axes.axvline(q[action], color=color, ls="--", lw=1)
    seen = centers[p[[q.argmax(), q.argmin()]].max(axis=0) > 1e-3]
    axes.set(xlabel="value of the target", ylabel="probability")
    axes.set(xlim=(seen.min() - 3, seen.max() + 3))
    axes.legend()
    plt.show()


def filters(weights: np.ndarray) -> None:
    """
    :param weights: (16, 4, 8, 8) of the first layer: filters, frames
    """
    span = np.abs(weights).max(axis=(1, 2, 3))
    figure, axes = plt.subplots(4, 16, figsize=(WIDTH, 2))
    for i, j in np.ndindex(4, 16):
        ax = axes[i, j]
        ax.imshow(weights[j, i], cmap="RdBu", vmin=-span[j], vmax=span[j])
        ax.set(xticks=[], yticks=[])
    for ax, milliseconds in zip(axes[:, 0], (-240, -160, -80, 0), strict=True):
        ax.set_ylabel(f"{milliseconds} ms", rotation=0, ha="right", va="center")
    figure.suptitle("16 filters (columns) for four frames (rows)", fontsize=10)
    plt.show()


def feature_maps(maps: np.ndarray) -> None:
    """
    :param maps: (16, height, width) what each filter answers
    """
    _, axes = plt.subplots(2, 8, figsize=(WIDTH, 1.75))
    for ax, picture in zip(axes.flat, maps, strict=True):
        ax.imshow(picture, cmap="viridis")
        ax.axis("off")
    plt.show()


def attention(picture: np.ndarray, moved: np.ndarray) -> None:
    """
    :param picture: (64, 48) newest frame
    :param moved: (16, 12) how far the Q-values move if this patch is covered
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3))
    for ax in (left, right):
        ax.imshow(picture, cmap="gray", vmin=0, vmax=255)
        ax.axis("off")
    heat = right.imshow(moved, cmap="inferno", alpha=0.65, extent=(0, 48, 64, 0))
    left.set_title("newest frame")
    right.set_title("Q-values move by")
    figure.colorbar(heat, ax=right, shrink=0.8)
    plt.show()


def matrices(correlations: dict[str, np.ndarray]) -> None:
    """
    :param correlations: title to (samples, samples) correlations
    """
    figure, axes = plt.subplots(1, len(correlations), figsize=(WIDTH, 3))
    for ax, (title, matrix) in zip(axes, correlations.items(), strict=True):
        shown = ax.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
        ax.set(title=title, xticks=[], yticks=[], xlabel="sample")
    figure.colorbar(shown, ax=axes, shrink=0.8, label="correlation")
    plt.show()


def shared_frames(transitions: int = 3, stack: int = 4) -> None:
    """
    :param transitions: neighbours, each a row
    :param stack: frames in an observation
    """
    _, axes = plt.subplots(figsize=(WIDTH, 2.2))
    for t in range(transitions):
        for name, first, color in (("s", t, BLUE), ("s'", t + 1, RED)):
            y = -t + (0.12 if name == "s" else -0.12)
            bar = {"lw": 7, "color": color, "solid_capstyle": "butt"}
            axes.plot([first - 0.3, first + stack - 0.7], [y, y], **bar)
            axes.text(first - 0.36, y, name, ha="right", va="center")
    for frame in range(transitions + stack):
        axes.axvline(frame, color=GREY, lw=0.4, zorder=0)
    axes.set(
        xticks=range(transitions + stack),
        xlabel="frame",
        ylim=(-transitions + 0.5, 0.5),
    )
    axes.set(yticks=[-t for t in range(transitions)])
    axes.set(yticklabels=[f"transition {t}" for t in range(transitions)])
    plt.show()


def transition(
    obs: np.ndarray,
    next_obs: np.ndarray,
    q: np.ndarray,
    next_q: np.ndarray,
    target: float,
) -> None:
    """
    :param obs: (4, 64, 48) before the action
    :param next_obs: (4, 64, 48) after it
    :param q: (12,) Q-values before the action
    :param next_q: (12,) Q-values after it
    :param target: of the action that was taken
    """
    figure = plt.figure(figsize=(WIDTH, 5.4))
    top, bottom = figure.subfigures(2, height_ratios=(1, 1.7))
    titles = ("s, newest frame", "s', 80 ms later")
    for ax, stack, title in zip(
        top.subplots(1, 2), (obs, next_obs), titles, strict=True
    ):
        ax.imshow(stack[3], cmap="gray", vmin=0, vmax=255)
        ax.set_title(title)
        ax.axis("off")
    ax = bottom.subplots()
    ax.plot(q, ACTION_NAMES, "o", color=BLUE, label="Q(s, ·)")
    ax.plot(next_q, ACTION_NAMES, "D", color=RED, markersize=5, label="Q(s', ·)")
    ax.axvline(target, color="black", lw=1, label="target y")
    ax.set_xlabel("value (1 is 10 points)")
    ax.invert_yaxis()
    ax.grid(alpha=0.3)
    ax.legend()
    plt.show()
