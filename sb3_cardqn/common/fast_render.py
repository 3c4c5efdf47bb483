"""CarRacing's observation without its cost: wraps the environment itself, before any other wrapper."""

import hashlib
import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.box2d import car_racing as stock
from gymnasium.envs.box2d.car_dynamics import Car
from gymnasium.envs.box2d.car_racing import CarRacing, FrictionDetector
from gymnasium.utils import RecordConstructorArgs

from sb3_cardqn.common.fast_car import CAR_COLS, CAR_ROWS, car_layer
from sb3_cardqn.common.fast_dashboard import dashboard
from sb3_cardqn.common.fast_physics import FastCar
from sb3_cardqn.common.fast_picture import FULL_ZOOM, WORLD_ROWS, WorldPicture

# What FastRender does the work of, or relies on.
_RACE_PARTS = (
    "_create_track",
    "_draw_colored_polygon",
    "_create_image_array",
    "_render",
    "_render_indicators",
    "_render_road",
    "reset",
    "step",
)
_CAR_PARTS = ("__init__", "_create_particle", "brake", "draw", "gas", "steer", "step")
# How their sources write the score on the dashboard: the one thing that was changed, more than once.
_SCORES: dict[str, Callable[[float], str]] = {
    "784d43fb278af10c": lambda reward: f"{int(reward):04d}",  # Gymnasium 1.1.0, 1.1.1
    "af185a01d75336cd": lambda reward: f"{int(reward):04d}",  # 1.2.0 to 1.2.3
    "a7095086b9a82ad9": lambda reward: f"{reward:04}",  # 1.3.0
    "bd1f1b26ceec6396": lambda reward: f"{reward:04.0f}",  # 1.4.0
}


@cache
def _score_format(race: Any) -> Callable[[float], str]:
    """
    :param race: class of the environment
    :return: how it writes the score
    :raises RuntimeError: if it draws or drives differently from the CarRacing of Gymnasium 1.1 to 1.4
    """
    parts = [(race, name) for name in _RACE_PARTS] + [(Car, name) for name in _CAR_PARTS]
    text = "".join(
        inspect.getsource(getattr(owner, name)) for owner, name in [*parts, (FrictionDetector, "_contact")]
    )
    digest = hashlib.sha256("".join(text.split()).encode()).hexdigest()[:16]
    if digest not in _SCORES:
        raise RuntimeError(
            "FastRender needs the CarRacing of Gymnasium 1.1 to 1.4, whose private parts it copies, got "
            f"{race.__module__}.{race.__qualname__} of Gymnasium {gym.__version__}, "
            f"whose source differs ({digest})"
        )
    return _SCORES[digest]


class _Render:
    """
    Stands in for the ``_render`` method of one CarRacing.

    :param car_racing: the unwrapped environment
    """

    def __init__(self, car_racing: CarRacing) -> None:
        self._car_racing = car_racing
        race: Any = type(car_racing)
        self._score_format = _score_format(race)
        self._world = WorldPicture()

    def __call__(self, mode: str) -> Any:
        """
        :param mode: one of CarRacing's render modes
        :return: what stock returns
        """
        # without "t" there was no reset() yet, and stock returns nothing
        if mode == "state_pixels" and "t" in vars(self._car_racing):
            return self._observation()
        return type(self._car_racing)._render(self._car_racing, mode)

    def _observation(self) -> np.ndarray:
        """
        :return: (96, 96, 3) what stock would draw
        """
        car_racing = self._car_racing
        t = car_racing.t
        zoom = 0.1 * stock.SCALE * max(1 - t, 0) + FULL_ZOOM * min(t, 1)
        observation = np.empty((stock.STATE_H, stock.STATE_W, 3), np.uint8)
        self._world.draw(car_racing, zoom, observation[:WORLD_ROWS])
        light, part = car_layer(car_racing.car, zoom)
        around = observation[CAR_ROWS, CAR_COLS]
        np.maximum(around * part + light, 0, out=around, casting="unsafe")
        dashboard(car_racing, self._score_format(car_racing.reward), observation[WORLD_ROWS:])
        return observation


class FastRender(gym.Wrapper, RecordConstructorArgs):
    """
    Draw CarRacing's observation straight at 96×96, and leave the race as it is.

    Rewards, ends and the car's path are bit-identical to stock's, the observation is within 0.2 grey levels
    in the mean (docs/fast_render.md). ``render()`` stays stock's picture.

    >>> env = FastRender(gym.make("CarRacing-v3"))
    >>> obs, info = env.reset(seed=0)
    >>> obs, reward, terminated, truncated, info = env.step(env.action_space.sample())

    :param env: a CarRacing, wrapped or not
    :raises TypeError: if ``env`` is something else
    :raises RuntimeError: if this Gymnasium draws it in a way that is not known here
    """

    def __init__(self, env: gym.Env) -> None:
        if not isinstance(env.unwrapped, CarRacing):
            raise TypeError(f"FastRender needs CarRacing, got {type(env.unwrapped).__name__}")
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._install()

    def _install(self) -> None:
        """CarRacing pickles its arguments only, so that its copy comes without the hook."""
        car_racing: Any = self.unwrapped
        car_racing._render = _Render(car_racing)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._install()

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """
        :param kwargs: ``seed`` and ``options``, as CarRacing takes them
        :return: first observation, info
        """
        observation, info = self.env.reset(**kwargs)
        self.unwrapped.car.__class__ = FastCar  # type: ignore[attr-defined]
        return observation, info
