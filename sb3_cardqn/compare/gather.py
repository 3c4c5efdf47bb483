"""gather: reads the files of finished runs into the tables of a comparison."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sb3_cardqn.compare.plan import Plan
from sb3_cardqn.compare.results import Results, joined
from sb3_cardqn.compare.run import PlannedRun
from sb3_cardqn.env.task import task_of
from sb3_cardqn.evaluate.evaluation import LAPS
from sb3_cardqn.machine import machine
from sb3_cardqn.zoo.clock import read_clock

_DRIVES = ["contestant", "seed", "checkpoint", "track", "score", "frames"]


def gather(plan: Plan, runs: Sequence[PlannedRun], failed: Sequence[PlannedRun] = ()) -> Results:
    """
    :param plan: plan of the comparison
    :param runs: finished runs, with drives on held-out tracks
    :param failed: failed runs
    :return: tables of the finished runs, and failures
    """
    rows = [
        {
            **_key(run),
            "algo": run.contestant.algo,
            "folder": str(run.folder.relative_to(run.output)),
            "command": run.command(),
            "agent_steps": run.reading.agent_steps,
            "seconds": run.reading.seconds,
            "peak_memory_mb": round(run.state.peak_memory_mb, 1),
            "attempts": run.state.attempts,
            "core_hours": round(run.state.core_hours, 4),
        }
        for run in runs
    ]
    return Results(
        plan=plan.as_dict(),
        machine=joined(run.state.machine or machine() for run in runs),
        runs=pd.DataFrame(rows),
        curves=pd.concat([_curve(run) for run in runs], ignore_index=True),
        drives=pd.concat([_drives(run) for run in runs], ignore_index=True),
        failures={str(run): run.state.failure for run in failed},
        hyperparams={run.contestant.name: dict(run.hyperparams) for run in runs if run.hyperparams},
    )


def _key(run: PlannedRun) -> dict[str, str | int]:
    return {"contestant": run.contestant.name, "seed": run.seed}


def drives_path(run: PlannedRun) -> Path:
    """
    :param run: any run
    :return: file of its drives on held-out tracks
    """
    return run.folder / "drives.csv"


def _drives(run: PlannedRun) -> pd.DataFrame:
    drives = pd.read_csv(drives_path(run)).assign(**_key(run))
    laps = LAPS if task_of(run.plan.env).has_laps else []  # older releases wrote them for every environment
    return drives.reindex(columns=[*_DRIVES, *laps])  # version 0.1.0 did not count missed tiles


def _curve(run: PlannedRun) -> pd.DataFrame:
    evaluations = np.load(run.folder / "evaluations.npz")
    seconds = {reading.agent_steps: reading.seconds for reading in read_clock(run.folder)}
    rows = [
        {
            **_key(run),
            "agent_steps": int(agent_steps),
            "seconds": seconds[int(agent_steps)],
            "track": i,
            "score": float(score),
        }
        for agent_steps, scores in zip(evaluations["timesteps"], evaluations["results"], strict=True)
        for i, score in enumerate(scores)
    ]
    return pd.DataFrame(rows)


def best_validation_score(run: PlannedRun) -> float:
    """
    :param run: finished run
    :return: mean score of its best checkpoint on validation tracks
    """
    return float(np.load(run.folder / "evaluations.npz")["results"].mean(axis=1).max())
