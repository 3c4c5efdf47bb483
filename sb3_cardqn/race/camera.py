"""Camera: a wrapper that keeps the picture of every step of the environment, including skipped ones."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from sb3_cardqn.env.task import task_of

_FPS = 30  # of environments that name none


@dataclass(frozen=True)
class Frame:
    """
    One step of the environment.

    :param picture: (height, width, 3) uint8, the environment's own picture
    :param score: sum of the rewards so far
    :param speed: metres per second of what drives, None if nothing does
    :param seconds: seconds since the start
    :param episode: number of the episode
    """

    picture: np.ndarray
    score: float
    speed: float | None
    seconds: float
    episode: int = 0


class Camera(gym.Wrapper):
    """
    Keep the picture of every step in ``frames``, which the caller clears.

    :param env: environment with ``render_mode="rgb_array"``
    """

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.frames: list[Frame] = []
        self.fps: float = self.metadata.get("render_fps") or _FPS
        self._task = task_of(env.spec.id if env.spec else "")
        self._score, self._steps, self._episode = 0.0, 0, 0

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """
        :param kwargs: passed on
        :return: observation and info
        """
        result = self.env.reset(**kwargs)
        self._score, self._steps, self._episode = 0.0, 0, self._episode + 1
        self._take_picture()
        return result

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """
        :param action: passed on
        :return: the environment's step
        """
        result = self.env.step(action)
        self._score += float(result[1])
        self._steps += 1
        self._take_picture()
        return result

    def _take_picture(self) -> None:
        picture, speed = np.asarray(self.env.render()), self._task.speed(self.unwrapped)
        if np.issubdtype(picture.dtype, np.floating):  # MinAtar's, from 0 to 1
            picture = (255 * picture).astype(np.uint8)
        seconds = self._steps / self.fps
        self.frames.append(Frame(self._task.view(picture), self._score, speed, seconds, self._episode))
