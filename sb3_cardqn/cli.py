"""Command line ``sb3-cardqn``: rl-zoo3's commands with cardqn registered, and this package's own."""

import argparse
import contextlib
import importlib
import itertools
import os
import signal
import sys
from typing import Any

from sb3_cardqn import trust
from sb3_cardqn.errors import NotFiniteError, UserError, WorkerDiedError, did_you_mean
from sb3_cardqn.options import ZOO_COMMANDS
from sb3_cardqn.replaced import replaced
from sb3_cardqn.version import __version__

_HELP = """\
rl-zoo3's commands, for cardqn and every algorithm of the zoo (COMMAND --help lists their options; the plots
require -a, -e and -f, plot_from_file -i; the others default to --algo cardqn, --env CarRacing-v3 and the
folder logs):
  train           train an agent:          sb3-cardqn train -P -n 250000
                  additional options: --checkpoint-freq AGENT_STEPS, --minutes OF_TRAINING, --run-id N
  enjoy           watch an agent:          sb3-cardqn enjoy --load-best
  record_video    record a video:          sb3-cardqn record_video --load-best
  plot_train      plot a learning curve:   sb3-cardqn plot_train -a cardqn -e CarRacing-v3 -f logs
  all_plots       plot several runs:       sb3-cardqn all_plots -a cardqn dqn -e CarRacing-v3 -f logs -o plots
  plot_from_file  plot from a file:        sb3-cardqn plot_from_file -i plots.pkl -o plots.svg
  load_from_hub   download an agent:       sb3-cardqn load_from_hub -orga NAME --trust
  push_to_hub     upload an agent:         sb3-cardqn push_to_hub -orga NAME --load-best

this package's own commands:
  evaluate        score saved agents of any algorithm on 100 held-out tracks
  race            film one agent, or several side by side, on held-out tracks
  compare         compare several algorithms over many seeds, with statistics
  resume          resume a stopped training run exactly; the run needs checkpoints:
                  sb3-cardqn train --checkpoint-freq 10000; with -n AGENT_STEPS also continue a finished one
  play            drive at the keyboard against an agent's ghost; --watch only watches, any agent
  export          export an agent to a safetensors file, which is safe to load; with --onnx also to ONNX
  bench           measure the speed of racing and learning, and FastRender's difference from stock

A zip from elsewhere can run any code when it is loaded, so commands refuse it without --trust.
"""

# this package's own commands -> their modules, imported when they are run
_OWN = {
    "evaluate": "evaluate.command",
    "race": "race.command",
    "compare": "compare.command",
    "play": "race.play",
    "export": "publish.export",
    "bench": "bench.command",
}


def _run(command: str, options: list[str]) -> None:
    """
    :param command: name of a command
    :param options: arguments after it
    :raises UserError: if there is no such command
    """
    if command in _OWN:
        with _import("hardware").one_thread():
            _import(_OWN[command]).main(options)
    elif command == "resume":
        _import("zoo.commands").main(options)
    elif command.endswith("_hub") and command in ZOO_COMMANDS:
        _import("publish.hub").main(command, options)
    elif command in ZOO_COMMANDS:
        _import("zoo.commands").run(command, options)
    else:
        raise UserError(
            f"unknown command '{command}'{did_you_mean(command, [*ZOO_COMMANDS, 'resume', *_OWN])}"
        )


def _import(module: str) -> Any:
    return importlib.import_module(f"sb3_cardqn.{module}")


def main(argv: list[str] | None = None) -> None:
    """
    Run the command line.

    :param argv: arguments without the program's name; None for those of the shell
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="sb3-cardqn",
        usage="sb3-cardqn COMMAND [options]",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"sb3-cardqn {__version__}")
    parser.add_argument(
        "--traceback", action="store_true", help="before COMMAND: show the traceback of an error"
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="before or after COMMAND: load files from elsewhere, which can run code",
    )
    parser.add_argument("command", metavar="COMMAND", help="see below")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="options of the command")
    for word in itertools.takewhile(lambda word: word.startswith("-"), argv):
        if word not in parser._option_string_actions:
            offer = did_you_mean(word, [*parser._option_string_actions])
            print(f"sb3-cardqn: unknown option '{word}' before COMMAND{offer}", file=sys.stderr)
            sys.exit(2)
    args = parser.parse_args(argv or ["--help"])
    options = [option for option in args.options if option != "--trust"]
    trusts = args.trust or options != args.options
    # in the environment, which child processes inherit
    trusting = replaced(os.environ, trust.TRUST, "True") if trusts else contextlib.nullcontext()
    # moviepy would start the program that a .env names
    no_dotenv = replaced(os.environ, "PYTHON_DOTENV_DISABLED", "1")
    try:
        with trusting, no_dotenv, trust.safe_path():
            _run(args.command, options)
    except KeyboardInterrupt:
        print("\nsb3-cardqn: stopped by Ctrl-C", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except Exception as error:
        # Before learning, an error comes from the command line. After it has started, keep the traceback.
        named = isinstance(error, (UserError, NotFiniteError, WorkerDiedError))
        if args.traceback or (getattr(error, "has_learned", False) and not named):
            raise
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        text = str(error)
        if isinstance(error, OSError) and error.filename and error.strerror:
            kind, text = "", f"'{os.fsdecode(error.filename)}': {error.strerror}"
        hint = "" if isinstance(error, UserError) else " (for details: sb3-cardqn --traceback ...)"
        print(f"sb3-cardqn: {kind}{' '.join(text.split())}{hint}", file=sys.stderr)
        sys.exit(2)
