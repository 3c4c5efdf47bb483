"""The eyes: a small CNN that turns a stack of frames into features, for any SB3 algorithm."""

import gymnasium as gym
import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from sb3_cardqn.common.checks import check_flag, check_whole


class GroupedLinear(nn.Linear):
    """
    Linear layers side by side, each for its own part of the features, as a convolution with ``groups`` is.

    >>> GroupedLinear(6, 4, groups=2).weight.shape
    torch.Size([4, 3])

    :param in_features: of all groups together, a multiple of ``groups``
    :param out_features: of all groups together, a multiple of ``groups``
    :param groups: how many
    """

    def __init__(self, in_features: int, out_features: int, groups: int = 1) -> None:
        super().__init__(in_features // groups, out_features)
        self.groups = groups

    def forward(self, features: th.Tensor) -> th.Tensor:
        """
        :param features: (batch, in_features), group after group
        :return: (batch, out_features), group after group
        """
        if self.groups == 1:
            return super().forward(features)
        inputs = features.unflatten(1, (self.groups, -1)).transpose(0, 1)  # (groups, batch, in)
        weight = self.weight.unflatten(0, (self.groups, -1)).transpose(1, 2)  # (groups, in, out)
        bias = self.bias.view(self.groups, 1, -1)  # (groups, 1, out)
        return th.baddbmm(bias, inputs, weight).transpose(0, 1).flatten(1)


class CarRacingCNN(BaseFeaturesExtractor):
    """
    Three convolutions and a linear layer: the Nature DQN's shape (Mnih et al. 2015) at half its width.

    With the defaults and 4×64×64 frames it has 153 thousand parameters and 1.5 million multiplications a
    frame stack, a sixth of ``NatureCNN`` on 4×84×84.

    >>> space = spaces.Box(0, 255, (4, 64, 64), "uint8")
    >>> CarRacingCNN(space)(th.zeros(2, 4, 64, 64)).shape
    torch.Size([2, 256])

    With ``n_members`` it is so many such networks side by side, each with its own weights, as
    ``sb3-cardqn export`` makes of several agents.

    :param observation_space: Box (C, H, W), channel-first, uint8 or, with ``normalized_image``, any float
    :param features_dim: units of the last layer, of each member; the features of all come one after the other
    :param width: channels of the first convolution, of each member; the other two have twice as many
    :param normalized_image: the images come as floats in [0, 1] (SB3 sets it with ``normalize_images=False``)
    :param n_members: networks side by side
    :raises ValueError: if the space is no image, or too small for the convolutions, or a size is below 1
    """

    def __init__(
        self,
        observation_space: gym.Space,
        features_dim: int = 256,
        width: int = 16,
        normalized_image: bool = False,
        n_members: int = 1,
    ) -> None:
        check_whole("CarRacingCNN", "features_dim", features_dim)
        check_whole("CarRacingCNN", "width", width)
        check_whole("CarRacingCNN", "n_members", n_members)
        check_flag("CarRacingCNN", "normalized_image", normalized_image)
        if not (
            isinstance(observation_space, spaces.Box)
            and is_image_space(observation_space, check_channels=False, normalized_image=normalized_image)
        ):
            raise ValueError(
                "CarRacingCNN needs channel-first images, Box(0, 255, (C, H, W), uint8) "
                f"(or floats with normalize_images=False), got {observation_space}"
            )
        channels, height, rows = observation_space.shape
        if min(height, rows) < 36:
            raise ValueError(
                "CarRacingCNN needs images (C, H, W) of at least 36x36 pixels for its three convolutions, "
                f"got {observation_space.shape}"
            )
        super().__init__(observation_space, n_members * features_dim)
        total = n_members * width
        # shapes for (batch, 4, 64, 64), width 16 and one member
        self.cnn = nn.Sequential(
            nn.Conv2d(channels, total, 8, stride=4),  # (batch, 16, 15, 15)
            nn.ReLU(),
            nn.Conv2d(total, 2 * total, 4, stride=2, groups=n_members),  # (batch, 32, 6, 6)
            nn.ReLU(),
            nn.Conv2d(2 * total, 2 * total, 3, groups=n_members),  # (batch, 32, 4, 4)
            nn.ReLU(),
            nn.Flatten(),  # (batch, 512)
        )
        with th.no_grad():
            flattened = self.cnn(th.zeros(1, *observation_space.shape)).shape[1]
        self.linear = nn.Sequential(GroupedLinear(flattened, self.features_dim, n_members), nn.ReLU())

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """
        :param observations: (batch, C, H, W) float in [0, 1]
        :return: (batch, n_members · features_dim) features
        """
        return self.linear(self.cnn(observations))
