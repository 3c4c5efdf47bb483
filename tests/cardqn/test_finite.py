from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_cardqn.cardqn.finite import check_transitions, clip_gradient
from sb3_cardqn.errors import NotFiniteError
from tests.named import error_naming
from tests.small_training import At, agent


class Broken(gym.Wrapper):
    """Environment 1 answers what is no number, at its 20th step."""

    made = steps = 0
    what: str
    value: float

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.number = Broken.made
        Broken.made += 1

    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = self.env.step(action)
        self.steps += 1
        if self.number == 1 and self.steps == 20:
            if self.what == "the reward":
                reward = self.value
            else:
                obs = np.full_like(obs, self.value)
                terminated = self.what == "the last observation"
        return obs, reward, terminated, truncated, info


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("what", ["the reward", "the observation", "the last observation"])
def test_what_environments_answer(what: str, value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, attribute in (("made", 0), ("what", what), ("value", value)):
        monkeypatch.setattr(Broken, name, attribute, raising=False)
    model = agent(make_vec_env("CartPole-v1", 3, wrapper_class=Broken))
    with error_naming(NotFiniteError, "1 | 60") as error:
        model.learn(1000)
    assert error.value.agent_steps == 60
    assert what.split()[-1] in error.value.place
    assert model.replay_buffer.size() == 19  # it did not get in
    assert np.isfinite(model.replay_buffer.rewards).all()


@pytest.mark.parametrize("what", ["the reward", "the observation"])
def test_what_a_normalization_clips(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, attribute in (("made", 0), ("what", what), ("value", np.inf)):
        monkeypatch.setattr(Broken, name, attribute, raising=False)
    venv = make_vec_env("CartPole-v1", 3, wrapper_class=Broken)
    with error_naming(NotFiniteError, "1 | 60"):
        agent(VecNormalize(venv, training=False)).learn(1000)


class Dark(gym.Wrapper):
    """Its first observation is NaN."""

    def reset(self, **kwargs: Any) -> Any:
        obs, info = self.env.reset(**kwargs)
        return np.full_like(obs, np.nan), info


def test_the_first_observation() -> None:
    env = DummyVecEnv([lambda: gym.make("CartPole-v1"), lambda: Dark(gym.make("CartPole-v1"))])
    model = agent(env)
    with error_naming(NotFiniteError, "1 | 0"):
        model.learn(100)
    assert model.replay_buffer.size() == 0


def test_parts_of_dict_observations_are_named() -> None:
    obs = {"speed": np.zeros((2, 1), np.float32), "place": np.array([[0.0], [np.nan]])}
    with error_naming(NotFiniteError, "'place' | 1"):
        check_transitions(obs, np.zeros(2), np.zeros(2, bool), [{}, {}], 4)


def weights(model: Any) -> list[float]:
    return th.cat([value.flatten() for value in model.policy.parameters()]).tolist()


def test_a_loss_with_nan_does_not_reach_the_weights() -> None:
    model = agent()
    model.learn(300)
    model.replay_buffer.rewards[:] = np.nan
    before = weights(model)
    with error_naming(NotFiniteError, "gradient | 300"):
        model.train(1, 32)
    assert weights(model) == before


def test_a_gradient_with_nan_does_not_reach_the_weights() -> None:
    model = agent()
    before = []

    def spoil() -> None:
        next(model.q_net.parameters()).register_hook(lambda gradient: gradient * th.nan)
        before.extend(weights(model))

    with error_naming(NotFiniteError, "gradient | 402"):
        model.learn(1000, callback=At(400, spoil))
    assert weights(model) == before


@pytest.mark.parametrize("max_norm", [0.1, 5.0 - 1e-7, 5.0, 5.0 + 2e-6, 100.0, np.inf])
def test_gradients_are_clipped_as_torch_clips_them(max_norm: float) -> None:
    ours, theirs = ([th.nn.Parameter(th.zeros(2)), th.nn.Parameter(th.zeros(1))] for _ in range(2))
    for first, second in (ours, theirs):
        first.grad, second.grad = th.tensor([0.0, 3.0]), th.tensor([4.0])  # the norm is 5
    clip_gradient(ours, max_norm, 0)
    th.nn.utils.clip_grad_norm_(theirs, max_norm)
    for our, their in zip(ours, theirs, strict=True):
        assert th.equal(our.grad, their.grad)
