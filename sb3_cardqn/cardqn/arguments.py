"""What CarDQN's arguments may be: checked at construction, and again before learning."""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv
from torch import nn

from sb3_cardqn.common.checks import (
    check_flag,
    check_keywords,
    check_number,
    check_subclass,
    check_whole,
    is_whole,
)
from sb3_cardqn.common.schedules import DECAYS
from sb3_cardqn.errors import did_you_mean

if TYPE_CHECKING:
    from sb3_cardqn.cardqn.cardqn import CarDQN

# name -> the least it may be; all are whole numbers
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
    Check what SB3 would look into first.

    :param policies: by name
    :param policy: name or class
    :param env: environment or id; None when nothing is built, as when an agent is loaded
    :param policy_kwargs: of the policy
    :param builds: whether the networks are built now
    :raises TypeError: if one is something else
    :raises ValueError: if a name is unknown; the text offers the nearest
    """
    if isinstance(policy, str) and policy not in policies:
        raise ValueError(f"CarDQN knows no policy '{policy}'{did_you_mean(policy, list(policies))}")
    policy_class = policies[policy] if isinstance(policy, str) else policy
    check_subclass("CarDQN", "policy", policy_class, BasePolicy)
    if not isinstance(env, (str, gym.Env, VecEnv)) and (builds or env is not None):
        raise TypeError(f"CarDQN needs an environment, or the id of one, got {env!r}")
    if policy_kwargs is not None:
        check_keywords("CarDQN", "policy_kwargs", policy_kwargs, policy_class, ["use_sde"])


def check_arguments(agent: "CarDQN") -> None:
    """
    Check the arguments that the agent was constructed or loaded with.

    :param agent: with all of them as attributes
    :raises TypeError: if one is something else
    :raises ValueError: if one is out of range; the text names it, its value and what would be right
    """
    for name, least in _WHOLE.items():
        check_whole("CarDQN", name, getattr(agent, name), least)
    train_freq: Any = agent.train_freq
    check_whole("CarDQN", "train_freq", train_freq[0] if isinstance(train_freq, tuple) else train_freq)
    if agent.exploration_steps is not None:
        check_whole("CarDQN", "exploration_steps", agent.exploration_steps)
    for name in ("tau", "gamma", "exploration_initial_eps", "exploration_final_eps"):
        check_number("CarDQN", name, getattr(agent, name), 0, 1)
    alpha = agent.advantage_learning
    check_number("CarDQN", "advantage_learning", alpha, 0, 1)
    if alpha == 1:
        raise ValueError(f"CarDQN needs advantage_learning below 1 (gaps grow without end), got {alpha!r}")
    if not callable(agent.learning_rate):
        check_number("CarDQN", "learning_rate", agent.learning_rate, 0)
    fraction = "exploration_fraction (a part of the learning period; exploration_steps takes agent steps)"
    check_number("CarDQN", fraction, agent.exploration_fraction, 0, 1, above=True)
    check_number("CarDQN", "max_grad_norm", agent.max_grad_norm, 0, above=True)
    for name in ("double_q", "mixed_precision", "optimize_memory_usage"):
        check_flag("CarDQN", name, getattr(agent, name))
    check_flag("CarDQN", "overlap", agent.overlap, or_none=True)
    if agent.replay_buffer_class is not None:
        check_subclass("CarDQN", "replay_buffer_class", agent.replay_buffer_class, ReplayBuffer)
        check_keywords(
            "CarDQN", "replay_buffer_kwargs", agent.replay_buffer_kwargs, agent.replay_buffer_class
        )
    if agent.batch_size > agent.buffer_size:
        raise ValueError(
            f"CarDQN needs batch_size <= buffer_size ({agent.buffer_size}), got {agent.batch_size}"
        )
    decay: Any = agent.exploration_decay
    if not (callable(decay) or (isinstance(decay, str) and decay in DECAYS)):
        raise ValueError(
            f"CarDQN needs exploration_decay from {sorted(DECAYS)} or a function of the progress "
            f"remaining, got {decay!r}"
        )


def n_step_arguments(agent: "CarDQN", replay_buffer_class: type[ReplayBuffer]) -> dict[str, Any] | None:
    """
    Add to replay_buffer_kwargs what a replay buffer is told of the agent's own arguments.

    :param agent: with all of its arguments as attributes
    :param replay_buffer_class: of its buffer
    :return: replay_buffer_kwargs with n_steps and gamma; None for a class that does not take them
    :raises ValueError: if n_steps cannot be told, or replay_buffer_kwargs say otherwise
    """
    if replay_buffer_class is NStepReplayBuffer and isinstance(agent.observation_space, spaces.Dict):
        raise ValueError(
            "CarDQN needs n_steps=1 for Dict observations, and no NStepReplayBuffer, which does not take "
            f"them, got {agent.n_steps}"
        )
    parameters = inspect.signature(replay_buffer_class).parameters.values()
    if not any(p.name == "n_steps" or p.kind is p.VAR_KEYWORD for p in parameters):
        if agent.n_steps > 1:
            raise ValueError(
                f"CarDQN needs a replay_buffer_class that takes n_steps (such as FrameReplayBuffer) for "
                f"n_steps={agent.n_steps}, got {replay_buffer_class.__name__}"
            )
        return None
    ours = {"n_steps": agent.n_steps, "gamma": agent.gamma}
    kwargs = ours | agent.replay_buffer_kwargs
    if kwargs["gamma"] != agent.gamma or (agent.n_steps > 1 and kwargs["n_steps"] != agent.n_steps):
        raise ValueError(
            f"CarDQN needs the same n_steps and gamma in replay_buffer_kwargs as its own {ours}, "
            f"got {agent.replay_buffer_kwargs}"
        )
    return kwargs


def check_replay_buffer(agent: "CarDQN") -> None:
    """
    Check the buffer to learn from against the agent: ``load_replay_buffer`` takes any.

    :param agent: with its buffer
    :raises ValueError: if the buffer was made for another number of environments, n_steps or gamma
    """
    buffer: Any = agent.replay_buffer
    n_steps = agent.replay_buffer_kwargs.get("n_steps", agent.n_steps)
    wanted = {"n_envs": agent.n_envs, "n_steps": n_steps}
    if n_steps > 1:  # with one step the agent's own gamma counts
        wanted["gamma"] = agent.gamma
    got = {name: getattr(buffer, name, 1) for name in wanted}  # SB3's ReplayBuffer has no n_steps: 1
    if got != wanted:
        raise ValueError(f"CarDQN needs a replay buffer with its own {wanted}, got one with {got}")


def check_layers(
    net_arch: Any,
    activation_fn: Any,
    features_extractor_class: Any,
    features_extractor_kwargs: Any,
    normalize_images: Any,
    optimizer_class: Any,
    optimizer_kwargs: Any,
    head_class: Any,
) -> None:
    """
    Check what a policy builds its networks from; the arguments are those of ``CarDQNPolicy``.

    :raises TypeError: if one is something else
    :raises ValueError: if one is out of range
    """
    owner = "CarDQNPolicy"
    if not isinstance(net_arch, (list, tuple)) or not all(is_whole(units, 1) for units in net_arch):
        raise ValueError(f"{owner} needs net_arch to be a list of units >= 1, got {net_arch!r}")
    check_subclass(owner, "activation_fn", activation_fn, nn.Module)
    check_subclass(owner, "features_extractor_class", features_extractor_class, BaseFeaturesExtractor)
    check_subclass(owner, "optimizer_class", optimizer_class, th.optim.Optimizer)
    check_flag(owner, "normalize_images", normalize_images)
    if features_extractor_kwargs is not None:
        check_keywords(
            owner, "features_extractor_kwargs", features_extractor_kwargs, features_extractor_class
        )
    if optimizer_kwargs is not None:
        check_keywords(owner, "optimizer_kwargs", optimizer_kwargs, optimizer_class)
    if not callable(head_class):
        raise TypeError(
            f"{owner} needs head_class to be nn.Linear, DuelingHead, QuantileHead or HistogramHead, "
            f"got {head_class!r}"
        )
