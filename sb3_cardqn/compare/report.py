"""Report of a comparison: an HTML page that works offline, Markdown, CSV tables and charts."""

import base64
import io
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

from sb3_cardqn.compare import pictures, tables
from sb3_cardqn.compare.analysis import Analysis, analyse
from sb3_cardqn.compare.measures import EQUAL_TIME
from sb3_cardqn.compare.phrases import count_seeds, notes, number, times_verdict, verdict
from sb3_cardqn.compare.results import JUDGED, Results
from sb3_cardqn.durable import replacing, write_text
from sb3_cardqn.env.task import task_of
from sb3_cardqn.errors import UserError
from sb3_cardqn.evaluate.numbers import decimals, time_spent
from sb3_cardqn.seeds import VALIDATION_SEEDS


def _of(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    return table[table["measure"] == measure]


def _markdown(text: str) -> str:
    """
    :param text: plain text
    :return: text for a cell of a Markdown table
    """
    return re.sub(r"([\\`*|\[\]])", r"\\\1", escape(text, quote=False)).replace("\n", " ")


def _episodes(seeds_of_all: "pd.Series[int]") -> str:
    """
    :param seeds_of_all: seeds of the episodes, possibly repeated
    :return: number of different episodes, and their seeds
    """
    seeds = sorted(seeds_of_all.unique())
    in_a_row = len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1
    return f"{len(seeds)} ({f'{seeds[0]} to {seeds[-1]}' if in_a_row else ', '.join(map(str, seeds))})"


def _facts(results: Results) -> dict[str, str]:
    """
    :param results: results of a comparison
    :return: numbers of runs, seeds, agent steps, hours and episodes, by name
    """
    runs = results.runs
    validated = results.curves["track"].nunique() or results.plan.get("eval_episodes", "none")
    steps = [number(steps) for steps in sorted({runs["agent_steps"].min(), runs["agent_steps"].max()})]
    drawn_fast = (
        results.plan.get("fast") is True and task_of(results.plan.get("env", "CarRacing-v3")).has_laps
    )
    kwargs = {name: read.get("env_kwargs", "none") for name, read in results.hyperparams.items()}
    differ = ", with env_kwargs " + "; ".join(f"{each} for {name}" for name, each in kwargs.items())
    failures = "; ".join(f"{run}: {failure[-200:]}" for run, failure in results.failures.items())
    return {
        "runs": f"{len(runs)}, of {runs['contestant'].nunique()} contestants",
        **({"failed runs": f"{len(results.failures)}, without a score ({failures})"} if failures else {}),
        "training seeds": ", ".join(str(seed) for seed in sorted(runs["seed"].unique())),
        "agent steps per run": " to ".join(steps),
        "training time of all runs": f"{time_spent(runs['seconds'].sum() / 3600)} h",
        "environment": str(results.plan.get("env", "CarRacing-v3"))
        + differ * (len(set(kwargs.values())) > 1),
        "held-out episodes": _episodes(results.drives["track"]) + ", drawn by FastRender" * drawn_fast,
        "episodes per evaluation": f"{validated}, from seed {VALIDATION_SEEDS.start}",
    }


def _equal_time(analysis: Analysis) -> str:
    """
    :param analysis: analysis of a comparison with evaluations
    :return: sentence with the time, and the agent steps of each contestant at that time
    """
    rows = _of(analysis["scores"], EQUAL_TIME)
    steps = rows.groupby("contestant", sort=False)["agent_steps"].mean()
    by_then = ", ".join(
        f"{name} {number(mean)}" if pd.notna(mean) else f"{name} before its first evaluation"
        for name, mean in steps.items()
    )
    return (
        f" At {time_spent(rows['seconds'].iloc[0] / 60)} minutes of training; agent steps by then: {by_then}."
    )


def _embedded(contents: bytes, kind: str) -> str:
    """
    :param contents: contents of a file
    :param kind: media type of the file
    :return: data URI
    """
    return f"data:{kind};base64,{base64.b64encode(contents).decode()}"


def _video(path: Path) -> str:
    """
    :param path: mp4 file
    :return: data URI
    :raises UserError: if it is missing or not an mp4 file
    """
    if path.suffix != ".mp4" or not path.is_file():
        raise UserError(f"a report's videos must be mp4 files, got '{path}'")
    return _embedded(path.read_bytes(), "video/mp4")


def _draw(folder: Path, analysis: Analysis, contestants: list[str], note: str) -> dict[str, str]:
    """
    :param folder: folder for PNG files
    :param analysis: analysis of the comparison
    :param contestants: names, in the order of the plan
    :param note: number of seeds, in words
    :return: name of each chart -> data URI of its SVG
    """
    looks = pictures.styles(contestants)
    aggregates = analysis["aggregates"][analysis["aggregates"]["measure"].isin(JUDGED)]
    profiles = {"runs": analysis["performance_profiles"], "episodes": analysis["drive_profiles"]}
    charts = {
        "scores": pictures.scores(aggregates, analysis["scores"], looks, note),
        "profiles": pictures.profiles(profiles, looks, note),
    }
    if not analysis["run_curves"].empty:
        curves = analysis["learning_curves"], analysis["run_curves"]
        charts["learning_curves"] = pictures.learning_curves(*curves, looks, note)
    embedded = {}
    for name, figure in charts.items():
        with replacing(folder / f"{name}.png") as beside:
            figure.savefig(beside, dpi=120)
        svg = io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None})
        embedded[name] = _embedded(svg.getvalue(), "image/svg+xml")
    return embedded


def _sections(
    results: Results, analysis: Analysis, seeds: "pd.Series[int]", digits: int
) -> list[dict[str, Any]]:
    """
    :param results: results of a comparison
    :param analysis: their analysis
    :param seeds: number of runs of each contestant
    :param digits: digits of a score after the decimal point in sentences
    :return: a section per measure: title, explanation, verdict and tables
    """
    sections: list[dict[str, Any]] = []
    for measure in analysis["aggregates"]["measure"].unique():
        aggregates, comparisons = _of(analysis["aggregates"], measure), _of(analysis["comparisons"], measure)
        title, about = tables.MEASURES[measure]
        sentence = verdict(aggregates, comparisons, results.plan.get("baseline"), digits)
        in_tables = max(digits, 1)
        sections.append(
            {
                "title": title,
                "about": about + (_equal_time(analysis) if measure == EQUAL_TIME else ""),
                "verdict": sentence + tables.without_score(aggregates, seeds),
                "scores": tables.scores_table(aggregates, seeds, in_tables),
                "comparisons": tables.comparisons_table(comparisons, in_tables) if len(comparisons) else None,
            }
        )
    if "times" in analysis:
        pairs = analysis["time_comparisons"]
        anyone = analysis["times"]["reached"].any()
        solved = f"{task_of(results.plan['env']).solved:g}".replace("-", "\N{MINUS SIGN}")
        sections.append(
            {
                "title": f"Time to a score of {solved}",
                "about": "Training until an evaluation scores that much, and the next one too.",
                "verdict": times_verdict(analysis["times"], pairs),
                "scores": tables.times_table(analysis["times"]),
                "comparisons": tables.time_comparisons_table(pairs) if anyone and not pairs.empty else None,
            }
        )
    return sections


def write_report(
    results: Results,
    folder: Path,
    videos: dict[str, Path] | None = None,
    analysis: Analysis | None = None,
) -> Path:
    """
    Write the report of a comparison.

    It consists of ``report.html``, one page that needs no network; ``report.md`` with the same tables; PNG
    files of the main charts; and all numbers as CSV files in ``tables``.

    >>> results = Results.load(Path("comparison/results"))  # doctest: +SKIP
    >>> page = write_report(results, Path("comparison"))  # doctest: +SKIP

    :param results: results of a comparison; ``compare`` saves them in the folder ``results`` in its output
    :param folder: folder to write to, created if missing
    :param videos: caption -> mp4 file to embed in the page
    :param analysis: analysis of the results, or None to compute it
    :return: path of the page
    :raises UserError: if there is nothing to report, a run has other held-out episodes than the rest, or a
        video is not an mp4 file
    """
    sources = {caption: _video(path) for caption, path in (videos or {}).items()}
    analysis = analysis or analyse(results)
    seeds = results.runs.groupby("contestant", sort=False)["seed"].count()
    threshold, has_curves = task_of(results.plan.get("env", "")).solved, not analysis["run_curves"].empty
    digits = decimals([threshold, *analysis["scores"]["score"]])
    sections = _sections(results, analysis, seeds, digits)
    if failed := len(results.failures):
        sections[0]["verdict"] += f" {failed} of {failed + len(results.runs)} runs failed and have no score."
    content = {
        "contestants": [str(name) for name in results.runs["contestant"].unique()],
        "sections": sections,
        "facts": _facts(results),
        "seeds": count_seeds(seeds),
        "resources": tables.resources_table(analysis["resources"], results.runs.get("core_hours")),
        "laps": tables.laps_table(results.drives),
        "runs": tables.runs_table(analysis["scores"], results, max(digits, 1)),
        "commands": results.runs[["contestant", "seed", "command"]].to_dict("records"),
        "machine": results.machine,
        "plan": yaml.safe_dump(json.loads(json.dumps(results.plan)), sort_keys=False, allow_unicode=True),
        "notes": notes(threshold, has_curves),
        "has_curves": has_curves,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tables").mkdir(exist_ok=True)
    for name, table in analysis.items():
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
    try:
        # do not parse names as formulas; the same results give the same page
        with matplotlib.rc_context({"text.parse_math": False, "text.usetex": False, "svg.hashsalt": ""}):
            charts = _draw(folder, analysis, content["contestants"], content["seeds"])
    except Exception as error:  # the tables contain the same numbers
        print(f"sb3-cardqn: no pictures: {type(error).__name__}: {error}", file=sys.stderr)
        charts = {}
    page = environment.get_template("report.html").render(content, charts=charts, videos=sources)
    write_text(folder / "report.html", page)
    return folder / "report.html"
