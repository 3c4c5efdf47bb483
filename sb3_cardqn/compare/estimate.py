"""estimate: the time that a run of a comparison will take."""

import inspect
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

from rl_zoo3 import ALGOS

from sb3_cardqn.compare.attempt import Attempt
from sb3_cardqn.compare.contestant import Contestant
from sb3_cardqn.compare.run import PlannedRun
from sb3_cardqn.errors import UserError

_TRIAL: dict[str, Any] = {"n_timesteps": None, "minutes": 0.25}
_TRIAL_OF_ARS: dict[str, Any] = {"n_timesteps": 1_000, "minutes": None}  # no callback can stop it


def estimate(contestant: Contestant, runs: Sequence[PlannedRun], num_threads: int) -> tuple[float, str]:
    """
    Estimate the time of a run from finished runs, the budget in minutes, or a short training run.

    :param contestant: contestant of the run
    :param runs: all runs of the comparison
    :param num_threads: torch threads per run
    :return: seconds per run, and the source of the number
    """
    states = [run.state for run in runs if run.contestant == contestant]
    finished = [state.wall_seconds for state in states if state.finished]
    plan = runs[0].plan
    if finished:
        return mean(finished), f"mean of {len(finished)} finished runs, with evaluations"
    if plan.minutes is not None:
        return 60 * plan.minutes, "budget, plus evaluations"
    speed = _agent_steps_per_second(next(run for run in runs if run.contestant == contestant), num_threads)
    return runs[0].agent_steps / speed, f"measured {speed:.0f} agent steps/s, plus evaluations"


def _agent_steps_per_second(run: PlannedRun, num_threads: int) -> float:
    contestant = run.contestant
    if "learning_starts" in inspect.signature(ALGOS[contestant.algo]).parameters:
        # random actions are faster than learning, but only at the start of a run
        contestant = replace(contestant, overrides=(*contestant.overrides, "learning_starts:100"))
    trial = replace(
        run.plan,
        contestants=(contestant,),
        **(_TRIAL_OF_ARS if contestant.algo == "ars" else _TRIAL),
        n_evaluations=1,
        eval_episodes=1,
    )
    with tempfile.TemporaryDirectory() as folder:
        run = replace(run, plan=trial, contestant=contestant, output=Path(folder))
        state = Attempt(run, num_threads).finish()
        if not state.finished:
            raise UserError(f"contestant '{contestant.name}' does not train: {state.failure}")
        return run.reading.agent_steps / run.reading.seconds
