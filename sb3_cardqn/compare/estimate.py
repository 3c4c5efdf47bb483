"""How long a comparison will take, before it is begun."""

import inspect
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean

from rl_zoo3 import ALGOS

from sb3_cardqn.compare.plan import Contestant, Plan
from sb3_cardqn.compare.run import Attempt, PlannedRun
from sb3_cardqn.errors import UserError

_TRIAL_MINUTES = 0.25


def estimate(contestant: Contestant, runs: Sequence[PlannedRun], num_threads: int) -> tuple[float, str]:
    """
    Tell how long a run takes: as the finished ones took; else the budget in minutes, or a short training.

    :param contestant: that trains
    :param runs: of the comparison
    :param num_threads: of torch
    :return: seconds of a run, and where the number comes from
    """
    states = [run.state for run in runs if run.contestant == contestant]
    finished = [state.wall_seconds for state in states if state.finished]
    plan = runs[0].plan
    if finished:
        return mean(finished), f"{len(finished)} finished, evaluations included"
    if plan.minutes is not None:
        return 60 * plan.minutes, "the budget, evaluations on top"
    speed = _agent_steps_per_second(contestant, plan, num_threads)
    return runs[0].agent_steps / speed, f"{speed:.0f} agent steps/s measured, evaluations on top"


def _agent_steps_per_second(contestant: Contestant, plan: Plan, num_threads: int) -> float:
    if "learning_starts" in inspect.signature(ALGOS[contestant.algo]).parameters:
        # acting at random is faster, and over soon
        contestant = replace(contestant, overrides=(*contestant.overrides, "learning_starts:100"))
    trial = replace(
        plan,
        contestants=(contestant,),
        n_timesteps=None,
        minutes=_TRIAL_MINUTES,
        n_evaluations=1,
        eval_episodes=1,
    )
    with tempfile.TemporaryDirectory() as folder:
        run = PlannedRun(trial, contestant, plan.seeds[0], Path(folder))
        state = Attempt(run, num_threads).finish()
        if not state.finished:
            raise UserError(f"contestant '{contestant.name}' does not train: {state.failure}")
        return run.reading.agent_steps / run.reading.seconds
