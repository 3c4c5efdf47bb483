"""Options of ``train``, checked against each other and their ranges before anything is made."""

import argparse
import math
from pathlib import Path

from sb3_cardqn.errors import UserError
from sb3_cardqn.zoo.settings import parse_settings

MAX_THREADS = 1024  # of torch; some thousands end the process

# option -> what it counts, and the least that makes sense
_LEAST = {
    "checkpoint_freq": ("agent steps", 1),
    "eval_episodes": ("episodes", 1),
    "n_envs": ("environments", 1),
    "n_eval_envs": ("environments", 1),
    "n_evaluations": ("evaluations", 1),
    "n_startup_trials": ("trials", 0),
    "n_trials": ("trials", 1),
    "run_id": ("", 1),
}


def check_numbers(options: argparse.Namespace) -> None:
    """
    :param options: of a command of the zoo
    :raises UserError: if one is out of range
    """
    for name, (unit, least) in _LEAST.items():
        value = getattr(options, name, None)
        if value is not None and value < least:
            raise UserError(
                f"--{name.replace('_', '-')} needs {least} or more{unit and f' {unit}'}, got {value}"
            )
    if getattr(options, "num_threads", -1) > MAX_THREADS:
        raise UserError(f"--num-threads needs at most {MAX_THREADS}, got {options.num_threads}")


def check_train(options: argparse.Namespace) -> None:
    """
    :param options: of ``train``
    :raises UserError: if one is out of range, two do not go together, or a path cannot be what it is for
    """
    _check_budget(options)
    if options.log_interval == 0:
        raise UserError("--log-interval needs 1 or more episodes, -1 for the default or -2 for none, got 0")
    _check_study(options)
    if not options.log_folder:
        raise UserError("-f needs a folder, got ''")
    if options.optimization_log_path and Path(options.optimization_log_path).is_file():  # written at the end
        raise UserError(f"--optimization-log-path needs a folder, got '{options.optimization_log_path}'")
    for name in ("hyperparams", "env_kwargs", "eval_env_kwargs"):
        owner = "-params" if name == "hyperparams" else f"--{name.replace('_', '-')}"
        parse_settings(owner, getattr(options, name))


def _check_budget(options: argparse.Namespace) -> None:
    minutes, steps = options.minutes, options.n_timesteps
    if steps < 1 and steps != -1:  # the zoo would take the configuration's
        raise UserError(f"-n needs 1 or more agent steps, got {steps}")
    if minutes is None:
        return
    if not 0 < minutes < math.inf:  # refuses NaN too
        raise UserError(f"--minutes needs a finite number above 0, got {minutes:g}")
    if options.optimize_hyperparameters:
        raise UserError("--minutes is for one training; -optimize needs -n, the agent steps of a trial")
    if steps != -1:
        raise UserError(f"needs one budget, --minutes or -n, got {minutes:g} and {steps}")
    if options.eval_freq is not None and options.eval_freq > 0:
        raise UserError(
            "--minutes spreads its evaluations evenly: needs --n-evaluations, got --eval-freq "
            f"{options.eval_freq}"
        )


def _check_study(options: argparse.Namespace) -> None:
    given = {
        name: getattr(options, name)
        for name in ("storage", "study_name", "trial_id")
        if getattr(options, name) is not None
    }
    if options.optimize_hyperparameters and "trial_id" not in given:
        return  # makes a study, whose name Optuna invents if need be
    for name in ("storage", "study_name"):
        if given and name not in given:
            got = ", ".join(f"--{one.replace('_', '-')} {value}" for one, value in given.items())
            raise UserError(
                "hyperparameters of a trial need --storage and --study-name, and --trial-id for another one "
                f"than the best, got {got}"
            )
