"""Command ``sb3-cardqn compare``."""

import argparse
import heapq
import shlex
import signal
import sys
from contextlib import closing, nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any

from sb3_cardqn.compare.comparison import PLAN_FILE, compare, opened
from sb3_cardqn.compare.contestant import Contestant
from sb3_cardqn.compare.estimate import estimate
from sb3_cardqn.compare.launchers import Launcher, local_launcher
from sb3_cardqn.compare.merge import merge_folders
from sb3_cardqn.compare.plan import Plan, read_plan
from sb3_cardqn.compare.run import runs_of
from sb3_cardqn.env.task import task_of
from sb3_cardqn.errors import UserError
from sb3_cardqn.evaluate.numbers import time_spent
from sb3_cardqn.options import Parser, add_trust, positive
from sb3_cardqn.signals import handled
from sb3_cardqn.trust import trusts_all
from sb3_cardqn.zoo.settings import import_packages

_EXAMPLES = """\
examples:
  sb3-cardqn compare cardqn "dqn exploration_fraction:0.1" -n 250000  5 seeds each
  sb3-cardqn compare cardqn "cardqn double_q:True" --seeds 10 --minutes 15 --output double_q
  sb3-cardqn compare --output double_q                                 resume after an interruption
  sb3-cardqn compare ppo --output double_q                             add a contestant
  sb3-cardqn compare --plan plan.yml --dry-run
  sb3-cardqn compare --merge monday tuesday --output both              one report of both, other seeds each

plan.yml:
  contestants: [cardqn, "cardqn double_q:True"]    # or with names: {double: "cardqn double_q:True"};
                            # or as in hyperparams/*.yml: {one step: {algo: cardqn, n_steps: 1}}
  seeds: 5                  # number of seeds, or a list of seeds
  n_timesteps: 250000       # agent steps; or minutes: 15
  env: CarRacing-v3
  n_evaluations: 20         # evaluations on validation seeds, evenly spaced over training
  eval_episodes: 5          # episodes per evaluation
  tracks: 100               # held-out episodes, at the end; in CarRacing a track each
  fast: false               # true: FastRender draws the held-out tracks of CarRacing
  baseline: cardqn          # without it, all pairs are compared
"""


def main(argv: list[str]) -> None:
    """
    Run ``sb3-cardqn compare``.

    :param argv: arguments after ``compare``
    """
    parser = _parser()
    options = parser.parse_args(argv)
    if options.merge:
        _merge(parser, options)
        return
    plan = _plan(options)
    with closing(_launcher(options, plan)) as launcher:
        if options.dry_run:
            _dry_run(plan, options.output, launcher)
        else:
            _run(plan, options, launcher, argv)


def _merge(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    packages = ["--gym-packages", *options.gym_packages] if options.gym_packages else []
    alone = ["--merge", *map(str, options.merge), "--output", str(options.output), *packages]
    if options != parser.parse_args(alone):
        raise UserError(
            "--merge takes only --output and --gym-packages, and trains nothing; leave out all but "
            f"{shlex.join(alone)}"
        )
    import_packages(options.gym_packages or [])
    print(f"report: {merge_folders(options.merge, options.output)}", file=sys.stderr)


def _run(plan: Plan, options: argparse.Namespace, launcher: Launcher, argv: list[str]) -> None:
    try:
        with handled(signal.default_int_handler, "SIGTERM", "SIGHUP"):
            results = compare(plan, options.output, launcher, videos=not options.no_videos)
    except KeyboardInterrupt:
        trusting = ["--trust"] if trusts_all() and "--trust" not in argv else []
        again = shlex.join(["sb3-cardqn", "compare", *argv, *trusting])
        print(f"\nstopped; resume with: {again}", file=sys.stderr)
        sys.exit(130)
    for run, failure in results.failures.items():
        print(f"sb3-cardqn: {run} failed: {failure}", file=sys.stderr)
    if results.failures:
        sys.exit(1)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="sb3-cardqn compare",
        description="Train several algorithms with several seeds each through rl-zoo3, score the agents "
        "in held-out episodes, and report the differences with their statistical uncertainty.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "contestants",
        nargs="*",
        metavar="CONTESTANT",
        help="algorithm of the zoo, with overrides in the form of -params",
    )
    add("--plan", type=Path, help="YAML file; options on the command line override it")
    add(
        "-o",
        "--output",
        type=_folder,
        default=Path("comparison"),
        help="folder for runs, tables and report (default: comparison)",
    )
    seeds = parser.add_mutually_exclusive_group()
    seeds.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        help="number of seeds, or a list of at least two seeds (default: 5, from 0 in steps of 1000)",
    )
    seeds.add_argument("--seed", type=int, nargs="+", help="list of one or more seeds")
    add("-n", "--n-timesteps", type=int, help="budget of a run in agent steps")
    add("--minutes", type=float, help="budget of a run in minutes of training without evaluations")
    add("--env", help="environment id (default: CarRacing-v3)")
    add("--n-evaluations", type=int, help="evaluations per run, on validation seeds (default: 20)")
    add("--eval-episodes", type=int, help="episodes per evaluation (default: 5)")
    add("--tracks", "--episodes", type=int, help="held-out tracks or episodes at the end (default: 100)")
    add("--first", type=int, metavar="SEED", help="first held-out seed (default: 200000)")
    add(
        "--gym-packages", nargs="+", metavar="MODULE", help="packages to import that register the environment"
    )
    add(
        "--fast",
        action="store_true",
        default=None,
        help="CarRacing: drive held-out tracks with the picture used in training, drawn faster",
    )
    add(
        "--vec-env",
        choices=["dummy", "subproc"],
        help="subproc: train one run at a time on all cores of this machine, one core for the learner and "
        "the rest for environments (default: dummy)",
    )
    add("--baseline", metavar="NAME", help="compare every other contestant with NAME (default: all pairs)")
    add(
        "--merge",
        type=_folder,
        nargs="+",
        metavar="FOLDER",
        help="write one report of these comparisons, which differ in their seeds only; train nothing",
    )
    add("--no-videos", action="store_true", help="do not film a race")
    add(
        "--dry-run",
        action="store_true",
        help="check and show the plan, and estimate its time; a contestant of unknown speed is trained for "
        "15 s to measure it",
    )
    add(
        "--launcher",
        choices=["local", "ray"],
        default="local",
        help="train on this machine (default) or on a Ray cluster",
    )
    add(
        "--jobs",
        type=positive,
        help="local: number of parallel runs, then of parallel drives (default: as cores and memory allow; 1 "
        "with --vec-env subproc)",
    )
    add(
        "--num-threads",
        type=positive,
        help="torch threads per run, with ray also CPUs per run (default: all cores divided by the number of "
        "parallel runs; 1 with ray or --vec-env subproc)",
    )
    add("--address", help="ray: address of the cluster (default: a new one on this machine)")
    add("--num-gpus", type=float, default=0, help="ray: GPUs per run (default: 0)")
    add_trust(parser)
    return parser


def _folder(text: str) -> Path:
    if not text:  # Path("") would be the current folder
        raise argparse.ArgumentTypeError("needs a folder, got ''")
    return Path(text)


def _plan(options: argparse.Namespace) -> Plan:
    settings: dict[str, Any] = {}
    begun = options.output / PLAN_FILE
    for path in [begun, *([options.plan] if options.plan else [])]:
        if path != begun or path.is_file():
            settings = _with(settings, read_plan(path))
    typed = {}
    for field in fields(Plan):
        if field.name not in ("contestants", "seeds") and getattr(options, field.name) is not None:
            typed[field.name] = getattr(options, field.name)
    if options.contestants:
        typed["contestants"] = options.contestants
    if options.seeds:
        typed["seeds"] = options.seeds[0] if len(options.seeds) == 1 else options.seeds
    if options.seed:
        typed["seeds"] = options.seed
    return Plan.of(**{"contestants": []} | _with(settings, typed))


def _with(settings: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """
    :param settings: settings of a plan
    :param more: settings that override them; a budget overrides one in the other unit
    :return: all of them
    """
    budgets = {"n_timesteps", "minutes"}
    replaced = budgets if budgets & more.keys() else set()
    return {name: value for name, value in settings.items() if name not in replaced} | more


def _launcher(options: argparse.Namespace, plan: Plan) -> Launcher:
    if options.launcher == "local":
        if options.address or options.num_gpus:
            raise UserError("--address and --num-gpus need --launcher ray")
        return local_launcher(plan, options.jobs, options.num_threads)
    if plan.vec_env == "subproc":
        raise UserError("vec_env subproc takes all cores of a machine: it needs --launcher local, got ray")
    if options.jobs is not None:
        raise UserError("--jobs needs --launcher local; Ray starts as many runs as the cluster has room for")
    from sb3_cardqn.compare.ray_launcher import RayLauncher

    return RayLauncher(options.address, options.num_threads or 1, options.num_gpus)


def _dry_run(plan: Plan, output: Path, launcher: Launcher) -> None:
    with opened(output) if output.exists() else nullcontext() as earlier:
        plan = plan.added_to(earlier) if earlier else plan
        runs = list(runs_of(plan, output, plan.try_out()))
        budget = f"{plan.n_timesteps} agent steps" if plan.n_timesteps else f"{plan.minutes} minutes"
        print(f"{plan.env}, {budget} per run, seeds {', '.join(map(str, plan.seeds))}")
        print(
            f"{plan.n_evaluations} x {plan.eval_episodes} validation and {plan.tracks} held-out episodes"
            + ", drawn by FastRender" * (plan.fast and task_of(plan.env).has_laps)
        )
        width = max(len(name) for name in ("contestant", *plan.names))
        print(f"{'contestant':<{width}}  finished   time per run, about")
        lengths: dict[Contestant, float] = {}  # seconds per run
        for contestant in plan.contestants:
            own = [run for run in runs if run.contestant == contestant]
            finished = sum(run.state.finished for run in own)
            seconds, source = estimate(contestant, runs, launcher.num_threads)
            lengths[contestant] = seconds
            done, minutes = f"{finished} of {len(own)}", time_spent(seconds / 60)
            print(f"{contestant.name:<{width}}  {done:<9}  {minutes} min ({source})")
        left = [lengths[run.contestant] * (1 - run.kept_progress) for run in runs if not run.state.finished]
        slots = min(launcher.at_once, len(runs))
        cores = runs[0].cores(launcher.num_threads)
        ends = [0.0] * slots
        for seconds in left:  # each begins where the first slot becomes free
            heapq.heapreplace(ends, ends[0] + seconds)
        hours, core_hours = time_spent(max(ends) / 3600), time_spent(sum(left) * cores / 3600)
        print(f"about {hours} h of training left, {core_hours} core-hours, {slots} runs at a time")
