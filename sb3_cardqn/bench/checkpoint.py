"""``sb3-cardqn bench checkpoint``: time and size of checkpoints of a large replay buffer."""

import tempfile
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env

from sb3_cardqn.cardqn import CarDQN
from sb3_cardqn.cardqn.torch_layers import CarRacingCNN
from sb3_cardqn.checkpoint.exact import ExactCheckpoint
from sb3_cardqn.checkpoint.resumable_episode import ResumableEpisode
from sb3_cardqn.options import Parser
from sb3_cardqn.replay.buffers import FrameReplayBuffer

N_ENVS = 8


class _Noise(gym.Env):
    """An environment that returns stacks of four 64×64 frames of noise, in episodes of CarRacing's length."""

    observation_space = spaces.Box(0, 255, (4, 64, 64), np.uint8)
    action_space = spaces.Discrete(12)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        self._stack = np.repeat(self._frame(), 4, axis=0)
        return self._stack, {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        self._stack = np.concatenate((self._stack[1:], self._frame()))
        return self._stack, 1.0, False, self._steps == 250, {}

    def _frame(self) -> np.ndarray:
        return np.frombuffer(self.np_random.bytes(64 * 64), np.uint8).reshape(1, 64, 64)


class _Timed(ExactCheckpoint):
    """An ``ExactCheckpoint`` that prints a line per checkpoint."""

    def save(self) -> bool:
        before = {path.name for path in self.folder.iterdir()}
        began, began_cpu = time.perf_counter(), time.process_time()
        saved = super().save()
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - began_cpu
        written = sum(path.stat().st_size for path in self.folder.iterdir() if path.name not in before)
        total = sum(path.stat().st_size for path in self.folder.iterdir())
        megabytes = f"{written / 1e6:12.1f}{total / 1e6:12.1f}"
        print(f"{self.num_timesteps:12}{seconds:10.2f}{cpu_seconds:10.2f}{megabytes}", flush=True)
        return saved


def _fill(buffer: Any) -> None:
    """
    :param buffer: ``FrameReplayBuffer`` to fill with frames of noise, as if from one endless episode
    """
    rows, n_envs, per_row = buffer.slots.shape
    frames = (rows + per_row - 1) * n_envs
    rng = np.random.default_rng(0)
    for some in np.array_split(np.arange(frames), max(frames // 10_000, 1)):
        buffer.pool.put(some, rng.integers(256, size=(len(some), *buffer.obs_shape[1:]), dtype=np.uint8))
    buffer.pool.free_only(frames, [])
    buffer.slots[:] = (np.arange(rows)[:, None, None] + np.arange(per_row)) * n_envs + np.arange(n_envs)[
        :, None
    ]
    buffer.full = True


def bench_checkpoint(transitions: int, freq: int, folder: Path) -> None:
    """
    Write a full buffer, then new transitions three times, then resume from the last checkpoint.

    :param transitions: capacity of the buffer in transitions
    :param freq: agent steps between checkpoints
    :param folder: folder of the checkpoints
    """

    def agent() -> CarDQN:
        env = make_vec_env(_Noise, N_ENVS, seed=0, wrapper_class=ResumableEpisode)
        kwargs: dict[str, Any] = {"policy_kwargs": {"features_extractor_class": CarRacingCNN}, "seed": 0}
        kwargs |= {"replay_buffer_class": FrameReplayBuffer, "buffer_size": transitions, "train_freq": 1}
        return CarDQN("CnnPolicy", env, learning_starts=10 * transitions, **kwargs)

    print(f"{'agent step':>12}{'seconds':>10}{'CPU s':>10}{'MB written':>12}{'MB on disk':>12}")
    model, total = agent(), 3 * freq + N_ENVS
    _fill(model.replay_buffer)
    model.learn(total, callback=_Timed(folder, freq))
    del model
    began = time.perf_counter()
    agent().learn(total, callback=ExactCheckpoint(folder, freq, resume=True))
    print(f"resuming from the last checkpoint: {time.perf_counter() - began:.1f} s")


def main(argv: list[str]) -> None:
    """
    :param argv: arguments after ``bench checkpoint``
    """
    parser = Parser(
        prog="sb3-cardqn bench checkpoint",
        description="Measure time and size of checkpoints of a full replay buffer of 64x64 frames.",
    )
    parser.add_argument(
        "--transitions", type=int, default=300_000, help="capacity of the buffer (default: 300000)"
    )
    parser.add_argument(
        "--freq", type=int, default=10_000, help="agent steps between checkpoints (default: 10000)"
    )
    parser.add_argument(
        "--folder", type=Path, help="folder on the disk to measure (default: a temporary one)"
    )
    args = parser.parse_args(argv)
    if not args.transitions >= args.freq >= N_ENVS:
        parser.error(f"needs --transitions >= --freq >= {N_ENVS}, got {args.transitions} and {args.freq}")
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        bench_checkpoint(args.transitions, args.freq, Path(folder))
