"""Environments that this package has no entry for: what DQN trains on in the zoo, CarDQN trains on."""

import importlib
import re
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium as gym
import imageio.v2 as imageio
import numpy as np
import pandas as pd
import pytest
import rl_zoo3
import torch as th
import yaml
from gymnasium import spaces
from rl_zoo3 import ALGOS
from stable_baselines3.common.buffers import ReplayBuffer

from sb3_cardqn import FrameReplayBuffer, load_policy
from sb3_cardqn.agents.find import find_agents
from sb3_cardqn.errors import UserError
from sb3_cardqn.evaluate import evaluate
from sb3_cardqn.publish.export import export
from sb3_cardqn.race import race
from sb3_cardqn.race.film import ENDING
from sb3_cardqn.zoo import commands
from sb3_cardqn.zoo.configuration import default_policy, hyperparams_path
from sb3_cardqn.zoo.settings import check_environment
from tests.command_line import run_well
from tests.named import error_naming

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
    "Picture-in-Dict-v0": (
        spaces.Dict({"a": spaces.Box(0, 1, (2,)), "b": spaces.Box(0, 255, (40, 44, 3), np.uint8)}),
        "MultiInputPolicy",
    ),
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
    folder = Path(f"logs/{algo}/{env}_1")
    exported = export(folder)
    trained, safe = evaluate([folder, exported], [200_000, 200_001], n_processes=1)
    assert trained.drives.equals(safe.drives)
    assert trained.drives["score"].nunique() > 1 or env in ("Acrobot-v1", "MountainCar-v0")  # which never end


def test_one_agent_is_judged_shown_and_exported_by_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    train("cardqn", "CartPole-v1", "-n", "256", "-params", "learning_starts:50")
    here = Path()
    last = run_well(here, "evaluate --episodes 2 --csv scores.csv").splitlines()
    assert last[0].split()[-4:] == [">=", "475", "steps", "ms/decision"]
    assert last[-1].startswith("2 episodes of CartPole-v1, 200000 to 200001")
    scores = pd.read_csv("scores.csv")["score"].tolist()
    shown = run_well(here, "race mine=logs/cardqn/CartPole-v1_1 --episodes 2")
    assert [float(line.split()[2]) for line in shown.splitlines()[2:4]] == scores
    pictures: Any = imageio.mimread("logs/cardqn/CartPole-v1_1/race.mp4", memtest=False)
    assert len(pictures) == int(max(scores)) + 1 + ENDING * 50
    readme = Path("logs/cardqn/CartPole-v1_1/README.md")
    readme.write_text("# My project, with sb3-cardqn")
    with error_naming(UserError, f"--card | '{readme}' | -o"):
        run_well(here, "--traceback export logs/cardqn/CartPole-v1_1 --card")
    assert readme.read_text() == "# My project, with sb3-cardqn"
    readme.unlink()
    for _ in range(2):  # a card may be written over
        assert run_well(here, "export logs/cardqn/CartPole-v1_1 --card")
    card = Path("logs/cardqn/CartPole-v1_1/README.md").read_text()
    assert not re.findall(r"\b(track|lap|road|car)s?\b", card, re.IGNORECASE)
    policy = load_policy("logs/cardqn/CartPole-v1_1/policy.safetensors")
    env = policy.make_env()
    assert policy.predict(env.reset(seed=0)[0], deterministic=True)[0] in (0, 1)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["evaluate", "logs/cardqn/CartPole-v1_1", "cardqn"], "CartPole-v1 | CarRacing-v3 | 'cardqn'"),
        (["evaluate", "--domain-randomize"], "--domain-randomize | CartPole-v1"),
        (["evaluate", "--first", "7"], "episodes | 200000 | 7"),
        (["evaluate", "--env", "CartPole-v1"], "--env CartPole-v1"),
        (["evaluate", "--gym-packages", "absent"], "--gym-packages | 'absent'"),
        (["bench", "agent"], "CarRacing | CartPole-v1"),
    ],
)
def test_what_does_not_fit_is_named(arguments: list[str], named: str) -> None:
    train("cardqn", "CartPole-v1", "-n", "60", "-params", "learning_starts:50")
    with error_naming(UserError, named):
        importlib.import_module(f"sb3_cardqn.{arguments[0]}.command").main(arguments[1:])


def test_a_zip_of_another_environment_needs_its_id() -> None:
    train("dqn", "CartPole-v1", "-n", "60", "-params", "learning_starts:50")
    Path("elsewhere").mkdir()
    agent = Path("logs/dqn/CartPole-v1_1/CartPole-v1.zip").rename("elsewhere/mine.zip")
    Path("mine.yml").write_text("CartPole-v1: {}\n")
    found = find_agents([agent], config=Path("mine.yml"), algo="dqn", env="CartPole-v1")
    assert len(evaluate(found, [200_000, 200_001], n_processes=2)[0].drives) == 2
    (trained,) = find_agents(
        [agent], config=Path("logs/dqn/CartPole-v1_1/CartPole-v1/config.yml"), algo="dqn"
    )
    assert trained.env_id == "CartPole-v1"


def test_the_arguments_of_an_environment_are_exported() -> None:
    train("dqn", "FrozenLake-v1", "-n", "60", "--env-kwargs", "desc:['SF','FG']", "is_slippery:False")
    path = export("logs/dqn/FrozenLake-v1_1")
    alone, safe = evaluate(["logs/dqn/FrozenLake-v1_1", path], [200_000, 200_001], n_processes=1)
    assert alone.drives.equals(safe.drives)
    with closing(load_policy(path).make_env()) as env:
        assert env.unwrapped.desc.shape == (2, 2)
        assert {env.step(1)[0] for _ in range(1 + env.reset()[0])} == {2}  # down, on ice that does not slip


def test_the_id_of_ones_own_environment_is_exported_where_it_is_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(gym.registry, "mine/Vector-v0", gym.registry["Vector-v0"])
    commands.run("train", ["--algo", "dqn", "--env", "mine/Vector-v0", "-n", "60", "--eval-freq", "-1"])
    monkeypatch.delitem(gym.registry, "mine/Vector-v0")
    export(Path("logs/dqn/mine-Vector-v0_1"))
    about = load_policy("logs/dqn/mine-Vector-v0_1/policy.safetensors").about
    assert about["env"]["id"] == "mine/Vector-v0"


def test_an_environment_of_a_package_is_known_in_other_processes() -> None:
    train("cardqn", "Vector-v0", "-n", "60", "-params", "learning_starts:50")
    alone, together = (evaluate("logs/cardqn/Vector-v0_1", [200_000, 200_001], n_processes=n) for n in (1, 2))
    assert alone[0].drives.equals(together[0].drives)


def test_what_draws_no_pictures_is_not_filmed() -> None:
    train("cardqn", "Vector-v0", "-n", "60", "-params", "learning_starts:50")
    with error_naming(UserError, "'rgb_array' | Vector-v0"):
        race("logs/cardqn/Vector-v0_1")
    assert not Path("race.mp4").exists()


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


def test_a_policy_of_ones_own_default_entry_stays() -> None:
    Path("mine.yml").write_text("default: {policy: MlpPolicy, n_timesteps: 60, buffer_size: 200}")
    assert type(train("cardqn", "Gray-v0", "-conf", "mine.yml").policy).__name__ == "CarDQNPolicy"


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


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["cardqn", "dqn", "qrdqn"])
def test_atari_is_trained_and_judged(algo: str) -> None:
    """``make arcade`` runs it: with ale-py, Gymnasium knows hundreds of ids more, which other tests mistype."""
    pytest.importorskip("ale_py")
    model = train(
        algo, "PongNoFrameskip-v4", "-n", "150", "-params", "learning_starts:30", "buffer_size:200", "train_freq:1",
    )  # fmt: skip
    assert model._n_updates >= 100
    assert type(model.policy).__name__ == "CnnPolicy"
    assert (model.replay_buffer_class is FrameReplayBuffer) == (algo == "cardqn")
    folder = f"logs/{algo}/PongNoFrameskip-v4_1"
    lines = run_well(Path(), f"evaluate {folder} --episodes 2").splitlines()
    assert lines[-1].startswith("2 episodes of PongNoFrameskip-v4, 200000 to 200001")
    assert -21 <= float(lines[1].split()[1]) < 0


def test_an_environment_with_wrappers_of_its_own_is_refused() -> None:
    with error_naming(UserError, "CarRacing-v3 | CarRacingPixels-v3"):
        check_environment("CarRacingPixels-v3")
