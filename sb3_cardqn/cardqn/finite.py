"""Check transitions, gradients and weights for NaN and infinity: one of them would spread to every weight."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.vec_env import VecNormalize
from torch import nn

from sb3_cardqn.errors import NotFiniteError


def check_transitions(
    obs: Any,
    rewards: np.ndarray,
    dones: np.ndarray,
    infos: list[dict[str, Any]],
    agent_steps: int,
    normalizer: VecNormalize | None = None,
) -> None:
    """
    Check transitions before they are stored.

    :param obs: (n_envs, ...) observations, or a dict of them
    :param rewards: (n_envs,) rewards
    :param dones: (n_envs,) True where an episode ended
    :param infos: one dict per environment, with an ended episode's last observation
    :param agent_steps: number of agent steps, for the error
    :param normalizer: what normalized them, and may have clipped an infinite number to a finite one
    :raises NotFiniteError: if a number is NaN or infinite; the text names it and its environment
    """
    if normalizer is not None:
        check_finite("the reward", normalizer.old_reward, agent_steps)
        check_finite("the observation", normalizer.old_obs, agent_steps)
    check_finite("the reward", rewards, agent_steps)
    check_finite("the observation", obs, agent_steps)
    for i, done in enumerate(dones):
        if done and infos[i].get("terminal_observation") is not None:
            check_finite("the last observation", infos[i]["terminal_observation"], agent_steps, i)


def check_first_observation(agent: Any) -> None:
    """
    :param agent: agent that is about to learn
    :raises NotFiniteError: if the observation that it starts from holds NaN or infinity
    """
    is_normalized = agent._vec_normalize_env is not None  # and may be clipped
    obs = agent._last_original_obs if is_normalized else agent._last_obs
    check_finite("the first observation", obs, agent.num_timesteps)


def check_finite(what: str, values: Any, agent_steps: int, env: int | None = None) -> None:
    """
    :param what: name of the numbers, for the error
    :param values: (n_envs, ...) numbers, or a dict of them; of one environment if ``env`` is given
    :param agent_steps: number of agent steps, for the error
    :param env: index of the environment
    :raises NotFiniteError: if a number is NaN or infinite; the text names it and its environment
    """
    if isinstance(values, dict):
        for key, part in values.items():
            check_finite(f"{what} '{key}'", part, agent_steps, env)
        return
    values = np.asarray(values)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        if env is None:
            env = int(np.argwhere(~np.isfinite(values))[0, 0])
        raise NotFiniteError(f"{what} of environment {env}", agent_steps)


def check_weights(policy: nn.Module, agent_steps: int) -> None:
    """
    :param policy: networks
    :param agent_steps: number of agent steps, for the error
    :raises NotFiniteError: if a weight is NaN or infinite; the text names it
    """
    for name, parameter in policy.named_parameters():
        if not th.isfinite(parameter).all():
            raise NotFiniteError(f"the network's {name}", agent_steps)


def clip_gradient(parameters: Iterable[nn.Parameter], max_norm: float, agent_steps: int) -> None:
    """
    Scale the gradient down to a maximum norm, like ``clip_grad_norm_``, which multiplies by 1 otherwise.

    :param parameters: weights, some of which have a gradient
    :param max_norm: maximum norm
    :param agent_steps: number of agent steps, for the error
    :raises NotFiniteError: if the gradient is NaN or infinite, as that of a loss that is NaN
    """
    weights = [weight for weight in parameters if weight.grad is not None]
    norm = nn.utils.get_total_norm([weight.grad for weight in weights])  # type: ignore[misc]
    if not math.isfinite(norm.item()):
        raise NotFiniteError("the gradient", agent_steps)
    if norm.item() + 1e-6 > max_norm:  # 1e-6 as in torch
        nn.utils.clip_grads_with_norm_(weights, max_norm, norm)
