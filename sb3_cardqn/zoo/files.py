"""Private, checked copies of files that rl-zoo3's commands read and that can run code."""

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path

import yaml
from huggingface_sb3 import EnvironmentName

from sb3_cardqn import trust
from sb3_cardqn.durable import refuse_link
from sb3_cardqn.errors import UserError
from sb3_cardqn.zoo.plots import check_chosen, pickle_of, prepare_results
from sb3_cardqn.zoo.run_names import BEST_AGENT, find_run, give_zoos_name, statistics_file

_HUB = Path("hub")  # where the zoo's push_to_hub keeps copies of repositories


def _find(options: argparse.Namespace) -> tuple[Path, Path]:
    """
    :param options: options of enjoy, record_video or push_to_hub
    :return: run folder, and the agent's zip in it
    :raises UserError: if there is no such agent
    """
    runs = Path(options.folder, options.algo)
    run = runs if options.exp_id < 0 else find_run(runs, options.env, options.exp_id)
    if run is None:
        raise UserError(f"no run {options.exp_id} of {options.algo} on {options.env} in '{runs}'")
    saved = {path.stem.split("_")[-2]: path for path in run.glob("rl_model_*_steps.zip")}
    checkpoints = [saved[steps] for steps in sorted(filter(str.isdecimal, saved), key=int)]
    model = run / f"{EnvironmentName(options.env)}.zip"
    if options.load_best:
        model = run / BEST_AGENT
    elif options.load_checkpoint is not None:
        model = run / f"rl_model_{options.load_checkpoint}_steps.zip"
    elif options.load_last_checkpoint:
        model = checkpoints[-1] if checkpoints else run / "rl_model_*_steps.zip"
    if not model.exists():
        there = ", ".join(path.name for path in sorted(run.glob("*.zip"))) or "none"
        raise UserError(f"run '{run}' has no {model.name}; agents in it: {there}")
    return run, model


def _settle(config_file: Path, args_file: Path) -> None:
    """
    Change how a run was trained to what the zoo's players understand.

    Two of them look for ``env_kwargs`` in args.yml alone, and they take ``replay_buffer_class`` for a name
    and None for a value.

    :param config_file: private copy of config.yml
    :param args_file: private copy of args.yml
    """
    config = yaml.unsafe_load(config_file.read_text()) if config_file.exists() else None
    if not isinstance(config, dict):  # the zoo says so
        return
    args = (yaml.unsafe_load(args_file.read_text()) if args_file.exists() else None) or {}
    config = {name: value for name, value in config.items() if value is not None}
    if config.get("env_kwargs"):
        kwargs = {**config["env_kwargs"], **(args.get("env_kwargs") or {})}
        args_file.write_text(yaml.dump({**args, "env_kwargs": kwargs}))
    buffer_class = config.get("replay_buffer_class")
    if isinstance(buffer_class, type):
        config["replay_buffer_class"] = f"{buffer_class.__module__}.{buffer_class.__qualname__}"
    config_file.write_text(yaml.dump(config))


@contextlib.contextmanager
def private_run(options: argparse.Namespace) -> Iterator[list[str]]:
    """
    Copy a run, because most of its files can run code when the zoo reads them.

    :param options: options of enjoy, record_video or push_to_hub
    :return: context with additional options for reading the copies
    :raises UserError: if the run has no such agent, or a file is not trusted
    """
    run, model = _find(options)
    env = EnvironmentName(options.env)
    statistics = statistics_file(model, run / env)
    code = [model, statistics, *(run / env / name for name in ("config.yml", "args.yml"))]
    data = [*run.glob("*.csv"), run / "evaluations.npz"]  # for push_to_hub
    # a name that the zoo finds, even if the run's own name contains a uuid
    name = "" if options.exp_id < 0 else f"{env}_{options.exp_id or 1}"
    with trust.private_copies(run, code, data, at=f"{options.algo}/{name}") as private:
        copies = private / options.algo / name / env
        give_zoos_name(copies / statistics.name)
        _settle(copies / "config.yml", copies / "args.yml")
        print(f"Checked; loading a private copy of {model}")
        yield ["-f", str(private)]


@contextlib.contextmanager
def filmed_run(options: argparse.Namespace) -> Iterator[list[str]]:
    """
    :param options: options of record_video
    :return: context with additional options, see ``private_run``; videos go to the run folder
    :raises UserError: if they would be written through a link
    """
    run, _ = _find(options)
    videos = Path(options.output_folder or run / "videos")
    if not options.output_folder:
        refuse_link(videos)
        trust.refuse_links(videos)
    with private_run(options) as more:
        yield more if options.output_folder else [*more, "-o", str(videos)]


@contextlib.contextmanager
def pushed_run(options: argparse.Namespace) -> Iterator[list[str]]:
    """
    :param options: options of push_to_hub
    :return: context with additional options, see ``private_run``
    :raises UserError: if the zoo, after its film, would remove a file of the user from the current folder, or
        there are links in its copy of the repository, whose targets it would publish
    """
    refuse_link(_HUB)
    trust.refuse_links(_HUB)
    films = [] if options.no_render else [*Path().glob("test.mp4"), *Path().glob("*.meta.json")]
    if films:
        raise UserError(f"push_to_hub would remove '{films[0]}': use another folder, or --no-render")
    with private_run(options) as more:
        yield more


@contextlib.contextmanager
def private_plots(options: argparse.Namespace) -> Iterator[list[str]]:
    """
    :param options: options of plot_from_file
    :return: context with additional options for reading copies of its pickles
    :raises UserError: if a pickle is not trusted
    """
    pickles = [pickle_of(options.input), *map(Path, options.merge)]
    if options.output:
        refuse_link(Path(options.output))
    with contextlib.ExitStack() as stack:
        folders = [stack.enter_context(trust.private_copies(path.parent, [path])) for path in pickles]
        copies = [folder / path.name for folder, path in zip(folders, pickles, strict=True)]
        for copy, pickled in zip(copies, pickles, strict=True):
            prepare_results(copy, pickled)
        check_chosen(copies, options)
        yield ["-i", str(copies[0]), *(["--merge", *map(str, copies[1:])] if options.merge else [])]


@contextlib.contextmanager
def remembered_plots(options: argparse.Namespace) -> Iterator[list[str]]:
    """
    :param options: options of all_plots
    :return: context after which the written pickle is remembered as made here
    :raises UserError: if it would be written through a link
    """
    if not options.output:
        yield []
        return
    pickled = Path(f"{options.output}.pkl")
    refuse_link(pickled)
    yield []
    trust.remember(pickled)
