"""``sb3-cardqn bench to900``: training time until an agent scores 900."""

import math
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sb3_cardqn.bench.contestants import make_training
from sb3_cardqn.bench.learn import Contestant
from sb3_cardqn.compare import Plan, Results, compare
from sb3_cardqn.compare.comparison import opened
from sb3_cardqn.compare.launchers import LocalLauncher
from sb3_cardqn.compare.measures import RUN, run_curves, times_to
from sb3_cardqn.durable import write_text
from sb3_cardqn.env.task import CarRacingTask
from sb3_cardqn.options import Parser, add_trust, positive
from sb3_cardqn.yaml_files import read_yaml
from sb3_cardqn.zoo.configuration import own_file

EVERY = 20_000  # agent steps between evaluations
LOW = 880  # an evaluation below it in the last third of a run counts as a relapse
SPEEDS = "sb3_speed.csv"


def bench_to900(
    contestants: Sequence[str] | Mapping[str, Any],
    seeds: int,
    agent_steps: int,
    output: Path,
    calls: int = 400,
) -> pd.DataFrame:
    """
    Train run after run on all cores, and print how long each contestant takes to score 900.

    SB3's DQN with the zoo's own wrappers is timed before and after, on one thread of torch; its speed
    converts minutes to its agent steps. A call after an interruption resumes, and a call with more seeds adds
    them.

    :param contestants: algorithms with overrides, as in ``compare``; a list, or a dict from names
    :param seeds: number of training seeds
    :param agent_steps: budget of a run
    :param output: folder of the comparison
    :param calls: agent steps of SB3's DQN per measurement
    :return: the table of ``to900_table``
    """
    plan = Plan.of(
        contestants,
        seeds,
        n_timesteps=agent_steps,
        n_evaluations=max(agent_steps // EVERY, 1),
        eval_episodes=20,
        tracks=1,
        fast=True,
        vec_env="subproc",
    )
    with opened(output) as earlier:  # errors before anything is measured
        plan = plan.added_to(earlier) if earlier else plan
    first = _sb3_speed(calls)
    results = compare(plan, output, LocalLauncher(jobs=1, num_threads=1), videos=False)
    speeds = [first, _sb3_speed(calls)]
    path = output / SPEEDS
    if path.is_file():
        speeds += pd.read_csv(path)["agent_steps_per_second"].tolist()
    write_text(path, pd.DataFrame({"agent_steps_per_second": speeds}).to_csv(index=False))
    sb3_speed = float(np.median(speeds))

    table = to900_table(results, sb3_speed, len(plan.seeds))
    for run, why in results.failures.items():
        print(f"failed, counts as never: {run}: {why}", file=sys.stderr)
    print(f"SB3 DQN with the zoo's wrappers, one thread: {sb3_speed:.1f} agent steps/s (of {len(speeds)})")
    print(table.set_index("contestant").round(2).to_string())
    return table


def to900_table(results: Results, sb3_speed: float, seeds: int) -> pd.DataFrame:
    """
    :param results: results of a comparison on CarRacing
    :param sb3_speed: agent steps per second of SB3's DQN
    :param seeds: number of planned runs of each contestant; a run that failed never reaches 900
    :return: contestant, runs, reached, minutes and agent_steps (medians), worst_minutes, sb3_steps and
        worst_sb3_steps, late_score (lowest mean of a run's evaluations in its last third), relapses (share of
        these evaluations below 880); inf where a run never reaches 900
    """
    times = times_to(CarRacingTask().solved, results)
    curves = run_curves(results)
    budget = curves.groupby(RUN)["agent_steps"].transform("max")
    late = curves[curves["agent_steps"] > budget * 2 / 3]
    rows = []
    for name in results.plan["contestants"]:
        own = times[times["contestant"] == name]
        late_scores = late[late["contestant"] == name]
        never = [math.inf] * (seeds - len(own))
        seconds, steps = (np.array([*own[clock], *never]) for clock in ("seconds", "agent_steps"))
        median, worst = np.median(seconds), seconds.max()
        rows.append(
            {
                "contestant": name,
                "runs": seeds,
                "reached": int(np.isfinite(seconds).sum()),
                "minutes": median / 60,
                "agent_steps": np.median(steps),
                "worst_minutes": worst / 60,
                "sb3_steps": median * sb3_speed,
                "worst_sb3_steps": worst * sb3_speed,
                "late_score": late_scores.groupby("seed")["score"].mean().min(),
                "relapses": (late_scores["score"] < LOW).mean(),
            }
        )
    return pd.DataFrame(rows)


def _sb3_speed(calls: int) -> float:
    """
    :param calls: number of agent steps
    :return: agent steps per second of SB3's DQN with the zoo's wrappers on stock CarRacing
    """
    sb3 = Contestant(partial(make_training, "dqn", stock=True))
    try:
        return 1e3 / sb3.ms(calls)[0]
    finally:
        sb3.close()


def main(argv: list[str]) -> None:
    """
    :param argv: arguments after ``bench to900``
    """
    parser = Parser(
        prog="sb3-cardqn bench to900",
        description="Measure the training time until the mean of 20 validation tracks is 900 or more in two "
        "evaluations in a row. Runs train one at a time on all cores. The time is given in minutes without "
        "evaluations, and in the agent steps that SB3's DQN makes in it.",
    )
    parser.add_argument(
        "contestants",
        nargs="*",
        metavar="CONTESTANT",
        help="as in compare, or race.yml for cardqn with hyperparams/race.yml (default: race.yml, and dqn "
        "with 45,000 agent steps of exploration)",
    )
    parser.add_argument("--seeds", type=int, default=10, help="number of seeds (default: 10)")
    parser.add_argument(
        "-n",
        "--n-timesteps",
        type=positive,
        default=300_000,
        help="budget of a run in agent steps (default: 300000)",
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("to900"), help="folder for runs and report (default: to900)"
    )
    add_trust(parser)
    args = parser.parse_args(argv)
    fraction = min(45_000 / args.n_timesteps, 1.0)
    race = {"algo": "cardqn", **read_yaml(own_file("race"))["CarRacing-v3"]}
    del race["n_timesteps"]  # -n sets it
    default = {"race.yml": race, "dqn": f"dqn exploration_fraction:{fraction:g}"}
    named = {text: race if text == "race.yml" else text for text in args.contestants}
    bench_to900(named or default, args.seeds, args.n_timesteps, args.output)
