from dataclasses import replace
from math import inf, isnan
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sb3_cardqn.compare.inference import IQM, runs_to_settle, trimmed_mean
from sb3_cardqn.compare.measures import (
    area_scores,
    earliest_ends,
    equal_time_scores,
    held_out_scores,
    run_curves,
    times_to,
)
from sb3_cardqn.compare.results import Results
from sb3_cardqn.compare.statistics import (
    aggregates,
    comparisons,
    learning_curves,
    per_track,
    profiles,
    resources,
    time_comparisons,
    times,
)
from sb3_cardqn.errors import UserError
from tests.compare.results import made_up_results
from tests.named import error_naming

FIVE = [0.0, 10.0, 20.0, 30.0, 100.0]


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
    assert (row["seeds"], row["iqm"], row["mean"], row["lowest"]) == (5, 20, 32, 0)  # 60 / 3, and 160 / 5
    assert (row["iqm_low"], row["iqm_high"]) == (
        pytest.approx(20 - 35.13, abs=0.01),
        pytest.approx(55.13, abs=0.01),
    )
    # deviations from 32: squares of 6,280, over 5 * 4; Student's t for 4 degrees of freedom is 2.776
    assert (row["mean_low"], row["mean_high"]) == (
        pytest.approx(-17.2, abs=0.05),
        pytest.approx(81.2, abs=0.05),
    )


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


def test_separated_contestants() -> None:
    row = comparisons(scores_of(low=FIVE, high=[score + 500 for score in FIVE])).iloc[0]
    assert (row["contestant"], row["other"], row["difference"], row["mean_difference"]) == (
        "high",
        "low",
        500,
        500,
    )
    assert (row["probability"], row["clear"]) == (1.0, True)
    assert row["probability_p"] == pytest.approx(2 / 252)  # ways to part ten runs
    assert 400 < row["difference_low"] < 500 < row["difference_high"] < 600
    assert 400 < row["mean_difference_low"] < 500 < row["mean_difference_high"] < 600


def test_equal_contestants_do_not_differ() -> None:
    row = comparisons(scores_of(a=FIVE, b=FIVE)).iloc[0]
    assert (row["difference"], row["probability"], row["clear"]) == (0.0, 0.5, False)
    assert row["difference_low"] < 0 < row["difference_high"]
    assert (row["p"], row["probability_p"]) == (1, pytest.approx(1))
    assert row["seeds_to_settle"] == inf


def test_a_lead_is_clear_by_itself_and_not_beside_others() -> None:
    # by hand: p of the two leads is the same, and Holm doubles and triples it
    alone = comparisons(scores_of(a=[100.0, 110.0, 120.0], b=[74.0, 84.0, 94.0])).iloc[0]
    beside = comparisons(scores_of(a=[100.0, 110.0, 120.0], b=[74.0, 84.0, 94.0], c=[74.0, 84.0, 94.0]))
    assert alone["clear"]
    assert alone["difference_low"] > 0
    assert beside["difference_low"].iloc[:2].tolist() == pytest.approx([alone["difference_low"]] * 2)
    assert beside["p"].tolist() == pytest.approx([3 * alone["p"], 3 * alone["p"], 1])
    assert beside["clear"].tolist() == [False, False, False]


def test_without_a_spread_ranks_decide() -> None:
    # of the 252 ways to part five tens and five nines, 52 give one side at least four tens: p = 52 / 252
    (row,) = comparisons(scores_of(a=[10.0] * 4 + [9], b=[9.0] * 4 + [10])).itertuples()
    assert isnan(row.difference_low)
    assert row.p == row.probability_p == pytest.approx(52 / 252)
    assert not row.clear
    (row,) = comparisons(scores_of(a=[500.0] * 5, b=[9.4] * 5)).itertuples()
    assert row.p == pytest.approx(2 / 252)  # all runs above all others, in either direction
    assert row.clear
    (row,) = comparisons(scores_of(a=[500.0] * 2, b=[9.4] * 2)).itertuples()
    assert not row.clear


def test_ranks_that_point_the_other_way_decide_nothing() -> None:
    """B is higher in 70 % of the pairs, which is significant, but its interquartile mean is lower."""
    (row,) = comparisons(scores_of(a=[10.0] * 20, b=[0.0] * 6 + [11.0] * 14)).itertuples()
    assert (row.contestant, row.difference) == ("a", pytest.approx(0.1))
    assert row.probability == pytest.approx(0.3)
    assert row.probability_p < 0.05
    assert row.p == 1
    assert not row.clear


def test_other_measures_have_corrections_of_their_own() -> None:
    scores = scores_of(a=FIVE, b=[score + 50 for score in FIVE])
    twice = pd.concat([scores, scores.assign(measure="best")])
    assert comparisons(twice)["p"].tolist() == [comparisons(scores)["p"][0]] * 2


def test_seeds_that_would_settle_what_is_open() -> None:
    scores = scores_of(a=[100.0, 110.0, 120.0], b=[90.0, 100.0, 110.0])
    assert comparisons(scores)["seeds_to_settle"].tolist() == [
        17
    ]  # as in tables of powers: one deviation apart
    assert comparisons(scores, enough=20)["seeds_to_settle"].tolist() == [4]


def test_seeds_to_settle_count_with_the_number_of_pairs() -> None:
    runs = {"a": [100.0, 110.0, 120.0], "b": [90.0, 100.0, 110.0], "c": [80.0, 90.0, 100.0]}
    table = comparisons(scores_of(**runs))
    three = [
        runs_to_settle(trimmed_mean(runs[one], IQM), trimmed_mean(runs[other], IQM), (3, 3), None, 0.05 / 3)
        for one, other in zip(table["contestant"], table["other"], strict=True)
    ]
    assert table["seeds_to_settle"].tolist() == three
    assert three[0] > 17  # of a single pair


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
    assert pair[["difference_low", "difference_high", "p", "seeds_to_settle"]].isna().all()


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
    table = profiles(scores_of(a=[100.0, 200.0], b=[150.0, 300.0])).set_index(["contestant", "threshold"])
    assert table.loc["a"]["share"].to_dict() == {
        90.0: 1.0,
        100.0: 0.5,
        150.0: 0.5,
        200.0: 0.0,
        300.0: 0.0,
        310.0: 0.0,
    }


@pytest.mark.parametrize(
    ("scores", "ends"),
    [
        ([0.7, 0.8], (0.695, 0.805)),
        ([0.7, 0.7], (0.699, 0.701)),
        ([920.0, 921.0], (919, 922)),
        ([0.0], (-1, 1)),
    ],
)
def test_a_performance_profile_is_as_wide_as_its_scores(
    scores: list[float], ends: tuple[float, float]
) -> None:
    thresholds = profiles(scores_of(a=scores))["threshold"]
    assert (thresholds.min(), thresholds.max()) == pytest.approx(ends)


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
    assert table["agent_steps"].loc[("slow", 0)] == pytest.approx(125.0)
    assert table["score"].loc["slow"].isna().all()  # seed 1 is not evaluated yet
    later = CURVES | {("slow", 1): [(100, 10.0, 40.0, 60.0), (200, 90.0, 90.0, 90.0)]}
    table = equal_time_scores(results_of({}, later)).set_index(["contestant", "seed"])
    # a quarter of the way from 50 to 90
    assert table["score"].loc["slow"].tolist() == [pytest.approx(60.0), pytest.approx(60.0)]


def test_a_contestant_with_a_run_that_is_not_evaluated_by_then_has_no_score() -> None:
    table = aggregates(equal_time_scores(results_of({}, CURVES)))
    assert table[["contestant", "seeds"]].to_numpy().tolist() == [["fast", 2]]


def test_area_under_the_learning_curve_is_the_mean_over_the_budget() -> None:
    # from agent step 120, where all runs have been evaluated, to 200, where the first ends
    table = area_scores(results_of({}, CURVES)).set_index(["contestant", "seed"])["score"]
    assert table["fast", 0] == pytest.approx((30 + 110) / 2)
    assert table["fast", 1] == pytest.approx((30 + 190) / 2)
    assert table["slow", 0] == pytest.approx((58 + 90) / 2)
    bent = {("a", 0): [(0, 0.0, 0.0), (10, 1.0, 100.0), (40, 4.0, 100.0)]}
    assert area_scores(results_of({}, bent))["score"].tolist() == [pytest.approx((10 * 50 + 30 * 100) / 40)]


def test_area_is_over_minutes_if_the_budget_is() -> None:
    results = replace(results_of({}, CURVES), plan={"minutes": 1.0})
    table = area_scores(results).set_index(["contestant", "seed"])["score"]
    assert table.isna().all()  # all runs have been evaluated after 50 s, and the first ends after 20


def test_one_evaluation_has_no_area() -> None:
    assert area_scores(results_of({}, {("a", 0): [(100, 1.0, 5.0)]}))["score"].isna().all()


def test_time_to_a_score_that_stays() -> None:
    evaluations = {
        ("kept", 0): [(100, 1.0, 800.0, 1000.0), (200, 2.0, 899.0, 901.0), (300, 3.0, 0.0, 0.0)],
        ("lost again", 0): [(100, 1.0, 950.0), (200, 2.0, 0.0), (300, 3.0, 950.0)],
        ("later", 0): [(100, 1.0, 950.0), (200, 2.0, 0.0), (300, 3.0, 950.0), (400, 4.0, 950.0)],
    }
    assert times_to(900, results_of({}, evaluations)).to_numpy().tolist() == [
        ["kept", 0, 100, 1],
        ["lost again", 0, inf, inf],
        ["later", 0, 300, 3],
    ]


def runs_of(**contestants: list[float]) -> pd.DataFrame:
    rows = [(name, seed, 1000 * t, t) for name, of_it in contestants.items() for seed, t in enumerate(of_it)]
    return pd.DataFrame(rows, columns=["contestant", "seed", "agent_steps", "seconds"])


LATE = pd.DataFrame({"agent_steps": 15_000.0, "seconds": 15.0}, index=["slow", "fast"])


def test_times_count_who_gets_there() -> None:
    table = times(runs_of(a=[1.0, 2.0, 3.0, 4.0, inf, inf], b=[inf, 5.0])).set_index("contestant")
    assert table.loc["a", ["seeds", "reached", "agent_steps", "seconds"]].tolist() == [6, 4, 3500, 3.5]
    assert table.loc["a", ["seconds_low", "seconds_high"]].tolist() == [1, inf]
    assert table.loc["b", ["seeds", "reached", "seconds"]].tolist() == [2, 1, inf]
    assert isnan(table.loc["b", "seconds_low"])


def test_times_are_compared_sooner_one_first() -> None:
    fast, slow = [1.0, 2.0, 3.0, 4.0, 5.0], [inf, 6.0, 8.0, 10.0, 12.0]
    table = time_comparisons(runs_of(slow=slow, fast=fast), LATE)
    assert table["axis"].tolist() == ["agent_steps", "seconds"]
    row = table.iloc[0]
    assert (row["contestant"], row["other"], row["probability"]) == ("fast", "slow", 1)
    assert (row["p"], row["clear"]) == (pytest.approx(2 / 252), True)
    assert 0 == row["ratio_low"] < row["ratio"] < row["ratio_high"] < 1  # one never gets there
    against = time_comparisons(runs_of(slow=slow, fast=fast), LATE, "slow").iloc[0]
    assert (against["contestant"], against["probability"]) == ("slow", 0)
    assert against["ratio"] == pytest.approx(1 / row["ratio"])


def test_times_after_the_end_of_another_run_do_not_count() -> None:
    ended, slow = [inf] * 5, [9.0, 9.5, 10.0, 10.5, 11.0]  # thousands of agent steps, and seconds
    ends = pd.DataFrame({"agent_steps": 15_000.0, "seconds": [4.0, 12.0]}, index=["ended", "slow"])
    table = time_comparisons(runs_of(ended=ended, slow=slow), ends).set_index("axis")
    assert (table.loc["agent_steps", "contestant"], table.loc["agent_steps", "clear"]) == ("slow", True)
    assert (table.loc["seconds", "probability"], table.loc["seconds", "clear"]) == (0.5, False)


def test_the_earliest_end_of_each_contestant() -> None:
    ends = earliest_ends(results_of({}, CURVES))
    assert ends.loc["fast"].tolist() == [200, 20]
    assert ends.loc["slow"].tolist() == [200, 60]


def test_learning_curves_on_a_common_grid() -> None:
    curves = learning_curves(results_of({}, CURVES))
    steps = curves[(curves["axis"] == "agent_steps") & (curves["contestant"] == "fast")]
    assert steps["x"].tolist() == [120, 200]  # where both runs are being evaluated
    # at 120: 30 and, a fifth of the way from 10 to 110, 30; at 200: 110 and, 0.8 of the way from 30 to 230, 190
    assert (steps["iqm"].iloc[0], steps["iqm"].iloc[-1]) == (pytest.approx(30), pytest.approx(150))
    # of two runs: their mean, 12.71 (Student's t) times half their distance to each side
    assert (steps["low"].iloc[-1], steps["high"].iloc[-1]) == pytest.approx(
        (150 - 508.2, 150 + 508.2), abs=0.1
    )
    seconds = curves[(curves["axis"] == "seconds") & (curves["contestant"] == "fast")]
    assert seconds["x"].tolist() == [12, 20, 30]
    assert seconds["iqm"].iloc[-1] == pytest.approx((110 + 230) / 2)


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


def test_a_score_that_is_no_number_is_named() -> None:
    results = made_up_results(seeds=2, tracks=3)
    results.drives.loc[7, "score"] = np.nan
    one = results.drives.loc[7]
    with error_naming(UserError, f"nan | {one.contestant} | {one.seed} | {one.track} | {one.checkpoint}"):
        held_out_scores(results)
