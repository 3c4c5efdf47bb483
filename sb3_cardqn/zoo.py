"""rl-zoo3 with cardqn in it: importing this registers the algorithm, ``run`` runs the zoo's own commands."""

import argparse
import contextlib
import importlib
import random
import runpy
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import stable_baselines3
import torch
from rl_zoo3 import ALGOS, exp_manager, utils
from rl_zoo3.hyperparams_opt import HYPERPARAMS_CONVERTER, HYPERPARAMS_SAMPLER
from stable_baselines3 import HerReplayBuffer

import sb3_cardqn
from sb3_cardqn.cardqn import CarDQN
from sb3_cardqn.errors import UserError
from sb3_cardqn.experiment import (
    CarExperimentManager,
    judged_wrapper_class,
)
from sb3_cardqn.options import own_options, parse, zoo_parser
from sb3_cardqn.plots import check_all_plots, check_plot_from_file, check_plot_train
from sb3_cardqn.runs import find_run
from sb3_cardqn.seeds import TRAINING_SEEDS
from sb3_cardqn.settings import check_algorithm, check_environment
from sb3_cardqn.train_options import check_numbers, check_train
from sb3_cardqn.zoo_files import filmed_run, private_plots, private_run, remembered_plots

# command -> module and function; without a function the module is a script
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
# context around a command, for the files it reads or writes that can run code; gives more options
_FILES = {
    "enjoy": private_run,
    "record_video": filmed_run,
    "push_to_hub": private_run,
    "plot_from_file": private_plots,
    "all_plots": remembered_plots,
}


def convert_cardqn_params(sampled: dict[str, Any]) -> dict[str, Any]:
    """
    Turn a trial's numbers into hyperparameters.

    :param sampled: parameters of an Optuna trial made by ``sample_cardqn_params``
    :return: keyword arguments of CarDQN
    """
    hyperparams = dict(sampled)
    hyperparams["gamma"] = 1 - hyperparams.pop("one_minus_gamma")
    hyperparams["batch_size"] = 2 ** hyperparams.pop("batch_size_pow")
    return hyperparams


def sample_cardqn_params(
    trial: optuna.Trial, n_actions: int, n_envs: int, additional_args: dict[str, Any]
) -> dict[str, Any]:
    """
    Draw hyperparameters for ``train -optimize``. The network stays the configuration's.

    :param trial: Optuna's
    :param n_actions: unused, part of the zoo's interface
    :param n_envs: unused, part of the zoo's interface
    :param additional_args: unused, part of the zoo's interface
    :return: keyword arguments of CarDQN
    """
    return convert_cardqn_params(
        {
            "learning_rate": trial.suggest_float("learning_rate", 3e-5, 3e-3, log=True),
            "one_minus_gamma": trial.suggest_float("one_minus_gamma", 0.003, 0.1, log=True),
            "n_steps": trial.suggest_int("n_steps", 1, 5),
            "batch_size_pow": trial.suggest_int("batch_size_pow", 5, 8),
            "train_freq": trial.suggest_int("train_freq", 1, 8),
            "target_update_interval": trial.suggest_int("target_update_interval", 100, 20_000, log=True),
            "exploration_final_eps": trial.suggest_float("exploration_final_eps", 0.005, 0.1, log=True),
            "exploration_decay": trial.suggest_categorical(
                "exploration_decay", ["linear", "exponential", "cosine"]
            ),
            "double_q": trial.suggest_categorical("double_q", [False, True]),
            "advantage_learning": trial.suggest_categorical("advantage_learning", [0.0, 0.5, 0.7, 0.9]),
        }
    )


def _also_to_the_buffer(sample: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """
    :param sample: the zoo's, for an algorithm whose replay buffer is told the discount factor
    :return: the same, and the buffer gets the gamma that was drawn
    """

    def sample_for_both(
        trial: optuna.Trial, n_actions: int, n_envs: int, additional_args: dict[str, Any]
    ) -> dict[str, Any]:
        sampled = sample(trial, n_actions, n_envs, additional_args)
        buffer = additional_args["her_kwargs"]  # the configuration's replay_buffer_kwargs, of any buffer
        if "n_steps" in buffer:
            sampled["replay_buffer_kwargs"] = buffer | {"gamma": sampled["gamma"]}
        return sampled

    return sample_for_both


def register() -> None:
    """Make cardqn known to rl-zoo3, and this package to the Python in its YAML files and ``-params``."""
    ALGOS["cardqn"] = CarDQN
    HYPERPARAMS_SAMPLER["cardqn"] = sample_cardqn_params
    for algo in ("dqn", "qrdqn"):
        HYPERPARAMS_SAMPLER[algo] = _also_to_the_buffer(HYPERPARAMS_SAMPLER[algo])
    HYPERPARAMS_CONVERTER["cardqn"] = convert_cardqn_params  # type: ignore[assignment]
    for reads_python in (exp_manager, utils):  # what ``python_text`` knows, wherever text is evaluated
        vars(reads_python).update(
            sb3_cardqn=sb3_cardqn,
            stable_baselines3=stable_baselines3,
            torch=torch,
            HerReplayBuffer=HerReplayBuffer,
        )
    utils.get_wrapper_class = judged_wrapper_class  # what enjoy and its like make environments with


register()


class _PlayedCarDQN(CarDQN):
    """What the zoo's players load: their list of off-policy algorithms, which get no buffer, is fixed."""

    @classmethod
    def load(cls, path: Any, **kwargs: Any) -> CarDQN:  # type: ignore[override]
        return CarDQN.load(path, **{"buffer_size": 1} | kwargs)


_PlayedCarDQN.__name__ = "CarDQN"  # the title of its model card


def _check(command: str, options: argparse.Namespace) -> None:
    """
    :param command: of the zoo
    :param options: its
    :raises UserError: if a name in them is not known, a number is out of range, or there is nothing to show
    """
    check_numbers(options)
    if command in _PLOTS:
        _PLOTS[command](options)
        return
    check_algorithm(options.algo)
    for package in getattr(options, "gym_packages", []):
        try:
            importlib.import_module(package)
        except (ImportError, ValueError) as error:
            raise UserError(f"--gym-packages needs names of packages, got '{package}' ({error})") from error
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
            f"no run of {options.algo} on {options.env} in folder '{options.folder}', "
            f"train one with: sb3-cardqn train --algo {options.algo} --env {options.env}"
        )


def _manager(options: argparse.Namespace, argv: list[str], resumed: Path | None) -> Any:
    """
    :param options: of ``train``
    :param argv: the same as words
    :param resumed: folder of a run that goes on
    :return: who manages the training
    """
    if options.checkpoint_freq is None:
        return partial(CarExperimentManager, run_id=options.run_id, minutes=options.minutes)
    from sb3_cardqn.resume import ResumableExperimentManager  # builds on this module

    return partial(
        ResumableExperimentManager,
        run_id=options.run_id if resumed is None else None,  # one that goes on has its folder
        minutes=options.minutes,
        checkpoint_freq=options.checkpoint_freq,
        argv=argv,
        resumed=resumed,
    )


def run(command: str, argv: list[str], resumed: Path | None = None) -> None:
    """
    Run one of the zoo's commands in this process, with cardqn known to it.

    The defaults differ from the zoo's in three ways: ``--algo`` is cardqn and ``--env`` CarRacing-v3, agents
    are looked for where ``train`` puts them, and ``--seed`` is drawn from the training seeds.

    :param command: a key of ``COMMANDS``
    :param argv: what follows it on the command line
    :param resumed: for ``train``: folder of the run that goes on; ``sb3_cardqn.resume`` gives it
    :raises UserError: if an option, or a name in it, is not known, or a number is out of range
    """
    if command.endswith("_hub"):
        from sb3_cardqn import hub  # which builds on this module

        hub.mend()
    parser = zoo_parser(command, partial(_dispatch, command))
    options = parse(parser, argv)  # asked for help, it ends here
    _check(command, options)
    if command not in _PLOTS:
        argv = ["--algo", options.algo, "--env", options.env, *argv]
    if command == "train":
        if options.seed < 0:  # the zoo would draw from all there are
            argv = [*argv, "--seed", str(random.SystemRandom().choice(TRAINING_SEEDS[:-1000]))]
    elif command not in _PLOTS:
        argv = ["-f", options.folder, *argv]
    if command == "push_to_hub":
        hub.push_safe_form(options)
    with contextlib.ExitStack() as stack:
        if command == "train":
            zoos = vars(importlib.import_module("rl_zoo3.train"))
            stack.enter_context(_replaced(zoos, "ExperimentManager", _manager(options, argv, resumed)))
        if command in _PLAYERS:
            stack.enter_context(_replaced(ALGOS, "cardqn", _PlayedCarDQN))
        if command in _FILES:
            argv = [*argv, *stack.enter_context(_FILES[command](options))]
        _dispatch(command, own_options(command).parse_known_args(argv)[1])


@contextlib.contextmanager
def _replaced(owner: dict[str, Any], name: str, value: Any) -> Iterator[None]:
    """
    :param owner: the zoo's, that it looks a name up in
    :param name: of what is there
    :param value: to find there instead
    :return: context, after which the old one is there again
    """
    old, owner[name] = owner[name], value
    try:
        yield
    finally:
        owner[name] = old


def _dispatch(command: str, argv: list[str]) -> None:
    """
    :param command: a key of ``COMMANDS``
    :param argv: what follows it, as the zoo knows it
    """
    module, function = COMMANDS[command]
    sys.argv = [f"sb3-cardqn {command}", *argv]
    if function is None:
        runpy.run_module(module, run_name="__main__")
    else:
        getattr(importlib.import_module(module), function)()
