"""Which files may be loaded that can run code: those made on this machine, and those the user vouches for."""

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stable_baselines3.common import base_class, off_policy_algorithm
from stable_baselines3.common.vec_env import VecNormalize

from sb3_cardqn.common.durable import sha256
from sb3_cardqn.errors import UserError

TRUST = "TRUST_REMOTE_CODE"  # environment variable; huggingface_sb3 asks for the same one before a download


def made_here() -> Path:
    """
    :return: the list of files made here, one SHA-256 a line; a copy of a file is still the same file
    """
    home = os.environ.get("XDG_STATE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".local/state"
    return Path(home) / "sb3-cardqn" / "made_here"


def remember(*paths: Path) -> None:
    """
    Note files that were just made in this process.

    :param paths: of the files
    """
    lines = "".join(f"{sha256(path)}\n" for path in paths)
    try:
        made_here().parent.mkdir(parents=True, exist_ok=True)
        with made_here().open("a") as known:
            known.write(lines)  # one short write to a file opened for appending: several trainings may do so
    except OSError as error:
        # Training must not end for this.
        print(f"sb3-cardqn: {error}; to play this agent say --trust", file=sys.stderr)


def require(*paths: Path) -> None:
    """
    Refuse files that can run code when loaded and that nobody vouches for.

    :param paths: of the files; those that do not exist can do no harm
    :raises UserError: if one was not made on this machine, and ``TRUST_REMOTE_CODE`` is not True
    """
    if os.environ.get(TRUST, "").lower() in ("1", "true", "yes", "on"):
        return
    known = set(made_here().read_text().split()) if made_here().is_file() else set()
    for path in paths:
        if path.is_file() and sha256(path) not in known:
            raise UserError(
                f"'{path}' was not made by sb3-cardqn on this machine: loading it can run any code that its "
                f"author put in. If you trust that author, add --trust (in Python, set {TRUST}=True)"
            )


def require_run(config_folder: Path, *models: Path) -> None:
    """
    ``require`` everything that is loaded with an agent from a run folder.

    :param config_folder: the zoo's, inside the run folder; wrappers are imported by name from its config.yml
    :param models: zips of agents
    :raises UserError: as ``require``
    """
    require(*models, *(config_folder / name for name in ("config.yml", "args.yml", "vecnormalize.pkl")))


def remember_what_is_saved() -> None:
    """From here on, remember every agent, replay buffer and normalization that SB3 saves in this process."""
    if not hasattr(base_class.save_to_zip_file, "__wrapped__"):
        for owner, name, argument, suffix in (
            (base_class, "save_to_zip_file", 0, ".zip"),
            (off_policy_algorithm, "save_to_pkl", 0, ".pkl"),
            (VecNormalize, "save", 1, ""),
        ):
            setattr(owner, name, _and_remember(getattr(owner, name), argument, suffix))


def _and_remember(save: Callable[..., None], argument: int, suffix: str) -> Callable[..., None]:
    @functools.wraps(save)
    def save_and_remember(*args: Any, **kwargs: Any) -> None:
        save(*args, **kwargs)
        if not isinstance(args[argument], str | os.PathLike):
            return  # SB3 also saves into open files
        path = Path(args[argument])
        remember(path if path.suffix else path.with_name(path.name + suffix))  # as SB3 does

    return save_and_remember
