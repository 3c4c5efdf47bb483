from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.envs import FakeImageEnv
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from sb3_cardqn import CarDQN, CarRacingCNN, MinAtarCNN
from tests.named import error_naming


def image_space(*shape: int) -> spaces.Box:
    return spaces.Box(0, 255, shape, np.uint8)


def test_parameters_by_hand() -> None:
    # 16·(4·64)+16, 32·(16·16)+32, 32·(32·9)+32, 256·512+256
    cnn = CarRacingCNN(image_space(4, 64, 64))
    assert [p.numel() for p in cnn.parameters()] == [4096, 16, 8192, 32, 9216, 32, 131072, 256]


@pytest.mark.parametrize("shape", [(4, 64, 64), (1, 36, 36), (3, 96, 84)])
def test_width_and_output_size_are_arguments(shape: tuple[int, ...]) -> None:
    cnn = CarRacingCNN(image_space(*shape), features_dim=10, width=8)
    assert cnn(th.rand(5, *shape)).shape == (5, 10)
    assert cnn.features_dim == 10
    assert cnn.cnn[0].out_channels == 8


def test_layer_norm_before_the_last_activation() -> None:
    cnn = CarRacingCNN(image_space(4, 40, 40), features_dim=8, layer_norm=True)
    pictures = th.rand(3, 4, 40, 40)
    x = cnn.linear[0](cnn.cnn(pictures))  # (batch, units)
    variance = x.var(1, keepdim=True, correction=0) + 1e-5
    expected = ((x - x.mean(1, keepdim=True)) / variance.sqrt()).relu()
    assert th.allclose(cnn(pictures), expected, atol=1e-5)
    with th.no_grad():
        assert th.allclose(cnn(pictures), expected, atol=1e-5)


@pytest.mark.parametrize("algorithm", [DQN, PPO])
def test_works_under_stock_algorithms(algorithm: type[DQN] | type[PPO]) -> None:
    kwargs = {"features_extractor_class": CarRacingCNN, "features_extractor_kwargs": {"features_dim": 16}}
    n_steps = (
        {"n_steps": 32, "batch_size": 32} if algorithm is PPO else {"buffer_size": 100, "learning_starts": 10}
    )
    env = FakeImageEnv(screen_height=40, screen_width=40, n_channels=4, channel_first=True)
    model = algorithm("CnnPolicy", env, policy_kwargs=kwargs, **n_steps)
    before = [p.detach().clone() for p in model.policy.parameters()]
    model.learn(64)
    assert any(not th.equal(a, b) for a, b in zip(before, model.policy.parameters(), strict=True))


def planes(*shape: int) -> spaces.Box:
    return spaces.Box(0, 1, shape, bool)


def test_parameters_of_minatar_by_hand() -> None:
    # 16·(4·9)+16, 128·(16·8·8)+128
    assert [p.numel() for p in MinAtarCNN(planes(10, 10, 4)).parameters()] == [576, 16, 131072, 128]


def test_the_convolution_goes_over_rows_and_columns() -> None:
    cnn = MinAtarCNN(planes(3, 4, 2), features_dim=2, width=1)
    convolution, linear = cnn.cnn[0], cnn.cnn[3]
    with th.no_grad():
        convolution.weight.zero_()
        convolution.weight[0, 1, 2, 0] = 5.0  # the second plane, last row, first column
        convolution.bias.zero_()
        linear.weight.copy_(th.eye(2))
        linear.bias.zero_()
    seen = th.zeros(1, 3, 4, 2)
    seen[0, 2, 1, 1] = 1.0  # last row, second column: first in the window that begins there
    assert cnn(seen).tolist() == [[0.0, 5.0]]


class Planes(gym.Env):
    observation_space, action_space = planes(5, 6, 3), spaces.Discrete(2)

    def reset(self, **kwargs: Any) -> Any:
        super().reset(**kwargs)
        return self.np_random.random((5, 6, 3)) < 0.5, {}

    def step(self, action: int) -> Any:
        return self.reset()[0], float(action), False, bool(self.np_random.random() < 0.1), {}


@pytest.mark.parametrize("algorithm", [CarDQN, DQN])
def test_learns_from_planes(algorithm: type[DQN]) -> None:
    kwargs: dict[str, Any] = {"features_extractor_class": MinAtarCNN}
    model = algorithm("MlpPolicy", Planes(), policy_kwargs=kwargs, buffer_size=100, learning_starts=10)
    before = [p.detach().clone() for p in model.policy.parameters()]
    model.learn(64)
    assert any(not th.equal(a, b) for a, b in zip(before, model.policy.parameters(), strict=True))


def test_nothing_follows_its_hidden_layer() -> None:
    model = CarDQN(
        "MlpPolicy", Planes(), policy_kwargs={"features_extractor_class": MinAtarCNN}, buffer_size=9
    )
    assert model.policy.net_arch == []


@pytest.mark.parametrize(
    ("extractor", "space", "named"),
    [
        (CarRacingCNN, spaces.Box(-1, 1, (8,)), "(8,)"),
        (CarRacingCNN, spaces.Box(0, 1, (4, 64, 64), np.int32), "int32"),
        (CarRacingCNN, spaces.Discrete(3), "Discrete(3)"),
        (CarRacingCNN, image_space(4, 35, 64), "36x36 | (4, 35, 64)"),
        (MinAtarCNN, image_space(3, 10, 10), "(3, 10, 10)"),
        (MinAtarCNN, planes(2, 10, 10), "(2, 10, 10)"),
        (MinAtarCNN, spaces.Discrete(3), "Discrete(3)"),
    ],
)
def test_wrong_spaces(extractor: type[BaseFeaturesExtractor], space: spaces.Space, named: str) -> None:
    with error_naming(ValueError, f"{extractor.__name__} | {named}"):
        extractor(space)


@pytest.mark.parametrize("shape", [(4, 64, 64), (3, 40, 48)])
def test_without_gradient_the_features_are_the_same(shape: tuple[int, ...]) -> None:
    cnn = CarRacingCNN(image_space(*shape))
    pictures = th.rand(3, *shape)
    before = pictures.clone()
    with th.no_grad():
        features = cnn(pictures)
    assert th.equal(features, cnn(pictures))
    assert th.equal(pictures, before)
