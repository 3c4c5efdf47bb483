"""Command ``sb3-cardqn race``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sb3_cardqn.agents.find import AgentLike, default_agent, split_name
from sb3_cardqn.agents.saved import TrainedAgent
from sb3_cardqn.durable import check_writable
from sb3_cardqn.env.task import Task, task_of
from sb3_cardqn.errors import UserError
from sb3_cardqn.evaluate import Drive, Run, drive_at_random
from sb3_cardqn.evaluate.command import add_agent_options, chosen_agents, judged_kwargs, typed_count
from sb3_cardqn.evaluate.numbers import decimals
from sb3_cardqn.options import Parser
from sb3_cardqn.policy_file.read import locate
from sb3_cardqn.race.film import animate, race
from sb3_cardqn.race.learning_curve import has_curve, plot_learning_curve
from sb3_cardqn.seeds import HELD_OUT_SEEDS


def main(argv: list[str]) -> None:
    """
    Run ``sb3-cardqn race``.

    :param argv: arguments after ``race``
    """
    parser = Parser(
        prog="sb3-cardqn race",
        description="Film saved agents that act greedily in the same held-out episodes, side by side, with "
        "scores and Q-values; in CarRacing, on tracks of the unmodified race. For one run, race.mp4 and "
        "learning_curve.png are written to its folder; for a shipped agent or several, race.mp4 to the "
        "current folder.",
    )
    add_agent_options(parser)
    parser.add_argument(
        "--tracks",
        "--episodes",
        type=int,
        metavar="N",
        help="number of tracks or episodes, 1 to 6, at most 12 panes in all (default: 3 for one agent, 1 "
        "for several)",
    )
    parser.add_argument(
        "--first",
        type=int,
        metavar="SEED",
        default=HELD_OUT_SEEDS.start,
        help="first seed (default: 200000)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="file to write: .mp4 or .gif for a video, .png for eight pictures of each drive, which show how "
        "it ended or how the car was lost",
    )
    parser.add_argument("--gif", action="store_true", help="also write a GIF, smaller and at twice the speed")
    options = parser.parse_args(argv)

    if options.tracks is not None and not 1 <= options.tracks <= 6:
        raise UserError(f"{typed_count(argv)} needs 1 to 6, got {options.tracks}")
    if options.gif and options.output is not None and options.output.suffix == ".png":
        raise UserError(f"--gif needs a video, got '{options.output}'")
    named = options.agents or [default_agent()]
    run = _run(named)
    agents = chosen_agents(options, named)
    task = task_of(agents[0].env_id)
    n_tracks = options.tracks or (3 if len(agents) == 1 else 1)
    tracks = range(options.first, options.first + n_tracks)
    folder = run.folder if run else Path()
    video = options.output or folder / "race.mp4"
    written = [video]
    if options.gif and video.suffix != ".gif":
        written.append(video.with_suffix(".gif"))
    if run is not None and video == run.folder / "race.mp4" and has_curve(run):
        written.append(run.folder / "learning_curve.png")
    for path in written:
        check_writable(path)

    names = ", ".join(agent.name for agent in agents)
    print(f"Driving {_span(task, tracks)}: {names} ...")
    results = race(
        agents,
        tracks,
        video,
        stock=not options.fast,
        env_kwargs=judged_kwargs(options),
        progress=True,
    )
    _print(task, agents, results, judged_kwargs(options))
    for path in written[1:]:
        if path.suffix == ".gif":
            animate(written[0], path)
        else:
            assert run is not None
            plot_learning_curve(run, path)
    print(f"Written: {', '.join(map(str, written))}")


def _run(agents: Sequence[AgentLike]) -> Run | None:
    """
    :param agents: agents of the command line, or the default
    :return: the run if there is one agent and it is a run, else None
    """
    if len(agents) != 1:
        return None
    (agent,) = agents
    if isinstance(agent, str):
        agent = locate(split_name(agent)[1])
    if isinstance(agent, Path):
        return Run(agent) if agent.is_dir() else None
    return agent if isinstance(agent, Run) else None


def _span(task: Task, seeds: range) -> str:
    if len(seeds) == 1:
        return f"{task.episode} {seeds[0]}"
    return f"{task.episode}s {seeds[0]} to {seeds[-1]}"


def _print(
    task: Task,
    agents: Sequence[TrainedAgent],
    results: Sequence[Sequence[Drive]],
    env_kwargs: dict[str, Any],
) -> None:
    """
    :param task: task of the environment
    :param agents: the agents
    :param results: one list per agent, with one drive per track or episode
    :param env_kwargs: arguments of ``gym.make`` that change the race
    """
    width = max(len("random actions"), *(len(agent.name) for agent in agents))
    lap = "  lap" if task.has_laps else ""
    print(f"{'':{width}} {task.episode:>8} {'score':>8} {task.step + 's':>8}{lap}")
    at_random = [drive_at_random(agents[0], one.seed, **env_kwargs) for one in max(results, key=len)]
    names, driven = [*(agent.name for agent in agents), "random actions"], [*results, at_random]
    digits = decimals([task.solved, *(one.score for drives in driven for one in drives)], least=1)
    for name, drives in zip(names, driven, strict=True):
        for one in drives:
            if task.has_laps:
                lap = "  finished" if one.lap_finished else "  unfinished"
            print(f"{name:{width}} {one.seed:>8} {one.score:>8.{digits}f} {one.frames:>8}{lap}")
        if len(drives) > 1:
            print(f"{name:{width}} {'mean':>8} {np.mean([one.score for one in drives]):>8.{digits}f}")
