import inspect
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import DQN
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import FakeImageEnv

from sb3_cardqn import CarDQN, CarRacingCNN, DuelingHead, HistogramHead
from tests.cardqn.small import SMALL, SmallHistogram, flat
from tests.devices import PAIRS
from tests.named import error_naming


def test_same_seed_same_weights() -> None:
    def trained(seed: int) -> np.ndarray:
        env = make_vec_env("CartPole-v1", 3, seed=seed)
        return flat(CarDQN("MlpPolicy", env, **SMALL | {"seed": seed}).learn(300))

    assert np.array_equal(trained(0), trained(0))
    assert not np.array_equal(trained(0), trained(1))


@pytest.mark.parametrize(("saved_on", "loaded_on"), PAIRS)
def test_save_and_load(saved_on: str, loaded_on: str, tmp_path: Path) -> None:
    model = CarDQN(
        "MlpPolicy", "CartPole-v1", double_q=True, exploration_decay="cosine", exploration_steps=40, n_steps=2,
        policy_kwargs={"head_class": DuelingHead, "net_arch": [8]}, buffer_size=100, learning_starts=10,
        train_freq=(2, "step"), seed=0, device=saved_on,
    ).learn(80)  # fmt: skip
    model.save(tmp_path / "model")
    model.save_replay_buffer(tmp_path / "buffer")
    loaded = CarDQN.load(tmp_path / "model", env=gym.make("CartPole-v1"), device=loaded_on)
    assert {parameter.device.type for parameter in loaded.policy.parameters()} == {loaded_on}
    obs = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    assert np.array_equal(
        loaded.predict(obs, deterministic=True)[0], model.predict(obs, deterministic=True)[0]
    )
    assert np.array_equal(flat(loaded), flat(model))
    for name in inspect.signature(CarDQN).parameters:
        if name not in ("policy", "env", "_init_setup_model", "device", "stats_window_size"):
            assert getattr(loaded, name) == getattr(model, name), name
    assert loaded.exploration_rate == model.exploration_rate
    loaded.load_replay_buffer(tmp_path / "buffer")
    assert loaded.replay_buffer is not None
    assert loaded.replay_buffer.size() == 80
    loaded.learn(40, reset_num_timesteps=False)
    assert loaded.num_timesteps == 120
    assert not np.array_equal(flat(loaded), flat(model))

    changed = CarDQN.load(tmp_path / "model", exploration_final_eps=0.3, exploration_decay="constant")
    assert changed.exploration_schedule(0.0) == 0.3


@pytest.mark.parametrize("n_steps", [1, 3])
def test_a_file_trains_with_its_own_steps_in_sb3s_dqn_and_with_others_here(
    n_steps: int, tmp_path: Path
) -> None:
    model = CarDQN("MlpPolicy", "CartPole-v1", n_steps=n_steps, gamma=0.9, **SMALL).learn(40)
    model.save(tmp_path / "model")
    env = gym.make("CartPole-v1")
    theirs = DQN.load(tmp_path / "model", env=env).replay_buffer
    assert (getattr(theirs, "n_steps", 1), getattr(theirs, "gamma", 0.9)) == (n_steps, 0.9)
    ours = CarDQN.load(tmp_path / "model", env=env, n_steps=5, gamma=0.8).learn(40).replay_buffer
    assert (ours.n_steps, ours.gamma) == (5, 0.8)


def test_arguments_of_load_are_checked_and_converted(tmp_path: Path) -> None:
    CarDQN("MlpPolicy", "CartPole-v1", **SMALL).save(tmp_path / "model")
    assert CarDQN.load(tmp_path / "model", buffer_size=1e3, train_freq=4.0).buffer_size == 1000
    with error_naming(ValueError, "exploration_decay | linear | 'expo'"):
        CarDQN.load(tmp_path / "model", exploration_decay="expo")


def test_head_kwargs(tmp_path: Path) -> None:
    kwargs = {"head_class": HistogramHead, "head_kwargs": {"low": -2.0, "high": 2.0, "n_bins": 8}}
    model = CarDQN("MlpPolicy", "CartPole-v1", seed=0, policy_kwargs=kwargs)
    same = CarDQN("MlpPolicy", "CartPole-v1", seed=0, policy_kwargs={"head_class": SmallHistogram})
    assert np.array_equal(flat(model), flat(same))
    model.save(tmp_path / "model")
    head = CarDQN.load(tmp_path / "model").policy.q_net.q_net[-1]
    assert (head.low, head.high, head.n_bins) == (-2, 2, 8)


@pytest.mark.parametrize(
    "head", [{"head_class": DuelingHead}, {"head_class": HistogramHead, "head_kwargs": {"n_bins": 8}}]
)
def test_policy_saves_and_loads_alone(head: dict[str, Any], tmp_path: Path) -> None:
    env = FakeImageEnv(screen_height=40, screen_width=40, n_channels=1, discrete=True, channel_first=True)
    kwargs = {"features_extractor_class": CarRacingCNN, **head}
    model = CarDQN("CnnPolicy", env, buffer_size=50, policy_kwargs=kwargs)
    model.policy.save(tmp_path / "policy.zip")
    loaded = type(model.policy).load(tmp_path / "policy.zip")
    obs = np.stack([env.observation_space.sample() for _ in range(20)])
    assert np.array_equal(loaded.predict(obs)[0], model.policy.predict(obs)[0])


def test_loading_with_other_n_steps_reaches_the_buffer(tmp_path: Path) -> None:
    CarDQN("MlpPolicy", "CartPole-v1", n_steps=3, gamma=0.9, **SMALL).save(tmp_path / "model")
    for n_steps, gamma in ((5, 0.5), (1, 0.9)):
        model = CarDQN.load(tmp_path / "model", env=gym.make("CartPole-v1"), n_steps=n_steps, gamma=gamma)
        buffer = model.replay_buffer
        assert (getattr(buffer, "n_steps", 1), getattr(buffer, "gamma", gamma)) == (n_steps, gamma)
    with pytest.warns(UserWarning, match="n_steps=3"):  # by SB3
        model = CarDQN("MlpPolicy", "CartPole-v1", n_steps=3, replay_buffer_kwargs={"n_steps": 7}, **SMALL)
    assert model.learn(50).replay_buffer.n_steps == 7
