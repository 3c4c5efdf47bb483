"""Option parsers: this package's Parser, and the zoo's parsers extended with this package's options."""

import argparse
import contextlib
import io
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from sb3_cardqn.errors import UserError, did_you_mean, nearest

# command of rl-zoo3 -> its module and function; a module without a function is a script
ZOO_COMMANDS = {
    "train": ("rl_zoo3.train", "train"),
    "enjoy": ("rl_zoo3.enjoy", "enjoy"),
    "record_video": ("rl_zoo3.record_video", None),
    "plot_train": ("rl_zoo3.plots.plot_train", "plot_train"),
    "plot_from_file": ("rl_zoo3.plots.plot_from_file", "plot_from_file"),
    "all_plots": ("rl_zoo3.plots.all_plots", "all_plots"),
    "load_from_hub": ("rl_zoo3.load_from_hub", None),
    "push_to_hub": ("rl_zoo3.push_to_hub", None),
}
# option -> its default here; the zoo has another one or none
_DEFAULTS = {"--algo": "cardqn", "--env": "CarRacing-v3", "--folder": "logs"}
# options whose values are Python, which the zoo would run while parsing
_SETTINGS = ("--hyperparams", "--env-kwargs", "--eval-env-kwargs")

# what the zoo's own help says of an older meaning
_HELP_OF_TRAIN = {
    "--n-evaluations": "evaluations with --minutes (default: 20) or of a trial with -optimize (default: one "
    "per 100,000 agent steps)",
    "--eval-freq": "agent steps between evaluations (default: as the zoo's, 25,000); -1 for none",
}


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, without usage or traceback; it accepts no abbreviations."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False} | kwargs)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """
        :param args: arguments, or None for those of the shell
        :param namespace: namespace to fill, or None for a new one
        :return: namespace, and an empty list of unknown arguments
        :raises UserError: if an option is unknown; the text names it and the nearest one
        """
        options, unknown = super().parse_known_args(args, namespace)
        if not unknown:
            return options, []
        name = unknown[0].split("=")[0]
        known = [long for long in self._option_string_actions if long.startswith("--")]
        begun = [f"'{long}'" for long in known if name.startswith("--") and long.startswith(name)]
        offer = f", did you mean {' or '.join(begun)}?" if begun else ""
        if not offer and name.startswith("-"):
            offer = (nearest if self._command == "train" else did_you_mean)(name, known)
        if not offer and self._command == "train":
            offer = "; a hyperparameter is set by -params NAME:VALUE"
        raise UserError(f"{self._command} knows no option '{name}'{offer}")

    def error(self, message: str) -> NoReturn:
        """
        :param message: error text of argparse
        :raises UserError: always
        """
        raise UserError(f"{self._command}: {message}")

    @property
    def _command(self) -> str:
        return self.prog.removeprefix("sb3-cardqn ")


def positive(text: str) -> int:
    """
    Type of an option, for argparse.

    :param text: value on the command line
    :return: the number
    :raises argparse.ArgumentTypeError: if it is not a whole number above 0
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"needs a whole number of at least 1, got {text!r}")
    return int(text)


def add_trust(parser: argparse._ActionsContainer) -> None:
    """
    Add ``--trust`` to the help; ``cli`` removes it from the arguments before.

    :param parser: parser of a command that loads agents
    """
    parser.add_argument("--trust", action="store_true", help="load files from elsewhere, which can run code")


def add_gym_packages(parser: argparse._ActionsContainer) -> None:
    """
    :param parser: parser of a command that makes environments
    """
    parser.add_argument(
        "--gym-packages",
        nargs="+",
        default=[],
        metavar="MODULE",
        help="packages to import that register the environment, as in train",
    )


def own_options(command: str) -> argparse.ArgumentParser:
    """
    :param command: command of the zoo
    :return: parser of the options that this package adds to it
    """
    parser = argparse.ArgumentParser(
        prog=f"sb3-cardqn {command}", add_help=False, allow_abbrev=False, conflict_handler="resolve"
    )
    group = parser.add_argument_group("options of sb3-cardqn")
    add_trust(group)
    if command in ("record_video", "push_to_hub"):  # the other commands of the zoo have it
        add_gym_packages(group)
    if command != "train":
        return parser
    group.add_argument(
        "--checkpoint-freq",
        type=int,
        metavar="AGENT_STEPS",
        help="agent steps between checkpoints, from which sb3-cardqn resume continues exactly",
    )
    group.add_argument(
        "--minutes",
        type=float,
        help="budget in minutes of training, instead of -n; evaluations (20 by default, see "
        "--n-evaluations) take extra time",
    )
    # in the command that resume keeps: agent steps of the finished run, 0 for one whose budget was changed
    group.add_argument("--trained-on", type=int, help=argparse.SUPPRESS)
    group.add_argument(
        "-i",
        "--trained-agent",
        default="",
        metavar="AGENT",
        help="start from a trained agent: a zip, a .safetensors file, or the name of a shipped agent; "
        "epsilon stays at its final value",
    )
    group.add_argument(
        "--run-id", type=int, metavar="N", help="number of the run folder (default: the next free number)"
    )
    return parser


def zoo_parser(command: str, run: Callable[[list[str]], None]) -> argparse.ArgumentParser:
    """
    Extract the parser that a command of the zoo builds in a function: ``--help`` makes the function exit.

    :param command: command of the zoo
    :param run: function that runs it with arguments
    :return: its parser, with this package's options and defaults
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            run(["--help"])
    except SystemExit as stopped:
        frames = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(stopped.__traceback__)]
        zoos = next(found for found in frames if isinstance(found, argparse.ArgumentParser))
    own = own_options(command)
    parser = Parser(
        prog=own.prog,
        description=f"rl-zoo3's {command}, for cardqn and every algorithm of the zoo.",
        parents=[zoos, own],
        add_help=False,
        conflict_handler="resolve",
    )
    for action in zoos._actions:
        names = action.option_strings
        if not names:  # replaced by an option of this package
            continue
        default = _DEFAULTS.get(names[-1])
        if default is not None and not command.startswith(("plot", "all_plots")):
            parser.add_argument(*names, default=default, help=f"{action.help} (default: {default})")
        elif set(_SETTINGS) & set(names):
            parser.add_argument(
                *names, dest=action.dest, nargs="+", default=[], metavar="NAME:VALUE", help=action.help
            )
    if command == "train":
        parser.set_defaults(eval_freq=None)  # None means that it is not given
        for name, text in _HELP_OF_TRAIN.items():
            parser._option_string_actions[name].help = text
    return parser
