"""A DQN for Gymnasium's CarRacing-v3, on top of Stable-Baselines3 and rl-zoo3."""

import importlib
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from sb3_cardqn.env.minatar import register_minatar
from sb3_cardqn.version import __version__ as __version__

if TYPE_CHECKING:
    from sb3_cardqn.agents.exported import load_pretrained as load_pretrained
    from sb3_cardqn.cardqn.cardqn import CarDQN as CarDQN
    from sb3_cardqn.cardqn.heads import DuelingHead as DuelingHead
    from sb3_cardqn.cardqn.heads import HistogramHead as HistogramHead
    from sb3_cardqn.cardqn.heads import QuantileHead as QuantileHead
    from sb3_cardqn.cardqn.torch_layers import CarRacingCNN as CarRacingCNN
    from sb3_cardqn.cardqn.torch_layers import MinAtarCNN as MinAtarCNN
    from sb3_cardqn.checkpoint.exact import ExactCheckpoint as ExactCheckpoint
    from sb3_cardqn.checkpoint.resumable_episode import ResumableEpisode as ResumableEpisode
    from sb3_cardqn.env.actions import DiscretizeActions as DiscretizeActions
    from sb3_cardqn.env.car_racing import CarRacingWrapper as CarRacingWrapper
    from sb3_cardqn.env.fast_render import FastRender as FastRender
    from sb3_cardqn.env.penalties import PenalizeMissedTiles as PenalizeMissedTiles
    from sb3_cardqn.env.penalties import PenalizeRoadEdge as PenalizeRoadEdge
    from sb3_cardqn.env.penalties import PenalizeSideslip as PenalizeSideslip
    from sb3_cardqn.env.penalties import PenalizeSpeed as PenalizeSpeed
    from sb3_cardqn.env.road_contrast import RoadContrastObservation as RoadContrastObservation
    from sb3_cardqn.env.training_wrappers import EndAtLine as EndAtLine
    from sb3_cardqn.env.training_wrappers import EndWhenLost as EndWhenLost
    from sb3_cardqn.env.training_wrappers import ScaleReward as ScaleReward
    from sb3_cardqn.env.wrappers import FrameSkip as FrameSkip
    from sb3_cardqn.env.wrappers import FrameStack as FrameStack
    from sb3_cardqn.env.wrappers import GrayscaleObservation as GrayscaleObservation
    from sb3_cardqn.env.wrappers import ResizeObservation as ResizeObservation
    from sb3_cardqn.policy_file.read import load_policy as load_policy
    from sb3_cardqn.policy_file.start import load_weights as load_weights
    from sb3_cardqn.replay.buffers import FrameReplayBuffer as FrameReplayBuffer
    from sb3_cardqn.replay.prioritized import PrioritizedFrameReplayBuffer as PrioritizedFrameReplayBuffer

gym.register("CarRacingPixels-v3", "sb3_cardqn.env.car_racing:make_car_racing", reward_threshold=900)
register_minatar()

# public name -> its module, which is imported when the name is first used
_PLACES = {
    "CarDQN": "cardqn.cardqn",
    "CarRacingCNN": "cardqn.torch_layers",
    "CarRacingWrapper": "env.car_racing",
    "DiscretizeActions": "env.actions",
    "DuelingHead": "cardqn.heads",
    "EndAtLine": "env.training_wrappers",
    "EndWhenLost": "env.training_wrappers",
    "ExactCheckpoint": "checkpoint.exact",
    "FastRender": "env.fast_render",
    "FrameReplayBuffer": "replay.buffers",
    "FrameSkip": "env.wrappers",
    "FrameStack": "env.wrappers",
    "GrayscaleObservation": "env.wrappers",
    "HistogramHead": "cardqn.heads",
    "MinAtarCNN": "cardqn.torch_layers",
    "PenalizeMissedTiles": "env.penalties",
    "PenalizeRoadEdge": "env.penalties",
    "PenalizeSideslip": "env.penalties",
    "PenalizeSpeed": "env.penalties",
    "PrioritizedFrameReplayBuffer": "replay.prioritized",
    "QuantileHead": "cardqn.heads",
    "ResizeObservation": "env.wrappers",
    "ResumableEpisode": "checkpoint.resumable_episode",
    "RoadContrastObservation": "env.road_contrast",
    "ScaleReward": "env.training_wrappers",
    "load_policy": "policy_file.read",
    "load_pretrained": "agents.exported",
    "load_weights": "policy_file.start",
}

__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
