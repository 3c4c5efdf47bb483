"""The slow versions, by ``make soak``: 100 random SIGKILLs, a disk of its own, half an hour of training."""

import itertools
import multiprocessing as mp
import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stable_baselines3.common.callbacks import ConvertCallback, EveryNTimesteps

from sb3_cardqn import FrameReplayBuffer
from sb3_cardqn.checkpoint.exact import ExactCheckpoint
from sb3_cardqn.checkpoint.files import CheckpointWarning, newest_checkpoint
from sb3_cardqn.env.vec_env import GroupedSubprocVecEnv
from tests.small_training import agent, cart_pole, killed, stacked_dots, uninterrupted

pytestmark = pytest.mark.soak
MINUTES = float(os.environ.get("SOAK_MINUTES", "30"))


def test_a_hundred_sigkills_at_random_moments(tmp_path: Path) -> None:
    """Saves take most of such a short training's time, so most moments are during a save."""
    expected, rng, kills = repr(uninterrupted()), random.Random(0), 0
    began = time.monotonic()
    assert killed(tmp_path / "whole", tmp_path / "result") == 0
    whole_seconds = time.monotonic() - began
    for run in itertools.count():
        folder = tmp_path / str(run)
        folder.mkdir()
        reached = 0
        while not (folder / "result").exists():
            kills += (
                killed(folder / "checkpoints", folder / "result", seconds=rng.uniform(0, whole_seconds)) != 0
            )
            newest = newest_checkpoint(folder / "checkpoints")
            steps = 0 if newest is None else newest.agent_steps
            assert steps >= reached, "a completed checkpoint was lost"
            reached = steps
        assert (folder / "result").read_text() == expected
        print(f"run {run}: {kills} kills so far", flush=True)
        if kills >= 100:
            return


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], check=False).returncode:
        pytest.skip("needs the right to mount a disk")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def test_a_small_disk_fills_up(small_disk: Path) -> None:
    model = agent(cart_pole(monitor_dir=str(small_disk)), buffer_size=30_000)
    checkpoints = small_disk / "checkpoints"
    with pytest.warns(CheckpointWarning, match="No space left on device"):
        model.learn(30_000, callback=ExactCheckpoint(checkpoints, 500))
    assert model.num_timesteps == 30_000
    newest = newest_checkpoint(checkpoints)
    assert newest is not None
    assert 500 <= newest.agent_steps < 29_500
    assert not list(checkpoints.glob(".*"))  # what was half written


def _train_for_long(folder: Path) -> None:
    env = cart_pole(stacked_dots, vec_env_cls=GroupedSubprocVecEnv, monitor_dir=str(folder))
    model = agent(env, replay_buffer_class=FrameReplayBuffer, buffer_size=3000, tensorboard_log=str(folder))
    began = time.monotonic()

    def look(*_: Any) -> bool:
        status = Path("/proc/self/status").read_text().splitlines()
        kilobytes = next(line.split()[1] for line in status if line.startswith("VmRSS"))
        with (folder / "resident").open("a") as file:
            file.write(f"{time.monotonic() - began} {kilobytes}\n")
        return True

    looks = EveryNTimesteps(5000, ConvertCallback(look))
    model.learn(10_000_000, callback=[ExactCheckpoint(folder / "checkpoints", 5000), looks])


def test_memory_stays_flat(tmp_path: Path) -> None:
    process = mp.get_context("spawn").Process(target=_train_for_long, args=(tmp_path,))
    process.start()
    process.join(MINUTES * 60)
    assert process.exitcode is None, "it ended too early"
    process.terminate()
    process.join()
    looks = [line.split() for line in (tmp_path / "resident").read_text().splitlines()]
    kilobytes = [int(look[1]) for look in looks]
    print(f"{len(looks)} looks, resident kB: {kilobytes[:: max(len(looks) // 20, 1)]}")
    full = kilobytes[len(kilobytes) // 4 :]
    assert max(full) - full[0] < 8 * 1024, "resident memory grows"
