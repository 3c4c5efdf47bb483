"""Files that are whole or not there, whatever stops the writer: checkpoints are made of them."""

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

import numpy as np

from sb3_cardqn.errors import UserError

_CHUNK = 2**20  # bytes


class FileRecord(NamedTuple):
    """
    What a file should hold.

    :param name: inside its folder
    :param size: bytes
    :param sha256: of its contents, in hexadecimal
    """

    name: str
    size: int
    sha256: str


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """
    Open a file to read, without waiting: opening a pipe could take for ever.

    :param path: of a regular file
    :return: context with the file
    :raises UserError: if it is something else, or cannot be opened
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise UserError(f"can't read '{path}': {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"can't read '{path}': it is no regular file")
    with open(descriptor, "rb") as file:
        yield file


def read_file(path: Path) -> bytes:
    """
    :param path: of a regular file
    :return: its contents
    :raises UserError: as ``opened``
    """
    with opened(path) as file:
        return file.read()


def refuse_pipes(folder: Path) -> None:
    """
    :param folder: whose files are going to be read
    :raises UserError: if there is a pipe or a device in it, which could be waited for without end
    """
    for path in folder.rglob("*"):
        if path.exists() and not path.is_file() and not path.is_dir():
            raise UserError(f"can't read '{path}': it is no regular file")


def is_zip(path: Path) -> bool:
    """
    :param path: of a regular file, or of nothing
    :return: whether a zip file is there
    :raises UserError: as ``opened``
    """
    if not path.is_file():
        return False
    with opened(path) as file:
        return zipfile.is_zipfile(file)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """
    Write a new file beside the old one, hand it to the disk, and put it in the old one's place.

    The new file is made exclusively, so no link is followed: a link at ``path`` is replaced, what it points
    to stays as it is.

    :param path: of the file
    :return: context with the path of an empty file of the same suffix, to write to; an error removes it
    :raises UserError: if ``path`` is a folder, a pipe or a device
    :raises OSError: if the disk is full or broken; the old file is still there then, and nothing else
    """
    if path.exists() and not path.is_file():
        raise UserError(f"can't write '{path}': it is no regular file")
    beside = _new_file_beside(path)
    try:
        yield beside
        with beside.open("r+b") as file:
            os.fsync(file.fileno())
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
    Find out before the work begins whether ``replacing`` will do.

    :param path: of a file; it is left as it was
    :raises UserError: if it can't be written
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(path.stat().st_mode):
                raise UserError(f"can't write '{path}': it is no regular file")
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        _new_file_beside(path).unlink()
    except OSError as error:
        raise UserError(f"can't write '{path}': {error.strerror}") from error


def write_file(path: Path, write: Callable[[BinaryIO], Any]) -> FileRecord:
    """
    Write a file as ``replacing`` does.

    :param path: of the file
    :param write: gets it open, in binary mode
    :return: its record
    """
    with replacing(path) as beside:
        with beside.open("wb") as file:
            write(file)
        return FileRecord(path.name, beside.stat().st_size, sha256(beside))


def write_text(path: Path, text: str) -> None:
    """
    Write text as ``replacing`` does.

    :param path: of the file
    :param text: all of it, written in UTF-8
    """
    write_file(path, lambda file: file.write(text.encode()))


def sync_folder(folder: Path) -> None:
    """
    Hand the names in a folder to the disk: a new file is lost with its name.

    :param folder: whose files were written
    """
    if os.name == "nt":  # has no such call, and needs none
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def what_is_wrong(folder: Path, record: FileRecord) -> str | None:
    """
    :param folder: of the file
    :param record: what it should hold
    :return: what is wrong with it, to put behind its name; None if it is whole
    """
    path = folder / record.name
    if Path(record.name).name != record.name or record.name == "..":
        return "is in no folder of its own"
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            return "is no regular file"
        size = found.st_size
        if size != record.size:
            return f"has {size} bytes instead of {record.size}"
        return None if sha256(path) == record.sha256 else "was altered: its checksum differs"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def sha256(path: Path) -> str:
    """
    :param path: of a file, of any size
    :return: checksum of its contents, in hexadecimal
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def write_signed_json(path: Path, content: dict[str, Any]) -> None:
    """
    Write JSON with its own checksum, so that any change to it is found.

    :param path: of the file
    :param content: what JSON knows
    """
    text = json.dumps(content)
    signed = json.dumps({"sha256": hashlib.sha256(text.encode()).hexdigest(), "content": text})
    write_file(path, lambda file: file.write(signed.encode()))


def read_signed_json(path: Path) -> dict[str, Any]:
    """
    :param path: of a file that ``write_signed_json`` wrote
    :return: its content
    :raises ValueError: if it is not what was written
    """
    try:
        signed = json.loads(read_file(path))
        text = signed["content"]
        if hashlib.sha256(text.encode()).hexdigest() == signed["sha256"]:
            return json.loads(text)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise ValueError(f"'{path}' was altered: its checksum differs")


_ARRAY = "array in the npz file"


def to_json(tree: Any, arrays: dict[str, np.ndarray]) -> Any:
    """
    Turn plain data into what JSON knows, and put the arrays aside.

    :param tree: numbers, text, arrays, and lists, tuples, deques and dicts of them
    :param arrays: gets the arrays
    :return: the same with lists for sequences and references for arrays
    :raises TypeError: if something else is in it
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
        raise TypeError(f"a checkpoint holds numbers, text, arrays and lists and dicts of them, got {tree!r}")
    return [to_json(value, arrays) for value in tree]


def from_json(tree: Any, arrays: Any) -> Any:
    """
    :param tree: from ``to_json``
    :param arrays: by name
    :return: what ``to_json`` got, with lists for all sequences
    """
    if isinstance(tree, dict):
        if _ARRAY in tree:
            return arrays[tree[_ARRAY]]
        return {key: from_json(value, arrays) for key, value in tree.items()}
    return [from_json(value, arrays) for value in tree] if isinstance(tree, list) else tree
