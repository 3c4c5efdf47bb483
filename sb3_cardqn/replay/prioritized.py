"""PrioritizedFrameReplayBuffer: a FrameReplayBuffer that samples by TD error."""

from typing import Any, NamedTuple

import numpy as np
import torch as th
from stable_baselines3.common.vec_env import VecNormalize

from sb3_cardqn.checks import check_number, check_whole
from sb3_cardqn.replay.buffers import FrameReplayBuffer
from sb3_cardqn.replay.storage import SumTree


class PrioritizedReplayBufferSamples(NamedTuple):
    """SB3's ``ReplayBufferSamples`` with two more fields, which an algorithm may ignore."""

    observations: th.Tensor
    actions: th.Tensor
    next_observations: th.Tensor
    dones: th.Tensor
    rewards: th.Tensor
    discounts: th.Tensor | None
    weights: th.Tensor  # (batch, 1) importance weights, at most 1
    indices: np.ndarray  # (batch,) for update_priorities()


class PrioritizedFrameReplayBuffer(FrameReplayBuffer):
    """
    Proportional prioritized replay, Schaul et al. 2016, that stores each frame once.

    - A transition's priority is ``(|td_error| + eps) ** alpha``, rounded up to a multiple of ``2**-20``;
      a new transition takes the largest priority so far.
    - Each of ``batch_size`` equal shares of the summed priorities gives one draw (their appendix B.2.1).
    - A transition's importance weight is ``(N * P(i)) ** -beta``, divided by the largest in the batch.

    >>> from gymnasium import spaces
    >>> space = spaces.Box(0, 255, (2, 8, 8), np.uint8)
    >>> buffer = PrioritizedFrameReplayBuffer(100, space, spaces.Discrete(5), device="cpu")
    >>> stack = np.zeros((1, 2, 8, 8), np.uint8)
    >>> buffer.add(stack, stack, np.array([3]), np.array([1.0]), np.array([False]), [{}])
    >>> batch = buffer.sample(4)
    >>> buffer.update_priorities(batch.indices, np.array([0.5, 0.5, 0.5, 0.5]))

    :param args: arguments of :class:`FrameReplayBuffer`
    :param alpha: exponent of the priorities, at least 0; 0 samples uniformly
    :param beta: exponent of the importance weights, in [0, 1]; 1 corrects the sampling bias fully
    :param beta_steps: agent steps over which beta rises linearly to 1; None for a constant beta
    :param eps: constant added to errors, above 0, so that a transition without error is sampled again
    :param kwargs: keyword arguments of :class:`FrameReplayBuffer`
    :raises ValueError: if ``alpha``, ``beta``, ``beta_steps`` or ``eps`` is out of range
    """

    UNIT = 2**20  # weight in the tree, a whole number, for a priority of 1
    _rows_skipped = 0  # by ``reset``, in the numbering of rows

    def __init__(
        self,
        *args: Any,
        alpha: float = 0.6,
        beta: float = 0.4,
        beta_steps: int | None = None,
        eps: float = 1e-6,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        name = type(self).__name__
        alpha = check_number(name, "alpha", alpha, 0)
        beta = check_number(name, "beta", beta, 0, 1)
        eps = check_number(name, "eps", eps, 0, above=True)
        if beta_steps is not None:
            beta_steps = check_whole(name, "beta_steps", beta_steps)
        self.alpha = alpha
        self.beta = beta
        self.beta_steps = beta_steps
        self.eps = eps
        self._capacity = self.buffer_size * self.n_envs
        self.tree = SumTree(self._capacity)
        self._max_priority = self.UNIT
        # Unlike pos it never wraps, so that a transition is not confused with the one that replaced it.
        self._rows_added = 0

    @property
    def _row_bytes(self) -> int:
        return super()._row_bytes + 9  # an int64 in the tree, plus its share of the sums

    @property
    def current_beta(self) -> float:
        """Current exponent of the weights, from ``beta`` to 1."""
        if self.beta_steps is None:
            return self.beta
        agent_steps = (self._rows_added - self._rows_skipped) * self.n_envs
        return self.beta + (1.0 - self.beta) * min(agent_steps / self.beta_steps, 1.0)

    def reset(self) -> None:
        """Forget all transitions and priorities; the memory stays."""
        super().reset()
        self.tree = SumTree(self._capacity)
        self._max_priority = self.UNIT
        # pos restarts at 0; at a multiple of buffer_size it is still the remainder of _rows_added
        skipped = -self._rows_added % self.buffer_size
        self._rows_added += skipped
        self._rows_skipped += skipped

    def add(self, *args: Any, **kwargs: Any) -> None:
        """
        Add one transition per environment, with the largest priority so far.

        :param args: arguments of :meth:`FrameReplayBuffer.add`
        :param kwargs: keyword arguments of :meth:`FrameReplayBuffer.add`
        """
        inds = self.pos * self.n_envs + np.arange(self.n_envs)
        super().add(*args, **kwargs)
        self.tree.set(inds, self._max_priority)
        self._rows_added += 1

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> PrioritizedReplayBufferSamples:  # type: ignore[override]
        """
        :param batch_size: number of transitions to draw
        :param env: wrapper that normalizes observations and rewards, or None
        :return: transitions, their weights and their indices
        :raises ValueError: if the buffer is empty
        """
        if self.size() == 0:
            raise ValueError("PrioritizedFrameReplayBuffer needs transitions to sample, got an empty buffer")
        shares = np.arange(batch_size) + np.random.random(batch_size)  # noqa: NPY002
        inds = self.tree.find(shares / batch_size)
        priorities = self.tree.weights.take(inds)
        # N and the sum of priorities cancel in the division by the largest weight.
        weights = (priorities[priorities.argmin()] / priorities) ** self.current_beta
        newest = self._rows_added * self.n_envs - 1
        return PrioritizedReplayBufferSamples(
            *self._gather(inds, env),
            weights=self.to_torch(weights.astype(np.float32).reshape(-1, 1), copy=False),
            indices=newest - (newest - inds) % self._capacity,
        )

    def update_priorities(self, indices: np.ndarray, td_errors: np.ndarray | th.Tensor) -> None:
        """
        Give transitions the priority of their new errors; transitions overwritten since are skipped.

        :param indices: (batch,) ``indices`` of the sample
        :param td_errors: (batch,) or (batch, 1) absolute errors
        :raises ValueError: if an error is negative or not finite, or an index is of no transition so far
        """
        if isinstance(td_errors, th.Tensor):
            td_errors = td_errors.detach().to("cpu", th.float64).numpy()
        errors = np.asarray(td_errors, dtype=np.float64).reshape(-1)  # (batch,)
        if errors.shape != indices.shape:
            raise ValueError(
                f"update_priorities needs one error per index, got {len(errors)} for {len(indices)}"
            )
        # argmin and argmax take a quarter of the time of min and max; all of them find a NaN
        top = errors.argmax()
        lowest, largest = errors[errors.argmin()], errors[top]
        oldest, newest = indices[indices.argmin()], indices[indices.argmax()]
        added = self._rows_added * self.n_envs
        if not (lowest >= 0 and largest < np.inf and newest < added):  # comparisons with NaN are false
            raise ValueError(
                f"update_priorities needs absolute, finite errors and indices below {added}, "
                f"got errors {lowest} to {largest} and indices to {newest}"
            )
        priorities = np.ceil((errors + self.eps) ** self.alpha * self.UNIT)
        highest = 2**62 // self._capacity  # the sum must fit in 63 bits
        if priorities[top] > highest:
            priorities = np.minimum(priorities, highest)
        self._max_priority = max(self._max_priority, int(priorities[top]))
        first = added - self.size() * self.n_envs
        if oldest < first:
            alive = indices >= first
            indices, priorities = indices[alive], priorities[alive]
        self.tree.set(indices % self._capacity, priorities)
