"""Atomic, checksummed files: after a crash a file is complete or absent. Checkpoints consist of them."""

import contextlib
import errno
import hashlib
import json
import os
import secrets
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import filelock
import numpy as np

from sb3_cardqn.errors import UserError

_CHUNK = 2**20  # bytes


class FileRecord(NamedTuple):
    """
    Expected size and checksum of a file.

    :param name: name in its folder
    :param size: size in bytes
    :param sha256: checksum of the contents, in hexadecimal
    """

    name: str
    size: int
    sha256: str


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """
    Open a regular file for reading; anything else is refused, because opening a pipe could block forever.

    :param path: regular file
    :return: context with the file
    :raises UserError: if it is not a regular file, or cannot be opened
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"cannot read '{path}': it is not a regular file")
    with open(descriptor, "rb") as file:
        yield file


def read_file(path: Path) -> bytes:
    """
    :param path: regular file
    :return: its contents
    :raises UserError: if it is not a regular file, or cannot be opened
    """
    with opened(path) as file:
        return file.read()


def refuse_pipes(folder: Path) -> None:
    """
    :param folder: folder whose files will be read
    :raises UserError: if it contains a pipe or a device, which could block forever
    """
    for path in folder.rglob("*"):
        if path.exists() and not path.is_file() and not path.is_dir():
            raise UserError(f"cannot read '{path}': it is not a regular file")


def refuse_link(path: Path) -> None:
    """
    :param path: file or folder that will be written to
    :raises UserError: if it is a link
    """
    if path.is_symlink():
        raise UserError(f"'{path}' is a link, through which another file could be written")


def is_zip(path: Path) -> bool:
    """
    :param path: any path
    :return: True for a zip file
    :raises UserError: if the file cannot be opened
    """
    if not path.is_file():
        return False
    with opened(path) as file:
        return zipfile.is_zipfile(file)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """
    Write a new file beside the old one, flush it to disk, and replace the old one with it.

    The new file is created exclusively, so no link is followed: a link at ``path`` is replaced, and its
    target stays unchanged.

    :param path: file to write
    :return: context with the path of an empty file of the same suffix, to write to; an error removes it
    :raises UserError: if ``path`` is a folder, a pipe or a device
    :raises OSError: if the disk is full or broken; the old file remains, and no other file is left
    """
    if path.exists() and not path.is_file():
        raise UserError(f"cannot write '{path}': it is not a regular file")
    beside = _new_file_beside(path)
    try:
        yield beside
        sync_file(beside)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _new_file_beside(path: Path) -> Path:
    beside = path.with_name(f".{path.stem[:30]}.{secrets.token_hex(8)}{path.suffix}")
    os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    return beside


def check_writable(path: Path) -> None:
    """
    Check before long work that ``replacing`` will succeed.

    :param path: file to write later; it stays unchanged
    :raises UserError: if it cannot be written
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(path.stat().st_mode):
                raise UserError(f"cannot write '{path}': it is not a regular file")
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        _new_file_beside(path).unlink()
    except OSError as error:
        raise UserError(f"cannot write '{path}': {error.strerror}") from error


def write_file(path: Path, write: Callable[[BinaryIO], Any]) -> FileRecord:
    """
    Write a file atomically, see ``replacing``.

    :param path: file to write
    :param write: function that receives the file, open in binary mode
    :return: record of the file
    """
    with replacing(path) as beside:
        with beside.open("wb") as file:
            write(file)
        return FileRecord(path.name, beside.stat().st_size, sha256(beside))


def write_text(path: Path, text: str) -> None:
    """
    Write text atomically, see ``replacing``.

    :param path: file to write
    :param text: whole content, written in UTF-8
    """
    with replacing(path) as beside:
        beside.write_bytes(text.encode())


def locked(path: Path, busy: str, is_singleton: bool = False) -> filelock.AcquireReturnProxy:
    """
    :param path: lock file, created if missing
    :param busy: text of the error if another process holds it
    :param is_singleton: True for one lock per process and path, which this process can hold several times
    :return: context in which this process holds it, from the call on
    :raises UserError: if another process holds it, or it is a link, which could lead to any file
    """
    refuse_link(path)
    try:
        return filelock.FileLock(path, is_singleton=is_singleton).acquire(timeout=0)
    except filelock.Timeout as error:
        raise UserError(busy) from error


def sync_file(path: Path) -> None:
    """
    Flush a file to disk.

    :param path: file that another library has written
    """
    _sync(path, os.O_WRONLY)


def sync_folder(folder: Path) -> None:
    """
    Flush the names in a folder to disk; without its name, a new file is lost in a crash.

    :param folder: folder in which files were written
    """
    if os.name != "nt":  # Windows has no such call and does not need it
        _sync(folder, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def what_is_wrong(folder: Path, record: FileRecord) -> str | None:
    """
    :param folder: folder of the file
    :param record: expected size and checksum
    :return: problem as the predicate of a sentence about the file; None if it is intact
    """
    path = folder / record.name
    if Path(record.name).name != record.name or record.name == "..":
        return "must be a name without a folder"
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            return "is not a regular file"
        size = found.st_size
        if size != record.size:
            return f"has {size} bytes instead of {record.size}"
        return None if sha256(path) == record.sha256 else "is altered: its checksum differs"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def sha256(path: Path) -> str:
    """
    :param path: file of any size
    :return: checksum of its contents, in hexadecimal
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def write_signed_json(path: Path, content: dict[str, Any]) -> None:
    """
    Write JSON with its checksum, so that every change to it is detected.

    :param path: file to write
    :param content: JSON data
    """
    text = json.dumps(content)
    signed = json.dumps({"sha256": hashlib.sha256(text.encode()).hexdigest(), "content": text})
    write_file(path, lambda file: file.write(signed.encode()))


def read_signed_json(path: Path) -> dict[str, Any]:
    """
    :param path: file written by ``write_signed_json``
    :return: its content
    :raises ValueError: if the file has changed since
    """
    try:
        signed = json.loads(read_file(path))
        text = signed["content"]
        if hashlib.sha256(text.encode()).hexdigest() == signed["sha256"]:
            return json.loads(text)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise ValueError(f"'{path}' is altered: its checksum differs")


_ARRAY = "array in the npz file"


def to_json(tree: Any, arrays: dict[str, np.ndarray]) -> Any:
    """
    Convert plain data to JSON data, and collect its arrays.

    :param tree: numbers, text, arrays, and lists, tuples, deques and dicts of them
    :param arrays: dict that receives the arrays, by name
    :return: same data, with lists for sequences and references for arrays
    :raises TypeError: if it contains anything else
    """
    if isinstance(tree, np.ndarray) and tree.dtype != object:
        name = f"array{len(arrays)}"
        arrays[name] = tree
        return {_ARRAY: name}
    if isinstance(tree, np.generic):
        return tree.item()
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return tree
    if isinstance(tree, dict):
        return {str(key): to_json(value, arrays) for key, value in tree.items()}
    if isinstance(tree, (bytes, set)) or not hasattr(tree, "__iter__"):
        raise TypeError(f"a checkpoint needs numbers, text, arrays, or lists or dicts of them, got {tree!r}")
    return [to_json(value, arrays) for value in tree]


def from_json(tree: Any, arrays: Any) -> Any:
    """
    :param tree: result of ``to_json``
    :param arrays: collected arrays, by name
    :return: original data, with lists for all sequences
    """
    if isinstance(tree, dict):
        if _ARRAY in tree:
            return arrays[tree[_ARRAY]]
        return {key: from_json(value, arrays) for key, value in tree.items()}
    return [from_json(value, arrays) for value in tree] if isinstance(tree, list) else tree
