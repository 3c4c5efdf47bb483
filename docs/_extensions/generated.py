"""Directives for pages that are made from the package: its commands' help, its public names, its modules."""

import ast
import contextlib
import io
import os
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import sb3_cardqn
from sb3_cardqn import cli

PACKAGE = Path(sb3_cardqn.__file__).parent
WIDTH = "88"  # columns of a help text

# Heading -> public names, in reading order. A test compares them with ``sb3_cardqn.__all__``.
ROOMS: dict[str, tuple[str, ...]] = {
    "Agent": ("CarDQN", "DuelingHead", "QuantileHead", "HistogramHead", "CarRacingCNN", "MinAtarCNN"),
    "Environment": (
        "CarRacingWrapper",
        "FastRender",
        "DiscretizeActions",
        "FrameSkip",
        "GrayscaleObservation",
        "RoadContrastObservation",
        "ResizeObservation",
        "FrameStack",
    ),
    "Training-only wrappers": (
        "EndWhenLost",
        "EndAtLine",
        "PenalizeMissedTiles",
        "PenalizeRoadEdge",
        "PenalizeSideslip",
        "PenalizeSpeed",
        "ScaleReward",
    ),
    "Replay": ("FrameReplayBuffer", "PrioritizedFrameReplayBuffer"),
    "Exact resume": ("ExactCheckpoint", "ResumableEpisode"),
    "Policy files": ("load_policy", "load_pretrained", "load_weights"),
}


def help_of(argv: Sequence[str]) -> str:
    """
    :param argv: a command, and its subcommand if it has one
    :return: what ``sb3-cardqn ARGV --help`` prints
    """
    printed = io.StringIO()
    with (
        mock.patch.dict(os.environ, {"COLUMNS": WIDTH}),
        mock.patch.object(sys, "argv", ["sb3-cardqn"]),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # the zoo's scripts are run, and were imported before
        cli.main([*argv, "--help"])
    return printed.getvalue().strip()


def command_names() -> list[str]:
    """
    :return: all commands, in the order of the help
    """
    return list(dict.fromkeys(re.findall(r"^  ([a-z]\w+) ", help_of([]).split("\n\n", 2)[2], re.MULTILINE)))


def subcommands(text: str) -> list[str]:
    """
    :param text: a command's help
    :return: names of its subcommands
    """
    usage = text.split("\n\n")[0]
    found = re.search(r"\{([\w,]+)\} \.\.\.", usage)
    return found[1].split(",") if found else []


def summary(docstring: str) -> str:
    """
    :param docstring: of a class, function or module
    :return: its first sentence, on one line
    """
    return " ".join(docstring.strip().split("\n\n")[0].split())


def cell(text: str) -> str:
    """
    :param text: one line
    :return: the same, for a cell of a Markdown table
    """
    return text.replace("|", r"\|")


class _Generated(SphinxDirective):
    """Parses Markdown that ``markdown`` writes, in place of itself."""

    def markdown(self) -> str:
        """
        :return: the text
        """
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """
        :return: what the text becomes
        """
        return self.parse_text_to_nodes(self.markdown(), allow_section_headings=True)


class CommandHelp(_Generated):
    """Every command's help, under a heading each."""

    def markdown(self) -> str:
        """
        :return: the text
        """
        parts = [f"## sb3-cardqn\n\n```text\n{help_of([])}\n```"]
        for name in command_names():
            text = help_of([name])
            parts.append(f"## {name}\n\n```text\n{text}\n```")
            parts.extend(
                f"### {name} {inner}\n\n```text\n{help_of([name, inner])}\n```" for inner in subcommands(text)
            )
        return "\n\n".join(parts)


class Rooms(_Generated):
    """The public names: a table, then each in full."""

    def markdown(self) -> str:
        """
        :return: the text
        """
        rows, parts = ["## Summary", "", "| name | what it is |", "|---|---|"], []
        for room, names in ROOMS.items():
            rows.append(f"| **{room}** | |")
            parts.append(f"## {room}\n")
            for name in names:
                public = getattr(sb3_cardqn, name)
                kind, role = ("class", "class") if isinstance(public, type) else ("function", "func")
                what = cell(summary(public.__doc__ or ""))
                rows.append(f"| {{py:{role}}}`~sb3_cardqn.{name}` | {what} |")
                parts.append(f"```{{eval-rst}}\n.. auto{kind}:: sb3_cardqn.{name}\n```\n")
        return "\n".join([*rows, "", *parts])


class ModuleTable(_Generated):
    """The first line of each module."""

    def markdown(self) -> str:
        """
        :return: the text
        """
        rows = ["| module | holds |", "|---|---|"]
        for path in sorted(PACKAGE.rglob("*.py")):
            docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            name = ".".join(part for part in parts if part != "__init__")
            if docstring and parts[-1] != "__main__":
                rows.append(f"| `{name}` | {docstring.strip().splitlines()[0].replace('|', chr(92) + '|')} |")
        return "\n".join(rows)


def setup(app: Sphinx) -> dict[str, Any]:
    """
    :param app: that builds the site
    :return: what Sphinx wants to know of an extension
    """
    app.add_directive("command-help", CommandHelp)
    app.add_directive("rooms", Rooms)
    app.add_directive("module-table", ModuleTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
