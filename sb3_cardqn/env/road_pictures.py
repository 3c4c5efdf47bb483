"""RoadContrastObservation and RoadShadesObservation: pictures in which an agent sees the road better."""

from typing import Any

import cv2
import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from sb3_cardqn.checks import check_whole
from sb3_cardqn.env.fast_render import is_car_racing

_ZOOMS_UNTIL = 1.0  # seconds from the start
_DASHBOARD = 84  # first row; equals fast_render.picture.WORLD_ROWS, whose import would load Box2D
_PICTURE = spaces.Box(0, 255, (96, 96, 3), np.uint8)
_AHEAD_OF_THE_CAR = (slice(56, 64), slice(44, 52))  # rows and columns
_SAME_COLOR = 8  # grey levels; tiles of one road differ by up to 6
_CONTRAST = np.clip((np.arange(256) - _SAME_COLOR) * 16, 0, 255).astype(np.uint8)


class RoadContrastObservation(gym.ObservationWrapper, RecordConstructorArgs):
    """
    Show how far each pixel's colour is from the road's: the road is black, everything else is white.

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
        red, green, blue = cv2.split(cv2.absdiff(observation[:_DASHBOARD], self._road))
        seen[:_DASHBOARD] = cv2.LUT(cv2.max(cv2.max(red, green), blue), _CONTRAST)
        return seen


class RoadShadesObservation(gym.ObservationWrapper, RecordConstructorArgs):
    """
    Spread the grey levels of CarRacing's road, so that the road still to be driven shows.

    Tiles that no wheel has touched have three shades, 2.5 levels apart; touched tiles have the darkest.
    Nothing else in the picture tells forwards from backwards, and most agents that spin in a bend drive the
    lap backwards to its end (docs/results/lost_cars.md).

    >>> env = RoadShadesObservation(GrayscaleObservation(gym.make("CarRacing-v3")), factor=4)

    :param factor: grey levels between neighbouring levels of the road, 1 to 20
    :raises TypeError: if the observations are not uint8 images of shape (H, W) or (H, W, 1)
    :raises ValueError: if ``factor`` is not a whole number from 1 to 20
    """

    ROAD = 98, 107  # grey levels of the shades, and two more on each side
    DARKEST = 50  # level that 98 becomes; the car and most of the dashboard stay below it

    def __init__(self, env: gym.Env, factor: int = 4) -> None:
        factor = check_whole("RoadShadesObservation", "factor", factor)
        if factor > 20:
            raise ValueError(f"RoadShadesObservation needs factor <= 20, got {factor}")
        RecordConstructorArgs.__init__(self, factor=factor)
        super().__init__(env)
        space = env.observation_space
        is_gray = isinstance(space, spaces.Box) and (len(space.shape) == 2 or space.shape[2:] == (1,))
        if not (is_gray and space.dtype == np.uint8):
            raise TypeError(
                f"RoadShadesObservation needs uint8 images of shape (H, W) or (H, W, 1), got {space}"
            )
        first, last = self.ROAD
        spread = (0, self.DARKEST, self.DARKEST + factor * (last - first), 255)
        self._levels = np.rint(np.interp(np.arange(256), (0, first, last, 255), spread)).astype(np.uint8)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """
        :param observation: (H, W) or (H, W, 1) uint8 picture
        :return: the picture with the road's levels spread, in the same shape
        """
        return self._levels[observation]
