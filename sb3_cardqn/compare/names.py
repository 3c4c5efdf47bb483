"""Names of contestants, and the folders of their runs: any name has one, and no two share it."""

import functools
import itertools
import re
import unicodedata

from sb3_cardqn.errors import UserError

# Windows keeps them for devices, whatever follows a dot
_DEVICE = re.compile(r"(con|prn|aux|nul|conin|conout|com\d|lpt\d)(\.|$)", re.IGNORECASE)
_MOST_BYTES = 150  # of a folder's name; file systems take 255


def check_name(name: str) -> None:
    """
    :param name: of a contestant
    :raises UserError: if files could not hold it
    """
    for character in name:
        if unicodedata.category(character) in ("Cc", "Cs"):  # control characters; halves of a character
            raise UserError(
                f"a contestant's name needs to be text on one line, got {character!r} in {name!r}"
            )


@functools.cache
def folder_names(names: tuple[str, ...]) -> dict[str, str]:
    """
    Name a folder for each contestant; names that come later change none before them.

    >>> folder_names(("cardqn double_q:True", "a/b", "A b", ".."))
    {'cardqn double_q:True': 'cardqn_double_q=True', 'a/b': 'a_b', 'A b': 'A_b-2', '..': 'contestant'}

    :param names: of the contestants, in the order of the plan
    :return: name -> folder, legal on every system and distinct where case makes no difference
    """
    folders: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        plain = _plain(name)
        candidates = itertools.chain([plain], (f"{plain}-{i}" for i in itertools.count(2)))
        folders[name] = next(folder for folder in candidates if _as_compared(folder) not in taken)
        taken.add(_as_compared(folders[name]))
    return folders


def _plain(name: str) -> str:
    words = re.sub(r"[^\w.=+-]+", "_", name.replace(":", "=")).strip("_")
    short = words.encode()[:_MOST_BYTES].decode(errors="ignore").rstrip(".") or "contestant"
    return f"_{short}" if _DEVICE.match(short) else short


def _as_compared(folder: str) -> str:
    """
    :param folder: its name
    :return: the same for all names that some file system takes for one
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", folder).upper().casefold())
