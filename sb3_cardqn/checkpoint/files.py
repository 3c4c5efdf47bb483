"""Checkpoints on disk: which there are, what each is made of, and which is whole."""

import contextlib
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from sb3_cardqn.checkpoint.made_with import CheckpointWarning
from sb3_cardqn.checkpoint.replay_files import Segment
from sb3_cardqn.durable import FileRecord, read_signed_json, what_is_wrong
from sb3_cardqn.errors import UserError

FORMAT = 2
# what its list holds, by name
_PARTS: dict[str, type] = {
    "agent_steps": int, "agent": str, "settings": dict, "versions": dict, "buffer": dict, "clocks": dict,
    "envs": dict, "callbacks": list, "log": dict, "buffer_numbers": dict, "random": dict, "rows": int,
    "segments": list, "own": list,
}  # fmt: skip


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
    content = read_signed_json(path)
    if isinstance(content, dict) and content.get("format") == FORMAT and not content.get("settings"):
        raise ValueError(f"'{path}' is incomplete: it has no settings")
    with contextlib.suppress(TypeError, KeyError, IndexError):  # incomplete: as it will turn out below
        content = _upgraded(content)
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise ValueError(f"'{path}' has format {found}, this version reads {FORMAT}")
    for name, kind in _PARTS.items():
        if not isinstance(content.get(name), kind):
            raise ValueError(f"'{path}' is incomplete: it has no {name}, or a wrong one")
    checkpoint = Checkpoint(path, content)
    if path.name != f"checkpoint-{checkpoint.agent_steps:012}.json":
        raise ValueError(f"'{path}' is of agent step {checkpoint.agent_steps}, which is not its name")
    try:
        files, segments = checkpoint.files, checkpoint.segments
    except (TypeError, ValueError) as error:
        raise ValueError(f"'{path}' is incomplete: {error}") from error
    if segments and segments[-1].last != content["rows"]:
        raise ValueError(f"'{path}' is incomplete: rows to {segments[-1].last} of {content['rows']}")
    for record in files:
        problem = what_is_wrong(path.parent, record)
        if problem is not None:
            raise ValueError(f"'{path.parent / record.name}' {problem}")
    return checkpoint


def _upgraded(content: Any) -> Any:
    """
    :param content: of a list
    :return: the same as today's version would have written it; format 1 had no settings and versions, and a
        callback of its own in front of the zoo's evaluation
    """
    if not isinstance(content, dict) or content.get("format") != 1:
        return content
    callbacks = content["callbacks"]
    names = [callback["class"] for callback in callbacks]
    if "SameTracks" in names:
        i = names.index("SameTracks")
        evaluation = callbacks[i + 1] | {"class": "ValidationCallback"}
        callbacks = [*callbacks[:i], evaluation, *callbacks[i + 2 :]]
    return content | {"format": FORMAT, "settings": {}, "versions": {}, "callbacks": callbacks}


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
