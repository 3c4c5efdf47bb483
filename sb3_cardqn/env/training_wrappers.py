"""EndWhenLost, EndAtLine and ScaleReward, and what of a training configuration is judged."""

import contextlib
import re
from typing import Any

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs
from gymnasium.wrappers import Autoreset, TimeLimit
from stable_baselines3.common.env_util import is_wrapped, unwrap_wrapper

from sb3_cardqn.checks import check_number, check_whole
from sb3_cardqn.env.fast_render import is_car_racing
from sb3_cardqn.python_text import find_class


def judged_wrappers(wrappers: Any) -> list[Any]:
    """
    Drop training-only wrappers and arguments from a wrapper list.

    Used wherever an agent is judged: evaluations in training, ``evaluate``, ``race``, ``enjoy``, exported
    agents. A class with ``training_only = True`` is dropped, and so are the arguments that a class names in
    ``training_arguments``.

    >>> judged_wrappers(["sb3_cardqn.EndAtLine", {"sb3_cardqn.CarRacingWrapper": {"training": True}}])
    [{'sb3_cardqn.CarRacingWrapper': {}}]

    :param wrappers: the zoo's form: None, a class or its name, a dict from that to arguments, or a list
    :return: list of the remaining wrappers, each in the same form
    """
    judged = []
    for entry in wrappers if isinstance(wrappers, list) else [wrappers]:
        named = isinstance(entry, dict) and len(entry) == 1
        name, arguments = next(iter(entry.items())) if named else (entry, None)
        cls = name
        if isinstance(name, str):
            with contextlib.suppress(ImportError):  # for the zoo to say
                cls = find_class(name)
        if name is None or getattr(cls, "training_only", False):
            continue
        left_out = getattr(cls, "training_arguments", ())
        if isinstance(arguments, dict):
            entry = {name: {key: value for key, value in arguments.items() if key not in left_out}}
        judged.append(entry)
    return judged


def require_car_racing(wrapper: gym.Wrapper) -> None:
    """
    :param wrapper: a wrapper, just built
    :raises TypeError: if its environment is not CarRacing, or an Autoreset inside hides its resets
    """
    if is_wrapped(wrapper, Autoreset):
        raise TypeError(f"{type(wrapper).__name__} needs to see each reset, got an Autoreset inside")
    if not is_car_racing(wrapper.unwrapped):
        raise TypeError(f"{type(wrapper).__name__} needs a CarRacing environment, got {wrapper.unwrapped}")


def furthest_tile(car_racing: Any, before: int) -> int:
    """
    :param car_racing: the unwrapped environment
    :param before: this function's result one step ago; 0 at the start of the race
    :return: index of the furthest tile reached; the number of tiles once the car has crossed the line again
    """
    n_tiles = len(car_racing.road)
    ahead = max((tile.idx for wheel in car_racing.car.wheels for tile in wheel.tiles), default=0)
    if before > 3 * n_tiles // 4 and 0 < ahead < n_tiles // 4:
        return n_tiles
    if ahead - before > n_tiles // 4:  # the car went backwards over the start line, or across the field
        return before
    return max(before, ahead)


class ScaleReward(gym.RewardWrapper, RecordConstructorArgs):
    """
    Multiply rewards by a constant.

    DQN's Huber loss is quadratic for errors below 1. Above 1 it is linear and approximates the median. A step
    of CarRacing can earn 10 points and Q-values are near 190, so most errors are above 1 without scaling.

    >>> env = ScaleReward(gym.make("CarRacing-v3"), scale=0.1)

    :param scale: factor on every reward, above 0
    :raises ValueError: if ``scale`` is not above 0, or not finite
    """

    training_only = True

    def __init__(self, env: gym.Env, scale: float = 0.1) -> None:
        scale = check_number("ScaleReward", "scale", scale, 0, above=True)
        RecordConstructorArgs.__init__(self, scale=scale)
        super().__init__(env)
        self.scale = scale

    def reward(self, reward: Any) -> float:
        """
        :param reward: the environment's reward
        :return: reward times ``scale``
        """
        return float(reward) * self.scale


class EndWhenLost(gym.Wrapper, RecordConstructorArgs):
    """
    Terminate an episode when the car is lost, which means it has touched no new tile for a while.

    Terminates rather than truncates, so that no value is bootstrapped from states off the road. The
    environment's own time limit ends the episode, one step later, so that a Monitor inside logs it.
    ``info["lap_finished"]`` is then False, as for a car off the field.

    >>> env = EndWhenLost(gym.make("CarRacing-v3"), patience=25)

    :param patience: steps without a new tile before the end, at least 1; agent steps around a ``FrameSkip``,
        else frames
    :raises TypeError: if the environment is not CarRacing, or has no time limit
    :raises ValueError: if ``patience`` is smaller than 1
    """

    training_only = True

    def __init__(self, env: gym.Env, patience: int = 25) -> None:
        patience = check_whole("EndWhenLost", "patience", patience)
        RecordConstructorArgs.__init__(self, patience=patience)
        super().__init__(env)
        require_car_racing(self)
        self._time_limit = _find_time_limit(self)
        self.patience = patience
        self._touched = 0  # tiles
        self._waited = 0  # steps since the last new tile

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """
        :param kwargs: passed on
        :return: observation and info
        """
        self._touched = self._waited = 0
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """
        :param action: passed on
        :return: the environment's step, terminated if the car is lost
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        car_racing: Any = self.unwrapped
        if car_racing.tile_visited_count > self._touched:
            self._touched, self._waited = car_racing.tile_visited_count, 0
        else:
            self._waited += 1
        if self._waited >= self.patience:
            _cut_next_step(self._time_limit)
            if truncated:
                terminated, truncated, info["lap_finished"] = True, False, False
        return observation, reward, terminated, truncated, info


class EndAtLine(gym.Wrapper, RecordConstructorArgs):
    """
    Truncate an episode at the end of the lap, whether the lap is complete or not.

    The finish line looks like any other part of the track. If the end of a lap terminated the episode, values
    would fall to 0 before the line, and so would the differences between actions that steer the car. A
    truncated episode's last value is bootstrapped instead (Pardo et al. 2018). CarRacing does not end a lap
    with missed tiles; the environment's own time limit cuts it, one step after the line.

    >>> env = EndAtLine(gym.make("CarRacing-v3"))

    :raises TypeError: if the environment is not CarRacing, or has no time limit
    """

    training_only = True

    def __init__(self, env: gym.Env) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        require_car_racing(self)
        self._time_limit = _find_time_limit(self)
        self._furthest = 0  # tiles

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """
        :param kwargs: passed on
        :return: observation and info
        """
        self._furthest = 0
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """
        :param action: passed on
        :return: the environment's step, truncated at the end of the lap
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        car_racing: Any = self.unwrapped
        self._furthest = furthest_tile(car_racing, self._furthest)
        if self._furthest == len(car_racing.road):
            _cut_next_step(self._time_limit)
        if terminated and info.get("lap_finished", True):
            terminated, truncated = False, True
        return observation, reward, terminated, truncated, info


def _find_time_limit(wrapper: gym.Wrapper) -> TimeLimit:
    time_limit = unwrap_wrapper(wrapper, TimeLimit)
    if not isinstance(time_limit, TimeLimit):
        name = type(wrapper).__name__
        raise TypeError(f"{name} needs an environment with a time limit, such as gym.make adds")
    return time_limit


def _cut_next_step(time_limit: TimeLimit) -> None:
    time_limit._elapsed_steps = time_limit._max_episode_steps  # type: ignore[assignment]


def sees_normalized(normalize: Any) -> bool:
    """
    :param normalize: value in the zoo's form: a bool, a dict, a string of Python that makes one, or None
    :return: True if ``VecNormalize`` normalizes observations, False if only rewards, or nothing
    """
    return bool(normalize) and re.search(r"norm_obs\W+False", str(normalize)) is None
