"""Times a batch of SB3's replay buffers and of ours, side by side; docs/replay.md has the results."""

import time
from collections.abc import Callable

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer

from sb3_cardqn.common.buffers import FrameReplayBuffer, PrioritizedFrameReplayBuffer

SIZE, BATCH, ROUNDS = 20_000, 64, 500
ERRORS = np.random.default_rng(0).random(BATCH)
SPACE = spaces.Box(0, 255, (4, 64, 64), np.uint8)


def fill(buffer: ReplayBuffer) -> None:
    """Fill it with episodes of 250 transitions."""
    frames = np.random.default_rng(0).integers(0, 256, (SIZE + 4, 64, 64), dtype=np.uint8)
    for t in range(SIZE):
        obs, next_obs = frames[None, t : t + 4], frames[None, t + 1 : t + 5]
        buffer.add(obs, next_obs, np.array([0]), np.array([1.0]), np.array([t % 250 == 249]), [{}])


def prioritized_step(buffer: PrioritizedFrameReplayBuffer) -> None:
    """Sample a batch and give it new priorities."""
    buffer.update_priorities(buffer.sample(BATCH).indices, ERRORS)


def medians(steps: dict[str, Callable[[], object]]) -> dict[str, float]:
    """:return: median microseconds of each step, measured in turn"""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            step()  # the caches belong to the buffer before
            start = time.perf_counter()
            for _ in range(5):
                step()
            times[name].append((time.perf_counter() - start) / 5 * 1e6)
    return {name: float(np.median(values)) for name, values in times.items()}


def compare(n_steps: int) -> None:
    """Print the times of the three buffers, and their ratios."""
    arguments = (SIZE, SPACE, spaces.Discrete(5), "cpu")
    sb3 = ReplayBuffer(*arguments) if n_steps == 1 else NStepReplayBuffer(*arguments, n_steps=n_steps)
    frames = FrameReplayBuffer(*arguments, n_steps=n_steps)
    prioritized = PrioritizedFrameReplayBuffer(*arguments, n_steps=n_steps)
    for buffer in (sb3, frames, prioritized):
        fill(buffer)
    us = medians(
        {
            "SB3": lambda: sb3.sample(BATCH),
            "frames": lambda: frames.sample(BATCH),
            "prioritized": lambda: prioritized_step(prioritized),
        }
    )
    print(
        f"n_steps={n_steps}:",
        *(f"{name} {value:.0f} µs," for name, value in us.items()),
        f"frames / SB3 {us['frames'] / us['SB3']:.2f},",
        f"prioritized / frames {us['prioritized'] / us['frames']:.2f}",
    )


if __name__ == "__main__":
    th.set_num_threads(1)
    for n_steps in (1, 3):
        compare(n_steps)
