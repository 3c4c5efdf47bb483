"""The report of a comparison: one page that works offline, the same tables as Markdown and CSV, pictures."""

import base64
import json
import re
import sys
from html import escape
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import pandas as pd
import yaml

from sb3_cardqn.compare import charts, pictures, tables
from sb3_cardqn.compare.analysis import Analysis, analyse
from sb3_cardqn.compare.phrases import NOTES, count_seeds, number, verdict
from sb3_cardqn.compare.results import Results
from sb3_cardqn.compare.statistics import EQUAL_TIME
from sb3_cardqn.compare.styles import AXES, Style, styles
from sb3_cardqn.durable import write_text
from sb3_cardqn.errors import UserError
from sb3_cardqn.seeds import VALIDATION_SEEDS


def _of(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    return table[table["measure"] == measure]


def _markdown(text: str) -> str:
    """
    :param text: plain
    :return: to stand in a cell of a Markdown table
    """
    return re.sub(r"([\\`*|\[\]])", r"\\\1", escape(text, quote=False)).replace("\n", " ")


def _tracks(tracks: "pd.Series[int]") -> str:
    """
    :param tracks: seeds of the environment, repeated as often as driven
    :return: how many there are, and which
    """
    seeds = sorted(tracks.unique())
    in_a_row = len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1
    return f"{len(seeds)}: " + (f"{seeds[0]} to {seeds[-1]}" if in_a_row else ", ".join(map(str, seeds)))


def _facts(results: Results) -> dict[str, str]:
    """
    :param results: of a comparison
    :return: what was compared, on what, with how much effort
    """
    runs = results.runs
    validated = results.curves["track"].nunique() or "none"
    steps = sorted(number(steps) for steps in {runs["agent_steps"].min(), runs["agent_steps"].max()})
    return {
        "runs": f"{len(runs)}, of {runs['contestant'].nunique()} contestants",
        "training seeds": ", ".join(str(seed) for seed in sorted(runs["seed"].unique())),
        "agent steps a run": " to ".join(steps),
        "training, all runs": f"{number(runs['seconds'].sum() / 3600, 1)} h",
        "held-out tracks": _tracks(results.drives["track"])
        + ", drawn fast" * results.plan.get("fast", False),
        "validation tracks": f"{validated} in a row from seed {VALIDATION_SEEDS.start}",
    }


def _equal_time(analysis: Analysis) -> str:
    """
    :param analysis: of a comparison in which runs were validated
    :return: at which time, and who had got how far by then
    """
    rows = _of(analysis.scores, EQUAL_TIME)
    steps = rows.groupby("contestant", sort=False)["agent_steps"].mean()
    by_then = ", ".join(
        f"{name} {number(mean)}" if pd.notna(mean) else f"{name} before its first evaluation"
        for name, mean in steps.items()
    )
    return (
        f" At {number(rows['seconds'].iloc[0] / 60, 1)} minutes of training; agent steps by then: {by_then}."
    )


def _figures(analysis: Analysis, looks: dict[str, Style]) -> dict[str, Any]:
    """
    :param analysis: of a comparison
    :param looks: of the contestants
    :return: name -> figure as plotly.js takes it
    """
    figures = {
        f"learning_curves_{axis}": charts.learning_curves(
            axis, analysis.learning_curves, analysis.run_curves, looks
        )
        for axis in AXES
    }
    shown = analysis.aggregates[["iqm_low", "iqm_high"]].stack()
    everything = pd.concat([shown, analysis.scores["score"].dropna()])
    margin = max(0.04 * (everything.max() - everything.min()), 1)
    limits = [everything.min() - margin, everything.max() + margin]
    for measure in analysis.aggregates["measure"].unique():
        key = measure.replace(" ", "_")
        table, scores = _of(analysis.aggregates, measure), _of(analysis.scores, measure)
        figures[f"scores_{key}"] = charts.scores(table, scores, looks, limits)
        figures[f"profile_{key}"] = charts.profiles(
            _of(analysis.performance_profiles, measure), looks, "runs"
        )
        pairs = _of(analysis.comparisons, measure)
        if not pairs.empty:
            leads = pairs[pairs["contestant"] == pairs["contestant"].iloc[0]]
            figures[f"improvement_{key}"] = charts.improvement(leads, looks)
    for measure in analysis.drive_profiles["measure"].unique():
        figures[f"drives_{measure}"] = charts.profiles(_of(analysis.drive_profiles, measure), looks, "drives")
    return {name: json.loads(figure.to_json()) for name, figure in figures.items()}


def _video(path: Path) -> str:
    """
    :param path: of a video
    :return: data URI
    :raises UserError: if there is no such mp4 file
    """
    if path.suffix != ".mp4" or not path.is_file():
        raise UserError(f"a report's videos need to be mp4 files, got '{path}'")
    return f"data:video/mp4;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _save_pictures(folder: Path, analysis: Analysis, looks: dict[str, Style], note: str) -> None:
    """
    :param folder: to write PNG files to
    :param analysis: of a comparison
    :param looks: of the contestants
    :param note: number of seeds, in words
    """
    aggregates, profiles = (
        table[table["measure"] != EQUAL_TIME]
        for table in (analysis.aggregates, analysis.performance_profiles)
    )
    pictures.save_scores(folder / "scores.png", aggregates, analysis.scores, looks, note)
    pictures.save_profiles(folder / "profiles.png", profiles, looks, note)
    if not analysis.run_curves.empty:
        curves, runs = analysis.learning_curves, analysis.run_curves
        pictures.save_learning_curves(folder / "learning_curves.png", curves, runs, looks, note)


def write_report(
    results: Results,
    folder: Path,
    videos: dict[str, Path] | None = None,
    analysis: Analysis | None = None,
) -> Path:
    """
    Write ``report.html``, one page that needs no network; ``report.md`` with the same tables, PNG files of
    the main charts, and all numbers as CSV files in ``tables``.

    >>> page = write_report(Results.load(Path("comparison")), Path("comparison"))  # doctest: +SKIP

    :param results: of a comparison
    :param folder: to write to; is made
    :param videos: caption -> mp4 file, to put into the page
    :param analysis: of the results, where it is there already
    :return: path of the page
    :raises UserError: if there is nothing to report, a run drove other tracks than the rest, or a video is
        no mp4 file
    """
    sources = {caption: _video(path) for caption, path in (videos or {}).items()}
    analysis = analysis or analyse(results)
    looks = styles([str(name) for name in results.runs["contestant"].unique()])
    seeds = results.runs.groupby("contestant", sort=False)["seed"].count()
    sections = []
    for measure in analysis.aggregates["measure"].unique():
        aggregates, comparisons = _of(analysis.aggregates, measure), _of(analysis.comparisons, measure)
        title, about = tables.MEASURES[measure]
        sections.append(
            {
                "key": measure.replace(" ", "_"),
                "title": title,
                "about": about + (_equal_time(analysis) if measure == EQUAL_TIME else ""),
                "verdict": verdict(aggregates, comparisons, results.plan.get("baseline")),
                "scores": tables.scores_table(aggregates, seeds),
                "comparisons": None if comparisons.empty else tables.comparisons_table(comparisons),
                "compared": None if comparisons.empty else comparisons["contestant"].iloc[0],
            }
        )
    content = {
        "contestants": list(looks),
        "sections": sections,
        "facts": _facts(results),
        "seeds": count_seeds(seeds),
        "resources": tables.resources_table(analysis.resources),
        "runs": tables.runs_table(analysis.scores, results),
        "tracks": tables.track_tables(analysis.per_track, count_seeds(seeds)),
        "commands": results.runs[["contestant", "seed", "command"]].to_dict("records"),
        "machine": results.machine,
        "plan": yaml.safe_dump(json.loads(json.dumps(results.plan)), sort_keys=False, allow_unicode=True),
        "notes": NOTES,
        "has_curves": not analysis.run_curves.empty,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tables").mkdir(exist_ok=True)
    for name, table in vars(analysis).items():
        write_text(folder / "tables" / f"{name}.csv", table.to_csv(index=table.index.nlevels > 1))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sb3_cardqn.compare"),
        autoescape=jinja2.select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["cell"] = _markdown
    write_text(folder / "report.md", environment.get_template("report.md").render(content))
    page = environment.get_template("report.html").render(
        content, figures=_figures(analysis, looks), videos=sources, plotly_js=charts.get_plotlyjs()
    )
    write_text(folder / "report.html", page)
    try:
        with matplotlib.rc_context({"text.parse_math": False, "text.usetex": False}):  # names are no formulas
            _save_pictures(folder, analysis, looks, content["seeds"])
    except Exception as error:  # the page has all of it
        print(f"sb3-cardqn: no pictures: {type(error).__name__}: {error}", file=sys.stderr)
    return folder / "report.html"
