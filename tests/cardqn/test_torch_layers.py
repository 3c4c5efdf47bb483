import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.envs import FakeImageEnv

from sb3_cardqn import CarRacingCNN
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


@pytest.mark.parametrize(
    ("space", "named"),
    [
        (spaces.Box(-1, 1, (8,)), "(8,)"),
        (spaces.Box(0, 1, (4, 64, 64), np.int32), "int32"),
        (spaces.Discrete(3), "Discrete(3)"),
    ],
)
def test_wrong_spaces(space: spaces.Space, named: str) -> None:
    with error_naming(ValueError, f"CarRacingCNN | {named}"):
        CarRacingCNN(space)
