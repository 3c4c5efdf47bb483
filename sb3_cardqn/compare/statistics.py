"""
Statistics of a comparison: functions from scores or ``Results`` to one tidy table each.

The unit is a run (a training seed), because a repeated experiment draws new training runs. All runs drive the
same tracks, and a good run drives well on all of them, so its scores on 20 tracks are not 20 independent
draws. A run's score is therefore its mean over the tracks. The intervals describe other training seeds on
these tracks, not other tracks.

docs/explanation/statistics.md says which interval contains the truth how often.
"""

from itertools import combinations

import numpy as np
import pandas as pd

from sb3_cardqn.compare import inference
from sb3_cardqn.compare.inference import ERROR, IQM, MEAN, difference, trimmed_mean
from sb3_cardqn.compare.measures import run_curves
from sb3_cardqn.compare.results import Results
from sb3_cardqn.evaluate.numbers import decimals

FEW = 5  # seeds; reports warn of fewer, for which nothing was simulated
CURVE_AXES = ("agent_steps", "seconds")


def _names(*estimates: str) -> list[str]:
    return [f"{name}{bound}" for name in estimates for bound in ("", "_low", "_high")]


def _by_contestant(scores: pd.DataFrame, column: str = "score") -> dict[str, np.ndarray]:
    """
    :param scores: one row per run, with its contestant
    :param column: column to take; runs without a value are left out
    :return: contestant -> (runs,) values
    """
    known = scores.dropna(subset=column)
    return {str(name): runs[column].to_numpy() for name, runs in known.groupby("contestant", sort=False)}


def _pairs(ranked: list[str], baseline: str | None) -> list[tuple[str, str]]:
    """
    :param ranked: contestants, best first
    :param baseline: contestant to compare the others with, or None for all pairs
    :return: pairs, the better one or the baseline first
    """
    if baseline is None:
        return list(combinations(ranked, 2))
    return [(baseline, other) for other in ranked if baseline in ranked and other != baseline]


def aggregates(scores: pd.DataFrame) -> pd.DataFrame:
    """
    Interquartile mean (with up to three runs the mean) and mean of every contestant's runs.

    :param scores: measure, contestant, seed, score
    :return: measure, contestant, seeds (their number), iqm with Yuen's and mean with Student's 95 % interval
        (_low, _high; NaN with one seed, or without a spread), and the lowest score
    """
    rows = []
    for measure, of_measure in scores.groupby("measure", sort=False):
        for contestant, runs in _by_contestant(of_measure).items():
            iqm, mean = (trimmed_mean(runs, cut) for cut in (IQM, MEAN))
            numbers = (iqm.value, *iqm.bounds, mean.value, *mean.bounds, runs.min())
            rows.append((measure, contestant, len(runs), *map(float, numbers)))
    return pd.DataFrame(rows, columns=["measure", "contestant", "seeds", *_names("iqm", "mean"), "lowest"])


def comparisons(
    scores: pd.DataFrame, baseline: str | None = None, enough: float | None = None
) -> pd.DataFrame:
    """
    Compare every pair of contestants, or a baseline with every other contestant.

    The first of a pair is the one with the higher interquartile mean, or the baseline. A difference of the
    interquartile means is clear if its p, adjusted for the number of pairs of its measure, is at most 5 %.

    :param scores: measure, contestant, seed, score
    :param baseline: contestant to compare the others with, or None for all pairs
    :param enough: half width of an interval that settles a difference by excluding more; None for none
    :return: measure, contestant, other, seeds, other_seeds; difference of the interquartile means with Yuen's
        interval, its p (after Holm; where one has no spread, of Mann-Whitney, or 1 if
        the ranks point the other way), whether it is clear, and the
        seeds per side that would settle it; mean difference with Welch's interval; probability that a run of
        the first scores higher than one of the other, with its probability_p (Mann-Whitney, after Holm).
        Bounds are NaN if one has a single seed or no spread
    """
    estimates = [*_names("difference"), "p", *_names("mean_difference"), "probability", "probability_p"]
    names = ["measure", "contestant", "other", "seeds", "other_seeds", *estimates, "seeds_to_settle"]
    tables = []
    for measure, of_measure in scores.groupby("measure", sort=False):
        by_contestant = _by_contestant(of_measure)
        iqms = {name: trimmed_mean(runs, IQM) for name, runs in by_contestant.items()}
        rows = []
        pairs = _pairs(sorted(iqms, key=lambda name: -iqms[name].value), baseline)
        for contestant, other in pairs:
            one, two = by_contestant[contestant], by_contestant[other]
            seeds = len(one), len(two)
            gap = difference(iqms[contestant], iqms[other])
            mean_gap = difference(trimmed_mean(one, MEAN), trimmed_mean(two, MEAN))
            settled = inference.runs_to_settle(
                iqms[contestant], iqms[other], seeds, enough, ERROR / len(pairs)
            )
            better = inference.improvement(one, two)
            by_ranks = better[1] if (better[0] - 0.5) * gap.value > 0 else 1.0  # if they point the same way
            p = by_ranks if gap.variance == 0 else gap.p  # without a spread ranks decide
            numbers = (gap.value, *gap.bounds, p, mean_gap.value, *mean_gap.bounds)
            rows.append((measure, contestant, other, *seeds, *map(float, numbers), *better, settled))
        if rows:
            table = pd.DataFrame(rows, columns=names)
            tables.append(table.assign(**{p: inference.holm(table[p]) for p in ("p", "probability_p")}))
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=names)
    return table.assign(clear=table["p"] <= ERROR)


def times(runs: pd.DataFrame) -> pd.DataFrame:
    """
    :param runs: contestant, seed, agent_steps, seconds until a run gets there (inf if never)
    :return: contestant, seeds (their number), reached (how many get there), and the medians of agent_steps
        and seconds with distribution-free 95 % intervals (_low, _high; NaN with fewer than 6 seeds)
    """
    rows = []
    for contestant, of_contestant in runs.groupby("contestant", sort=False):
        medians = [value for axis in CURVE_AXES for value in inference.median(of_contestant[axis])]
        reached = int(np.isfinite(of_contestant["agent_steps"]).sum())
        rows.append((contestant, len(of_contestant), reached, *medians))
    return pd.DataFrame(rows, columns=["contestant", "seeds", "reached", *_names(*CURVE_AXES)])


def time_comparisons(runs: pd.DataFrame, ends: pd.DataFrame, baseline: str | None = None) -> pd.DataFrame:
    """
    Compare the times of every pair of contestants, or of a baseline with every other contestant.

    :param runs: contestant, seed, agent_steps, seconds until a run gets there (inf if never)
    :param ends: index contestant; agent_steps and seconds until which all its runs were evaluated. A time
        after the earlier end of a pair counts as never, because a run that had ended might have been faster
    :param baseline: contestant to compare the others with, or None for all pairs
    :return: axis ("agent_steps" or "seconds"), contestant (of which more runs get there, or the same number
        sooner), other; typical ratio of their times with its exact 95 % interval (NaN where there are too few
        seeds, or what never came decides); probability that a run of the first gets there sooner, with its p
        (Mann-Whitney, after Holm), and whether that is clear
    """
    names = ["axis", "contestant", "other", *_names("ratio"), "probability", "p"]
    tables = []
    for axis in CURVE_AXES:
        by_contestant = _by_contestant(runs, axis)
        rank = {name: (-np.isfinite(own).sum(), np.median(own)) for name, own in by_contestant.items()}
        rows = []
        for contestant, other in _pairs(sorted(rank, key=lambda name: rank[name]), baseline):
            end = ends.loc[[contestant, other], axis].min()
            one, two = (
                np.where(own <= end, own, np.inf) for own in (by_contestant[contestant], by_contestant[other])
            )
            rows.append(
                (axis, contestant, other, *inference.ratio(one, two), *inference.improvement(-one, -two))
            )
        table = pd.DataFrame(rows, columns=names)
        tables.append(table.assign(p=inference.holm(table["p"])))
    table = pd.concat(tables, ignore_index=True)
    return table.assign(clear=table["p"] <= ERROR)


def _thresholds(scores: pd.Series) -> np.ndarray:
    """
    :param scores: scores of the profiles
    :return: thresholds at which profiles step down, with one point before the first and one after the last
    """
    steps = np.unique(scores.dropna())
    margin = max(0.05 * np.ptp(steps), 0.1 ** decimals(steps))
    return np.concatenate([[steps[0] - margin], steps, [steps[-1] + margin]])


def profiles(scores: pd.DataFrame) -> pd.DataFrame:
    """
    Share of the scores above a threshold.

    It describes these scores only. It has no interval: that of a few runs is as wide as the picture is high,
    and the episodes of a run are not independent draws (see above).

    :param scores: measure, contestant, score; one row per run or per episode
    :return: measure, contestant, threshold (the profile is constant up to the next one), share
    """
    tables = []
    for measure, of_measure in scores.groupby("measure", sort=False):
        thresholds = _thresholds(of_measure["score"])
        for contestant, own in _by_contestant(of_measure).items():
            columns = {"threshold": thresholds, "share": (own[:, None] > thresholds).mean(axis=0)}
            tables.append(pd.DataFrame({"measure": measure, "contestant": contestant, **columns}))
    return pd.concat(tables, ignore_index=True)


def learning_curves(results: Results) -> pd.DataFrame:
    """
    Interquartile mean of the runs over agent steps and over seconds, on validation tracks.

    Runs are evaluated at different points, so they are interpolated to a common grid of all these points. The
    grid starts where every run of the contestant has been evaluated. Over agent steps it ends where the first
    run ends; over seconds it ends with the last run, and runs that have ended keep their last score.
    Intervals are pointwise.

    :param results: results of a comparison
    :return: axis ("agent_steps" or "seconds"), contestant, x, iqm, low, high (NaN with one seed)
    """
    curves = run_curves(results)
    tables = []
    for axis in CURVE_AXES:
        for contestant, of_contestant in curves.groupby("contestant", sort=False):
            runs = [run for _, run in of_contestant.groupby("seed")]
            ends = [run[axis].iloc[-1] for run in runs]
            start, end = max(run[axis].iloc[0] for run in runs), (min if axis == "agent_steps" else max)(ends)
            if start > end:
                continue
            points = np.unique(of_contestant[axis])
            x = points[(points >= start) & (points <= end)]
            iqm = trimmed_mean([np.interp(x, run[axis], run["score"]) for run in runs], IQM)  # (runs, points)
            columns = {"x": x, "iqm": iqm.value, "low": iqm.bounds[0], "high": iqm.bounds[1]}
            tables.append(pd.DataFrame({"axis": axis, "contestant": contestant, **columns}))
    names = ["axis", "contestant", "x", "iqm", "low", "high"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=names)


def resources(results: Results) -> pd.DataFrame:
    """
    Throughput, time and memory of the runs.

    :param results: results of a comparison
    :return: contestant, seeds (their number), agent_steps, steps_per_second, minutes (of training, without
        evaluations), peak_memory_mb, each as mean, _min and _max over the runs, and attempts (total)
    """
    runs = results.runs.assign(
        steps_per_second=results.runs["agent_steps"] / results.runs["seconds"],
        minutes=results.runs["seconds"] / 60,
    )
    names = ["agent_steps", "steps_per_second", "minutes", "peak_memory_mb"]
    columns = {
        f"{name}{suffix}": (name, how)
        for name in names
        for suffix, how in (("", "mean"), ("_min", "min"), ("_max", "max"))
    }
    by_contestant = runs.groupby("contestant", sort=False)
    return by_contestant.agg(seeds=("seed", "count"), **columns, attempts=("attempts", "sum")).reset_index()


def per_track(results: Results) -> pd.DataFrame:
    """
    Mean score over the runs on every track, to see where contestants differ.

    :param results: results of a comparison
    :return: index measure, track; one column per contestant (NaN if it has no such checkpoint)
    """
    drives = results.drives.rename(columns={"checkpoint": "measure"})
    table = drives.pivot_table(index=["measure", "track"], columns="contestant", values="score", sort=False)
    table.columns.name = None
    return table
