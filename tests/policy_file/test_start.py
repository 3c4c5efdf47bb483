import io
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import DQN, PPO
from torch import nn

from sb3_cardqn import CarDQN, CarRacingCNN, DuelingHead, HistogramHead, load_policy, load_weights
from sb3_cardqn.cardqn.q_network import QNetwork
from sb3_cardqn.errors import UserError
from sb3_cardqn.policy_file.write import write_policy
from tests.cardqn.test_drop_in import DuelingPolicy
from tests.named import error_naming
from tests.zoo.test_everywhere import Shows

VECTORS = th.rand(5, 4)


def agent(
    cls: Any = CarDQN, seed: int = 0, env: Any = "CartPole-v1", policy: str = "MlpPolicy", **kwargs: Any
) -> Any:
    defaults: dict[str, Any] = {"net_arch": [16]} if policy == "MlpPolicy" else {}
    arguments = {"buffer_size": 500, "seed": seed, "device": "cpu", "policy_kwargs": defaults}
    return cls(policy, env, **arguments | kwargs)


def networks(model: Any) -> list[QNetwork]:
    average = getattr(model.policy, "q_net_average", None)
    return [model.q_net, model.q_net_target, *([] if average is None else [average.module])]


@pytest.mark.parametrize("cls", [CarDQN, DQN])
def test_all_networks_start_from_an_exported_policy(cls: Any, tmp_path: Path) -> None:
    trained = agent(seed=1).learn(300)
    write_policy(trained, "cardqn", tmp_path / "policy.safetensors")
    policy_kwargs = {"net_arch": [16]} | ({"average_fraction": 0.1} if cls is CarDQN else {})
    model = agent(cls, policy_kwargs=policy_kwargs)
    load_weights(model, tmp_path / "policy.safetensors")
    expected = load_policy(tmp_path / "policy.safetensors")(VECTORS)
    assert len(networks(model)) == (3 if cls is CarDQN else 2)
    for network in networks(model):
        assert th.equal(network(VECTORS), expected)
    model.learn(300)


@pytest.mark.parametrize(("cls", "average"), [(CarDQN, None), (CarDQN, 0.1), (DQN, None)])
def test_all_networks_start_from_a_zip(cls: Any, average: float | None, tmp_path: Path) -> None:
    """Of a CarDQN from its average, which drives."""
    policy_kwargs = {"net_arch": [16]} | ({"average_fraction": average} if cls is CarDQN else {})
    trained = agent(cls, seed=1, policy_kwargs=policy_kwargs).learn(300)
    trained.save(tmp_path / "agent.zip")
    model = agent(policy_kwargs={"net_arch": [16], "average_fraction": 0.5}).learn(200)
    load_weights(model, tmp_path / "agent.zip")
    for network in networks(model):
        assert th.equal(network(VECTORS), networks(trained)[-1 if average else 0](VECTORS))
    model.learn(200)


def test_only_weights_are_read_and_no_more_than_fit(tmp_path: Path) -> None:
    model = agent()
    model.save(tmp_path / "agent.zip")
    large = io.BytesIO()
    th.save({"q_net.x": th.zeros(2**25)}, large)  # 128 MiB, compressed to some 130 kB
    for name in ("policy.optimizer.pth", "policy.pth"):
        with ZipFile(tmp_path / "agent.zip") as old, ZipFile(tmp_path / name, "w", ZIP_DEFLATED) as new:
            for part in old.namelist():
                new.writestr(part, large.getvalue() if part == name else old.read(part))
    (tmp_path / "policy.optimizer.pth").rename(tmp_path / "optimizer.zip")
    load_weights(model, tmp_path / "optimizer.zip")
    (tmp_path / "policy.pth").rename(tmp_path / "weights.zip")
    with error_naming(UserError, f"'{tmp_path / 'weights.zip'}' | policy.pth"):
        load_weights(model, tmp_path / "weights.zip")


def test_before_learning_starts_it_acts_by_its_weights(tmp_path: Path) -> None:
    agent(seed=1).save(tmp_path / "agent.zip")
    for starts_trained in (True, False):
        model = agent(learning_starts=200, exploration_initial_eps=0.0, exploration_final_eps=0.0)
        if starts_trained:
            load_weights(model, tmp_path / "agent.zip")
        model.learn(150)
        observations, actions = (
            model.replay_buffer.observations[:150, 0],
            model.replay_buffer.actions[:150, 0, 0],
        )
        greedy, _ = model.policy.predict(observations, deterministic=True)
        assert np.array_equal(greedy, actions) == starts_trained


PICTURE = spaces.Box(0, 255, (4, 40, 40), np.uint8)


@pytest.mark.parametrize(
    ("theirs", "ours", "named"),
    [
        ({}, {"policy_kwargs": {"net_arch": [16, 8]}}, "net_arch | [16] | [16, 8]"),
        ({}, {"policy_kwargs": {"net_arch": [16], "head_class": DuelingHead}}, "head | Linear | DuelingHead"),
        ({}, {"policy_kwargs": {"net_arch": [16], "activation_fn": nn.Tanh}}, "activation | ReLU | Tanh"),
        ({}, {"env": "MountainCar-v0"}, "observation_space | (4,) float32 | (2,) float32"),
        ({}, {"env": Shows(spaces.Box(-1, 1, (4,)))}, "actions | 2 | 3"),
        (
            {"policy": "CnnPolicy", "env": Shows(PICTURE)},
            {"policy": "CnnPolicy", "env": Shows(PICTURE), "policy_kwargs": {"features_extractor_class": CarRacingCNN}},
            "features_extractor | NatureCNN | CarRacingCNN",
        ),
    ],
)  # fmt: skip
def test_the_part_that_differs_is_named(
    theirs: dict[str, Any], ours: dict[str, Any], named: str, tmp_path: Path
) -> None:
    trained = agent(**theirs)
    write_policy(trained, "cardqn", tmp_path / "policy.safetensors")
    trained.save(tmp_path / "agent.zip")
    model = agent(**ours, seed=1)
    before = {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}
    with error_naming(UserError, f"'{tmp_path}/policy.safetensors' | {named}"):
        load_weights(model, tmp_path / "policy.safetensors")
    if "activation" not in named:  # a zip without its pickles does not tell
        with error_naming(UserError, f"'{tmp_path}/agent.zip'"):
            load_weights(model, tmp_path / "agent.zip")
    assert all(th.equal(before[name], tensor) for name, tensor in model.policy.state_dict().items())


def test_what_has_no_q_network_is_named(tmp_path: Path) -> None:
    ppo = PPO("MlpPolicy", "CartPole-v1", device="cpu")
    ppo.save(tmp_path / "ppo.zip")
    with error_naming(UserError, f"'{tmp_path}/ppo.zip'"):
        load_weights(agent(), tmp_path / "ppo.zip")
    with error_naming(UserError, "PPO"):
        load_weights(ppo, "cardqn")


def test_whole_and_numpys_ends_of_a_histogram_are_the_same_ends(tmp_path: Path) -> None:
    def made(low: Any) -> CarDQN:
        head = partial(HistogramHead, low=low, high=np.float64(5), n_bins=8)
        return CarDQN("MlpPolicy", "CartPole-v1", policy_kwargs={"head_class": head}, buffer_size=50)

    write_policy(made(-5), "cardqn", tmp_path / "policy.safetensors")
    load_weights(made(-5.0), tmp_path / "policy.safetensors")
    with error_naming(UserError, "head | -5.0 | -6.0"):
        load_weights(made(-6), tmp_path / "policy.safetensors")


def test_a_network_without_layers_in_a_row_does_not_fit(tmp_path: Path) -> None:
    write_policy(
        CarDQN("MlpPolicy", "CartPole-v1", buffer_size=50), "cardqn", tmp_path / "policy.safetensors"
    )
    other = DQN(DuelingPolicy, "CartPole-v1", buffer_size=50)
    with error_naming(UserError, "policy.safetensors | head | Linear"):
        load_weights(other, tmp_path / "policy.safetensors")
