import base64
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections import OrderedDict
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
import torch as th
import yaml
from gymnasium import spaces
from huggingface_hub import ModelCard
from rl_zoo3 import ALGOS
from sb3_contrib import QRDQN
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecTransposeImage
from torch import nn

from sb3_cardqn import (
    CarDQN,
    CarRacingCNN,
    CarRacingWrapper,
    DuelingHead,
    GrayscaleObservation,
    HistogramHead,
    MinAtarCNN,
    QuantileHead,
    cli,
    load_policy,
    load_pretrained,
    trust,
)
from sb3_cardqn.agents.exported import SafeAgent, shipped_agents
from sb3_cardqn.agents.find import default_agent
from sb3_cardqn.cardqn.policies import CarDQNPolicy
from sb3_cardqn.errors import UserError
from sb3_cardqn.evaluate import Evaluation, Run, evaluate, find_agents, make_env
from sb3_cardqn.policy_file import read as policy_file
from sb3_cardqn.policy_file.write import write_policy
from sb3_cardqn.publish.export import export
from sb3_cardqn.publish.model_card import model_card
from tests.command_line import ROOT
from tests.devices import DEVICES
from tests.evaluate.test_evaluate import WRAPPERS
from tests.named import error_naming, missing
from tests.policy_file.fuzz import CAR_RACING, VECTORS, forged, weights

ACTIONS = [[0, 1, 0], [0.5, 0, 0]]  # those of WRAPPERS
SMALL = {"features_extractor_class": CarRacingCNN, "features_extractor_kwargs": {"features_dim": 32}}


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run folder as ``train`` leaves it, of an agent that has learned nothing on a device."""
    folder = tmp_path_factory.mktemp("logs") / "cardqn" / "CarRacing-v3_1"
    config = folder / "CarRacing-v3"
    config.mkdir(parents=True)
    (config / "config.yml").write_text(
        yaml.dump(OrderedDict(buffer_size=1000, env_wrapper=WRAPPERS, n_envs=8))
    )
    (config / "command.txt").write_text(
        "/home/me/bin/python /home/me/bin/sb3-cardqn train --seed 3 -params gamma:0.9"
    )
    env = make_vec_env("CarRacing-v3", wrapper_class=lambda env: CarRacingWrapper(env, ACTIONS))
    device = getattr(request, "param", "cpu")
    model = CarDQN("CnnPolicy", env, buffer_size=1000, policy_kwargs=SMALL, seed=0, device=device)
    model.save(folder / "best_model.zip")
    trust.remember(folder / "best_model.zip", config / "config.yml")
    return Run(folder)


@pytest.fixture(scope="module")
def safe(run: Run) -> Path:
    return export(run.folder)


@pytest.fixture(scope="module")
def observations() -> np.ndarray:
    """(1000, 4, 64, 64) of driving at random."""
    env = CarRacingWrapper(gym.make("CarRacing-v3"))
    env.action_space.seed(0)
    obs, _ = env.reset(seed=100_000)
    seen: list[np.ndarray] = []
    while len(seen) < 1000:
        seen.append(obs)
        obs, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            obs, _ = env.reset()
    return np.stack(seen)


def q_values(network: Any, observations: np.ndarray) -> np.ndarray:
    with th.no_grad():
        return network(th.as_tensor(observations, device=network.device)).cpu().numpy()


@pytest.mark.parametrize("run", DEVICES, indirect=True)
def test_the_exported_policy_is_the_agents_bit_for_bit(
    run: Run, safe: Path, observations: np.ndarray
) -> None:
    model, policy = run.load_model(), load_policy(safe)
    batch = observations[::50]
    assert np.array_equal(q_values(policy, batch), q_values(model.q_net, batch))
    actions, state = policy.predict(batch, state=None, episode_start=np.ones(20, bool), deterministic=True)
    assert np.array_equal(actions, model.predict(batch, deterministic=True)[0])
    assert state is None
    assert policy.predict(batch[3])[0] == actions[3]
    assert policy.predict(batch[3])[0].shape == ()


def test_only_the_online_network_and_its_description_are_written(run: Run, safe: Path) -> None:
    file = policy_file.read(safe)
    assert set(file.tensors) == set(run.load_model().q_net.state_dict())
    floats = sum(tensor.numel() for tensor in file.tensors.values())
    assert 4 * floats < safe.stat().st_size < 4 * floats + 5000
    assert json.loads(safe.with_suffix(".json").read_text()) == file.about
    assert file.about["features_extractor"] == {
        "CarRacingCNN": {"features_dim": 32, "width": 16, "normalized_image": False, "layer_norm": False}
    }  # also what was a default on the day
    assert file.about["training"]["command"] == "sb3-cardqn train --seed 3 -params gamma:0.9"
    assert file.about["training"]["gymnasium"] == gym.__version__
    assert "/home" not in safe.with_suffix(".json").read_text()


def test_names_of_actions_become_actions(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "cardqn/CarRacing-v3_1"
    shutil.copytree(run.folder, folder)
    config = {
        "env_wrapper": {
            "sb3_cardqn.CarRacingWrapper": {"actions": "default5", "screen_size": 64, "training": True}
        }
    }
    (folder / "CarRacing-v3/config.yml").write_text(yaml.dump(config))
    trust.remember(folder / "CarRacing-v3/config.yml")
    (wrapper,) = SafeAgent(export(folder)).config["env_wrapper"]
    arguments = wrapper["sb3_cardqn.CarRacingWrapper"]
    assert arguments["actions"][1] == [0.6, 0, 0]
    assert (arguments["screen_size"], arguments["frame_skip"]) == ([64, 64], 4)


def test_an_exported_agent_drives_as_its_run_does(run: Run, safe: Path) -> None:
    of_run, of_file = evaluate([run, safe], [100_000], stock=False, n_processes=1)
    assert of_run.drives.equals(of_file.drives)
    assert of_file.name == "policy"


class Cart(gym.Env):
    observation_space = spaces.Box(-1, 1, (3,))
    action_space = spaces.Discrete(4)


def test_sb3s_dqn_and_qrdqn_can_be_exported(tmp_path: Path) -> None:
    obs = np.random.default_rng(0).uniform(-1, 1, (50, 3)).astype(np.float32)
    path = tmp_path / "policy.safetensors"
    dqn = DQN(
        "MlpPolicy", Cart(), policy_kwargs={"net_arch": [8], "activation_fn": nn.ELU}, buffer_size=1, seed=0
    )
    write_policy(dqn, "dqn", path)
    assert np.array_equal(q_values(load_policy(path), obs), q_values(dqn.q_net, obs))
    qrdqn = QRDQN("MlpPolicy", Cart(), policy_kwargs={"n_quantiles": 5}, buffer_size=1, seed=0)
    write_policy(qrdqn, "qrdqn", path)
    means = q_values(qrdqn.quantile_net, obs).mean(axis=1)
    np.testing.assert_allclose(q_values(load_policy(path), obs), means, atol=1e-6)
    assert np.ptp(means) > 0.01


def test_quantiles_are_exported_as_their_mean(tmp_path: Path) -> None:
    obs = np.random.default_rng(0).uniform(-1, 1, (50, 3)).astype(np.float32)
    model = CarDQN("MlpPolicy", Cart(), policy_kwargs={"head_class": QuantileHead}, buffer_size=50, seed=0)
    write_policy(model, "cardqn", tmp_path / "policy.safetensors")
    exported = q_values(load_policy(tmp_path / "policy.safetensors"), obs)
    np.testing.assert_allclose(exported, q_values(model.q_net, obs), atol=1e-6)
    assert np.ptp(exported) > 0.01


@pytest.mark.parametrize("known", [QuantileHead, HistogramHead, DuelingHead])
def test_the_network_of_a_subclass_is_not_left_out(known: type, tmp_path: Path) -> None:
    model = CarDQN(
        "MlpPolicy", Cart(), policy_kwargs={"head_class": type("Own", (known,), {})}, buffer_size=50
    )
    with error_naming(UserError, "Own"):
        write_policy(model, "cardqn", tmp_path / "policy.safetensors")
    assert not any(tmp_path.iterdir())


class Drives(nn.Module):
    """A head of the user's, which drives as a linear layer."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, features: th.Tensor) -> th.Tensor:
        return self.linear(features)

    def exported(self) -> nn.Linear:
        return self.linear


def test_a_head_that_says_what_it_drives_as_is_exported(tmp_path: Path) -> None:
    model = CarDQN("MlpPolicy", Cart(), policy_kwargs={"head_class": Drives}, buffer_size=50)
    write_policy(model, "cardqn", tmp_path / "policy.safetensors")
    obs = np.random.default_rng(0).uniform(-1, 1, (50, 3)).astype(np.float32)
    exported = q_values(load_policy(tmp_path / "policy.safetensors"), obs)
    assert np.array_equal(exported, q_values(model.q_net, obs))


@pytest.mark.parametrize("device", DEVICES)
def test_the_network_that_drives_is_exported(device: str, tmp_path: Path) -> None:
    obs = np.random.default_rng(0).uniform(-1, 1, (50, 3)).astype(np.float32)
    policy_kwargs = {"head_class": QuantileHead, "average_fraction": 0.5}
    model = CarDQN("MlpPolicy", Cart(), policy_kwargs=policy_kwargs, buffer_size=50, seed=0, device=device)
    for parameter in model.q_net.parameters():
        parameter.data.add_(1.0)
    write_policy(model, "cardqn", tmp_path / "policy.safetensors")
    policy = load_policy(tmp_path / "policy.safetensors")
    exported = q_values(policy, obs)
    for network in (model.policy.driving_net, policy.to(device)):
        np.testing.assert_allclose(exported, q_values(network, obs), rtol=1e-5, atol=1e-6)
    assert np.abs(exported - q_values(model.q_net, obs)).min() > 0.1


def test_a_dueling_head_can_be_exported(tmp_path: Path) -> None:
    obs = np.random.default_rng(0).uniform(-1, 1, (50, 3)).astype(np.float32)
    model = CarDQN("MlpPolicy", Cart(), policy_kwargs={"head_class": DuelingHead}, buffer_size=50, seed=0)
    write_policy(model, "cardqn", tmp_path / "policy.safetensors")
    assert np.array_equal(
        q_values(load_policy(tmp_path / "policy.safetensors"), obs), q_values(model.q_net, obs)
    )


def test_a_histogram_head_can_be_exported(tmp_path: Path) -> None:
    obs = np.random.default_rng(0).uniform(-1, 1, (50, 3)).astype(np.float32)
    head = partial(HistogramHead, low=-5, high=2.5, n_bins=20)
    model = CarDQN("MlpPolicy", Cart(), policy_kwargs={"head_class": head}, buffer_size=50, seed=0)
    path = tmp_path / "policy.safetensors"
    write_policy(model, "cardqn", path)
    assert policy_file.read(path).about["head"] == {"HistogramHead": {"low": -5, "high": 2.5, "n_bins": 20}}
    assert np.array_equal(q_values(load_policy(path), obs), q_values(model.q_net, obs))


class Planes(gym.Env):
    observation_space = spaces.Box(0, 1, (10, 10, 4), bool)
    action_space = spaces.Discrete(3)


@pytest.mark.parametrize("algo", ["cardqn", "dqn", "qrdqn"])
def test_planes_and_their_network_can_be_exported(algo: str, tmp_path: Path) -> None:
    kwargs = {
        "features_extractor_class": MinAtarCNN,
        "features_extractor_kwargs": {"width": 8},
        "net_arch": [],
    }
    model = ALGOS[algo]("MlpPolicy", Planes(), policy_kwargs=kwargs, buffer_size=50, seed=0)
    write_policy(model, algo, tmp_path / "policy.safetensors")
    policy = load_policy(tmp_path / "policy.safetensors")
    assert policy.observation_space == Planes.observation_space
    obs = np.random.default_rng(0).random((50, 10, 10, 4)) < 0.2
    assert np.array_equal(policy.predict(obs)[0], model.predict(obs, deterministic=True)[0])
    assert np.ptp(policy.predict(obs)[0]) > 0


@dataclass
class Config:
    """What ``write_policy`` asks of a training run."""

    env_id: str
    config: dict[str, Any]


def test_the_zoos_stacks_are_exported_as_a_wrapper(tmp_path: Path) -> None:
    def make() -> gym.Env:
        return GrayscaleObservation(gym.make("CarRacing-v3", continuous=False), keep_dim=True)

    env: Any = VecTransposeImage(VecFrameStack(DummyVecEnv([make]), 3))
    model = DQN("CnnPolicy", env, buffer_size=1, seed=0)
    wrapper = {"sb3_cardqn.GrayscaleObservation": {"keep_dim": True}}
    run = Config(
        "CarRacing-v3", {"frame_stack": 3, "env_wrapper": [wrapper], "env_kwargs": {"continuous": False}}
    )
    write_policy(model, "dqn", tmp_path / "policy.safetensors", run)
    policy = load_policy(tmp_path / "policy.safetensors")
    with closing(policy.make_env()) as ours, closing(env) as theirs:
        assert ours.observation_space == policy.observation_space == theirs.observation_space
        theirs.seed(100_000)
        observation, obs = theirs.reset(), ours.reset(seed=100_000)[0]
        for _ in range(4):
            assert np.array_equal(obs, observation[0])
            obs, observation = ours.step(3)[0], theirs.step(np.array([3]))[0]


def test_stacks_of_other_than_pictures_are_not_exported(tmp_path: Path) -> None:
    model = DQN("MlpPolicy", VecFrameStack(DummyVecEnv([Cart]), 4), buffer_size=1)
    with error_naming(UserError, "frame_stack | 4"):
        write_policy(model, "dqn", tmp_path / "policy.safetensors", Config("Cart-v0", {"frame_stack": 4}))


ATARI = "stable_baselines3.common.atari_wrappers.AtariWrapper"


def test_an_atari_agent_is_exported_with_its_environment(tmp_path: Path) -> None:
    game = Pixels()
    game.observation_space = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    model = DQN("CnnPolicy", game, buffer_size=1, seed=0)
    config = {"frame_stack": 4, "env_wrapper": [{ATARI: {"terminal_on_life_loss": False}}]}
    path = tmp_path / "policy.safetensors"
    write_policy(model, "dqn", path, Config("PongNoFrameskip-v4", config))
    about = policy_file.read(path).about
    atari, stack = about["env"]["wrappers"]
    assert atari == {
        ATARI: {
            "noop_max": 30, "frame_skip": 4, "screen_size": 84, "terminal_on_life_loss": False,
            "clip_reward": True, "action_repeat_probability": 0.0,
        }
    }  # fmt: skip
    assert stack == {"sb3_cardqn.FrameStack": {"num_frames": 4, "padding_type": "zero"}}
    pytest.importorskip("ale_py")
    policy = load_policy(path)
    with closing(policy.make_env()) as env:
        assert env.observation_space == policy.observation_space
        assert policy.predict(env.reset(seed=1)[0])[0] in range(6)


class OwnExtractor(CarRacingCNN):
    pass


class Pixels(gym.Env):
    observation_space = spaces.Box(0, 255, (1, 36, 36), np.uint8)
    action_space = spaces.Discrete(4)


@pytest.mark.parametrize(
    ("make", "algo", "named"),
    [
        (lambda: PPO("MlpPolicy", Cart()), "ppo", "'ppo' | cardqn | dqn | qrdqn"),
        (
            lambda: CarDQN(
                "CnnPolicy",
                Pixels(),
                buffer_size=50,
                policy_kwargs={"features_extractor_class": OwnExtractor},
            ),
            "cardqn",
            "OwnExtractor | CarRacingCNN | MinAtarCNN | NatureCNN | FlattenExtractor",
        ),
        (
            lambda: CarDQN("MlpPolicy", Cart(), buffer_size=50, policy_kwargs={"activation_fn": nn.Softplus}),
            "cardqn",
            "Softplus | ReLU | Tanh | ELU",
        ),
    ],
)
def test_what_a_file_may_not_name_is_not_exported(make: Any, algo: str, named: str, tmp_path: Path) -> None:
    with error_naming(UserError, named):
        write_policy(make(), algo, tmp_path / "policy.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"env_wrapper": "gymnasium.wrappers.ClipReward"}, "ClipReward"),
        ({"env_wrapper": "gone.Wrapper"}, "gone.Wrapper"),
        ({"normalize": True}, "normalize | True"),
        ({"vec_env_wrapper": "stable_baselines3.common.vec_env.VecMonitor"}, "vec_env_wrapper | VecMonitor"),
        ({"env_kwargs": {"verbose": True}}, "env | 'verbose'"),
    ],
)
def test_what_an_exported_agent_cannot_drive_is_not_exported(
    config: dict[str, Any], named: str, run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "cardqn/CarRacing-v3_1"
    shutil.copytree(run.folder, folder)
    (folder / "CarRacing-v3/config.yml").write_text(yaml.dump(config))
    trust.remember(folder / "CarRacing-v3/config.yml")
    with error_naming(UserError, named):
        export(folder, tmp_path / "out")


def test_normalized_rewards_play_no_part_in_driving(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "cardqn/CarRacing-v3_1"
    shutil.copytree(run.folder, folder)
    path = folder / "CarRacing-v3/config.yml"
    path.write_text(yaml.dump(yaml.unsafe_load(path.read_text()) | {"normalize": {"norm_obs": False}}))
    trust.remember(path)
    assert export(folder, tmp_path / "out").is_file()


def test_a_policy_that_acts_by_more_than_its_network_is_not_exported(tmp_path: Path) -> None:
    class Masked(CarDQNPolicy):
        def _predict(self, obs: Any, deterministic: bool = True) -> Any:
            return super()._predict(obs, deterministic).clamp(min=1)

    with error_naming(UserError, "Masked | _predict"):
        write_policy(CarDQN(Masked, Cart(), buffer_size=50), "cardqn", tmp_path / "policy.safetensors")


def test_an_agent_outside_a_run_folder_has_no_environment(run: Run, tmp_path: Path) -> None:
    alone = tmp_path / "car.zip"
    shutil.copy(run.model_path, alone)
    path = export(alone)
    assert path == tmp_path / "car.safetensors"
    assert load_policy(path).action_space.n == 2
    with error_naming(UserError, f"{path}"):
        SafeAgent(path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"format_version": 2}, "format_version | 2"),
        ({"algorithm": "ppo"}, "algorithm | 'cardqn' | 'dqn' | 'qrdqn' | 'ppo'"),
        ({"head": "os.system"}, "head | Linear | 'os.system'"),
        ({"head": {"HistogramHead": {"low": 1}}}, "head | low | 1"),
        ({"head": {"HistogramHead": {"n_bins": 9**9}}}, "head | n_bins | 1024"),
        ({"head": {"Linear": {"bias": False}}}, "head | 'bias'"),
        ({"features_extractor": {"CarRacingCNN": {"width": 10**9}}}, "width | 256"),
        (
            {"features_extractor": {"CarRacingCNN": {"width": 8}}},
            "features_extractor.cnn.0.bias | [8] | [4]",
        ),
        ({"features_extractor": "FlattenExtractor"}, "'features_extractor.cnn.0.bias'"),
        ({"features_extractor": "MinAtarCNN"}, "MinAtarCNN | (4, 64, 64)"),
        ({"net_arch": [16]}, "q_net.0.bias | [16] | [12]"),
        ({"observation_space": {"shape": [2**40], "dtype": "uint8"}}, "shape | 1048576"),
        ({"observation_space": {"shape": [4, 20, 64], "dtype": "uint8"}}, "36x36 | (4, 20, 64)"),
        ({"observation_space": {"shape": [4, 64, 64], "dtype": "object"}}, "dtype | 'uint8' | 'object'"),
        ({"observation_space": {"shape": [4, 64, 64]}}, "observation_space | 'dtype'"),
        ({"env": {"id": "os:CarRacing-v3", "kwargs": {}, "wrappers": []}}, "id | 'os:CarRacing-v3'"),
        (
            {"env": {"id": "CarRacing-v3", "kwargs": {"render_mode": "human"}, "wrappers": []}},
            "'render_mode'",
        ),
        (
            {"env": {"id": "CarRacing-v3", "kwargs": {}, "wrappers": [{"timeit.timeit": {"setup": "import os"}}]}},
            "wrapper | sb3_cardqn.FastRender | timeit.timeit",
        ),
        (
            {"env": {"id": "CarRacing-v3", "kwargs": {}, "wrappers": [{"sb3_cardqn.FrameStack": {"num_frames": 10**6}}]}},
            "num_frames | 64 | 1000000",
        ),
        (
            {"env": {"id": "CarRacing-v3", "kwargs": {}, "wrappers": [{ATARI: {"action_repeat_probability": 2}}]}},
            "action_repeat_probability | 2",
        ),
        (
            {"env": {"id": "LunarLander-v3", "kwargs": {"gravity": -5.0, "xml_file": "evil.xml"}, "wrappers": []}},
            "xml_file | 'evil.xml'",
        ),
        ({"env": {"id": "LunarLander-v3", "kwargs": {"disable_env_checker": True}, "wrappers": []}}, "'disable_env_checker'"),
        ({"env": {"id": "LunarLander-v3", "kwargs": {"x": [[1]]}, "wrappers": []}}, "x | [[1]]"),
        ({"training": {"command": "\x1b[2J"}}, "training"),
        ({"import": "os"}, "'import'"),
    ],
)  # fmt: skip
def test_a_forged_description_is_refused_with_the_reason(change: dict, named: str, tmp_path: Path) -> None:
    path = tmp_path / "forged.safetensors"
    path.write_bytes(forged(CAR_RACING | change, weights(CAR_RACING)))
    with error_naming(UserError, f"'{path}' | {named}"):
        load_policy(path)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "0"),
        (b"PK\x03\x04", "zip | sb3-cardqn export"),
        (b"\xff" * 100, "18446744073709551615 | 100"),
        (b"\x02" + bytes(7) + b"{}", "metadata"),
        (bytes(policy_file.MAX_BYTES + 1), "67108864"),
    ],
)
def test_what_is_no_such_file_is_refused_with_the_reason(content: bytes, named: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with error_naming(UserError, f"'{path}' | {named}"):
        load_policy(path)


def test_files_that_cannot_be_read_are_refused_with_the_reason(tmp_path: Path) -> None:
    with error_naming(UserError, f"'{tmp_path / 'absent.safetensors'}'"):
        load_policy(tmp_path / "absent.safetensors")
    with error_naming(UserError, f"'{tmp_path}'"):
        load_policy(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with error_naming(UserError, f"'{tmp_path / 'pipe'}'"):
        load_policy(tmp_path / "pipe")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_neither_written_nor_read(value: float, tmp_path: Path) -> None:
    tensors = weights(VECTORS)
    tensors["q_net.0.weight"][3, 1] = value
    path = tmp_path / "policy.safetensors"
    with error_naming(UserError, "q_net.0.weight"):
        policy_file.write(path, VECTORS, tensors)
    path.write_bytes(forged(VECTORS, tensors))
    with error_naming(UserError, f"'{path}' | q_net.0.weight"):
        load_policy(path)


def fuzz(mutants: int) -> dict[str, Any]:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.policy_file.fuzz", str(mutants)]
    result = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("mutants", [500, pytest.param(10_000, marks=pytest.mark.soak)])
def test_mutated_files_are_refused_run_nothing_and_take_no_memory(mutants: int) -> None:
    outcome = fuzz(mutants)
    assert outcome["reached for"] == {}
    assert outcome["peak_memory_grown_mb"] < 64
    assert outcome["refused"] + outcome.get("another policy", 0) == mutants
    assert outcome["refused"] > 0.98 * mutants


@pytest.mark.parametrize("name", ["policy", "cardqn"])
def test_onnx_gives_the_same_q_values(
    name: str, safe: Path, observations: np.ndarray, tmp_path: Path
) -> None:
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from sb3_cardqn.policy_file.onnx import write_onnx

    policy = load_policy(safe) if name == "policy" else load_pretrained(name)
    write_onnx(policy, tmp_path / "policy.onnx")
    session = ort.InferenceSession(tmp_path / "policy.onnx")
    (observation,), (output,) = session.get_inputs(), session.get_outputs()
    shape = policy.observation_space.shape
    assert (observation.name, observation.type, tuple(observation.shape[1:])) == (
        "observation",
        "tensor(uint8)",
        shape,
    )
    observations = observations[..., : shape[-1]]
    (of_onnx,) = session.run([output.name], {"observation": observations})
    of_torch = q_values(policy, observations)
    rounding = 1e-5 if name == "policy" else 2e-4  # a histogram's mean adds up 51 parts of up to 60
    np.testing.assert_allclose(of_onnx, of_torch, rtol=1e-5, atol=rounding)
    second, best = np.sort(of_torch, axis=1)[:, -2:].T
    clear = best - second > 10 * rounding  # where two are as good as equal, rounding may decide
    assert clear.mean() > 0.95
    assert np.array_equal(of_onnx.argmax(axis=1)[clear], of_torch.argmax(axis=1)[clear])
    assert session.run(None, {"observation": observations[:1]})[0].shape == (1, of_torch.shape[1])


def test_onnx_without_its_packages_says_what_to_install(
    safe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sb3_cardqn.policy_file.onnx import write_onnx

    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with error_naming(UserError, 'pip install "sb3-cardqn[onnx]"'):
        write_onnx(load_policy(safe), tmp_path / "policy.onnx")


def test_an_exported_agent_is_exported_to_another_place(
    safe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert export(safe, tmp_path / "new") == tmp_path / "new/policy.safetensors"
    copy, original = (policy_file.read(path) for path in (tmp_path / "new/policy.safetensors", safe))
    assert copy.about == original.about  # safetensors writes its metadata in any order
    assert copy.tensors.keys() == original.tensors.keys()
    assert all(th.equal(copy.tensors[name], tensor) for name, tensor in original.tensors.items())
    monkeypatch.chdir(tmp_path)
    cli.main(["export", "cardqn"])
    assert policy_file.read(Path("cardqn.safetensors")).about == SafeAgent(shipped_agents()["cardqn"]).about


def test_bench_decision(safe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["bench", "decision", str(safe), "--decisions", "3"])
    head, torch_row, onnx_row = capsys.readouterr().out.splitlines()[:3]
    assert head.split() == ["after", "a", "step", "in", "a", "row", "ms"]
    for row, name in ((torch_row, "torch"), (onnx_row, "ONNX Runtime")):
        assert row.startswith(f"{name} ")
        assert len([float(cost) for cost in row.removeprefix(name).split()]) == 2


def test_shipped_agents_are_found_by_name(
    safe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(policy_file, "_SHIPPED", tmp_path / "pretrained")
    (tmp_path / "pretrained").mkdir()
    shutil.copy(safe, tmp_path / "pretrained/cardqn.safetensors")
    assert load_pretrained().action_space.n == 2
    with error_naming(UserError, "'cardqm' | 'cardqn'"):
        load_pretrained("cardqm")
    assert find_agents("cardqn") == [default_agent()]
    assert default_agent().name == "cardqn"


def test_a_name_is_the_shipped_agent_whatever_the_folder_holds(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = shipped_agents()["cardqn"]
    decoy = tmp_path / "cardqn"  # with the names of a run folder
    shutil.copytree(run.folder, decoy / "CarRacing-v3_1")
    monkeypatch.chdir(tmp_path)
    (by_name,) = find_agents("cardqn")
    (by_path,) = find_agents(tmp_path / "cardqn/CarRacing-v3_1")
    assert by_name.model_path == shipped
    assert by_path.model_path.parent == decoy / "CarRacing-v3_1"
    for path in ("./cardqn", Path("cardqn")):
        with error_naming(UserError, "'cardqn'"):
            find_agents(path)
        with error_naming(UserError, "'cardqn'"):
            export(path)
    cli.main(["export", "cardqn"])
    assert policy_file.read(Path("cardqn.safetensors")).about == SafeAgent(shipped).about
    cli.main(["evaluate", "cardqn", "--tracks", "1", "--fast"])
    capsys.readouterr()


@pytest.mark.parametrize("algo", ["dqn", "cardqn"])
def test_a_lone_zip_of_another_python_is_exported(algo: str, tmp_path: Path) -> None:
    model = ALGOS[algo]("MlpPolicy", "CartPole-v1", buffer_size=10, policy_kwargs={"net_arch": [8]})
    model.save(tmp_path / "model.zip")
    other_pythons = base64.b64encode(b"cmodule_of_another_python\nSchedule\n.").decode()  # a pickle
    with (
        zipfile.ZipFile(tmp_path / "model.zip") as saved,
        zipfile.ZipFile(tmp_path / "lone.zip", "w") as lone,
    ):
        for name in saved.namelist():
            content = saved.read(name)
            if name == "data":
                data = json.loads(content)
                for schedule in ("learning_rate", "lr_schedule", "exploration_schedule", "exploration_decay"):
                    data[schedule] = {":type:": "function", ":serialized:": other_pythons}
                content = json.dumps(data).encode()
            lone.writestr(name, content)
    trust.remember(tmp_path / "lone.zip")
    policy = load_policy(export(tmp_path / "lone.zip", algo=algo))
    obs = np.ones((1, 4), np.float32)
    assert policy.predict(obs)[0] == model.predict(obs, deterministic=True)[0]
    (tmp_path / "none.zip").write_bytes(b"PK")
    trust.remember(tmp_path / "none.zip")
    with error_naming(UserError, f"'{tmp_path / 'none.zip'}'"):
        export(tmp_path / "none.zip", algo=algo)


def test_an_agent_named_twice_has_two_rows(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["evaluate", "cardqn", "cardqn", "--tracks", "1", "--fast", "--processes", "1"])
    rows = [line for line in capsys.readouterr().out.splitlines() if "cardqn" in line]
    assert len(rows) == 2
    assert rows[0].split()[-9:-1] == rows[1].split()[-9:-1]  # the same scores; decisions take other times


def test_the_command_line_exports_and_drives_what_it_exported(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    cli.main(["export", str(run.folder), "--output", "out/car.safetensors"])
    assert capsys.readouterr().out.startswith("out/car.safetensors  0.1")
    cli.main(["evaluate", "out/car.safetensors", "--tracks", "1", "--fast"])
    assert "1 track of CarRacing, 200000 to 200000" in capsys.readouterr().out


def test_a_mistake_at_export_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["export", "absent"])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert not missing("sb3-cardqn | 'absent'", line)


def test_env_of_a_file_is_the_env_of_its_run(run: Run, safe: Path) -> None:
    of_run, of_file = make_env(run), make_env(SafeAgent(safe))
    assert str(of_run.envs[0]) == str(of_file.envs[0])
    assert "FastRender" not in str(of_file.envs[0])


def test_a_model_card_says_what_was_measured(safe: Path) -> None:
    drives = pd.DataFrame(
        {
            "track": [200_000, 200_001],
            "score": [900.0, 850.5],
            "frames": [800, 1000],
            "lap_finished": [True, False],
            "missed_tiles": [0, 21],
        }
    )
    text = model_card(Evaluation(SafeAgent(safe), drives, 0.0005), "sb3-cardqn evaluate policy.safetensors")
    card = ModelCard(text)
    assert card.data.library_name == "stable-baselines3"
    assert "reinforcement-learning" in card.data.tags
    (result,) = card.data.eval_results
    assert (result.task_type, result.dataset_type, result.metric_type) == (
        "reinforcement-learning",
        "CarRacing-v3",
        "mean_reward",
    )
    assert result.metric_value == "875.25 +/- 24.75"
    assert "| 2 held-out tracks, 200000 to 200001 | |" in card.text
    assert "one thread | 0.50 ms |" in card.text
    assert "| cars lost | 1 of 2 (95 % interval: 1.3% to 98.7%) |" in card.text
    assert "Worst track: 200001, score 850.5. Laps not finished: 1 of 2." in card.text
    assert "    sb3-cardqn train --seed 3 -params gamma:0.9" in card.text
    assert f"| gymnasium | {gym.__version__} |" in card.text


def test_the_shipped_agent_is_in_the_safe_form(observations: np.ndarray) -> None:
    shipped = list((ROOT / "sb3_cardqn" / "pretrained").iterdir())
    assert {path.suffix for path in shipped} <= {".safetensors", ".json", ".md"}
    actions, _ = load_pretrained().predict(observations[:10, ..., :48])
    assert actions.shape == (10,)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "domain_randomize"), [("cardqn", False), ("cardqn_any_colors", True)])
def test_the_shipped_agents_drive(name: str, domain_randomize: bool) -> None:
    """Two validation tracks: what an agent sees must stay what it learned to see."""
    (evaluation,) = evaluate(
        name, [100_000, 100_001], stock=False, env_kwargs={"domain_randomize": domain_randomize}
    )
    assert evaluation.drives["score"].min() > 900


@pytest.mark.parametrize("stock", [True, False])
def test_a_policy_makes_the_environment_that_it_is_judged_on(stock: bool) -> None:
    policy = load_pretrained()
    env = policy.make_env(stock, max_episode_steps=30)
    (agent_,) = find_agents("cardqn")
    with closing(make_env(agent_, stock, max_episode_steps=30)) as judged:
        judged.seed(200_000)
        theirs: Any = judged.reset()
        ours, _ = env.reset(seed=200_000)
        done = False
        while not done:
            assert np.array_equal(ours, theirs[0])
            action, _ = policy.predict(ours)
            ours, reward, terminated, truncated, _ = env.step(action)
            theirs, rewards, dones, _ = judged.step(np.array([action]))
            done = bool(terminated or truncated)
            assert (reward, done) == (pytest.approx(float(rewards[0])), dones[0])
    env.close()


def test_a_policy_that_names_no_environment_cannot_make_one(run: Run, tmp_path: Path) -> None:
    write_policy(run.load_model(), run.algo, tmp_path / "lone.safetensors")
    with error_naming(UserError, "environment"):
        load_policy(tmp_path / "lone.safetensors").make_env()
