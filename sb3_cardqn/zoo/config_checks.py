"""Checks of a configuration: its entries, and the values that the zoo itself uses."""

import ast
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rl_zoo3 import ALGOS
from stable_baselines3.common.callbacks import BaseCallback

from sb3_cardqn.errors import UserError, did_you_mean
from sb3_cardqn.python_text import NAME_KEYS, PYTHON_KEYS, find_class

_MAPPINGS = ("env_kwargs", "monitor_kwargs", "policy_kwargs", "replay_buffer_kwargs")
_SCHEDULES = ("learning_rate", "clip_range", "clip_range_vf", "delta_std")


def check_entries(content: Any, config: Path, names: tuple[str, ...]) -> str:
    """
    :param content: content of a configuration file
    :param config: the file, for errors
    :param names: names of entries; the zoo uses the first that exists
    :return: name of the entry that is used
    :raises UserError: if there is none, or it is not a mapping of names to values
    """
    if not isinstance(content, dict):
        raise UserError(f"'{config}' needs an entry with hyperparameters for {names[0]}, got {content!r:.50}")
    name = next((name for name in names if name in content), None)
    if name is None:
        offer = did_you_mean(names[0], [str(key) for key in content]) if content else ""
        raise UserError(f"'{config}' has no hyperparameters for {names[0]}{offer}")
    entry = content[name]
    if not isinstance(entry, dict) or not all(isinstance(key, str) for key in entry):
        raise UserError(
            f"'{config}', {name}: needs a mapping of hyperparameters to values, got {entry!r:.50}"
        )
    return name


def check_values(hyperparams: Mapping[str, Any], owner: Callable[[str], str]) -> None:
    """
    Check the values that the zoo uses; the algorithm checks the others.

    :param hyperparams: hyperparameters in the zoo's form
    :param owner: function from a name to the source of its value
    :raises UserError: if the zoo cannot use a value; the text names its source, its name and the value
    """
    for name in ("policy", "n_timesteps"):
        if name not in hyperparams:
            raise UserError(f"{owner(name)}: needs {name}")
    for name, value in hyperparams.items():
        needed = _needed(name, value)
        if needed:
            raise UserError(f"{owner(name)}: {name} needs {needed}, got {value!r:.100}")
    if hyperparams.get("noise_type") is not None and "noise_std" not in hyperparams:
        raise UserError(f"{owner('noise_type')}: noise_type needs noise_std too")


def check_policy_name(algo: str, policy: str, owner: str) -> None:
    """
    :param algo: name of an algorithm of the zoo
    :param policy: its hyperparameter ``policy``
    :param owner: source of the value, for the error
    :raises UserError: if the algorithm has no policy of that name; a class with its module is not looked up
    """
    known = list(ALGOS[algo].policy_aliases)
    if "." not in policy and policy not in known:
        raise UserError(f"{owner}: {algo} has no policy '{policy}'{did_you_mean(policy, known)}")


def _needed(name: str, value: Any) -> str:
    """
    :param name: name of a hyperparameter
    :param value: its value
    :return: required kind of value, or "" if the value is valid
    """
    if name in PYTHON_KEYS and isinstance(value, str):
        return _python_needed(value)
    if name in ("policy", "noise_type"):
        return "" if isinstance(value, str) or (value is None and name == "noise_type") else "text"
    if name in NAME_KEYS:
        items = value if isinstance(value, list) else [value]
        names = [next(iter(item), None) if isinstance(item, dict) else item for item in items]
        by_name = name != "callback" or not any(isinstance(one, type) for one in names)
        return (
            ""
            if value is None or (by_name and all(map(_is_class, items)))
            else "names of classes such as module.Class, with or without arguments"
        )
    if name in _MAPPINGS:
        return "" if value is None or isinstance(value, Mapping) else "a mapping of names to values"
    if name in _SCHEDULES:
        return "" if _is_rate(value) else "a number, or text such as lin_5e-4"
    if name == "train_freq":
        return "two items, as in [1, episode]" if isinstance(value, list | tuple) and len(value) != 2 else ""
    return _count_needed(name, value)


def _count_needed(name: str, value: Any) -> str:
    if name == "n_timesteps":
        try:
            return "" if int(value) >= 1 else "at least 1 agent step"
        except (ValueError, TypeError, OverflowError):
            return "a number of agent steps"
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if name == "n_envs":
        return "" if is_count else "at least 1 environment"
    if name == "frame_stack":
        return "" if is_count or value is None else "at least 1 frame"
    return ""


def _python_needed(text: str) -> str:
    try:
        ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError) as error:
        return f"Python ({error.args[0]})"
    return ""


def _is_class(value: Any) -> bool:
    if isinstance(value, dict):
        return len(value) == 1 and all(_is_class(name) and isinstance(value[name], dict) for name in value)
    return isinstance(value, type | BaseCallback) or (isinstance(value, str) and "." in value.strip("."))


def _is_rate(value: Any) -> bool:
    if isinstance(value, str):
        kind, _, number = value.partition("_")
        try:
            return kind.startswith("lin") and math.isfinite(float(number))  # the zoo has no other schedule
        except ValueError:
            return False
    return isinstance(value, int | float)


def check_classes(hyperparams: Mapping[str, Any], owner: Callable[[str], str]) -> None:
    """
    Import the named classes; call it only after checking that the names are trusted.

    :param hyperparams: hyperparameters that have passed ``check_values``
    :param owner: function from a name to the source of its value
    :raises UserError: if a class does not exist
    """
    for key in NAME_KEYS:
        value = hyperparams.get(key)
        for item in value if isinstance(value, list) else [value]:
            name = next(iter(item)) if isinstance(item, dict) else item
            if isinstance(name, str) and "." in name:
                try:
                    find_class(name)
                except ImportError as error:
                    raise UserError(f"{owner(key)}: {key} needs a class, got '{name}' ({error})") from error
