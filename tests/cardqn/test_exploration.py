import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.logger import configure

from sb3_cardqn import CarDQN
from tests.cardqn.small import SMALL, Recorder


def test_exploration_in_agent_steps_starts_when_learning_starts() -> None:
    recorder = Recorder()
    CarDQN("MlpPolicy", "CartPole-v1", exploration_steps=100, exploration_final_eps=0.0, train_freq=1,
           **SMALL | {"learning_starts": 50}).learn(200, recorder)  # fmt: skip
    assert [recorder.epsilon[step] for step in (10, 50, 75, 150, 200)] == pytest.approx(
        [1.0, 1.0, 0.75, 0.0, 0.0]
    )


def test_exploration_as_a_fraction_of_the_budget() -> None:
    recorder = Recorder()
    CarDQN("MlpPolicy", "CartPole-v1", exploration_fraction=0.5, exploration_final_eps=0.1, train_freq=1,
           **SMALL | {"learning_starts": 100}).learn(200, recorder)  # fmt: skip
    assert [recorder.epsilon[step] for step in (50, 100, 150, 200)] == pytest.approx([0.55, 0.1, 0.1, 0.1])


def test_exploration_by_any_function_is_logged() -> None:
    model = CarDQN("MlpPolicy", "CartPole-v1", exploration_decay=lambda remaining: remaining**2, **SMALL)
    model.set_logger(configure(None, []))
    model.learn(120, log_interval=10_000)
    assert model.exploration_rate == pytest.approx(0.0)
    assert model.logger.name_to_value["rollout/exploration_rate"] == pytest.approx(0.0)
    assert model.exploration_schedule(0.5) == 0.25


def test_predict_draws_once_for_each_observation_and_never_when_deterministic() -> None:
    model = CarDQN("MlpPolicy", gym.make("LunarLander-v3"), **SMALL)
    obs = np.zeros((4000, 8), np.float32)
    greedy, _ = model.predict(obs, deterministic=True)
    assert len(set(greedy)) == 1
    model.exploration_rate = 0.5
    explored, _ = model.predict(obs)
    # 4 actions: half explore, three quarters of those differ from the greedy one; 0.375 ± 5 standard deviations
    assert np.mean(explored != greedy) == pytest.approx(0.375, abs=0.04)
    assert np.array_equal(model.predict(obs, deterministic=True)[0], greedy)
    single, _ = model.predict(obs[0])
    assert single.shape == ()
    model.exploration_rate = 0.0
    assert np.array_equal(model.predict(obs)[0], greedy)
