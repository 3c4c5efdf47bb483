from contextlib import nullcontext
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import DQN
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import SimpleMultiObsEnv
from stable_baselines3.common.torch_layers import NatureCNN

from sb3_cardqn import CarDQN
from sb3_cardqn.cardqn.policies import CnnPolicy, MlpPolicy
from tests.cardqn.small import IMAGES, SMALL, Catch, OneStep
from tests.named import error_naming


@pytest.mark.parametrize(
    ("kwargs", "named"),
    [
        ({"gamma": 1.5}, "CarDQN | gamma | 1.5"),
        ({"gamma": float("nan")}, "CarDQN | gamma | nan"),
        ({"tau": -0.1}, "CarDQN | tau | -0.1"),
        ({"batch_size": 0}, "CarDQN | batch_size | 0"),
        ({"buffer_size": 0}, "CarDQN | buffer_size | 0"),
        ({"learning_starts": -1}, "CarDQN | learning_starts | -1"),
        ({"train_freq": 0}, "CarDQN | train_freq | 0"),
        ({"train_freq": (0, "step")}, "CarDQN | train_freq | 0"),
        ({"train_freq": (1, "lap")}, "'step' | 'episode' | 'lap'"),
        ({"gradient_steps": -2}, "CarDQN | gradient_steps | -1 | -2"),
        ({"n_steps": 0}, "CarDQN | n_steps | 0"),
        ({"target_update_interval": 0}, "CarDQN | target_update_interval | 0"),
        ({"exploration_initial_eps": -0.5}, "CarDQN | exploration_initial_eps | -0.5"),
        ({"exploration_final_eps": 2}, "CarDQN | exploration_final_eps | 2"),
        ({"exploration_fraction": -0.1}, "CarDQN | exploration_fraction | -0.1"),
        ({"learning_starts": -0.5}, "CarDQN | learning_starts | -0.5"),
        ({"exploration_steps": 0}, "CarDQN | exploration_steps | 0"),
        ({"exploration_decay": "lineal"}, "exploration_decay | 'constant' | 'linear' | 'lineal'"),
        ({"exploration_decay": "exponential", "exploration_final_eps": 0}, "CarDQN | exploration_final_eps | above 0 | 0"),
        ({"max_grad_norm": -1}, "CarDQN | max_grad_norm | -1"),
        ({"gamma": "high"}, "CarDQN | gamma | 'high'"),
    ],
)  # fmt: skip
def test_wrong_arguments(kwargs: dict[str, Any], named: str) -> None:
    with error_naming(ValueError, named):
        CarDQN("MlpPolicy", "CartPole-v1", **SMALL | kwargs)


def test_arguments_that_a_script_changed_are_checked_before_learning() -> None:
    model = CarDQN("MlpPolicy", "CartPole-v1", **SMALL)
    model.batch_size = 0
    with error_naming(ValueError, "CarDQN | batch_size | 0"):
        model.learn(10)


@pytest.mark.parametrize(
    ("saved", "named"),
    [
        ({"gamma": 0.9}, "'n_steps': 3 | 'gamma': 0.99 | 'gamma': 0.9"),
        ({"n_steps": 2}, "'n_steps': 3 | 'n_steps': 2"),
        ({"n_steps": 1}, "'n_steps': 3 | 'n_steps': 1"),
    ],
)  # fmt: skip
def test_learning_from_the_buffer_of_another_training_is_told(
    saved: dict[str, Any], named: str, tmp_path: Path
) -> None:
    ours = {"env": "CartPole-v1", "n_steps": 3} | SMALL
    CarDQN("MlpPolicy", **ours | saved).save_replay_buffer(tmp_path / "buffer")
    DQN("MlpPolicy", **ours).load_replay_buffer(tmp_path / "buffer")
    model = CarDQN("MlpPolicy", **ours)
    model.load_replay_buffer(tmp_path / "buffer")
    with pytest.warns(UserWarning, match=named.replace(" | ", ".*")):
        model.learn(10)


def test_a_loaded_buffer_of_another_number_of_environments_is_refused(tmp_path: Path) -> None:
    CarDQN("MlpPolicy", make_vec_env("CartPole-v1", 2), **SMALL).save_replay_buffer(tmp_path / "buffer")
    model = CarDQN("MlpPolicy", "CartPole-v1", **SMALL)
    model.load_replay_buffer(tmp_path / "buffer")
    with error_naming(ValueError, "n_envs=1 | 2"):
        model.learn(10)


def test_with_one_step_a_loaded_buffers_gamma_does_not_matter(tmp_path: Path) -> None:
    CarDQN("MlpPolicy", "CartPole-v1", gamma=0.9, **SMALL).save_replay_buffer(tmp_path / "buffer")
    model = CarDQN("MlpPolicy", "CartPole-v1", **SMALL)
    model.load_replay_buffer(tmp_path / "buffer")
    model.learn(10)


@pytest.mark.parametrize("inside_a_dict", [False, True])
def test_pictures_too_small_for_the_network_are_refused(inside_a_dict: bool) -> None:
    for height, fits in ((35, False), (36, True)):
        env: gym.Env = OneStep(truncates=False)
        env.observation_space = spaces.Box(0, 255, (height, 40, 3), np.uint8)
        if inside_a_dict:
            env.observation_space = spaces.Dict(picture=env.observation_space)
        with nullcontext() if fits else error_naming(ValueError, "36x36 | (3, 35, 40)"):
            CarDQN("MultiInputPolicy" if inside_a_dict else "CnnPolicy", env, buffer_size=1)


def test_the_error_of_ones_own_network_stays() -> None:
    class Own(NatureCNN):
        def __init__(self, space: spaces.Box) -> None:
            raise RuntimeError("mine")

    kwargs = {"policy_kwargs": {"features_extractor_class": Own}}
    with pytest.raises(RuntimeError, match="mine"):
        CarDQN("CnnPolicy", Catch(), **IMAGES | kwargs)


def test_torchs_error_stays_where_pictures_are_large_enough() -> None:
    env: gym.Env = OneStep(truncates=False)
    env.observation_space = spaces.Box(0, 255, (84, 84, 3), np.uint8)
    kwargs = {"features_extractor_kwargs": {"features_dim": 2**60}}
    with pytest.raises(RuntimeError, match=str(2**60)):
        CarDQN("CnnPolicy", env, buffer_size=1, policy_kwargs=kwargs)


def test_environments_that_do_not_fit() -> None:
    for env_id, shown in (("Pendulum-v1", "Box(-2.0, 2.0, (1,), float32)"), ("CarRacing-v3", "(3,)")):
        with error_naming(ValueError, f"CarDQN | Discrete | {shown} | DiscretizeActions | SAC"):
            CarDQN("MlpPolicy", env_id, buffer_size=1)
    with error_naming(AssertionError, "CnnPolicy | MlpPolicy | (4,)"):
        CarDQN("CnnPolicy", "CartPole-v1", **SMALL | {"policy_kwargs": None})
    with error_naming(ValueError, "CarDQN | n_steps=1 | Dict | 3"):
        CarDQN("MultiInputPolicy", SimpleMultiObsEnv(), n_steps=3)
    for policy in ("MlpPolicy", "CnnPolicy", MlpPolicy, CnnPolicy):
        with error_naming(ValueError, "MultiInputPolicy"):
            CarDQN(policy, SimpleMultiObsEnv())
    with error_naming(ValueError, "CombinedExtractor | (4,) | MlpPolicy"):
        CarDQN("MultiInputPolicy", "CartPole-v1")
    env: gym.Env = OneStep(truncates=False)
    env.action_space = spaces.Discrete(2, start=1)
    with error_naming(ValueError, "Discrete(2, start=1)"):
        CarDQN("MlpPolicy", env)


def test_a_schedule_that_leaves_the_probabilities_is_refused() -> None:
    model = CarDQN("MlpPolicy", "CartPole-v1", exploration_decay=lambda remaining: 2 * remaining - 1, **SMALL)
    with pytest.raises(ValueError, match=r"exploration_decay.* -0\.\d+"):
        model.learn(200)


def test_n_steps_needs_a_buffer_that_takes_it() -> None:
    from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer

    with pytest.warns(UserWarning, match="n_steps=3"):  # by SB3
        CarDQN("MlpPolicy", "CartPole-v1", n_steps=3, replay_buffer_class=ReplayBuffer, **SMALL)
    model = CarDQN(
        "MlpPolicy", "CartPole-v1", n_steps=3, gamma=0.9, replay_buffer_class=NStepReplayBuffer, **SMALL
    )
    assert isinstance(model.replay_buffer, NStepReplayBuffer)
    assert (model.replay_buffer.n_steps, model.replay_buffer.gamma) == (3, 0.9)
