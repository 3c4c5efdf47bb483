import gymnasium as gym
import numpy as np
import pytest
import torch as th
from stable_baselines3.common.callbacks import (
    EvalCallback,
    StopTrainingOnRewardThreshold,
)
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from torch import nn

from sb3_cardqn import CarDQN, CarRacingCNN, DuelingHead, QuantileHead
from sb3_cardqn.cardqn.heads import Head
from tests.cardqn.small import SMALL, Catch, OneStep, SmallHistogram
from tests.devices import DEVICES


def best_mean_reward(model: CarDQN, steps: int, enough: float, env: gym.Env, episodes: int) -> float:
    """Of the evaluations every 1,000 agent steps; training ends with the first that is enough."""
    stop = StopTrainingOnRewardThreshold(enough)
    evaluation = EvalCallback(
        Monitor(env), stop, n_eval_episodes=episodes, eval_freq=1000 // model.n_envs, verbose=0
    )
    model.learn(steps, evaluation)
    return evaluation.best_mean_reward


@pytest.mark.slow
def test_learns_cartpole() -> None:
    model = CarDQN(
        "MlpPolicy", "CartPole-v1", learning_rate=2e-3, buffer_size=50_000, learning_starts=1000, batch_size=128,
        gamma=0.98, train_freq=64, gradient_steps=32, target_update_interval=64, exploration_steps=4000, n_steps=3,
        double_q=True, seed=1,
    )  # fmt: skip
    assert best_mean_reward(model, 40_000, 475, gym.make("CartPole-v1"), 10) >= 475


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("head_class", [nn.Linear, DuelingHead, QuantileHead, SmallHistogram])
def test_learns_to_catch_from_pictures(head_class: Head, device: str) -> None:
    kwargs = {
        "features_extractor_class": CarRacingCNN,
        "features_extractor_kwargs": {"features_dim": 64, "width": 8},
        "head_class": head_class,
    }
    env = make_vec_env(Catch, 4, seed=0)
    model = CarDQN(
        "CnnPolicy", env, learning_rate=1e-3, buffer_size=5000, learning_starts=500, train_freq=1, gamma=0.9,
        target_update_interval=200, exploration_steps=2500, policy_kwargs=kwargs, seed=0,
        device=device,
    )  # fmt: skip
    untrained, _ = evaluate_policy(model, env, 100)
    assert float(untrained) < 0
    # most seeds need 4,000 to 6,000 agent steps; which one is slow depends on the processor's arithmetic
    assert best_mean_reward(model, 20_000, 0.9, Catch(), 100) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("n_steps", [1, 3])
@pytest.mark.parametrize(("truncates", "value"), [(True, 10.0), (False, 1.0)])
def test_a_time_limit_bootstraps_and_a_crash_does_not(
    truncates: bool, value: float, n_steps: int, device: str
) -> None:
    # reward 1 a step, gamma 0.9: worth 1 / (1 - 0.9) = 10 if only the clock ended the episode
    model = CarDQN(
        "MlpPolicy", OneStep(truncates), learning_rate=5e-3, gamma=0.9, train_freq=1, target_update_interval=20,
        n_steps=n_steps, device=device, **SMALL,
    )  # fmt: skip
    model.learn(1500)
    q_values = model.q_net(th.ones(1, 1, device=device))
    assert q_values.detach().cpu().numpy() == pytest.approx(np.full((1, 2), value), rel=0.05)
