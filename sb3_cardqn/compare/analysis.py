"""Analysis: all statistics of a comparison."""

from typing import TypeAlias

import pandas as pd

from sb3_cardqn.compare import measures, statistics
from sb3_cardqn.compare.results import Results
from sb3_cardqn.env.task import task_of

WORTH = 5 / 900  # part of the reward threshold that a difference worth having is: 5 points on CarRacing

# name of a function of ``statistics``, or "scores" -> its table
Analysis: TypeAlias = dict[str, pd.DataFrame]


def analyse(results: Results) -> Analysis:
    """
    Compute all statistics.

    :param results: results of a comparison
    :return: the tables; those of times only if the environment has a reward threshold
    :raises UserError: if there are no scores, or a run has other held-out episodes than the rest
    """
    held_out = measures.held_out_scores(results)
    on_validation = (measures.equal_time_scores(results), measures.area_scores(results))
    scores = pd.concat([held_out, *(some for some in on_validation if not some.empty)], ignore_index=True)
    baseline, threshold = results.plan.get("baseline"), task_of(results.plan.get("env", "")).solved
    times = None if threshold is None else measures.times_to(threshold, results)
    enough = None if threshold is None else WORTH * abs(threshold)
    return {
        "scores": scores,
        "aggregates": statistics.aggregates(scores),
        "comparisons": statistics.comparisons(scores, baseline, enough),
        "performance_profiles": statistics.profiles(held_out),
        "drive_profiles": statistics.profiles(results.drives.rename(columns={"checkpoint": "measure"})),
        "run_curves": measures.run_curves(results),
        "learning_curves": statistics.learning_curves(results),
        "resources": statistics.resources(results),
        "per_track": statistics.per_track(results),
    } | ({} if times is None or times.empty else _of_times(times, measures.earliest_ends(results), baseline))


def _of_times(times: pd.DataFrame, ends: pd.DataFrame, baseline: str | None) -> Analysis:
    return {
        "run_times": times,
        "times": statistics.times(times),
        "time_comparisons": statistics.time_comparisons(times, ends, baseline),
    }
