"""Options of ``train``, checked against each other and their ranges before anything is made."""

import argparse
import importlib.util
import math
import os
from pathlib import Path

from sb3_cardqn.durable import is_zip
from sb3_cardqn.errors import UserError
from sb3_cardqn.zoo.settings import parse_settings

MAX_THREADS = 1024  # of torch; some thousands end the process
_MAX_SEED = 2**32 - 1  # NumPy's

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
    if getattr(options, "seed", 0) > _MAX_SEED:
        raise UserError(f"--seed needs at most {_MAX_SEED}, got {options.seed}")


def check_train(options: argparse.Namespace) -> None:
    """
    :param options: of ``train``
    :raises UserError: if one is out of range, two do not go together, or a path cannot be what it is for
    """
    _check_budget(options)
    if options.log_interval == 0:
        raise UserError("--log-interval needs 1 or more episodes, -1 for the default or -2 for none, got 0")
    if options.n_jobs == 0 or options.n_jobs < -1:
        raise UserError(f"--n-jobs needs 1 or more, or -1 for one a core, got {options.n_jobs}")
    _check_study(options)
    if not options.log_folder:
        raise UserError("-f needs a folder, got ''")
    for name, path in (
        ("-f", options.log_folder),
        ("-tb", options.tensorboard_log),
        ("--optimization-log-path", options.optimization_log_path),
    ):
        if path:
            _check_folder(name, Path(path))
    _check_config(options.conf_file)
    agent = options.trained_agent
    if agent and not (agent.endswith(".zip") and is_zip(Path(agent))):
        raise UserError(f"-i needs the zip file of an agent, got '{agent}'")
    for name in ("hyperparams", "env_kwargs", "eval_env_kwargs"):
        owner = "-params" if name == "hyperparams" else f"--{name.replace('_', '-')}"
        parse_settings(owner, getattr(options, name))


def _check_config(config: str | None) -> None:
    """
    :param config: a YAML file, a Python file or a package; the default if there is none
    :raises UserError: if it is none of them
    """
    if not config or config.endswith((".yml", ".yaml", ".py")):
        return
    package = config.split(".")[0]
    if not package or importlib.util.find_spec(package) is None:
        raise UserError(
            f"-conf needs a YAML file (.yml, .yaml), a Python file (.py) or a package, got '{config}'"
        )


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


def _check_folder(option: str, path: Path) -> None:
    """
    :param option: that takes a folder
    :param path: it may not be there yet
    :raises UserError: if it, or what it would be in, is something else
    """
    for part in (path, *path.parents):
        if part.exists():
            if not part.is_dir():
                raise UserError(f"{option} needs a folder, got '{path}', where '{part}' is a file")
            if not os.access(part, os.W_OK | os.X_OK):
                raise UserError(f"{option} needs a folder that can be written to, got '{path}'")
            return
