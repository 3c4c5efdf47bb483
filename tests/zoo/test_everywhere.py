"""Environments that this package has no entry for: what DQN trains on in the zoo, CarDQN trains on."""

import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import rl_zoo3
import torch as th
import yaml
from gymnasium import spaces
from rl_zoo3 import ALGOS
from stable_baselines3.common.buffers import ReplayBuffer

from sb3_cardqn import FrameReplayBuffer
from sb3_cardqn.zoo import commands
from sb3_cardqn.zoo.configuration import default_policy, hyperparams_path

ZOO = Path(rl_zoo3.__file__).parent / "hyperparams/dqn.yml"
ENTRIES = yaml.safe_load(ZOO.read_text())


class Shows(gym.Env):
    """Random observations of a space, and a reward for the second action."""

    def __init__(self, space: spaces.Space) -> None:
        self.observation_space, self.action_space = space, spaces.Discrete(3)

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        super().reset(**kwargs)
        if kwargs.get("seed") is not None:
            self.observation_space.seed(kwargs["seed"])
        return self.observation_space.sample(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return (
            self.observation_space.sample(),
            float(action == 1),
            bool(self.np_random.random() < 0.1),
            False,
            {},
        )


SPACES: dict[str, tuple[spaces.Space, str]] = {
    "Gray-v0": (spaces.Box(0, 255, (40, 44, 1), np.uint8), "CnnPolicy"),
    "Colours-v0": (spaces.Box(0, 255, (3, 40, 44), np.uint8), "CnnPolicy"),
    "Tiny-v0": (spaces.Box(0, 255, (10, 10, 3), np.uint8), "MlpPolicy"),
    "Planes-v0": (spaces.Box(0, 1, (10, 10, 4), bool), "MlpPolicy"),
    "Vector-v0": (spaces.Box(-1, 1, (40, 40, 3), np.float32), "MlpPolicy"),
    "Number-v0": (spaces.Discrete(4), "MlpPolicy"),
    "Dict-v0": (spaces.Dict({"a": spaces.Box(0, 1, (2,))}), "MultiInputPolicy"),
}


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    for name, (space, _) in SPACES.items():
        if name not in gym.registry:
            gym.register(name, lambda space=space: Shows(space))


def train(algo: str, env: str, *more: str) -> Any:
    commands.run("train", ["--algo", algo, "--env", env, "--seed", "3", "--eval-freq", "-1", *more])
    name = sorted(Path(f"logs/{algo}").glob(f"{env}_*"))[-1]
    return ALGOS[algo].load(name / f"{env}.zip", device="cpu")


@pytest.mark.parametrize("algo", ["cardqn", "dqn", "qrdqn"])
@pytest.mark.parametrize("env", sorted(ENTRIES.keys() - {"default", "atari"}))
def test_every_environment_of_the_zoos_dqn_is_trained(env: str, algo: str) -> None:
    model = train(algo, env, "-n", "256", "-params", "learning_starts:50", "n_envs:1")
    assert model._n_updates >= 100
    if algo == "cardqn":
        assert hyperparams_path("cardqn", env) == str(ZOO)
        assert (model.batch_size, model.gamma) == (ENTRIES[env]["batch_size"], ENTRIES[env]["gamma"])


@pytest.mark.parametrize("env", SPACES)
def test_the_policy_fits_the_observations(env: str) -> None:
    assert default_policy(env, None, None) == SPACES[env][1]
    model = train("cardqn", env, "-n", "150", "-params", "learning_starts:50", "buffer_size:200")
    assert type(model.policy).__name__ == {"MlpPolicy": "CarDQNPolicy"}.get(SPACES[env][1], SPACES[env][1])
    assert model._n_updates >= 10


def test_a_policy_that_was_typed_stays(capsys: pytest.CaptureFixture[str]) -> None:
    typed = ["policy:'MlpPolicy'", "learning_starts:50", "buffer_size:200"]
    model = train("cardqn", "Gray-v0", "-n", "60", "-params", *typed)
    assert type(model.policy).__name__ == "CarDQNPolicy"
    assert f"Loading hyperparameters from: {ZOO}" in capsys.readouterr().out


@pytest.mark.parametrize("env", ["Gray-v0", "Colours-v0"])
def test_stacks_of_the_zoo_are_stored_frame_by_frame(env: str) -> None:
    typed = ["frame_stack:4", "learning_starts:20", "buffer_size:90", "n_envs:2"]
    ours = train("cardqn", env, "-n", "200", "-params", *typed)
    whole = "replay_buffer_class:__import__('stable_baselines3').common.buffers.ReplayBuffer"
    theirs = train("cardqn", env, "-n", "200", "-params", *typed, whole)
    assert (ours.replay_buffer_class, theirs.replay_buffer_class) == (FrameReplayBuffer, ReplayBuffer)
    assert ours._n_updates == theirs._n_updates >= 20
    for mine, other in zip(ours.policy.parameters(), theirs.policy.parameters(), strict=True):
        assert th.equal(mine, other)


def test_atari_is_trained_as_by_dqn() -> None:
    pytest.importorskip("ale_py")
    model = train(
        "cardqn", "PongNoFrameskip-v4", "--gym-packages", "ale_py", "-n", "150",
        "-params", "learning_starts:30", "buffer_size:200", "train_freq:1",
    )  # fmt: skip
    assert model._n_updates >= 100
    assert type(model.policy).__name__ == "CnnPolicy"
    assert model.replay_buffer_class is FrameReplayBuffer
