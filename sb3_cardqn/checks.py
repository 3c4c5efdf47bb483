"""Argument checks, whose errors name the owner, the argument, the allowed values and the value."""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from stable_baselines3.common.preprocessing import get_obs_shape
from stable_baselines3.common.vec_env import VecEnv, unwrap_vec_normalize

from sb3_cardqn.errors import UserError


def whole(value: Any, least: float = -math.inf) -> int | None:
    """
    Convert a whole number to int; ``1e5``, also YAML's ``!!float 1e5``, counts as whole.

    >>> whole(1e5), whole(100.5), whole(True)
    (100000, None, None)

    :param value: any object
    :param least: lower bound, inclusive
    :return: the number; None if it is not a whole number of at least ``least``; bools are rejected
    """
    number = _plain(value)
    is_whole = isinstance(number, Integral) or (isinstance(number, Real) and float(number).is_integer())
    return int(number) if is_whole and not isinstance(number, bool) and number >= least else None


def wholes(values: Any, least: float = -math.inf) -> list[int] | None:
    """
    :param values: any object
    :param least: lower bound of each, inclusive
    :return: list of the numbers; None if ``values`` is not a list, tuple or array of whole numbers
    """
    if not isinstance(values, (Sequence, np.ndarray)) or isinstance(values, str):
        return None
    numbers = [whole(value, least) for value in values]
    return None if None in numbers else numbers  # type: ignore[return-value]


def check_whole(owner: str, name: str, value: Any, least: int = 1) -> int:
    """
    :param owner: name of the class or function that takes the argument
    :param name: name of the argument
    :param value: value of the argument
    :param least: lower bound, inclusive
    :return: the number as int
    :raises ValueError: if it is not a whole number of at least ``least``
    """
    number = whole(value, least)
    if number is None:
        kind = ", a whole number" if is_number(value) and value >= least else ""
        raise ValueError(f"{owner} needs {name} >= {least}{kind}, got {value!r}")
    return number


def check_number(
    owner: str,
    name: str,
    value: Any,
    low: float,
    high: float = math.inf,
    above: bool = False,
    infinite: bool = False,
) -> float:
    """
    :param owner: name of the class or function that takes the argument
    :param name: name of the argument
    :param value: value of the argument
    :param low: lower bound, inclusive unless ``above``
    :param high: upper bound, inclusive
    :param above: True to exclude ``low``
    :param infinite: True to allow infinity
    :return: the number as Python's int or float
    :raises ValueError: if it is not a number in that range; NaN and bools are rejected
    """
    number = _plain(value)
    inside = is_number(number) and (low < number if above else low <= number) and number <= high
    if inside and (infinite or number < math.inf):
        return number if isinstance(number, int) else float(number)
    if high == math.inf:
        needed = f"{name} {'>' if above else '>='} {low}{', and finite' if value == math.inf else ''}"
    else:
        needed = f"{name} above {low} and at most {high}" if above else f"{name} between {low} and {high}"
    raise ValueError(f"{owner} needs {needed}, got {value!r}")


def is_number(value: Any) -> bool:
    """
    :param value: any object
    :return: True for a number; bools are rejected
    """
    value = _plain(value)
    return isinstance(value, Real) and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    """
    :param value: any object
    :return: Python's number for a NumPy number or for an array or tensor without axes; else ``value``
    """
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def check_flag(owner: str, name: str, value: Any, or_none: bool = False) -> None:
    """
    :param owner: name of the class or function that takes the argument
    :param name: name of the argument
    :param value: value of the argument
    :param or_none: True to allow None
    :raises ValueError: if it is not a bool; the text "False" would count as True
    """
    if not (isinstance(value, (bool, np.bool_)) or (or_none and value is None)):
        raise ValueError(
            f"{owner} needs {name} to be True{', False or None' if or_none else ' or False'}, got {value!r}"
        )


def check_normalized(owner: str, env: VecEnv, stores_frames: bool = False) -> None:
    """
    Check ``VecNormalize`` for off-policy learning, where SB3 stores the observations before normalization.

    :param owner: name of the algorithm
    :param env: its environments
    :param stores_frames: True if its replay buffer is a ``FrameReplayBuffer``
    :raises UserError: if a wrapper around ``VecNormalize`` changes the shape of observations, or the buffer
        needs unnormalized ones
    """
    normalize = unwrap_vec_normalize(env)
    if normalize is None:
        return
    if normalize.norm_obs and stores_frames:
        raise UserError(
            f"{owner} with FrameReplayBuffer needs VecNormalize(norm_obs=False), in the zoo's files "
            "normalize: {norm_obs: false}, because SB3 rounds an episode's last observation, which is then "
            "not a stack of frames; got norm_obs=True"
        )
    inside, outside = normalize.observation_space, env.observation_space
    if get_obs_shape(inside) != get_obs_shape(outside):
        raise UserError(
            f"{owner} needs VecNormalize (the zoo's normalize) around VecFrameStack (frame_stack) and "
            "VecTransposeImage, as in VecNormalize(VecTransposeImage(env)), or stacks and channel-first "
            f"images from the environment's own wrappers (env_wrapper), got {inside} inside {outside}"
        )
