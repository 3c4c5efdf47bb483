"""Comparisons made up for tests: numbers of the size CarRacing gives."""

from typing import Any

import numpy as np
import pandas as pd

from sb3_cardqn.compare.results import Results
from sb3_cardqn.seeds import HELD_OUT_SEEDS, VALIDATION_SEEDS

# name -> score that training comes to, spread between seeds, agent steps/s
CONTESTANTS = {"cardqn": (872.0, 14.0, 480.0), "dqn": (760.0, 40.0, 330.0), "qrdqn": (848.0, 25.0, 300.0)}
STEPS = 500_000


def made_up_results(
    contestants: dict[str, tuple[float, float, float]] = CONTESTANTS, seeds: int = 5, tracks: int = 20
) -> Results:
    """
    :param contestants: name -> score that training comes to, spread between seeds, agent steps/s
    :param seeds: how many
    :param tracks: how many held-out ones
    :return: runs that learn along saturating curves
    """
    rng = np.random.default_rng(0)
    hardness = rng.normal(0, 25, tracks)
    runs, curves, drives = [], [], []
    for contestant, (score, spread, speed) in contestants.items():
        for seed in range(seeds):
            run = {"contestant": contestant, "seed": seed}
            ability, speed_now = score + spread * rng.normal(), speed * rng.uniform(0.9, 1.1)
            folder = f"logs/{contestant.split()[0]}/CarRacing-v3_{seed + 1}"
            command = (
                f"sb3-cardqn train --algo {contestant.split()[0]} --env CarRacing-v3 --seed {seed} -n {STEPS}"
            )
            took = {
                "agent_steps": STEPS,
                "seconds": STEPS / speed_now,
                "peak_memory_mb": rng.normal(1450, 40),
            }
            about = {"algo": contestant.split()[0], "folder": folder, "command": command}
            runs.append(run | about | took | {"attempts": 1 + (seed == 3)})
            for agent_steps in range(25_000, STEPS + 1, 25_000):
                reached = ability - (ability + 40) * np.exp(-agent_steps / 90_000) + rng.normal(0, 20)
                at = {"agent_steps": agent_steps, "seconds": agent_steps / speed_now}
                for track in VALIDATION_SEEDS[:5]:
                    curves.append(run | at | {"track": track, "score": reached + rng.normal(0, 30)})
            for checkpoint, bonus in (("final", 0), ("best", 8)):
                for track, hard in zip(HELD_OUT_SEEDS[:tracks], hardness, strict=True):
                    driven = min(
                        ability + bonus + hard + rng.normal(0, 20) - 300 * (rng.random() < 0.05), 935
                    )
                    lap = {"frames": 1000 if driven < 900 else 760, "lap_finished": driven >= 900}
                    drives.append(run | {"checkpoint": checkpoint, "track": track, "score": driven} | lap)
    plan: dict[str, Any] = {
        "contestants": [{"name": name, "overrides": name.split()[1:]} for name in contestants],
        "seeds": list(range(seeds)),
        "environment": "CarRacing-v3",
        "budget": {"agent_steps": STEPS},
    }
    machine = {"cpu": "two cores", "python": "3.11.9", "torch": "2.13.0", "stable-baselines3": "2.9.2"}
    return Results(plan, machine, *map(pd.DataFrame, (runs, curves, drives)))
