"""
Heads, the last layers of the Q-network, which turn features into Q-values.

A head with more than one output per action defines its own ``temporal_difference``. A head whose constructor
takes more than widths defines ``arguments``. If a simpler head has the same Q-values, it defines ``exported``
instead, which returns that head.
"""

import math
from collections.abc import Callable
from typing import Any

import torch as th
from torch import nn

from sb3_cardqn.cardqn.losses import (
    advantage_learning_target,
    cross_entropy,
    gaussian_histogram,
    quantile_huber,
    quantile_target,
    td_error,
)
from sb3_cardqn.cardqn.td import TemporalDifference, expected_target
from sb3_cardqn.checks import check_number, check_whole, is_number

Head = Callable[[int, int], nn.Module]  # (features, actions) -> module from (batch, features) to Q-values


class DuelingHead(nn.Module):
    """
    Dueling head, Wang et al. 2016, eq. 9: q(a) = v + adv(a) − mean over a' of adv(a').

    >>> CarDQN("CnnPolicy", env, policy_kwargs=dict(head_class=DuelingHead))  # doctest: +SKIP

    :param in_features: width of the input, at least 1
    :param out_features: number of actions, at least 1
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.value = nn.Linear(in_features, 1)
        self.advantage = nn.Linear(in_features, out_features)

    def forward(self, features: th.Tensor) -> th.Tensor:
        """
        :param features: (batch, in_features)
        :return: (batch, out_features) Q-values
        """
        advantage = self.advantage(features)
        return self.value(features) + advantage - advantage.mean(dim=1, keepdim=True)


class QuantileHead(nn.Linear):
    """
    Quantiles of the return of each action, Dabney et al. 2018; the Q-value is their mean.

    >>> CarDQN("CnnPolicy", env, policy_kwargs=dict(head_class=QuantileHead))  # doctest: +SKIP

    :param in_features: width of the input, at least 1
    :param out_features: number of actions, at least 1
    :param n_quantiles: quantiles per action, at least 1; change it with ``head_kwargs``
    """

    def __init__(self, in_features: int, out_features: int, n_quantiles: int = 32) -> None:
        n_quantiles = check_whole("QuantileHead", "n_quantiles", n_quantiles)
        super().__init__(in_features, out_features * n_quantiles)
        self.n_quantiles = n_quantiles

    def quantiles(self, features: th.Tensor) -> th.Tensor:
        """
        :param features: (batch, in_features)
        :return: (batch, n_quantiles, actions)
        """
        return super().forward(features).unflatten(1, (self.n_quantiles, -1))

    def forward(self, features: th.Tensor) -> th.Tensor:
        """
        :param features: (batch, in_features)
        :return: (batch, actions) Q-values
        """
        return self.quantiles(features).mean(dim=1)

    def temporal_difference(
        self, q_net: Any, q_net_target: Any, batch: Any, discount_t: th.Tensor, double_q: bool, alpha: float
    ) -> TemporalDifference:
        """
        QR-DQN (Dabney et al. 2018): moves quantiles of the return towards the target's.

        Arguments are those of ``expected_td``.

        :return: loss and errors
        """
        with th.no_grad():
            head_t = q_net_target.q_net[-1]
            z_t = q_net_target.through_head(batch.next_observations, head_t.quantiles)
            q_t = q_net(batch.next_observations) if double_q else z_t.mean(dim=1)  # (batch, actions)
            target = quantile_target(batch.rewards.flatten(), discount_t, z_t, q_t.argmax(dim=1))
        actions = batch.actions.long().flatten()  # (batch,)
        z_tm1 = q_net.through_head(batch.observations, self.quantiles)  # (batch, quantiles, actions)
        target = advantage_learning_target(target, z_tm1.detach().mean(dim=1), actions, alpha)
        z_tm1 = z_tm1[th.arange(len(actions), device=actions.device), :, actions]  # (batch, quantiles)
        q_value = z_tm1.detach().mean(dim=1)
        return TemporalDifference(quantile_huber(z_tm1, target), target.mean(dim=1) - q_value, q_value)

    def exported(self) -> nn.Linear:
        """
        :return: a linear head with the same Q-values
        """
        return mean_of_quantiles(self, self.n_quantiles)


def mean_of_quantiles(layer: nn.Linear, n_quantiles: int) -> nn.Linear:
    """
    :param layer: linear layer with outputs (quantile, action)
    :param n_quantiles: quantiles per action
    :return: linear layer whose outputs are their means, which works because the mean is linear
    """
    actions = layer.out_features // n_quantiles
    mean = nn.utils.skip_init(nn.Linear, layer.in_features, actions, device=layer.weight.device)
    with th.no_grad():
        mean.weight.copy_(layer.weight.unflatten(0, (n_quantiles, -1)).mean(dim=0))
        mean.bias.copy_(layer.bias.unflatten(0, (n_quantiles, -1)).mean(dim=0))
    return mean


class HistogramHead(nn.Linear):
    """
    The value of each action as a histogram, Farebrother et al. 2024 (HL-Gauss); the Q-value is its mean.

    Trained with cross-entropy. A bad outcome that happens once in a hundred times takes 1 % of the histogram
    and counts fully in the mean.

    >>> CarDQN("CnnPolicy", env, policy_kwargs=dict(head_class=HistogramHead))  # doctest: +SKIP

    The default range fits the discounted returns of ``hyperparams/cardqn.yml``, which reach about 20 at its
    gamma of 0.97; change it with ``head_kwargs``. Targets outside the range are clipped to it;
    ``train/clipped_targets`` is their share.

    :param in_features: width of the input, at least 1
    :param out_features: number of actions, at least 1
    :param low: lowest value of the range, below 0
    :param high: highest value of the range, above 0
    :param n_bins: bins of equal width per action, at least 1
    :raises ValueError: if ``n_bins`` is below 1, ``low`` is not below 0, or ``high`` not above 0
    """

    SIGMA = 0.75  # of the Gaussian around a target, in bin widths (Farebrother et al. 2024)
    edges: th.Tensor  # (n_bins + 1,) float32, ascending
    centers: th.Tensor  # (n_bins,) float32 centres of the bins, ascending

    def __init__(
        self, in_features: int, out_features: int, low: float = -60.0, high: float = 30.0, n_bins: int = 90
    ) -> None:
        n_bins = check_whole("HistogramHead", "n_bins", n_bins)
        if not is_number(low) or not -math.inf < low < 0:
            raise ValueError(f"HistogramHead needs low < 0 and finite, got {low!r}")
        check_number("HistogramHead", "high", high, 0, above=True)
        super().__init__(in_features, out_features * n_bins)
        self.low, self.high, self.n_bins = float(low), float(high), n_bins
        # not in the file, so they have values also where weights have none: on the meta device
        edges = th.linspace(low, high, n_bins + 1, device="cpu")
        self.register_buffer("edges", edges, persistent=False)
        self.register_buffer("centers", (edges[1:] + edges[:-1]) / 2, persistent=False)
        with th.no_grad():  # initial Q-values are near 0
            self.bias.copy_((-self.centers.square() / (2 * 4**2)).repeat(out_features))  # deviation 4
            self.weight.mul_(0.5)

    def logits(self, features: th.Tensor) -> th.Tensor:
        """
        :param features: (batch, in_features)
        :return: (batch, actions, n_bins) logarithms of the histograms, each up to a constant
        """
        return super().forward(features).unflatten(1, (-1, self.n_bins))

    def mean(self, logits: th.Tensor) -> th.Tensor:
        """
        :param logits: (batch, actions, n_bins)
        :return: (batch, actions) Q-values
        """
        return logits.softmax(dim=2) @ self.centers

    def forward(self, features: th.Tensor) -> th.Tensor:
        """
        :param features: (batch, in_features)
        :return: (batch, actions) Q-values
        """
        return self.mean(self.logits(features))

    def temporal_difference(
        self, q_net: Any, q_net_target: Any, batch: Any, discount_t: th.Tensor, double_q: bool, alpha: float
    ) -> TemporalDifference:
        """
        HL-Gauss (Farebrother et al. 2024): moves histograms towards a Gaussian around DQN's target.

        Arguments are those of ``expected_td``.

        :return: loss and errors
        """

        def with_mean(features: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
            logits = self.logits(features)
            return logits, self.mean(logits.detach())

        target = expected_target(q_net, q_net_target, batch, discount_t, double_q)
        # (batch, actions, bins), (batch, actions)
        logits, q_tm1 = q_net.through_head(batch.observations, with_mean)
        actions = batch.actions.long().flatten()  # (batch,)
        target = advantage_learning_target(target, q_tm1, actions, alpha)
        error = td_error(q_tm1, actions, target)
        edges: Any = self.edges
        histogram = gaussian_histogram(target, edges, self.SIGMA * (edges[1] - edges[0]))  # (batch, bins)
        loss = cross_entropy(logits[th.arange(len(actions), device=actions.device), actions], histogram)
        clipped = (target < self.low) | (target > self.high)
        return TemporalDifference(loss, error, target - error, clipped)

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of the constructor other than widths."""
        return {"low": self.low, "high": self.high, "n_bins": self.n_bins}
