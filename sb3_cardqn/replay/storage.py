"""What replay is made of: frames by their number, weights by their sums."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import psutil
from numpy.typing import DTypeLike

from sb3_cardqn.cgroups import memory_left


class FramePool:
    """
    Frames in numbered slots; a freed slot is used again before a new one.

    Memory is taken at the first frame, and from the system only page by page as slots are first used:
    that is what ``np.empty`` of a large array does.

    :param size: slots to reserve; more are made by copying when that is not enough
    :param shape: of a frame
    :param dtype: of a frame
    """

    def __init__(self, size: int, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.size = size
        self.frames = np.empty((0, *shape), dtype=dtype)
        self.clear()

    @property
    def full_bytes(self) -> int:
        """Bytes of all the slots that are reserved."""
        return self.size * int(np.prod(self.frames.shape[1:])) * self.frames.itemsize

    def clear(self) -> None:
        """Free all slots; the memory stays."""
        self._used = 0  # slots from here on were never used
        self._free: list[int] = []

    def store(self, frame: np.ndarray) -> int:
        """
        :param frame: is copied
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
        """:param slots: whose frames nobody needs any more"""
        self._free.extend(slots)

    @property
    def used(self) -> int:
        """Slots from here on were never used."""
        return self._used

    @property
    def free_slots(self) -> list[int]:
        """Slots whose frames nobody needs; the last is used next."""
        return self._free

    def put(self, slots: np.ndarray, frames: np.ndarray) -> None:
        """
        Bring back frames into the slots that they had.

        :param slots: (n,) in any order
        :param frames: (n, ...)
        """
        if len(slots):
            self._reserve(int(slots.max()))
            self.frames[slots] = frames

    def free_only(self, used: int, free_slots: list[int]) -> None:
        """
        :param used: as in the pool whose frames were brought back
        :param free_slots: as in that pool
        """
        self._used, self._free = used, free_slots

    def __getstate__(self) -> dict[str, Any]:
        # A saved buffer is as large as what is in it, not as what it will reach.
        return {**self.__dict__, "frames": self.frames[: self._used]}


class SumTree:
    """
    Whole-number weights in blocks, and the sum of each block: draws in proportion to the weights.

    Two levels, as wide as the square root of the size, cost numpy a few calls a batch; the twenty
    levels of a binary tree cost it twenty times as many. Whole numbers make all sums exact (a weight of
    0 is never found, nothing drifts), and numpy adds them up eight times as fast as floats.

    >>> tree = SumTree(3)
    >>> tree.set(np.array([0, 2]), np.array([1, 3]))
    >>> tree.find(np.array([0.1, 0.25, 0.9])).tolist()
    [0, 2, 2]

    :param size: number of weights, all 0 at first; their sum must stay below 2**63
    """

    def __init__(self, size: int) -> None:
        # find() adds up the sums of all blocks, and each point's block: even for 64 points, as one long row
        # is added up four times as fast as many short ones.
        self.width = max(math.isqrt(size // 256), 8)
        self.weights = np.zeros(-(-size // self.width) * self.width, dtype=np.int64)
        self.sums = np.zeros(len(self.weights) // self.width, dtype=np.int64)
        self._ends = np.zeros(len(self.sums) + 1, dtype=np.int64)  # where blocks end, after a 0

    def set(self, indices: np.ndarray, weights: np.ndarray | int) -> None:
        """
        :param indices: which weights to change; of an index that comes twice, the last weight stays
        :param weights: their new values, at least 0
        """
        self.weights[indices] = weights
        changed = indices // self.width
        self.sums[changed] = self.weights.reshape(-1, self.width).take(changed, axis=0).sum(axis=1)

    def find(self, fractions: np.ndarray) -> np.ndarray:
        """
        Find which weights cover points of the whole sum; one is needed that is not 0.

        :param fractions: (batch,) points in [0, 1)
        :return: (batch,) indices, never of a weight that is 0
        """
        ends = self._ends
        self.sums.cumsum(out=ends[1:])
        # Above 2**53 a fraction just below 1 is rounded up.
        points = np.minimum((fractions * ends[-1]).astype(np.int64), ends[-1] - 1)
        blocks = ends[1:].searchsorted(points, side="right")
        points -= ends.take(blocks)
        ends = self.weights.reshape(-1, self.width).take(blocks, axis=0).cumsum(axis=1)  # (batch, width)
        return blocks * self.width + (ends > points[:, None]).argmax(axis=1)


def available_memory() -> int:
    """:return: bytes that can be allocated without swapping, and in a container without being killed"""
    available, left = psutil.virtual_memory().available, memory_left()
    return available if left is None else min(available, left)


def check_memory(name: str, buffer_size: int, needed: int) -> None:
    """
    :param name: of the buffer's class
    :param buffer_size: in transitions
    :param needed: bytes that it will reach
    :raises ValueError: if that is more than is available
    """
    available = available_memory()
    if needed > available:
        largest = buffer_size * available // needed
        raise ValueError(
            f"{name} with buffer_size={buffer_size} needs {needed / 1e9:.2f} GB, but "
            f"{available / 1e9:.2f} GB are available: the largest buffer_size that fits is {largest}"
        )
