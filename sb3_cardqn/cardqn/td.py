"""Loss and TD error of a batch: TemporalDifference, DQN's expected_td, importance weights."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch as th
from torch import nn

from sb3_cardqn.cardqn.losses import (
    advantage_learning_target,
    double_q_target,
    huber,
    q_learning_target,
    td_error,
)
from sb3_cardqn.replay.prioritized import PrioritizedFrameReplayBuffer


class TemporalDifference(NamedTuple):
    """
    Loss and errors of a batch.

    :param loss: (batch,) loss to minimize
    :param error: (batch,) target − Q, without gradient
    :param q_value: (batch,) Q of the action taken, without gradient
    :param clipped: (batch,) True where the target is outside a ``HistogramHead``'s range; else None
    """

    loss: th.Tensor
    error: th.Tensor
    q_value: th.Tensor
    clipped: th.Tensor | None = None


def expected_td(
    q_net: nn.Module, q_net_target: nn.Module, batch: Any, discount_t: th.Tensor, double_q: bool, alpha: float
) -> TemporalDifference:
    """
    DQN (Mnih et al. 2015): moves Q-values towards the bootstrap target.

    :param q_net: online network
    :param q_net_target: target network
    :param batch: sample of the replay buffer
    :param discount_t: (batch,) gamma**n, or 0 where the episode terminated
    :param double_q: True to choose the next action with the online network
    :param alpha: strength of advantage learning, in [0, 1)
    :return: loss and errors
    """
    target = expected_target(q_net, q_net_target, batch, discount_t, double_q)
    q_tm1 = q_net(batch.observations)  # (batch, actions)
    actions = batch.actions.long().flatten()  # (batch,)
    if alpha:  # else a network that gives −inf to actions it forbids would make 0 · inf
        target = advantage_learning_target(target, q_tm1.detach(), actions, alpha)
    error = td_error(q_tm1, actions, target)
    return TemporalDifference(huber(error), error.detach(), target - error.detach())


def expected_target(
    q_net: nn.Module, q_net_target: nn.Module, batch: Any, discount_t: th.Tensor, double_q: bool
) -> th.Tensor:
    """
    Arguments are those of ``expected_td``.

    :return: (batch,) bootstrap target of the mean, without gradient
    """
    with th.no_grad():
        q_t = q_net_target(batch.next_observations)  # (batch, actions)
        if double_q:
            q_t_online = q_net(batch.next_observations)  # (batch, actions)
            return double_q_target(batch.rewards.flatten(), discount_t, q_t_online, q_t)
        return q_learning_target(batch.rewards.flatten(), discount_t, q_t)


def importance_weights(batch: Any, buffer: Any) -> th.Tensor | None:
    """
    :param batch: sample of the replay buffer
    :param buffer: replay buffer
    :return: (batch,) weights of the losses; None for a buffer of another class, whose ``weights`` may mean
        something else, and which SB3 leaves alone
    """
    return batch.weights.flatten() if isinstance(buffer, PrioritizedFrameReplayBuffer) else None


def td_of(q_net: nn.Module) -> Callable[..., TemporalDifference]:
    """
    :param q_net: network with any head
    :return: the head's own ``temporal_difference`` if it has one, else ``expected_td``
    """
    layers: Any = getattr(q_net, "q_net", None)  # a user's own network may have other parts
    head = layers[-1] if isinstance(layers, nn.Sequential) and len(layers) else None
    return getattr(head, "temporal_difference", expected_td)
