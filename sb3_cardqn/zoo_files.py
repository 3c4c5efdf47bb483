"""What rl-zoo3's commands read and could run code from, copied to where it stays as it was checked."""

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path

from huggingface_sb3 import EnvironmentName

from sb3_cardqn import trust
from sb3_cardqn.errors import UserError
from sb3_cardqn.runs import find_run


def _find(argv: list[str]) -> tuple[argparse.Namespace, Path, Path]:
    """
    :param argv: what follows enjoy, record_video or push_to_hub
    :return: its options, the run folder, and the agent's zip in it
    :raises UserError: if there is no such agent
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--algo")
    parser.add_argument("--env", type=EnvironmentName)
    parser.add_argument("-f", "--folder")
    parser.add_argument("-o", "--output-folder")
    parser.add_argument("--exp-id", type=int, default=0)
    for which in ("--load-best", "--load-last-checkpoint"):
        parser.add_argument(which, action="store_true")
    parser.add_argument("--load-checkpoint", type=int)
    options, _ = parser.parse_known_args(argv)
    runs = Path(options.folder, options.algo)
    run = runs if options.exp_id < 0 else find_run(runs, options.env.gym_id, options.exp_id)
    if run is None:
        raise UserError(
            f"no run {options.exp_id or ''} of {options.algo} on {options.env.gym_id} in '{runs}'"
        )
    checkpoints = sorted(run.glob("rl_model_*_steps.zip"), key=lambda path: int(path.stem.split("_")[-2]))
    model = run / f"{options.env}.zip"
    if options.load_best:
        model = run / "best_model.zip"
    elif options.load_checkpoint is not None:
        model = run / f"rl_model_{options.load_checkpoint}_steps.zip"
    elif options.load_last_checkpoint:
        model = checkpoints[-1] if checkpoints else run / "rl_model_*_steps.zip"
    if not model.exists():
        there = ", ".join(path.name for path in sorted(run.glob("*.zip"))) or "none"
        raise UserError(f"'{run}' has no {model.name}, agents in it: {there}")
    return options, run, model


@contextlib.contextmanager
def private_run(argv: list[str]) -> Iterator[list[str]]:
    """
    Copy a run, nearly all of which can run code when the zoo's players read it.

    :param argv: what follows enjoy, record_video or push_to_hub
    :return: context with the options that let it read the copies
    :raises UserError: if the run has no such agent, or nobody vouches for a file
    """
    options, run, model = _find(argv)
    code = [model, *(run / options.env / name for name in ("config.yml", "args.yml", "vecnormalize.pkl"))]
    data = [*run.glob("*.csv"), run / "evaluations.npz"]  # push_to_hub's
    # a name that the zoo finds, also where the run's own has a uuid in it
    name = "" if options.exp_id < 0 else f"{options.env}_{options.exp_id or 1}"
    with trust.private_copies(run, code, data, at=f"{options.algo}/{name}") as private:
        print(f"Copied to be checked and loaded: {model}")
        yield ["-f", str(private)]


@contextlib.contextmanager
def filmed_run(argv: list[str]) -> Iterator[list[str]]:
    """
    :param argv: what follows record_video
    :return: as ``private_run``; videos go to the run's own folder
    """
    options, run, _ = _find(argv)
    with private_run(argv) as more:
        yield more if options.output_folder else [*more, "-o", str(run / "videos")]


@contextlib.contextmanager
def private_plots(argv: list[str]) -> Iterator[list[str]]:
    """
    :param argv: what follows ``plot_from_file``
    :return: context with the options that let it read copies of its pickles
    :raises UserError: if nobody vouches for one
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-i", "--input")
    parser.add_argument("--merge", nargs="+", default=[])
    options, _ = parser.parse_known_args(argv)
    if options.input is None:
        yield []
        return
    pickles = [Path(options.input if options.input.endswith(".pkl") else f"{options.input}.pkl")]
    pickles += map(Path, options.merge)
    for path in pickles:
        if not path.exists():
            raise UserError(f"no such file: '{path}'")
    with contextlib.ExitStack() as stack:
        copies = [
            str(stack.enter_context(trust.private_copies(path.parent, [path])) / path.name)
            for path in pickles
        ]
        yield ["-i", copies[0], *(["--merge", *copies[1:]] if options.merge else [])]


@contextlib.contextmanager
def remembered_plots(argv: list[str]) -> Iterator[list[str]]:
    """
    :param argv: what follows ``all_plots``
    :return: context after which the pickle that it wrote is known as made here
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-o", "--output")
    options, _ = parser.parse_known_args(argv)
    yield []
    if options.output:
        trust.remember(Path(f"{options.output}.pkl"))
