"""MinAtar's games: boolean planes in place of pictures, with or without the package."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import pytest
import yaml
from rl_zoo3 import ALGOS

from sb3_cardqn import MinAtarCNN
from sb3_cardqn.env.minatar import register_minatar
from sb3_cardqn.errors import UserError
from sb3_cardqn.zoo import commands
from sb3_cardqn.zoo.configuration import hyperparams_path
from tests.named import error_naming

# as far as the package is used, for where it is not installed
MINATAR = """
import gymnasium as gym, numpy as np


class BaseEnv(gym.Env):
    def __init__(self, game, render_mode=None, use_minimal_action_set=False):
        shape = (10, 10, {"breakout": 4, "space_invaders": 6}[game])
        self.observation_space = gym.spaces.Box(0.0, 1.0, shape, bool)
        self.action_space = gym.spaces.Discrete(3 if use_minimal_action_set else 6)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.random(self.observation_space.shape) < 0.2, {}

    def step(self, action):
        return self.reset()[0], int(action == 1), bool(self.np_random.random() < 0.1), False, {}
"""


@pytest.fixture(autouse=True)
def _in_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)


@pytest.fixture
def _minatar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    known, modules = set(gym.registry), set(sys.modules)
    if importlib.util.find_spec("minatar") is None:
        package = tmp_path / "packages/minatar"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "gym.py").write_text(MINATAR)
        monkeypatch.syspath_prepend(package.parent)
        register_minatar()
    yield
    for env_id in set(gym.registry) - known:
        del gym.registry[env_id]
    for name in {"minatar", "minatar.gym"} & (sys.modules.keys() - modules):
        del sys.modules[name]


@pytest.mark.usefixtures("_minatar")
@pytest.mark.parametrize("algo", ["cardqn", "dqn", "qrdqn"])
@pytest.mark.parametrize("env", ["MinAtar/Breakout-v1", "MinAtar/SpaceInvaders-v1"])
def test_minatar_is_trained_with_the_same_numbers(env: str, algo: str) -> None:
    commands.run("train", ["--algo", algo, "--env", env, "-n", "480", "-params", "learning_starts:50"])
    (path,) = Path(f"logs/{algo}").glob("*/MinAtar-*.zip")
    model = ALGOS[algo].load(path, device="cpu")
    assert model._n_updates >= 100
    assert model.policy.features_extractor_class is MinAtarCNN
    config = yaml.unsafe_load(next(path.parent.glob("*/config.yml")).read_text())
    entry = yaml.safe_load(Path(str(hyperparams_path("cardqn", env))).read_text())[env]
    for name in entry.keys() - {"n_timesteps", "learning_starts", "policy_kwargs"}:
        assert config[name] == entry[name], name


def test_minatar_without_its_package_says_what_to_install() -> None:
    if "MinAtar/Breakout-v1" in gym.registry:
        pytest.skip("it is installed")
    register_minatar()
    with error_naming(UserError, "MinAtar/Breakout-v1 | pip install MinAtar"):
        commands.run("train", ["--env", "MinAtar/Breakout-v1"])
