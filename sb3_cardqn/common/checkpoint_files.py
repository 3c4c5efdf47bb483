"""Checkpoints on disk: which there are, what each is made of, and which is whole."""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from sb3_cardqn.common.durable import FileRecord, read_signed_json, what_is_wrong
from sb3_cardqn.common.replay_files import Segment
from sb3_cardqn.errors import UserError

FORMAT = 1


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written or read, and what was done instead."""


class Checkpoint(NamedTuple):
    """
    One that is on disk.

    :param path: of the file that lists all others, written last
    :param content: of that file
    """

    path: Path
    content: dict[str, Any]

    @property
    def agent_steps(self) -> int:
        """When it was written."""
        return self.content["agent_steps"]

    @property
    def own(self) -> list[FileRecord]:
        """Files of its own: networks and arrays."""
        return [FileRecord(*record) for record in self.content["own"]]

    @property
    def segments(self) -> list[Segment]:
        """Files of the replay buffer, which it shares with those before and after it."""
        return [Segment(first, last, FileRecord(*record)) for first, last, record in self.content["segments"]]

    @property
    def files(self) -> list[FileRecord]:
        """All files it is made of."""
        return [*self.own, *(segment.record for segment in self.segments)]


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """
    Find the newest checkpoint that is whole, reading all its files.

    :param folder: of the checkpoints
    :return: it, or None if none was ever written
    :raises UserError: if there are some, and none is whole
    """
    lists = sorted(folder.glob("checkpoint-*.json"), reverse=True)
    for path in lists:
        try:
            return _whole(path)
        except (ValueError, OSError) as error:
            warnings.warn(
                f"{error}: checkpoint {path.name} cannot be used, trying the one before",
                CheckpointWarning,
                stacklevel=2,
            )
    if lists:
        raise UserError(f"none of the {len(lists)} checkpoints in '{folder}' is whole: train anew")
    return None


def _whole(path: Path) -> Checkpoint:
    """
    :param path: of the list
    :return: the checkpoint
    :raises ValueError: if it is not whole
    """
    checkpoint = Checkpoint(path, read_signed_json(path))
    if checkpoint.content["format"] != FORMAT:
        raise ValueError(f"'{path}' has format {checkpoint.content['format']}, this version reads {FORMAT}")
    for record in checkpoint.files:
        problem = what_is_wrong(path.parent, record)
        if problem is not None:
            raise ValueError(f"'{path.parent / record.name}' {problem}")
    return checkpoint


def remove_all_but(kept: Iterable[Checkpoint], folder: Path) -> None:
    """
    :param kept: checkpoints that stay
    :param folder: of them and of those that go, whole or half-written
    """
    names = {name for one in kept for name in (one.path.name, *(record.name for record in one.files))}
    # lists first: what is on no list is nothing
    for pattern in ("checkpoint-*", "networks-*", "arrays-*", "replay-*"):
        for path in (*folder.glob(pattern), *folder.glob(f".{pattern}")):  # hidden: half-written
            if path.name not in names:
                path.unlink(missing_ok=True)
