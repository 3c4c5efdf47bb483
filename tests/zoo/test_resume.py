import json
import multiprocessing as mp
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch as th

from sb3_cardqn import CarDQN, cli
from sb3_cardqn.checkpoint.exact import ExactCheckpoint
from sb3_cardqn.errors import UserError
from sb3_cardqn.zoo import clock as training_clock
from sb3_cardqn.zoo import commands as zoo
from sb3_cardqn.zoo import experiment
from sb3_cardqn.zoo.clock import last_reading
from sb3_cardqn.zoo.commands import resume
from tests.checkpoint.test_checkpoint import scalars
from tests.command_line import HEADLESS, sb3_cardqn
from tests.named import error_naming, missing

RUN = "logs/cardqn/CarRacing-v3_1"
TRAIN = (
    "train -n 600 --eval-freq 300 --eval-episodes 1 --seed 3 --num-threads 1 -tb tb --checkpoint-freq 100 "
    "-params learning_starts:200 buffer_size:300 n_envs:2 train_freq:2"
)


STOP = """
import os, sys
from sb3_cardqn import cli

number, checkpoint = int(sys.argv.pop(1)), sys.argv.pop(1)

def stop(event, args):
    global number
    if number and event == "open" and os.path.exists(checkpoint):
        signal, number = number, 0
        os.kill(os.getpid(), signal)

sys.addaudithook(stop)  # the checkpoint's folder is opened as soon as it is there: to hand it to the disk
cli.main()
"""


def stopped(folder: Path, command: str, number: int, agent_step: int) -> subprocess.CompletedProcess[str]:
    """Run a command line that sends itself a signal once there is a checkpoint of an agent step."""
    checkpoint = f"{RUN}/checkpoints/checkpoint-{agent_step:012}.json"
    argv = [sys.executable, "-c", STOP, str(int(number)), checkpoint, *command.split(" ")]
    return subprocess.run(argv, cwd=folder, env=os.environ | HEADLESS, capture_output=True, text=True)


def weights(folder: Path) -> dict[str, list[float]]:
    """Of the best and the final agent."""
    states = {
        name: CarDQN.load(folder / RUN / f"{name}.zip", buffer_size=64).policy.state_dict()
        for name in ("best_model", "CarRacing-v3")
    }
    return {
        name: th.cat([value.flatten() for value in state.values()]).tolist() for name, state in states.items()
    }


def left(folder: Path) -> dict[str, Any]:
    """What a run left: weights, evaluations, curves."""
    run = folder / RUN
    evaluations = np.load(run / "evaluations.npz")
    return {
        "weights": weights(folder),
        "evaluations": {name: evaluations[name].tolist() for name in evaluations},
        "monitors": [
            [line.split(",")[:2] for line in (run / f"{i}.monitor.csv").read_text().splitlines()[1:]]
            for i in (0, 1)
        ],
        "scalars": scalars(folder / "tb/CarRacing-v3"),
        "files": sorted(path.name for path in run.iterdir()),
    }


def run_alone(folder: Path, command: str) -> str:
    """In a process of its own: another process of tests has other threads and memory, and the last bits follow them."""
    result = sb3_cardqn(folder, command)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    run_alone(folder, TRAIN)
    return folder


def test_reading_a_checkpoint_is_not_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write, restore = ExactCheckpoint.save, ExactCheckpoint._restore

    def write_and_stop(self: ExactCheckpoint) -> bool:
        write(self)
        raise KeyboardInterrupt

    typed = "train --algo dqn --env CartPole-v1 -n 600 --eval-freq -1 --checkpoint-freq 300 -f logs"
    with monkeypatch.context() as patch:
        patch.setattr(ExactCheckpoint, "save", write_and_stop)
        cli.main(typed.split())
    late = [0.0]  # seconds

    def restore_slowly(self: ExactCheckpoint, *args: Any) -> None:
        restore(self, *args)
        late[0] = 500.0

    monkeypatch.setattr(ExactCheckpoint, "_restore", restore_slowly)
    clock = SimpleNamespace(perf_counter=lambda: time.perf_counter() + late[0])
    monkeypatch.setattr(training_clock, "time", clock)
    run = Path("logs/dqn/CartPole-v1_1")
    cli.main(["resume", str(run)])
    assert late[0]
    assert last_reading(run).agent_steps >= 600
    assert last_reading(run).seconds < 400


@pytest.mark.slow
def test_a_race_goes_on_bit_for_bit(whole: Path, tmp_path: Path) -> None:
    """SIGKILL, then SIGTERM; with everything in the folder as if nothing had happened."""
    assert stopped(tmp_path, TRAIN, signal.SIGKILL, 300).returncode == -signal.SIGKILL
    result = stopped(tmp_path, f"resume {RUN}", signal.SIGTERM, 400)
    assert result.returncode == 128 + signal.SIGTERM, result.stderr
    assert f"sb3-cardqn resume {RUN}" in result.stderr
    assert "Traceback" not in result.stderr
    assert not missing(RUN, run_alone(tmp_path, f"resume {RUN}"))
    ours, theirs = left(tmp_path), left(whole)
    for name in theirs:
        assert ours[name] == theirs[name], name

    assert "checkpoints" not in ours["files"]  # they have done their work

    refused = sb3_cardqn(tmp_path, f"resume {RUN}")
    assert refused.returncode == 2
    (error,) = refused.stderr.splitlines()
    assert not missing(f"sb3-cardqn | '{RUN}' | CarRacing-v3.zip", error)


@pytest.mark.slow
def test_a_run_that_never_reached_a_checkpoint_begins_anew(whole: Path, tmp_path: Path) -> None:
    assert stopped(tmp_path, TRAIN, signal.SIGKILL, 0).returncode == -signal.SIGKILL
    for path in (tmp_path / RUN / "checkpoints").glob("checkpoint-*"):
        path.unlink()
    run_alone(tmp_path, f"resume {RUN}")
    assert weights(tmp_path) == weights(whole)


CART_POLE = (
    "--env CartPole-v1 --seed 1 --eval-freq -1 -n 900 --checkpoint-freq 100 "
    "-params train_freq:4 gradient_steps:1 learning_starts:100"
)


def test_stopped_at_once_it_goes_on_from_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The zoo saves the agent at a KeyboardInterrupt: that is not the end yet."""
    monkeypatch.chdir(tmp_path)
    zoo.run("train", CART_POLE.split())
    run = Path("logs/cardqn/CartPole-v1_1")
    expected = (tmp_path / run / "0.monitor.csv").read_text().splitlines()[1:]
    assert not (run / "checkpoints").exists()

    def stop_at_once(callback: ExactCheckpoint) -> bool:
        if callback.num_timesteps == 450:
            raise KeyboardInterrupt
        return True

    with monkeypatch.context() as patched:
        patched.setattr(ExactCheckpoint, "_on_step", stop_at_once)
        zoo.run("train", CART_POLE.split())
    run = Path("logs/cardqn/CartPole-v1_2")
    assert CarDQN.load(run / "CartPole-v1.zip").num_timesteps == 450
    resume(run)
    assert CarDQN.load(run / "CartPole-v1.zip").num_timesteps == 900
    lines = (run / "0.monitor.csv").read_text().splitlines()[1:]
    assert [line.split(",")[:2] for line in lines] == [line.split(",")[:2] for line in expected]


def train_and_be_killed(folder: Path, spared: int) -> None:
    """
    Train, and be killed as the files of a finished run are renamed or removed.

    :param folder: to train in
    :param spared: how many may be, before
    """
    agent = folder / "logs/cardqn/CartPole-v1_1/CartPole-v1.zip"
    left = iter(range(spared))

    def kill(event: str, _: Any) -> None:
        if event in ("os.rename", "os.remove", "os.rmdir") and agent.exists() and next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    os.chdir(folder)
    sys.addaudithook(kill)
    zoo.run("train", CART_POLE.split())


@pytest.mark.slow
@pytest.mark.parametrize("spared", [0, 1, 2, 4])
def test_killed_while_checkpoints_are_removed_it_is_finished_or_goes_on(
    spared: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    process = mp.get_context("forkserver").Process(target=train_and_be_killed, args=(tmp_path, spared))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    monkeypatch.chdir(tmp_path)
    run = Path("logs/cardqn/CartPole-v1_1")
    if any((run / "checkpoints").glob("checkpoint-*.json")):
        resume(run)  # the last piece again: never from the beginning
        (step,) = re.findall(r"agent step (\d+)", capsys.readouterr().out)
        assert 0 < int(step) < 900
    before = (run / "CartPole-v1.zip").read_bytes()
    with error_naming(UserError, f"'{run}' | CartPole-v1.zip"):
        resume(run)
    assert (run / "CartPole-v1.zip").read_bytes() == before
    assert not (run / "checkpoints").exists()


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run on CartPole that was stopped."""
    folder = tmp_path_factory.mktemp("begun")
    hyperparams = folder / "mine.yml"
    hyperparams.write_text(
        "CartPole-v1: {n_timesteps: 900, gamma: 0.9, policy: MlpPolicy, learning_starts: 100}\n"
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setattr(ExactCheckpoint, "_on_step", lambda callback: callback.num_timesteps < 450)
        argv = "--env CartPole-v1 --seed 1 --eval-freq -1 -n 900 --checkpoint-freq 100 -conf mine.yml"
        zoo.run("train", argv.split())
    assert (folder / "logs/cardqn/CartPole-v1_1/checkpoints/command.json").is_file()
    return folder / "logs/cardqn/CartPole-v1_1"


@pytest.mark.parametrize(
    ("file", "change", "named"),
    [
        ("hyperparams.yml", lambda text: text.replace("gamma: 0.9", "gamma: 0.95"), "gamma | 0.9 | 0.95"),
        ("hyperparams.yml", lambda text: text.replace("policy:", "tau: 0.5, policy:"), "tau | 0.5"),
        ("command.json", lambda text: text.replace('"900"', '"1900"'), "n_timesteps | 900 | 1900"),
        ("command.json", lambda text: "{}", "command.json | b'{}'"),
        ("command.json", lambda text: "[]", "command.json | b'[]'"),
        ("command.json", lambda text: "[1]", "command.json | b'[1]'"),
        ("command.json", lambda text: '"train"', "command.json"),
        ("command.json", lambda text: text[:5], "command.json"),
        ("command.json", lambda text: "[" * 100_000, "command.json"),
    ],
)
def test_what_was_edited_is_named_and_nothing_is_trained(
    begun: Path, tmp_path: Path, file: str, change: Any, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "logs/cardqn/CartPole-v1_1"
    shutil.copytree(begun, run)
    path = run / "checkpoints" / file
    path.write_text(change(path.read_text()))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUST_REMOTE_CODE", "True")  # by whom it was edited
    with error_naming(UserError, named) as refused:
        resume(run)
    assert "\n" not in str(refused.value)
    after = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert {name: after.get(name) for name in before} == before


def test_what_cannot_be_resumed_is_said(tmp_path: Path) -> None:
    with error_naming(UserError, f"'{tmp_path}'"):
        resume(tmp_path)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("--checkpoint-freq 0", "--checkpoint-freq | 0"),
        ("--checkpoint-freq 100 -optimize", "--checkpoint-freq"),
        ("--checkpoint-freq 100 --algo ppo", "ppo"),
    ],
)
def test_wrong_options_are_refused(
    options: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with error_naming(UserError, named):
        zoo.run("train", ["--env", "CartPole-v1", *options.split()])
    assert not list(tmp_path.rglob("CartPole-v1_*"))


def test_two_runs_that_start_at_once_get_a_folder_each(tmp_path: Path) -> None:
    def manager(run_id: int | None = None) -> Any:
        one = object.__new__(experiment.CarExperimentManager)
        path = f"{tmp_path}/CarRacing-v3_1"
        vars(one).update(
            args=SimpleNamespace(run_id=run_id),
            log_path=str(tmp_path),
            env_name="CarRacing-v3",
            save_path=path,
            params_path=f"{path}/CarRacing-v3",
        )
        one.create_log_folder()
        return one

    first, second = manager(), manager()
    assert second.save_path == f"{tmp_path}/CarRacing-v3_2"
    assert Path(second.params_path).is_dir()
    assert first.save_path == f"{tmp_path}/CarRacing-v3_1"
    with error_naming(UserError, "--run-id 1 | CarRacing-v3_1"):
        manager(run_id=1)


def test_a_failed_start_leaves_the_folder_of_another_run_alone(tmp_path: Path) -> None:
    failed = object.__new__(experiment.CarExperimentManager)
    vars(failed).update(save_path=str(tmp_path / "CarRacing-v3_1"), made_folder=False)
    (tmp_path / "CarRacing-v3_1").mkdir()  # by a run that was started at the same time
    failed.discard()
    assert (tmp_path / "CarRacing-v3_1").is_dir()


@pytest.mark.slow
def test_a_run_that_still_runs_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "CartPole-v1_1"
    argv = [sys.executable, "-m", "sb3_cardqn", "train", "--env", "CartPole-v1", "-f", str(tmp_path / "logs")]
    argv += ["--checkpoint-freq", "500", "--eval-freq", "-1", "-n", "1000000"]
    process = subprocess.Popen(argv, env=os.environ | HEADLESS, stdout=subprocess.DEVNULL)
    folder = tmp_path / "logs/cardqn/CartPole-v1_1"
    try:
        while process.poll() is None and not list(folder.glob("checkpoints/checkpoint-*.json")):
            time.sleep(0.01)
        refused = sb3_cardqn(tmp_path, f"resume {folder}")
    finally:
        process.kill()
        process.wait()
    assert refused.returncode == 2
    assert f"'{folder}/checkpoints'" in refused.stderr
    assert json.loads((folder / "checkpoints/command.json").read_text())[:2] == ["--algo", "cardqn"]
