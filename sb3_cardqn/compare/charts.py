"""Interactive charts of a comparison, for the page."""

import textwrap
from collections.abc import Iterable
from html import escape
from typing import Any

import pandas as pd

from sb3_cardqn.compare.styles import AXES, Style
from sb3_cardqn.errors import UserError

try:
    import plotly.graph_objects as go
    from plotly.colors import hex_to_rgb
    from plotly.offline import get_plotlyjs
except ImportError as error:
    raise UserError("the report's charts need plotly, install it with: pip install plotly") from error

__all__ = ["get_plotlyjs", "improvement", "learning_curves", "profiles", "scores"]


def _label(name: str, width: int = 22) -> str:
    """
    :param name: of a contestant
    :param width: characters after which to break
    :return: for plotly, which reads tags in its texts
    """
    lines = textwrap.wrap(name, width, break_long_words=False)
    return "<br>".join(
        escape(line[i : i + 2 * width], quote=False) for line in lines for i in range(0, len(line), 2 * width)
    )


def _lines(names: Iterable[str]) -> int:
    """
    :param names: of contestants
    :return: lines that their labels take, one below the other
    """
    return sum(_label(name).count("<br>") + 1 for name in names)


def _figure(x: str, y: str, height: int) -> go.Figure:
    """
    :param x: title of the axis
    :param y: title of the axis
    :param height: pixels
    :return: empty figure; the page gives it its colours
    """
    axis = {"zeroline": False, "automargin": True}
    layout = {
        "template": {},
        "height": height,
        "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
        "xaxis": {**axis, "title": {"text": x}},
        "yaxis": {**axis, "title": {"text": y}},
        "legend": {"orientation": "h", "x": 0, "y": 1.03, "yanchor": "bottom"},
        "hovermode": "closest",
        "uirevision": "kept",  # what the legend hides stays hidden when the axis changes
    }
    return go.Figure(layout=layout)


def _add_line(
    figure: go.Figure, name: str, style: Style, table: pd.DataFrame, x: str, y: str, shape: str, hover: str
) -> None:
    """
    :param figure: to add a line to, with the band between the columns low and high where there is one
    :param name: of the contestant
    :param style: of the contestant
    :param table: the points
    :param x: column
    :param y: column
    :param shape: "linear", or "hv" for steps
    :param hover: plotly's template of what the mouse shows
    """
    common: dict[str, Any] = {"x": table[x], "legendgroup": name, "name": _label(name)}
    if "low" in table and table["low"].notna().any():
        edge = {"mode": "lines", "hoverinfo": "skip", "showlegend": False}
        edge |= {"line": {"width": 0, "shape": shape}}
        fill = f"rgba{(*hex_to_rgb(style.colour), 0.16)}"
        figure.add_scatter(y=table["low"], **common, **edge)
        figure.add_scatter(y=table["high"], fill="tonexty", fillcolor=fill, **common, **edge)
    line = {"color": style.colour, "dash": style.dash, "width": 2.5, "shape": shape}
    figure.add_scatter(y=table[y], mode="lines", line=line, hovertemplate=hover, **common)


def _add_estimate(
    figure: go.Figure, estimate: float, low: float, high: float, y: float, style: Style, hover: str
) -> None:
    """
    :param figure: to add a marker to, with its interval where there is one
    :param estimate: where
    :param low: lower bound; NaN where one seed allows no interval
    :param high: upper bound
    :param y: where
    :param style: of the contestant
    :param hover: plotly's template of what the mouse shows
    """
    bars = {"array": [high - estimate], "arrayminus": [estimate - low], "symmetric": False}
    look = {"color": style.colour, "thickness": 3, "width": 7}
    figure.add_scatter(
        x=[estimate],
        y=[y],
        mode="markers",
        marker={"color": style.colour, "symbol": style.symbol, "size": 13},
        error_x=None if pd.isna(low) else bars | look,
        hovertemplate=f"{hover}<extra></extra>",
    )


def _name_rows(figure: go.Figure, names: list[str]) -> None:
    """
    :param figure: with one row a name
    :param names: from top to bottom
    """
    labels = [_label(name) for name in names]
    figure.update_yaxes(tickvals=list(range(len(names))), ticktext=labels, range=[len(names) - 0.5, -0.5])


def learning_curves(
    axis: str, curves: pd.DataFrame, runs: pd.DataFrame, styles: dict[str, Style]
) -> go.Figure:
    """
    :param axis: "agent_steps" or "seconds"
    :param curves: of the contestants
    :param runs: curves of the runs, drawn thin
    :param styles: of the contestants
    :return: score over agent steps or minutes
    """
    title, unit = AXES[axis]
    figure = _figure(title, "score, validation tracks", height=400 + 20 * _lines(styles))
    figure.update_xaxes(rangemode="tozero", uirevision=axis)  # a zoom ends with the axis
    for name, style in styles.items():
        for seed, run in runs[runs["contestant"] == name].groupby("seed"):
            figure.add_scatter(
                x=run[axis] * unit,
                y=run["score"],
                mode="lines",
                line={"color": style.colour, "width": 1},
                opacity=0.35,
                legendgroup=name,
                showlegend=False,
                hovertemplate=f"%{{y:.0f}}<extra>{_label(name)}, seed {seed}</extra>",
            )
        curve = curves[(curves["contestant"] == name) & (curves["axis"] == axis)]
        _add_line(
            figure,
            name,
            style,
            curve.assign(x=curve["x"] * unit),
            "x",
            "iqm",
            "linear",
            "%{x:,.3~s}: %{y:.0f}",
        )
    return figure


def scores(
    aggregates: pd.DataFrame, runs: pd.DataFrame, styles: dict[str, Style], limits: list[float]
) -> go.Figure:
    """
    :param aggregates: of one measure
    :param runs: scores of the same, one row a run
    :param styles: of the contestants
    :param limits: of the score axis
    :return: interquartile mean with its interval, each run's score below it
    """
    figure = _figure("score", "", height=70 + 36 * len(aggregates) + 20 * _lines(aggregates["contestant"]))
    for row in aggregates.reset_index(drop=True).itertuples():
        style = styles[row.contestant]
        of_runs = runs[runs["contestant"] == row.contestant]
        figure.add_scatter(
            x=of_runs["score"],
            y=[row.Index + 0.25] * len(of_runs),
            mode="markers",
            marker={"color": style.colour, "symbol": style.symbol, "size": 8, "opacity": 0.7},
            hovertemplate="%{x:.1f}<extra>seed %{customdata}</extra>",
            customdata=of_runs["seed"],
        )
        _add_estimate(figure, row.iqm, row.iqm_low, row.iqm_high, row.Index - 0.1, style, "%{x:.1f}")
    _name_rows(figure, list(aggregates["contestant"]))
    return figure.update_layout(showlegend=False, xaxis_range=limits)


def improvement(comparisons: pd.DataFrame, styles: dict[str, Style]) -> go.Figure:
    """
    :param comparisons: of the leader, or the baseline, with the others, in one measure
    :param styles: of the contestants
    :return: probability of improvement over each of them, with its interval
    """
    others = list(comparisons["other"])
    figure = _figure("probability", "", height=80 + 24 * len(others) + 20 * _lines(others))
    figure.add_vline(x=0.5, line={"dash": "dot", "width": 1.5, "color": "#7d8793"})
    for place, row in enumerate(comparisons.itertuples()):
        estimate = (row.probability, row.probability_low, row.probability_high)
        _add_estimate(figure, *estimate, place, styles[row.contestant], "%{x:.2f}")
    _name_rows(figure, [f"over {name}" for name in others])
    return figure.update_layout(showlegend=False, xaxis_range=[-0.04, 1.04])


def profiles(table: pd.DataFrame, styles: dict[str, Style], what: str) -> go.Figure:
    """
    :param table: profiles of one measure
    :param styles: of the contestants
    :param what: is counted: "runs" or "drives"
    :return: share that scores more than a threshold
    """
    figure = _figure("score threshold", f"share of {what} above it", height=280 + 20 * _lines(styles))
    for name, style in styles.items():
        profile = table[table["contestant"] == name]
        if not profile.empty:
            _add_line(figure, name, style, profile, "threshold", "share", "hv", "above %{x:.0f}: %{y:.0%}")
    return figure.update_yaxes(range=[-0.02, 1.04], tickformat=".0%")
