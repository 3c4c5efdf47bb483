"""CarRacing's observation without its cost: wraps the environment itself, before any other wrapper."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.box2d import car_racing as stock
from gymnasium.envs.box2d.car_racing import CarRacing

from sb3_cardqn.common.fast_parts import CAR_COLS, CAR_ROWS, car_layer, dashboard
from sb3_cardqn.common.fast_picture import FULL_ZOOM, WORLD_ROWS, WorldPicture
from sb3_cardqn.common.fast_physics import FastCar


class _Render:
    """
    Stands in for the ``_render`` method of one CarRacing.

    :param car_racing: the unwrapped environment
    """

    def __init__(self, car_racing: CarRacing) -> None:
        self._car_racing = car_racing
        self._world = WorldPicture()

    def __call__(self, mode: str) -> Any:
        """
        :param mode: one of CarRacing's render modes
        :return: what stock returns
        """
        if mode == "state_pixels":
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
        dashboard(car_racing, observation[WORLD_ROWS:])
        return observation


class FastRender(gym.Wrapper):
    """
    Draw CarRacing's observation straight at 96×96, and leave the race as it is.

    ``render()`` stays stock's picture.

    >>> env = FastRender(gym.make("CarRacing-v3"))
    >>> obs, info = env.reset(seed=0)
    >>> obs, reward, terminated, truncated, info = env.step(env.action_space.sample())

    :param env: a CarRacing, wrapped or not
    :raises TypeError: if ``env`` is something else
    """

    def __init__(self, env: gym.Env) -> None:
        if not isinstance(env.unwrapped, CarRacing):
            raise TypeError(f"FastRender needs CarRacing, got {type(env.unwrapped).__name__}")
        super().__init__(env)
        self._install()

    def _install(self) -> None:
        """CarRacing pickles its arguments only, so that its copy comes without the hook."""
        self.unwrapped._render = _Render(self.unwrapped)  # type: ignore[attr-defined]

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
