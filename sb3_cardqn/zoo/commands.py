"""rl-zoo3's commands with cardqn registered, and the command ``resume``."""

import argparse
import contextlib
import importlib
import json
import random
import runpy
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import gymnasium as gym
from huggingface_sb3 import EnvironmentName
from rl_zoo3 import ALGOS, utils

from sb3_cardqn import trust
from sb3_cardqn.cardqn import CarDQN
from sb3_cardqn.errors import UserError, did_you_mean
from sb3_cardqn.options import ZOO_COMMANDS, Parser, add_trust, own_options, zoo_parser
from sb3_cardqn.replaced import replaced
from sb3_cardqn.seeds import TRAINING_SEEDS
from sb3_cardqn.signals import interruptible
from sb3_cardqn.zoo.configuration import judged_wrapper_class
from sb3_cardqn.zoo.experiment import CarExperimentManager
from sb3_cardqn.zoo.files import filmed_run, private_plots, private_run, pushed_run, remembered_plots
from sb3_cardqn.zoo.plots import check_all_plots, check_plot_from_file, check_plot_train
from sb3_cardqn.zoo.resumable import (
    CHECKPOINTS,
    COMMAND,
    ResumableExperimentManager,
    agent_to_start_from,
    checkpoints_of,
)
from sb3_cardqn.zoo.run_names import find_run, parse_name
from sb3_cardqn.zoo.settings import (
    check_algorithm,
    check_environment,
    import_packages,
    names_for_the_zoo,
    parse_settings,
)
from sb3_cardqn.zoo.train_options import check_evaluations, check_numbers, check_train

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
    "push_to_hub": pushed_run,
    "plot_from_file": private_plots,
    "all_plots": remembered_plots,
}


class _PlayedCarDQN(CarDQN):
    """CarDQN for the zoo's players, whose fixed list of algorithms to load without a buffer lacks it."""

    @classmethod
    def load(cls, path: Any, **kwargs: Any) -> CarDQN:  # type: ignore[override]
        return CarDQN.load(path, **{"buffer_size": 1} | kwargs)


_PlayedCarDQN.__name__ = "CarDQN"  # the title of its model card


def _check(command: str, options: argparse.Namespace, resumed: Path | None) -> None:
    """
    :param command: command of the zoo
    :param options: its options
    :param resumed: folder of a run to resume, or None
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
        if resumed is None:
            check_evaluations(options)
    if command in _PLAYERS:
        parse_settings("--env-kwargs", getattr(options, "env_kwargs", None) or [])
    if (
        command in _PLAYERS
        and options.exp_id == 0
        and find_run(Path(options.folder, options.algo), options.env) is None
    ):
        raise UserError(
            f"no run of {options.algo} on {options.env} in folder '{options.folder}'; train one with: "
            f"sb3-cardqn train --algo {options.algo} --env {options.env}, or get one with load_from_hub"
        )


def _manager(options: argparse.Namespace, argv: list[str], resumed: Path | None) -> Any:
    """
    :param options: options of ``train``
    :param argv: same options as words
    :param resumed: folder of a run to resume, or None
    :return: callable that makes the experiment manager
    """
    run_id = options.run_id if resumed is None else None  # a resumed run already has its folder
    own = {"start": options.trained_agent, "run_id": run_id, "minutes": options.minutes}
    if options.checkpoint_freq is None:
        return partial(CarExperimentManager, **own)
    return partial(
        ResumableExperimentManager,
        **own,
        checkpoint_freq=options.checkpoint_freq,
        argv=argv,
        resumed=resumed,
        trained_on=options.trained_on,
    )


def run(
    command: str,
    argv: list[str],
    resumed: Path | None = None,
    around: Callable[[argparse.Namespace], AbstractContextManager[None]] | None = None,
) -> None:
    """
    Run one of the zoo's commands in this process, with cardqn registered.

    Four defaults differ from the zoo's: ``--algo`` is cardqn and ``--env`` is CarRacing-v3, agents are read
    from the folder to which ``train`` writes, and ``--seed`` is drawn from the training seeds.

    :param command: a key of ``options.ZOO_COMMANDS``
    :param argv: arguments after the command
    :param resumed: for ``train``: folder of a run to resume, or None
    :param around: function that makes a context around the command from its options, or None
    :raises UserError: if an option or a name in it is unknown, or a number is out of range
    """
    parser = zoo_parser(command, partial(_dispatch, command))
    options = parser.parse_args(argv)  # exits here for --help
    if resumed is not None:
        options.trained_agent = agent_to_start_from(resumed, options)
        options.log_folder = str(resumed)  # it may have moved from where it was begun
    _check(command, options, resumed)
    has_both = resumed is not None and argv[:1] == ["--algo"]  # as resumable runs keep their command
    if command not in _PLOTS and not has_both:
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
        stack.enter_context(interruptible())
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
    :param command: a key of ``options.ZOO_COMMANDS``
    :param argv: arguments after the command, options of the zoo only
    """
    module, function = ZOO_COMMANDS[command]
    with replaced(sys, "argv", [f"sb3-cardqn {command}", *argv]):
        if function is None:
            runpy.run_module(module, run_name="__main__")
        else:
            getattr(importlib.import_module(module), function)()


def resume(folder: Path, agent_steps: int | None = None) -> None:
    """
    Resume a run of ``train --checkpoint-freq``, in this process.

    A run that was stopped before its first checkpoint starts again, in the same folder. A finished run is
    trained on from its zip.

    :param folder: run folder, such as ``logs/cardqn/CarRacing-v3_1``
    :param agent_steps: new budget, with those already trained; None for the run's own
    :raises UserError: if it is not such a run, is still running, its command is not trusted, or there is
        nothing left to train
    :raises Stopped: if it is stopped by a signal, after another checkpoint
    """
    command = folder / CHECKPOINTS / COMMAND
    if not command.is_file():
        command = _finished(folder, agent_steps)
    trust.refuse_links(folder)
    words = _words(trust.read_code(command), command)
    if agent_steps is not None:
        words = _with_budget(words, agent_steps, folder)
    run("train", words, resumed=folder)


def _finished(folder: Path, agent_steps: int | None) -> Path:
    """
    :param folder: folder without checkpoints
    :param agent_steps: new budget, or None
    :return: command of the finished run in it
    :raises UserError: if there is no new budget, or no finished run with its command
    """
    if not folder.is_dir():
        runs = [str(path) for path in folder.parent.glob("*") if parse_name(path.name)]
        raise UserError(f"no such folder: '{folder}'{did_you_mean(str(folder), runs) if runs else ''}")
    name = parse_name(folder.resolve().name)  # unless it was renamed
    # not in a hidden folder, which is left if the process was killed while removing its checkpoints
    env = next((path.parent.name for path in folder.glob(f"[!.]*/{COMMAND}")), name.env if name else None)
    agent, command = folder / f"{env}.zip", folder / f"{env}" / COMMAND
    if not agent.is_file():
        why = "it has no checkpoints"
    elif not command.is_file():
        env_id = next((env_id for env_id in gym.registry if EnvironmentName(env_id) == env), str(env))
        algo = folder.resolve().parent.name
        words = ["sb3-cardqn", "train", "--algo", algo, "--env", env_id, "-i", str(agent)]
        why = f"it was trained without --checkpoint-freq; start a new run with: {shlex.join(words)}"
    elif agent_steps is None:
        why = f"training has finished with {agent.name}; to train on: -n AGENT_STEPS"
    else:
        return command
    raise UserError(f"cannot resume '{folder}': {why}")


def _with_budget(words: list[str], agent_steps: int, folder: Path) -> list[str]:
    """
    :param words: command line of a run
    :param agent_steps: new budget
    :param folder: its folder
    :return: its command line with the new budget
    :raises UserError: if the budget is in minutes, or already trained
    """
    options = zoo_parser("train", partial(_dispatch, "train")).parse_args(words)
    if options.minutes is not None:
        raise UserError(
            f"resume -n needs a budget in agent steps, got a run with --minutes {options.minutes:g}: start "
            "a new run with sb3-cardqn train -i AGENT.zip"
        )
    checkpoints = checkpoints_of(folder)
    trained = max([options.trained_on or 0, *checkpoints])
    if agent_steps <= trained:
        raise UserError(
            f"resume -n needs more than the {trained} agent steps that '{folder}' has, got {agent_steps}"
        )
    print(f"Continuing from agent step {trained} to {agent_steps}; the learning rate follows this budget")
    if options.trained_on and not checkpoints:
        empty = ", the replay buffer" * (not (folder / "replay_buffer.pkl").is_file())
        print(f"Reset: episodes, random numbers{empty}; updates begin after learning_starts agent steps")
    return [*words, "-n", str(agent_steps), "--trained-on", str(options.trained_on or 0)]


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
        description="Resume a stopped training run exactly, from its newest checkpoint. With -n also "
        "continue a finished one.",
    )
    parser.add_argument("run", type=Path, help="run folder of train --checkpoint-freq")
    parser.add_argument(
        "-n",
        "--n-timesteps",
        type=int,
        metavar="AGENT_STEPS",
        help="new budget, including the agent steps already trained (default: the run's own); a finished run "
        "starts from its zip, with an empty replay buffer unless train --save-replay-buffer kept it",
    )
    add_trust(parser)
    options = parser.parse_args(argv)
    resume(options.run, options.n_timesteps)
