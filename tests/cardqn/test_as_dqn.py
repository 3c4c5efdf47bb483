import inspect
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from sb3_contrib import QRDQN
from stable_baselines3 import DQN
from stable_baselines3.common.logger import configure
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from sb3_cardqn import CarDQN, QuantileHead
from tests.cardqn.small import SMALL, flat


def test_constructor_begins_as_dqns() -> None:
    theirs = list(inspect.signature(DQN).parameters.values())[:-1]  # without _init_setup_model
    ours = list(inspect.signature(CarDQN).parameters.values())[: len(theirs)]
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


def test_learn_takes_what_dqns_takes() -> None:
    theirs, ours = (inspect.signature(cls.learn).parameters for cls in (DQN, CarDQN))
    assert [(n, p.default) for n, p in theirs.items() if n != "tb_log_name"] == [
        (n, p.default) for n, p in ours.items() if n != "tb_log_name"
    ]


def updated_alike(ours: Any, theirs: Any) -> None:
    """Give two models the same transitions to replay, and compare them after 20 updates."""
    before = flat(ours)
    rng = np.random.default_rng(0)
    for _ in range(100):
        transition = (
            rng.normal(size=(1, 4)),
            rng.normal(size=(1, 4)),
            rng.integers(2, size=1),
            rng.normal(size=1),
        )
        done = rng.random(1) < 0.2
        infos = [{"TimeLimit.truncated": bool(rng.random() < 0.5)}]
        for model in (ours, theirs):
            model.replay_buffer.add(*transition, done, infos)
    for model in (ours, theirs):
        model.set_logger(configure(None, []))
        np.random.seed(1)
        model.train(gradient_steps=20, batch_size=32)
    assert np.allclose(flat(ours), flat(theirs), atol=1e-6)
    assert ours._n_updates == theirs._n_updates == 20
    assert not np.allclose(flat(ours), before, atol=1e-3)


@pytest.mark.parametrize("n_steps", [1, 3])
def test_updates_as_sb3s_dqn_does(n_steps: int) -> None:
    ours, theirs = (cls("MlpPolicy", "CartPole-v1", n_steps=n_steps, **SMALL) for cls in (CarDQN, DQN))
    ours.set_parameters(theirs.get_parameters())  # the parameters have the same names
    updated_alike(ours, theirs)


class Drifting(BaseFeaturesExtractor):
    """Batch normalisation, and a buffer of the online network's own that no update may copy."""

    drift: th.Tensor

    def __init__(self, observation_space: gym.spaces.Box) -> None:
        super().__init__(observation_space, observation_space.shape[0])
        self.norm = th.nn.BatchNorm1d(self.features_dim)
        self.register_buffer("drift", th.zeros(1))

    def forward(self, observations: th.Tensor) -> th.Tensor:
        if self.training:
            self.drift.add_(0.01)
        return self.norm(observations) + self.drift


@pytest.mark.parametrize("env", ["CartPole-v1", "LunarLander-v3"])
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"learning_starts": 0, "n_steps": 3},
        {"train_freq": (1, "episode"), "exploration_fraction": 0.9},
        {"tau": 0.1, "target_update_interval": 7, "gradient_steps": -1},
        {"policy_kwargs": {"net_arch": [32], "features_extractor_class": Drifting}},
    ],
)
def test_learns_the_same_weights_as_sb3s_dqn_bit_by_bit(env: str, kwargs: dict[str, Any]) -> None:
    same = {"learning_rate": 1e-3, "learning_starts": 50, "buffer_size": 500, "train_freq": 8,
            "gradient_steps": 4, "target_update_interval": 20, "exploration_fraction": 0.5, "seed": 3,
            "policy_kwargs": {"net_arch": [32]}, "device": "cpu"}  # fmt: skip
    # the second learn() counts anew, and less than an interval at a time
    ours, theirs = (
        cls("MlpPolicy", env, **same | kwargs).learn(700).learn(15).learn(15).learn(70)
        for cls in (CarDQN, DQN)
    )
    assert np.array_equal(flat(ours), flat(theirs))
    assert np.array_equal(ours.replay_buffer.observations, theirs.replay_buffer.observations)
    assert ours.exploration_rate == theirs.exploration_rate


def test_updates_as_sb3_contribs_qrdqn_does_with_a_quantile_head() -> None:
    small = {name: value for name, value in SMALL.items() if name != "policy_kwargs"}
    small |= {"learning_rate": 1e-3}
    kwargs = {"net_arch": [16], "optimizer_kwargs": {"eps": 0.01 / 32}}  # QRDQN's own
    ours_too = kwargs | {"head_class": partial(QuantileHead, n_quantiles=5)}
    ours = CarDQN("MlpPolicy", "CartPole-v1", policy_kwargs=ours_too, max_grad_norm=1e9, **small)
    theirs = QRDQN("MlpPolicy", "CartPole-v1", policy_kwargs=kwargs | {"n_quantiles": 5}, **small)
    for mine, other in (
        (ours.q_net, theirs.quantile_net),
        (ours.q_net_target, theirs.quantile_net_target),
    ):
        for parameter, source in zip(mine.parameters(), other.parameters(), strict=True):
            parameter.data.copy_(source)
    obs = th.randn(3, 4)
    head: Any = ours.q_net.q_net[-1]
    assert th.equal(ours.q_net.through_head(obs, head.quantiles), theirs.quantile_net(obs))
    assert th.equal(ours.q_net(obs), theirs.quantile_net(obs).mean(dim=1))
    updated_alike(ours, theirs)


def test_takes_an_environment_that_can_be_called() -> None:
    class Callable(gym.Wrapper):
        def __call__(self) -> None: ...

    CarDQN("MlpPolicy", Callable(gym.make("CartPole-v1")), **SMALL).learn(50)


def test_public_attributes_of_dqn_are_there() -> None:
    models = [cls("MlpPolicy", "CartPole-v1", **SMALL).learn(50) for cls in (DQN, CarDQN)]
    public = [{name for name in vars(model) if not name.startswith("_")} for model in models]
    assert public[0] <= public[1]
    for name in ("q_net", "q_net_target", "exploration_rate", "exploration_schedule"):
        assert hasattr(models[1], name)
    assert models[1].q_net is models[1].policy.q_net
    assert models[1].q_net_target is models[1].policy.q_net_target


def test_a_file_that_dqn_saved_loads(tmp_path: Path) -> None:
    theirs = DQN("MlpPolicy", "CartPole-v1", **SMALL).learn(60)
    theirs.save(tmp_path / "dqn")
    ours = CarDQN.load(tmp_path / "dqn")
    obs = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    assert np.array_equal(
        ours.predict(obs, deterministic=True)[0], theirs.predict(obs, deterministic=True)[0]
    )
