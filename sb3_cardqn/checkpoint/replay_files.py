"""ReplayFiles: a replay buffer on disk, in append-only files, so that saving only writes what is new."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer

from sb3_cardqn.durable import FileRecord, write_file
from sb3_cardqn.replay.buffers import FrameReplayBuffer
from sb3_cardqn.replay.prioritized import PrioritizedFrameReplayBuffer

_FILE_BYTES = 64 * 2**20  # approximate size of a file, and so the memory that saving takes
# exact types: a subclass may hold more state
_BUFFERS = (
    ReplayBuffer, NStepReplayBuffer, DictReplayBuffer, FrameReplayBuffer, PrioritizedFrameReplayBuffer
)  # fmt: skip
# attributes that change besides rows and frames; not every buffer has them all
_NUMBERS = ("pos", "full", "_max_priority", "_rows_added", "_rows_skipped")


class Segment(NamedTuple):
    """
    Rows of the buffer in one file; a row is one transition of each environment.

    :param first: number of the first row, counted from the start of the run
    :param last: number after that of the last row
    :param record: the file
    """

    first: int
    last: int
    record: FileRecord


class ReplayFiles:
    """
    Rows of a replay buffer in the files of a folder.

    A row is written once and never changed. The exception is the newest row, which can still be truncated, so
    it is written again with the rows that follow. A file is dropped once the buffer has overwritten all its
    rows. For a ``FrameReplayBuffer`` a file holds the frames of its rows with their slots. A reused slot
    belongs to a later file, so reading the files in order leaves the right frame in each slot.

    :param folder: folder of the files
    :param segments: existing files, in order
    :param rows: number of rows the buffer had received when they were written
    :param agent_steps: number of agent steps at that time
    """

    def __init__(
        self, folder: Path, segments: list[Segment] | None = None, rows: int = 0, agent_steps: int = 0
    ) -> None:
        self.folder = folder
        self.segments = segments or []
        self.rows = rows
        self.agent_steps = agent_steps

    def with_new(self, buffer: ReplayBuffer, agent_steps: int) -> "ReplayFiles":
        """
        Write the rows that are not in the files yet.

        :param buffer: replay buffer that received one row per agent step of all environments
        :param agent_steps: current number of agent steps
        :return: the files that hold the buffer now; the previous files all still exist
        :raises OSError: if a file cannot be written
        """
        rows = self.rows + (agent_steps - self.agent_steps) // buffer.n_envs
        if rows == self.rows and self.segments:
            return self
        if rows % buffer.buffer_size != buffer.pos or not self.segments:
            # something else filled or emptied the buffer: all rows are new
            rows = self.rows + buffer.buffer_size + (buffer.pos - self.rows) % buffer.buffer_size
            oldest = new = rows - buffer.size()
        else:
            oldest = rows - buffer.size()
            new = max(self.segments[-1].last - 1, oldest)
        segments = [segment for segment in self.segments if segment.last > oldest and segment.first < new]
        step = max(_FILE_BYTES // _row_bytes(buffer), 1)
        for first in range(new, rows, step):
            segments.append(self._write(buffer, first, min(first + step, rows), rows))
        return ReplayFiles(self.folder, segments, rows, agent_steps)

    def _write(self, buffer: ReplayBuffer, first: int, last: int, rows: int) -> Segment:
        places = (buffer.pos - rows + np.arange(first, last)) % buffer.buffer_size
        arrays = {name: array[places] for name, array in _row_arrays(buffer)}
        pool = getattr(buffer, "pool", None)
        if pool is not None:
            arrays["pool.slots"] = np.unique(arrays["slots"])
            arrays["pool.frames"] = pool.frames[arrays["pool.slots"]]
        path = self.folder / f"replay-{first:012}-{last:012}.npz"
        record = write_file(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]
        return Segment(first, last, record)

    def read_into(self, buffer: ReplayBuffer, numbers: dict[str, Any]) -> None:
        """
        :param buffer: empty buffer, constructed like the one that was written
        :param numbers: ``buffer_numbers`` of the one that was written
        """
        for segment in self.segments:
            if not 0 < segment.last - segment.first <= buffer.buffer_size:
                raise ValueError(
                    f"a file of the replay buffer cannot hold rows {segment.first} to {segment.last}"
                )
            rows = np.arange(segment.first, segment.last)
            places = (numbers["pos"] - self.rows + rows) % buffer.buffer_size
            alive = rows >= self.rows - buffer.buffer_size
            with np.load(self.folder / segment.record.name, allow_pickle=False) as arrays:
                for name, array in _row_arrays(buffer):
                    array[places[alive]] = arrays[name][alive]
                if "pool.slots" in arrays:
                    buffer.pool.put(arrays["pool.slots"], arrays["pool.frames"])  # type: ignore[attr-defined]
        for name in _NUMBERS:
            if name in numbers:
                setattr(buffer, name, numbers[name])
        if "free" in numbers:
            buffer.pool.free_only(numbers["used"], numbers["free"].tolist())  # type: ignore[attr-defined]
        if "priorities" in numbers:
            priorities = numbers["priorities"]
            buffer.tree.set(np.arange(len(priorities)), priorities)  # type: ignore[attr-defined]


def buffer_numbers(buffer: ReplayBuffer) -> dict[str, Any]:
    """
    :param buffer: replay buffer that passes ``check_buffer``
    :return: its state other than rows and frames, which is small and changes with every update
    """
    numbers = {name: getattr(buffer, name) for name in _NUMBERS if hasattr(buffer, name)}
    pool, tree = getattr(buffer, "pool", None), getattr(buffer, "tree", None)
    if pool is not None:
        numbers |= {"used": pool.used, "free": np.array(pool.free_slots, dtype=np.int32)}
    if tree is not None:
        numbers["priorities"] = tree.weights
    return numbers


def describe_buffer(buffer: ReplayBuffer) -> dict[str, Any]:
    """
    :param buffer: any replay buffer
    :return: properties that must be the same to reuse its rows
    """
    return {
        "class": type(buffer).__name__,
        "buffer_size": buffer.buffer_size,
        "n_envs": buffer.n_envs,
        "rows": {name: [str(array.dtype), *array.shape[2:]] for name, array in _row_arrays(buffer)},
    }


def check_buffer(buffer: ReplayBuffer) -> None:
    """
    :param buffer: replay buffer of an agent
    :raises TypeError: if it holds more than rows and frames
    """
    if not _fits(buffer):
        raise TypeError(
            f"a checkpoint needs a replay buffer from {[known.__name__ for known in _BUFFERS]} with "
            f"optimize_memory_usage=False, got {type(buffer).__name__} with "
            f"optimize_memory_usage={buffer.optimize_memory_usage}"
        )


def checkpoint_bytes(buffer: ReplayBuffer | None) -> int | None:
    """
    :param buffer: replay buffer of an agent, None if it has none
    :return: bytes of the full buffer in a checkpoint; None if it cannot be in one
    """
    if buffer is None or not _fits(buffer):
        return None
    if isinstance(buffer, FrameReplayBuffer):
        return buffer.memory_bytes
    return buffer.buffer_size * _row_bytes(buffer)


def _fits(buffer: ReplayBuffer) -> bool:
    return type(buffer) in _BUFFERS and not buffer.optimize_memory_usage


def _row_arrays(buffer: ReplayBuffer) -> Iterator[tuple[str, np.ndarray]]:
    """
    :param buffer: any replay buffer
    :return: its arrays (rows, n_envs, ...) by name
    """
    for name, value in vars(buffer).items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        for key, array in parts:
            if isinstance(array, np.ndarray) and array.shape[:2] == (buffer.buffer_size, buffer.n_envs):
                yield f"{name}.{key}" if key else name, array


def _row_bytes(buffer: ReplayBuffer) -> int:
    pool = getattr(buffer, "pool", None)
    frame = 0 if pool is None else pool.frames[:1].nbytes * buffer.n_envs
    return frame + sum(array[:1].nbytes for _, array in _row_arrays(buffer))
