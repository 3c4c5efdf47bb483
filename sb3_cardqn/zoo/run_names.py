"""Names of run folders, ENV_N or with ``train -uuid`` ENV_N_UUID, and of files in them; lookup of runs."""

import re
from pathlib import Path
from typing import NamedTuple

from huggingface_sb3 import EnvironmentName

BEST_AGENT = "best_model.zip"  # in a run folder
STATISTICS, BEST_STATISTICS = "vecnormalize.pkl", "best_vecnormalize.pkl"  # beside the configuration
_NAME = re.compile(r"(.+)_(\d+)(?:_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})?")


def statistics_file(model: Path, folder: Path) -> Path:
    """
    :param model: zip file of an agent
    :param folder: folder of its configuration
    :return: file of the statistics that normalized its observations; it may be missing
    """
    best = folder / BEST_STATISTICS  # older runs have none
    return best if model.name == BEST_AGENT and best.is_file() else folder / STATISTICS


def give_zoos_name(statistics: Path) -> None:
    """
    :param statistics: copy of a ``statistics_file``, which the zoo reads by one name; it may be missing
    """
    if statistics.exists():
        statistics.replace(statistics.with_name(STATISTICS))


class RunName(NamedTuple):
    """
    Parts of the name of a run folder.

    :param env: id of the environment, with "-" for "/"; may contain "_"
    :param number: number of the run
    """

    env: str
    number: int


def parse_name(name: str) -> RunName | None:
    """
    Read the name of a run folder.

    >>> parse_name("My_Env-v0_3")
    RunName(env='My_Env-v0', number=3)

    :param name: name of a folder
    :return: its parts; None if it is not the name of a run folder
    """
    match = _NAME.fullmatch(name)
    return None if match is None else RunName(match[1], int(match[2]))


def find_run(folder: Path, env_id: str, number: int = 0) -> Path | None:
    """
    :param folder: folder of an algorithm's runs, such as ``logs/cardqn``
    :param env_id: id of the environment
    :param number: number of the run; 0 for the highest number
    :return: run folder, the most recently started one of several with this number; None if there is none
    """
    runs = []
    for path in folder.glob("*"):
        name = parse_name(path.name)
        if name is not None and name.env == EnvironmentName(env_id) and number in (0, name.number):
            config = path / name.env / "config.yml"
            runs.append((name.number, config.stat().st_mtime if config.is_file() else 0, path))
    return max(runs)[2] if runs else None
