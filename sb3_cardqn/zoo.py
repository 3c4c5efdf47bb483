"""rl-zoo3 with cardqn in it: importing this registers the algorithm, ``run`` runs the zoo's own commands."""

import argparse
import contextlib
import importlib
import math
import random
import runpy
import sys
from collections.abc import Callable
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
    check_algorithm,
    check_environment,
    judged_wrapper_class,
    parse_settings,
)
from sb3_cardqn.runs import find_run
from sb3_cardqn.seeds import TRAINING_SEEDS
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
    check_algorithm(options.algo)
    for package in options.gym_packages:
        importlib.import_module(package)
    check_environment(options.env)
    if (
        command in _PLAYERS
        and options.exp_id == 0
        and find_run(Path(options.folder, options.algo), options.env) is None
    ):
        raise UserError(
            f"no run of {options.algo} on {options.env} in folder '{options.folder}', "
            f"train one with: sb3-cardqn train --algo {options.algo} --env {options.env}"
        )


def _check_zoo_options(argv: list[str], minutes: float | None) -> None:
    """
    :param argv: of ``train``
    :param minutes: of training, if those are the budget
    :raises UserError: if the zoo would misunderstand it
    """
    parser = argparse.ArgumentParser(prog="sb3-cardqn train", add_help=False, allow_abbrev=False)
    parser.add_argument("-n", "--n-timesteps", type=int, default=-1)
    for option in (["-params", "--hyperparams"], ["--env-kwargs"], ["--eval-env-kwargs"]):
        parser.add_argument(*option, nargs="+", default=[])
    parser.add_argument("--eval-freq", type=int)
    parser.add_argument("-optimize", "--optimize-hyperparameters", action="store_true")
    options, _ = parser.parse_known_args(argv)
    if minutes is not None:
        if options.optimize_hyperparameters:
            raise UserError("--minutes is for one training; -optimize needs -n, the agent steps of a trial")
        if options.n_timesteps != -1:
            raise UserError(f"needs one budget, --minutes or -n, got {minutes:g} and {options.n_timesteps}")
        if options.eval_freq is not None and options.eval_freq > 0:
            raise UserError(
                "--minutes spreads its evaluations evenly: needs --n-evaluations, got --eval-freq "
                f"{options.eval_freq}"
            )
    if options.n_timesteps < 1 and options.n_timesteps != -1:  # the zoo would take the configuration's
        raise UserError(f"-n needs 1 or more agent steps, got {options.n_timesteps}")
    parse_settings("-params", options.hyperparams)
    parse_settings("--env-kwargs", options.env_kwargs)
    parse_settings("--eval-env-kwargs", options.eval_env_kwargs)


def _manager(argv: list[str], resumed: Path | None) -> tuple[Any, list[str]]:
    """
    :param argv: of ``train``
    :param resumed: folder of a run that goes on
    :return: who manages the training, and ``argv`` without what the zoo does not know
    :raises UserError: if an option is out of range
    """
    parser = argparse.ArgumentParser(prog="sb3-cardqn train", add_help=False, allow_abbrev=False)
    parser.add_argument("--checkpoint-freq", type=int)
    parser.add_argument("--run-id", type=int)
    parser.add_argument("--minutes", type=float)
    options, zoo_argv = parser.parse_known_args(argv)
    if options.minutes is not None and not 0 < options.minutes < math.inf:  # refuses NaN too
        raise UserError(f"--minutes needs a finite number above 0, got {options.minutes:g}")
    _check_zoo_options(zoo_argv, options.minutes)
    run_id = options.run_id if resumed is None else None  # one that goes on has its folder
    CarExperimentManager.own_options = {"run_id": run_id, "minutes": options.minutes}
    if options.checkpoint_freq is None:
        return CarExperimentManager, zoo_argv
    if options.checkpoint_freq < 1:
        raise UserError(f"--checkpoint-freq needs 1 or more agent steps, got {options.checkpoint_freq}")
    from sb3_cardqn.resume import ResumableExperimentManager  # builds on this module

    manager = partial(
        ResumableExperimentManager, checkpoint_freq=options.checkpoint_freq, argv=argv, resumed=resumed
    )
    return manager, zoo_argv


def _check_plots(command: str, argv: list[str]) -> None:
    """
    :param command: of the zoo
    :param argv: what follows it
    :raises UserError: if ``all_plots`` lacks an option without which it does not work
    """
    if command != "all_plots" or {"-h", "--help"} & set(argv):
        return
    for names in (("-a", "--algos"), ("-e", "--env"), ("-f", "--exp-folders")):
        if not any(word.split("=")[0] in names for word in argv):
            raise UserError(f"all_plots needs {' or '.join(names)}")


def run(command: str, argv: list[str], resumed: Path | None = None) -> None:
    """
    Run one of the zoo's commands in this process, with cardqn known to it.

    The defaults differ from the zoo's in three ways: ``--algo`` is cardqn and ``--env`` CarRacing-v3, agents
    are looked for where ``train`` puts them, and ``--seed`` is drawn from the training seeds.

    :param command: a key of ``COMMANDS``
    :param argv: what follows it on the command line
    :param resumed: for ``train``: folder of the run that goes on; ``sb3_cardqn.resume`` gives it
    :raises UserError: if a name in it is not known
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--algo", default="cardqn")
    parser.add_argument("--env", default="CarRacing-v3")
    parser.add_argument("-f", "--folder", default="logs")
    parser.add_argument("--seed", type=int, default=-1)
    parser.add_argument("--exp-id", type=int, default=0)
    parser.add_argument("--gym-packages", nargs="+", default=[])
    asks_for_help = "-h" in argv or "--help" in argv
    if command in (*_PLAYERS, "train", "load_from_hub") and not asks_for_help:
        options, _ = parser.parse_known_args(argv)
        if command != "load_from_hub":
            _check(command, options)
        argv = ["--algo", options.algo, "--env", options.env, *argv]
        if command == "train":
            if options.seed < 0:  # the zoo would draw from all there are
                argv = [*argv, "--seed", str(random.SystemRandom().choice(TRAINING_SEEDS[:-1000]))]
        else:
            argv = ["-f", options.folder, *argv]
    _check_plots(command, argv)
    if command in _PLAYERS:
        ALGOS["cardqn"] = _PlayedCarDQN
    if command.endswith("_hub"):
        from sb3_cardqn import hub  # which builds on this module

        hub.mend(pushed=options if command == "push_to_hub" and not asks_for_help else None)

    manager = None
    if command == "train":
        manager, argv = _manager(argv, resumed)
    with contextlib.ExitStack() as stack:
        if command in _FILES and not asks_for_help:
            argv = [*argv, *stack.enter_context(_FILES[command](argv))]
        _dispatch(command, argv, manager)


def _dispatch(command: str, argv: list[str], manager: Any) -> None:
    """
    :param command: a key of ``COMMANDS``
    :param argv: what follows it, as the zoo knows it
    :param manager: who manages the run of ``train``
    """
    module_name, function = COMMANDS[command]
    sys.argv = [f"sb3-cardqn {command}", *argv]
    if function is None:
        runpy.run_module(module_name, run_name="__main__")
        return
    module: Any = importlib.import_module(module_name)
    if manager is not None:
        module.ExperimentManager = manager
    getattr(module, function)()
