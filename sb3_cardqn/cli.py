"""``sb3-cardqn <command>``: rl-zoo3's commands with cardqn in them, and this package's own."""

import argparse
import sys

import torch as th

from sb3_cardqn import __version__, bench, race, resume
from sb3_cardqn.errors import NotFiniteError, UserError, WorkerDiedError, did_you_mean
from sb3_cardqn.zoo import COMMANDS, CarExperimentManager, run

_HELP = """\
rl-zoo3's commands, for cardqn and every algorithm of the zoo (COMMAND --help lists all their options; --algo
is cardqn, --env CarRacing-v3 and the folder of runs logs where nothing else is said):
  train           train an agent:        sb3-cardqn train -P -n 250000
  enjoy           watch it in a window:  sb3-cardqn enjoy --load-best
  record_video    film it:               sb3-cardqn record_video --load-best
  plot_train      its learning curve:    sb3-cardqn plot_train -a cardqn -e CarRacing-v3 -f logs
  all_plots       several runs in one:   sb3-cardqn all_plots -a cardqn dqn -e CarRacing-v3 -f logs -o plots
  plot_from_file  the same from a file:  sb3-cardqn plot_from_file -i plots.pkl -o plots.svg
  load_from_hub   download an agent:     TRUST_REMOTE_CODE=True sb3-cardqn load_from_hub -orga NAME
  push_to_hub     upload one:            sb3-cardqn push_to_hub -orga NAME --load-best

this package's own:
  race            scores, a video and the learning curve, on tracks the agent never saw
  resume          go on with a training that was stopped, exactly where it was, if it was started so:
                  sb3-cardqn train --checkpoint-freq 10000
  bench           how fast racing and learning are, and how close FastRender's picture is to stock's
"""

_OWN = {"race": race.main, "bench": bench.main}


def main(argv: list[str] | None = None) -> None:
    """
    Run the command line.

    :param argv: what was typed, without the program's name; by default taken from the shell
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
        "--traceback", action="store_true", help="before COMMAND: show where an error came from"
    )
    parser.add_argument("command", metavar="COMMAND", help="see below")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="of the command")
    args = parser.parse_args(argv or ["--help"])
    try:
        if args.command in COMMANDS:
            if {"-h", "--help"} & set(args.options):  # the zoo's own help knows nothing of the defaults here
                print(
                    next(line for line in _HELP.splitlines() if line.startswith(f"  {args.command} ")), "\n"
                )
            run(args.command, args.options)
        elif args.command == "resume":
            resume.main(args.options)
        elif args.command in _OWN:
            th.set_num_threads(1)  # one small picture at a time: threads would only wait for each other
            _OWN[args.command](args.options)
        else:
            known = [*COMMANDS, "resume", *_OWN]
            raise UserError(f"unknown command '{args.command}'{did_you_mean(args.command, known)}")
    except Exception as error:
        # Before learning, what goes wrong comes from what was typed; then, hours may hang on the details.
        named = isinstance(error, (UserError, NotFiniteError, WorkerDiedError))
        if args.traceback or (CarExperimentManager.learned and not named):
            raise
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        hint = "" if isinstance(error, UserError) else " (sb3-cardqn --traceback ... shows where)"
        print(f"sb3-cardqn: {kind}{' '.join(str(error).split())}{hint}", file=sys.stderr)
        sys.exit(2)
