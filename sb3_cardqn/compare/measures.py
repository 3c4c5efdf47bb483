"""Measures of a run: scores in held-out episodes, its learning curve, time to the reward threshold."""

import numpy as np
import pandas as pd
from scipy.integrate import trapezoid

from sb3_cardqn.compare.results import Results
from sb3_cardqn.errors import UserError
from sb3_cardqn.zoo.clock import first_kept

EQUAL_TIME = "equal time"
AREA = "learning curve"
RUN = ["contestant", "seed"]


def held_out_scores(results: Results) -> pd.DataFrame:
    """
    Score of every run's checkpoints: the mean over the held-out episodes.

    :param results: results of a comparison
    :return: measure ("final" or "best", the checkpoint), contestant, seed, score
    :raises UserError: if there are no drives, or a run has other held-out episodes than the rest
    """
    if results.drives.empty:
        raise UserError("nothing to report: no run has been scored in a held-out episode yet")
    drives = results.drives.rename(columns={"checkpoint": "measure"})
    unknown = drives[~np.isfinite(drives["score"])]
    if not unknown.empty:
        one = next(unknown.itertuples())
        raise UserError(
            f"scores need to be finite numbers, got {one.score} of {one.contestant}, seed {one.seed}, in "
            f"held-out episode {one.track} ({one.measure} checkpoint)"
        )
    by_track = drives.pivot(index=["measure", *RUN], columns="track", values="score")
    missing = by_track.isna()
    if missing.to_numpy().any():
        measure, contestant, seed = missing.index[missing.any(axis=1)][0]
        row = missing.loc[(measure, contestant, seed)]
        raise UserError(
            f"all runs need the same held-out episodes: the {measure} checkpoint of {contestant}, seed "
            f"{seed}, lacks {', '.join(str(track) for track in row.index[row])}"
        )
    # order of the tables: contestants as planned, the final checkpoint before the best one
    order = drives[["measure", *RUN]].drop_duplicates()
    scores = by_track.mean(axis=1).rename("score").reset_index()
    return order.merge(scores).sort_values("measure", ascending=False, kind="stable", ignore_index=True)


def run_curves(results: Results) -> pd.DataFrame:
    """
    Score of every run at each of its evaluations: the mean over its episodes.

    :param results: results of a comparison
    :return: contestant, seed, agent_steps, seconds (of training), score
    """
    run = results.curves.groupby(RUN, sort=False).ngroup()
    in_order = results.curves.assign(run=run).sort_values(["run", "agent_steps"], kind="stable")
    by_evaluation = in_order.groupby([*RUN, "agent_steps"], sort=False, as_index=False)
    return by_evaluation.agg(seconds=("seconds", "mean"), score=("score", "mean"))


def equal_time_scores(results: Results) -> pd.DataFrame:
    """
    Score of every run at the wall-clock time at which the fastest contestant has finished all its runs.

    It is interpolated between two evaluations. A run that had ended before that time keeps its last score. If
    a run of a contestant had not been evaluated by then, all its runs have NaN: the rest would be biased.

    :param results: results of a comparison
    :return: measure ("equal time"), contestant, seed, seconds (that time), agent_steps (at that time), score
        in the evaluations
    """
    curves = run_curves(results)
    rows = []
    seconds = curves.groupby("contestant")["seconds"].max().min()
    for (contestant, seed), curve in curves.groupby(RUN, sort=False):
        steps, score = (
            np.interp(seconds, curve["seconds"], curve[name], left=np.nan)
            for name in ("agent_steps", "score")
        )
        rows.append((EQUAL_TIME, contestant, seed, seconds, steps, score))
    table = pd.DataFrame(rows, columns=["measure", *RUN, "seconds", "agent_steps", "score"])
    evaluated = table["score"].notna().groupby(table["contestant"]).transform("all")
    return table.assign(score=table["score"].where(evaluated))


def earliest_ends(results: Results) -> pd.DataFrame:
    """
    :param results: results of a comparison
    :return: index contestant; agent_steps and seconds of training until which all its runs were evaluated
    """
    ends = run_curves(results).groupby(RUN)[["agent_steps", "seconds"]].last()
    return ends.groupby("contestant").min()


def area_scores(results: Results) -> pd.DataFrame:
    """
    Area under every run's learning curve: its mean score over the budget.

    The curve runs straight from evaluation to evaluation (the trapezoidal rule), over agent steps or, if the
    budget is in minutes, over seconds of training. It begins where all runs have been evaluated and ends
    where the first run ends.

    :param results: results of a comparison
    :return: measure ("learning curve"), contestant, seed, score in the evaluations
    """
    axis = "agent_steps" if results.plan.get("minutes") is None else "seconds"
    curves = run_curves(results)
    by_run = curves.groupby(RUN, sort=False)
    start, end = by_run[axis].first().max(), by_run[axis].last().min()
    rows = []
    for (contestant, seed), curve in by_run:
        inside = curve[axis][curve[axis].between(start, end, inclusive="neither")]
        x = np.array([start, *inside, end])
        y = np.interp(x, curve[axis], curve["score"])
        area = trapezoid(y, x) / (end - start) if start < end else np.nan
        rows.append((AREA, contestant, seed, area))
    return pd.DataFrame(rows, columns=["measure", *RUN, "score"])


def times_to(threshold: float, results: Results) -> pd.DataFrame:
    """
    Agent steps and seconds of training until a run first reaches a score and keeps it at its next evaluation.

    :param threshold: score to reach, the mean of an evaluation
    :param results: results of a comparison
    :return: contestant, seed, agent_steps, seconds (inf for a run that never gets there)
    """
    rows = []
    for (contestant, seed), curve in run_curves(results).groupby(RUN, sort=False):
        first = first_kept(curve["score"], threshold)
        steps, seconds = (np.inf, np.inf) if first is None else curve[["agent_steps", "seconds"]].iloc[first]
        rows.append((contestant, seed, steps, seconds))
    return pd.DataFrame(rows, columns=[*RUN, "agent_steps", "seconds"])
