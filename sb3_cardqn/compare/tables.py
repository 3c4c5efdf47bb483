"""Tables of a report, with captions, rounded numbers and formatted intervals."""

from dataclasses import dataclass

import pandas as pd

from sb3_cardqn.compare import statistics
from sb3_cardqn.compare.phrases import NO_NUMBER, count_seeds, interval, number
from sb3_cardqn.compare.results import Results

# measure -> title, description
MEASURES = {
    "final": ("Final checkpoint", "The agent at the end of training, scored in the held-out episodes."),
    "best": ("Best checkpoint", "The best agent of the evaluations, scored in the held-out episodes."),
    statistics.EQUAL_TIME: ("Equal wall-clock time", "Scored in the evaluations."),
}


@dataclass(frozen=True)
class ReportTable:
    """
    A table for the report.

    :param title: heading
    :param caption: explanation of its numbers
    :param header: names of the columns
    :param rows: cells, row by row
    :param labels: number of leading columns with names; the others contain numbers
    """

    title: str
    caption: str
    header: list[str]
    rows: list[list[str]]
    labels: int = 1


def scores_table(aggregates: pd.DataFrame, runs: "pd.Series[int]") -> ReportTable:
    """
    :param aggregates: aggregates of one measure
    :param runs: number of runs of each contestant; some may lack the checkpoint
    :return: interquartile mean and mean of each contestant
    """
    rows = []
    for row in aggregates.itertuples():
        seeds = (
            str(row.seeds) if row.seeds == runs[row.contestant] else f"{row.seeds} of {runs[row.contestant]}"
        )
        iqm, mean = number(row.iqm, 1), number(row.mean, 1)
        iqm_bounds, mean_bounds = (
            interval(row.iqm_low, row.iqm_high, 1),
            interval(row.mean_low, row.mean_high, 1),
        )
        rows.append([row.contestant, seeds, iqm, iqm_bounds, mean, mean_bounds])
    absent = [str(name) for name in runs.index if name not in set(aggregates["contestant"])]
    missing = f" No run of {', '.join(absent)} has a score." if absent else ""
    return ReportTable(
        "Scores in numbers",
        f"{count_seeds(aggregates['seeds'])}. 95 % bootstrap intervals over training seeds.{missing}",
        ["contestant", "seeds", "interquartile mean", "95 % interval", "mean", "95 % interval"],
        rows,
    )


def comparisons_table(comparisons: pd.DataFrame) -> ReportTable:
    """
    :param comparisons: comparisons of one measure
    :return: difference and probability of improvement of each pair
    """
    rows = [
        [
            row.contestant,
            row.other,
            number(row.difference, 1),
            interval(row.difference_low, row.difference_high, 1),
            number(row.probability, 2),
            interval(row.probability_low, row.probability_high, 2),
            "clear" if row.clear else "not clear",
        ]
        for row in comparisons.itertuples()
    ]
    seeds = pd.concat([comparisons["seeds"], comparisons["other_seeds"]])
    return ReportTable(
        "Pairs in numbers",
        f"{count_seeds(seeds)}. Difference of the interquartile means; probability that a run of the first "
        "scores higher than one of the second. An interval from 1.00 to 1.00 means that all these runs were "
        "better; further runs may not be.",
        ["first", "second", "difference", "95 % interval", "probability", "95 % interval", "difference is"],
        rows,
        labels=2,
    )


def resources_table(resources: pd.DataFrame) -> ReportTable:
    """
    :param resources: resources of a comparison
    :return: throughput, time and memory
    """

    def spread(row: dict[str, float], name: str, digits: int = 0) -> str:
        low, high = number(row[f"{name}_min"], digits), number(row[f"{name}_max"], digits)
        return number(row[name], digits) + (f" ({low} to {high})" if low != high else "")

    names = ["agent_steps", "steps_per_second", "minutes", "peak_memory_mb"]
    rows = [
        [
            str(row["contestant"]),
            *(spread(row, name) for name in names),
            f"{row['attempts']} for {row['seeds']}",
        ]
        for row in resources.to_dict("records")
    ]
    return ReportTable(
        "Throughput, time, memory",
        f"{count_seeds(resources['seeds'])}. Mean (lowest to highest run). Minutes of training, without "
        "evaluations.",
        ["contestant", "agent steps", "agent steps/s", "minutes", "peak memory, MB", "attempts for runs"],
        rows,
    )


def runs_table(scores: pd.DataFrame, results: Results) -> ReportTable:
    """
    :param scores: scores of the runs in held-out episodes
    :param results: results of the comparison
    :return: one row per run
    """
    by_run = scores.pivot(index=["contestant", "seed"], columns="measure", values="score")
    measures = [measure for measure in ("final", "best") if measure in by_run]
    rows = []
    for row in results.runs.itertuples():
        key = (row.contestant, row.seed)
        cells = [number(by_run[measure].get(key, float("nan")), 1) for measure in measures]
        rows.append([row.contestant, str(row.seed), *cells, number(row.seconds / 60, 1), str(row.folder)])
    return ReportTable(
        "Runs",
        f"Mean over the held-out episodes; {NO_NUMBER} if a run has no such checkpoint.",
        ["contestant", "seed", *measures, "minutes", "folder"],
        rows,
    )
