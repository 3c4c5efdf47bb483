"""A DQN for Gymnasium's CarRacing-v3, as a plugin for Stable-Baselines3 and rl-zoo3."""

from pathlib import Path

from sb3_cardqn.cardqn import CarDQN, DuelingHead
from sb3_cardqn.common.buffers import FrameReplayBuffer, PrioritizedFrameReplayBuffer
from sb3_cardqn.common.checkpoint import ExactCheckpoint
from sb3_cardqn.common.episode import ResumableEpisode
from sb3_cardqn.common.fast_render import FastRender
from sb3_cardqn.common.torch_layers import CarRacingCNN
from sb3_cardqn.common.wrappers import (
    CarRacingWrapper,
    DiscretizeActions,
    FrameSkip,
    FrameStack,
    GrayscaleObservation,
    ResizeObservation,
)

__version__ = (Path(__file__).parent / "version.txt").read_text().strip()

__all__ = [
    "CarDQN",
    "CarRacingCNN",
    "CarRacingWrapper",
    "DiscretizeActions",
    "DuelingHead",
    "ExactCheckpoint",
    "FastRender",
    "FrameReplayBuffer",
    "FrameSkip",
    "FrameStack",
    "GrayscaleObservation",
    "PrioritizedFrameReplayBuffer",
    "ResizeObservation",
    "ResumableEpisode",
]
