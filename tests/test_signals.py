"""What stops a command from outside: one line on stderr, no traceback, and the exit status of the signal."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.command_line import HEADLESS

pytestmark = pytest.mark.slow

RUN = Path("logs/cardqn/CartPole-v1_1")
TRAIN = "train --env CartPole-v1 -n 400000 --eval-freq -1 --num-threads 1"


def start(folder: Path, command: str) -> subprocess.Popen[str]:
    """As in a terminal of its own, which sends signals to all processes of the command."""
    return subprocess.Popen(
        [sys.executable, "-m", "sb3_cardqn", *command.split()],
        cwd=folder,
        env=os.environ | HEADLESS,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(process: subprocess.Popen[str], pattern: str, folder: Path) -> None:
    while not list(folder.glob(pattern)):
        assert process.poll() is None
        time.sleep(0.01)


def read_until(process: subprocess.Popen[str], word: str) -> None:
    assert process.stderr is not None
    text = ""
    while word not in text:
        letter = process.stderr.read(1)
        assert letter, text
        text += letter


def end(process: subprocess.Popen[str]) -> str:
    """The last line it says."""
    errors = process.communicate()[1]
    assert "Traceback" not in errors
    return errors.strip().splitlines()[-1]


@pytest.mark.parametrize("vec_env", ["dummy", "subproc"])
def test_a_terminal_that_is_closed_leaves_a_checkpoint(vec_env: str, tmp_path: Path) -> None:
    process = start(tmp_path, f"{TRAIN} --checkpoint-freq 200 --vec-env {vec_env} -params n_envs:2")
    wait_for(process, f"{RUN}/checkpoints/checkpoint-*[1-9]*.json", tmp_path)
    os.killpg(process.pid, signal.SIGHUP)
    assert f"sb3-cardqn resume {RUN}" in end(process)
    assert process.returncode == 128 + signal.SIGHUP


def test_ctrl_c_twice_ends_at_once_with_its_status(tmp_path: Path) -> None:
    """In a rollout that never ends; the agent is saved, as the zoo does, and the run can be resumed."""
    process = start(tmp_path, f"{TRAIN} --checkpoint-freq 200 -params train_freq:100000000")
    wait_for(process, f"{RUN}/training_clock.csv", tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    read_until(process, "second signal")
    os.killpg(process.pid, signal.SIGINT)
    assert f"sb3-cardqn resume {RUN}" in end(process)
    assert process.returncode == 128 + signal.SIGINT
    assert (tmp_path / RUN / "CartPole-v1.zip").is_file()
    assert list((tmp_path / RUN / "checkpoints").glob("checkpoint-*.json"))


@pytest.mark.parametrize("options", ["", "-optimize --n-trials 2"])
def test_ctrl_c_without_checkpoints_has_its_status(options: str, tmp_path: Path) -> None:
    """The zoo swallows it; the agent is saved all the same."""
    process = start(tmp_path, f"{TRAIN} {options}")
    if options:
        read_until(process, "new study")
    else:
        wait_for(process, f"{RUN}/training_clock.csv", tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    errors = process.communicate()[1]  # Optuna logs the traceback of its trial
    assert errors.strip().splitlines()[-1] == "sb3-cardqn: stopped by Ctrl-C"
    assert process.returncode == 128 + signal.SIGINT
    assert (tmp_path / RUN / "CartPole-v1.zip").is_file() == (not options)


@pytest.mark.parametrize("options", ["", "--checkpoint-freq 1000", "-tb tb"])
def test_a_run_whose_folder_is_deleted_says_so(options: str, tmp_path: Path) -> None:
    process = start(tmp_path, f"{TRAIN} {options}")
    wait_for(process, f"{RUN}/training_clock.csv", tmp_path)
    shutil.rmtree(tmp_path / RUN, ignore_errors=True)  # a file may be written meanwhile
    assert f"'{RUN}'" in end(process)
    assert process.returncode == 2


@pytest.mark.parametrize(
    ("command", "bar"),
    [
        ("evaluate cardqn --processes 2", "driving"),
        ("evaluate cardqn --processes 1", "driving"),
        ("race cardqn", "filming"),
    ],
)
def test_ctrl_c_while_an_agent_drives_is_one_line(command: str, bar: str, tmp_path: Path) -> None:
    process = start(tmp_path, f"{command} --fast")
    read_until(process, bar)
    os.killpg(process.pid, signal.SIGINT)
    assert end(process).startswith("sb3-cardqn: ")
    assert process.returncode == 128 + signal.SIGINT
    assert not list(tmp_path.iterdir())  # no half film


def test_nohup_keeps_a_hang_up_away(tmp_path: Path) -> None:
    code = (
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); from sb3_cardqn import signals; "
        "print(signals.not_ignored('SIGTERM', 'SIGHUP') == [signal.SIGTERM])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "True\n"
