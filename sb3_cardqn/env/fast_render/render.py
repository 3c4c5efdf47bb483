"""Render: FastRender's replacement for CarRacing's ``_render``, composed of world, car and dashboard."""

import hashlib
import inspect
from collections.abc import Callable
from functools import cache, cached_property
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.box2d import car_racing as stock
from gymnasium.envs.box2d.car_dynamics import Car
from gymnasium.envs.box2d.car_racing import CarRacing, FrictionDetector

from sb3_cardqn.env.fast_render.car import CarPicture
from sb3_cardqn.env.fast_render.dashboard import Dashboard
from sb3_cardqn.env.fast_render.filter import SIDE, WORLD_ROWS
from sb3_cardqn.env.fast_render.picture import FULL_ZOOM, WorldPicture

# Methods that FastRender replaces or relies on.
_RACE_PARTS = (
    "_create_track",
    "_draw_colored_polygon",
    "_create_image_array",
    "_render",
    "_render_indicators",
    "_render_road",
    "reset",
    "step",
)
_LISTENER_PARTS = ("__init__", "BeginContact", "EndContact", "_contact")
_CAR_PARTS = ("__init__", "_create_particle", "brake", "draw", "gas", "steer", "step")
# How each known source writes the score on the dashboard; only this has changed between versions.
_SCORES: dict[str, Callable[[float], str]] = {
    "8b95008740a8b76c": lambda reward: f"{int(reward):04d}",  # Gymnasium 1.2.0 to 1.2.3
    "64cc746df14a82a1": lambda reward: f"{reward:04}",  # 1.3.0
    "574751390009c6ea": lambda reward: f"{reward:04.0f}",  # 1.4.0
}


@cache
def _score_format(race: Any) -> Callable[[float], str]:
    """
    :param race: class of the environment
    :return: function that formats the score
    :raises RuntimeError: if it draws or drives differently from the CarRacing of Gymnasium 1.2 to 1.4
    """
    owners = ((race, _RACE_PARTS), (Car, _CAR_PARTS), (FrictionDetector, _LISTENER_PARTS))
    text = "".join(inspect.getsource(getattr(owner, name)) for owner, names in owners for name in names)
    digest = hashlib.sha256("".join(text.split()).encode()).hexdigest()[:16]
    if digest not in _SCORES:
        raise RuntimeError(
            "FastRender needs the CarRacing of Gymnasium 1.2 to 1.4, whose private parts it copies, got "
            f"{race.__module__}.{race.__qualname__} of Gymnasium {gym.__version__}, "
            f"whose source differs ({digest})"
        )
    return _SCORES[digest]


def _constants() -> dict[str, Any]:
    """
    :return: the numbers and colours of Gymnasium's module, which programs change to make other races
    """
    return {name: value for name, value in vars(stock).items() if name.isupper()}


_COPIED = _constants()  # by the modules of FastRender, when they are imported
# tables that all environments share
car_picture, _dashboard = cache(CarPicture), cache(Dashboard)


class Render:
    """
    Stands in for the ``_render`` method of one CarRacing.

    :param car_racing: the unwrapped environment
    :param gray: True to draw in gray, False in colour
    """

    def __init__(self, car_racing: CarRacing, gray: bool) -> None:
        self._car_racing = car_racing
        race: Any = type(car_racing)
        self._score_format = _score_format(race)
        changed = [name for name, value in _constants().items() if value != _COPIED.get(name)]
        if changed:
            raise RuntimeError(
                f"FastRender needs the constants that CarRacing had when FastRender was first used, got "
                f"another {', '.join(changed)}: drive without FastRender"
            )
        self._gray = gray

    @cached_property
    def _parts(self) -> tuple[WorldPicture, CarPicture, Dashboard]:
        """World, car and dashboard; made when they are needed, because a wrapper may still ask for gray."""
        return WorldPicture(self._gray), car_picture(self._gray), _dashboard(self._gray)

    def __call__(self, mode: str) -> Any:
        """
        :param mode: one of CarRacing's render modes
        :return: the result of stock's ``_render``
        """
        # before the first reset() there is no "t", and stock returns nothing
        if mode == "state_pixels" and "t" in vars(self._car_racing):
            return self._observation()
        return type(self._car_racing)._render(self._car_racing, mode)

    def _observation(self) -> np.ndarray:
        """
        :return: (96, 96) or (96, 96, 3) uint8 observation
        """
        car_racing = self._car_racing
        t = car_racing.t
        zoom = 0.1 * stock.SCALE * max(1 - t, 0) + FULL_ZOOM * min(t, 1)
        world, car, dashboard = self._parts
        observation = np.empty((SIDE, SIDE) if self._gray else (SIDE, SIDE, 3), np.uint8)
        pixels = observation.reshape(SIDE, SIDE, -1)
        world.draw(car_racing, zoom, observation[:WORLD_ROWS])
        car.draw(car_racing.car, zoom, pixels)
        dashboard.draw(car_racing, self._score_format(car_racing.reward), pixels[WORLD_ROWS:])
        return observation
