"""StartOffCourse: training episodes that begin with a skid, and the simple driver that gets there."""

import math
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from sb3_cardqn.checks import check_number
from sb3_cardqn.env.fast_render import is_car_racing


def drive(car_racing: Any) -> np.ndarray:
    """
    A simple driver that knows the track, good enough for a lap with kerbs and skids.

    :param car_racing: an unwrapped CarRacing
    :return: (3,) steer, gas, brake
    """
    car, track = car_racing.car, car_racing.track
    x, y = car.hull.position
    nearest = min(range(len(track)), key=lambda i: (track[i][2] - x) ** 2 + (track[i][3] - y) ** 2)
    _, _, target_x, target_y = track[(nearest + 6) % len(track)]
    off = _turn(math.atan2(x - target_x, target_y - y) - car.hull.angle)
    bend = abs(_turn(track[(nearest + 14) % len(track)][1] - track[nearest][1]))
    speed, limit = math.hypot(*car.hull.linearVelocity), 60 - 28 * min(bend, 1.2)
    steer = max(-1.0, min(1.0, -2 * off))
    gas = 0.7 * (1 - 0.5 * abs(steer)) if speed < limit else 0.0
    return np.array([steer, gas, 0.4 * (speed > limit + 8)], np.float32)


def _turn(angle: float) -> float:
    """
    :param angle: angle in radians
    :return: same direction in [-pi, pi)
    """
    return (angle + math.pi) % (2 * math.pi) - math.pi


class StartOffCourse(gym.Wrapper, RecordConstructorArgs):
    """
    Begin some training episodes with a skid, so that the agent learns to come back.

    A trained agent seldom skids, so its replay buffer hardly shows how to turn around. In a share of the
    episodes ``reset`` drives 1 to 3 s with a simple driver, then holds full lock with some gas for 0.2 to
    0.6 s. Wrap it around the environment before its actions become discrete. The rewards of these frames
    are not the agent's.

    >>> env = StartOffCourse(gym.make("CarRacing-v3"), share=0.1)

    :param share: probability that an episode begins with a skid, in [0, 1]
    :raises TypeError: if the environment is not CarRacing with continuous actions
    :raises ValueError: if ``share`` is not in [0, 1]
    """

    training_only = True
    DRIVEN, HELD = (50, 150), (8, 30)  # frames, at least and below

    def __init__(self, env: gym.Env, share: float = 0.1) -> None:
        check_number("StartOffCourse", "share", share, 0, 1)
        RecordConstructorArgs.__init__(self, share=share)
        super().__init__(env)
        if not (is_car_racing(env) and isinstance(env.action_space, gym.spaces.Box)):
            raise TypeError(
                f"StartOffCourse needs a CarRacing environment with continuous actions, got {env}"
            )
        self.share = share

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """
        :param kwargs: passed on
        :return: observation and info, after the skid if there is one
        """
        observation, info = self.env.reset(**kwargs)
        car_racing: Any = self.unwrapped
        rng = car_racing.np_random
        if rng.random() >= self.share:
            return observation, info
        driven, held = int(rng.integers(*self.DRIVEN)), int(rng.integers(*self.HELD))
        skid = np.array([rng.choice((-1, 1)), rng.random(), 0], np.float32)
        for frame in range(driven + held):
            action = drive(car_racing) if frame < driven else skid
            observation, _, terminated, truncated, info = self.env.step(action)
            if terminated or truncated:
                return self.env.reset()
        return observation, info
