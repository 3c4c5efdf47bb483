"""CarRacingWrapper: all wrappers that ``hyperparams/*.yml`` lists, in their order."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from sb3_cardqn.checks import check_flag
from sb3_cardqn.env.actions import DiscretizeActions
from sb3_cardqn.env.fast_render import FastRender
from sb3_cardqn.env.penalties import PenalizeMissedTiles, PenalizeRoadEdge, PenalizeSideslip, PenalizeSpeed
from sb3_cardqn.env.road_contrast import RoadContrastObservation
from sb3_cardqn.env.training_wrappers import EndAtLine, EndWhenLost, ScaleReward
from sb3_cardqn.env.wrappers import (
    FrameSkip,
    FrameStack,
    GrayscaleObservation,
    ResizeObservation,
)

COLORS: dict[str, Callable[[gym.Env], gym.Env]] = {
    "gray": GrayscaleObservation,
    "road_contrast": RoadContrastObservation,
    "rgb": lambda env: env,
}


def make_car_racing(**kwargs: Any) -> gym.Env:
    """
    Make CarRacing with all its preprocessing: Gymnasium knows it as ``CarRacingPixels-v3``.

    >>> gym.make("sb3_cardqn:CarRacingPixels-v3", training=True).observation_space.shape
    (4, 64, 64)

    ``max_episode_steps`` of ``gym.make`` counts agent steps; CarRacing's own 1,000 frames stay.

    :param kwargs: arguments of ``CarRacingWrapper``; the others are those of ``CarRacing-v3``
    :return: environment with uint8 stacks of frames and ``Discrete`` actions
    """
    ours = inspect.signature(CarRacingWrapper).parameters.keys() & kwargs.keys()
    env = gym.make("CarRacing-v3", **{name: value for name, value in kwargs.items() if name not in ours})
    return CarRacingWrapper(env, **{name: kwargs[name] for name in ours})


class CarRacingWrapper(gym.Wrapper):
    """
    All of CarRacing's preprocessing, like SB3's ``AtariWrapper`` for Atari.

    In order: fast drawing, discrete actions, frame skip, training-only wrappers, gray (or another
    ``colors``), crop and resize, frame stack.

    >>> env = CarRacingWrapper(gym.make("CarRacing-v3"))
    >>> env.observation_space.shape, env.action_space
    ((4, 64, 64), Discrete(12))

    :param env: ``CarRacing-v3`` with continuous actions
    :param actions: name or rows, see ``DiscretizeActions``
    :param frame_skip: frames per action, at least 1 (50 frames are a second of driving)
    :param screen_size: height and width of the observation, in pixels
    :param crop: pixels cut off before resizing: top, bottom, left, right; the default keeps the dashboard
    :param num_frames: frames in a stack, at least 1
    :param colors: ``"gray"``; ``"road_contrast"``, independent of the colours of ``domain_randomize``;
        ``"rgb"``, three channels per frame
    :param fast_render: True to draw with ``FastRender``, False for the stock picture
    :param training: True to add the training-only wrappers ``EndWhenLost``, ``EndAtLine``,
        ``PenalizeMissedTiles``, ``PenalizeSpeed``, ``PenalizeSideslip``, ``PenalizeRoadEdge`` and
        ``ScaleReward``. They change the rewards, so ``evaluate``, ``race``, ``enjoy`` and the evaluations of
        ``train`` leave them out
    """

    training_arguments = ("training",)

    def __init__(
        self,
        env: gym.Env,
        actions: str | Sequence[Sequence[float]] = "gas_and_steer12",
        frame_skip: int = 4,
        screen_size: int | Sequence[int] = (64, 64),
        crop: Sequence[int] = (0, 0, 0, 0),
        num_frames: int = 4,
        colors: str = "gray",
        fast_render: bool = True,
        training: bool = False,
    ) -> None:
        if colors not in list(COLORS):
            raise ValueError(f"CarRacingWrapper needs colors from {list(COLORS)}, got {colors!r}")
        for name, flag in (("fast_render", fast_render), ("training", training)):
            check_flag("CarRacingWrapper", name, flag)
        if fast_render:
            env = FastRender(env)
        env = DiscretizeActions(env, actions)
        env = FrameSkip(env, frame_skip)
        if training:
            env = PenalizeSpeed(PenalizeMissedTiles(EndAtLine(EndWhenLost(env))))
            env = ScaleReward(PenalizeRoadEdge(PenalizeSideslip(env)))
        env = COLORS[colors](env)
        env = ResizeObservation(env, screen_size, crop)
        super().__init__(FrameStack(env, num_frames))

    @property
    def spec(self) -> EnvSpec | None:  # type: ignore[override]
        """The inner environment's spec: it lists every wrapper, so ``gym.make`` can build this again."""
        return self.env.spec
