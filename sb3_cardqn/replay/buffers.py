"""FrameReplayBuffer: a replay buffer for frame stacks that stores each frame once."""

import sys
import warnings
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from sb3_cardqn.checks import check_number, check_whole
from sb3_cardqn.hardware import available_memory
from sb3_cardqn.replay.storage import FramePool


class FrameReplayBuffer(ReplayBuffer):
    """
    SB3's ``ReplayBuffer`` and ``NStepReplayBuffer`` for stacked frames, in an eighth of the memory.

    A transition of SB3's buffer holds ``2 * k`` frames; this one holds the indices of ``k + 1`` frames, and
    stacks are assembled when sampled. The same NumPy seed gives the same batches as SB3's buffers. The
    differences:

    1. Observations must be sliding stacks: ``next_obs`` is ``obs`` without its oldest frame, plus a new one.
       Every ``add`` checks this. An episode's first stack may hold any frames (repeated, zeros, different
       ones); a frame that repeats the one before it takes no memory.
    2. If an environment was reset without ``done`` (a second ``learn()``, a loaded buffer), ``obs`` differs
       from the previous ``next_obs``. The n-step return stops there and bootstraps, as at a time limit; with
       SB3 it continues into the other episode.
    3. ``dones`` and ``timeouts`` are stored as bool; there are no arrays ``observations`` and
       ``next_observations``.
    4. A buffer that does not fit in memory warns at construction and refuses its first transition.
    5. ``VecNormalize(norm_obs=True)`` is refused: immediately by ``CarDQN`` and the zoo's ``train``, at the
       end of the first episode by other algorithms, where SB3 rounds the final observation.

    Memory is taken from the system page by page as frames are added, and only frames in use are saved.

    >>> space = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    >>> buffer = FrameReplayBuffer(10_000, space, spaces.Discrete(5), device="cpu")
    >>> print(f"{buffer.memory_bytes / 1e6:.1f} MB")
    71.6 MB

    :param buffer_size: capacity in transitions, divided evenly among the environments (rounded down)
    :param observation_space: Box of stacks ``(k * frame_channels, ...)``, oldest frame first
    :param action_space: action space of the environments
    :param device: PyTorch device of the batches
    :param n_envs: number of parallel environments
    :param optimize_memory_usage: False; with True SB3 would end an episode wrongly at a further ``learn()``
    :param handle_timeout_termination: True to bootstrap from the final observation at a time limit
    :param n_steps: rewards summed before bootstrapping; with 1 the algorithm's own gamma is used
    :param gamma: discount inside an n-step return, in [0, 1]; must equal the algorithm's
    :param frame_channels: channels of each frame: 1, or 3 for colours (k counts frames, not channels)
    :raises ValueError: if the observations are not stacks; a buffer that does not fit in memory is a warning
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        device: th.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
        n_steps: int = 1,
        gamma: float = 0.99,
        frame_channels: int = 1,
    ) -> None:
        name = type(self).__name__
        if not isinstance(observation_space, spaces.Box) or not observation_space.shape:
            raise ValueError(
                f"{name} needs observation_space, a Box of stacked frames (k, ...), got {observation_space}"
            )
        if optimize_memory_usage:
            raise ValueError(f"{name} stores each frame once and needs optimize_memory_usage=False, got True")
        buffer_size = check_whole(name, "buffer_size", buffer_size)
        n_steps = check_whole(name, "n_steps", n_steps)
        frame_channels = check_whole(name, "frame_channels", frame_channels)
        self.n_frames, rest = divmod(observation_space.shape[0], frame_channels)
        if rest:
            raise ValueError(
                f"{name} needs frame_channels that divide the {observation_space.shape[0]} channels of "
                f"{observation_space}, got {frame_channels}"
            )
        gamma = check_number(name, "gamma", gamma, 0, 1)
        # Skips ReplayBuffer.__init__, which would allocate every stack.
        super(ReplayBuffer, self).__init__(buffer_size, observation_space, action_space, device, n_envs)
        self.buffer_size = max(buffer_size // n_envs, 1)
        self.optimize_memory_usage = optimize_memory_usage
        self.handle_timeout_termination = handle_timeout_termination
        self.n_steps = n_steps
        self.gamma = gamma
        self.frame_channels = frame_channels

        # An episode's start takes one more frame: reserve 1 %; the pool grows if episodes are shorter.
        frames = n_envs * (self.buffer_size + self.buffer_size // 100)
        frame_shape = self.obs_shape[1:] if frame_channels == 1 else (frame_channels, *self.obs_shape[1:])
        self._stack_shape = (self.n_frames, *frame_shape)
        self.pool = FramePool(frames, frame_shape, observation_space.dtype)
        if missing := self._missing_memory():
            if self.memory_bytes > sys.maxsize:
                raise ValueError(missing)
            warnings.warn(missing, stacklevel=2)  # no error: a loaded agent that only drives adds nothing
        rows = (self.buffer_size, n_envs)
        self.actions = np.zeros((*rows, self.action_dim), dtype=self._maybe_cast_dtype(action_space.dtype))
        self.rewards = np.zeros(rows, dtype=np.float32)
        self.dones = np.zeros(rows, dtype=bool)
        self.timeouts = np.zeros(rows, dtype=bool)
        # True where the next row belongs to another episode
        self.ends = np.zeros(rows, dtype=bool)
        # Slots of each transition's k + 1 frames: obs is the first k, next_obs the last k.
        self.slots = np.zeros((*rows, self.n_frames + 1), dtype=np.int32)

    @property
    def memory_bytes(self) -> int:
        """Bytes of the full buffer, with episodes of 100 transitions or more."""
        return self.pool.full_bytes + self.buffer_size * self.n_envs * self._row_bytes

    @property
    def _row_bytes(self) -> int:
        """Bytes of a transition without its frames: action, slots, reward, three flags."""
        action_bytes = np.dtype(self._maybe_cast_dtype(self.action_space.dtype)).itemsize * self.action_dim
        return action_bytes + 4 * (self.n_frames + 1) + 4 + 3

    def _missing_memory(self) -> str:
        """
        :return: what is needed and what is available; "" if that is enough
        """
        needed, available = self.memory_bytes, available_memory()
        if needed <= available:
            return ""
        name, size = type(self).__name__, self.n_envs * self.buffer_size
        return (
            f"{name} with buffer_size={size} needs {needed / 1e9:.2f} GB, but {available / 1e9:.2f} GB are "
            f"available: the largest buffer_size that fits is {size * available // needed}"
        )

    def check_memory(self) -> None:
        """
        Check that the full buffer fits.

        :raises ValueError: if it needs more memory than is available; the text names the largest that fits
        """
        if missing := self._missing_memory():
            raise ValueError(missing)

    def reset(self) -> None:
        """Forget all transitions; the memory stays."""
        super().reset()
        self.pool.clear()

    def add(
        self,
        obs: np.ndarray,
        next_obs: np.ndarray,
        action: np.ndarray,
        reward: np.ndarray,
        done: np.ndarray,
        infos: list[dict[str, Any]],
    ) -> None:
        """
        Add one transition per environment.

        :param obs: (n_envs, k * frame_channels, ...) stacks
        :param next_obs: (n_envs, k * frame_channels, ...) stacks one frame later; final ones where ``done``
        :param action: (n_envs, ...) actions
        :param reward: (n_envs,) rewards
        :param done: (n_envs,) True where the episode terminated or was truncated
        :param infos: one dict per environment; ``TimeLimit.truncated`` distinguishes time limits
        :raises ValueError: if the stacks do not slide, or at the first one if the full buffer does not fit
        """
        if not self.size() and not len(self.pool.frames):  # else reset(), and the memory is there
            self.check_memory()
        # a SubprocVecEnv hands over what an environment returns, whatever its space says
        obs, next_obs = (
            np.asarray(one, self.observation_space.dtype).reshape(self.n_envs, *self._stack_shape)
            for one in (obs, next_obs)
        )
        if not np.array_equal(next_obs[:, :-1], obs[:, 1:]):
            raise ValueError(
                f"{type(self).__name__} needs stacks of frames that slide, channel first and oldest frame "
                f"first: next_obs[:-1] must equal obs[1:]; got observations of shape {self.obs_shape} "
                f"with frame_channels={self.frame_channels} that do not (see FrameStack, or use SB3's "
                "ReplayBuffer)"
            )
        slots = self._slots_of(obs)
        if self.full:
            self._free_oldest(slots)
        for env in range(self.n_envs):
            slots[env, -1] = self.pool.store(next_obs[env, -1])

        self.slots[self.pos] = slots
        self.actions[self.pos] = np.reshape(action, (self.n_envs, self.action_dim))
        self.rewards[self.pos] = reward
        self.dones[self.pos] = done
        if self.handle_timeout_termination:
            self.timeouts[self.pos] = [info.get("TimeLimit.truncated", False) for info in infos]
        self.ends[self.pos] = self.dones[self.pos] | self.timeouts[self.pos]

        self.pos += 1
        if self.pos == self.buffer_size:
            self.full = True
            self.pos = 0

    def _slots_of(self, obs: np.ndarray) -> np.ndarray:
        """
        Find the slots of each environment's stack; stacks that start an episode are stored.

        :param obs: (n_envs, k, ...) stacks
        :return: (n_envs, k + 1) slots; the last is empty, for the next frame
        """
        slots = np.empty((self.n_envs, self.n_frames + 1), dtype=np.int32)
        newest = self.pos - 1  # row -1 is the newest after wrapping around
        for env in range(self.n_envs):
            if self.size() and not self.ends[newest, env]:
                before = self.slots[newest, env, 1:]
                if np.array_equal(self.pool.frames[before], obs[env]):
                    slots[env, :-1] = before
                    continue
                self.ends[newest, env] = True
            for i, frame in enumerate(obs[env]):
                repeated = i > 0 and np.array_equal(frame, obs[env, i - 1])
                slots[env, i] = slots[env, i - 1] if repeated else self.pool.store(frame)
        return slots

    def _free_oldest(self, newest: np.ndarray) -> None:
        """
        Free the frames that only the transitions about to be overwritten use.

        :param newest: (n_envs, k + 1) slots of the transitions that replace them
        """
        # Transitions slide in time: a frame that the next oldest does not use is not used by any other.
        following = self.slots[(self.pos + 1) % self.buffer_size] if self.buffer_size > 1 else newest[:, :-1]
        for oldest, kept in zip(self.slots[self.pos].tolist(), following.tolist(), strict=True):
            self.pool.free(set(oldest).difference(kept))

    def _get_samples(self, batch_inds: np.ndarray, env: VecNormalize | None = None) -> ReplayBufferSamples:
        # The same draws as SB3's, so that the same seed gives the same batch.
        env_inds = np.random.randint(0, high=self.n_envs, size=(len(batch_inds),))  # noqa: NPY002
        return self._gather(batch_inds * self.n_envs + env_inds, env)

    def _gather(self, inds: np.ndarray, env: VecNormalize | None) -> ReplayBufferSamples:
        """
        :param inds: (batch,) indices of transitions: row * n_envs + environment
        :param env: wrapper that normalizes observations and rewards, or None
        :return: the transitions; no tensor shares memory with the buffer or with another tensor
        """
        if self.n_steps == 1:
            last_inds, discounts = inds, None
            returns = self._normalize_reward(self.rewards.reshape(-1, 1).take(inds, axis=0), env)
        else:
            last_inds, returns, discounts = self._n_step_returns(inds, env)
        terminated = self.dones.reshape(-1, 1).take(last_inds, axis=0)
        terminated &= ~self.timeouts.reshape(-1, 1).take(last_inds, axis=0)
        slots = self.slots.reshape(-1, self.n_frames + 1)
        slots = np.concatenate((slots.take(inds, axis=0)[:, :-1], slots.take(last_inds, axis=0)[:, 1:]))
        # One new array for both: with two of half the size, malloc returns the memory to the system after
        # every batch (480 page faults, 7 times slower). As it is new, to_torch() need not copy it.
        stacks = self.pool.frames.take(slots, axis=0).reshape(len(slots), *self.obs_shape)  # (2 * batch, ...)
        obs, next_obs = (
            self._normalize_obs(part, env) for part in (stacks[: len(inds)], stacks[len(inds) :])
        )
        return ReplayBufferSamples(
            observations=self.to_torch(obs, copy=False),  # type: ignore[arg-type]
            actions=self.to_torch(self.actions.reshape(-1, self.action_dim).take(inds, axis=0), copy=False),
            next_observations=self.to_torch(next_obs, copy=False),  # type: ignore[arg-type]
            dones=self.to_torch(terminated.astype(np.float32), copy=False),
            rewards=self.to_torch(returns, copy=False),
            discounts=None if discounts is None else self.to_torch(discounts, copy=False),
        )

    def _n_step_returns(
        self, inds: np.ndarray, env: VecNormalize | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """
        Sum rewards until n steps, the episode's end or the newest transition, whichever comes first.

        :param inds: (batch,) indices of transitions
        :param env: wrapper that normalizes every reward before discounting, or None
        :return: (batch,) indices of the last steps, (batch, 1) returns, (batch, 1) discounts of the bootstrap
        """
        steps = np.arange(self.n_steps)
        # The next row of the same environment is n_envs indices further.
        seq = (inds[:, None] + steps * self.n_envs) % self.rewards.size  # (batch, n_steps)
        stops = self.ends.take(seq) | (seq // self.n_envs == (self.pos - 1) % self.buffer_size)
        stops[:, -1] = True
        last_steps = stops.argmax(axis=1)  # (batch,) first stop
        mask = steps <= last_steps[:, None]
        # Powers in float32, as in SB3.
        rewards = self._normalize_reward(self.rewards.take(seq), env)
        returns = (rewards * self.gamma ** steps.astype(np.float32) * mask).sum(axis=1, keepdims=True)
        discounts = self.gamma ** (last_steps + 1).astype(np.float32).reshape(-1, 1)
        return seq[np.arange(len(inds)), last_steps], returns, discounts
