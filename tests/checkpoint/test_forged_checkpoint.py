"""A checkpoint from elsewhere is signed by whoever made it: it sets numbers, and leads to no other folder."""

import re
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from sb3_cardqn.checkpoint.exact import ExactCheckpoint
from sb3_cardqn.checkpoint.files import newest_checkpoint
from sb3_cardqn.durable import read_signed_json, write_signed_json
from sb3_cardqn.errors import UserError
from tests.named import error_naming
from tests.small_training import TOTAL, agent, cart_pole


def evaluation(folder: Path) -> EvalCallback:
    return EvalCallback(
        make_vec_env("CartPole-v1", seed=9), eval_freq=100, best_model_save_path=str(folder), verbose=0
    )


def train(tmp_path: Path, **kwargs: Any) -> Any:
    model = agent(tensorboard_log=str(tmp_path / "tb"))
    callbacks = [ExactCheckpoint(tmp_path / "checkpoints", 100, **kwargs), evaluation(tmp_path / "best")]
    model.learn(TOTAL if kwargs else 560, callback=callbacks)
    return model


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that has left two checkpoints."""
    folder = tmp_path_factory.mktemp("begun")
    train(folder)
    return folder


@pytest.fixture
def trained(begun: Path, tmp_path: Path) -> None:
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)


def forge(tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    for path in (tmp_path / "checkpoints").glob("checkpoint-*.json"):
        content = read_signed_json(path)
        change(content)
        write_signed_json(path, content)


def snapshot(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("best_model_save_path", "elsewhere"), ("best_model_save_path", 1), ("log_path", "elsewhere"),
        ("eval_freq", "elsewhere"), ("evaluations_results", [["elsewhere"]]), ("on_step", 1), ("not_there", 1),
        ("__class__", 1),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("trained")
def test_only_numbers_are_set(name: str, value: Any, tmp_path: Path) -> None:
    forge(tmp_path, lambda content: content["callbacks"][0]["numbers"].update({name: value}))
    before = snapshot(tmp_path)
    with error_naming(UserError, name):
        train(tmp_path, resume=True)
    after = snapshot(tmp_path)
    assert {path for path in before if before[path] != after.get(path)} == set()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.usefixtures("trained")
def test_rows_without_end_take_no_memory(tmp_path: Path) -> None:
    def longer(content: dict[str, Any]) -> None:
        content["segments"][0][0] -= 4 * 10**8

    forge(tmp_path, longer)
    tracemalloc.start()
    with error_naming(UserError, "-399999700"):
        train(tmp_path, resume=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**9


@pytest.mark.parametrize("folder", ["../../other/run", "..", ".", "", "other", "/", "link"])
@pytest.mark.usefixtures("trained")
def test_no_curve_elsewhere_is_touched(folder: str, tmp_path: Path) -> None:
    other = tmp_path / "other/run"
    for place in (other, tmp_path / "tb/other", tmp_path):
        place.mkdir(parents=True, exist_ok=True)
        (place / "events.out.tfevents.1").write_bytes(b"somebody's")
    (tmp_path / "tb/link").symlink_to(other)
    forge(tmp_path, lambda content: content["log"].update(tensorboard={"folder": folder, "sizes": {}}))
    before = snapshot(tmp_path)
    train(tmp_path, resume=True)
    after = snapshot(tmp_path)
    kept = {path for path in before if "events" in path.name}
    assert {path for path in kept if before[path] != after.get(path)} == set()
    assert len(list(other.iterdir())) == len(list(tmp_path.glob("events*"))) == 1


@pytest.mark.parametrize("name", ["../agent.pt", "..", "sub/networks.pt", "{there}/agent.pt"])
@pytest.mark.usefixtures("trained")
def test_its_files_are_in_its_folder(name: str, tmp_path: Path) -> None:
    networks = next((tmp_path / "checkpoints").glob("networks-*"))
    (tmp_path / "agent.pt").write_bytes(networks.read_bytes())
    forge(tmp_path, lambda content: content["own"][0].__setitem__(0, name.format(there=tmp_path)))
    with (
        error_naming(UserError, f"{tmp_path / 'checkpoints'} | 2"),
        pytest.warns(UserWarning, match=re.escape(name.format(there=tmp_path))),
    ):
        newest_checkpoint(tmp_path / "checkpoints")


@pytest.mark.usefixtures("trained")
def test_a_link_is_no_file_of_a_checkpoint(tmp_path: Path) -> None:
    for path in (tmp_path / "checkpoints").glob("networks-*"):
        path.rename(tmp_path / path.name)
        path.symlink_to(tmp_path / path.name)
    with (
        error_naming(UserError, f"{tmp_path / 'checkpoints'} | 2"),
        pytest.warns(UserWarning, match="networks-"),
    ):
        newest_checkpoint(tmp_path / "checkpoints")


def test_a_wrapper_keeps_its_settings(tmp_path: Path) -> None:
    agent(VecNormalize(cart_pole())).learn(560, callback=ExactCheckpoint(tmp_path / "checkpoints", 100))
    forge(tmp_path, lambda content: content["envs"]["wrappers"][0].update(venv=1, clip_obs=0, training=False))
    env = VecNormalize(cart_pole())
    agent(env).learn(TOTAL, callback=ExactCheckpoint(tmp_path / "checkpoints", 100, resume=True))
    assert env.clip_obs == 10
    assert env.training


def test_no_attribute_but_the_algorithms_tensors_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sb3_cardqn.checkpoint import state as state

    model = agent()
    networks = state.get_networks(model)
    networks["tensors"]["policy.q_net"] = networks["parameters"]["policy"]["q_net.q_net.0.weight"]
    state.set_networks(model, networks)
    assert not hasattr(model.policy.q_net, "data")
