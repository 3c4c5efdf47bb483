"""
How often intervals contain the truth, simulated: those of ``compare`` over runs, that of ``evaluate`` over tracks;
docs/explanation/statistics.md has the tables.

``python -m tests.compare.test_coverage`` prints them.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from sb3_cardqn.compare.inference import IQM, MEAN, Estimate, difference, trimmed_mean

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "statistics.md"
SEEDS = (5, 10, 15)
BY_SEEDS = [f"{n} seeds" for n in SEEDS]
TRACKS = (20, 100, 1000)
LOST = (0, 1 / 100, 1 / 500)  # share of the laps on which the car is lost
TIMES = 20_000  # simulated comparisons; 95 % of them vary by 0.15 % (one standard deviation)
Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.normal(900, 20, shape)


def learning(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return 930 - rng.gamma(2, 80, shape)


def collapsing(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    well = rng.normal(900, 20, shape) - rng.exponential(15, shape)
    return np.where(rng.random(shape) < 0.1, rng.uniform(0, 800, shape), well)


def capped(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.where(rng.random(shape) < 0.5, 500, rng.uniform(20, 500, shape))


# shape of the scores -> how they are drawn, lead to find
SHAPES: dict[str, tuple[Draw, float]] = {
    "normal": (normal, 25),
    "skewed, still learning": (learning, 130),
    "skewed, 1 run in 10 collapses": (collapsing, 40),
    "capped, half at the maximum": (capped, 120),
}
METHODS = {"interquartile mean": (IQM, "Yuen", "Yuen"), "mean": (MEAN, "Student", "Welch")}
Rows = list[tuple[str, str, list[float]]]


@cache
def truth(draw: Draw, cut: float) -> float:
    many = np.sort(draw(np.random.default_rng(1), (1_000_000,)))
    out = int(cut * len(many))
    return float(many[out : len(many) - out].mean())


def covered(estimate: Estimate, true: float) -> float:
    low, high = estimate.bounds
    given = ~np.isnan(low)  # without a spread there is no interval
    return 100 * float(np.mean(((low <= true) & (true <= high))[given]))


def bootstrap(runs: np.ndarray, true: float, rng: np.random.Generator) -> float:
    n = len(runs)
    means = rng.multinomial(n, [1 / n] * n, 1000) / n @ runs[:, :4000]  # (samples, simulations)
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return 100 * float(np.mean((low <= true) & (true <= high)))


@cache
def coverages() -> Rows:
    """Interval, shape of the scores, and in how many % of cases it contains the truth, by number of seeds."""
    rng = np.random.default_rng(0)
    shares: dict[tuple[str, str], list[float]] = {}
    for n, (shape, (draw, _)) in product(SEEDS, SHAPES.items()):
        one, alike, other = (some(rng, (n, TIMES)) for some in (draw, draw, normal))
        for name, (cut, single, pair) in METHODS.items():
            own, true = trimmed_mean(one, cut), truth(draw, cut)
            like, unlike = (difference(own, trimmed_mean(runs, cut)) for runs in (alike, other))
            for interval, share in (
                (f"{name} ({single})", covered(own, true)),
                (f"difference of two {name}s ({pair}), both like this", covered(like, 0)),
                (f"difference of two {name}s ({pair}), the other normal", covered(unlike, true - 900)),
            ):
                shares.setdefault((interval, shape), []).append(share)
        share = bootstrap(one, truth(draw, MEAN), rng)
        shares.setdefault(("mean (percentile bootstrap)", shape), []).append(share)
    return [(*key, by_seeds) for key, by_seeds in shares.items()]


@cache
def powers() -> Rows:
    """Test, shape of the scores and lead, and in how many % of cases it finds the lead, by number of seeds."""
    rng = np.random.default_rng(2)
    found: dict[tuple[str, str], list[float]] = {}
    for n, (shape, (draw, lead)) in product(SEEDS, SHAPES.items()):
        one, other = draw(rng, (n, 4000)), draw(rng, (n, 4000)) - lead
        p = {
            f"difference of two {name}s ({pair})": difference(
                trimmed_mean(one, cut), trimmed_mean(other, cut)
            ).p
            for name, (cut, _, pair) in METHODS.items()
        }
        p["probability of improvement (Mann-Whitney)"] = mannwhitneyu(
            one, other, axis=0, method="exact"
        ).pvalue
        for test, of_test in p.items():
            found.setdefault((test, f"{shape}, {lead} points ahead"), []).append(
                100 * float(np.mean(of_test <= 0.05))
            )
    return [(*key, by_seeds) for key, by_seeds in found.items()]


@cache
def of_one_agent() -> Rows:
    """Interval, share of lost cars, and in how many % of cases it contains the truth, by number of tracks."""
    rng = np.random.default_rng(3)
    rows = []
    for lost in LOST:
        shares = []
        for n in TRACKS:
            shape = n, 4000
            scores = np.where(rng.random(shape) < lost, rng.uniform(0, 800, shape), rng.normal(932, 7, shape))
            shares.append(bootstrap(scores, 932 - lost * (932 - 400), rng))
        rows.append(("mean of one agent", f"1 car in {1 / lost:.0f} lost" if lost else "no car lost", shares))
    return rows


def table(rows: Rows, what: str, columns: Sequence[str] = BY_SEEDS) -> str:
    head = f"| {what} | scores | {' | '.join(columns)} |\n|---|---|{'---:|' * len(columns)}"
    order = list(dict.fromkeys(name for name, _, _ in rows))
    lines = [
        f"| {name} | {shape} | {' | '.join(f'{share:.0f} %' for share in shares)} |"
        for name, shape, shares in sorted(rows, key=lambda row: order.index(row[0]))
    ]
    return "\n".join([head, *lines])


def of(rows: Rows, words: str) -> np.ndarray:
    return np.array([shares for name, shape, shares in rows if words in f"{name}, {shape}"])


def test_students_and_welchs_intervals_of_normal_scores_contain_the_truth_in_95_percent() -> None:
    # Student's theorem; 0.5 % are three standard deviations of 20,000 simulations. Welch's is close to it.
    assert of(coverages(), "mean (Student), normal") == pytest.approx(95, abs=0.5)
    assert of(coverages(), "two means (Welch), both like this, normal") == pytest.approx(95, abs=1)


def test_yuens_interval_holds_whatever_the_scores() -> None:
    for name, shape, shares in coverages():
        assert "Yuen" not in name or min(shares) > (90.5 if shape.startswith("capped") else 92), (name, shape)


def test_a_mean_does_not_know_of_collapses_that_did_not_come() -> None:
    # 5 runs, of which 1 in 10 collapses: none does in 0.9 ** 5 = 59 % of cases, and the mean is too high
    shares = of(coverages(), "mean (Student), skewed, 1 run in 10 collapses")[0]
    assert (shares < 100 * (1 - 0.9 ** np.array(SEEDS)) + 10).all()


def test_an_interval_over_tracks_does_not_know_of_lost_cars_that_were_not_lost() -> None:
    (_, _, never), (_, _, one_in_100), _ = of_one_agent()
    assert never[1:] == pytest.approx([95, 95], abs=2)
    # 20 tracks without a lost car, 82 % of cases: the interval reaches 3 points down, the truth lies 5 down
    few = np.array(TRACKS[:2])
    assert (one_in_100[:2] < 100 * (1 - 0.99**few) + 10).all()


@pytest.mark.parametrize("rows", [coverages, powers, of_one_agent])
def test_the_page_has_these_numbers(rows: Callable[[], Rows]) -> None:
    written = dict(
        re.findall(r"^\| (.* \| .*?) \| (\d+ % \| \d+ % \| \d+ %) \|$", PAGE.read_text(), re.MULTILINE)
    )
    for name, shape, shares in rows():
        numbers = [float(number) for number in re.findall(r"\d+", written[f"{name} | {shape}"])]
        assert numbers == pytest.approx(shares, abs=1), name


if __name__ == "__main__":
    print(table(coverages(), "interval"), table(powers(), "test"), sep="\n\n")
    print("\n" + table(of_one_agent(), "interval", [f"{n:,} tracks" for n in TRACKS]))
