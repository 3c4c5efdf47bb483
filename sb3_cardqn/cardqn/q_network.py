"""QNetwork: features extractor, hidden layers and a head, which turn observations into Q-values."""

from collections.abc import Callable
from typing import Any, TypeGuard

import cv2
import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, NatureCNN, create_mlp
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import nn

from sb3_cardqn.cardqn.heads import Head
from sb3_cardqn.cardqn.torch_layers import CarRacingCNN

# another extractor may use view(), which asks for SB3's order in memory
_TAKES_ANY_ORDER = (CarRacingCNN, NatureCNN)


class PicturePolicy(BasePolicy):
    """SB3's policy, with a shorter way from pictures to tensors: most of a decision's time is overhead."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sees_pictures = is_image_space(self.observation_space)

    def obs_to_tensor(self, observation: np.ndarray | dict[str, np.ndarray]) -> tuple[PyTorchObs, bool]:
        """
        :param observation: one observation, or a batch of them
        :return: tensor of a batch; True if a batch was given
        """
        if not self._is_picture(observation):
            return super().obs_to_tensor(observation)
        is_batch = self.is_vectorized_observation(observation)
        pictures = th.as_tensor(observation if is_batch else observation[None])  # (batch, C, H, W)
        # finding the device takes longer than to ask whether there is another one
        return pictures.to(self.device) if th.accelerator.is_available() else pictures, is_batch

    def is_vectorized_observation(self, observation: np.ndarray | dict[str, np.ndarray]) -> bool:
        """
        :param observation: one observation, or a batch of them
        :return: True for a batch
        """
        if not self._is_picture(observation):
            return super().is_vectorized_observation(observation)
        return observation.shape != self.observation_space.shape

    def _is_picture(self, observation: Any) -> TypeGuard[np.ndarray]:
        shape = self.observation_space.shape
        is_array = self._sees_pictures and isinstance(observation, np.ndarray)
        return is_array and shape in (observation.shape, observation.shape[1:])


class QNetwork(PicturePolicy):
    """
    Features extractor, fully connected layers and a head: one Q-value per action.

    :param observation_space: space of the observations
    :param action_space: ``Discrete(n)``
    :param features_extractor: module that turns observations into features
    :param features_dim: number of features
    :param net_arch: units of each hidden layer
    :param activation_fn: class of the activation after each hidden layer
    :param normalize_images: True to divide uint8 images by 255
    :param head_class: ``nn.Linear``, ``DuelingHead``, ``QuantileHead``, ``HistogramHead``, or a callable that
        makes a head from (units, n)
    """

    action_space: spaces.Discrete

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Discrete,
        features_extractor: BaseFeaturesExtractor,
        features_dim: int,
        net_arch: list[int] | None = None,
        activation_fn: type[nn.Module] = nn.ReLU,
        normalize_images: bool = True,
        head_class: Head = nn.Linear,
    ) -> None:
        super().__init__(
            observation_space,
            action_space,
            features_extractor=features_extractor,
            normalize_images=normalize_images,
        )
        self.features_dim = features_dim
        self.net_arch = [64, 64] if net_arch is None else net_arch
        self.activation_fn = activation_fn
        self.head_class = head_class
        self._scales_pixels = normalize_images and self._sees_pictures
        hidden_layers = create_mlp(features_dim, -1, self.net_arch, activation_fn)
        head = head_class([features_dim, *self.net_arch][-1], int(action_space.n))
        # With nn.Linear as its head, the parameters have the same names as in SB3's DQN.
        self.q_net = nn.Sequential(*hidden_layers, head)

    def forward(self, obs: PyTorchObs) -> th.Tensor:
        """
        Under ``th.autocast`` features are computed in its type; Q-values are always computed in float32.

        :param obs: (batch, ...) observations of the environment
        :return: (batch, actions) Q-values
        """
        return self._in_float32(obs, self.q_net)

    def through_head(self, obs: PyTorchObs, head: Callable[[th.Tensor], Any]) -> Any:
        """
        :param obs: (batch, ...) observations of the environment
        :param head: the last layer, or a function of features, such as ``HistogramHead.logits``
        :return: its result, computed in float32
        """
        return self._in_float32(obs, lambda features: head(self.q_net[:-1](features)))

    def _in_float32(self, obs: PyTorchObs, layers: Callable[[th.Tensor], Any]) -> Any:
        features = self._features(obs)
        device = features.device.type
        if not th.is_autocast_enabled(device):
            return layers(features)
        # at a Q-value of 100, neighbouring bfloat16 numbers are 0.5 apart
        with th.autocast(device, enabled=False):
            return layers(features)

    def _features(self, obs: PyTorchObs) -> th.Tensor:
        """
        :param obs: (batch, ...) observations
        :return: (batch, features_dim) float32, computed in the type of ``th.autocast``
        """
        assert self.features_extractor is not None
        if not self._scales_pixels:
            return self.extract_features(obs, self.features_extractor).float()
        # Same as SB3's preprocessing, but in one pass over one block of memory, and directly in bfloat16,
        # where 0 to 255 are exact.
        assert isinstance(obs, th.Tensor)
        device = obs.device.type
        dtype = th.get_autocast_dtype(device) if th.is_autocast_enabled(device) else th.float32
        is_recorded = th.compiler.is_compiling() or th.jit.is_tracing()
        learns = th.is_grad_enabled() and obs.dtype == th.uint8 and not is_recorded
        if learns and device == "cpu" and type(self.features_extractor) in _TAKES_ANY_ORDER:
            # In this order the gradient of the first layer's weights takes a quarter of the time. Without a
            # gradient it does not pay.
            obs = _channels_last(obs)
        return self.features_extractor(obs.to(dtype, copy=True).div_(255)).float()

    def _predict(self, observation: PyTorchObs, deterministic: bool = True) -> th.Tensor:
        return self(observation).argmax(dim=1)  # (batch,)

    def set_training_mode(self, mode: bool) -> None:
        """
        :param mode: True for training, False for evaluation
        """
        if mode != self.training:  # else every decision would visit all layers
            super().set_training_mode(mode)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | {
            "features_extractor": self.features_extractor,
            "features_dim": self.features_dim,
            "net_arch": self.net_arch,
            "activation_fn": self.activation_fn,
            **({} if self.head_class is nn.Linear else {"head_class": self.head_class}),  # SB3's has no other
        }


def _channels_last(pictures: th.Tensor) -> th.Tensor:
    """
    :param pictures: (batch, C, H, W) uint8
    :return: the same, channels-last in memory; OpenCV does it in a seventh of torch's time
    """
    batch, channels, height, width = pictures.shape
    if channels > 128:  # OpenCV's maximum
        return pictures.to(memory_format=th.channels_last)
    planes = [plane.reshape(-1, width) for plane in pictures.numpy().transpose(1, 0, 2, 3)]
    pixels = cv2.merge(planes)  # (batch * H, W, C), or (batch * H, W) of one channel
    return th.from_numpy(pixels).view(batch, height, width, channels).permute(0, 3, 1, 2)
