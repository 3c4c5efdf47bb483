"""Camera: a wrapper that keeps the picture of every step of the environment, including skipped ones."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from sb3_cardqn.env.task import task_of
from sb3_cardqn.errors import UserError

_FPS = 30  # of environments that name none


@dataclass(frozen=True)
class Frame:
    """
    One step of the environment.

    :param picture: (height, width, 3) uint8, the environment's own picture in RGB
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

    blind = True  # to observations: it films what render() shows

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.frames: list[Frame] = []
        self.fps: float = self.metadata.get("render_fps") or _FPS
        self._env_id = env.spec.id if env.spec else type(env.unwrapped).__name__
        self._task = task_of(self._env_id)
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
        picture, speed = rgb(self.env.render(), self._env_id), self._task.speed(self.unwrapped)
        seconds = self._steps / self.fps
        self.frames.append(Frame(self._task.view(picture), self._score, speed, seconds, self._episode))


def rgb(picture: Any, env_id: str) -> np.ndarray:
    """
    :param picture: result of ``render()``: (height, width) gray, or (height, width, 1, 3 or 4) gray, RGB or
        RGBA
    :param env_id: id of the environment that gave it
    :return: (height, width, 3) uint8
    :raises UserError: if it is not a picture
    """
    array = picture if isinstance(picture, np.ndarray) else np.empty(0)
    layers = array[:, :, None] if array.ndim == 2 else array
    if not layers.size or layers.ndim != 3 or layers.shape[2] not in (1, 3, 4):
        given = f"an array of shape {array.shape}" if array is picture else type(picture).__name__
        raise UserError(
            "race needs pictures of shape (height, width) or (height, width, 1, 3 or 4), "
            f"render() of {env_id} gave {'None' if picture is None else given}"
        )
    if layers.dtype.kind in "bf":  # from 0 to 1, as MinAtar's
        layers = 255 * layers
    layers = layers.astype(np.uint8)
    return np.repeat(layers, 3, axis=2) if layers.shape[2] == 1 else layers[:, :, :3]
