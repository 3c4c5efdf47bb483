"""Command ``sb3-cardqn bench``."""

import argparse
import importlib
from pathlib import Path
from typing import Any

from sb3_cardqn.agents.find import WHICH_AGENT, default_agent
from sb3_cardqn.bench.agent import bench_agent
from sb3_cardqn.bench.env import bench_env
from sb3_cardqn.bench.parity import EPISODE, parity, picture
from sb3_cardqn.durable import check_writable
from sb3_cardqn.env.task import CarRacingTask, task_of
from sb3_cardqn.errors import UserError
from sb3_cardqn.evaluate import find_agents
from sb3_cardqn.options import Parser, add_trust, positive
from sb3_cardqn.seeds import VALIDATION_SEEDS

# commands in modules of their own, slow to import
_SLOW = {
    "learn": "measure updates, replay buffers and whole training beside SB3's",
    "checkpoint": "measure checkpoints of a large replay buffer",
    "decision": "measure the time of a decision in torch and ONNX Runtime",
    "to900": "measure the training time until an agent scores 900",
}


def main(argv: list[str]) -> None:
    """
    :param argv: arguments after ``bench``
    """
    parser = Parser(prog="sb3-cardqn bench", description="Measure how fast racing and learning are.")
    commands = parser.add_subparsers(dest="what", required=True)

    def add(name: str, text: str, **kwargs: Any) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", **kwargs)

    env = add("env", "measure frames per second: stock, FastRender, FrameSkip, all wrappers, EnvPool")
    env.add_argument("--rounds", type=positive, default=3, help="number of laps for the median (default: 3)")
    env.add_argument("--frames", type=positive, default=EPISODE, help=f"frames per lap (default: {EPISODE})")
    env.add_argument("--json", metavar="FILE", help="also write the table to FILE")
    parity_ = add("parity", "compare FastRender with stock")
    parity_.add_argument("--seeds", type=positive, default=50, help="laps of each kind (default: 50)")
    parity_.add_argument(
        "--frames", type=positive, default=EPISODE, help=f"frames per lap (default: {EPISODE})"
    )
    draw = add("picture", "draw stock, FastRender and their difference")
    draw.add_argument("path", help="PNG to write")
    agent = add("agent", "drive the same agent with both pictures on validation tracks")
    agent.add_argument(
        "agent", nargs="?", help=f"{WHICH_AGENT} (default: the newest run in logs, else cardqn)"
    )
    agent.add_argument(
        "--tracks", type=positive, default=50, help="number of tracks, 2 to 1000 (default: 50)"
    )
    add_trust(agent)
    for name, text in _SLOW.items():
        add(name, text, add_help=False)
    if argv and argv[0] in _SLOW:
        importlib.import_module(f"sb3_cardqn.bench.{argv[0]}").main(argv[1:])
        return
    args = parser.parse_args(argv)
    written = {"env": vars(args).get("json"), "picture": vars(args).get("path")}.get(args.what)
    if written is not None:
        check_writable(Path(written))
    if args.what == "env":
        bench_env(args.rounds, args.frames, args.json)
    elif args.what == "parity":
        parity(args.seeds, args.frames)
    elif args.what == "agent":
        if not 2 <= args.tracks <= len(VALIDATION_SEEDS):
            parser.error(f"--tracks needs 2 to {len(VALIDATION_SEEDS)}, got {args.tracks}")
        (driver,) = find_agents(args.agent or default_agent())
        if not isinstance(task_of(driver.env_id), CarRacingTask):
            raise UserError(f"bench agent needs an agent for CarRacing, got one for {driver.env_id}")
        bench_agent(driver, args.tracks)
    else:
        picture(args.path)
