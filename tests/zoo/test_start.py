"""``train -i``: a new run starts from a spent run's zip, an exported policy, or a zip of SB3's DQN."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch as th
import yaml
from rl_zoo3 import ALGOS
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from sb3_cardqn import CarDQN, load_policy, trust
from sb3_cardqn.checkpoint.exact import ExactCheckpoint
from sb3_cardqn.errors import UserError
from sb3_cardqn.policy_file.write import write_policy
from sb3_cardqn.zoo import commands as zoo
from tests.named import error_naming

SHORT = ["--env", "CartPole-v1", "--seed", "1", "--eval-freq", "-1"]
SMALL = ["learning_starts:100", "train_freq:4", "gradient_steps:1", "policy_kwargs:dict(net_arch=[16])"]


def train(folder: Path, *more: str, algo: str = "cardqn") -> Any:
    """Train in a folder of its own: the agent at the end."""
    zoo.run("train", ["--algo", algo, *SHORT, "-f", str(folder), *more])
    return ALGOS[algo].load(folder / algo / "CartPole-v1_1/CartPole-v1.zip", device="cpu")


def config(folder: Path) -> Any:
    text = (folder / "cardqn/CartPole-v1_1/CartPole-v1/config.yml").read_text()
    return dict(yaml.load(text, yaml.Loader))


def weights(network: th.nn.Module) -> list[float]:
    return th.cat([value.flatten() for value in network.state_dict().values()]).tolist()


@pytest.fixture(scope="module", params=["cardqn", "dqn"])
def spent(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """An agent with a spent budget, and its zip."""
    folder = tmp_path_factory.mktemp(request.param)
    small = [*SMALL, "learning_rate:'lin_1e-3'"]
    model = train(folder, "-n", "400", "-params", *small, algo=request.param)
    return model, folder / f"{request.param}/CartPole-v1_1/CartPole-v1.zip"


@pytest.fixture
def exported(spent: tuple[Any, Path], tmp_path: Path) -> Path:
    write_policy(spent[0], "cardqn", tmp_path / "policy.safetensors")
    return tmp_path / "policy.safetensors"


def test_a_spent_zip_is_trained_on(spent: tuple[Any, Path], tmp_path: Path) -> None:
    trained, path = spent
    filled = train(tmp_path / "filled", "-i", str(path), "-n", "80", "-params", *SMALL)
    assert weights(filled.q_net) == weights(trained.q_net)  # only the buffer fills before learning_starts
    new = train(tmp_path / "new", "-i", str(path), "-n", "400", "-params", *SMALL, "learning_rate:'lin_1e-3'")
    assert weights(new.q_net) != weights(trained.q_net)
    assert new.num_timesteps == 400
    assert new.exploration_rate == new.exploration_initial_eps == new.exploration_final_eps
    assert config(tmp_path / "new")["exploration_initial_eps"] == new.exploration_final_eps
    (group,) = new.policy.optimizer.param_groups
    assert 0 <= group["lr"] <= 2e-5  # of 1e-3: the schedule is over the new budget


def test_exploration_starts_over_if_it_is_asked_for(spent: tuple[Any, Path], tmp_path: Path) -> None:
    asked = [
        "exploration_initial_eps:0.5",
        "exploration_steps:1000",
    ]  # of which none is over before learning starts
    more = ["-i", str(spent[1]), "-n", "80", "-params", *SMALL, *asked]
    assert train(tmp_path, *more).exploration_rate == 0.5


def test_an_exported_policy_is_trained_on_without_trust(
    exported: Path, spent: tuple[Any, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setenv(trust.TRUST, "")
    with error_naming(UserError, "--trust"):
        train(tmp_path / "zip", "-i", str(spent[1]), "-n", "80", "-params", *SMALL)
    average = "policy_kwargs:dict(net_arch=[16], average_fraction=0.1)"
    filled = train(tmp_path / "filled", "-i", str(exported), "-n", "80", "-params", *SMALL[:-1], average)
    for network in (filled.q_net, filled.q_net_target, filled.policy.driving_net):
        assert weights(network) == weights(load_policy(exported))
    assert filled.policy.driving_net is not filled.q_net
    learned = train(tmp_path / "learned", "-i", str(exported), "-n", "300", "-params", *SMALL)
    assert weights(learned.q_net) != weights(filled.q_net)


@pytest.mark.parametrize(
    ("more", "error", "named"),
    [
        (["-i", "cardqn"], UserError, "cardqn.safetensors | observation_space | (4, 64, 48) uint8"),
        (["-i", "{exported}"], UserError, "net_arch | [16] | [256, 256]"),
        (["-i", "{exported}", "--algo", "ppo"], UserError, "PPO"),
        (["-i", "{exported}", "--algo", "qrdqn"], UserError, "QRDQN"),
        (["-i", "{exported}", "-optimize"], UserError, "-optimize | -i"),
    ],
)
def test_what_does_not_fit_is_named_and_leaves_no_run(
    more: list[str], error: type[Exception], named: str, exported: Path, tmp_path: Path
) -> None:
    more = [word.format(exported=exported) for word in more]
    with error_naming(error, named):
        zoo.run("train", [*SHORT, "-n", "300", "-f", str(tmp_path / "logs"), *more])
    assert not list(tmp_path.glob("logs/*/CartPole-v1_*"))


def test_the_best_agent_starts_with_the_statistics_of_its_moment(tmp_path: Path) -> None:
    more = ["-params", *SMALL, "normalize:True"]
    train(tmp_path, "-n", "100", *more)
    run = tmp_path / "cardqn/CartPole-v1_1"
    shutil.copy(run / "CartPole-v1.zip", run / "best_model.zip")
    for name, mean in (("best_vecnormalize.pkl", 1.0), ("vecnormalize.pkl", 2.0)):
        statistics = VecNormalize.load(str(run / "CartPole-v1/vecnormalize.pkl"), make_vec_env("CartPole-v1"))
        statistics.obs_rms.mean[:], statistics.obs_rms.count = mean, 1e12
        statistics.save(str(run / "CartPole-v1" / name))
        trust.remember(run / "CartPole-v1" / name)
        trust.remember(run / "best_model.zip")
    for agent, mean in (("best_model.zip", 1.0), ("CartPole-v1.zip", 2.0)):
        train(tmp_path / agent, "-i", str(run / agent), "-n", "20", *more)
        left = tmp_path / agent / "cardqn/CartPole-v1_1/CartPole-v1/vecnormalize.pkl"
        normalized = VecNormalize.load(str(left), make_vec_env("CartPole-v1"))
        assert normalized.obs_rms.mean == pytest.approx([mean] * 4, abs=1e-3)


def test_a_folder_with_brackets_is_a_folder(tmp_path: Path) -> None:
    for _ in range(2):
        train(tmp_path / "logs [1]", "-n", "50", "-params", *SMALL)
    assert {path.name for path in (tmp_path / "logs [1]/cardqn").iterdir()} == {
        "CartPole-v1_1",
        "CartPole-v1_2",
    }


def test_a_zip_of_another_algorithm_is_named(tmp_path: Path) -> None:
    train(tmp_path, "-n", "100", "-params", *SMALL, algo="qrdqn")
    zip_of_qrdqn = tmp_path / "qrdqn/CartPole-v1_1/CartPole-v1.zip"
    with error_naming(TypeError, "QRDQNPolicy | q_net"):
        train(tmp_path, "-i", str(zip_of_qrdqn), "-n", "100")
    assert not list(tmp_path.glob("cardqn/*"))


def test_a_run_that_started_trained_resumes_exactly(
    spent: tuple[Any, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped while its buffer fills; the file from which it started is gone."""
    start = shutil.copy(spent[1], tmp_path / "start.zip")
    more = ["-i", str(start), "-n", "400", "--checkpoint-freq", "50", "-params", *SMALL]
    whole = train(tmp_path / "whole", *more)
    with monkeypatch.context() as patched:
        patched.setattr(ExactCheckpoint, "_on_step", lambda callback: callback.num_timesteps < 75)
        train(tmp_path / "parts", *more)
    run = tmp_path / "parts/cardqn/CartPole-v1_1"
    start.unlink()
    zoo.resume(run)
    resumed = CarDQN.load(run / "CartPole-v1.zip", device="cpu")
    assert resumed.num_timesteps == 400
    assert weights(resumed.q_net) == weights(whole.q_net)
