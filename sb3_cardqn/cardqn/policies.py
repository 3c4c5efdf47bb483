"""SB3 policies that hold an online, a target and an averaged Q-network."""

from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import (
    BaseFeaturesExtractor,
    CombinedExtractor,
    FlattenExtractor,
    NatureCNN,
)
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import nn
from torch.optim.swa_utils import AveragedModel

from sb3_cardqn.cardqn.heads import Head
from sb3_cardqn.cardqn.q_network import PicturePolicy, QNetwork
from sb3_cardqn.cardqn.torch_layers import LEAST_PIXELS, CarRacingCNN, MinAtarCNN
from sb3_cardqn.checks import check_number, wholes

# SB3's features extractors; the user's own may take anything
_NEEDS_DICT: dict[Any, bool] = {FlattenExtractor: False, NatureCNN: False, CombinedExtractor: True}


def _has_small_pictures(space: spaces.Space) -> bool:
    """Whether an observation is, or holds, a picture of fewer rows or columns than NatureCNN needs."""
    if isinstance(space, spaces.Dict):
        return any(map(_has_small_pictures, space.values()))
    shape = space.shape or ()
    return len(shape) == 3 and min(shape[1:]) < LEAST_PIXELS  # (channels, height, width)


def _polynomial_decay_average(averages: Any, newest: Any, n_averaged: th.Tensor, fraction: float) -> None:
    """
    Polynomial-decay averaging, Shamir & Zhang 2013, with eta = 1 / fraction - 1, of all weights in one call.

    :param averages: averages so far, tensors of one type; updated in place
    :param newest: current weights, in the same shapes
    :param n_averaged: scalar tensor, number of weights averaged so far
    :param fraction: fraction of the most recent weights that are averaged, roughly, in (0, 1]
    """
    if averages[0].is_floating_point():
        # average + (newest - average) / (1 + fraction * n)
        th._foreach_lerp_(averages, newest, 1 / (1 + fraction * n_averaged.item()))
    else:  # a counter of batch normalisation
        th._foreach_copy_(averages, newest)


class CarDQNPolicy(PicturePolicy):
    """
    Online Q-network with its optimizer, target Q-network and, optionally, an averaged Q-network.

    :param observation_space: space of the observations
    :param action_space: ``Discrete(n)``
    :param lr_schedule: learning rate as a function of the progress remaining
    :param net_arch: units of the hidden layers between features and head; by default none after
        ``NatureCNN``, ``CarRacingCNN`` or ``MinAtarCNN``, which end in a hidden layer of their own, and
        [64, 64] after others
    :param activation_fn: class of the activation after each hidden layer
    :param features_extractor_class: class of the features extractor; by default ``FlattenExtractor``, in
        ``CnnPolicy`` ``NatureCNN`` and in ``MultiInputPolicy`` ``CombinedExtractor``
    :param features_extractor_kwargs: keyword arguments of the features extractor
    :param normalize_images: True to divide uint8 images by 255
    :param optimizer_class: class of the optimizer, by default ``th.optim.Adam``
    :param optimizer_kwargs: keyword arguments of the optimizer, without the learning rate
    :param head_class: ``nn.Linear``, ``DuelingHead``, ``QuantileHead``, ``HistogramHead``, or a callable that
        makes a head from (units, n)
    :param average_fraction: fraction in (0, 1] of the most recent updates to average weights over (Shamir &
        Zhang 2013); the averaged network drives in deterministic prediction. 1 averages all updates, None
        keeps no average
    :param head_kwargs: keyword arguments of the head, such as ``n_bins``
    :raises ValueError: if ``net_arch`` or ``average_fraction`` is out of range
    """

    q_net: QNetwork
    q_net_target: QNetwork
    default_features_extractor_class: ClassVar[type[BaseFeaturesExtractor]] = FlattenExtractor

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Discrete,
        lr_schedule: Schedule,
        net_arch: list[int] | None = None,
        activation_fn: type[nn.Module] = nn.ReLU,
        features_extractor_class: type[BaseFeaturesExtractor] | None = None,
        features_extractor_kwargs: dict[str, Any] | None = None,
        normalize_images: bool = True,
        optimizer_class: type[th.optim.Optimizer] = th.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
        head_class: Head = nn.Linear,
        average_fraction: float | None = None,
        head_kwargs: dict[str, Any] | None = None,
    ) -> None:
        if average_fraction is not None:
            name = type(self).__name__
            average_fraction = check_number(name, "average_fraction", average_fraction, 0, 1, above=True)
        if features_extractor_class is None:
            features_extractor_class = self.default_features_extractor_class
        if net_arch is None:
            ends_in_hidden_layer = features_extractor_class in (NatureCNN, CarRacingCNN, MinAtarCNN)
            net_arch = [] if ends_in_hidden_layer else [64, 64]
        units = wholes(net_arch, 1)
        if units is None:
            raise ValueError(f"CarDQNPolicy needs net_arch to be a list of units >= 1, got {net_arch!r}")
        if not callable(head_class):
            raise TypeError(f"CarDQNPolicy needs head_class to be a class or a function, got {head_class!r}")
        super().__init__(
            observation_space,
            action_space,
            features_extractor_class,
            features_extractor_kwargs,
            normalize_images=normalize_images,
            optimizer_class=optimizer_class,
            optimizer_kwargs=optimizer_kwargs,
        )
        self.net_arch = units
        self.activation_fn = activation_fn
        self.head_class = head_class
        self.average_fraction = average_fraction
        self.head_kwargs = head_kwargs or {}
        self.net_args: dict[str, Any] = {
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            "net_arch": self.net_arch,
            "activation_fn": self.activation_fn,
            "normalize_images": self.normalize_images,
        }
        head = partial(head_class, **self.head_kwargs) if self.head_kwargs else head_class
        if head is not nn.Linear:  # SB3's QNetwork has no other
            self.net_args["head_class"] = head
        self._build(lr_schedule)

    def _build(self, lr_schedule: Schedule) -> None:
        self.q_net = self.make_q_net()
        self.q_net_target = self.make_q_net()
        self.q_net_target.load_state_dict(self.q_net.state_dict())
        self.q_net_target.set_training_mode(False)
        self.q_net_average: AveragedModel | None = None
        if self.average_fraction is not None:
            average = partial(_polynomial_decay_average, fraction=self.average_fraction)
            self.q_net_average = AveragedModel(self.q_net, multi_avg_fn=average, use_buffers=True)
            self.q_net_average.eval()
        self.optimizer = self.optimizer_class(
            self.q_net.parameters(),
            lr=lr_schedule(1),  # type: ignore[call-arg]
            **self.optimizer_kwargs,
        )

    def make_features_extractor(self) -> BaseFeaturesExtractor:
        """
        :return: a features extractor for the observations
        :raises ValueError: if it needs Dict observations and these are none, or the other way round, or if
            pictures are too small for its convolutions
        """
        is_dict = isinstance(self.observation_space, spaces.Dict)
        needs_dict = _NEEDS_DICT.get(self.features_extractor_class, is_dict)
        if needs_dict != is_dict:
            raise ValueError(
                f"{self.features_extractor_class.__name__} needs {'' if needs_dict else 'no '}Dict "
                f"observations, got {self.observation_space}: use "
                f"{'MlpPolicy, or CnnPolicy for pictures' if needs_dict else 'MultiInputPolicy'}"
            )
        try:
            return super().make_features_extractor()
        except RuntimeError as error:
            is_sb3s = self.features_extractor_class in (NatureCNN, CombinedExtractor)
            if not (is_sb3s and _has_small_pictures(self.observation_space)):
                raise
            raise ValueError(
                f"{self.features_extractor_class.__name__} needs larger pictures, NatureCNN at least "
                f"{LEAST_PIXELS}x{LEAST_PIXELS}, got {self.observation_space}: resize them, or use another "
                "features_extractor_class"
            ) from error

    def make_q_net(self) -> QNetwork:
        """
        Make a Q-network with a features extractor of its own.

        :return: a freshly initialised network, on the policy's device
        """
        return QNetwork(**self._update_features_extractor(self.net_args, None)).to(self.device)

    def forward(self, obs: PyTorchObs, deterministic: bool = True) -> th.Tensor:
        """
        :param obs: (batch, ...) observations
        :param deterministic: True for the driving network, False for the online network; both are greedy,
            only ``CarDQN.predict`` explores
        :return: (batch,) greedy actions
        """
        return self._predict(obs, deterministic=deterministic)

    def _predict(self, observation: PyTorchObs, deterministic: bool = True) -> th.Tensor:
        network = self.driving_net if deterministic else self.q_net
        return network._predict(observation, deterministic=deterministic)

    @property
    def driving_net(self) -> QNetwork:
        """Network of deterministic prediction: the averaged one if there is one, else the online one."""
        if self.q_net_average is None:
            return self.q_net
        average: Any = self.q_net_average.module
        return average

    def _get_constructor_parameters(self) -> dict[str, Any]:
        ours = {
            "head_class": (self.head_class, nn.Linear),
            "head_kwargs": (self.head_kwargs, {}),
            "average_fraction": (self.average_fraction, None),
        }
        return super()._get_constructor_parameters() | {
            "lr_schedule": self._dummy_schedule,  # a policy loaded on its own is not trained
            "net_arch": self.net_arch,
            "activation_fn": self.activation_fn,
            "features_extractor_class": self.features_extractor_class,
            "features_extractor_kwargs": self.features_extractor_kwargs,
            "optimizer_class": self.optimizer_class,
            "optimizer_kwargs": self.optimizer_kwargs,
            # SB3's policies know none of them
            **{name: value for name, (value, default) in ours.items() if value != default},
        }

    def set_training_mode(self, mode: bool) -> None:
        """
        Switch batch normalisation and dropout of the online network; other networks stay in evaluation mode.

        :param mode: True for training, False for evaluation
        """
        self.q_net.set_training_mode(mode)
        self.training = mode


MlpPolicy = CarDQNPolicy


class CnnPolicy(CarDQNPolicy):
    """``CarDQNPolicy`` for images: the features extractor is SB3's ``NatureCNN`` unless another is given."""

    default_features_extractor_class = NatureCNN


class MultiInputPolicy(CarDQNPolicy):
    """``CarDQNPolicy`` for Dict observations: the features extractor is SB3's ``CombinedExtractor``."""

    default_features_extractor_class = CombinedExtractor


def shape_of_actions(policy: BasePolicy, observation: Any) -> tuple[int, ...]:
    """
    :param policy: any policy
    :param observation: one observation, or a batch of them
    :return: shape of its actions: (), or (batch,)
    """
    if not isinstance(observation, (np.ndarray, dict)):  # a list; or what reset() returns, which is an error
        return policy.predict(observation)[0].shape
    if isinstance(observation, dict):
        observation = {key: np.asarray(part) for key, part in observation.items()}
    is_batch = policy.is_vectorized_observation(observation)
    parts = list(observation.values()) if isinstance(observation, dict) else [observation]
    return (len(parts[0]),) if is_batch else ()
