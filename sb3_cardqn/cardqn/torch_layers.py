"""CarRacingCNN and MinAtarCNN: small CNNs that turn pictures into features, for any SB3 algorithm."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from sb3_cardqn.checks import check_flag

LEAST_PIXELS = 36  # least size for kernels 8 (stride 4), 4 (stride 2) and 3, here and in SB3's NatureCNN


class CarRacingCNN(BaseFeaturesExtractor):
    """
    Three convolutions and a linear layer: the network of Mnih et al. 2015 at half its width.

    With the defaults and 4×64×64 frames it has 153 thousand parameters and 1.5 million multiplications per
    frame stack, a sixth of ``NatureCNN`` on 4×84×84.

    >>> space = spaces.Box(0, 255, (4, 64, 64), "uint8")
    >>> CarRacingCNN(space)(th.zeros(2, 4, 64, 64)).shape
    torch.Size([2, 256])

    :param observation_space: Box (C, H, W), channel-first, at least 36 by 36, of uint8, which SB3 divides
        by 255, or of floats, which it leaves unchanged
    :param features_dim: units of the last layer
    :param width: channels of the first convolution; the other two have twice as many
    :param normalized_image: True to accept integers of any range too, for ``normalize_images=False``
    :param layer_norm: True for layer normalization (Ba et al. 2016) before the last activation; makes TD
        learning more stable (Gallici et al. 2024)
    :raises ValueError: if the space is not an image, or smaller than 36 by 36
    """

    def __init__(
        self,
        observation_space: gym.Space,
        features_dim: int = 256,
        width: int = 16,
        normalized_image: bool = False,
        layer_norm: bool = False,
    ) -> None:
        check_flag("CarRacingCNN", "layer_norm", layer_norm)
        check_flag("CarRacingCNN", "normalized_image", normalized_image)
        any_range = normalized_image or (
            isinstance(observation_space, spaces.Box) and np.issubdtype(observation_space.dtype, np.floating)
        )
        if not is_image_space(observation_space, check_channels=False, normalized_image=any_range):
            raise ValueError(
                "CarRacingCNN needs observation_space to be channel-first images, Box(0, 255, (C, H, W), "
                f"uint8) or floats, got {observation_space}"
            )
        shape: Any = observation_space.shape
        if min(shape[1:]) < LEAST_PIXELS:
            raise ValueError(
                f"CarRacingCNN needs pictures of at least {LEAST_PIXELS}x{LEAST_PIXELS}, got "
                f"{observation_space}: resize them"
            )
        super().__init__(observation_space, features_dim)
        # shapes for (batch, 4, 64, 64) and width 16
        self.cnn = nn.Sequential(
            nn.Conv2d(shape[0], width, 8, stride=4),  # (batch, 16, 15, 15)
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 4, stride=2),  # (batch, 32, 6, 6)
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3),  # (batch, 32, 4, 4)
            nn.ReLU(),
            nn.Flatten(),  # (batch, 512)
        )
        with th.no_grad():
            flattened = self.cnn(th.zeros(1, *shape)).shape[1]
        norm = [nn.LayerNorm(features_dim)] if layer_norm else []
        self.linear = nn.Sequential(nn.Linear(flattened, features_dim), *norm, nn.ReLU())

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """
        :param observations: (batch, C, H, W) float
        :return: (batch, features_dim) features
        """
        if th.is_grad_enabled():
            return self.linear(self.cnn(observations))
        x = observations
        for layer in (*self.cnn, *self.linear):
            x = x.relu_() if isinstance(layer, nn.ReLU) else layer(x)  # in place: the same numbers, sooner
        return x


class MinAtarCNN(BaseFeaturesExtractor):
    """
    A convolution and a linear layer: the network of Young & Tian 2019 for MinAtar.

    The planes stay as the environment gives them, channel-last: SB3 moves channels of uint8 pictures only.

    >>> space = spaces.Box(0, 1, (10, 10, 4), "bool")
    >>> MinAtarCNN(space)(th.zeros(2, 10, 10, 4)).shape
    torch.Size([2, 128])

    :param observation_space: Box (H, W, C), channel-last, at least 3 by 3, of any type but uint8 pictures
    :param features_dim: units of the last layer
    :param width: channels of the convolution
    :raises ValueError: if the space has another shape, or is a picture of uint8
    """

    def __init__(self, observation_space: gym.Space, features_dim: int = 128, width: int = 16) -> None:
        shape: Any = getattr(observation_space, "shape", None)
        is_planes = is_image_space(observation_space, normalized_image=True) and min(shape[:2]) >= 3
        if not is_planes or is_image_space(observation_space):
            raise ValueError(
                "MinAtarCNN needs observation_space to be channel-last planes of at least 3x3, "
                f"Box(0, 1, (H, W, C), bool), got {observation_space}"
            )
        super().__init__(observation_space, features_dim)
        # shapes for (batch, 10, 10, 4) and width 16
        self.cnn = nn.Sequential(
            nn.Conv2d(shape[2], width, 3),  # (batch, 16, 8, 8)
            nn.ReLU(),
            nn.Flatten(),  # (batch, 1024)
            nn.Linear(width * (shape[0] - 2) * (shape[1] - 2), features_dim),
            nn.ReLU(),
        )

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """
        :param observations: (batch, H, W, C) float
        :return: (batch, features_dim) features
        """
        return self.cnn(observations.permute(0, 3, 1, 2))  # (batch, C, H, W)
