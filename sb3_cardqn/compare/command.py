"""``sb3-cardqn compare``."""

import argparse
import signal
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from sb3_cardqn.compare.comparison import PLAN_FILE, compare, opened
from sb3_cardqn.compare.estimate import estimate
from sb3_cardqn.compare.launchers import Launcher, LocalLauncher
from sb3_cardqn.compare.plan import Plan, read_plan
from sb3_cardqn.compare.run import runs_of
from sb3_cardqn.errors import UserError
from sb3_cardqn.options import Parser, add_trust
from sb3_cardqn.signals import handled

_EXAMPLES = """\
examples:
  sb3-cardqn compare cardqn "dqn exploration_fraction:0.18" -n 250000  5 seeds each
  sb3-cardqn compare cardqn "cardqn double_q:True" --seeds 10 --minutes 15 --output double_q
  sb3-cardqn compare --output double_q                                 go on after an interruption
  sb3-cardqn compare ppo --output double_q                             one contestant more
  sb3-cardqn compare --plan plan.yml --dry-run

plan.yml:
  contestants: [cardqn, "cardqn double_q:True"]    # or with names: {double: "cardqn double_q:True"};
                            # or as in hyperparams/*.yml: {one step: {algo: cardqn, n_steps: 1}}
  seeds: 5                  # or a list of them
  n_timesteps: 250000       # agent steps; or minutes: 15
  env: CarRacing-v3
  n_evaluations: 20         # on validation tracks, spread evenly over the training ...
  eval_episodes: 5          # ... of so many episodes
  tracks: 100               # held-out ones, driven in the end
  fast: false               # true: those are drawn by FastRender
  baseline: cardqn          # or left out: all pairs are compared
"""


def main(argv: list[str]) -> None:
    """
    Run ``sb3-cardqn compare``.

    :param argv: what follows on the command line
    """
    parser = _parser()
    options = parser.parse_args(argv)
    plan = _plan(options)
    with closing(_launcher(options)) as launcher:
        _run(plan, options, launcher)


def _run(plan: Plan, options: argparse.Namespace, launcher: Launcher) -> None:
    if options.dry_run:
        _dry_run(plan, options.output, launcher)
        return
    try:
        with handled(signal.default_int_handler, "SIGTERM", "SIGHUP"):
            results = compare(plan, options.output, launcher, videos=not options.no_videos)
    except KeyboardInterrupt:
        print(f"\nstopped; go on with: sb3-cardqn compare --output {options.output}", file=sys.stderr)
        sys.exit(130)
    for run, failure in results.failures.items():
        print(f"sb3-cardqn: {run} failed: {failure}", file=sys.stderr)
    if results.failures:
        sys.exit(1)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="sb3-cardqn compare",
        description="Train several algorithms with several seeds each through rl-zoo3, drive the agents on "
        "held-out tracks, and report who wins, by how much, and how sure that is.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "contestants",
        nargs="*",
        metavar="CONTESTANT",
        help="algorithm of the zoo, with overrides as for -params",
    )
    add("--plan", type=Path, help="YAML file; options on the command line go before it")
    add("-o", "--output", type=_folder, default=Path("comparison"), help="folder (default: comparison)")
    seeds = parser.add_mutually_exclusive_group()
    seeds.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        help="how many, or, if several, which (default: 5, from 0 in steps of 1000)",
    )
    seeds.add_argument("--seed", type=int, nargs="+", help="which, also a single one")
    add("-n", "--n-timesteps", type=int, help="budget of a run, in agent steps ...")
    add("--minutes", type=float, help="... or in minutes of training, evaluations not counted")
    add("--env", help="environment id (default: CarRacing-v3)")
    add("--n-evaluations", type=int, help="on validation tracks, during a training (default: 20)")
    add("--eval-episodes", type=int, help="of each of those (default: 5)")
    add("--tracks", type=int, help="held-out tracks to drive in the end (default: 100)")
    add(
        "--fast",
        action="store_true",
        default=None,
        help="drive those with the picture of the training: same race, faster drawing",
    )
    add("--baseline", metavar="NAME", help="compare each other contestant with this one (default: all pairs)")
    add("--no-videos", action="store_true", help="film no race")
    add(
        "--dry-run",
        action="store_true",
        help="check the plan, show it and how long it will take; train nothing",
    )
    add(
        "--launcher",
        choices=["local", "ray"],
        default="local",
        help="this machine (default) or a Ray cluster",
    )
    add("--jobs", type=int, help="local: runs (then drives) at a time (default: as cores and memory allow)")
    add(
        "--num-threads",
        type=int,
        help="of torch in a run (local: the cores shared out; ray: 1); ray: its CPUs",
    )
    add("--address", help="ray: of the cluster (default: a new one on this machine)")
    add("--num-gpus", type=float, default=0, help="ray: of each run (default: 0)")
    add_trust(parser)
    return parser


def _folder(text: str) -> Path:
    if not text:  # the current folder, by Python's rules
        raise argparse.ArgumentTypeError("needs a folder, got ''")
    return Path(text)


def _plan(options: argparse.Namespace) -> Plan:
    settings: dict[str, Any] = {}
    begun = options.output / PLAN_FILE
    for path in [begun, *([options.plan] if options.plan else [])]:
        if path != begun or path.is_file():
            settings |= read_plan(path)
    for name in (
        "n_timesteps",
        "minutes",
        "env",
        "n_evaluations",
        "eval_episodes",
        "tracks",
        "fast",
        "baseline",
    ):
        if getattr(options, name) is not None:
            settings[name] = getattr(options, name)
    if options.contestants:
        settings["contestants"] = options.contestants
    if options.seeds:
        settings["seeds"] = options.seeds[0] if len(options.seeds) == 1 else options.seeds
    if options.seed:
        settings["seeds"] = options.seed
    return Plan.of(**{"contestants": []} | settings)


def _launcher(options: argparse.Namespace) -> Launcher:
    if options.launcher == "local":
        if options.address or options.num_gpus:
            raise UserError("--address and --num-gpus need --launcher ray")
        return LocalLauncher(options.jobs, options.num_threads)
    if options.jobs is not None:
        raise UserError("--jobs is for --launcher local: Ray starts as many runs as the cluster has room for")
    from sb3_cardqn.compare.ray_launcher import RayLauncher

    return RayLauncher(options.address, options.num_threads or 1, options.num_gpus)


def _dry_run(plan: Plan, output: Path, launcher: Launcher) -> None:
    with opened(output) as earlier:
        plan = plan.added_to(earlier) if earlier else plan
        plan.try_out()
        runs = list(runs_of(plan, output))
        budget = f"{plan.n_timesteps} agent steps" if plan.n_timesteps else f"{plan.minutes} minutes"
        print(f"{plan.env}, {budget} a run, seeds {', '.join(map(str, plan.seeds))}")
        print(
            f"{plan.n_evaluations} x {plan.eval_episodes} validation tracks, {plan.tracks} held-out tracks"
            + ", drawn fast" * plan.fast
        )
        width = max(len(contestant.name) for contestant in plan.contestants)
        print(f"{'contestant':<{width}}  finished   a run takes about")
        left = 0.0
        for contestant in plan.contestants:
            own = [run for run in runs if run.contestant == contestant]
            finished = sum(run.state.finished for run in own)
            seconds, source = estimate(contestant, runs, launcher.num_threads)
            left += seconds * sum(1 - run.progress for run in own if not run.state.finished)
            done, minutes = f"{finished} of {len(own)}", seconds / 60
            print(f"{contestant.name:<{width}}  {done:<9}  {minutes:.1f} min ({source})")
        slots = min(launcher.slots, len(runs))
        print(f"about {left / slots / 3600:.1f} h of training to go, {slots} at a time")
