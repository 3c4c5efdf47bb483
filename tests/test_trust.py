import argparse
import hashlib
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_cardqn import CarDQN, trust
from sb3_cardqn.agents.exported import shipped_agents
from sb3_cardqn.compare import Plan, compare
from sb3_cardqn.errors import UserError
from sb3_cardqn.publish.export import export
from sb3_cardqn.zoo.commands import resume
from sb3_cardqn.zoo.experiment import CarExperimentManager
from tests.command_line import run_well, sb3_cardqn
from tests.named import error_naming, missing


def refused(path: Path) -> bool:
    try:
        trust.read_code(path)
    except UserError as error:
        return str(path) in str(error) and "--trust" in str(error)
    return False


def test_what_was_made_here_is_known_under_any_name_until_it_is_changed(tmp_path: Path) -> None:
    made, moved = tmp_path / "agent.zip", tmp_path / "elsewhere" / "best.zip"
    made.write_bytes(b"an agent of this test")
    assert refused(made)
    trust.remember(made)
    moved.parent.mkdir()
    shutil.copy(made, moved)
    assert trust.read_code(moved) == trust.read_code(made) == b"an agent of this test"
    moved.write_bytes(b"an agent of this tesT")
    assert refused(moved)


@pytest.mark.parametrize(
    ("value", "trusted"), [("True", True), ("1", True), ("0", False), ("", False), ("no", False)]
)
def test_the_environment_variable_vouches_for_everything(
    value: str, trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "agent.zip").write_bytes(b"of another test")
    monkeypatch.setenv(trust.TRUST, value)
    assert refused(tmp_path / "agent.zip") is not trusted


def test_what_is_loaded_is_what_was_checked(tmp_path: Path) -> None:
    code, data = tmp_path / "run/agent.zip", tmp_path / "run/a/curve.csv"
    data.parent.mkdir(parents=True)
    code.write_bytes(b"good")
    data.write_bytes(b"1,2")
    trust.remember(code)
    with trust.private_copies(tmp_path, [code, tmp_path / "run/absent.pkl"], [data]) as private:
        code.write_bytes(b"evil")  # too late
        assert (private / "run/agent.zip").read_bytes() == b"good"
        assert (private / "run/a/curve.csv").read_bytes() == b"1,2"
        assert private.stat().st_mode & 0o077 == 0
    assert not private.exists()
    with error_naming(UserError, "agent.zip"), trust.private_copies(tmp_path, [code]):
        pytest.fail("not refused")
    code.unlink()
    os.mkfifo(code)
    with error_naming(UserError, "agent.zip"), trust.private_copies(tmp_path, [code]):
        pytest.fail("not refused")


def test_the_list_takes_whole_lines_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("word", "whole", "upper")}
    trust.made_here().parent.mkdir()
    trust.made_here().write_bytes(
        b"\xff\xfe no text\n"
        + f'{{"command": " {digests["word"]} "}}\n{digests["upper"].upper()}\n{digests["whole"]}\n'.encode()
    )
    for name in digests:
        (tmp_path / name).write_text(name)
    assert {name for name in digests if not refused(tmp_path / name)} == {"whole"}


def test_half_a_line_of_a_full_disk_hides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    trust.made_here().parent.mkdir()
    trust.made_here().write_text("0123")
    (tmp_path / "agent.zip").touch()
    trust.remember(tmp_path / "agent.zip")
    assert not refused(tmp_path / "agent.zip")


def test_no_list_lies_in_a_folder_that_happens_to_be_current(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    assert trust.made_here() == Path.home() / ".local/state/sb3-cardqn/made_here"


def test_training_goes_on_where_nothing_can_be_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "agent.zip").touch()
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    trust.remember(tmp_path / "agent.zip")
    assert not missing(f"{tmp_path / 'file'} | --trust", capsys.readouterr().err)


def test_everything_that_sb3_saves_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    env = VecNormalize(DummyVecEnv([lambda: gym.make("CartPole-v1")]))
    model = CarDQN("MlpPolicy", env, buffer_size=50)
    with trust.remembering():
        model.save(tmp_path / "agent")
        model.save_replay_buffer(tmp_path / "buffer")
        env.save(str(tmp_path / "vecnormalize.pkl"))
        model.save(io.BytesIO())  # as SB3 can; a file that is not there needs no trust
        env.save(save_path=str(tmp_path / "named.pkl"))
        env.save(str(tmp_path / "no_suffix"))
    model.learn(1)
    model.save(tmp_path / "later.zip")
    files = [
        tmp_path / name for name in ("agent.zip", "buffer.pkl", "vecnormalize.pkl", "named.pkl", "no_suffix")
    ]
    assert refused(tmp_path / "later.zip")
    assert not any(map(refused, files))
    assert len(trust.made_here().read_text().split()) == 5


@pytest.mark.slow
def test_a_run_that_was_trained_here_simply_plays(tmp_path: Path) -> None:
    short = "-n 300 --eval-freq 150 --eval-episodes 1 -params buffer_size:500 learning_starts:50"
    run_well(tmp_path, f"train --env CartPole-v1 {short}")
    run_well(tmp_path, "enjoy --env CartPole-v1 --no-render -n 10")
    config = tmp_path / "logs/cardqn/CartPole-v1_1/CartPole-v1/config.yml"
    config.write_text(f"{config.read_text()}\n# changed")  # which the zoo reads with tags that run code
    refused = sb3_cardqn(tmp_path, "enjoy --env CartPole-v1 --no-render -n 10")
    assert refused.returncode == 2
    assert "config.yml" in refused.stderr
    run_well(tmp_path, "enjoy --env CartPole-v1 --no-render -n 10 --trust")


def test_no_normalization_is_taken_out_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("CartPole-v1").mkdir()
    Path("CartPole-v1/vecnormalize.pkl").write_bytes(b"not even a pickle")
    manager = CarExperimentManager(
        argparse.Namespace(), "cardqn", "CartPole-v1", "logs", hyperparams={"buffer_size": 100}
    )
    model, _ = manager.setup_experiment()  # type: ignore[misc]
    assert model.get_vec_normalize_env() is None


def test_an_export_writes_through_no_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    for name in ("policy.json", "policy.safetensors", "README.md"):
        (tmp_path / name).symlink_to(victim)
    export(shipped_agents()["cardqn"], tmp_path / "policy.safetensors")
    assert victim.read_text() == "mine"
    assert (tmp_path / "policy.json").read_text().startswith("{")


def test_a_comparison_does_not_go_on_through_links(tmp_path: Path) -> None:
    log = tmp_path / "output/runs/dqn/dqn/CartPole-v1_1.log"
    log.parent.mkdir(parents=True)
    log.symlink_to(tmp_path / "victim")
    plan = Plan.of(["dqn"], n_timesteps=100, env="CartPole-v1")
    with error_naming(UserError, "CartPole-v1_1.log"):
        compare(plan, tmp_path / "output")
    assert not (tmp_path / "victim").exists()


def test_a_run_is_not_resumed_through_links(tmp_path: Path) -> None:
    run = tmp_path / "logs/cardqn/CartPole-v1_1"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints/command.json").write_text("[]")
    (run / "best_model.zip").symlink_to(tmp_path / "victim")
    trust.remember(run / "checkpoints/command.json")
    with error_naming(UserError, "best_model.zip"):
        resume(run)


@pytest.mark.parametrize(
    ("typed", "link"),
    [
        ("record_video --env CartPole-v1", "logs/cardqn/CartPole-v1_1/videos"),
        ("record_video --env CartPole-v1", "logs/cardqn/CartPole-v1_1/videos/film.mp4"),
        ("push_to_hub --env CartPole-v1 -orga nobody", "hub"),
        ("push_to_hub --env CartPole-v1 -orga nobody", "hub/cardqn-CartPole-v1/.gitattributes"),
        ("plot_from_file -i plots -o picture.svg", "picture.svg"),
        ("all_plots -a cardqn -e CartPole-v1 -f logs --no-display -o plots", "plots.pkl"),
    ],
)
def test_the_zoo_writes_through_no_link(
    typed: str, link: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Path("logs/cardqn/CartPole-v1_1")
    (run / "CartPole-v1").mkdir(parents=True)
    (run / "CartPole-v1/config.yml").write_text("{}")
    (run / "CartPole-v1.zip").write_bytes(b"an agent")
    scores = np.ones((2, 1))
    np.savez(run / "evaluations.npz", timesteps=np.arange(2), results=scores, ep_lengths=scores)
    if "plot_from_file" in typed:
        Path("plots.pkl").write_bytes(b"plots")
    Path(link).parent.mkdir(parents=True, exist_ok=True)
    Path(link).symlink_to(tmp_path / "elsewhere")
    ended = sb3_cardqn(Path(), f"{typed} --trust")
    assert ended.returncode == 2
    assert not missing(f"'{link}'", ended.stderr)
    assert not (tmp_path / "elsewhere").exists()


def test_a_command_starts_no_program_that_a_dotenv_names(tmp_path: Path) -> None:
    (tmp_path / "evil").write_text(f"#!/bin/sh\ntouch '{tmp_path / 'proof'}'\n")
    (tmp_path / "evil").chmod(0o755)
    (tmp_path / ".env").write_text(f"FFMPEG_BINARY={tmp_path / 'evil'}\n")
    film = (
        "import dotenv, sys; from sb3_cardqn import cli; "
        f"dotenv.find_dotenv = lambda: {str(tmp_path / '.env')!r}; "  # moviepy looks above its own folder
        "cli._run = lambda *_: __import__('moviepy'); cli.main(['x']) if sys.argv[1:] else cli._run()"
    )
    for as_command in (["command"], []):
        subprocess.run([sys.executable, "-c", film, *as_command], check=True, capture_output=True)
        assert (tmp_path / "proof").exists() is not bool(as_command)
