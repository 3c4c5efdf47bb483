"""Ghost: the path that an agent drove on a track, drawn into the picture of another car on the same track."""

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import cv2
import gymnasium as gym
import numpy as np
from gymnasium.envs.box2d import car_dynamics, car_racing

from sb3_cardqn.agents.saved import TrainedAgent
from sb3_cardqn.evaluate import drive, make_env

_HULL = [
    np.array(polygon) * car_dynamics.SIZE
    for polygon in (
        car_dynamics.HULL_POLY1,
        car_dynamics.HULL_POLY2,
        car_dynamics.HULL_POLY3,
        car_dynamics.HULL_POLY4,
    )
]
_COLOUR, _OPACITY = (255, 197, 61), 0.6
_DASHBOARD = 350  # its first row


@dataclass(frozen=True)
class Pose:
    """
    Where a car is at one frame.

    :param x: metres
    :param y: metres
    :param angle: radians, counterclockwise
    :param score: sum of the rewards so far
    """

    x: float
    y: float
    angle: float
    score: float


class Recorder(gym.Wrapper):
    """
    Keep the poses of the car in ``episodes``, one list per episode, one pose per frame.

    :param env: CarRacing, wrapped or not
    """

    blind = True  # to observations

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.episodes: list[list[Pose]] = []

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """
        :param kwargs: passed on
        :return: observation and info
        """
        result = self.env.reset(**kwargs)
        self.episodes.append([])
        self._record(0.0)
        return result

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """
        :param action: passed on
        :return: the environment's step
        """
        result = self.env.step(action)
        self._record(self.episodes[-1][-1].score + float(result[1]))
        return result

    def _record(self, score: float) -> None:
        car_racing: Any = self.unwrapped
        hull = car_racing.car.hull
        self.episodes[-1].append(Pose(hull.position.x, hull.position.y, hull.angle, score))


def ghost_of(agent: TrainedAgent, seed: int, **env_kwargs: Any) -> list[Pose]:
    """
    Let an agent drive a track, on the picture it was trained with.

    :param agent: agent for CarRacing
    :param seed: seed of the track
    :param env_kwargs: arguments of ``gym.make`` that change the race
    :return: its pose at the start and after each frame
    """
    recorder = f"{Recorder.__module__}.{Recorder.__qualname__}"
    with closing(make_env(agent, stock=False, innermost=[recorder], **env_kwargs)) as env:
        for _ in drive(agent.load_model(), env, seed):
            pass
        return env.get_attr("episodes")[0][0]


def draw_ghost(picture: np.ndarray, race: Any, pose: Pose) -> None:
    """
    Draw a car into the picture of another one.

    :param picture: (400, 600, 3) uint8 of CarRacing's ``render()``, changed in place
    :param race: the unwrapped CarRacing that drew it
    :param pose: where the ghost is
    """
    picture = picture[:_DASHBOARD]  # the road, in place
    shade = picture.copy()
    for polygon in _HULL:
        turned = _turned(polygon, pose.angle) + np.array([pose.x, pose.y])
        cv2.fillPoly(shade, [np.round(on_screen(race, turned)).astype(np.int32)], _COLOUR, cv2.LINE_AA)
    cv2.addWeighted(shade, _OPACITY, picture, 1 - _OPACITY, 0, dst=picture)


def on_screen(race: Any, points: np.ndarray) -> np.ndarray:
    """
    The transform of CarRacing's ``_render``: the car stands in the middle, a quarter above the lower edge.

    :param race: unwrapped CarRacing
    :param points: (n, 2) in metres
    :return: (n, 2) columns and rows of its picture of 600x400
    """
    zoom = 0.1 * car_racing.SCALE * max(1 - race.t, 0) + car_racing.ZOOM * car_racing.SCALE * min(race.t, 1)
    hull = race.car.hull
    x, y = (_turned(points - tuple(hull.position), -hull.angle) * zoom).T
    columns, rows = x + car_racing.WINDOW_W / 2, car_racing.WINDOW_H * 3 / 4 - y
    return np.stack(
        [columns * car_racing.VIDEO_W / car_racing.WINDOW_W, rows * car_racing.VIDEO_H / car_racing.WINDOW_H],
        axis=1,
    )


def _turned(points: np.ndarray | Sequence[Any], angle: float) -> np.ndarray:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.asarray(points) @ np.array([[cos, sin], [-sin, cos]])
