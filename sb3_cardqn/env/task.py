"""Task: an environment in which agents are judged. CarRacing, with its tracks and laps, has its own class."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

_DASHBOARD = 50  # bottom rows of CarRacing's picture of 400


@dataclass(frozen=True)
class Task:
    """
    Any environment; a seed makes an episode.

    :param name: id of the environment
    """

    name: str
    episode: ClassVar[str] = "episode"  # word for what a seed makes
    step: ClassVar[str] = "step"  # word for the environment's clock
    has_laps: ClassVar[bool] = False

    @property
    def solved(self) -> float | None:
        """Score from which an episode counts as solved; None if the environment names none."""
        spec = gym.registry.get(self.name.split(":")[-1])
        return None if spec is None else spec.reward_threshold

    def count(self, episodes: int) -> str:
        """
        >>> Task("LunarLander-v3").count(1), CarRacingTask().count(3)
        ('1 episode', '3 tracks')

        :param episodes: number of episodes
        :return: the number with its word
        """
        return f"{episodes} {self.episode}{'' if episodes == 1 else 's'}"

    def env_kwargs(self, trained_with: Mapping[str, Any]) -> dict[str, Any]:
        """
        :param trained_with: arguments of ``gym.make`` in training
        :return: those with which its agents are judged
        """
        return dict(trained_with)

    def view(self, picture: np.ndarray) -> np.ndarray:
        """
        :param picture: (height, width, 3) uint8 of ``render()``
        :return: part of it that a video shows
        """
        return picture

    def speed(self, env: Any) -> float | None:
        """
        :param env: unwrapped environment
        :return: metres per second, None where nothing drives
        """
        return None


@dataclass(frozen=True)
class CarRacingTask(Task):
    """
    CarRacing; a seed makes a track. Agents are judged in the unmodified race.

    :param name: name of all its versions
    """

    name: str = "CarRacing"
    episode = "track"
    step = "frame"
    has_laps = True

    @property
    def solved(self) -> float:
        """Points from which Gymnasium calls CarRacing solved."""
        return 900.0

    def env_kwargs(self, trained_with: Mapping[str, Any]) -> dict[str, Any]:
        """
        :param trained_with: arguments of ``gym.make`` in training
        :return: only ``continuous``, which defines the agent's actions
        """
        return {name: trained_with[name] for name in ("continuous",) if name in trained_with}

    def view(self, picture: np.ndarray) -> np.ndarray:
        """
        :param picture: (400, 600, 3) uint8 of ``render()``
        :return: (350, 600, 3) without the dashboard
        """
        return picture[:-_DASHBOARD]

    def speed(self, env: Any) -> float:
        """
        :param env: unwrapped CarRacing
        :return: metres per second
        """
        return env.car.hull.linearVelocity.length


def task_of(env_id: str) -> Task:
    """
    Name the task of an environment.

    >>> task_of("CarRacing-v3").episode, task_of("CartPole-v1").solved
    ('track', 475.0)

    :param env_id: Gymnasium's id of an environment
    :return: its task
    """
    return CarRacingTask() if re.match(r"CarRacing(Pixels)?-v\d", env_id.split(":")[-1]) else Task(env_id)
