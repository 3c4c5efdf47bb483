"""Between networks and losses: what a batch says about the values of its actions, for each kind of head."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch as th
from torch import nn

from sb3_cardqn.cardqn.heads import HistogramHead, QuantileHead
from sb3_cardqn.cardqn.losses import (
    advantage_learning_target,
    cross_entropy,
    double_q_target,
    gaussian_histogram,
    huber,
    q_learning_target,
    quantile_huber,
    quantile_target,
    td_error,
)
from sb3_cardqn.cardqn.policies import QNetwork


class TemporalDifference(NamedTuple):
    """
    :param loss: (batch,) to be minimized
    :param error: (batch,) target − Q, without gradient
    :param q_value: (batch,) Q of the action taken, without gradient
    :param clipped: (batch,) bool: the target lies outside a ``HistogramHead``'s range; None for other heads
    """

    loss: th.Tensor
    error: th.Tensor
    q_value: th.Tensor
    clipped: th.Tensor | None = None


def expected_td(
    q_net: QNetwork, q_net_target: QNetwork, batch: Any, discount_t: th.Tensor, double_q: bool, alpha: float
) -> TemporalDifference:
    """
    DQN (Mnih et al. 2015): Q-values are moved towards the target's.

    :param q_net: online network
    :param q_net_target: target network
    :param batch: what the replay buffer gave
    :param discount_t: (batch,) gamma**n, or 0 where the episode terminated
    :param double_q: let the online network choose the next action
    :param alpha: of advantage learning, in [0, 1)
    :return: loss and errors
    """
    target = _expected_target(q_net, q_net_target, batch, discount_t, double_q)
    q_tm1 = q_net(batch.observations)  # (batch, actions)
    actions = batch.actions.long().flatten()  # (batch,)
    target = advantage_learning_target(target, q_tm1.detach(), actions, alpha)
    error = td_error(q_tm1, actions, target)
    return TemporalDifference(huber(error), error.detach(), target - error.detach())


def quantile_td(
    q_net: QNetwork, q_net_target: QNetwork, batch: Any, discount_t: th.Tensor, double_q: bool, alpha: float
) -> TemporalDifference:
    """
    QR-DQN (Dabney et al. 2018): quantiles of the return are moved towards the target's.

    :param q_net: online network, with a ``QuantileHead``
    :param q_net_target: target network
    :param batch: what the replay buffer gave
    :param discount_t: (batch,) gamma**n, or 0 where the episode terminated
    :param double_q: let the online network choose the next action
    :param alpha: of advantage learning, in [0, 1)
    :return: loss and errors
    """
    with th.no_grad():
        z_t = q_net_target.quantiles(batch.next_observations)  # (batch, quantiles, actions)
        q_t = q_net(batch.next_observations) if double_q else z_t.mean(dim=1)  # (batch, actions)
        target = quantile_target(batch.rewards.flatten(), discount_t, z_t, q_t.argmax(dim=1))
    actions = batch.actions.long().flatten()  # (batch,)
    z_tm1 = q_net.quantiles(batch.observations)  # (batch, quantiles, actions)
    target = advantage_learning_target(target, z_tm1.detach().mean(dim=1), actions, alpha)
    z_tm1 = z_tm1[th.arange(len(actions)), :, actions]  # (batch, quantiles)
    q_value = z_tm1.detach().mean(dim=1)
    return TemporalDifference(quantile_huber(z_tm1, target), target.mean(dim=1) - q_value, q_value)


def histogram_td(
    q_net: QNetwork, q_net_target: QNetwork, batch: Any, discount_t: th.Tensor, double_q: bool, alpha: float
) -> TemporalDifference:
    """
    HL-Gauss (Farebrother et al. 2024): histograms are moved towards a Gaussian around DQN's target.

    :param q_net: online network, with a ``HistogramHead``
    :param q_net_target: target network
    :param batch: what the replay buffer gave
    :param discount_t: (batch,) gamma**n, or 0 where the episode terminated
    :param double_q: let the online network choose the next action
    :param alpha: of advantage learning, in [0, 1)
    :return: loss and errors
    """
    head: Any = q_net.q_net[-1]
    target = _expected_target(q_net, q_net_target, batch, discount_t, double_q)
    logits = q_net.logits(batch.observations)  # (batch, actions, bins)
    q_tm1 = head.mean(logits.detach())  # (batch, actions)
    actions = batch.actions.long().flatten()  # (batch,)
    target = advantage_learning_target(target, q_tm1, actions, alpha)
    error = td_error(q_tm1, actions, target)
    edges = head.edges
    histogram = gaussian_histogram(target, edges, head.SIGMA * (edges[1] - edges[0]))  # (batch, bins)
    loss = cross_entropy(logits[th.arange(len(actions)), actions], histogram)
    clipped = (target < head.low) | (target > head.high)
    return TemporalDifference(loss, error, target - error, clipped)


def _expected_target(
    q_net: QNetwork, q_net_target: QNetwork, batch: Any, discount_t: th.Tensor, double_q: bool
) -> th.Tensor:
    """
    :return: (batch,) bootstrap target of the mean, without gradient; arguments as ``expected_td``'s
    """
    with th.no_grad():
        q_t = q_net_target(batch.next_observations)  # (batch, actions)
        if double_q:
            q_t_online = q_net(batch.next_observations)  # (batch, actions)
            return double_q_target(batch.rewards.flatten(), discount_t, q_t_online, q_t)
        return q_learning_target(batch.rewards.flatten(), discount_t, q_t)


def importance_weights(batch: Any, buffer: Any) -> th.Tensor | None:
    """
    :param batch: what the replay buffer gave
    :param buffer: prioritized replay asks for the errors of its ``indices``, by ``update_priorities``
    :return: (batch,) weights of the losses; None for any other buffer, whose ``weights`` mean something else
    """
    asks = hasattr(batch, "indices") and hasattr(buffer, "update_priorities")
    weights = getattr(batch, "weights", None) if asks else None
    return None if weights is None else weights.flatten()


_OF_HEAD = {QuantileHead: quantile_td, HistogramHead: histogram_td}


def td_of(q_net: QNetwork) -> Callable[..., TemporalDifference]:
    """
    :param q_net: network with any head
    :return: how it learns: ``expected_td``, ``quantile_td`` or ``histogram_td``
    """
    layers: Any = getattr(q_net, "q_net", None)  # a network of the user's own may have other parts
    head = layers[-1] if isinstance(layers, nn.Sequential) and len(layers) else None
    return next((td for kind, td in _OF_HEAD.items() if isinstance(head, kind)), expected_td)
