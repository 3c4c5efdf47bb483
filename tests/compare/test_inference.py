from math import inf, isnan, nan

import numpy as np
import pytest
from scipy import stats

from sb3_cardqn.compare.inference import (
    IQM,
    MEAN,
    difference,
    holm,
    improvement,
    median,
    ratio,
    runs_to_settle,
    trimmed_mean,
)

FIVE = [0.0, 10.0, 20.0, 30.0, 100.0]


def test_interquartile_mean_leaves_out_a_quarter_at_each_end() -> None:
    # 10, 20, 30 are kept. Winsorized: 10, 10, 20, 30, 30, with squares of 400; 400 / (3 * 2) is the variance,
    # and Student's t for 2 degrees of freedom 4.303
    iqm = trimmed_mean(FIVE, IQM)
    assert (iqm.value, iqm.df) == (20, 2)
    assert iqm.variance == pytest.approx(400 / 6)
    assert iqm.bounds == pytest.approx((20 - 35.13, 20 + 35.13), abs=0.01)


def test_the_mean_of_all_has_students_interval() -> None:
    low, high = trimmed_mean(FIVE, MEAN).bounds
    assert (low, high) == pytest.approx(stats.ttest_1samp(FIVE, 0).confidence_interval())


@pytest.mark.parametrize("cut", [MEAN, 0.2, IQM])
@pytest.mark.parametrize(("runs", "others"), [(3, 3), (5, 5), (5, 9), (10, 15)])
def test_differences_are_scipys(runs: int, others: int, cut: float) -> None:
    rng = np.random.default_rng(runs)
    one, other = rng.normal(0, 1, runs), rng.normal(1, 3, others)
    test = stats.ttest_ind(one, other, equal_var=False, trim=cut)
    gap = difference(trimmed_mean(one, cut), trimmed_mean(other, cut))
    assert (gap.p, gap.df, *gap.bounds) == pytest.approx((test.pvalue, test.df, *test.confidence_interval()))


def test_many_samples_at_once() -> None:
    samples = np.random.default_rng(0).normal(size=(7, 3))
    together = trimmed_mean(samples, IQM)
    for i in range(3):
        alone = trimmed_mean(samples[:, i], IQM)
        assert (together.value[i], together.variance[i]) == pytest.approx((alone.value, alone.variance))


def test_one_run_has_no_interval() -> None:
    one = trimmed_mean([7.0], IQM)
    gap = difference(one, trimmed_mean(FIVE, IQM))
    assert (one.value, gap.value) == (7, -13)
    assert np.isnan([*one.bounds, *gap.bounds, gap.p]).all()


@pytest.mark.parametrize("equal", [[900.0] * 5, [0.1 + 0.2] * 7, [10.0, 10.0, 10.0, 10.0, 9.0]])
def test_equal_scores_have_neither_an_interval_nor_a_p(equal: list[float]) -> None:
    same = trimmed_mean(equal, IQM)
    assert np.isnan(same.bounds).all()
    for other in (same, trimmed_mean(FIVE, IQM)):
        for gap in (difference(same, other), difference(other, same)):
            assert np.isnan([*gap.bounds, gap.p]).all()


def test_probability_of_improvement_counts_pairs_of_runs() -> None:
    # of 2 x 3 pairs the run of 20 wins three, that of 10 wins one and draws one: 4.5 / 6
    assert improvement([20.0, 10.0], [5.0, 10.0, 12.0])[0] == pytest.approx(4.5 / 6)
    # all of 4 x 4 pairs: 2 of the 70 ways to part eight runs are as extreme
    assert improvement([5.0, 6.0, 7.0, 8.0], [1.0, 2.0, 3.0, 4.0]) == (1.0, pytest.approx(2 / 70))
    assert improvement(FIVE, FIVE) == (0.5, pytest.approx(1))


def test_runs_that_never_got_there_are_equal() -> None:
    assert improvement([-inf, -inf], [-inf, -inf]) == (0.5, pytest.approx(1))
    assert improvement([-1.0, -inf], [-inf, -inf])[0] == 0.75  # 2 of 4 pairs, and 2 draws


def test_holms_steps() -> None:
    # 0.01 * 4, 0.02 * 3, 0.03 * 2 and 0.2 * 1, none below the one before
    assert holm([0.2, 0.03, 0.01, 0.02]).tolist() == pytest.approx([0.2, 0.06, 0.04, 0.06])
    assert holm([0.6, 0.9]).tolist() == [1.0, 1.0]
    adjusted = holm([0.04, nan])
    assert adjusted[0] == pytest.approx(0.04)  # what is not tested does not count
    assert isnan(adjusted[1])
    assert holm([]).tolist() == []


def test_runs_to_settle_a_difference() -> None:
    # standard deviations of 10 and a difference of 10: 17 each, as in every table of powers (80 %, 5 %)
    one, other = ([mean - 10.0, mean, mean + 10.0] for mean in (110.0, 100.0))
    assert runs_to_settle(trimmed_mean(one, MEAN), trimmed_mean(other, MEAN), (3, 3), None) == 17
    # half an interval below 20 points: 2.78 * sqrt(200 / 3) = 22.7 with 3 each, 2.45 * sqrt(200 / 4) = 17.3 with 4
    assert runs_to_settle(trimmed_mean(one, MEAN), trimmed_mean(one, MEAN), (3, 3), 20) == 4
    assert runs_to_settle(trimmed_mean(one, MEAN), trimmed_mean(one, MEAN), (3, 3), None) == inf
    assert isnan(runs_to_settle(trimmed_mean([1.0], MEAN), trimmed_mean(one, MEAN), (1, 3), 20))


def test_so_many_runs_find_the_difference_in_80_percent_of_cases() -> None:
    rng = np.random.default_rng(4)
    population = stats.norm.ppf((np.arange(4000) + 0.5) / 4000, scale=20)
    observed = trimmed_mean(population + 12, IQM), trimmed_mean(population, IQM)
    needed = int(runs_to_settle(*observed, (4000, 4000), None))
    one, other = (rng.normal(mean, 20, (needed, 5000)) for mean in (12, 0))
    found = difference(trimmed_mean(one, IQM), trimmed_mean(other, IQM)).p <= 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(("n", "place"), [(5, 0), (6, 1), (9, 2), (10, 2), (15, 4)])
def test_interval_of_a_median_ends_at_times_that_came(n: int, place: int) -> None:
    # places of the sign test, as in its tables
    middle, low, high = median(np.arange(1.0, n + 1))
    assert middle == (n + 1) / 2
    assert (low, high) == (place, n + 1 - place) if place else isnan(low) and isnan(high)


def test_a_median_may_never_come() -> None:
    assert median([3.0, inf, inf, inf, inf, 1.0]) == (inf, 1, inf)


def test_ratio_of_times() -> None:
    # 5 and 5 runs: 2 of the 25 ratios are left out at each end, as in tables of the Mann-Whitney test
    times, others = [2.0, 3.0, 5.0, 7.0, 11.0], [13.0, 17.0, 19.0, 23.0, 29.0]
    ratios = sorted(time / other for time in times for other in others)
    assert ratio(times, others) == pytest.approx((ratios[12], ratios[2], ratios[22]))
    assert np.isnan(ratio(times[:3], others[:3])[1:]).all()


def test_ratio_of_times_that_never_came() -> None:
    assert ratio([2.0] * 5, [inf] * 5) == (0, 0, 0)
    value, low, high = ratio([inf] * 5, [inf] * 5)
    assert isnan(value)
    assert (low, high) == (0, inf)


def test_ratio_and_probability_agree() -> None:
    # an interval of the ratio excludes 1 if the exact test says so
    rng = np.random.default_rng(0)
    for _ in range(200):
        times, others = rng.exponential(1, 6), rng.exponential(2, 7)
        _, low, high = ratio(times, others)
        assert (not low <= 1 <= high) == (improvement(times, others)[1] <= 0.05)
