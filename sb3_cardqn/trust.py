"""Which files may run code: those made on this machine, and those the user vouches for."""

import contextlib
import functools
import hashlib
import inspect
import io
import os
import re
import reprlib
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from sb3_cardqn.durable import opened, read_file, refuse_pipes, sha256
from sb3_cardqn.errors import UserError
from sb3_cardqn.replaced import replaced

TRUST = "TRUST_REMOTE_CODE"  # environment variable; huggingface_sb3 asks for the same one before a download


def made_here() -> Path:
    """
    :return: the list of files made here, one SHA-256 a line; a copy of a file is still the same file
    """
    named = (os.environ.get(name, "") for name in ("XDG_STATE_HOME", "LOCALAPPDATA"))
    # in a relative one, whoever made the current folder could have put a list
    homes = [Path(home) for home in named if os.path.isabs(home)]
    return (homes or [Path.home() / ".local/state"])[0] / "sb3-cardqn" / "made_here"


def remember(*paths: Path) -> None:
    """
    Note files that were just made in this process.

    :param paths: of the files
    """
    try:
        lines = "".join(f"{sha256(path)}\n" for path in paths)
        made_here().parent.mkdir(parents=True, exist_ok=True)
        with made_here().open("a") as known:
            known.write(lines)  # one short write to a file opened for appending: several runs may do so
    except OSError as error:
        # Training must not end for this.
        print(f"sb3-cardqn: {error}; to play this agent say --trust", file=sys.stderr)


def _is_vouched_for(digest: str) -> bool:
    if os.environ.get(TRUST, "").lower() in ("1", "true", "yes", "on"):
        return True
    lines = made_here().read_bytes().splitlines() if made_here().is_file() else []
    return digest.encode() in (line for line in lines if re.fullmatch(rb"[0-9a-f]{64}", line))


def _is_installed(path: Path) -> bool:
    """
    :param path: of a file
    :return: whether it belongs to this package, also in a checkout, or to an installed one
    """
    package = Path(__file__).resolve().parent
    site_packages = [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")]
    folders = (package, package.parent / "hyperparams", *site_packages)
    return any(path.resolve().is_relative_to(folder) for folder in folders)


def _refuse(path: Path, why: str) -> UserError:
    return UserError(
        f"'{path}' was not made by sb3-cardqn on this machine, and {why}. If you trust its author, add "
        f"--trust (in Python, set {TRUST}=True)"
    )


def require_for(code: str | None, path: Path, contents: bytes) -> None:
    """
    Refuse code in a file that nobody vouches for.

    :param code: what would run, see ``python_text.code_in``; None if the file is only data
    :param path: of the file, for the error
    :param contents: of the file, as they were read
    :raises UserError: if there is code, the file was not made on this machine and is in no installed package,
        and ``TRUST_REMOTE_CODE`` is not True
    """
    if code is None or _is_installed(path):
        return
    if not _is_vouched_for(hashlib.sha256(contents).hexdigest()):
        raise _refuse(path, f"holds text that could run any code: {reprlib.repr(code)}")


def read_code(path: Path) -> bytes:
    """
    Read a file that can run code, whatever is in it.

    :param path: of the file
    :return: its contents
    :raises UserError: if it cannot be read, or as ``private_copies``
    """
    contents = read_file(path)
    if not _is_vouched_for(hashlib.sha256(contents).hexdigest()):
        raise _refuse(path, "loading it can run any code that its author put in")
    return contents


def refuse_links(folder: Path) -> None:
    """
    Refuse a folder from elsewhere through which files outside of it would be written.

    :param folder: that is going to be written to
    :raises UserError: if there is a link in it
    """
    refuse_pipes(folder)
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise UserError(f"'{path}' is a link: what is written to '{folder}' needs to stay in it")


@contextlib.contextmanager
def private_copies(
    folder: Path, code: Iterable[Path], data: Iterable[Path] = (), at: str = ""
) -> Iterator[Path]:
    """
    Copy files to where only this user can change them, so that what is checked is what is loaded.

    :param folder: that they are in
    :param code: files that can run code when they are loaded; those that do not exist are left out
    :param data: files that cannot
    :param at: name of a folder to put inside the private one, for the copies
    :return: context with the private folder; the copies' names in it, or in ``at``, are those in ``folder``
    :raises UserError: if a file of ``code`` was not made on this machine, and ``TRUST_REMOTE_CODE`` is not
        True
    """
    code, data = set(code), set(data)
    with tempfile.TemporaryDirectory(prefix="sb3-cardqn-") as private:
        for path in sorted(code | data):
            if not path.exists():
                continue
            copy = Path(private, at, path.relative_to(folder))
            copy.parent.mkdir(parents=True, exist_ok=True)
            digest = _copied(path, copy)
            if path in code and not _is_vouched_for(digest):
                raise _refuse(path, "loading it can run any code that its author put in")
        yield Path(private)


def _copied(path: Path, copy: Path) -> str:
    """
    :param path: of a file
    :param copy: to write
    :return: SHA-256 of what was copied
    :raises UserError: if that fails, as on a full disk
    """
    digest = hashlib.sha256()
    try:
        with opened(path) as file, copy.open("xb") as target:
            while chunk := file.read(2**20):
                digest.update(chunk)
                target.write(chunk)
    except OSError as error:
        raise UserError(f"can't copy '{path}' to check it: {error.strerror}") from error
    return digest.hexdigest()


@contextlib.contextmanager
def remembering() -> Iterator[None]:
    """
    Remember every agent, replay buffer and normalization that SB3 saves, also those of users' callbacks.

    :return: context in which it does
    :raises RuntimeError: if this SB3 saves in a way that is not known here
    """
    from stable_baselines3.common import base_class, off_policy_algorithm  # seconds to import
    from stable_baselines3.common.vec_env import VecNormalize

    agent, buffer = base_class.BaseAlgorithm.save, off_policy_algorithm.OffPolicyAlgorithm.save_replay_buffer
    with contextlib.ExitStack() as stack:
        for owner, name, argument, suffix, reader in (
            (base_class, "save_to_zip_file", "save_path", ".zip", agent),
            (off_policy_algorithm, "save_to_pkl", "path", ".pkl", buffer),
            (VecNormalize, "save", "save_path", "", None),
        ):
            save = _and_remember(getattr(owner, name), argument, suffix)
            stack.enter_context(replaced(owner, name, save, reader))
        yield


def _and_remember(save: Callable[..., None], argument: str, suffix: str) -> Callable[..., None]:
    signature = inspect.signature(save)
    if argument not in signature.parameters:
        raise RuntimeError(
            f"sb3-cardqn needs an SB3 whose {save.__qualname__} takes '{argument}', got {signature}"
        )

    @functools.wraps(save)
    def save_and_remember(*args: Any, **kwargs: Any) -> None:
        save(*args, **kwargs)
        target = signature.bind(*args, **kwargs).arguments[argument]
        if isinstance(target, io.IOBase):
            return  # SB3 also saves into open files
        path = Path(target)
        remember(path if path.suffix else path.with_name(path.name + suffix))  # as SB3 does

    return save_and_remember
