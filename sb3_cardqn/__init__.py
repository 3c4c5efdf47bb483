"""A DQN for Gymnasium's CarRacing-v3, as a plugin for Stable-Baselines3 and rl-zoo3."""

from pathlib import Path

from sb3_cardqn.cardqn import CarDQN, DuelingHead, HistogramHead, QuantileHead
from sb3_cardqn.common.buffers import FrameReplayBuffer
from sb3_cardqn.common.car_racing import CarRacingWrapper
from sb3_cardqn.common.checkpoint import ExactCheckpoint
from sb3_cardqn.common.episode import ResumableEpisode
from sb3_cardqn.common.fast_render import FastRender
from sb3_cardqn.common.prioritized import PrioritizedFrameReplayBuffer
from sb3_cardqn.common.road_contrast import RoadContrastObservation
from sb3_cardqn.common.torch_layers import CarRacingCNN
from sb3_cardqn.common.training_wrappers import (
    EndAtLine,
    EndWhenLost,
    PenalizeMissedTiles,
    PenalizeSpeed,
    ScaleReward,
)
from sb3_cardqn.common.wrappers import (
    DiscretizeActions,
    FrameSkip,
    FrameStack,
    GrayscaleObservation,
    ResizeObservation,
)
from sb3_cardqn.export import load_policy, load_pretrained

__version__ = (Path(__file__).parent / "version.txt").read_text().strip()

__all__ = [
    "CarDQN",
    "CarRacingCNN",
    "CarRacingWrapper",
    "DiscretizeActions",
    "DuelingHead",
    "EndAtLine",
    "EndWhenLost",
    "ExactCheckpoint",
    "FastRender",
    "FrameReplayBuffer",
    "FrameSkip",
    "FrameStack",
    "GrayscaleObservation",
    "HistogramHead",
    "PenalizeMissedTiles",
    "PenalizeSpeed",
    "PrioritizedFrameReplayBuffer",
    "QuantileHead",
    "ResizeObservation",
    "ResumableEpisode",
    "RoadContrastObservation",
    "ScaleReward",
    "load_policy",
    "load_pretrained",
]
