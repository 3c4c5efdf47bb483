"""Contestants of ``sb3-cardqn bench learn``: each function returns one that repeats an operation n times."""

import argparse
import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from rl_zoo3.utils import get_class_by_name
from stable_baselines3.common.logger import configure
from stable_baselines3.common.torch_layers import NatureCNN
from torch import nn

from sb3_cardqn.cardqn import CarDQN
from sb3_cardqn.env.car_racing import CarRacingWrapper
from sb3_cardqn.hardware import keep_freed_memory
from sb3_cardqn.replay.buffers import FrameReplayBuffer
from sb3_cardqn.replay.prioritized import PrioritizedFrameReplayBuffer
from sb3_cardqn.zoo.experiment import CarExperimentManager

ENV_ID = "CarRacing-v3"
TRANSITIONS = 2000  # in every sampled buffer
FROZEN = Path(__file__).parent / "frozen"  # settings of November 2026

# The zoo's own wrappers and its dqn settings for pictures (Atari); Gymnasium's five actions.
ZOO_DQN = """
CarRacing-v3:
  env_wrapper:
    - rl_zoo3.wrappers.FrameSkip: {skip: 4}
    - rl_zoo3.wrappers.YAMLCompatResizeObservation: {shape: [84, 84]}
    - gymnasium.wrappers.transform_observation.GrayscaleObservation: {keep_dim: true}
  frame_stack: 4
  n_timesteps: !!float 1e6
  policy: CnnPolicy
  buffer_size: 20000
  learning_rate: !!float 1e-4
  batch_size: 32
  learning_starts: 200
  target_update_interval: 1000
  train_freq: 4
  gradient_steps: 1
"""

Repeat = Callable[[int], object]  # repeats an operation the given number of times


class Pictures(gym.Env):
    """
    An environment with spaces only, which cannot be stepped.

    :param size: height and width in pixels
    """

    def __init__(self, size: int) -> None:
        self.observation_space = spaces.Box(0, 255, (4, size, size), np.uint8)
        self.action_space = spaces.Discrete(12)


def make_update(algorithm: str, **kwargs: Any) -> tuple[Repeat, float]:
    """
    Gradient updates of SB3's ``NatureCNN`` on 4×84×84 with batches of 32.

    :param algorithm: full name of the algorithm's class
    :param kwargs: keyword arguments of its constructor
    :return: function that makes gradient updates; 0
    """
    model = get_class_by_name(algorithm)(
        "CnnPolicy", Pictures(84), buffer_size=TRANSITIONS, device="cpu", **kwargs
    )
    model.set_logger(configure(None, []))
    rng = np.random.default_rng(0)
    # Frame by frame: freeing one large array would make glibc keep memory from then on.
    stack = np.zeros((1, 4, 84, 84), np.uint8)
    for t in range(TRANSITIONS):
        next_stack = np.roll(stack, -1, axis=1)
        next_stack[0, -1] = rng.integers(0, 256, (84, 84))
        done = np.array([t % 250 == 249])
        model.replay_buffer.add(stack, next_stack, rng.integers(12, size=1), rng.random(1), done, [{}])
        stack = next_stack
    if isinstance(model, CarDQN):
        keep_freed_memory()  # as learn() does
    return lambda n: [model.train(gradient_steps=1, batch_size=32) for _ in range(n)], 0


def make_passes() -> tuple[Repeat, float]:
    """
    The network passes that every update of a DQN needs, as a lower bound.

    They are forward at the next observations, then forward and backward at the observations, with the network
    and batch size of ``make_update``, in float32, on pixels that are already scaled.

    :return: function that makes these passes; 0
    """
    network = nn.Sequential(NatureCNN(Pictures(84).observation_space), nn.Linear(512, 12))
    observations = th.rand(32, 4, 84, 84)
    keep_freed_memory()

    def run(n: int) -> None:
        for _ in range(n):
            with th.no_grad():
                network(observations)
            network.zero_grad()
            network(observations).sum().backward()

    return run, 0


def _configured(algo: str, hyperparams: dict[str, Any], **kwargs: Any) -> Any:
    """
    :param algo: the zoo's name
    :param hyperparams: changes to the configuration
    :param kwargs: keyword arguments of the zoo's ExperimentManager
    :return: model as made by ``sb3-cardqn train``
    """
    manager = CarExperimentManager(
        argparse.Namespace(), algo, ENV_ID, "logs", eval_freq=-1, verbose=0, hyperparams=hyperparams, **kwargs
    )
    with contextlib.redirect_stdout(io.StringIO()):  # the zoo prints its configuration
        experiment = manager.setup_experiment()
    assert experiment is not None
    return experiment[0]


def make_configured_update(algo: str, config: Path | None = None) -> tuple[Repeat, float]:
    """
    Gradient updates with the network, batch size and input of this package's configuration.

    :param algo: "cardqn", "dqn" or "qrdqn"
    :param config: file of hyperparameters; by default this package's for the algorithm
    :return: function that makes gradient updates; 0
    """
    model = _configured(algo, {}, config=None if config is None else str(config))
    model.learn(TRANSITIONS, log_interval=None)  # random driving
    return lambda n: [model.train(gradient_steps=1, batch_size=model.batch_size) for _ in range(n)], 0


def make_sampling(buffer_class: str, update: bool = True, **kwargs: Any) -> tuple[Repeat, float]:
    """
    Samples of 64 transitions from a buffer of random driving, 4×64×64.

    :param buffer_class: full name of the buffer's class
    :param update: True to update priorities too, if the buffer has any
    :param kwargs: keyword arguments of its constructor
    :return: function that samples batches; bytes per transition
    """
    env = CarRacingWrapper(gym.make(ENV_ID))
    env.action_space.seed(0)
    buffer = get_class_by_name(buffer_class)(
        TRANSITIONS, env.observation_space, env.action_space, device="cpu", **kwargs
    )
    obs, _ = env.reset(seed=0)
    for _ in range(TRANSITIONS):
        action = env.action_space.sample()
        next_obs, reward, terminated, truncated, _ = env.step(action)
        done = np.array([terminated or truncated])
        info = {"TimeLimit.truncated": truncated and not terminated}
        buffer.add(obs[None], next_obs[None], np.array([action]), np.array([reward]), done, [info])
        obs = env.reset()[0] if done else next_obs

    errors = np.random.default_rng(0).random(64)

    def run(n: int) -> None:
        for _ in range(n):
            batch = buffer.sample(64)
            if update and isinstance(buffer, PrioritizedFrameReplayBuffer):
                buffer.update_priorities(batch.indices, errors)

    return run, _bytes(buffer) / TRANSITIONS


def _bytes(buffer: Any) -> int:
    """
    :param buffer: full replay buffer
    :return: bytes of all its transitions
    """
    if isinstance(buffer, FrameReplayBuffer):
        return buffer.memory_bytes
    arrays = [value for value in vars(buffer).values() if isinstance(value, np.ndarray)]
    stored = [item for array in arrays if array.dtype == object for item in array.flat]
    return sum(array.nbytes for array in arrays) + sum(len(item) for item in stored)


def make_training(
    algo: str, stock: bool = False, config: Path | None = None, vec_env: str = "dummy", **hyperparams: Any
) -> tuple[Repeat, float]:
    """
    Training like ``sb3-cardqn train``, after learning has started; files are written to the current folder.

    :param algo: the zoo's name of the algorithm
    :param stock: True for the zoo's own wrappers on the stock CarRacing
    :param config: file of hyperparameters; by default this package's for the algorithm
    :param vec_env: value of the zoo's ``--vec-env``
    :param hyperparams: changes to the configuration
    :return: function that trains for agent steps; 0
    """
    kwargs: dict[str, Any] = {"vec_env_type": vec_env}
    if config is not None:
        kwargs["config"] = str(config)
    if stock:
        Path("zoo.yml").write_text(ZOO_DQN)
        kwargs |= {"config": "zoo.yml", "env_kwargs": {"continuous": False}}
    model = _configured(algo, hyperparams, **kwargs)
    model.learn(model.learning_starts + 50, log_interval=None)
    return lambda n: model.learn(n, log_interval=None, reset_num_timesteps=False), 0
