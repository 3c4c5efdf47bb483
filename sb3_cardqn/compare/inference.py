"""Intervals and tests for few training runs: trimmed means, probability of improvement, times, Holm."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

LEVEL = 0.95  # of every interval
ERROR = 1 - LEVEL
POWER = 0.8
IQM = 0.25  # share that the interquartile mean leaves out at each end
MEAN = 0.0
_MOST_RUNS = 1000


class Estimate(NamedTuple):
    """
    An estimate that follows Student's t distribution.

    :param value: estimate, of any shape
    :param variance: squared standard error; NaN if there is only one run, 0 if the runs that count are equal
    :param df: degrees of freedom
    """

    value: np.ndarray
    variance: np.ndarray
    df: np.ndarray

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the interval, NaN if there is only one run, or no spread to judge it by."""
        half = stats.t.isf(ERROR / 2, self.df) * np.sqrt(self._spread)
        return self.value - half, self.value + half

    @property
    def p(self) -> np.ndarray:
        """Two-sided p of a true value of 0, NaN if there is only one run, or no spread to judge it by."""
        return 2 * stats.t.sf(np.abs(self.value) / np.sqrt(self._spread), self.df)

    @property
    def _spread(self) -> np.ndarray:
        return np.where(self.variance == 0, np.nan, self.variance)


def trimmed_mean(runs: ArrayLike, cut: float) -> Estimate:
    """
    Mean without the lowest and the highest runs; its variance is that of Tukey and McLaughlin 1963.

    With nothing left out it has Student's interval.

    >>> value, _, df = trimmed_mean([0.0, 10.0, 20.0, 30.0, 100.0], cut=0.25)
    >>> float(value), int(df)
    (20.0, 2)

    :param runs: (runs, ...) scores, one per run
    :param cut: share of the runs to leave out at each end, rounded down to whole runs
    :return: (...) estimate
    """
    ordered = np.sort(runs, axis=0)
    n = len(ordered)
    out = int(cut * n)
    kept = ordered[out : n - out]
    value, df = kept.mean(axis=0), len(kept) - 1
    if df == 0:
        return Estimate(value, np.full_like(value, np.nan), np.full_like(value, np.nan))
    winsorized = ordered.clip(kept[0], kept[-1])
    squares = ((winsorized - winsorized.mean(axis=0)) ** 2).sum(axis=0)
    squares = np.where(kept[0] == kept[-1], 0, squares)  # without the rounding of the mean
    return Estimate(value, squares / (len(kept) * df), np.full_like(value, df))


def difference(one: Estimate, other: Estimate) -> Estimate:
    """
    Difference of two independent estimates: Welch 1947 for means, Yuen 1974 for trimmed means.

    :param one: estimate
    :param other: estimate
    :return: one minus other; its variance is 0 if one has no spread, since that hides the spread of more runs
    """
    variance = one.variance + other.variance
    with np.errstate(invalid="ignore"):
        df = variance**2 / (one.variance**2 / one.df + other.variance**2 / other.df)
    known = (one.variance != 0) & (other.variance != 0)
    return Estimate(one.value - other.value, np.where(known, variance, 0), np.where(known, df, one.df))


def improvement(runs: ArrayLike, others: ArrayLike) -> tuple[float, float]:
    """
    Probability of improvement, with the p of the Mann-Whitney test (exact; with equal scores and more than 8
    runs a side, from 20,000 permutations).

    :param runs: (runs,) scores; infinite ones count as equal
    :param others: (others,) scores
    :return: share of the pairs in which the first is higher, where a tie counts half; p of equal
        distributions (with other spreads a share of 1/2 can have a small p)
    """
    ranks = stats.rankdata(np.concatenate([runs, others]))  # scipy's test takes infinity for missing
    one, other = np.split(ranks, [len(np.asarray(runs))])
    equal = len(np.unique(ranks)) < len(ranks)
    method: Any = "exact"
    if equal and min(len(one), len(other)) > 1:
        method = stats.PermutationMethod(n_resamples=20_000, rng=0)  # all of them, if there are fewer
    test = stats.mannwhitneyu(one, other, method=method)
    return float(test.statistic) / (len(one) * len(other)), float(test.pvalue)


def holm(p: Sequence[float]) -> np.ndarray:
    """
    Adjust p for the number of tests, Holm 1979.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]

    :param p: p of each test; NaN is no test
    :return: adjusted p of each test
    """
    raw = np.asarray(p, float)
    order = np.argsort(raw)  # NaN last
    left = np.isfinite(raw).sum() - np.arange(len(raw))
    adjusted = np.empty_like(raw)
    adjusted[order] = np.maximum.accumulate(raw[order] * left).clip(max=1)
    return adjusted


def runs_to_settle(
    one: Estimate, other: Estimate, runs: tuple[int, int], enough: float | None, error: float = ERROR
) -> float:
    """
    Runs of each side that would settle a difference, if it and the spreads are as observed.

    It is settled if a test finds it in 80 % of cases, or if half its interval is narrower than ``enough``.

    :param one: estimate of a contestant
    :param other: estimate of another contestant
    :param runs: number of runs of each
    :param enough: half width of an interval that is narrow enough; None for no such width
    :param error: p below which the test finds a difference
    :return: runs of each side; inf if more than 1,000, NaN if one has a single run or no spread
    """
    if not one.variance * other.variance > 0:  # also NaN
        return np.nan
    size = np.arange(2, _MOST_RUNS + 1)
    sides = [
        # the same share of the runs is left out
        Estimate(side.value, side.variance * n / size, (side.df + 1) * size / n - 1)
        for side, n in zip((one, other), runs, strict=True)
    ]
    with np.errstate(divide="ignore"):
        gap = difference(*sides)
    found, lucky, half = (
        stats.t.isf(tail, gap.df) * np.sqrt(gap.variance) for tail in (error / 2, 1 - POWER, ERROR / 2)
    )
    settled = found + lucky < np.abs(gap.value)
    if enough is not None:
        settled |= half < enough
    return float(size[settled][0]) if settled.any() else np.inf


def median(times: ArrayLike) -> tuple[float, float, float]:
    """
    Median with the distribution-free interval between two of the times.

    >>> median([4.0, 1.0, 3.0, 2.0, 6.0, float("inf")])
    (3.5, 1.0, inf)

    :param times: (runs,) times; infinite for a run that never gets there
    :return: median, lower and upper bound (NaN with fewer than 6 runs)
    """
    ordered = np.sort(times)
    place = int(stats.binom.ppf(ERROR / 2, len(ordered), 0.5))
    bounds = (float(ordered[place - 1]), float(ordered[-place])) if place else (np.nan, np.nan)
    return float(np.median(ordered)), *bounds


def ratio(times: ArrayLike, others: ArrayLike) -> tuple[float, float, float]:
    """
    Typical ratio of two times, with the exact interval of the Mann-Whitney test, Hodges and Lehmann 1963.

    >>> ratio([1.0, 2.0, 3.0, 4.0], [2.0, 4.0, 6.0, 8.0])
    (0.5, 0.125, 2.0)

    :param times: (runs,) times; infinite ones never came
    :param others: (others,) times
    :return: median of the ratios of all pairs (NaN if it depends on pairs where both never came), lower and
        upper bound (NaN if there are too few runs)
    """
    with np.errstate(invalid="ignore"):
        ratios = np.divide.outer(np.asarray(times), np.asarray(others)).ravel()
    lowest, highest = (np.sort(np.nan_to_num(ratios, nan=end, posinf=np.inf)) for end in (0, np.inf))
    value = np.median(lowest) if np.median(lowest) == np.median(highest) else np.nan
    ways = _ways(len(np.asarray(times)), len(np.asarray(others)))
    place = int(np.searchsorted(np.cumsum(ways) / ways.sum(), ERROR / 2, side="right"))
    bounds = (float(lowest[place - 1]), float(highest[-place])) if place else (np.nan, np.nan)
    return float(value), *bounds


def _ways(runs: int, others: int) -> np.ndarray:
    """
    :param runs: number of runs
    :param others: number of others
    :return: (runs * others + 1,) orders in which 0, 1, ... pairs are won: the Gaussian binomial coefficient
    """
    ways = np.zeros(runs * others + 1, object)  # whole numbers of any size
    ways[0] = 1
    for i in range(1, runs + 1):
        ways[others + i :] -= ways[: -others - i].copy()
        for start in range(i):
            ways[start::i] = np.cumsum(ways[start::i])
    return ways
