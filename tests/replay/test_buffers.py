import pickle
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from sb3_contrib import QRDQN
from stable_baselines3 import DQN, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import FakeImageEnv
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize

from sb3_cardqn.cardqn import CarDQN
from sb3_cardqn.replay.buffers import FrameReplayBuffer
from sb3_cardqn.replay.prioritized import PrioritizedFrameReplayBuffer
from sb3_cardqn.replay.storage import SumTree
from tests.named import error_naming

ACTIONS = spaces.Discrete(5)
Transition = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]


def frame_space(k: int, shape: tuple[int, ...] = (2, 3)) -> spaces.Box:
    return spaces.Box(0, 255, (k, *shape), np.uint8)


def stream(
    rng: np.random.Generator,
    k: int,
    n_envs: int,
    lengths: list[int],
    starts: str = "repeated",
    shape: tuple[int, ...] = (2, 3),
) -> Iterator[Transition]:
    """
    Endless transitions of sliding stacks; episodes take their lengths from ``lengths`` at random.

    With a third number first in ``shape``, frames of so many channels, as FrameStack shows colours.
    """

    def flat(stacks: np.ndarray) -> np.ndarray:
        return stacks.reshape(n_envs, -1, *shape[1:]) if len(shape) == 3 else stacks

    def reset(env: int) -> None:
        frames = rng.integers(0, 256, (k, *shape), dtype=np.uint8)
        stacks[env] = np.repeat(frames[:1], k, axis=0) if starts == "repeated" else frames
        left[env] = lengths[rng.integers(len(lengths))]

    stacks = np.zeros((n_envs, k, *shape), np.uint8)
    left = np.zeros(n_envs, int)
    for env in range(n_envs):
        reset(env)
    while True:
        obs = stacks.copy()
        stacks = np.concatenate(
            [obs[:, 1:], rng.integers(0, 256, (n_envs, 1, *shape), dtype=np.uint8)], axis=1
        )
        next_obs = stacks.copy()
        left -= 1
        done = left == 0
        infos = [{"TimeLimit.truncated": bool(d and rng.random() < 0.5)} for d in done]
        yield flat(obs), flat(next_obs), rng.integers(0, 5, n_envs), rng.normal(size=n_envs), done, infos
        for env in np.flatnonzero(done).tolist():
            reset(env)


def sample(buffer: ReplayBuffer, seed: int, env: VecNormalize | None = None) -> ReplayBufferSamples:
    np.random.seed(seed)
    return buffer.sample(50, env=env)


def assert_same_batch(ours: ReplayBufferSamples, theirs: ReplayBufferSamples) -> None:
    for name, expected in theirs._asdict().items():
        got = getattr(ours, name)
        if expected is None:
            assert got is None
            continue
        assert got.dtype == expected.dtype, name
        assert got.shape == expected.shape, name
        assert th.equal(got, expected), name


def assert_no_slot_lost(buffer: FrameReplayBuffer) -> None:
    used = set(np.unique(buffer.slots[: buffer.size()]).tolist())
    free = buffer.pool._free
    assert len(set(free)) == len(free)
    assert used.isdisjoint(free)
    assert len(used) + len(free) == buffer.pool._used


def make_pair(
    size: int, k: int, n_envs: int, n_steps: int, channels: int = 1, **kwargs: Any
) -> tuple[FrameReplayBuffer, ReplayBuffer]:
    arguments = (size, frame_space(k * channels), ACTIONS)
    common = {"device": "cpu", "n_envs": n_envs, **kwargs}
    ours = FrameReplayBuffer(*arguments, **common, n_steps=n_steps, gamma=0.9, frame_channels=channels)
    if n_steps == 1:
        return ours, ReplayBuffer(*arguments, **common)
    return ours, NStepReplayBuffer(*arguments, **common, n_steps=n_steps, gamma=0.9)


# --- The same stream and the same seed give the batches of SB3's buffers


@settings(max_examples=600)
@given(
    size=st.integers(1, 40),
    k=st.integers(1, 4),
    channels=st.sampled_from([1, 3]),
    n_envs=st.integers(1, 3),
    n_steps=st.integers(1, 5),
    timeouts=st.booleans(),
    starts=st.sampled_from(["repeated", "different"]),
    lengths=st.lists(st.integers(1, 15), min_size=1, max_size=5),
    steps=st.integers(1, 100),
    seed=st.integers(0, 2**32 - 1),
)
def test_batches_are_those_of_sb3(
    size: int,
    k: int,
    channels: int,
    n_envs: int,
    n_steps: int,
    timeouts: bool,
    starts: str,
    lengths: list[int],
    steps: int,
    seed: int,
) -> None:
    ours, theirs = make_pair(size, k, n_envs, n_steps, channels, handle_timeout_termination=timeouts)
    shape = (2, 3) if channels == 1 else (channels, 2, 3)
    transitions = stream(np.random.default_rng(seed), k, n_envs, lengths, starts, shape)
    for step, transition in zip(range(steps), transitions, strict=False):
        ours.add(*transition)
        theirs.add(*transition)
        if step % 11 == 0 or step == steps - 1:
            assert (ours.size(), ours.pos, ours.full) == (theirs.size(), theirs.pos, theirs.full)
            assert_same_batch(sample(ours, step), sample(theirs, step))
            assert_no_slot_lost(ours)


@pytest.mark.parametrize("n_steps", [1, 3])
def test_normalized_rewards_are_those_of_sb3(n_steps: int) -> None:
    ours, theirs = make_pair(30, 4, 2, n_steps)
    env = VecNormalize(DummyVecEnv([FrameEnv]), norm_obs=False, clip_reward=1.5)
    env.ret_rms.var = np.array(4.0)
    for transition, _ in zip(stream(np.random.default_rng(0), 4, 2, [7]), range(50), strict=False):
        ours.add(*transition)
        theirs.add(*transition)
    assert_same_batch(sample(ours, 0, env), sample(theirs, 0, env))


def test_vectors_and_other_dtypes_are_stored_too() -> None:
    space = spaces.Box(-1, 1, (3,), np.float32)
    ours = FrameReplayBuffer(10, space, spaces.Box(-1, 1, (2,)), device="cpu")
    theirs = ReplayBuffer(10, space, spaces.Box(-1, 1, (2,)), device="cpu")
    values = np.random.default_rng(0).uniform(-1, 1, 30).astype(np.float32)
    for t in range(25):
        transition = (values[t : t + 3], values[t + 1 : t + 4], np.array([[0.5, -t]]), np.array([t]))
        for buffer in (ours, theirs):
            buffer.add(*transition, np.array([False]), [{}])
    assert_same_batch(sample(ours, 0), sample(theirs, 0))


@pytest.mark.parametrize("n_steps", [1, 3])
def test_saved_buffer_goes_on(tmp_path: Path, n_steps: int) -> None:
    ours, theirs = make_pair(31, 4, 2, n_steps)
    transitions = stream(np.random.default_rng(0), 4, 2, [3, 9])
    for step, transition in zip(range(60), transitions, strict=False):
        ours.add(*transition)
        theirs.add(*transition)
        if step in (4, 40):
            ours = pickle.loads(pickle.dumps(ours, protocol=pickle.HIGHEST_PROTOCOL))
        assert_same_batch(sample(ours, step), sample(theirs, step))
        assert_no_slot_lost(ours)


def test_reset_buffer_starts_again() -> None:
    ours, theirs = make_pair(30, 4, 2, 3)
    transitions = stream(np.random.default_rng(0), 4, 2, [5])
    for step, transition in zip(range(40), transitions, strict=False):
        if step == 25:
            ours.reset()
            theirs.reset()
        ours.add(*transition)
        theirs.add(*transition)
    assert_same_batch(sample(ours, 0), sample(theirs, 0))
    assert_no_slot_lost(ours)


# --- Where it differs from SB3


def scalar_add(buffer: ReplayBuffer, before: int, after: int, reward: float, done: bool = False) -> None:
    """A transition whose frames are single numbers, stacked by one."""
    obs, next_obs = np.full((1, 1), before, np.uint8), np.full((1, 1), after, np.uint8)
    buffer.add(obs, next_obs, np.array([0]), np.array([reward]), np.array([done]), [{}])


def test_n_step_return_stops_where_the_environment_was_reset_without_done() -> None:
    space = spaces.Box(0, 255, (1,), np.uint8)
    buffer = FrameReplayBuffer(10, space, ACTIONS, device="cpu", n_steps=3, gamma=0.5)
    scalar_add(buffer, 0, 1, reward=1.0)
    scalar_add(buffer, 1, 2, reward=2.0)
    scalar_add(buffer, 50, 51, reward=64.0)  # learn() was called again: not the observation 2
    batch = buffer._gather(np.array([0]), None)
    # 1 + 0.5 * 2 = 2, and a bootstrap of 0.5**2 from observation 2
    assert batch.rewards.item() == 2.0
    assert batch.next_observations.item() == 2
    assert batch.discounts is not None
    assert batch.discounts.item() == 0.25
    assert batch.dones.item() == 0.0


def test_time_limit_bootstraps_from_the_final_observation_and_a_crash_does_not() -> None:
    buffer = FrameReplayBuffer(10, frame_space(2, ()), ACTIONS, device="cpu", n_envs=2)
    infos = [{"TimeLimit.truncated": True}, {"TimeLimit.truncated": False}]
    stacks, final = np.array([[1, 2], [3, 4]]), np.array([[2, 8], [4, 9]])
    buffer.add(stacks, final, np.zeros(2), np.zeros(2), np.ones(2), infos)
    buffer.add(stacks, stacks[:, [1, 1]], np.zeros(2), np.zeros(2), np.zeros(2), [{}, {}])
    batch = buffer._gather(np.array([0, 1]), None)
    assert batch.next_observations.tolist() == final.tolist()
    assert batch.dones.tolist() == [[0.0], [1.0]]


def test_stacks_that_do_not_slide_are_refused() -> None:
    buffer = FrameReplayBuffer(10, frame_space(3, ()), ACTIONS, device="cpu")
    arguments: Any = (np.array([0]), np.array([0.0]), np.array([False]), [{}])
    with error_naming(ValueError, "obs | (3,) | frame_channels=1"):
        buffer.add(np.array([[1, 2, 3]]), np.array([[4, 5, 6]]), *arguments)
    buffer.add(np.array([[1, 2, 3]]), np.array([[2, 3, 4]]), *arguments)
    with error_naming(ValueError, "obs | frame_channels=1"):
        buffer.add(np.array([[2, 3, 4]]), np.array([[4, 3, 2]]), *arguments)


@pytest.mark.parametrize(
    ("space", "kwargs", "named"),
    [
        (ACTIONS, {}, "Discrete(5)"),
        (frame_space(4), {"optimize_memory_usage": True}, "optimize_memory_usage | True"),
        (frame_space(4), {"n_steps": 0}, "n_steps | 0"),
        (frame_space(4), {"frame_channels": 3}, "frame_channels | 4 | 3"),
    ],
)
def test_arguments_that_cannot_be_are_refused(
    space: spaces.Space, kwargs: dict[str, Any], named: str
) -> None:
    with error_naming(ValueError, named):
        FrameReplayBuffer(10, space, ACTIONS, **kwargs)


def test_batches_share_no_memory() -> None:
    buffer, _ = make_pair(20, 4, 1, 1)
    for transition, _ in zip(stream(np.random.default_rng(0), 4, 1, [9]), range(30), strict=False):
        buffer.add(*transition)
    before = sample(buffer, 0)
    spoilt = sample(buffer, 0)
    spoilt.observations.zero_()
    assert th.equal(spoilt.next_observations, before.next_observations)
    for tensor in spoilt[:5]:
        tensor.zero_()
    assert_same_batch(sample(buffer, 0), before)


# --- Memory


def test_a_transition_takes_an_eighth_of_sb3s() -> None:
    ours = FrameReplayBuffer(1000, frame_space(4, (84, 84)), ACTIONS, device="cpu")
    theirs = ReplayBuffer(1000, frame_space(4, (84, 84)), ACTIONS, device="cpu")
    arrays = [value for value in vars(theirs).values() if isinstance(value, np.ndarray)]
    assert ours.memory_bytes <= 1.02 / 8 * sum(array.nbytes for array in arrays)


@pytest.mark.parametrize("cls", [FrameReplayBuffer, PrioritizedFrameReplayBuffer])
def test_memory_bytes_is_what_the_arrays_take(cls: type[FrameReplayBuffer]) -> None:
    buffer = cls(2002, frame_space(4, (8, 8)), ACTIONS, device="cpu", n_envs=2)
    for transition, _ in zip(
        stream(np.random.default_rng(0), 4, 2, [500], shape=(8, 8)), range(1200), strict=False
    ):
        buffer.add(*transition)
    state = [*vars(buffer).values(), buffer.pool.frames]
    if isinstance(buffer, PrioritizedFrameReplayBuffer):
        state += vars(buffer.tree).values()
    taken = sum(value.nbytes for value in state if isinstance(value, np.ndarray))
    assert taken == pytest.approx(buffer.memory_bytes, rel=0.01)


def test_very_short_episodes_make_more_room() -> None:
    ours, theirs = make_pair(300, 4, 1, 1)
    for transition, _ in zip(stream(np.random.default_rng(0), 4, 1, [1]), range(700), strict=False):
        ours.add(*transition)
        theirs.add(*transition)
    assert_same_batch(sample(ours, 0), sample(theirs, 0))
    assert len(ours.pool.frames) < 700


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_taken_as_the_buffer_fills() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    before = resident()
    buffer = FrameReplayBuffer(20_000, frame_space(4, (84, 84)), ACTIONS, device="cpu")
    for transition, _ in zip(
        stream(np.random.default_rng(0), 4, 1, [250], shape=(84, 84)), range(1000), strict=False
    ):
        buffer.add(*transition)
    assert buffer.memory_bytes > 140e6
    assert resident() - before < 30e6  # 1000 of 20,000 transitions: 7 MB, and what the test itself takes
    assert len(pickle.dumps(buffer)) < 10e6


def test_a_buffer_that_cannot_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sb3_cardqn.replay.buffers.available_memory", lambda: 10_000_000)
    arguments = (frame_space(4, (84, 84)), ACTIONS, "cpu")
    with pytest.warns(UserWarning, match="buffer_size=1000000"):
        buffer = FrameReplayBuffer(1_000_000, *arguments)
    stack = np.zeros((1, 4, 84, 84), np.uint8)
    with error_naming(ValueError, "buffer_size=1000000 | 0.01 GB") as error:
        buffer.add(stack, stack, np.zeros(1), np.zeros(1), np.zeros(1), [{}])
    *_, largest = map(int, re.findall(r"\b\d+\b(?!\.)", str(error.value)))
    assert 1300 < largest < 1400
    assert FrameReplayBuffer(largest, *arguments).memory_bytes == pytest.approx(10_000_000, rel=0.01)


# --- The sum tree


@settings(max_examples=300)
@given(
    size=st.integers(1, 3000),
    changes=st.lists(st.lists(st.tuples(st.integers(0, 2999), st.integers(0, 9)), min_size=1), min_size=1),
)
def test_sum_tree_finds_what_a_cumulative_sum_finds(size: int, changes: list[list[tuple[int, int]]]) -> None:
    tree = SumTree(size)
    weights = np.zeros(size, int)
    for change in changes:
        indices, values = (np.array(column) for column in zip(*change, strict=True))
        indices %= size
        tree.set(indices, values)
        for index, value in zip(indices, values, strict=True):
            weights[index] = value
    total = weights.sum()
    if total == 0:
        weights[-1] = total = 1
        tree.set(np.array([size - 1]), 1)
    # the middle of each unit of weight, and both ends of the interval
    points = np.concatenate([(np.arange(total) + 0.5) / total, [0.0, np.nextafter(1.0, 0.0)]])
    found = tree.find(points)
    units = np.repeat(np.arange(size), weights)
    assert found.tolist() == [*units, units[0], units[-1]]


def test_sum_tree_holds_large_sums() -> None:
    tree = SumTree(1000)
    tree.set(np.arange(500), 2**62 // 500)
    assert tree.find(np.array([0.0, 0.501, np.nextafter(1.0, 0.0)])).tolist() == [0, 250, 499]


# --- Prioritized replay


def make_prioritized(size: int, n_envs: int = 1, **kwargs: Any) -> PrioritizedFrameReplayBuffer:
    return PrioritizedFrameReplayBuffer(size, frame_space(4), ACTIONS, device="cpu", n_envs=n_envs, **kwargs)


def fill(buffer: ReplayBuffer, steps: int, seed: int = 0) -> None:
    transitions = stream(np.random.default_rng(seed), 4, buffer.n_envs, [7])
    for transition, _ in zip(transitions, range(steps), strict=False):
        buffer.add(*transition)


@pytest.mark.parametrize("n_steps", [1, 3])
@pytest.mark.parametrize("n_envs", [1, 3])
def test_prioritized_transitions_are_those_of_sb3(n_envs: int, n_steps: int) -> None:
    ours = make_prioritized(40, n_envs, n_steps=n_steps, gamma=0.9)
    _, theirs = make_pair(40, 4, n_envs, n_steps)
    rng = np.random.default_rng(0)
    rows = 40 // n_envs
    for step, transition in zip(range(2 * rows + 5), stream(rng, 4, n_envs, [2, 7]), strict=False):
        ours.add(*transition)
        theirs.add(*transition)
        batch = ours.sample(20)
        rows_now, envs = np.divmod(batch.indices % (rows * n_envs), n_envs)
        assert batch.indices.max() < (step + 1) * n_envs
        assert batch.indices.min() >= (step + 1 - theirs.size()) * n_envs
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(np.random, "randint", lambda *_, envs=envs, **__: envs)
            assert_same_batch(batch, theirs._get_samples(rows_now))
        ours.update_priorities(batch.indices, rng.random(20))


def test_sampling_follows_the_priorities() -> None:
    buffer = make_prioritized(50, alpha=0.5)
    fill(buffer, 60)
    errors = np.random.default_rng(1).uniform(0.01, 5.0, 50)
    indices = np.arange(10, 60)  # of the transitions still there
    buffer.update_priorities(indices, errors)
    np.random.seed(0)
    draws, counts = 40_000, Counter[int]()
    for _ in range(draws // 40):
        counts.update(buffer.sample(40).indices.tolist())
    expected = draws * np.sqrt(errors) / np.sqrt(errors).sum()
    chi2 = sum((counts[i] - e) ** 2 / e for i, e in zip(indices.tolist(), expected, strict=True))
    assert chi2 < 75  # 1 % of independent draws exceed it with 49 degrees of freedom


def test_a_batch_is_stratified() -> None:
    buffer = make_prioritized(8)
    fill(buffer, 8)
    # All have the priority of new ones: each of 8 equal shares is one transition.
    assert buffer.sample(8).indices.tolist() == list(range(8))


def test_weights_by_hand() -> None:
    buffer = make_prioritized(2, alpha=0.5, beta=0.5)
    fill(buffer, 2)
    buffer.update_priorities(np.array([0, 1]), th.tensor([[1.0], [16.0]]))
    # priorities 1 and 4, P = 0.2 and 0.8; (2 P)**-0.5 = 1.58 and 0.79, divided by the larger: 1 and 0.5
    batch = buffer.sample(50)
    assert set(batch.indices.tolist()) == {0, 1}
    expected = np.where(batch.indices == 0, 1.0, 0.5)
    assert batch.weights.squeeze(1).tolist() == pytest.approx(expected.tolist(), rel=1e-4)
    assert batch.weights.shape == (50, 1)
    assert batch.weights.dtype == th.float32


def test_new_transitions_get_the_largest_priority_so_far() -> None:
    buffer = make_prioritized(10, alpha=1.0)
    fill(buffer, 3)
    assert buffer.tree.weights[:4].tolist() == [2**20, 2**20, 2**20, 0]
    buffer.update_priorities(np.array([0]), np.array([8.0]))
    buffer.update_priorities(np.array([0]), np.array([0.0]))
    fill(buffer, 1)
    # 8 + 1e-6 and 0 + 1e-6, as multiples of 2**-20
    assert buffer.tree.weights[:4].tolist() == [2, 2**20, 2**20, 8 * 2**20 + 2]


def test_overwritten_transitions_keep_their_successors_priority() -> None:
    buffer = make_prioritized(4)
    fill(buffer, 4)
    indices = buffer.sample(4).indices
    fill(buffer, 3)
    before = buffer.tree.weights.copy()
    buffer.update_priorities(indices, np.full(4, 0.1))
    assert (buffer.tree.weights != before).nonzero()[0].tolist() == [3]
    buffer.reset()
    fill(buffer, 4)
    before = buffer.tree.weights.copy()
    buffer.update_priorities(indices, np.full(4, 0.1))
    assert buffer.tree.weights.tolist() == before.tolist()


@pytest.mark.parametrize(
    ("indices", "errors", "named"),
    [
        ([0, 1], [0.5, -0.5], "errors | -0.5"),
        ([0, 1], [0.5, np.nan], "errors | nan"),
        ([0, 1], [0.5, np.inf], "errors | inf"),
        ([0, 1], [0.5], "1 | 2"),
        ([0, 9], [0.5, 0.5], "indices | 5 | 9"),
    ],
)
def test_wrong_updates_are_refused(indices: list[int], errors: list[float], named: str) -> None:
    buffer = make_prioritized(10)
    fill(buffer, 5)
    with error_naming(ValueError, named):
        buffer.update_priorities(np.array(indices), np.array(errors))


def test_huge_errors_do_not_overflow() -> None:
    buffer = make_prioritized(10, alpha=2.0)
    fill(buffer, 10)
    buffer.update_priorities(np.arange(10), np.full(10, 1e100))
    assert sorted(buffer.sample(10).indices.tolist()) == list(range(10))


def test_beta_rises_to_one() -> None:
    buffer = make_prioritized(40, n_envs=2, beta=0.4, beta_steps=20)
    assert buffer.current_beta == pytest.approx(0.4)
    fill(buffer, 5)  # 10 of 20 agent steps
    assert buffer.current_beta == pytest.approx(0.7)
    buffer.reset()  # forgets transitions, not agent steps
    assert buffer.current_beta == pytest.approx(0.7)
    fill(buffer, 20)
    assert buffer.current_beta == 1.0


def test_an_empty_prioritized_buffer_is_not_sampled() -> None:
    with error_naming(ValueError, "empty"):
        make_prioritized(10).sample(1)


# --- Under the algorithms of SB3 and sb3-contrib


class FrameEnv(gym.Env[np.ndarray, Any]):
    """Random frames, stacked by 4; episodes of random length crash, or reach the time limit of 12 steps."""

    def __init__(self, continuous: bool = False) -> None:
        self.observation_space = frame_space(4, (16, 16))
        self.action_space = spaces.Box(-1, 1, (2,)) if continuous else ACTIONS
        self.steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.steps = 0
        self.stack = np.repeat(self._frame(), 4, axis=0)
        return self.stack.copy(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.steps += 1
        self.stack = np.concatenate([self.stack[1:], self._frame()])
        return self.stack.copy(), float(np.sum(action)), self.np_random.random() < 0.1, self.steps == 12, {}

    def _frame(self) -> np.ndarray:
        return self.np_random.integers(0, 256, (1, 16, 16), dtype=np.uint8)


def train(algorithm: type[BaseAlgorithm], buffer: type[ReplayBuffer] | None, **kwargs: Any) -> Any:
    env = make_vec_env(FrameEnv, n_envs=2, seed=0, env_kwargs={"continuous": algorithm is SAC})
    model = algorithm(
        "MlpPolicy",
        env,
        seed=0,
        buffer_size=101,
        learning_starts=20,
        batch_size=16,
        replay_buffer_class=buffer,
        policy_kwargs={"net_arch": [8]},
        device="cpu",
        **kwargs,
    )
    return model.learn(300)


@pytest.mark.parametrize("algorithm", [DQN, QRDQN, SAC])
def test_training_is_that_of_sb3s_buffer(algorithm: type[BaseAlgorithm]) -> None:
    ours, theirs = train(algorithm, FrameReplayBuffer), train(algorithm, ReplayBuffer)
    for name, weights in theirs.policy.state_dict().items():
        assert th.equal(ours.policy.state_dict()[name], weights), name


def test_n_step_training_is_that_of_sb3s_buffer() -> None:
    theirs = train(DQN, None, n_steps=3, gamma=0.9)
    ours = train(DQN, FrameReplayBuffer, gamma=0.9, replay_buffer_kwargs={"n_steps": 3, "gamma": 0.9})
    for name, weights in theirs.policy.state_dict().items():
        assert th.equal(ours.policy.state_dict()[name], weights), name


@pytest.mark.parametrize("buffer", [FrameReplayBuffer, PrioritizedFrameReplayBuffer])
@pytest.mark.parametrize("algorithm", [DQN, QRDQN])
def test_training_goes_on_from_a_saved_buffer(
    algorithm: type[BaseAlgorithm], buffer: type[FrameReplayBuffer], tmp_path: Path
) -> None:
    model = train(algorithm, buffer, replay_buffer_kwargs={"n_steps": 3})
    model.save_replay_buffer(tmp_path / "replay.pkl")
    model.load_replay_buffer(tmp_path / "replay.pkl")
    assert model.replay_buffer.size() == 50
    model.learn(100)
    assert_no_slot_lost(model.replay_buffer)


def test_cardqn_updates_the_priorities() -> None:
    model = train(CarDQN, PrioritizedFrameReplayBuffer, n_steps=3, gamma=0.9)
    buffer = model.replay_buffer
    assert (buffer.n_steps, buffer.gamma) == (3, 0.9)
    assert len(np.unique(buffer.tree.weights[: buffer.size()])) > 10


def test_normalized_images_are_refused_at_an_episodes_end() -> None:
    env = VecNormalize(DummyVecEnv([FrameEnv]), norm_obs=True)
    model = DQN("MlpPolicy", env, buffer_size=50, replay_buffer_class=FrameReplayBuffer, device="cpu")
    with error_naming(ValueError, "obs | frame_channels=1"):
        model.learn(20)


def test_frame_stacks_of_sb3_are_taken() -> None:
    # VecFrameStack fills up with zeros on reset
    class SingleFrame(gym.ObservationWrapper[np.ndarray, Any, np.ndarray]):
        def __init__(self) -> None:
            super().__init__(FrameEnv())
            self.observation_space = frame_space(1, (16, 16))

        def observation(self, observation: np.ndarray) -> np.ndarray:
            return observation[-1:]

    env = VecFrameStack(DummyVecEnv([SingleFrame]), 4)
    model = DQN(
        "MlpPolicy",
        env,
        buffer_size=50,
        learning_starts=10,
        replay_buffer_class=FrameReplayBuffer,
        device="cpu",
    ).learn(200)
    assert model.replay_buffer is not None
    assert model.replay_buffer.full


def test_observations_of_another_dtype_than_their_space() -> None:
    rng, space = np.random.default_rng(0), spaces.Box(0, 1, (3, 2, 3), np.float32)
    buffer = FrameReplayBuffer(100, space, ACTIONS, n_steps=2, gamma=0.5)
    frames = rng.random((14, 1, 2, 3))  # float64, as a user's frames / 255
    for i in range(10):
        obs, next_obs = (frames[start : start + 3, 0][None] for start in (i, i + 1))
        buffer.add(obs, next_obs, np.zeros(1), np.ones(1), np.zeros(1), [{}])
    assert not buffer.ends[:9].any()
    assert buffer._get_samples(np.zeros(1, int)).rewards.item() == 1.5


def test_an_agent_whose_buffer_does_not_fit_here_drives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = frame_space(4, (36, 36))
    env = DummyVecEnv(
        [lambda: FakeImageEnv(screen_height=36, screen_width=36, n_channels=4, channel_first=True)]
    )
    assert env.observation_space == space
    agent = CarDQN("CnnPolicy", env, buffer_size=1000, replay_buffer_class=FrameReplayBuffer)
    agent.save(tmp_path / "agent")
    monkeypatch.setattr("sb3_cardqn.replay.buffers.available_memory", lambda: 10_000)
    with pytest.warns(UserWarning, match="buffer_size=1000"):
        loaded = CarDQN.load(tmp_path / "agent")
    obs = env.reset()
    assert loaded.predict(obs, deterministic=True)[0] == agent.predict(obs, deterministic=True)[0]


def test_a_buffer_that_was_reset_has_its_memory_already(monkeypatch: pytest.MonkeyPatch) -> None:
    space = frame_space(4, (36, 36))
    buffers = [FrameReplayBuffer(1000, space, spaces.Discrete(3)) for _ in range(2)]
    step = np.zeros((1, *space.shape), np.uint8), np.zeros((1, *space.shape), np.uint8)
    rest: Any = np.zeros((1, 1)), np.zeros(1), np.zeros(1, bool), [{}]
    used, fresh = buffers
    used.add(*step, *rest)
    used.reset()
    monkeypatch.setattr("sb3_cardqn.replay.buffers.available_memory", lambda: 10_000)
    used.add(*step, *rest)
    assert used.size() == 1
    with error_naming(ValueError, "buffer_size=1000"):
        fresh.add(*step, *rest)
