"""Small environments and settings for the tests of CarDQN."""

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import (
    BaseCallback,
)

from sb3_cardqn import CarDQN, HistogramHead

SMALL: dict[str, Any] = {
    "buffer_size": 500,
    "learning_starts": 20,
    "policy_kwargs": {"net_arch": [8]},
    "seed": 0,
}
# the same for environments that are seen
IMAGES: dict[str, Any] = {"buffer_size": 500, "learning_starts": 20, "seed": 0, "device": "cpu"}


class OneStep(gym.Env):
    """Reward 1 and the episode is over: by a crash, or by a time limit."""

    observation_space = spaces.Box(0, 1, (1,))
    action_space = spaces.Discrete(2)

    def __init__(self, truncates: bool) -> None:
        self.truncates = truncates

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(**kwargs)
        return np.ones(1, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return np.ones(1, np.float32), 1.0, not self.truncates, self.truncates, {}


class Catch(gym.Env):
    """A ball falls through 6 rows of a 36x36 picture; the paddle below catches it (1) or does not (-1)."""

    observation_space = spaces.Box(0, 255, (1, 36, 36), np.uint8)
    action_space = spaces.Discrete(3)

    def _picture(self) -> np.ndarray:
        grid = np.zeros((6, 6), np.uint8)
        grid[self.row, self.ball] = 255
        grid[5, self.paddle] = 255
        return np.kron(grid, np.ones((6, 6), np.uint8))[None]

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(**kwargs)
        self.row, self.ball, self.paddle = 0, *self.np_random.integers(6, size=2)
        return self._picture(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.paddle = int(np.clip(self.paddle + action - 1, 0, 5))
        self.row += 1
        landed = self.row == 5
        reward = (1.0 if self.paddle == self.ball else -1.0) if landed else 0.0
        return self._picture(), reward, landed, False, {}


def flat(model: CarDQN | DQN) -> np.ndarray:
    return th.nn.utils.parameters_to_vector(model.policy.parameters()).detach().cpu().numpy()


SmallHistogram = partial(HistogramHead, low=-2, high=2, n_bins=8)


class Recorder(BaseCallback):
    """Remembers epsilon and whether the target network equals the online one, after each agent step."""

    def __init__(self) -> None:
        super().__init__()
        self.epsilon: dict[int, float] = {}
        self.synced: list[int] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.epsilon[self.num_timesteps] = self.model.exploration_rate
        online, target = (net.state_dict() for net in (self.model.q_net, self.model.q_net_target))
        if all(th.equal(online[key], target[key]) for key in online):
            self.synced.append(self.num_timesteps)


def pictures(n: int) -> th.Tensor:
    return th.randint(0, 256, (n, 1, 36, 36), dtype=th.uint8, generator=th.Generator().manual_seed(0))
