"""What arguments may be: each error says whose argument it is, what it needs and what came."""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, unwrap_vec_normalize

from sb3_cardqn.errors import UserError


def whole(value: Any, least: float = -math.inf) -> int | None:
    """
    Read a whole number, which YAML's ``!!float 1e5`` and Python's ``1e5`` are, too.

    >>> whole(1e5), whole(100.5), whole(True)
    (100000, None, None)

    :param value: anything
    :param least: it may be
    :return: the number; None if it is no whole number of at least that, as True and False are none
    """
    number = _plain(value)
    is_whole = isinstance(number, Integral) or (isinstance(number, Real) and float(number).is_integer())
    return int(number) if is_whole and not isinstance(number, bool) and number >= least else None


def wholes(values: Any, least: float = -math.inf) -> list[int] | None:
    """
    :param values: anything
    :param least: each may be
    :return: the whole numbers of a list, tuple or array; None if it is none, or one is something else
    """
    if not isinstance(values, (Sequence, np.ndarray)) or isinstance(values, str):
        return None
    numbers = [whole(value, least) for value in values]
    return None if None in numbers else numbers  # type: ignore[return-value]


def check_whole(owner: str, name: str, value: Any, least: int = 1) -> int:
    """
    :param owner: class or function that takes the argument
    :param name: of the argument
    :param value: what came
    :param least: it may be
    :return: the number, as int
    :raises ValueError: if it is no whole number of at least that
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
    :param owner: class or function that takes the argument
    :param name: of the argument
    :param value: what came
    :param low: it may be
    :param high: it may be
    :param above: it has to be above ``low``
    :param infinite: it may be infinity
    :return: the number, as Python's int or float
    :raises ValueError: if it is no number in that range; NaN, True and False are none
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
    :param value: anything
    :return: whether it is a number; True and False are none
    """
    value = _plain(value)
    return isinstance(value, Real) and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    """
    :param value: anything
    :return: Python's own number of a NumPy number, or of an array or tensor without axes; else as it came
    """
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


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


def check_normalized(owner: str, env: VecEnv, stores_frames: bool = False) -> None:
    """
    Check that off-policy learning can use ``VecNormalize``: SB3 stores the observations that came to it.

    :param owner: algorithm
    :param env: its environments
    :param stores_frames: whether its replay buffer is a ``FrameReplayBuffer``
    :raises UserError: if a wrapper around ``VecNormalize`` changes the observations, or the buffer needs them
        as they are
    """
    normalize = unwrap_vec_normalize(env)
    if normalize is not None and normalize.norm_obs and stores_frames:
        raise UserError(
            f"{owner} with FrameReplayBuffer needs VecNormalize(norm_obs=False), in the zoo's files "
            "normalize: {norm_obs: false}, as SB3 rounds an episode's last observation and it is no stack of "
            "frames then; got norm_obs=True"
        )
    if normalize is not None and normalize.observation_space != env.observation_space:
        inside, outside = normalize.observation_space, env.observation_space
        raise UserError(
            f"{owner} needs VecNormalize (the zoo's normalize) outside of VecFrameStack (frame_stack) and "
            "VecTransposeImage, as in VecNormalize(VecTransposeImage(env)), or stacks and channel-first "
            f"images from the environment's own wrappers (env_wrapper), got {inside} inside of {outside}"
        )
