"""What is road and what is not, in whatever colours ``domain_randomize`` paints them."""

from typing import Any

import cv2
import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from sb3_cardqn.checks import check_env
from sb3_cardqn.env.fast_render import is_car_racing

_ZOOMS_UNTIL = 1.0  # seconds from the start
_DASHBOARD = 84  # its first row; WORLD_ROWS of fast_render.picture, which would load Box2D for all
_PICTURE = spaces.Box(0, 255, (96, 96, 3), np.uint8)
_AHEAD_OF_THE_CAR = (slice(56, 64), slice(44, 52))  # rows and columns
_SAME_COLOR = 8  # grey levels: tiles of one road differ by 6
_CONTRAST = np.clip((np.arange(256) - _SAME_COLOR) * 16, 0, 255).astype(np.uint8)


class RoadContrastObservation(gym.ObservationWrapper, RecordConstructorArgs):
    """
    Show how far each pixel's colour is from the road's: road black, all else white. In place of gray.

    The car starts on the road: its colour is that of 8×8 pixels ahead of the car, the last time in the first
    second, while the camera zooms in, that they were all alike. The dashboard, whose colours
    ``domain_randomize`` leaves alone, is gray.

    >>> env = RoadContrastObservation(gym.make("CarRacing-v3", domain_randomize=True))
    >>> env.observation_space.shape
    (96, 96)

    :raises TypeError: if the environment is no ``CarRacing``, or something between changed its pictures' size
    """

    def __init__(self, env: gym.Env) -> None:
        check_env("RoadContrastObservation", env)
        space = env.observation_space
        if not (is_car_racing(env) and space == _PICTURE):
            raise TypeError(
                "RoadContrastObservation needs a CarRacing with its pictures of shape (96, 96, 3), "
                f"got {space} from {env}"
            )
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._road = np.zeros(4)  # red, green, blue, and nothing: a scalar of OpenCV
        self.observation_space = spaces.Box(0, 255, (96, 96), np.uint8)

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """
        :param kwargs: ``seed`` and ``options``, handed on
        :return: (96, 96) uint8; info
        """
        self._road = np.zeros(4)  # that of the last track says nothing about this one
        return super().reset(**kwargs)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """
        :param observation: (96, 96, 3) uint8
        :return: (96, 96) uint8, 0 on the road
        """
        car_racing: Any = self.env.unwrapped
        if car_racing.t <= _ZOOMS_UNTIL:
            ahead = observation[_AHEAD_OF_THE_CAR].reshape(-1, 3)
            if np.ptp(ahead, axis=0).max() <= _SAME_COLOR:
                self._road[:3] = np.median(ahead, axis=0)
        seen = cv2.cvtColor(observation, cv2.COLOR_RGB2GRAY)
        red, green, blue = cv2.split(cv2.absdiff(observation[:_DASHBOARD], self._road))
        seen[:_DASHBOARD] = cv2.LUT(cv2.max(cv2.max(red, green), blue), _CONTRAST)
        return seen
