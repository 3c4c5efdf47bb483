"""All statistics of a comparison at once."""

from dataclasses import dataclass

import pandas as pd

from sb3_cardqn.compare import statistics
from sb3_cardqn.compare.results import Results


@dataclass(frozen=True)
class Analysis:
    """
    All statistics of a comparison; each table is what the function of its name in ``statistics`` returns.

    :param scores: of the runs: ``held_out_scores`` and ``equal_time_scores``
    :param aggregates: of those
    :param comparisons: of those
    :param performance_profiles: of those
    :param drive_profiles: of the held-out drives
    :param run_curves: of the runs
    :param learning_curves: of the contestants
    :param resources: of the contestants
    :param per_track: of the held-out drives
    """

    scores: pd.DataFrame
    aggregates: pd.DataFrame
    comparisons: pd.DataFrame
    performance_profiles: pd.DataFrame
    drive_profiles: pd.DataFrame
    run_curves: pd.DataFrame
    learning_curves: pd.DataFrame
    resources: pd.DataFrame
    per_track: pd.DataFrame


def analyse(results: Results) -> Analysis:
    """
    Compute all statistics; the bootstraps are seeded, so the same results give the same numbers.

    :param results: of a comparison
    :return: the tables
    :raises UserError: if there is nothing to score, or a run drove other tracks than the rest
    """
    held_out, equal_time = statistics.held_out_scores(results), statistics.equal_time_scores(results)
    scores = held_out if equal_time.empty else pd.concat([held_out, equal_time], ignore_index=True)
    return Analysis(
        scores=scores,
        aggregates=statistics.aggregates(scores),
        comparisons=statistics.comparisons(scores, results.plan.get("baseline")),
        performance_profiles=statistics.performance_profiles(scores),
        drive_profiles=statistics.drive_profiles(results),
        run_curves=statistics.run_curves(results),
        learning_curves=statistics.learning_curves(results),
        resources=statistics.resources(results),
        per_track=statistics.per_track(results),
    )
