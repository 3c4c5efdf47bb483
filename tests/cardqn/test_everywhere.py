from pathlib import Path

import gymnasium as gym
import pytest
import torch as th
from stable_baselines3.common.callbacks import (
    CheckpointCallback,
    EvalCallback,
)
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import SimpleMultiObsEnv
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize

from sb3_cardqn import CarDQN
from tests.cardqn.small import SMALL


@pytest.mark.slow
@pytest.mark.parametrize("vec_env_cls", [DummyVecEnv, SubprocVecEnv])
def test_many_environments(vec_env_cls: type[DummyVecEnv] | type[SubprocVecEnv]) -> None:
    env = make_vec_env("CartPole-v1", 2, vec_env_cls=vec_env_cls)
    model = CarDQN("MlpPolicy", env, train_freq=2, gradient_steps=-1, **SMALL).learn(100)
    env.close()
    assert model._n_updates == 80  # 4 agent steps a rollout, as many updates, from step 24 on


def test_train_freq_in_episodes() -> None:
    model = CarDQN("MlpPolicy", "CartPole-v1", train_freq=(1, "episode"), gradient_steps=3, **SMALL).learn(
        200
    )
    assert model._n_updates % 3 == 0
    assert 3 <= model._n_updates < 3 * model._episode_num + 1


def test_dict_observations() -> None:
    env = SimpleMultiObsEnv(random_start=False)
    model = CarDQN("MultiInputPolicy", env, **SMALL).learn(60)
    action, _ = model.predict(env.reset()[0], deterministic=True)
    assert env.action_space.contains(int(action))


def test_vec_normalize() -> None:
    env = VecNormalize(make_vec_env("CartPole-v1", 1))
    model = CarDQN("MlpPolicy", env, **SMALL).learn(100)
    assert model._vec_normalize_env is env
    batch = model.replay_buffer.sample(10, env=env)
    assert not th.all(batch.rewards == 1.0)


def test_callbacks_loggers_schedules_and_progress_bar(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    evaluation = EvalCallback(
        Monitor(gym.make("CartPole-v1")), eval_freq=100, best_model_save_path=str(tmp_path)
    )
    checkpoint = CheckpointCallback(100, str(tmp_path), "cardqn", save_replay_buffer=True)
    model = CarDQN(
        "MlpPolicy", "CartPole-v1", learning_rate=lambda remaining: 1e-3 * remaining, tensorboard_log=str(tmp_path),
        **SMALL,
    )  # fmt: skip
    model.learn(200, [evaluation, checkpoint], log_interval=1, progress_bar=True)
    for name in ("best_model.zip", "cardqn_100_steps.zip", "cardqn_replay_buffer_200_steps.pkl"):
        assert (tmp_path / name).is_file()
    events = EventAccumulator(str(tmp_path / "CarDQN_1"))
    events.Reload()
    logged = {
        "train/loss",
        "train/td_error",
        "train/q_value",
        "train/learning_rate",
        "rollout/exploration_rate",
    }
    assert logged <= set(events.Tags()["scalars"])
    rates = [event.value for event in events.Scalars("train/learning_rate")]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 5e-4
