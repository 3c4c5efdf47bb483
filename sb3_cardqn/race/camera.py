"""Keeps the picture of every physics frame, the skipped ones too, with what the overlay tells of it."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np


@dataclass(frozen=True)
class Frame:
    """
    One fiftieth of a second.

    :param picture: (400, 600, 3) uint8, CarRacing's own
    :param score: sum of the rewards until then
    :param speed: of the car, in metres a second
    :param seconds: since the start
    """

    picture: np.ndarray
    score: float
    speed: float
    seconds: float


class Camera(gym.Wrapper):
    """
    Keep the picture of every frame, for someone to take away and show.

    :param env: a CarRacing with ``render_mode="rgb_array"``
    """

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.frames: list[Frame] = []
        self._score, self._seconds = 0.0, 0.0

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """
        :param kwargs: handed on
        :return: observation and info
        """
        result = self.env.reset(**kwargs)
        self._score, self._seconds = 0.0, 0.0
        self._take_picture()
        return result

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """
        :param action: handed on
        :return: as the environment's
        """
        result = self.env.step(action)
        self._score += float(result[1])
        self._seconds += 1 / self.metadata["render_fps"]
        self._take_picture()
        return result

    def _take_picture(self) -> None:
        car_racing: Any = self.unwrapped
        speed = car_racing.car.hull.linearVelocity.length
        self.frames.append(Frame(np.asarray(self.env.render()), self._score, speed, self._seconds))
