"""What is road, and which way it goes, in whatever colours ``domain_randomize`` paints them."""

from typing import Any

import cv2
import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from sb3_cardqn.common.checks import check_env
from sb3_cardqn.common.fast_render import is_car_racing

_ZOOMS_UNTIL = 1.0  # seconds from the start
_DASHBOARD = 84  # its first row; WORLD_ROWS of fast_render.picture, which would load Box2D for all
_PICTURE = spaces.Box(0, 255, (96, 96, 3), np.uint8)
_AHEAD_OF_THE_CAR = (slice(44, 64), slice(46, 50))  # rows and columns; a tile is 5.4 rows long
_SAME_COLOR = 8  # grey levels: tiles of one road differ by 6
_THREE_TILES = (17, 17)  # rows and columns around a pixel
_AWAY = np.arange(256)  # from the road's first shade, in the channel where it is furthest
_IS_ROAD = np.where(_AWAY <= _SAME_COLOR, 255, 0).astype(np.uint8)
_SHADE = np.where(_AWAY <= _SAME_COLOR, 24 * _AWAY, 0).astype(np.uint8)
_MEAN_SHADE = np.rint(24 / 255 * _AWAY).astype(np.uint8)  # of so much road, where it is 1 of 24: half that of fresh road
_FRESH = 60  # what road that was not driven on is shown as; 0 is the other
# The field, and its two colours apart.
_FIELD = np.clip((_AWAY - _SAME_COLOR) * 16, 0, 155 + _AWAY * 100 // 255).astype(np.uint8)


class RoadShadesObservation(gym.ObservationWrapper, RecordConstructorArgs):
    """
    Show how far each pixel's colour is from that of the road where it was driven on. In place of gray.

    CarRacing paints its tiles in three shades in turn, 2.5 of 256 grey levels apart, and in the first when
    they are touched. In gray that is hardly seen, but nothing else tells a car that comes back on the road
    which way to go, and what it missed. Here the road is black where it was driven on and striped where it
    was not, and the field is bright in two levels, so that a car on it sees that it moves; in all colours of
    ``domain_randomize``. The dashboard, which has colours of its own, is gray.

    The car starts on the road: its first shade is the darkest of 20×4 pixels ahead of the car, the last time
    in the first second, while the camera zooms in, that they were all alike.

    >>> env = RoadShadesObservation(gym.make("CarRacing-v3", domain_randomize=True))
    >>> env.observation_space.shape
    (96, 96)

    :raises TypeError: if the environment is no ``CarRacing``, or something between changed its pictures' size
    """

    def __init__(self, env: gym.Env) -> None:
        check_env("RoadShadesObservation", env)
        space = env.observation_space
        if not (is_car_racing(env) and space == _PICTURE):
            raise TypeError(
                "RoadShadesObservation needs a CarRacing with its pictures of shape (96, 96, 3), "
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
        :return: (96, 96) uint8, 0 on the road that was driven on
        """
        car_racing: Any = self.env.unwrapped
        if car_racing.t <= _ZOOMS_UNTIL:
            ahead = observation[_AHEAD_OF_THE_CAR].reshape(-1, 3)
            if np.ptp(ahead, axis=0).max() <= _SAME_COLOR:
                self._road[:3] = ahead.min(axis=0)
        seen = cv2.cvtColor(observation, cv2.COLOR_RGB2GRAY)
        red, green, blue = cv2.split(cv2.absdiff(observation[:_DASHBOARD], self._road))
        away = cv2.max(cv2.max(red, green), blue)
        is_road = cv2.LUT(away, _IS_ROAD)
        shade, road = cv2.blur(cv2.LUT(away, _SHADE), _THREE_TILES), cv2.blur(is_road, _THREE_TILES)
        fresh = cv2.compare(shade, cv2.LUT(road, _MEAN_SHADE), cv2.CMP_GT)
        seen[:_DASHBOARD] = cv2.LUT(away, _FIELD) + (fresh & is_road & _FRESH)
        return seen
