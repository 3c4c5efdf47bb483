"""Last layers of the Q-network: features in, Q-values out."""

from collections.abc import Callable

import torch as th
from torch import nn

from sb3_cardqn.common.checks import check_whole
from sb3_cardqn.common.torch_layers import GroupedLinear

Head = Callable[..., nn.Module]  # (features, actions, ...) -> module from (batch, features) to Q-values


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


class QuantileHead(GroupedLinear):
    """
    Quantiles of the return of each action, Dabney et al. 2018; the Q-value is their mean.

    >>> CarDQN("CnnPolicy", env, policy_kwargs=dict(head_class=QuantileHead))  # doctest: +SKIP

    With ``n_members`` it is the head of an ensemble: each member sees its own part of the features and gives
    every ``n_members``-th quantile. The Q-value, and with it the target, is then the mean over the members
    (MeanQ, Liang et al. 2022).

    :param in_features: width of its input
    :param out_features: number of actions
    :param n_quantiles: for each action, of all members together
    :param n_members: networks side by side, as in ``CarRacingCNN``
    :raises ValueError: if a size is below 1, or ``in_features`` or ``n_quantiles`` is no multiple of
        ``n_members``
    """

    def __init__(
        self, in_features: int, out_features: int, n_quantiles: int = 32, n_members: int = 1
    ) -> None:
        check_whole("QuantileHead", "in_features", in_features)
        check_whole("QuantileHead", "out_features", out_features)
        check_whole("QuantileHead", "n_quantiles", n_quantiles)
        check_whole("QuantileHead", "n_members", n_members)
        for name, value in (("in_features", in_features), ("n_quantiles", n_quantiles)):
            if value % n_members:
                raise ValueError(
                    f"QuantileHead needs {name} to be a multiple of n_members={n_members}, got {value}"
                )
        super().__init__(in_features, out_features * n_quantiles, n_members)
        self.n_quantiles = n_quantiles

    def quantiles(self, features: th.Tensor) -> th.Tensor:
        """
        :param features: (batch, in_features)
        :return: (batch, n_quantiles, actions)
        """
        z = super().forward(features)  # (batch, members · quantiles of each · actions)
        z = z.view(len(features), self.groups, self.n_quantiles // self.groups, -1)
        return z.transpose(1, 2).flatten(1, 2)

    def forward(self, features: th.Tensor) -> th.Tensor:
        """
        :param features: (batch, in_features)
        :return: (batch, actions) Q-values
        """
        return self.quantiles(features).mean(dim=1)
