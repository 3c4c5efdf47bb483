"""CarRacing's observation without its cost: wraps the environment itself, before any other wrapper."""

import sys
from typing import Any

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from sb3_cardqn.checks import check_env


def is_car_racing(env: gym.Env) -> bool:
    """
    Whoever has a CarRacing has imported its module; importing it here would load Box2D and pygame for all.

    :param env: any environment
    :return: whether there is Gymnasium's CarRacing inside all wrappers
    """
    module = sys.modules.get("gymnasium.envs.box2d.car_racing")
    return module is not None and isinstance(env.unwrapped, module.CarRacing)


class FastRender(gym.Wrapper, RecordConstructorArgs):
    """
    Draw CarRacing's observation straight at 96×96, and leave the race as it is.

    Rewards, ends and the car's path are bit-identical to stock's, the observation is within 0.2 grey levels
    in the mean (docs/explanation/fast_render.md). ``render()`` stays stock's picture.

    >>> env = FastRender(gym.make("CarRacing-v3"))
    >>> obs, info = env.reset(seed=0)
    >>> obs, reward, terminated, truncated, info = env.step(env.action_space.sample())

    :param env: a CarRacing, wrapped or not
    :raises TypeError: if ``env`` is something else
    :raises RuntimeError: if this Gymnasium draws it in a way that is not known here
    """

    def __init__(self, env: gym.Env) -> None:
        check_env("FastRender", env)
        if not is_car_racing(env):
            raise TypeError(f"FastRender needs CarRacing, got {type(env.unwrapped).__name__}")
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._install()

    def _install(self) -> None:
        from sb3_cardqn.env.fast_render.physics import FastStep
        from sb3_cardqn.env.fast_render.render import Render

        car_racing: Any = self.unwrapped
        car_racing._render = Render(car_racing)
        car_racing.step = FastStep(car_racing)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._install()  # CarRacing pickles its arguments only: its copy came without the hook
