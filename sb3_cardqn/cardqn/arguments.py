"""Checks of the arguments of CarDQN and its policies, made at construction and again before learning."""

import inspect
import math
import warnings
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import CombinedExtractor, NatureCNN
from stable_baselines3.common.type_aliases import TrainFreq
from stable_baselines3.common.vec_env import VecEnv
from torch import nn

from sb3_cardqn.cardqn.schedules import DECAYS
from sb3_cardqn.cardqn.torch_layers import LEAST_PIXELS
from sb3_cardqn.checks import (
    check_flag,
    check_keywords,
    check_no_text,
    check_normalized,
    check_number,
    check_whole,
    is_number,
    wholes,
)
from sb3_cardqn.errors import did_you_mean
from sb3_cardqn.replay.buffers import FrameReplayBuffer

# name -> lower bound of a whole number
_WHOLE = {
    "buffer_size": 1,
    "learning_starts": 0,
    "batch_size": 1,
    "gradient_steps": -1,
    "n_steps": 1,
    "target_update_interval": 1,
}


def check_policy_and_env(
    policies: Mapping[str, type[BasePolicy]], policy: Any, env: Any, policy_kwargs: Any, builds: bool
) -> None:
    """
    Check the arguments that SB3's constructor reads first.

    :param policies: policy classes by name
    :param policy: name or class of a policy
    :param env: environment or its id; None if nothing is built, as when loading an agent
    :param policy_kwargs: keyword arguments of the policy, or None
    :param builds: True if the networks are built now
    :raises TypeError: if an argument has another type
    :raises ValueError: if a name is unknown; the text offers the nearest one
    """
    if isinstance(policy, str) and policy not in policies:
        raise ValueError(f"CarDQN has no policy '{policy}'{did_you_mean(policy, list(policies))}")
    policy_class = policies[policy] if isinstance(policy, str) else policy
    if not callable(policy_class) or (
        isinstance(policy_class, type) and not issubclass(policy_class, nn.Module)
    ):
        raise TypeError(
            f"CarDQN needs policy to be one of {list(policies)}, or a policy class, got {policy!r}"
        )
    if builds or env is not None:
        _check_env(env)
    if policy_kwargs is not None:
        check_keywords("CarDQN", "policy_kwargs", policy_kwargs, policy_class, ["use_sde"])


def _check_env(env: Any) -> None:
    """
    :param env: candidate; an environment of the old OpenAI Gym is accepted, because SB3 wraps it
    :raises TypeError: if it is not an environment or an id
    """
    if isinstance(env, (str, gym.Env, VecEnv)):
        return
    if isinstance(env, VectorEnv):
        raise TypeError(
            f"CarDQN needs an SB3 VecEnv or a single environment, got Gymnasium's {type(env).__name__}; for "
            'several, use make_vec_env("CartPole-v1", n_envs=4) from stable_baselines3.common.env_util'
        )
    if callable(env) or (isinstance(env, (list, tuple)) and env):
        raise TypeError(
            "CarDQN needs an environment or its id, not a function that makes one; call the function, or use "
            f"DummyVecEnv([make_env]) from stable_baselines3.common.vec_env; got {env!r}"
        )
    if not (hasattr(env, "reset") and hasattr(env, "step")):
        raise TypeError(f"CarDQN needs an environment or its id, got {env!r}")


def check_arguments(agent: Any) -> None:
    """
    Check the arguments that the agent was constructed or loaded with, and convert numbers to Python's types.

    :param agent: agent with all arguments as attributes
    :raises TypeError: if an argument has another type
    :raises ValueError: if an argument is out of range; the text names it, its value and its range
    """
    _check_numbers(agent)
    for name in ("double_q", "mixed_precision"):
        check_flag("CarDQN", name, getattr(agent, name))
    check_flag("CarDQN", "overlap", agent.overlap, or_none=True)
    check_no_text("CarDQN", "optimize_memory_usage", agent.optimize_memory_usage)
    if agent.replay_buffer_class is not None:
        _check_buffer_class(agent.replay_buffer_class)
        check_keywords(
            "CarDQN", "replay_buffer_kwargs", agent.replay_buffer_kwargs, agent.replay_buffer_class
        )
    decay: Any = agent.exploration_decay
    if not (callable(decay) or (isinstance(decay, str) and decay in DECAYS)):
        raise ValueError(
            f"CarDQN needs exploration_decay from {sorted(DECAYS)}, or a function of the progress "
            f"remaining, got {decay!r}"
        )


def _check_buffer_class(buffer_class: Any) -> None:
    is_buffer = (
        isinstance(buffer_class, type) and hasattr(buffer_class, "add") and hasattr(buffer_class, "sample")
    )
    if not is_buffer:
        raise TypeError(
            "CarDQN needs replay_buffer_class to be a class with add and sample, such as ReplayBuffer, got "
            f"{buffer_class!r}"
        )


def _check_numbers(agent: Any) -> None:
    for name, least in _WHOLE.items():
        setattr(agent, name, check_whole("CarDQN", name, getattr(agent, name), least))
    train_freq: Any = agent.train_freq
    if not isinstance(train_freq, tuple):
        agent.train_freq = check_whole("CarDQN", "train_freq", train_freq)
    elif not isinstance(train_freq, TrainFreq):  # SB3 converts a tuple to a TrainFreq
        frequency = check_whole("CarDQN", "train_freq", train_freq[0])
        agent.train_freq = (frequency, *train_freq[1:])
    if agent._stats_window_size is not None:
        agent._stats_window_size = check_whole("CarDQN", "stats_window_size", agent._stats_window_size, 0)
    if agent.exploration_steps is not None:
        agent.exploration_steps = check_whole("CarDQN", "exploration_steps", agent.exploration_steps)
    for name in ("tau", "gamma", "exploration_initial_eps", "exploration_final_eps", "advantage_learning"):
        setattr(agent, name, check_number("CarDQN", name, getattr(agent, name), 0, 1))
    if agent.advantage_learning == 1:
        raise ValueError(
            "CarDQN needs advantage_learning below 1 (at 1 gaps grow forever), got "
            f"{agent.advantage_learning!r}"
        )
    if not callable(agent.learning_rate):
        agent.learning_rate = check_number("CarDQN", "learning_rate", agent.learning_rate, 0)
    fraction = check_number("CarDQN", "exploration_fraction", agent.exploration_fraction, 0)
    agent.exploration_fraction = fraction
    if fraction > 1:
        warnings.warn(
            f"exploration_fraction={fraction} is more than the whole learning period, so exploration will "
            "not reach exploration_final_eps; for a number of agent steps use exploration_steps",
            stacklevel=4,
        )
    agent.max_grad_norm = check_number(
        "CarDQN", "max_grad_norm", agent.max_grad_norm, 0, above=True, infinite=True
    )


def check_budget(agent: Any, total_timesteps: Any) -> None:
    """
    :param agent: agent that is about to learn
    :param total_timesteps: agent steps; with inf, only a callback stops the run
    :raises ValueError: if the budget is not a number
    """
    if not is_number(total_timesteps) or math.isnan(total_timesteps):
        raise ValueError(f"CarDQN.learn needs total_timesteps, a number or inf, got {total_timesteps!r}")
    if total_timesteps == math.inf and not agent.exploration_steps:
        warnings.warn(
            "with total_timesteps=inf exploration never decreases, because exploration_fraction is a "
            "fraction of them; for a number of agent steps use exploration_steps",
            stacklevel=4,
        )


def check_spaces(agent: Any) -> None:
    """
    Check spaces and normalization; SB3 would fail only at the first steps or updates.

    :param agent: agent with its environments
    :raises ValueError: if it cannot learn from them
    """
    if agent.action_space.start != 0:
        raise ValueError(f"CarDQN needs a Discrete action space that starts at 0, got {agent.action_space}")
    space = agent.observation_space
    for part in space.spaces.values() if isinstance(space, spaces.Dict) else [space]:
        if np.any(getattr(part, "start", 0)):  # SB3 one-hot encodes 0 to n - 1
            raise ValueError(
                f"CarDQN needs Discrete observations that start at 0, got {space}; subtract the start with "
                "gymnasium.wrappers.TransformObservation"
            )
    if agent.env is not None:
        stores_frames = issubclass(agent.replay_buffer_class or ReplayBuffer, FrameReplayBuffer)
        check_normalized(type(agent).__name__, agent.env, stores_frames)


def n_step_arguments(agent: Any, replay_buffer_class: type[ReplayBuffer]) -> dict[str, Any]:
    """
    Keyword arguments of the replay buffer, completed with the agent's n_steps and gamma.

    :param agent: agent with all arguments as attributes
    :param replay_buffer_class: class of its replay buffer
    :return: replay_buffer_kwargs, plus n_steps and gamma if the class takes them and they are not given
    :raises ValueError: if the observations are Dicts and n_steps is above 1
    """
    if isinstance(agent.observation_space, spaces.Dict) and replay_buffer_class is NStepReplayBuffer:
        raise ValueError(
            "CarDQN needs n_steps=1 and no NStepReplayBuffer for Dict observations, which that buffer does "
            f"not support, got n_steps={agent.n_steps}"
        )
    names = inspect.signature(replay_buffer_class).parameters
    ours = {"n_steps": agent.n_steps, "gamma": agent.gamma}
    return {**{name: ours[name] for name in ours if name in names}, **agent.replay_buffer_kwargs}


def check_replay_buffer(agent: Any) -> None:
    """
    Check the replay buffer against the agent, because ``load_replay_buffer`` takes any buffer.

    :param agent: agent with its replay buffer
    :raises ValueError: if the buffer was made for another number of environments, n_steps or gamma
    """
    buffer: Any = agent.replay_buffer
    told = n_step_arguments(agent, agent.replay_buffer_class or ReplayBuffer)
    wanted = {"n_envs": agent.n_envs, "n_steps": told.get("n_steps", 1)}
    if wanted["n_steps"] > 1:  # with one step the agent's own gamma is used
        wanted["gamma"] = told.get("gamma", agent.gamma)
    # SB3's ReplayBuffer has no n_steps, which means 1; a user's class may have none of these
    got = {name: getattr(buffer, name, 1 if name == "n_steps" else value) for name, value in wanted.items()}
    if got != wanted:
        raise ValueError(f"CarDQN needs a replay buffer made with {wanted}, got one with {got}")


def check_policy(policy: Any) -> None:
    """
    Check that a policy has the parts of a DQN's.

    :param policy: policy of any class
    :raises TypeError: if it is a policy of another algorithm
    """
    for name in ("q_net", "q_net_target", "optimizer"):
        if not hasattr(policy, name):
            raise TypeError(
                "CarDQN needs a policy with q_net, q_net_target and optimizer, such as CarDQNPolicy or SB3's "
                f"DQNPolicy, got {type(policy).__name__} without {name}"
            )


def check_layers(
    net_arch: Any,
    activation_fn: Any,
    features_extractor_class: Any,
    features_extractor_kwargs: Any,
    normalize_images: Any,
    optimizer_class: Any,
    optimizer_kwargs: Any,
    head_class: Any,
) -> list[int]:
    """
    Check what a policy builds its networks from; the arguments are those of ``CarDQNPolicy``.

    :return: net_arch as a list of int
    :raises TypeError: if an argument has another type
    :raises ValueError: if an argument is out of range
    """
    owner = "CarDQNPolicy"
    units = wholes(net_arch, 1)
    if units is None:
        raise ValueError(f"{owner} needs net_arch to be a list of units >= 1, got {net_arch!r}")
    for name, value, example in (
        ("activation_fn", activation_fn, "nn.ReLU"),
        ("features_extractor_class", features_extractor_class, "NatureCNN"),
        ("optimizer_class", optimizer_class, "th.optim.Adam"),
        ("head_class", head_class, "nn.Linear, DuelingHead, QuantileHead or HistogramHead"),
    ):
        if not callable(value):
            raise TypeError(f"{owner} needs {name} to be callable, such as {example}, got {value!r}")
    check_no_text(owner, "normalize_images", normalize_images)
    if features_extractor_kwargs is not None:
        check_keywords(
            owner, "features_extractor_kwargs", features_extractor_kwargs, features_extractor_class
        )
    if optimizer_kwargs is not None:
        check_keywords(owner, "optimizer_kwargs", optimizer_kwargs, optimizer_class)
    return units


def check_picture_size(features_extractor_class: Any, space: spaces.Space, floats: bool) -> None:
    """
    Check that pictures are large enough for the three convolutions of SB3's ``NatureCNN``.

    :param features_extractor_class: ``NatureCNN``, or ``CombinedExtractor``, which uses it for a Dict's
        pictures; other classes are not checked
    :param space: space of the observations
    :param floats: True if pictures are floats
    :raises ValueError: if a picture is too small; the text names the least size
    """
    parts: dict[str, spaces.Space] = {}
    if features_extractor_class is NatureCNN:
        parts = {"pictures": space}
    elif features_extractor_class is CombinedExtractor and isinstance(space, spaces.Dict):
        parts = {f"pictures '{key}'": part for key, part in space.spaces.items()}
        parts = {key: part for key, part in parts.items() if is_image_space(part, normalized_image=floats)}
    for name, part in parts.items():
        if min(part.shape[1:]) < LEAST_PIXELS:  # type: ignore[index]
            raise ValueError(
                f"NatureCNN needs {name} (C, H, W) of at least {LEAST_PIXELS}x{LEAST_PIXELS} pixels for its "
                f"three convolutions, got {part.shape}; resize them, or use another features_extractor_class"
            )
