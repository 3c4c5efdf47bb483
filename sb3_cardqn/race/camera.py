"""Camera: a wrapper that keeps the picture of every physics frame, including skipped ones."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np


@dataclass(frozen=True)
class Frame:
    """
    One physics frame, a fiftieth of a second.

    :param picture: (400, 600, 3) uint8, CarRacing's own picture
    :param score: sum of the rewards so far
    :param speed: speed of the car in metres per second
    :param seconds: seconds since the start
    """

    picture: np.ndarray
    score: float
    speed: float
    seconds: float


class Camera(gym.Wrapper):
    """
    Keep the picture of every frame in ``frames``, which the caller clears.

    :param env: CarRacing with ``render_mode="rgb_array"``
    """

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.frames: list[Frame] = []
        self._score, self._seconds = 0.0, 0.0

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """
        :param kwargs: passed on
        :return: observation and info
        """
        result = self.env.reset(**kwargs)
        self._score, self._seconds = 0.0, 0.0
        self._take_picture()
        return result

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """
        :param action: passed on
        :return: the environment's step
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
