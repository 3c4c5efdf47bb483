"""The version of this package."""

from pathlib import Path

__version__ = (Path(__file__).parent / "version.txt").read_text().strip()
