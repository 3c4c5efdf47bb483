"""The command line, as tests type it: in this process, or in one of its own where that is the point."""

import io
import os
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from sb3_cardqn import cli, trust

ROOT = Path(__file__).parent.parent
# rendering and plotting without a screen
HEADLESS = {"SDL_VIDEODRIVER": "dummy", "MPLBACKEND": "Agg"}


def sb3_cardqn(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in ``folder``, in a process of its own, which takes seconds to import the package."""
    argv = [sys.executable, "-m", "sb3_cardqn", *command.split(" ")]
    return subprocess.run(argv, cwd=folder, env=os.environ | HEADLESS, capture_output=True, text=True)


def run_well(folder: Path, command: str) -> str:
    """
    Run a command line in ``folder``, in this process.

    :return: what it prints
    """
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.chdir(folder)
        patch.setattr(sys, "argv", sys.argv)
        patch.setenv(trust.TRUST, os.environ.get(trust.TRUST, ""))  # which --trust sets
        for name, value in HEADLESS.items():
            patch.setenv(name, value)
        cli.main(command.split(" "))
    return printed.getvalue()
