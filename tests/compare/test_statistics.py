from math import isnan
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rliable import metrics

from sb3_cardqn.compare import statistics
from sb3_cardqn.compare.results import Results
from sb3_cardqn.compare.statistics import (
    aggregates,
    comparisons,
    drive_profiles,
    equal_time_scores,
    held_out_scores,
    learning_curves,
    per_track,
    performance_profiles,
    resources,
    run_curves,
)
from sb3_cardqn.errors import UserError
from tests.compare.results import made_up_results
from tests.named import error_naming

FIVE = [0.0, 10.0, 20.0, 30.0, 100.0]


@pytest.fixture(autouse=True)
def _few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "REPS", 200)


def scores_of(**contestants: list[float]) -> pd.DataFrame:
    rows = [
        {"measure": "final", "contestant": name, "seed": seed, "score": score}
        for name, scores in contestants.items()
        for seed, score in enumerate(scores)
    ]
    return pd.DataFrame(rows)


def results_of(
    drives: dict[tuple[str, int, str], list[float]], curves: dict[tuple[str, int], list[tuple]] | None = None
) -> Results:
    """
    :param drives: (contestant, seed, checkpoint) -> score on tracks 1, 2, ...
    :param curves: (contestant, seed) -> agent steps, seconds, and score on two tracks, by evaluation
    """
    driven = [
        {"contestant": name, "seed": seed, "checkpoint": checkpoint, "track": track, "score": score}
        for (name, seed, checkpoint), scores in drives.items()
        for track, score in enumerate(scores, start=1)
    ]
    evaluated = [
        {
            "contestant": name,
            "seed": seed,
            "agent_steps": steps,
            "seconds": seconds,
            "track": track,
            "score": score,
        }
        for (name, seed), evaluations in (curves or {}).items()
        for steps, seconds, *scores in evaluations
        for track, score in enumerate(scores)
    ]
    columns = ["contestant", "seed", "agent_steps", "seconds", "track", "score"]
    return Results({}, {}, pd.DataFrame(), pd.DataFrame(evaluated, columns=columns), pd.DataFrame(driven))


def test_iqm_leaves_out_a_quarter_at_each_end_and_the_mean_nothing() -> None:
    row = aggregates(scores_of(a=FIVE)).iloc[0]
    assert (row["seeds"], row["iqm"], row["mean"]) == (5, 20.0, 32.0)  # (10 + 20 + 30) / 3, and 160 / 5
    assert 0 <= row["iqm_low"] < 20 < row["iqm_high"] <= 100


def test_interval_of_identical_scores_is_the_score() -> None:
    row = aggregates(scores_of(a=[850.0] * 5)).iloc[0]
    assert set(row[["iqm", "iqm_low", "iqm_high", "mean", "mean_low", "mean_high"]]) == {850.0}


def test_tracks_are_no_independent_draws() -> None:
    # runs differ, tracks do not: driving a track 20 times over teaches nothing about other training seeds
    one, twenty = (
        aggregates(
            held_out_scores(results_of({("a", i, "final"): [score] * n for i, score in enumerate(FIVE)}))
        )
        for n in (1, 20)
    )
    pd.testing.assert_frame_equal(one, twenty)
    assert twenty["mean_high"][0] - twenty["mean_low"][0] > 40


def test_a_runs_score_is_its_mean_over_tracks_and_checkpoints_stay_apart() -> None:
    results = results_of({("a", 7, "best"): [900.0, 800.0], ("a", 7, "final"): [100.0, 300.0]})
    assert held_out_scores(results).to_numpy().tolist() == [["final", "a", 7, 200.0], ["best", "a", 7, 850.0]]


def test_bootstrap_is_repeatable_and_leaves_numpys_generator_alone() -> None:
    np.random.seed(3)
    first = comparisons(scores_of(a=FIVE, b=[5.0, 15.0, 25.0, 50.0]))
    drawn = np.random.random()
    second = comparisons(scores_of(a=FIVE, b=[5.0, 15.0, 25.0, 50.0]))
    pd.testing.assert_frame_equal(first, second)
    np.random.seed(3)
    assert np.random.random() == drawn


def test_separated_contestants_improve_for_certain() -> None:
    row = comparisons(scores_of(low=FIVE, high=[score + 500 for score in FIVE])).iloc[0]
    assert (row["contestant"], row["other"], row["difference"], row["probability"]) == (
        "high",
        "low",
        500.0,
        1.0,
    )
    assert (row["probability_low"], row["probability_high"], row["clear"]) == (1.0, 1.0, True)
    assert row["difference_low"] > 400


def test_probability_of_improvement_counts_pairs_of_runs() -> None:
    # of 2 x 3 pairs the run of 20 wins three, that of 10 wins one and draws one: 4.5 / 6
    row = comparisons(scores_of(a=[20.0, 10.0], b=[5.0, 10.0, 12.0])).iloc[0]
    assert row["probability"] == pytest.approx(4.5 / 6)


@pytest.mark.parametrize(("runs", "others"), [(1, 2), (3, 3), (5, 4), (15, 9)])
def test_metrics_are_rliables(runs: int, others: int) -> None:
    rng = np.random.default_rng(runs)
    a, b = (rng.integers(0, 10, (size, 1)).astype(float) for size in (runs, others))  # some are equal
    scores = scores_of(a=list(a[:, 0]), b=list(b[:, 0]))
    table = aggregates(scores).set_index("contestant")
    assert table["iqm"].to_dict() == pytest.approx(
        {"a": metrics.aggregate_iqm(a), "b": metrics.aggregate_iqm(b)}
    )
    row = comparisons(scores, baseline="a").iloc[0]
    assert row["difference"] == pytest.approx(metrics.aggregate_iqm(a) - metrics.aggregate_iqm(b))
    assert row["probability"] == pytest.approx(metrics.probability_of_improvement(a, b))


def test_equal_contestants_do_not_differ() -> None:
    row = comparisons(scores_of(a=FIVE, b=FIVE)).iloc[0]
    assert (row["difference"], row["probability"], row["clear"]) == (0.0, 0.5, False)
    assert row["difference_low"] < 0 < row["difference_high"]
    assert row["probability_low"] < 0.5 < row["probability_high"]


@pytest.mark.parametrize(
    ("runs", "others", "clear"), [(3, 3, False), (2, 9, True), (3, 4, False), (4, 4, True), (3, 5, True)]
)
def test_few_runs_separate_by_luck(runs: int, others: int, clear: bool) -> None:
    # 2 of 20, 55, 35, 70, 56 ways to part them
    scores = scores_of(a=list(np.arange(900.0, 900 + runs)), b=list(np.arange(800.0, 800 + others)))
    assert comparisons(scores)["clear"].tolist() == [clear]


def test_every_pair_is_compared_better_one_first() -> None:
    table = comparisons(scores_of(a=FIVE, b=[score + 9 for score in FIVE], c=[score - 9 for score in FIVE]))
    assert table[["contestant", "other", "difference"]].to_numpy().tolist() == [
        ["b", "a", 9.0],
        ["b", "c", 18.0],
        ["a", "c", 9.0],
    ]


def test_a_baseline_is_compared_with_each_other_one_and_may_be_behind() -> None:
    scores = scores_of(a=FIVE, b=[score + 500 for score in FIVE], c=[score - 500 for score in FIVE])
    table = comparisons(scores, "a")
    assert table[["contestant", "other", "difference", "clear"]].to_numpy().tolist() == [
        ["a", "b", -500.0, True],
        ["a", "c", 500.0, True],
    ]
    assert table["probability"].tolist() == [0.0, 1.0]
    assert comparisons(scores_of(a=FIVE, b=FIVE), "b")["clear"].tolist() == [False]
    assert comparisons(scores, "gone").empty


def test_one_seed_has_no_interval() -> None:
    scores = scores_of(a=[850.0], b=FIVE)
    row = aggregates(scores).iloc[0]
    assert (row["seeds"], row["iqm"], row["mean"]) == (1, 850.0, 850.0)
    assert row[["iqm_low", "iqm_high", "mean_low", "mean_high"]].isna().all()
    pair = comparisons(scores).iloc[0]
    assert (pair["difference"], pair["probability"], pair["clear"]) == (830.0, 1.0, False)
    assert pair[["difference_low", "difference_high", "probability_low", "probability_high"]].isna().all()
    profile = performance_profiles(scores)
    assert profile[profile["contestant"] == "a"]["low"].isna().all()
    assert profile[profile["contestant"] == "b"]["low"].notna().all()


def test_contestants_may_have_different_numbers_of_seeds() -> None:
    table = comparisons(scores_of(a=FIVE, b=[1.0, 2.0, 3.0]))
    assert table[["seeds", "other_seeds"]].to_numpy().tolist() == [[5, 3]]


def test_runs_without_a_best_checkpoint_are_left_out_of_it_only() -> None:
    results = made_up_results({"a": (800.0, 10.0, 400.0), "b": (700.0, 10.0, 400.0)}, seeds=3, tracks=2)
    gone = (results.drives["checkpoint"] == "best") & (
        (results.drives["contestant"] == "b") | (results.drives["seed"] == 0)
    )
    fewer = Results(results.plan, results.machine, results.runs, results.curves, results.drives[~gone])
    table = aggregates(held_out_scores(fewer))
    assert table[["measure", "contestant", "seeds"]].to_numpy().tolist() == [
        ["final", "a", 3],
        ["final", "b", 3],
        ["best", "a", 2],
    ]


def test_different_tracks_are_not_compared() -> None:
    results = results_of({("a", 0, "final"): [1.0, 2.0, 3.0], ("b", 4, "final"): [1.0]})
    with error_naming(UserError, "b | 4 | final | 2, 3"):
        held_out_scores(results)


def test_nothing_to_report() -> None:
    with pytest.raises(UserError):
        held_out_scores(results_of({}))


def test_performance_profile_counts_runs_above_a_threshold() -> None:
    table = performance_profiles(scores_of(a=[100.0, 200.0], b=[150.0, 300.0])).set_index(
        ["contestant", "threshold"]
    )
    assert table.loc["a"]["share"].to_dict() == {
        90.0: 1.0,
        100.0: 0.5,
        150.0: 0.5,
        200.0: 0.0,
        300.0: 0.0,
        310.0: 0.0,
    }
    assert table.loc[("a", 90.0), ["low", "high"]].tolist() == [1.0, 1.0]
    assert table.loc[("a", 150.0), ["low", "high"]].tolist() == [0.0, 1.0]


def test_drive_profile_counts_drives() -> None:
    table = drive_profiles(results_of({("a", 0, "final"): [100.0, 200.0], ("a", 1, "final"): [200.0, 300.0]}))
    assert dict(zip(table["threshold"], table["share"], strict=True)) == {
        90.0: 1.0,
        100.0: 0.75,
        200.0: 0.25,
        300.0: 0.0,
        310.0: 0.0,
    }
    assert "low" not in table


CURVES: dict[tuple[str, int], list[tuple]] = {
    # agent steps, seconds, scores on two tracks
    ("fast", 0): [(100, 10.0, 0.0, 20.0), (200, 20.0, 100.0, 120.0)],
    ("fast", 1): [(120, 12.0, 30.0, 30.0), (220, 30.0, 230.0, 230.0)],
    ("slow", 0): [(100, 20.0, 40.0, 60.0), (200, 60.0, 90.0, 90.0)],
    ("slow", 1): [(100, 50.0, 40.0, 60.0), (200, 90.0, 90.0, 90.0)],
}


def test_an_evaluation_scores_its_mean_over_tracks() -> None:
    shuffled = results_of({}, CURVES)
    shuffled = Results({}, {}, shuffled.runs, shuffled.curves.iloc[::-1], shuffled.drives)
    table = run_curves(shuffled)
    first = table[(table["contestant"] == "fast") & (table["seed"] == 0)]
    assert first[["agent_steps", "seconds", "score"]].to_numpy().tolist() == [[100, 10, 10], [200, 20, 110]]


def test_equal_time_is_when_the_fastest_contestant_has_finished() -> None:
    table = equal_time_scores(results_of({}, CURVES)).set_index(["contestant", "seed"])
    assert set(table["seconds"]) == {30.0}  # fast's last run
    assert table["score"].loc["fast"].tolist() == [
        110.0,
        230.0,
    ]  # the first has ended: it keeps its last score
    assert table["score"].loc[("slow", 0)] == pytest.approx(60.0)  # a quarter of the way from 50 to 90
    assert table["agent_steps"].loc[("slow", 0)] == pytest.approx(125.0)
    assert isnan(table["score"].loc[("slow", 1)])  # not evaluated yet: nothing is made up


def test_who_is_not_evaluated_by_then_is_left_out() -> None:
    table = aggregates(equal_time_scores(results_of({}, CURVES)))
    assert table[["contestant", "seeds"]].to_numpy().tolist() == [["fast", 2], ["slow", 1]]


def test_learning_curves_on_a_common_grid() -> None:
    curves = learning_curves(results_of({}, CURVES))
    steps = curves[(curves["axis"] == "agent_steps") & (curves["contestant"] == "fast")]
    assert steps["x"].tolist() == [120, 200]  # where both runs are being evaluated
    # at 120: 30 and, a fifth of the way from 10 to 110, 30; at 200: 110 and, 0.8 of the way from 30 to 230, 190
    assert (steps["iqm"].iloc[0], steps["iqm"].iloc[-1]) == (pytest.approx(30), pytest.approx(150))
    assert (steps["low"].iloc[-1], steps["high"].iloc[-1]) == (pytest.approx(110), pytest.approx(190))
    seconds = curves[(curves["axis"] == "seconds") & (curves["contestant"] == "fast")]
    assert seconds["x"].tolist() == [12, 20, 30]
    assert seconds["iqm"].iloc[-1] == pytest.approx((110 + 230) / 2)


def test_curve_is_rliables_iqm() -> None:
    results = made_up_results({"dqn": (760.0, 40.0, 330.0)}, seeds=5, tracks=1)
    curve = learning_curves(results).query("axis == 'agent_steps' and contestant == 'dqn'")
    runs = run_curves(results).query("contestant == 'dqn'")
    last = runs.groupby("seed")["score"].last().to_numpy()[:, None]
    assert curve["iqm"].iloc[-1] == pytest.approx(metrics.aggregate_iqm(last))


def test_one_seed_has_a_curve_without_interval() -> None:
    curves = learning_curves(results_of({}, {("a", 0): [(100, 1.0, 5.0), (200, 2.0, 7.0)]}))
    assert curves["iqm"].iloc[[0, -1]].tolist() == [5.0, 7.0]
    assert curves[["low", "high"]].isna().all(axis=None)


def test_without_validation_there_are_no_curves() -> None:
    empty = results_of({})
    assert learning_curves(empty).empty
    assert equal_time_scores(empty).empty


def test_resources_by_contestant() -> None:
    took: dict[str, Any] = {"agent_steps": 600, "peak_memory_mb": 100.0, "attempts": 1}
    runs = pd.DataFrame(
        [
            {"contestant": "a", "seed": 0, "seconds": 60.0, **took},
            {"contestant": "a", "seed": 1, "seconds": 120.0, **took, "attempts": 2},
        ]
    )
    row = resources(Results({}, {}, runs, pd.DataFrame(), pd.DataFrame())).iloc[0]
    assert (row["seeds"], row["attempts"], row["minutes"]) == (2, 3, 1.5)
    assert (row["steps_per_second"], row["steps_per_second_min"], row["steps_per_second_max"]) == (
        7.5,
        5.0,
        10.0,
    )


def test_per_track_means_over_runs() -> None:
    table = per_track(
        results_of(
            {("a", 0, "final"): [1.0, 2.0], ("a", 1, "final"): [3.0, 6.0], ("b", 0, "final"): [9.0, 9.0]}
        )
    )
    assert table.index.to_list() == [("final", 1), ("final", 2)]
    assert table.to_dict("list") == {"a": [2.0, 4.0], "b": [9.0, 9.0]}
