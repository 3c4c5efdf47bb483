"""Tables of a report, with captions, rounded numbers and formatted intervals."""

from dataclasses import dataclass

import pandas as pd

from sb3_cardqn.compare.measures import AREA, EQUAL_TIME
from sb3_cardqn.compare.phrases import NO_NUMBER, count_seeds, interval, number, p_value, seeds_each
from sb3_cardqn.compare.results import JUDGED, Results
from sb3_cardqn.evaluate.evaluation import LOST, lost_cars
from sb3_cardqn.evaluate.numbers import decimals, time_spent

# measure -> title, description
MEASURES = {
    "final": ("Final checkpoint", "The agent at the end of training, scored in the held-out episodes."),
    "best": ("Best checkpoint", "The best agent of the evaluations, scored in the held-out episodes."),
    EQUAL_TIME: ("Equal wall-clock time", "Scored in the evaluations."),
    AREA: ("Area under the learning curve", "Mean score in the evaluations, from the first to the last."),
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


def without_score(aggregates: pd.DataFrame, runs: "pd.Series[int]") -> str:
    """
    :param aggregates: aggregates of one measure
    :param runs: number of runs of each contestant
    :return: sentence with the contestants without a score, and why; "" if there is none
    """
    absent = [str(name) for name in runs.index if name not in set(aggregates["contestant"])]
    of_time = aggregates["measure"].iloc[0] == EQUAL_TIME
    why = "some of the runs had not been evaluated by then" if of_time else "the checkpoint is missing"
    return f" Without a score: {', '.join(absent)}; {why}." if absent else ""


def scores_table(aggregates: pd.DataFrame, runs: "pd.Series[int]", digits: int) -> ReportTable:
    """
    :param aggregates: aggregates of one measure
    :param runs: number of runs of each contestant; some may lack the checkpoint
    :param digits: digits of a score after the decimal point
    :return: interquartile mean, mean and lowest run of each contestant
    """
    rows = []
    for row in aggregates.itertuples():
        seeds = (
            str(row.seeds) if row.seeds == runs[row.contestant] else f"{row.seeds} of {runs[row.contestant]}"
        )
        iqm, mean, lowest = (number(value, digits) for value in (row.iqm, row.mean, row.lowest))
        iqm_bounds = interval(row.iqm_low, row.iqm_high, digits)
        mean_bounds = interval(row.mean_low, row.mean_high, digits)
        rows.append([row.contestant, seeds, iqm, iqm_bounds, mean, mean_bounds, lowest])
    return ReportTable(
        "Scores in numbers",
        f"{count_seeds(aggregates['seeds'])}. Intervals over training seeds: Yuen's of the interquartile "
        "mean, Student's of the mean.",
        ["contestant", "seeds", "interquartile mean", "95 % interval", "mean", "95 % interval", "lowest"],
        rows,
    )


def comparisons_table(comparisons: pd.DataFrame, digits: int) -> ReportTable:
    """
    :param comparisons: comparisons of one measure
    :param digits: digits of a score after the decimal point
    :return: differences and probability of improvement of each pair
    """
    rows = [
        [
            row.contestant,
            row.other,
            number(row.difference, digits),
            interval(row.difference_low, row.difference_high, digits),
            p_value(row.p),
            _clear(row.clear),
            NO_NUMBER if row.clear else seeds_each(row.seeds_to_settle),
            number(row.mean_difference, digits),
            interval(row.mean_difference_low, row.mean_difference_high, digits),
            number(row.probability, 2),
            p_value(row.probability_p),
        ]
        for row in comparisons.itertuples()
    ]
    seeds = pd.concat([comparisons["seeds"], comparisons["other_seeds"]])
    return ReportTable(
        "Pairs in numbers",
        f"{count_seeds(seeds)}. Difference of the interquartile means with Yuen's interval and p, and the "
        "seeds each that would settle it; difference of the means with Welch's interval; probability that a "
        "run of the first scores higher than one of the second, with the p of Mann-Whitney. p is corrected "
        f"for {len(comparisons)} pair{'s' * (len(comparisons) > 1)}.",
        [
            *("first", "second", "difference", "95 % interval", "p", "difference is", "seeds to settle"),
            *("difference of means", "95 % interval", "probability", "p"),
        ],
        rows,
        labels=2,
    )


def _clear(clear: bool) -> str:
    return "clear" if clear else "not clear"


def times_table(times: pd.DataFrame) -> ReportTable:
    """
    :param times: times to the reward threshold
    :return: runs of each contestant that get there, and median times
    """

    def median(row: dict[str, float], name: str, unit: float, digits: int = 0) -> list[str]:
        value, low, high = (row[f"{name}{end}"] / unit for end in ("", "_low", "_high"))
        return [number(value, digits), interval(low, high, digits, none="none below 6 seeds")]

    minutes = decimals(times["seconds"] / 60, significant=1)
    rows = [
        [
            str(row["contestant"]),
            f"{row['reached']} of {row['seeds']}",
            *median(row, "agent_steps", 1),
            *median(row, "seconds", 60, minutes),
        ]
        for row in times.to_dict("records")
    ]
    return ReportTable(
        "Times in numbers",
        f"{count_seeds(times['seeds'])}. Medians, with intervals that assume no distribution.",
        ["contestant", "runs", "agent steps", "95 % interval", "minutes", "95 % interval"],
        rows,
    )


def time_comparisons_table(comparisons: pd.DataFrame) -> ReportTable:
    """
    :param comparisons: comparisons of times to the reward threshold
    :return: ratio of the times of each pair
    """
    clocks = {"agent_steps": "agent steps", "seconds": "minutes"}
    rows = [
        [
            row.contestant,
            row.other,
            clocks[row.axis],
            number(row.ratio, 2),
            interval(row.ratio_low, row.ratio_high, 2, none="too few seeds"),
            number(row.probability, 2),
            p_value(row.p),
            _clear(row.clear),
        ]
        for row in comparisons.itertuples()
    ]
    return ReportTable(
        "Pairs in numbers",
        "Ratio of the times (median of all pairs of runs) with its exact interval; probability that a run of "
        "the first gets there sooner than one of the second, with the p of Mann-Whitney, corrected for the "
        "number of pairs.",
        ["first", "second", "time in", "ratio", "95 % interval", "probability", "p", "difference is"],
        rows,
        labels=3,
    )


def resources_table(resources: pd.DataFrame, core_hours: pd.Series | None = None) -> ReportTable:
    """
    :param resources: resources of a comparison
    :param core_hours: core-hours of every finished run, or None if they are unknown
    :return: throughput, time and memory
    """

    def spread(row: dict[str, float], name: str, digits: int) -> str:
        low, high = number(row[f"{name}_min"], digits), number(row[f"{name}_max"], digits)
        return number(row[name], digits) + (f" ({low} to {high})" if low != high else "")

    minutes = decimals(resources["minutes"], significant=1)
    digits = {"agent_steps": 0, "steps_per_second": 0, "minutes": minutes, "peak_memory_mb": 0}
    rows = [
        [
            str(row["contestant"]),
            *(spread(row, name, digits[name]) for name in digits),
            f"{row['attempts']} for {row['seeds']}",
        ]
        for row in resources.to_dict("records")
    ]
    spent = ""
    if core_hours is not None and not core_hours.isna().any():
        spent = f" All finished runs with evaluations: {time_spent(core_hours.sum())} core-hours."
    return ReportTable(
        "Throughput, time, memory",
        f"{count_seeds(resources['seeds'])}. Mean (lowest to highest run). Minutes of training, without "
        "evaluations." + spent,
        ["contestant", "agent steps", "agent steps/s", "minutes", "peak memory, MB", "attempts for runs"],
        rows,
    )


def laps_table(drives: pd.DataFrame) -> ReportTable | None:
    """
    :param drives: drives of a comparison
    :return: finished laps and lost cars of each contestant; None if missed tiles of a drive were not counted
    """
    if "missed_tiles" not in drives or drives["missed_tiles"].isna().any():
        return None
    rows = []
    for (contestant, checkpoint), own in drives.groupby(["contestant", "checkpoint"], sort=False):
        finished = number(100 * own["lap_finished"].mean(), 1)
        rows.append([contestant, checkpoint, number(len(own)), finished, number(lost_cars(own).sum())])
    return ReportTable(
        "Laps",
        f"Held-out tracks of all runs together. A lost car missed more than {LOST} tiles.",
        ["contestant", "checkpoint", "laps", "finished, %", "cars lost"],
        rows,
        labels=2,
    )


def runs_table(scores: pd.DataFrame, results: Results, digits: int) -> ReportTable:
    """
    :param scores: scores of the runs in held-out episodes
    :param results: results of the comparison
    :param digits: digits of a score after the decimal point
    :return: one row per run
    """
    by_run = scores.pivot(index=["contestant", "seed"], columns="measure", values="score")
    measures = [measure for measure in JUDGED if measure in by_run]
    rows = []
    for row in results.runs.itertuples():
        key = (row.contestant, row.seed)
        cells = [number(by_run[measure].get(key, float("nan")), digits) for measure in measures]
        rows.append([row.contestant, str(row.seed), *cells, time_spent(row.seconds / 60), str(row.folder)])
    return ReportTable(
        "Runs",
        f"Mean over the held-out episodes; {NO_NUMBER} if a run has no such checkpoint.",
        ["contestant", "seed", *measures, "minutes", "folder"],
        rows,
    )
