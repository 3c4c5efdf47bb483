"""
Statistics of a comparison with rliable: functions from ``Results`` to one tidy table each.

The unit is a run (a training seed), because a repeated experiment draws new training runs. All runs drive the
same tracks, and a good run drives well on all of them, so its scores on 20 tracks are not 20 independent
draws. A run's score is therefore its mean over the tracks, and rliable gets a matrix of shape (runs, 1). With
tracks as its "tasks", the stratified bootstrap would draw different runs for each track, differences between
runs would average out, and intervals would be too narrow. The intervals describe other training seeds on
these tracks, not other tracks.

A percentile bootstrap of few runs is too narrow. In 4,000 simulated sets of normal scores, the 95 % interval
of the mean contained the true mean in 51 % of cases with 2 runs, 74 % with 3, 83 % with 5, 89 % with 10, 93 %
with 20.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import combinations, permutations
from math import comb
from typing import Any

import numpy as np
import pandas as pd
from rliable import library

from sb3_cardqn.compare.results import Results
from sb3_cardqn.errors import UserError

REPS = 2_000  # bootstrap samples
FEW = 10  # seeds; reports warn of fewer
CURVE_AXES = ("agent_steps", "seconds")
EQUAL_TIME = "equal time"
_RUN = ["contestant", "seed"]


@contextmanager
def _seeded() -> Iterator[None]:
    """Seed rliable's draws, which use NumPy's global generator even if it gets a ``random_state``."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _estimate(
    function: Callable[..., np.ndarray], *scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Estimate a statistic with its 95 % interval.

    :param function: statistic of the scores
    :param scores: (runs, 1, ...) scores of one contestant, or of each of two, which are drawn independently
    :return: estimate, lower and upper bound; bounds are NaN if a contestant has only one run
    """
    samples: Any = scores[0] if len(scores) == 1 else list(scores)
    if min(map(len, scores)) < 2:
        estimate = function(*scores)
        return estimate, np.full_like(estimate, np.nan), np.full_like(estimate, np.nan)
    with _seeded():
        estimates, intervals = library.get_interval_estimates({"": samples}, function, reps=REPS)
    return estimates[""], *intervals[""]


# rliable's metrics without SciPy, which would be called for every bootstrap sample


def _iqm(runs: np.ndarray) -> np.ndarray:
    """
    :param runs: (runs, 1, ...) scores
    :return: (1, ...) interquartile mean
    """
    cut = len(runs) // 4
    return np.sort(runs, axis=0)[cut : len(runs) - cut].mean(axis=0)


def _probability_of_improvement(runs: np.ndarray, others: np.ndarray) -> float:
    """
    :param runs: (runs, 1) scores
    :param others: (others, 1) scores
    :return: share of the pairs in which the first scores higher; a tie counts half
    """
    return float(np.heaviside(runs - others.T, 0.5).mean())  # (runs, others)


def _by_contestant(scores: pd.DataFrame) -> dict[str, np.ndarray]:
    """
    :param scores: contestant, score; one row per run
    :return: contestant -> (runs, 1) scores
    """
    known = scores.dropna(subset="score")
    return {str(name): runs[["score"]].to_numpy() for name, runs in known.groupby("contestant", sort=False)}


def held_out_scores(results: Results) -> pd.DataFrame:
    """
    Score of every run's checkpoints: the mean over the held-out tracks.

    :param results: results of a comparison
    :return: measure ("final" or "best", the checkpoint), contestant, seed, score
    :raises UserError: if there are no drives, or a run drove other tracks than the rest
    """
    if results.drives.empty:
        raise UserError("nothing to report: no run has been scored in a held-out episode yet")
    drives = results.drives.rename(columns={"checkpoint": "measure"})
    by_track = drives.pivot(index=["measure", *_RUN], columns="track", values="score")
    missing = by_track.isna()
    if missing.to_numpy().any():
        measure, contestant, seed = missing.index[missing.any(axis=1)][0]
        row = missing.loc[(measure, contestant, seed)]
        raise UserError(
            f"all runs need the same held-out episodes: the {measure} checkpoint of {contestant}, seed "
            f"{seed}, lacks {', '.join(str(track) for track in row.index[row])}"
        )
    # order of the tables: contestants as planned, the final checkpoint before the best one
    order = drives[["measure", *_RUN]].drop_duplicates()
    scores = by_track.mean(axis=1).rename("score").reset_index()
    return order.merge(scores).sort_values("measure", ascending=False, kind="stable", ignore_index=True)


def run_curves(results: Results) -> pd.DataFrame:
    """
    Score of every run at each of its evaluations: the mean over the validation tracks.

    :param results: results of a comparison
    :return: contestant, seed, agent_steps, seconds (of training), score
    """
    run = results.curves.groupby(_RUN, sort=False).ngroup()
    in_order = results.curves.assign(run=run).sort_values(["run", "agent_steps"], kind="stable")
    by_evaluation = in_order.groupby([*_RUN, "agent_steps"], sort=False, as_index=False)
    return by_evaluation.agg(seconds=("seconds", "mean"), score=("score", "mean"))


def equal_time_scores(results: Results) -> pd.DataFrame:
    """
    Score of every run at the wall-clock time at which the fastest contestant has finished all its runs.

    It is interpolated between two evaluations and NaN before the first one. A run that had ended before that
    time keeps its last score.

    :param results: results of a comparison
    :return: measure ("equal time"), contestant, seed, seconds (that time), agent_steps (at that time), score
        on validation tracks
    """
    curves = run_curves(results)
    rows = []
    seconds = curves.groupby("contestant")["seconds"].max().min()
    for (contestant, seed), curve in curves.groupby(_RUN, sort=False):
        steps, score = (
            np.interp(seconds, curve["seconds"], curve[name], left=np.nan)
            for name in ("agent_steps", "score")
        )
        rows.append((EQUAL_TIME, contestant, seed, seconds, steps, score))
    return pd.DataFrame(rows, columns=["measure", *_RUN, "seconds", "agent_steps", "score"])


def aggregates(scores: pd.DataFrame) -> pd.DataFrame:
    """
    Interquartile mean (with up to three runs the mean) and mean of every contestant's runs.

    :param scores: measure, contestant, seed, score
    :return: measure, contestant, seeds (their number), and iqm, mean with 95 % intervals (_low, _high; NaN
        with one seed)
    """

    def both(runs: np.ndarray) -> np.ndarray:
        return np.array([_iqm(runs).item(), runs.mean()])

    rows = []
    for measure, of_measure in scores.groupby("measure", sort=False):
        for contestant, runs in _by_contestant(of_measure).items():
            (iqm, mean), low, high = _estimate(both, runs)
            rows.append((measure, contestant, len(runs), iqm, low[0], high[0], mean, low[1], high[1]))
    estimates = [f"{name}{bound}" for name in ("iqm", "mean") for bound in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=["measure", "contestant", "seeds", *estimates])


def comparisons(scores: pd.DataFrame, baseline: str | None = None) -> pd.DataFrame:
    """
    Compare every pair of contestants, or a baseline with every other contestant.

    The first of a pair is the one with the higher interquartile mean, or the baseline. A difference is clear
    if its interval excludes 0, the interval of the probability of improvement excludes 0.5, and there are
    enough runs: if the two were equal, chance would separate m and n runs completely in 2 of (m + n choose n)
    cases, which must be at most 5 % (4 runs each, or 3 and 5). The number of pairs is not corrected for.

    :param scores: measure, contestant, seed, score
    :param baseline: contestant to compare the others with, or None for all pairs
    :return: measure, contestant, other, seeds, other_seeds, difference (of the interquartile means),
        probability (that a run of the first scores higher than one of the other), each with _low and _high
        (NaN if one has a single seed), and clear
    """

    def both(runs: np.ndarray, others: np.ndarray) -> np.ndarray:
        difference = _iqm(runs) - _iqm(others)
        return np.array([difference.item(), _probability_of_improvement(runs, others)])

    rows = []
    for measure, of_measure in scores.groupby("measure", sort=False):
        by_contestant = _by_contestant(of_measure)
        ranked = sorted(by_contestant, key=lambda name: -_iqm(by_contestant[name]).item())
        pairs: Iterable[tuple[str, str]] = combinations(ranked, 2)
        if baseline is not None:
            pairs = filter(lambda pair: pair[0] == baseline, permutations(ranked, 2))
        for contestant, other in pairs:
            runs, others = by_contestant[contestant], by_contestant[other]
            (difference, probability), low, high = _estimate(both, runs, others)
            enough = 2 / comb(len(runs) + len(others), len(runs)) <= 0.05
            better, worse = low[0] > 0 and low[1] > 0.5, high[0] < 0 and high[1] < 0.5
            clear = bool(enough and (better or worse))
            numbers = (difference, low[0], high[0], probability, low[1], high[1])
            rows.append((measure, contestant, other, len(runs), len(others), *numbers, clear))
    estimates = [
        f"{name}{bound}" for name in ("difference", "probability") for bound in ("", "_low", "_high")
    ]
    names = ["measure", "contestant", "other", "seeds", "other_seeds", *estimates, "clear"]
    return pd.DataFrame(rows, columns=names)


def _thresholds(scores: pd.Series) -> np.ndarray:
    """
    :param scores: scores of the profiles
    :return: thresholds at which profiles step down, with one point before the first and one after the last
    """
    steps = np.unique(scores.dropna())
    margin = max(0.05 * np.ptp(steps), 1)
    return np.concatenate([[steps[0] - margin], steps, [steps[-1] + margin]])


def performance_profiles(scores: pd.DataFrame) -> pd.DataFrame:
    """
    Share of the runs that score more than a threshold.

    :param scores: measure, contestant, seed, score
    :return: measure, contestant, threshold (the profile is constant up to the next one), share, low, high
        (NaN with one seed)
    """
    tables = []
    for measure, of_measure in scores.groupby("measure", sort=False):
        thresholds = _thresholds(of_measure["score"])
        for contestant, runs in _by_contestant(of_measure).items():
            with _seeded():
                profile, interval = library.create_performance_profile(
                    {"": runs},
                    thresholds,
                    # same as rliable's own, but for all thresholds at once
                    custom_profile_func=lambda runs, thresholds: np.mean(runs > thresholds, axis=0),
                    reps=REPS,
                )
            low, high = interval[""] if len(runs) > 1 else np.full((2, len(thresholds)), np.nan)
            columns = {"threshold": thresholds, "share": profile[""], "low": low, "high": high}
            tables.append(pd.DataFrame({"measure": measure, "contestant": contestant, **columns}))
    return pd.concat(tables, ignore_index=True)


def drive_profiles(results: Results) -> pd.DataFrame:
    """
    Share of the single drives of all runs that score more than a threshold.

    It describes these drives only. It has no interval, because they are not independent draws (see above).

    :param results: results of a comparison
    :return: measure, contestant, threshold (the profile is constant up to the next one), share
    """
    tables = []
    for measure, of_measure in results.drives.groupby("checkpoint", sort=False):
        thresholds = _thresholds(of_measure["score"])
        for contestant, drives in of_measure.groupby("contestant", sort=False):
            share = library.score_distributions(drives["score"].to_numpy(), thresholds)
            columns = {"threshold": thresholds, "share": share}
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
            scores = np.array([[np.interp(x, run[axis], run["score"])] for run in runs])  # (runs, 1, points)
            iqm, low, high = _estimate(lambda runs: _iqm(runs)[0], scores)
            columns = {"x": x, "iqm": iqm, "low": low, "high": high}
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
