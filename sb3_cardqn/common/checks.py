"""What arguments may be: each error says whose argument it is, what it needs and what came."""

import inspect
import math
import os
from collections.abc import Callable, Collection
from numbers import Integral, Real
from typing import Any

import gymnasium as gym
import numpy as np

from sb3_cardqn.errors import did_you_mean


def is_whole(value: Any, least: float = -math.inf) -> bool:
    """
    :param value: anything
    :param least: it may be
    :return: whether it is a whole number of at least that; True and False are none
    """
    return isinstance(value, Integral) and not isinstance(value, bool) and least <= int(value)


def check_whole(owner: str, name: str, value: Any, least: int = 1) -> None:
    """
    :param owner: class or function that takes the argument
    :param name: of the argument
    :param value: what came
    :param least: it may be
    :raises ValueError: if it is no whole number of at least that
    """
    if is_whole(value, least):
        return
    whole = ", a whole number" if is_number(value) and value >= least else ""
    raise ValueError(f"{owner} needs {name} >= {least}{whole}, got {value!r}")


def check_number(
    owner: str, name: str, value: Any, low: float, high: float = math.inf, above: bool = False
) -> None:
    """
    :param owner: class or function that takes the argument
    :param name: of the argument
    :param value: what came
    :param low: it may be
    :param high: it may be; infinity itself it may not be
    :param above: it has to be above ``low``
    :raises ValueError: if it is no number in that range; NaN, True and False are none
    """
    if is_number(value) and low <= value <= high and value < math.inf and not (above and value == low):
        return
    if high == math.inf:
        needed = f"{name} {'>' if above else '>='} {low}{', and finite' if value == math.inf else ''}"
    else:
        needed = f"{name} above {low} and at most {high}" if above else f"{name} between {low} and {high}"
    raise ValueError(f"{owner} needs {needed}, got {value!r}")


def is_number(value: Any) -> bool:
    """
    :param value: anything
    :return: whether it is a number; True and False are none
    """
    return isinstance(value, Real) and not isinstance(value, (bool, np.bool_))


def check_flag(owner: str, name: str, value: Any, or_none: bool = False) -> None:
    """
    :param owner: class or function that takes the argument
    :param name: of the argument
    :param value: what came
    :param or_none: None is right, too
    :raises ValueError: if it is not True or False: the text "False" would count as True
    """
    if not (isinstance(value, (bool, np.bool_)) or (or_none and value is None)):
        raise ValueError(
            f"{owner} needs {name} to be True{', False or None' if or_none else ' or False'}, got {value!r}"
        )


def check_subclass(owner: str, name: str, value: Any, parent: type) -> None:
    """
    :param owner: class or function that takes the argument
    :param name: of the argument
    :param value: what came
    :param parent: of the classes that are right
    :raises TypeError: if it is not one of them
    """
    if not (isinstance(value, type) and issubclass(value, parent)):
        raise TypeError(f"{owner} needs {name} to be a subclass of {parent.__name__}, got {value!r}")


def check_path(owner: str, name: str, value: Any) -> None:
    """
    :param owner: class or function that takes the argument
    :param name: of the argument
    :param value: what came
    :raises TypeError: if it is no path
    """
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{owner} needs {name} to be a path, got {value!r}")


def check_env(owner: str, env: Any) -> None:
    """
    :param owner: a wrapper
    :param env: what it is to wrap
    :raises TypeError: if it is no environment
    """
    if not isinstance(env, gym.Env):
        raise TypeError(f"{owner} needs an environment, as gym.make returns it, got {env!r}")


def check_keywords(
    owner: str, name: str, value: Any, function: Callable[..., Any], known: Collection[str] = ()
) -> None:
    """
    :param owner: class or function that takes the argument
    :param name: of the argument
    :param value: what came, as keyword arguments of another function
    :param function: that one
    :param known: more names that are right
    :raises TypeError: if it is no dict
    :raises ValueError: if the function has no such argument; the text offers the nearest
    """
    if not isinstance(value, dict):
        raise TypeError(f"{owner} needs {name} to be a dict, got {value!r}")
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    names = [*(parameter.name for parameter in parameters), *known]
    for key in value:
        if key not in names:
            raise ValueError(f"{owner} knows no '{key}' in {name}{did_you_mean(str(key), names)}")
