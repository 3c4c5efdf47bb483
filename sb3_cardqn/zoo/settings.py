"""Parsing and checks of settings that users type: algorithms, environments, hyperparameters."""

import contextlib
import importlib
import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import rl_zoo3
import sb3_contrib
import stable_baselines3
import torch
from rl_zoo3 import ALGOS, exp_manager, utils

from sb3_cardqn.errors import UserError, did_you_mean, nearest
from sb3_cardqn.python_text import NotDataError, evaluate
from sb3_cardqn.replaced import replaced

# Names that Python text can use besides the zoo's.
_NAMES = {
    "HerReplayBuffer": stable_baselines3.HerReplayBuffer,
    "gymnasium": gym,
    "np": np,
    "rl_zoo3": rl_zoo3,
    "sb3_cardqn": sys.modules["sb3_cardqn"],
    "sb3_contrib": sb3_contrib,
    "stable_baselines3": stable_baselines3,
    "torch": torch,
}


def run_python(text: str) -> Any:
    """
    :param text: Python text; it is trusted, see ``trust``, unless it is only data
    :return: its value
    """
    with contextlib.suppress(NotDataError):
        return evaluate(text)
    return eval(text, vars(exp_manager) | vars(utils) | _NAMES)


@contextlib.contextmanager
def names_for_the_zoo() -> Iterator[None]:
    """
    Give the zoo the same names for Python text that was typed, or saved with an agent.

    :return: context in which the zoo has these names
    """
    with contextlib.ExitStack() as stack:
        for name, value in _NAMES.items():
            stack.enter_context(replaced(utils, name, value))
        yield


# package -> ids of its environments, which the zoo or this package registers if it is installed
_PACKAGES = {
    "ale-py": r"ALE/|.*(NoFrameskip|Deterministic|-ram)-v\d+$",
    "highway-env": r"(exit|highway|intersection|lane-keeping|merge|parking|racetrack|roundabout)-(.+-)?v\d+$",
    "MinAtar": r"MinAtar/",
    "minigrid": r"(BabyAI|MiniGrid)-",
    "panda-gym": r"Panda\w+-v\d+$",
    "pybullet-envs-gymnasium": r"\w+BulletEnv-v\d+$",
}
# keys of a zoo configuration besides the algorithm's constructor arguments
_ZOO_KEYS = {
    "callback", "env_kwargs", "env_wrapper", "frame_stack", "monitor_kwargs", "n_envs", "n_timesteps",
    "noise_std", "noise_type", "normalize", "vec_env_wrapper",
}  # fmt: skip


# arguments of an algorithm that the zoo sets from options of its own, and what to use instead
_OPTIONS = {
    "_init_setup_model": "",
    "device": ", use --device",
    "env": ", use --env",
    "seed": ", use --seed",
    "tensorboard_log": ", use -tb",
    "verbose": ", use --verbose",
}


def parse_settings(owner: str, settings: Sequence[str]) -> dict[str, Any]:
    """
    Parse settings like the zoo.

    >>> parse_settings("-params", ["gamma:0.95", "policy_kwargs:dict(net_arch=[64])"])
    {'gamma': 0.95, 'policy_kwargs': {'net_arch': [64]}}

    :param owner: option or contestant with these settings, for the error
    :param settings: texts of the form name:value, with a value in Python
    :return: values by name
    :raises UserError: if a text has another form
    """
    values: dict[str, Any] = {}
    for setting in settings:
        if not re.match(r"\w+:.", setting):
            raise UserError(f"{owner} needs name:value, got '{setting}'")
        name, _, text = setting.partition(":")
        try:
            values[name] = run_python(text)
        except (NameError, AttributeError) as error:
            ours = [f"sb3_cardqn.{public}" for public in sys.modules["sb3_cardqn"].__all__]
            raise UserError(
                f"{owner}: unknown name in {setting} ({error}); text needs two pairs of quotes as in "
                f"learning_rate:\"'lin_5e-4'\"{nearest(str(error.name), ours)}"
            ) from error
        except Exception as error:  # Python can raise anything
            raise UserError(
                f"{owner} needs Python values, with text in two pairs of quotes as in "
                f"learning_rate:\"'lin_5e-4'\", got {setting} ({type(error).__name__}: {error})"
            ) from error
    return values


def check_algorithm(name: str) -> None:
    """
    :param name: name of an algorithm
    :raises UserError: if the zoo does not know it; the text offers the nearest name
    """
    if name not in ALGOS:
        raise UserError(f"unknown algorithm '{name}'{did_you_mean(name, list(ALGOS))}")


def check_environment(env_id: str) -> None:
    """
    :param env_id: id of an environment
    :raises UserError: if Gymnasium does not know it; the text offers its package or the nearest id
    """
    if not isinstance(env_id, str):
        raise UserError(f"env: needs the id of an environment, got {env_id!r}")
    if env_id.split(":")[-1].startswith("CarRacingPixels"):
        raise UserError(
            f"env: needs CarRacing-v3, to which the configuration adds wrappers, got '{env_id}', which "
            "already has them (it is for other libraries)"
        )
    if env_id in gym.registry:
        return
    for package, ids in _PACKAGES.items():
        if re.match(ids, env_id) and not any(re.match(ids, known) for known in gym.registry):
            raise UserError(f"unknown environment '{env_id}'; it needs: pip install {package}")
    raise UserError(
        f"unknown environment '{env_id}' (--gym-packages names the package that registers it)"
        f"{did_you_mean(env_id, list(gym.registry))}"
    )


def import_packages(packages: Sequence[str]) -> None:
    """
    :param packages: modules that register environments, of the option ``--gym-packages``
    :raises UserError: if one cannot be imported
    """
    for package in packages:
        try:
            importlib.import_module(package)
        except (ImportError, ValueError) as error:
            raise UserError(f"--gym-packages needs installed packages, got '{package}' ({error})") from error


def check_hyperparameters(algo: str, names: list[str]) -> None:
    """
    :param algo: name of an algorithm of the zoo
    :param names: names of its hyperparameters, or other keys of a zoo configuration
    :raises UserError: if a name is unknown
    """
    known = {*inspect.signature(ALGOS[algo]).parameters, *_ZOO_KEYS} - _OPTIONS.keys()
    for name in names:
        if name in _OPTIONS:
            raise UserError(f"'{name}' is not a hyperparameter{_OPTIONS[name]}")
        if name not in known:
            raise UserError(f"unknown hyperparameter '{name}' for {algo}{did_you_mean(name, sorted(known))}")


def with_whole_numbers(algo: str, hyperparams: Mapping[str, Any]) -> dict[str, Any]:
    """
    Convert floats such as 1e5 to int for parameters that the algorithm declares as int.

    :param algo: name of an algorithm of the zoo
    :param hyperparams: its hyperparameters
    :return: converted hyperparameters; 100.5 stays a float
    """
    parameters = inspect.signature(ALGOS[algo]).parameters
    counts = {name for name, parameter in parameters.items() if parameter.annotation in (int, "int")}
    return {
        name: int(value)
        if name in counts | {"n_envs", "frame_stack"} and isinstance(value, float) and value.is_integer()
        else value
        for name, value in hyperparams.items()
    }
