"""Wrappers that turn an environment's frames into a DQN's observations."""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, RecordEpisodeStatistics, TimeLimit
from stable_baselines3.common.monitor import Monitor

from sb3_cardqn.checks import check_flag, check_whole, wholes
from sb3_cardqn.env.actions import ACTION_SETS as ACTION_SETS  # for the old path common.wrappers
from sb3_cardqn.env.actions import DiscretizeActions
from sb3_cardqn.env.fast_render import FastRender, is_car_racing, steps_as_stock
from sb3_cardqn.env.penalties import PenalizeMissedTiles, PenalizeRoadEdge, PenalizeSideslip, PenalizeSpeed
from sb3_cardqn.env.training_wrappers import EndAtLine, EndWhenLost, ScaleReward
from sb3_cardqn.replaced import replaced


def _require_uint8_image(wrapper: gym.Wrapper, shapes: str, fits: Callable[[tuple], bool]) -> None:
    space = wrapper.env.observation_space
    if not (isinstance(space, spaces.Box) and space.dtype == np.uint8 and fits(space.shape)):
        raise TypeError(f"{type(wrapper).__name__} needs uint8 images of shape {shapes}, got {space}")


# accepted shapes, in words and as a predicate
_IMAGES: tuple[str, Callable[[tuple], bool]] = (
    "(H, W), (H, W, 1) or (H, W, 3)",
    lambda shape: len(shape) == 2 or shape[2:] in ((1,), (3,)),
)
_FRAMES: tuple[str, Callable[[tuple], bool]] = (
    "(H, W), (H, W, C) or (C, H, W), with 1 or 3 channels",
    lambda shape: _IMAGES[1](shape) or (len(shape) == 3 and shape[0] in (1, 3)),
)


# These wrappers neither store nor change observations: inside FrameSkip they may see an old frame again, and
# inside GrayscaleObservation a gray one. Others that do not look say so with `blind = True`.
_BLIND_WRAPPERS = (
    DiscretizeActions,
    EndAtLine,
    EndWhenLost,
    FastRender,
    Monitor,
    OrderEnforcing,
    PassiveEnvChecker,
    PenalizeMissedTiles,
    PenalizeRoadEdge,
    PenalizeSideslip,
    PenalizeSpeed,
    RecordEpisodeStatistics,
    ScaleReward,
    TimeLimit,
)


def _is_blind(layer: Any) -> bool:
    """Whether a wrapper looks at no picture. A subclass of one may, except the TimeLimit of rl-zoo3."""
    return type(layer) in (*_BLIND_WRAPPERS, gym.wrappers.TimeLimit) or vars(type(layer)).get("blind") is True


def _is_unseen(env: gym.Env, *passed: type) -> bool:
    """Whether no wrapper of an environment may look at its pictures, apart from those of passed classes."""
    while isinstance(env, gym.Wrapper):
        if not (_is_blind(env) or type(env) in passed):
            return False
        env = env.env
    return True


class FrameSkip(gym.Wrapper, RecordConstructorArgs):
    """
    Repeat each action for ``skip`` frames and return the last one, with the rewards summed.

    A step stops early when the episode ends. Drawing takes 98 % of CarRacing's time, so only the returned
    frame is drawn, with stock's drawing and with ``FastRender``. Rewards are bit-identical to drawing every
    frame, and so is the frame with stock's drawing; ``FastRender``'s pixels depend slightly on earlier
    drawings. If a wrapper inside may store or change frames, every frame is drawn.
    ``metadata["render_fps"]`` counts returned frames, so a recorded video plays in real time.

    >>> env = FrameSkip(gym.make("CarRacing-v3"), skip=4)
    >>> obs, info = env.reset(seed=0)
    >>> obs, reward, terminated, truncated, info = env.step(env.action_space.sample())

    :param skip: frames per action, at least 1
    :raises ValueError: if ``skip`` is smaller than 1
    """

    def __init__(self, env: gym.Env, skip: int = 4) -> None:
        skip = check_whole("FrameSkip", "skip", skip)
        RecordConstructorArgs.__init__(self, skip=skip)
        super().__init__(env)
        self.skip = skip
        if env.metadata.get("render_fps"):
            fps = env.metadata["render_fps"] / skip
            self.metadata = {**env.metadata, "render_fps": int(fps) if fps == int(fps) else fps}
        self._may_hold_drawing = skip > 1 and is_car_racing(env) and steps_as_stock(env) and _is_unseen(env)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """
        Repeat an action for ``skip`` frames.

        :param action: action of the inner environment
        :return: last observation, sum of the rewards, terminated, truncated, last info
        """
        if not self._may_hold_drawing:
            return self._repeat(action, self.skip)

        car_racing: Any = self.env.unwrapped
        draw = car_racing._render  # FastRender's hook, or the class's method
        reward_when_drawn = 0.0

        def hold(mode: str) -> Any:
            nonlocal reward_when_drawn
            if mode != "state_pixels":
                return draw(mode)
            reward_when_drawn = car_racing.reward
            return car_racing.state.copy()  # Gymnasium's checker warns of frames that share memory

        with replaced(car_racing, "_render", hold):
            obs, reward, terminated, truncated, info = self._repeat(action, self.skip - 1)
        if terminated or truncated:
            # CarRacing draws the score before it subtracts a frame's 0.1: restore that score for this drawing
            car_racing.reward, reward_after = reward_when_drawn, car_racing.reward
            obs = car_racing.state = draw("state_pixels")
            car_racing.reward = reward_after
            return obs, reward, terminated, truncated, info
        obs, last_reward, terminated, truncated, info = self.env.step(action)
        return obs, reward + float(last_reward), terminated, truncated, info

    def _repeat(self, action: Any, frames: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        total_reward = 0.0
        for _ in range(frames):
            obs, reward, terminated, truncated, info = self.env.step(action)
            total_reward += float(reward)
            if terminated or truncated:
                break
        return obs, total_reward, terminated, truncated, info


def _drawn_by(env: Any) -> FastRender | None:
    """The ``FastRender`` that draws for an environment, None if another wrapper may look at its pictures."""
    while isinstance(env, gym.Wrapper) and (_is_blind(env) or type(env) is FrameSkip):
        if isinstance(env, FastRender):
            shows_state = env.render_mode == "state_pixels"  # render() shows it in colour
            return env if _is_unseen(env.env, FrameSkip) and not shows_state else None
        env = env.env
    return None


class GrayscaleObservation(gym.ObservationWrapper, RecordConstructorArgs):
    """
    Convert RGB frames to gray with ``cv2.cvtColor``; uint8 stays uint8.

    A ``FastRender`` inside draws in gray itself, so nothing is left to convert, and ``drawn`` is True.
    A wrapper between the two, or inside the ``FastRender``, that may look at observations prevents this.

    >>> env = GrayscaleObservation(gym.make("CarRacing-v3"))
    >>> env.observation_space.shape
    (96, 96)

    :param keep_dim: True to keep the channel axis, (H, W, 1) instead of (H, W)
    :raises TypeError: if the observations are not uint8 images of shape (H, W, 3)
    """

    def __init__(self, env: gym.Env, keep_dim: bool = False) -> None:
        check_flag("GrayscaleObservation", "keep_dim", keep_dim)
        RecordConstructorArgs.__init__(self, keep_dim=keep_dim)
        super().__init__(env)
        fast_render = _drawn_by(env)
        if not (fast_render and fast_render.gray):  # or another one has asked for gray
            _require_uint8_image(self, "(H, W, 3)", lambda shape: len(shape) == 3 and shape[2] == 3)
        self.keep_dim = keep_dim
        shape = env.observation_space.shape[:2] + ((1,) if keep_dim else ())  # type: ignore[index]
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)
        self.drawn = fast_render is not None
        if fast_render:
            fast_render.draw_gray()

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """
        :param observation: (H, W, 3) uint8; (H, W) if it is drawn in gray
        :return: (H, W) uint8, or (H, W, 1) with ``keep_dim``
        """
        gray = observation if observation.ndim == 2 else cv2.cvtColor(observation, cv2.COLOR_RGB2GRAY)
        return gray[:, :, None] if self.keep_dim else gray


class ResizeObservation(gym.ObservationWrapper, RecordConstructorArgs):
    """
    Crop, then resize with ``cv2.INTER_AREA``, whose averaging keeps thin kerbs visible.

    The lowest 12 of CarRacing's 96 rows are the dashboard: true speed, ABS sensors, steering angle and
    gyroscope. By default they stay, so the agent can read its speed from one frame;
    ``crop=[0, 12, 0, 0]`` drops them.

    >>> env = ResizeObservation(gym.make("CarRacing-v3"), shape=[64, 64])
    >>> env.observation_space.shape
    (64, 64, 3)

    :param shape: height and width in pixels; one number for a square
    :param crop: pixels cut off at the top, bottom, left and right before resizing
    :raises TypeError: if the observations are not uint8 images of shape (H, W), (H, W, 1) or (H, W, 3)
    :raises ValueError: if a size is smaller than 1, or the crop is negative or leaves nothing
    """

    def __init__(
        self, env: gym.Env, shape: int | Sequence[int] = (64, 64), crop: Sequence[int] = (0, 0, 0, 0)
    ) -> None:
        super().__init__(env)
        _require_uint8_image(self, *_IMAGES)
        height_width = wholes(shape if isinstance(shape, (list, tuple, np.ndarray)) else (shape, shape), 1)
        if height_width is None or len(height_width) != 2:
            raise ValueError(
                f"ResizeObservation needs shape [height, width] of at least 1 pixel, got {shape!r}"
            )
        height, width, *channels = env.observation_space.shape  # type: ignore[misc]
        cut = wholes(crop, 0)
        if cut is None or len(cut) != 4:
            raise ValueError(f"ResizeObservation needs crop [top, bottom, left, right] >= 0, got {crop!r}")
        RecordConstructorArgs.__init__(self, shape=height_width, crop=cut)  # as JSON can write them
        top, bottom, left, right = cut
        if top + bottom >= height or left + right >= width:
            raise ValueError(
                f"ResizeObservation needs a crop that leaves part of {height}x{width}, got {crop}"
            )
        self._window = (slice(top, height - bottom), slice(left, width - right))
        self._out_shape = (*height_width, *channels)
        self.observation_space = spaces.Box(0, 255, self._out_shape, np.uint8)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """
        :param observation: (H, W) or (H, W, C) uint8
        :return: uint8 at the new height and width, same channels
        """
        height, width = self._out_shape[:2]
        resized = cv2.resize(observation[self._window], (width, height), interpolation=cv2.INTER_AREA)
        return resized.reshape(self._out_shape)  # cv2 drops a channel axis of length 1


class FrameStack(gym.Wrapper, RecordConstructorArgs):
    """
    Stack the last ``num_frames`` frames, channel-first, oldest first, so that motion is visible.

    A colour frame takes three channels. Each returned array is new and never changes later.

    >>> env = FrameStack(GrayscaleObservation(gym.make("CarRacing-v3")), num_frames=4)
    >>> env.observation_space.shape
    (4, 96, 96)

    :param num_frames: frames in a stack, at least 1
    :param padding_type: what stands before the first frame of an episode: "reset" for the first frame itself,
        "zero" for black, like SB3's ``VecFrameStack`` and the zoo's ``frame_stack``
    :raises TypeError: if the observations are not uint8 images of shape (H, W), (H, W, C) or (C, H, W), with
        1 or 3 channels
    :raises ValueError: if ``num_frames`` is smaller than 1, or ``padding_type`` is another
    """

    def __init__(self, env: gym.Env, num_frames: int = 4, padding_type: str = "reset") -> None:
        num_frames = check_whole("FrameStack", "num_frames", num_frames)
        if padding_type not in ("reset", "zero"):
            raise ValueError(f"FrameStack needs padding_type 'reset' or 'zero', got {padding_type!r}")
        RecordConstructorArgs.__init__(self, num_frames=num_frames, padding_type=padding_type)
        super().__init__(env)
        _require_uint8_image(self, *_FRAMES)
        self.num_frames, self.padding_type = num_frames, padding_type
        shape: Any = env.observation_space.shape
        frame = self._channels_first(np.zeros(shape, np.uint8))
        self._frame_channels = len(frame)
        self._stack = np.tile(frame, (num_frames, 1, 1))
        self.observation_space = spaces.Box(0, 255, self._stack.shape, np.uint8)

    def _channels_first(self, obs: np.ndarray) -> np.ndarray:
        """
        :param obs: (H, W), (H, W, C) or (C, H, W)
        :return: (C, H, W)
        """
        if obs.ndim == 2:
            return obs[None]
        return obs.transpose(2, 0, 1) if _IMAGES[1](obs.shape) else obs

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """
        :param kwargs: ``seed`` and ``options``, passed on
        :return: (num_frames * C, H, W) uint8, the first frame last, and padding before it; info
        """
        obs, info = self.env.reset(**kwargs)
        self._stack = np.tile(self._channels_first(obs), (self.num_frames, 1, 1))
        if self.padding_type == "zero":
            self._stack[: -self._frame_channels] = 0
        return self._stack.copy(), info

    def step(self, action: Any) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        """
        :param action: passed on
        :return: (num_frames * C, H, W) uint8, newest frame last; reward, terminated, truncated, info
        """
        obs, reward, terminated, truncated, info = self.env.step(action)
        self._stack = np.concatenate((self._stack[self._frame_channels :], self._channels_first(obs)))
        return self._stack.copy(), reward, terminated, truncated, info
