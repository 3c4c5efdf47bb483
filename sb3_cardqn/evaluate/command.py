"""Command ``sb3-cardqn evaluate``."""

import argparse
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import pandas as pd

from sb3_cardqn.agents.find import WHICH_AGENT, AgentLike, default_agent, find_agents
from sb3_cardqn.agents.saved import TrainedAgent
from sb3_cardqn.durable import check_writable, write_text
from sb3_cardqn.env.task import CarRacingTask, task_of
from sb3_cardqn.errors import UserError
from sb3_cardqn.evaluate.evaluation import Evaluation, evaluate, table
from sb3_cardqn.evaluate.numbers import decimals, score_decimals
from sb3_cardqn.machine import machine
from sb3_cardqn.options import Parser, add_gym_packages, add_trust, positive
from sb3_cardqn.seeds import FINAL_SEEDS, HELD_OUT_SEEDS, VALIDATION_SEEDS
from sb3_cardqn.zoo.settings import import_packages


def add_agent_options(
    parser: argparse.ArgumentParser, default: str = "the newest run in logs, else cardqn"
) -> None:
    """
    Add the options that choose the agents.

    :param parser: parser to add them to
    :param default: agent that is taken without a name, for ``--help``
    """
    parser.add_argument(
        "agents",
        nargs="*",
        metavar="[NAME=]RUN",
        help=f"{WHICH_AGENT}; NAME is the name to show (default: {default})",
    )
    parser.add_argument(
        "--checkpoint", choices=("best", "final"), default="best",
        help="agent of each run: the best in its evaluations (default) or the final one",
    )  # fmt: skip
    parser.add_argument(
        "--config", type=Path, help="the zoo's config.yml for zip files (default: that of their run folder)"
    )
    parser.add_argument("--algo", help="algorithm of zip files (default: that of their run folder)")
    parser.add_argument(
        "--env",
        help="environment of zip files outside a run folder (default: that of args.yml beside --config, else "
        "CarRacing-v3)",
    )
    add_gym_packages(parser)
    parser.add_argument(
        "--fast",
        action="store_true",
        help="CarRacing: observe the picture used in training, which is drawn faster; the race is the same. "
        "A ghost of play always observes it",
    )
    parser.add_argument(
        "--domain-randomize", action="store_true", help="CarRacing: use random colours on every track"
    )
    add_trust(parser)


def chosen_agents(options: argparse.Namespace, named: Sequence[AgentLike]) -> list[TrainedAgent]:
    """
    :param options: options of ``add_agent_options``
    :param named: agents of the command line, or the default
    :return: the agents
    :raises UserError: if one is missing or does not fit an option
    """
    import_packages(options.gym_packages)
    agents = find_agents(named, options.checkpoint, options.config, options.algo, options.env)
    task = task_of(agents[0].env_id)
    if options.domain_randomize and not isinstance(task, CarRacingTask):
        raise UserError(f"--domain-randomize is for CarRacing, got agents of {task.name}")
    return agents


def typed_count(argv: Sequence[str]) -> str:
    """
    :param argv: command line with ``--tracks`` or ``--episodes``
    :return: the one that counts
    """
    return [word.partition("=")[0] for word in argv if word.startswith(("--tracks", "--episodes"))][-1]


def judged_kwargs(options: argparse.Namespace) -> dict[str, Any]:
    """
    :param options: options of ``add_agent_options``
    :return: arguments of ``gym.make`` for judging
    """
    return {"domain_randomize": True} if options.domain_randomize else {}


def main(argv: list[str]) -> None:
    """
    Run ``sb3-cardqn evaluate``.

    :param argv: arguments after ``evaluate``
    """
    parser = Parser(
        prog="sb3-cardqn evaluate",
        description="Evaluate saved agents of any algorithm and environment: they act greedily in the same "
        "held-out episodes (in CarRacing: on the same tracks of the unmodified race). Prints a table.",
    )
    add_agent_options(parser)
    parser.add_argument(
        "--tracks",
        "--episodes",
        type=int,
        metavar="N",
        help="number of tracks or episodes (default: 100; with --final 1000)",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--validation",
        action="store_true",
        help="use validation seeds (by default 100 of 1000), to choose among agents",
    )
    which.add_argument(
        "--final",
        action="store_true",
        help="use the final seeds 400000 to 400999, which final agents drive once",
    )
    which.add_argument("--first", type=int, metavar="SEED", help="first seed (default: 200000)")
    parser.add_argument(
        "--processes", type=positive, metavar="N", help="parallel processes (default: one per core)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write results, versions and hardware")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the score of every seed")
    options = parser.parse_args(argv)

    seeds = VALIDATION_SEEDS if options.validation else FINAL_SEEDS if options.final else HELD_OUT_SEEDS
    if options.first is not None:
        seeds = range(options.first, options.first + 1000)
    n_tracks = options.tracks
    if n_tracks is None:
        n_tracks = len(FINAL_SEEDS) if options.final else 100
    if not 1 <= n_tracks <= len(seeds):
        raise UserError(f"{typed_count(argv)} needs 1 to {len(seeds)}, got {n_tracks}")
    if options.csv and options.json and options.csv.resolve() == options.json.resolve():
        raise UserError(f"--json and --csv need two files, got '{options.csv}' for both")
    for path in (options.json, options.csv):
        if path is not None:
            check_writable(path)
    agents = chosen_agents(options, options.agents or [default_agent()])
    settings = _settings(agents)  # now, because the files may be gone after the drives
    evaluations = evaluate(
        agents,
        seeds[:n_tracks],
        stock=not options.fast,
        n_processes=options.processes,
        env_kwargs=judged_kwargs(options),
        final=options.final,
        progress=True,
    )
    print(_text(evaluations, settings))
    if options.csv is not None:
        drives = pd.concat(
            {evaluation.name: evaluation.drives for evaluation in evaluations}, names=["agent"]
        )
        write_text(options.csv, drives.reset_index(level="agent").to_csv(index=False))
    if options.json is not None:
        report = json.dumps(_finite(_report(argv, evaluations)), indent=2, allow_nan=False)
        write_text(options.json, f"{report}\n")


def _finite(data: Any) -> Any:
    """
    :param data: JSON data
    :return: the same, with None for NaN and infinity, which JSON does not have
    """
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _text(evaluations: Sequence[Evaluation], settings: Mapping[str, dict[str, str]]) -> str:
    """
    :param evaluations: evaluations of several agents
    :param settings: further columns of an agent, by its name
    :return: table for people
    """
    task, seeds = evaluations[0].task, evaluations[0].drives["track"]
    summaries = table(evaluations)
    digits = score_decimals(task, summaries.to_dict("records"))
    length_digits = decimals(summaries["frames"])
    rows = {}
    for name, row in summaries.iterrows():
        scores = {"score": f"{row['mean']:.{digits}f}"}
        if len(seeds) > 1:
            scores = {
                "mean": f"{row['mean']:.{digits}f}",
                "95 % interval": f"{row['low']:.{digits}f} to {row['high']:.{digits}f}",
                "std": f"{row['std']:.{digits}f}",
                "median": f"{row['median']:.{digits}f}",
                "P10": f"{row['p10']:.{digits}f}",
                "min": f"{row['minimum']:.{digits}f}",
            }
        solved = {} if task.solved is None else {f">= {task.solved:g}": f"{row['share_solved']:.0%}"}
        length = {f"{task.step}s": f"{row['frames']:.{length_digits}f}"}
        if task.has_laps:
            per_lap = row["frames_per_lap"]
            length = {
                "laps": f"{row['share_laps']:.1%}",
                "lost": f"{row['lost']:.0f} ({row['lost_low']:.1%} to {row['lost_high']:.1%})",
                "frames/lap": "none" if math.isnan(per_lap) else f"{per_lap:.0f}",
            }
        decision = {"ms/decision": f"{1e3 * row['seconds_per_decision']:.2f}"}
        rows[name] = scores | solved | length | decision | settings.get(name, {})
    where = f"{task.count(len(seeds))} of {task.name}, {seeds.min()} to {seeds.max()}"
    return f"{pd.DataFrame(rows).T.to_string()}\n{where}, Gymnasium {gym.__version__}"


def _settings(agents: Sequence[TrainedAgent]) -> dict[str, dict[str, str]]:
    """
    :param agents: agents of one environment
    :return: arguments of each agent's environment, by its name, if they are not the same for all
    """
    judged = {
        agent.name: task_of(agent.env_id).env_kwargs(agent.config.get("env_kwargs") or {}) for agent in agents
    }
    if len({str(kwargs) for kwargs in judged.values()}) == 1:
        return {}
    return {name: {"env_kwargs": str(kwargs)} for name, kwargs in judged.items()}


def _report(argv: Sequence[str], evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """
    :param argv: arguments after ``sb3-cardqn evaluate``
    :param evaluations: evaluations of several agents
    :return: complete report as JSON data, in which numbers may be NaN
    """
    return {
        "command": shlex.join(["sb3-cardqn", "evaluate", *argv]),
        "machine": machine(),
        "tracks": evaluations[0].drives["track"].to_list(),
        "agents": [
            {
                "name": evaluation.name,
                "algo": evaluation.agent.algo,
                "model": str(evaluation.agent.model_path),
                "config": str(evaluation.agent.config_path),
                "summary": evaluation.summary(),
                "drives": evaluation.drives.to_dict("records"),
            }
            for evaluation in evaluations
        ],
    }
