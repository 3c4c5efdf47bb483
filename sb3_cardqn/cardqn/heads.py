"""Last layers of the Q-network: features in, Q-values out."""

from collections.abc import Callable

import torch as th
from torch import nn

from sb3_cardqn.common.checks import check_whole

Head = Callable[[int, int], nn.Module]  # (features, actions) -> module from (batch, features) to Q-values


class DuelingHead(nn.Module):
    """
    Dueling head, Wang et al. 2016, eq. 9: q(a) = v + adv(a) − mean over a' of adv(a').

    >>> CarDQN("CnnPolicy", env, policy_kwargs=dict(head_class=DuelingHead))  # doctest: +SKIP

    :param in_features: width of its input
    :param out_features: number of actions
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        check_whole("DuelingHead", "in_features", in_features)
        check_whole("DuelingHead", "out_features", out_features)
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

    :param in_features: width of its input
    :param out_features: number of actions
    :param n_quantiles: for each action; another number than the default by ``functools.partial``
    """

    def __init__(self, in_features: int, out_features: int, n_quantiles: int = 32) -> None:
        check_whole("QuantileHead", "in_features", in_features)
        check_whole("QuantileHead", "out_features", out_features)
        check_whole("QuantileHead", "n_quantiles", n_quantiles)
        super().__init__(in_features, out_features * n_quantiles)
        self.n_quantiles = n_quantiles

    def quantiles(self, features: th.Tensor) -> th.Tensor:
        """
        :param features: (batch, in_features)
        :return: (batch, n_quantiles, actions)
        """
        return super().forward(features).view(len(features), self.n_quantiles, -1)

    def forward(self, features: th.Tensor) -> th.Tensor:
        """
        :param features: (batch, in_features)
        :return: (batch, actions) Q-values
        """
        return self.quantiles(features).mean(dim=1)
