import numpy as np
import pytest
import torch as th
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from torch import nn

from sb3_cardqn import CarDQN
from sb3_cardqn.replay.prioritized import PrioritizedFrameReplayBuffer, PrioritizedReplayBufferSamples
from tests.cardqn.small import SMALL, Recorder, flat


@pytest.mark.parametrize(("n_envs", "synced"), [(1, [10, 20, 30, 40]), (3, [12, 21, 30, 42])])
def test_target_is_copied_when_agent_steps_pass_the_interval(n_envs: int, synced: list[int]) -> None:
    recorder = Recorder()
    env = make_vec_env("CartPole-v1", n_envs, seed=0)
    CarDQN("MlpPolicy", env, target_update_interval=10, train_freq=1, **SMALL | {"learning_starts": 0}).learn(
        42, recorder
    )
    assert [step for step in recorder.synced if step > n_envs] == synced


def test_polyak_moves_the_target_a_little_and_copies_batch_normalisation() -> None:
    class NormalisedHead(nn.Sequential):
        def __init__(self, features: int, actions: int) -> None:
            super().__init__(nn.BatchNorm1d(features), nn.Linear(features, actions))

    kwargs = {"net_arch": [8], "head_class": NormalisedHead}
    model = CarDQN(
        "MlpPolicy", "CartPole-v1", tau=0.25, target_update_interval=1, **SMALL | {"policy_kwargs": kwargs}
    )
    with th.no_grad():
        for p in model.q_net.parameters():
            p.fill_(1.0)
        for p in model.q_net_target.parameters():
            p.fill_(0.0)
    model.q_net.q_net[-1][0].running_mean.fill_(7.0)
    model.set_logger(configure(None, []))
    model._total_timesteps = 10
    model._on_step()
    assert all(th.all(p == 0.25) for p in model.q_net_target.parameters())
    assert th.all(model.q_net_target.q_net[-1][0].running_mean == 7.0)


def test_logged_means_by_hand() -> None:
    model = CarDQN("MlpPolicy", "CartPole-v1", gamma=0.5, **SMALL)
    model.set_logger(configure(None, []))
    with th.no_grad():
        for p in [*model.q_net.parameters(), *model.q_net_target.parameters()]:
            p.zero_()
        model.q_net.q_net[-1].bias.copy_(th.tensor([2.0, 3.0]))
        model.q_net_target.q_net[-1].bias.copy_(th.tensor([4.0, 8.0]))
    zeros = np.zeros((1, 4))
    assert model.replay_buffer is not None
    model.replay_buffer.add(zeros, zeros, np.array([1]), np.array([1.0]), np.array([False]), [{}])
    model.train(gradient_steps=1, batch_size=4)
    # target 1 + 0.5 · 8 = 5, error 5 - 3 = 2, Huber 2 - 0.5
    logged = model.logger.name_to_value
    assert [logged[f"train/{name}"] for name in ("td_error", "loss", "q_value")] == [2.0, 1.5, 3.0]


def test_importance_weights_scale_the_losses() -> None:
    model = CarDQN("MlpPolicy", "CartPole-v1", **SMALL | {"learning_rate": 0.0})
    model.set_logger(configure(None, []))
    row = th.ones(2, 4)
    losses = []
    for weight in (1.0, 0.5):
        batch = PrioritizedReplayBufferSamples(
            row, th.zeros(2, 1), row, th.zeros(2, 1), th.full((2, 1), 5.0), None,
            weights=th.tensor([[1.0], [weight]]), indices=np.arange(2),
        )  # fmt: skip
        model.replay_buffer = object.__new__(PrioritizedFrameReplayBuffer)
        vars(model.replay_buffer).update(
            sample=lambda *_, batch=batch, **__: batch, update_priorities=lambda *_: None
        )
        model.train(1, 2)
        losses.append(model.logger.name_to_value["train/loss"])
    assert losses[1] == pytest.approx(0.75 * losses[0])
    assert losses[0] > 1


def test_double_q_uses_the_online_choice() -> None:
    model = CarDQN("MlpPolicy", "CartPole-v1", gamma=0.5, double_q=True, **SMALL)
    model.set_logger(configure(None, []))
    with th.no_grad():
        for p in [*model.q_net.parameters(), *model.q_net_target.parameters()]:
            p.zero_()
        model.q_net.q_net[-1].bias.copy_(th.tensor([3.0, 2.0]))
        model.q_net_target.q_net[-1].bias.copy_(th.tensor([4.0, 8.0]))
    zeros = np.zeros((1, 4))
    assert model.replay_buffer is not None
    model.replay_buffer.add(zeros, zeros, np.array([1]), np.array([1.0]), np.array([False]), [{}])
    model.train(gradient_steps=1, batch_size=4)
    # online prefers action 0, the target net values it at 4: 1 + 0.5 · 4 = 3, error 3 - 2 = 1
    assert model.logger.name_to_value["train/td_error"] == 1.0


def test_advantage_learning_moves_the_target_of_the_action_taken() -> None:
    model = CarDQN("MlpPolicy", "CartPole-v1", gamma=0.5, advantage_learning=0.75, **SMALL)
    model.set_logger(configure(None, []))
    with th.no_grad():
        for p in [*model.q_net.parameters(), *model.q_net_target.parameters()]:
            p.zero_()
        model.q_net.q_net[-1].bias.copy_(th.tensor([6.0, 2.0]))
    zeros = np.zeros((1, 4))
    assert model.replay_buffer is not None
    model.replay_buffer.add(zeros, zeros, np.array([1]), np.array([1.0]), np.array([False]), [{}])
    model.train(gradient_steps=1, batch_size=4)
    # the action taken lacks 6 - 2 = 4: target 1 + 0.5 · 0 - 0.75 · 4 = -2, error -2 - 2 = -4
    assert model.logger.name_to_value["train/td_error"] == 4.0


def test_the_gradient_is_clipped() -> None:
    kwargs = {"net_arch": [8], "optimizer_class": th.optim.SGD}
    model = CarDQN(
        "MlpPolicy", "CartPole-v1", learning_rate=1.0, max_grad_norm=0.01, **SMALL | {"policy_kwargs": kwargs}
    )
    model.set_logger(configure(None, []))
    rng = np.random.default_rng(0)
    for _ in range(40):
        obs = rng.normal(size=(2, 1, 4))
        model.replay_buffer.add(*obs, np.array([0]), np.array([1000.0]), np.array([True]), [{}])
    before = flat(model)
    model.train(gradient_steps=1, batch_size=32)
    assert np.linalg.norm(flat(model) - before) == pytest.approx(
        0.01, rel=1e-3
    )  # the step is the clipped gradient
