"""Analysis: all statistics of a comparison."""

from typing import TypeAlias

import pandas as pd

from sb3_cardqn.compare import statistics
from sb3_cardqn.compare.results import Results

# name of a function of ``statistics``, or "scores" -> its table
Analysis: TypeAlias = dict[str, pd.DataFrame]


def analyse(results: Results) -> Analysis:
    """
    Compute all statistics; the bootstraps are seeded, so the same results give the same numbers.

    :param results: results of a comparison
    :return: the tables
    :raises UserError: if there are no scores, or a run has other held-out episodes than the rest
    """
    held_out, equal_time = statistics.held_out_scores(results), statistics.equal_time_scores(results)
    scores = held_out if equal_time.empty else pd.concat([held_out, equal_time], ignore_index=True)
    return {
        "scores": scores,
        "aggregates": statistics.aggregates(scores),
        "comparisons": statistics.comparisons(scores, results.plan.get("baseline")),
        "performance_profiles": statistics.performance_profiles(scores),
        "drive_profiles": statistics.drive_profiles(results),
        "run_curves": statistics.run_curves(results),
        "learning_curves": statistics.learning_curves(results),
        "resources": statistics.resources(results),
        "per_track": statistics.per_track(results),
    }
