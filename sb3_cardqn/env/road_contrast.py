"""RoadContrastObservation: a picture of road against non-road that works in any of CarRacing's colours."""

from typing import Any

import cv2
import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from sb3_cardqn.env.fast_render import is_car_racing
from sb3_cardqn.env.fast_render.filter import WORLD_ROWS

_ZOOMS_UNTIL = 1.0  # seconds from the start
_PICTURE = spaces.Box(0, 255, (96, 96, 3), np.uint8)
_AHEAD_OF_THE_CAR = (slice(56, 64), slice(44, 52))  # rows and columns
_SAME_COLOR = 8  # levels of a channel; tiles of one road differ by up to 6, in all three channels alike
_SAME_HUE = 3  # levels between the channels' differences, from rounding
_CONTRAST = np.clip((np.arange(256) - _SAME_COLOR) * 16, 0, 255).astype(np.uint8)
_HUE_CONTRAST = np.clip((np.arange(512) - _SAME_HUE) * 32, 0, 255).astype(np.uint8)


class RoadContrastObservation(gym.ObservationWrapper, RecordConstructorArgs):
    """
    Show how far each pixel's colour is from the road's: the road is black, everything else is white.

    The road's tiles differ in brightness, so small differences of brightness do not count, but small
    differences of hue do.

    It takes the place of ``GrayscaleObservation``. The car starts on the road, so the road's colour is read
    from 8×8 pixels ahead of the car. It is read in the first second, while the camera zooms in, from the last
    frame in which these pixels are all alike. The dashboard is gray, as ``domain_randomize`` does not change
    its colours.

    >>> env = RoadContrastObservation(gym.make("CarRacing-v3", domain_randomize=True))
    >>> env.observation_space.shape
    (96, 96)

    :raises TypeError: if the environment is not ``CarRacing``, or a wrapper has changed the picture's size
    """

    def __init__(self, env: gym.Env) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        space = env.observation_space
        if not (is_car_racing(env) and space == _PICTURE):
            raise TypeError(
                "RoadContrastObservation needs a CarRacing environment with pictures of shape (96, 96, 3), "
                f"got {space} from {env}"
            )
        self._road = np.zeros(4)  # red, green, blue, unused: OpenCV's scalars have four entries
        self.observation_space = spaces.Box(0, 255, (96, 96), np.uint8)

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """
        :param kwargs: ``seed`` and ``options``, passed on
        :return: (96, 96) uint8; info
        """
        self._road = np.zeros(4)  # every track has its own colour
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
        red, green, blue = cv2.split(cv2.subtract(observation[:WORLD_ROWS], self._road, dtype=cv2.CV_16S))
        most, least = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
        contrast = _CONTRAST[cv2.max(most, -least)]
        seen[:WORLD_ROWS] = cv2.max(contrast, _HUE_CONTRAST[most - least])
        return seen
