import inspect
import io
import os
import shutil
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from stable_baselines3.common import base_class
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_cardqn import CarDQN, trust, zoo
from sb3_cardqn.errors import UserError
from sb3_cardqn.evaluate import Run, make_env
from tests.test_zoo import run_well, sb3_cardqn


@pytest.fixture(autouse=True)
def nobody_vouches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(trust.TRUST, raising=False)


def test_what_was_made_here_is_known_under_any_name_until_it_is_changed(tmp_path: Path) -> None:
    made, moved = tmp_path / "agent.zip", tmp_path / "elsewhere" / "best.zip"
    made.write_bytes(b"an agent")
    with pytest.raises(
        UserError, match=r"'.*agent.zip' was not made by sb3-cardqn on this machine.*add --trust"
    ):
        trust.require(made)
    trust.remember(made)
    moved.parent.mkdir()
    shutil.copy(made, moved)
    trust.require(made, moved, tmp_path / "absent")
    moved.write_bytes(b"an agenT")
    with pytest.raises(UserError, match=r"best\.zip"):
        trust.require(made, moved)


@pytest.mark.parametrize(
    ("value", "trusted"), [("True", True), ("1", True), ("0", False), ("", False), ("no", False)]
)
def test_the_environment_variable_vouches_for_everything(
    value: str, trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "agent.zip").touch()
    monkeypatch.setenv(trust.TRUST, value)
    if trusted:
        trust.require(tmp_path / "agent.zip")
    else:
        with pytest.raises(UserError):
            trust.require(tmp_path / "agent.zip")


def test_training_goes_on_where_nothing_can_be_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "agent.zip").touch()
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    trust.remember(tmp_path / "agent.zip")
    assert capsys.readouterr().err.endswith("to play this agent say --trust\n")


def test_everything_that_sb3_saves_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stable_baselines3.common import base_class, off_policy_algorithm

    for owner, name in (
        (base_class, "save_to_zip_file"),
        (off_policy_algorithm, "save_to_pkl"),
        (VecNormalize, "save"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # put back afterwards
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    trust.remember_what_is_saved()
    trust.remember_what_is_saved()
    env = VecNormalize(DummyVecEnv([lambda: gym.make("CartPole-v1")]))
    model = CarDQN("MlpPolicy", env, buffer_size=50)
    model.save(tmp_path / "agent")
    model.save_replay_buffer(tmp_path / "buffer")
    env.save(str(tmp_path / "vecnormalize.pkl"))
    files = [tmp_path / name for name in ("agent.zip", "buffer.pkl", "vecnormalize.pkl")]
    model.save(io.BytesIO())  # as SB3 can; a file that is not there needs no trust
    trust.require(*files)
    assert all(file.is_file() for file in files)
    assert len(trust.made_here().read_text().splitlines()) == 3


class Evil:
    """Runs code when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.proof),)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which cardqn has been trained for a moment, through the zoo."""
    folder = tmp_path_factory.mktemp("trained")
    short = "-n 300 --eval-freq 150 --eval-episodes 1 -params buffer_size:500 learning_starts:50"
    run_well(folder, f"train --env CartPole-v1 {short}")
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained / "logs", tmp_path / "logs")
    return tmp_path


def test_what_was_trained_here_simply_plays_and_nothing_else_does(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # whatever was trained in this process before: a stranger's save is remembered nowhere
    monkeypatch.setattr(base_class, "save_to_zip_file", inspect.unwrap(base_class.save_to_zip_file))
    run = folder / "logs/cardqn/CartPole-v1_1"
    enjoy = "enjoy --env CartPole-v1 --no-render -n 10"
    run_well(folder, enjoy)

    proof = folder / "proof"
    model = CarDQN.load(run / "CartPole-v1.zip", buffer_size=1)
    model.extra = Evil(proof)
    model.save(run / "CartPole-v1.zip")
    for command in (enjoy, f"train --env CartPole-v1 -n 10 -i {run / 'CartPole-v1.zip'}"):
        refused = sb3_cardqn(folder, command)
        assert refused.returncode == 2
        assert "CartPole-v1.zip' was not made by sb3-cardqn on this machine" in refused.stderr
        assert "add --trust" in refused.stderr
        assert not proof.exists()
    run_well(folder, f"{enjoy} --trust")
    assert proof.is_dir()  # so there was code to run


def test_a_configuration_from_elsewhere_is_refused_too(folder: Path) -> None:
    run = Run(folder / "logs/cardqn/CartPole-v1_1")
    make_env(run).close()
    run.load_model()  # the best one
    with run.config_path.open("a") as config:
        config.write("\n# changed\n")
    arguments = (0, str(folder / "logs"), "cardqn", "CartPole-v1")
    for load in (run.load_model, lambda: make_env(run), lambda: zoo._trusted_model_path(*arguments)):
        with pytest.raises(UserError, match=r"config\.yml' was not made by sb3-cardqn on this machine"):
            load()
