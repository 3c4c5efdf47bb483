"""Trust in files that can run code: only files made on this machine or trusted by the user are loaded."""

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

from sb3_cardqn.durable import opened, read_file, refuse_link, refuse_pipes, sha256
from sb3_cardqn.errors import UserError
from sb3_cardqn.replaced import replaced

TRUST = "TRUST_REMOTE_CODE"  # environment variable; huggingface_sb3 asks for the same one before a download


def made_here() -> Path:
    """
    :return: list of files made here, one SHA-256 per line, so that copies of a file count too
    """
    named = (os.environ.get(name, "") for name in ("XDG_STATE_HOME", "LOCALAPPDATA"))
    # not in a relative folder, where the author of the current folder could have put a list
    homes = [Path(home) for home in named if os.path.isabs(home)]
    return (homes or [Path.home() / ".local/state"])[0] / "sb3-cardqn" / "made_here"


def remember(*paths: Path) -> None:
    """
    Add files to the list of files made here.

    :param paths: files that this process has just written
    """
    try:
        lines = "".join(f"{sha256(path)}\n" for path in paths)
        made_here().parent.mkdir(parents=True, exist_ok=True)
        with made_here().open("a") as known:
            # one short write in append mode, so parallel runs do not disturb each other; a full disk may have
            # left half a line
            known.write(f"\n{lines}")
            known.flush()
            os.fsync(known.fileno())
    except OSError as error:
        # training must not stop because of this
        print(f"sb3-cardqn: {error}; loading this agent will need --trust", file=sys.stderr)


def trusts_all() -> bool:
    """
    :return: True if the user trusts every file
    """
    return os.environ.get(TRUST, "").lower() in ("1", "true", "yes", "on")


def _is_trusted(digest: str) -> bool:
    if trusts_all():
        return True
    lines = made_here().read_bytes().splitlines() if made_here().is_file() else []
    return digest.encode() in (line for line in lines if re.fullmatch(rb"[0-9a-f]{64}", line))


def _is_installed(path: Path) -> bool:
    """
    :param path: any file
    :return: True if it belongs to this package, also in a checkout, or to an installed package
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


def may_run(path: Path, contents: bytes) -> bool:
    """
    :param path: path of a file
    :param contents: contents of the file, as read
    :return: True if the file may run code: it was made here, is part of an installed package, or is trusted
        by the user
    """
    return _is_installed(path) or _is_trusted(hashlib.sha256(contents).hexdigest())


def require_for(code: str | None, path: Path, contents: bytes) -> None:
    """
    Refuse code in a file that is not trusted.

    :param code: text that would run, see ``python_text.code_in``; None if the file is only data
    :param path: path of the file, for the error
    :param contents: contents of the file, as read
    :raises UserError: if there is code, the file was not made on this machine and is not part of an installed
        package, and ``TRUST_REMOTE_CODE`` is not True
    """
    if code is not None and not may_run(path, contents):
        raise _refuse(path, f"it contains text that could run any code: {reprlib.repr(code)}")


def read_code(path: Path) -> bytes:
    """
    Read a file that can run code.

    :param path: file to read
    :return: its contents
    :raises UserError: if it cannot be read, or was not made on this machine and is not trusted
    """
    contents = read_file(path)
    if not _is_trusted(hashlib.sha256(contents).hexdigest()):
        raise _refuse(path, "loading it can run any code that its author put in")
    return contents


def refuse_links(folder: Path) -> None:
    """
    Refuse a folder with links, through which files outside the folder could be written.

    :param folder: folder that will be written to
    :raises UserError: if there is a link in it
    """
    refuse_pipes(folder)
    for path in folder.rglob("*"):
        refuse_link(path)


def safe_path() -> contextlib.AbstractContextManager[None]:
    """
    Keep child processes from importing modules of the current folder, which may be somebody else's.

    :return: context in which processes that are started do so only if this process does
    """
    if {"", os.getcwd()} & set(sys.path):
        return contextlib.nullcontext()
    return replaced(os.environ, "PYTHONSAFEPATH", "1")


@contextlib.contextmanager
def private_copies(
    folder: Path, code: Iterable[Path], data: Iterable[Path] = (), at: str = ""
) -> Iterator[Path]:
    """
    Copy files to a private folder, so that they cannot change between the check and loading.

    :param folder: folder of the files
    :param code: files that can run code when loaded; missing files are skipped
    :param data: files that cannot run code
    :param at: name of a folder for the copies inside the private folder, or ""
    :return: context with the private folder; the copies have the same names in it, or in ``at``
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
            if path in code and not _is_trusted(digest):
                raise _refuse(path, "loading it can run any code that its author put in")
        yield Path(private)


def _copied(path: Path, copy: Path) -> str:
    """
    :param path: file to copy
    :param copy: file to write
    :return: SHA-256 of the copied bytes
    :raises UserError: if copying fails, as on a full disk
    """
    digest = hashlib.sha256()
    try:
        with opened(path) as file, copy.open("xb") as target:
            while chunk := file.read(2**20):
                digest.update(chunk)
                target.write(chunk)
    except OSError as error:
        raise UserError(
            f"cannot copy '{path}' to check it: {error.strerror} (TMPDIR names another folder for the copy)"
        ) from error
    return digest.hexdigest()


@contextlib.contextmanager
def remembering() -> Iterator[None]:
    """
    Remember every agent, replay buffer and normalization that SB3 saves, including those of users' callbacks.

    :return: context in which saved files are remembered
    :raises RuntimeError: if this release of SB3 saves in an unsupported way
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
        remember(path if path.suffix else path.with_name(path.name + suffix))  # SB3 adds the suffix too

    return save_and_remember
