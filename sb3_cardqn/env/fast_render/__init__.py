"""FastRender: draws CarRacing's observation fast. It goes around the environment before other wrappers."""

import sys
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs


def _pictures(gray: bool) -> spaces.Box:
    """
    :param gray: True for gray pictures, False for stock's
    :return: a space of its own for each environment, because spaces can be seeded
    """
    return spaces.Box(0, 255, (96, 96) if gray else (96, 96, 3), np.uint8)


def is_car_racing(env: gym.Env) -> bool:
    """
    Whether an environment is Gymnasium's CarRacing, without importing Box2D and pygame.

    :param env: any environment
    :return: True if Gymnasium's CarRacing is inside all wrappers
    """
    # If there is a CarRacing, its module has been imported.
    module = sys.modules.get("gymnasium.envs.box2d.car_racing")
    return module is not None and isinstance(env.unwrapped, module.CarRacing)


def steps_as_stock(env: gym.Env) -> bool:
    """
    :param env: a CarRacing, wrapped or not
    :return: False if it is a subclass with a ``step`` or ``_render`` of its own, which may use the picture
    """
    own: Any = type(env.unwrapped)
    stock = sys.modules["gymnasium.envs.box2d.car_racing"].CarRacing
    return own.step is stock.step and own._render is stock._render


def draw_stock(car_racing: Any) -> None:
    """
    Draw stock's observation again.

    :param car_racing: an unwrapped CarRacing, with or without a ``FastRender`` around it
    """
    vars(car_racing).pop("_render", None)
    car_racing.observation_space = _pictures(gray=False)


class FastRender(gym.Wrapper, RecordConstructorArgs):
    """
    Draw CarRacing's observation directly at 96×96, without changing the race.

    Rewards, episode ends and the car's path are bit-identical to stock's. Observations differ by at most 0.2
    gray levels on average (docs/explanation/fast_render.md). In the modes human and rgb_array ``render()``
    still shows stock's picture. The inner CarRacing itself is changed, for every wrapper that contains it.

    >>> env = FastRender(gym.make("CarRacing-v3"))
    >>> obs, info = env.reset(seed=0)
    >>> obs, reward, terminated, truncated, info = env.step(env.action_space.sample())

    :param env: a CarRacing, wrapped or not
    :raises TypeError: if ``env`` is not CarRacing
    :raises RuntimeError: if the source of the installed CarRacing is not one of those FastRender copies
    """

    def __init__(self, env: gym.Env) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        if not is_car_racing(env):
            raise TypeError(f"FastRender needs CarRacing, got {type(env.unwrapped).__name__}")
        self.gray = False
        self._install()

    def draw_gray(self) -> None:
        """Draw in gray from now on; call it before other wrappers read the observation space."""
        self.gray = True
        self._install()

    def _install(self) -> None:
        from sb3_cardqn.env.fast_render.physics import FastStep
        from sb3_cardqn.env.fast_render.render import Render
        from sb3_cardqn.env.fast_render.track import FastTrack

        car_racing: Any = self.unwrapped
        car_racing._render = Render(car_racing, self.gray)
        car_racing.step = FastStep(car_racing)
        car_racing.step.take_over()  # of a race that has begun
        car_racing._create_track = FastTrack(car_racing)
        car_racing.observation_space = _pictures(self.gray)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._install()  # CarRacing pickles its arguments only, so its copy lacks the hook
