"""machine: hardware and library versions, which are saved with every result."""

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from stable_baselines3.common.utils import get_system_info

from sb3_cardqn.version import __version__

_PACKAGES = ("sb3-contrib", "rl-zoo3", "opencv-python", "Box2D")


def machine() -> dict[str, str]:
    """
    :return: CPU, cores, operating system, Python version, and versions of the libraries, by name
    """
    cpuinfo = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.is_file() else None
    return {
        "CPU": model[1] if model else platform.processor(),
        "Cores": str(os.cpu_count()),
        **get_system_info(print_info=False)[0],
        "sb3-cardqn": __version__,
        **{package: _version(package) for package in _PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # opencv-python has several names
        return "not installed"
