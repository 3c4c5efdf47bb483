"""Checkpoint files: listing, validating and removing them."""

import contextlib
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from sb3_cardqn.checkpoint.made_with import CheckpointWarning
from sb3_cardqn.checkpoint.replay_files import Segment
from sb3_cardqn.durable import FileRecord, read_signed_json, what_is_wrong
from sb3_cardqn.errors import UserError

FORMAT = 2
_LIST = re.compile(r"checkpoint-\d{12}\.json")
_OURS = re.compile(r"\.?(checkpoint|networks|arrays|replay)-\d{12}[-.].*")  # hidden: half-written
# entries of a checkpoint's list, and their types
_PARTS: dict[str, type] = {
    "agent_steps": int, "agent": str, "settings": dict, "versions": dict, "buffer": dict, "clocks": dict,
    "envs": dict, "callbacks": list, "log": dict, "buffer_numbers": dict, "random": dict, "rows": int,
    "segments": list, "own": list,
}  # fmt: skip


class Checkpoint(NamedTuple):
    """
    A checkpoint on disk.

    :param path: file that lists all its other files; it is written last
    :param content: content of that file
    """

    path: Path
    content: dict[str, Any]

    @property
    def agent_steps(self) -> int:
        """Agent step at which it was written."""
        return self.content["agent_steps"]

    @property
    def own(self) -> list[FileRecord]:
        """Files that only this checkpoint uses: networks and arrays."""
        return [FileRecord(*record) for record in self.content["own"]]

    @property
    def segments(self) -> list[Segment]:
        """Files of the replay buffer, shared with earlier and later checkpoints."""
        return [Segment(first, last, FileRecord(*record)) for first, last, record in self.content["segments"]]

    @property
    def files(self) -> list[FileRecord]:
        """All its files, except the list."""
        return [*self.own, *(segment.record for segment in self.segments)]


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """
    Find the newest intact checkpoint by reading all its files.

    :param folder: folder of the checkpoints
    :return: the checkpoint, or None if none was ever written
    :raises UserError: if there are checkpoints but none is intact
    """
    lists = sorted((path for path in folder.glob("*.json") if _LIST.fullmatch(path.name)), reverse=True)
    for path in lists:
        try:
            return _whole(path)
        except (ValueError, OSError) as error:
            warnings.warn(
                f"{error}: cannot use checkpoint {path.name}, trying the previous one",
                CheckpointWarning,
                stacklevel=2,
            )
    if lists:
        raise UserError(f"none of the {len(lists)} checkpoints in '{folder}' is intact: start a new run")
    return None


def _whole(path: Path) -> Checkpoint:
    """
    :param path: list of a checkpoint
    :return: the checkpoint
    :raises ValueError: if it is not intact
    """
    content = read_signed_json(path)
    if isinstance(content, dict) and content.get("format") == FORMAT and not content.get("settings"):
        raise ValueError(f"'{path}' is incomplete: it has no settings")
    with contextlib.suppress(TypeError, KeyError, IndexError):  # incomplete; reported below
        content = _upgraded(content)
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise ValueError(f"'{path}' has format {found}, but this version reads format {FORMAT}")
    for name, kind in _PARTS.items():
        if not isinstance(content.get(name), kind):
            raise ValueError(f"'{path}' is incomplete: {name} is missing or has the wrong type")
    checkpoint = Checkpoint(path, content)
    if path.name != f"checkpoint-{checkpoint.agent_steps:012}.json":
        raise ValueError(f"'{path}' holds agent step {checkpoint.agent_steps}, which its name contradicts")
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
    :param content: content of a list
    :return: content in the current format; format 1 has no settings and versions, and a separate callback
        before the zoo's evaluation and one after it
    """
    if not isinstance(content, dict) or content.get("format") != 1:
        return content
    callbacks = content["callbacks"]
    names = [callback["class"] for callback in callbacks]
    if "SameTracks" in names:
        i = names.index("SameTracks")
        evaluation = callbacks[i + 1] | {"class": "ValidationCallback"}
        rest = callbacks[i + 2 :]
        if rest and rest[0]["class"] == "ConvertCallback":  # by which the clock learned of an evaluation
            rest = rest[1:]
        callbacks = [*callbacks[:i], evaluation, *rest]
    return content | {"format": FORMAT, "settings": {}, "versions": {}, "callbacks": callbacks}


def remove_all_but(kept: Iterable[Checkpoint], folder: Path) -> None:
    """
    :param kept: checkpoints to keep
    :param folder: folder from which all other checkpoints are removed, intact or half-written
    """
    names = {name for one in kept for name in (one.path.name, *(record.name for record in one.files))}
    others = [path for path in folder.iterdir() if _OURS.fullmatch(path.name) and path.name not in names]
    # remove lists first: a file that is on no list is ignored
    for path in sorted(others, key=lambda path: not path.name.startswith("checkpoint")):
        path.unlink(missing_ok=True)
