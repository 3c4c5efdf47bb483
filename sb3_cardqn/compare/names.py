"""Names of contestants, and a distinct, legal folder name for each."""

import functools
import itertools
import re
import unicodedata

from sb3_cardqn.errors import UserError

# names that Windows reserves for devices, whatever follows a dot
_DEVICE = re.compile(r"(con|prn|aux|nul|conin|conout|com\d|lpt\d)(\.|$)", re.IGNORECASE)
_MOST_BYTES = 150  # maximum length of a folder name; file systems allow 255


def check_name(name: str) -> None:
    """
    :param name: name of a contestant
    :raises UserError: if it contains a character that files cannot hold
    """
    for character in name:
        if unicodedata.category(character) in ("Cc", "Cs"):  # control characters and surrogates
            raise UserError(
                f"a contestant's name must be one line of printable text, got {character!r} in {name!r}"
            )


@functools.cache
def folder_names(names: tuple[str, ...]) -> dict[str, str]:
    """
    Choose a folder name for every contestant; adding contestants at the end changes no earlier name.

    >>> folder_names(("cardqn double_q:True", "a/b", "A b", ".."))
    {'cardqn double_q:True': 'cardqn_double_q=True', 'a/b': 'a_b', 'A b': 'A_b-2', '..': 'contestant'}

    :param names: names of the contestants, in the order of the plan
    :return: name -> folder name, legal on every system and distinct even if case is ignored
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
    :param folder: folder name
    :return: key that is equal for names that any file system treats as equal
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", folder).upper().casefold())
