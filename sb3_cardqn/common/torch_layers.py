"""The eyes: a small CNN that turns a stack of frames into features, for any SB3 algorithm."""

import gymnasium as gym
import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from sb3_cardqn.common.checks import check_flag, check_whole


class CarRacingCNN(BaseFeaturesExtractor):
    """
    Three convolutions and a linear layer: the Nature DQN's shape (Mnih et al. 2015) at half its width.

    With the defaults and 4×64×64 frames it has 153 thousand parameters and 1.5 million multiplications a
    frame stack, a sixth of ``NatureCNN`` on 4×84×84.

    >>> space = spaces.Box(0, 255, (4, 64, 64), "uint8")
    >>> CarRacingCNN(space)(th.zeros(2, 4, 64, 64)).shape
    torch.Size([2, 256])

    :param observation_space: Box (C, H, W), channel-first, uint8 or, with ``normalized_image``, any float
    :param features_dim: units of the last layer
    :param width: channels of the first convolution; the other two have twice as many
    :param normalized_image: the images come as floats in [0, 1] (SB3 sets it with ``normalize_images=False``)
    :raises ValueError: if the space is no image, or too small for the convolutions, or a size is below 1
    """

    def __init__(
        self,
        observation_space: gym.Space,
        features_dim: int = 256,
        width: int = 16,
        normalized_image: bool = False,
    ) -> None:
        check_whole("CarRacingCNN", "features_dim", features_dim)
        check_whole("CarRacingCNN", "width", width)
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
        super().__init__(observation_space, features_dim)
        # shapes for (batch, 4, 64, 64) and width 16
        self.cnn = nn.Sequential(
            nn.Conv2d(channels, width, 8, stride=4),  # (batch, 16, 15, 15)
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 4, stride=2),  # (batch, 32, 6, 6)
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3),  # (batch, 32, 4, 4)
            nn.ReLU(),
            nn.Flatten(),  # (batch, 512)
        )
        with th.no_grad():
            flattened = self.cnn(th.zeros(1, *observation_space.shape)).shape[1]
        self.linear = nn.Sequential(nn.Linear(flattened, features_dim), nn.ReLU())

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """
        :param observations: (batch, C, H, W) float in [0, 1]
        :return: (batch, features_dim) features
        """
        return self.linear(self.cnn(observations))
