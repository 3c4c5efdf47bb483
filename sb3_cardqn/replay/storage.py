"""FramePool (frame storage) and SumTree (proportional sampling)."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike


class FramePool:
    """
    Frames in numbered slots; freed slots are reused first.

    The array is made at the first frame. Because ``np.empty`` of a large array takes memory from the system
    page by page, slots take memory only when they are first used.

    :param size: number of slots to reserve; if they run out, the array is copied into a larger one
    :param shape: shape of a frame
    :param dtype: data type of a frame
    """

    def __init__(self, size: int, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.size = size
        self.frames = np.empty((0, *shape), dtype=dtype)
        self.clear()

    @property
    def full_bytes(self) -> int:
        """Bytes of all reserved slots."""
        return self.size * int(np.prod(self.frames.shape[1:])) * self.frames.itemsize

    def clear(self) -> None:
        """Free all slots; the memory stays."""
        self._used = 0  # first slot that was never used
        self._free: list[int] = []

    def store(self, frame: np.ndarray) -> int:
        """
        :param frame: frame to copy
        :return: its slot
        """
        if self._free:
            slot = self._free.pop()
        else:
            slot = self._used
            self._used += 1
        self._reserve(slot)
        self.frames[slot] = frame
        return slot

    def _reserve(self, slot: int) -> None:
        if slot >= len(self.frames):
            size = max(self.size, slot + slot // 8 + 1)
            frames = np.empty((size, *self.frames.shape[1:]), dtype=self.frames.dtype)
            frames[: len(self.frames)] = self.frames
            self.frames = frames

    def free(self, slots: Iterable[int]) -> None:
        """:param slots: slots whose frames are no longer needed"""
        self._free.extend(slots)

    @property
    def used(self) -> int:
        """First slot that was never used."""
        return self._used

    @property
    def free_slots(self) -> list[int]:
        """Freed slots; the last is used next."""
        return self._free

    def put(self, slots: np.ndarray, frames: np.ndarray) -> None:
        """
        Restore saved frames into their slots.

        :param slots: (n,) slots, in any order
        :param frames: (n, ...) frames
        """
        if len(slots):
            self._reserve(int(slots.max()))
            self.frames[slots] = frames

    def free_only(self, used: int, free_slots: list[int]) -> None:
        """
        :param used: ``used`` of the pool whose frames were restored
        :param free_slots: ``free_slots`` of that pool
        """
        self._used, self._free = used, free_slots

    def __getstate__(self) -> dict[str, Any]:
        # Save the used slots only, not all that are reserved.
        return {**self.__dict__, "frames": self.frames[: self._used]}


class SumTree:
    """
    Whole-number weights in blocks with the sum of each block, to sample in proportion to the weights.

    Two levels, with blocks of a sixteenth of the square root of the size, take a few NumPy calls per batch;
    the twenty levels of a binary tree take twenty times as many. Sums of whole numbers are exact (a weight of
    0 is never found, nothing drifts), and NumPy adds them eight times as fast as floats.

    >>> tree = SumTree(3)
    >>> tree.set(np.array([0, 2]), np.array([1, 3]))
    >>> tree.find(np.array([0.1, 0.25, 0.9])).tolist()
    [0, 2, 2]

    :param size: number of weights, initially 0; their sum must stay below 2**63
    """

    def __init__(self, size: int) -> None:
        # find() adds up the sums of all blocks, and the block of each point. This width makes both parts
        # equally long for 64 points, as one long row is added up four times as fast as many short ones.
        self.width = max(math.isqrt(size // 256), 8)
        self.weights = np.zeros(-(-size // self.width) * self.width, dtype=np.int64)
        self.sums = np.zeros(len(self.weights) // self.width, dtype=np.int64)
        self._ends = np.zeros(len(self.sums) + 1, dtype=np.int64)  # 0, then the cumulative sums of blocks

    def set(self, indices: np.ndarray, weights: np.ndarray | int) -> None:
        """
        :param indices: indices of the weights to change; for a repeated index the last weight counts
        :param weights: new values, at least 0
        """
        self.weights[indices] = weights
        changed = indices // self.width
        self.sums[changed] = self.weights.reshape(-1, self.width).take(changed, axis=0).sum(axis=1)

    def find(self, fractions: np.ndarray) -> np.ndarray:
        """
        Find the weights at points of the cumulative sum; at least one weight must not be 0.

        :param fractions: (batch,) points in [0, 1), as parts of the whole sum
        :return: (batch,) indices, never of a weight that is 0
        """
        ends = self._ends
        self.sums.cumsum(out=ends[1:])
        # Above 2**53, a fraction just below 1 would be rounded up to the sum itself.
        points = np.minimum((fractions * ends[-1]).astype(np.int64), ends[-1] - 1)
        blocks = ends[1:].searchsorted(points, side="right")
        points -= ends.take(blocks)
        ends = self.weights.reshape(-1, self.width).take(blocks, axis=0).cumsum(axis=1)  # (batch, width)
        return blocks * self.width + (ends > points[:, None]).argmax(axis=1)
