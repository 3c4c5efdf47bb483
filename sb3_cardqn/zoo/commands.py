"""rl-zoo3's commands with cardqn registered, and the command ``resume``."""

import argparse
import contextlib
import importlib
import json
import random
import runpy
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import cv2
from rl_zoo3 import ALGOS, utils

from sb3_cardqn import trust
from sb3_cardqn.cardqn import CarDQN
from sb3_cardqn.errors import UserError
from sb3_cardqn.options import Parser, add_trust, own_options, zoo_parser
from sb3_cardqn.replaced import replaced
from sb3_cardqn.seeds import TRAINING_SEEDS
from sb3_cardqn.zoo.experiment import CarExperimentManager, judged_wrapper_class
from sb3_cardqn.zoo.files import filmed_run, private_plots, private_run, remembered_plots
from sb3_cardqn.zoo.plots import check_all_plots, check_plot_from_file, check_plot_train
from sb3_cardqn.zoo.resumable import CHECKPOINTS, COMMAND, DONE, ResumableExperimentManager
from sb3_cardqn.zoo.run_names import find_run, parse_name
from sb3_cardqn.zoo.settings import check_algorithm, check_environment, import_packages, names_for_the_zoo
from sb3_cardqn.zoo.train_options import check_numbers, check_train

# command -> module and function; a module without a function is a script
COMMANDS = {
    "train": ("rl_zoo3.train", "train"),
    "enjoy": ("rl_zoo3.enjoy", "enjoy"),
    "record_video": ("rl_zoo3.record_video", None),
    "plot_train": ("rl_zoo3.plots.plot_train", "plot_train"),
    "plot_from_file": ("rl_zoo3.plots.plot_from_file", "plot_from_file"),
    "all_plots": ("rl_zoo3.plots.all_plots", "all_plots"),
    "load_from_hub": ("rl_zoo3.load_from_hub", None),
    "push_to_hub": ("rl_zoo3.push_to_hub", None),
}
_PLOTS = {
    "plot_train": check_plot_train,
    "all_plots": check_all_plots,
    "plot_from_file": check_plot_from_file,
}
# commands that load a trained agent from a folder of runs
_PLAYERS = ("enjoy", "record_video", "push_to_hub")
# command -> context for files that it reads or writes and that can run code; it adds options
_FILES = {
    "enjoy": private_run,
    "record_video": filmed_run,
    "push_to_hub": private_run,
    "plot_from_file": private_plots,
    "all_plots": remembered_plots,
}


class _PlayedCarDQN(CarDQN):
    """CarDQN for the zoo's players, whose fixed list of algorithms to load without a buffer lacks it."""

    @classmethod
    def load(cls, path: Any, **kwargs: Any) -> CarDQN:  # type: ignore[override]
        return CarDQN.load(path, **{"buffer_size": 1} | kwargs)


_PlayedCarDQN.__name__ = "CarDQN"  # the title of its model card


def _check(command: str, options: argparse.Namespace) -> None:
    """
    :param command: command of the zoo
    :param options: its options
    :raises UserError: if a name is unknown, a number is out of range, or there is nothing to show
    """
    check_numbers(options)
    if command in _PLOTS:
        _PLOTS[command](options)
        return
    check_algorithm(options.algo)
    import_packages(getattr(options, "gym_packages", []))
    if command != "load_from_hub":
        check_environment(options.env)
    if command == "train":
        check_train(options)
    if (
        command in _PLAYERS
        and options.exp_id == 0
        and find_run(Path(options.folder, options.algo), options.env) is None
    ):
        raise UserError(
            f"no run of {options.algo} on {options.env} in folder '{options.folder}'; "
            f"train one with: sb3-cardqn train --algo {options.algo} --env {options.env}"
        )


def _manager(options: argparse.Namespace, argv: list[str], resumed: Path | None) -> Any:
    """
    :param options: options of ``train``
    :param argv: same options as words
    :param resumed: folder of a run to resume, or None
    :return: callable that makes the experiment manager
    """
    if options.checkpoint_freq is None:
        return partial(
            CarExperimentManager,
            start=options.trained_agent,
            run_id=options.run_id,
            minutes=options.minutes,
        )
    return partial(
        ResumableExperimentManager,
        start=options.trained_agent,
        run_id=options.run_id if resumed is None else None,  # a resumed run already has its folder
        minutes=options.minutes,
        checkpoint_freq=options.checkpoint_freq,
        argv=argv,
        resumed=resumed,
    )


def run(
    command: str,
    argv: list[str],
    resumed: Path | None = None,
    around: Callable[[argparse.Namespace], AbstractContextManager[None]] | None = None,
) -> None:
    """
    Run one of the zoo's commands in this process, with cardqn registered.

    Three defaults differ from the zoo's: ``--algo`` is cardqn and ``--env`` is CarRacing-v3, agents are read
    from the folder to which ``train`` writes, and ``--seed`` is drawn from the training seeds.

    :param command: a key of ``COMMANDS``
    :param argv: arguments after the command
    :param resumed: for ``train``: folder of a run to resume, or None
    :param around: function that makes a context around the command from its options, or None
    :raises UserError: if an option or a name in it is unknown, or a number is out of range
    """
    parser = zoo_parser(command, partial(_dispatch, command))
    options = parser.parse_args(argv)  # exits here for --help
    _check(command, options)
    if command not in _PLOTS:
        argv = ["--algo", options.algo, "--env", options.env, *argv]
    if command == "train":
        if options.seed < 0:  # the zoo would draw from all numbers
            argv = [*argv, "--seed", str(random.SystemRandom().choice(TRAINING_SEEDS[:-1000]))]
    elif command not in _PLOTS:
        argv = ["-f", options.folder, *argv]
    with contextlib.ExitStack() as stack:
        stack.enter_context(names_for_the_zoo())
        if command == "train":
            stack.enter_context(_training(_manager(options, argv, resumed)))
        if command in _PLAYERS:
            stack.enter_context(playing())
        if around is not None:
            stack.enter_context(around(options))
        if command in _FILES:
            argv = [*argv, *stack.enter_context(_FILES[command](options))]
        _dispatch(command, own_options(command).parse_known_args(argv)[1])


@contextlib.contextmanager
def playing() -> Iterator[None]:
    """
    :return: context in which the zoo makes environments without training-only wrappers, and loads cardqn
        without a replay buffer
    """
    with (
        replaced(ALGOS, "cardqn", _PlayedCarDQN),
        replaced(utils, "get_wrapper_class", judged_wrapper_class, utils.create_test_env),
    ):
        yield


@contextlib.contextmanager
def _training(manager: Any) -> Iterator[None]:
    """
    :param manager: callable that makes the experiment manager
    :return: context in which the zoo trains with it, and in which saved files are remembered
    """
    zoo: Any = importlib.import_module("rl_zoo3.train")
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # pictures are too small for several threads: docs/explanation/learner.md
    try:
        with replaced(zoo, "ExperimentManager", manager, zoo.train), trust.remembering():
            yield
    finally:
        cv2.setNumThreads(threads)


def _dispatch(command: str, argv: list[str]) -> None:
    """
    :param command: a key of ``COMMANDS``
    :param argv: arguments after the command, options of the zoo only
    """
    module, function = COMMANDS[command]
    with replaced(sys, "argv", [f"sb3-cardqn {command}", *argv]):
        if function is None:
            runpy.run_module(module, run_name="__main__")
        else:
            getattr(importlib.import_module(module), function)()


def resume(folder: Path) -> None:
    """
    Resume a run of ``train --checkpoint-freq``, in this process.

    A run that was stopped before its first checkpoint starts again, in the same folder.

    :param folder: run folder, such as ``logs/cardqn/CarRacing-v3_1``
    :raises UserError: if it is not such a run, is finished or still running, or its command is not trusted
    :raises Stopped: if it is stopped by a signal, after another checkpoint
    """
    command = folder / CHECKPOINTS / COMMAND
    if not command.is_file():
        name = parse_name(folder.resolve().name)
        agent = folder / f"{name.env if name else None}.zip"
        shutil.rmtree(folder / DONE, ignore_errors=True)  # left if the process was killed while removing it
        why = f"training has finished with {agent.name}" if agent.is_file() else "it has no checkpoints"
        raise UserError(f"cannot resume '{folder}': {why}")
    trust.refuse_links(folder)
    run("train", _words(trust.read_code(command), command), resumed=folder)


def _words(contents: bytes, path: Path) -> list[str]:
    """
    :param contents: contents of a file
    :param path: path of the file, for the error
    :return: the command line in it
    :raises UserError: if it is not a command line
    """
    try:
        words = json.loads(contents)
    except (ValueError, RecursionError):
        words = None
    if not (isinstance(words, list) and words and all(isinstance(word, str) for word in words)):
        raise UserError(
            f"'{path}' must contain the options of train as a list of texts, got {contents!r:.80}"
        )
    return words


def main(argv: list[str]) -> None:
    """
    :param argv: arguments after ``resume``
    """
    parser = Parser(
        prog="sb3-cardqn resume",
        description="Resume a stopped training run exactly, from its newest checkpoint.",
    )
    parser.add_argument("run", type=Path, help="run folder of train --checkpoint-freq")
    add_trust(parser)
    resume(parser.parse_args(argv).run)
