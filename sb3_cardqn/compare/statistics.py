"""
Statistics of a comparison, by rliable: ``Results`` in, one tidy table for each question out.

What is drawn anew when an experiment is repeated is the training run, so a run (a training seed) is the unit.
All runs drive the same tracks, and a run that drives well does so on all of them: its scores on 20 tracks
are no 20 draws of the agent. A run's score is therefore its mean over the tracks, and rliable gets a matrix
of shape (runs, 1). With tracks as its "tasks", the stratified bootstrap would draw other runs for each track,
the runs' differences would average out, and the intervals would be too narrow. They say what other training
seeds would do on these tracks, nothing about other tracks.

A percentile bootstrap of few runs promises too much. Of 4,000 simulated sets of normal scores, the 95 %
interval of the mean held the truth in 51 % with 2 runs, 74 % with 3, 83 % with 5, 89 % with 10, 93 % with 20.
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
FEW = 10  # seeds; below, say so
CURVE_AXES = ("agent_steps", "seconds")
EQUAL_TIME = "equal time"
_RUN = ["contestant", "seed"]


@contextmanager
def _seeded() -> Iterator[None]:
    """Seed rliable's draws: they come from NumPy's global generator, whatever ``random_state`` it gets."""
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
    Estimate something with its 95 % interval.

    :param function: of the scores
    :param scores: (runs, 1, ...) of one contestant, or of each of two, which are then drawn independently
    :return: estimate, lower and upper bound; the bounds are NaN where a contestant has one run only
    """
    samples: Any = scores[0] if len(scores) == 1 else list(scores)
    if min(map(len, scores)) < 2:
        estimate = function(*scores)
        return estimate, np.full_like(estimate, np.nan), np.full_like(estimate, np.nan)
    with _seeded():
        estimates, intervals = library.get_interval_estimates({"": samples}, function, reps=REPS)
    return estimates[""], *intervals[""]


# rliable's metrics without SciPy behind them, which each bootstrap sample would call


def _iqm(runs: np.ndarray) -> np.ndarray:
    """
    :param runs: (runs, 1, ...)
    :return: (1, ...) interquartile mean
    """
    cut = len(runs) // 4
    return np.sort(runs, axis=0)[cut : len(runs) - cut].mean(axis=0)


def _probability_of_improvement(runs: np.ndarray, others: np.ndarray) -> float:
    """
    :param runs: (runs, 1)
    :param others: (others, 1)
    :return: share of the pairs in which the first scores higher; a tie counts half
    """
    return float(np.heaviside(runs - others.T, 0.5).mean())  # (runs, others)


def _by_contestant(scores: pd.DataFrame) -> dict[str, np.ndarray]:
    """
    :param scores: contestant, score; one row a run
    :return: contestant -> (runs, 1) scores
    """
    known = scores.dropna(subset="score")
    return {str(name): runs[["score"]].to_numpy() for name, runs in known.groupby("contestant", sort=False)}


def held_out_scores(results: Results) -> pd.DataFrame:
    """
    Score each run's checkpoints: the mean over the held-out tracks.

    :param results: of a comparison
    :return: measure ("final" or "best", the checkpoint), contestant, seed, score
    :raises UserError: if there is nothing to score, or a run drove other tracks than the rest
    """
    if results.drives.empty:
        raise UserError("nothing to report: no run has driven any held-out track yet")
    drives = results.drives.rename(columns={"checkpoint": "measure"})
    by_track = drives.pivot(index=["measure", *_RUN], columns="track", values="score")
    missing = by_track.isna()
    if missing.to_numpy().any():
        measure, contestant, seed = missing.index[missing.any(axis=1)][0]
        row = missing.loc[(measure, contestant, seed)]
        raise UserError(
            f"all runs need the same held-out tracks: {contestant}, seed {seed}, {measure} checkpoint, "
            f"has not driven {', '.join(str(track) for track in row.index[row])}"
        )
    # in the order of the tables: contestants as planned, the last checkpoint before the chosen one
    order = drives[["measure", *_RUN]].drop_duplicates()
    scores = by_track.mean(axis=1).rename("score").reset_index()
    return order.merge(scores).sort_values("measure", ascending=False, kind="stable", ignore_index=True)


def run_curves(results: Results) -> pd.DataFrame:
    """
    Score each run at each of its evaluations: the mean over the validation tracks.

    :param results: of a comparison
    :return: contestant, seed, agent_steps, seconds (of training), score
    """
    run = results.curves.groupby(_RUN, sort=False).ngroup()
    in_order = results.curves.assign(run=run).sort_values(["run", "agent_steps"], kind="stable")
    by_evaluation = in_order.groupby([*_RUN, "agent_steps"], sort=False, as_index=False)
    return by_evaluation.agg(seconds=("seconds", "mean"), score=("score", "mean"))


def equal_time_scores(results: Results) -> pd.DataFrame:
    """
    Score each run at the wall-clock time at which the fastest contestant is finished: all of its runs are.

    Between two evaluations it is interpolated, before the first one there is none (NaN), and a run that had
    ended by then keeps its last one.

    :param results: of a comparison
    :return: measure ("equal time"), contestant, seed, seconds (that time), agent_steps (by then), score, on
        validation tracks
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
    Sum up the runs of each contestant: interquartile mean (up to three runs: the mean) and mean.

    :param scores: measure, contestant, seed, score
    :return: measure, contestant, seeds (how many), and iqm, mean with their 95 % intervals (_low, _high; NaN
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
    Compare each pair of contestants, the one with the higher interquartile mean first; or a baseline, which
    then is first, with each other one.

    A difference is clear if its interval holds no 0, that of the probability of improvement holds no 0.5, and
    there are runs enough: if the two were equal, luck alone would part m and n runs completely in 2 of
    (m + n choose n) cases, which has to be 5 % at most (4 runs each, or 3 and 5). No correction is made for
    the number of pairs.

    :param scores: measure, contestant, seed, score
    :param baseline: contestant that the others are compared with
    :return: measure, contestant, other, seeds, other_seeds, difference (of the interquartile means),
        probability (that a run of the first scores higher than one of the other), each with _low and _high
        (NaN where one has a single seed), and clear
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
    :param scores: that profiles are drawn of
    :return: where profiles step down, a point before the first step and one after the last
    """
    steps = np.unique(scores.dropna())
    margin = max(0.05 * np.ptp(steps), 1)
    return np.concatenate([[steps[0] - margin], steps, [steps[-1] + margin]])


def performance_profiles(scores: pd.DataFrame) -> pd.DataFrame:
    """
    Share of the runs that score more than a threshold.

    :param scores: measure, contestant, seed, score
    :return: measure, contestant, threshold (the profile is constant from each to the next), share, low, high
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
                    # rliable's own, all thresholds at once
                    custom_profile_func=lambda runs, thresholds: np.mean(runs > thresholds, axis=0),
                    reps=REPS,
                )
            low, high = interval[""] if len(runs) > 1 else np.full((2, len(thresholds)), np.nan)
            columns = {"threshold": thresholds, "share": profile[""], "low": low, "high": high}
            tables.append(pd.DataFrame({"measure": measure, "contestant": contestant, **columns}))
    return pd.concat(tables, ignore_index=True)


def drive_profiles(results: Results) -> pd.DataFrame:
    """
    Share of the single drives, all runs' together, that score more than a threshold.

    It describes these drives. They are no independent draws (see above), so it has no interval.

    :param results: of a comparison
    :return: measure, contestant, threshold (constant from each to the next), share
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

    Runs are evaluated at points of their own, so they are interpolated to a common grid: all these points,
    from where all runs of the contestant have been evaluated; over agent steps until where one ends; over
    seconds until where the last one ends, and those that have ended keep their last score. Intervals hold
    point by point.

    :param results: of a comparison
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
    What the runs took.

    :param results: of a comparison
    :return: contestant, seeds (how many), agent_steps, steps_per_second, minutes (of training, without
        evaluations), peak_memory_mb, each as mean, _min and _max over the runs, and attempts (in all)
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
    Mean score over the runs, track by track, to see where contestants differ.

    :param results: of a comparison
    :return: index measure, track; a column for each contestant (NaN where it has no such checkpoint)
    """
    drives = results.drives.rename(columns={"checkpoint": "measure"})
    table = drives.pivot_table(index=["measure", "track"], columns="contestant", values="score", sort=False)
    table.columns.name = None
    return table
