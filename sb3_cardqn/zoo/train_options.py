"""Checks of the options of ``train``, made before anything else."""

import argparse
import importlib.util
import math
import os
from pathlib import Path

from rl_zoo3.hyperparams_opt import HYPERPARAMS_SAMPLER

from sb3_cardqn.durable import is_zip
from sb3_cardqn.errors import UserError
from sb3_cardqn.policy_file.read import read, shipped_agents
from sb3_cardqn.zoo.settings import parse_settings

MAX_THREADS = 1024  # torch threads; several thousand crash the process
_MAX_SEED = 2**32 - 1  # NumPy's limit

# option -> unit, lower bound
_LEAST = {
    "checkpoint_freq": ("agent steps", 1),
    "eval_episodes": ("episodes", 1),
    "max_total_trials": ("trials", 1),
    "n_envs": ("environments", 1),
    "n_eval_envs": ("environments", 1),
    "n_evaluations": ("evaluations", 1),
    "n_startup_trials": ("trials", 0),
    "n_trials": ("trials", 1),
    "run_id": ("", 1),
}


def check_numbers(options: argparse.Namespace) -> None:
    """
    :param options: options of a command of the zoo
    :raises UserError: if an option is out of range
    """
    for name, (unit, least) in _LEAST.items():
        value = getattr(options, name, None)
        if value is not None and value < least:
            raise UserError(
                f"--{name.replace('_', '-')} needs at least {least}{unit and f' {unit}'}, got {value}"
            )
    if getattr(options, "num_threads", -1) > MAX_THREADS:
        raise UserError(f"--num-threads needs at most {MAX_THREADS}, got {options.num_threads}")
    if getattr(options, "seed", 0) > _MAX_SEED:
        raise UserError(f"--seed needs at most {_MAX_SEED}, got {options.seed}")


def check_train(options: argparse.Namespace) -> None:
    """
    :param options: options of ``train``
    :raises UserError: if an option is out of range, two exclude each other, or a path cannot be used
    """
    _check_budget(options)
    if options.log_interval == 0:
        raise UserError("--log-interval needs at least 1 episode, -1 for the default or -2 for none, got 0")
    if options.n_jobs == 0 or options.n_jobs < -1:
        raise UserError(f"--n-jobs needs at least 1, or -1 for one per core, got {options.n_jobs}")
    _check_study(options)
    if options.optimize_hyperparameters and options.algo not in HYPERPARAMS_SAMPLER:
        raise UserError(f"-optimize needs an algorithm with a search space, got --algo {options.algo}")
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
    _check_start(options)
    for name in ("hyperparams", "env_kwargs", "eval_env_kwargs"):
        owner = "-params" if name == "hyperparams" else f"--{name.replace('_', '-')}"
        parse_settings(owner, getattr(options, name))


def _check_start(options: argparse.Namespace) -> None:
    agent, shipped = options.trained_agent, shipped_agents()
    if not agent:
        return
    if options.optimize_hyperparameters:
        raise UserError(f"-optimize trains new agents, got -i {agent}")
    if agent.endswith(".safetensors"):
        read(Path(agent))
    elif agent not in shipped and not (agent.endswith(".zip") and is_zip(Path(agent))):
        inside = ", ".join(sorted(str(path) for path in Path(agent).glob("*.zip")))
        raise UserError(
            f"-i needs a zip or .safetensors file of an agent, or the name of a shipped one "
            f"({', '.join(shipped)}), got '{agent}'" + (f"; in it: {inside}" if inside else "")
        )


def _check_config(config: str | None) -> None:
    """
    :param config: YAML file, Python file or package; None for the default
    :raises UserError: if it is anything else
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
    if steps < 1 and steps != -1:  # the zoo would silently use the configuration's
        raise UserError(f"-n needs at least 1 agent step, got {steps}")
    if minutes is None:
        return
    if options.algo == "ars":
        raise UserError("--minutes needs an algorithm that a callback can stop, got --algo ars")
    if not 0 < minutes < math.inf:  # refuses NaN too
        raise UserError(f"--minutes needs a finite number above 0, got {minutes:g}")
    if options.optimize_hyperparameters:
        raise UserError(f"-optimize needs -n, the agent steps of a trial, got --minutes {minutes:g}")
    if steps != -1:
        raise UserError(f"train needs one budget, --minutes or -n, got --minutes {minutes:g} and -n {steps}")
    if options.eval_freq is not None and options.eval_freq > 0:
        raise UserError(
            "--minutes needs --n-evaluations, which are evenly spaced over the budget, in place of "
            f"--eval-freq, got --eval-freq {options.eval_freq}"
        )


def check_evaluations(options: argparse.Namespace) -> None:
    """
    :param options: options of a new run of ``train``
    :raises UserError: if -uuid, or a number of evaluations without a frequency, would be ignored
    """
    if options.run_id is not None and options.uuid:
        raise UserError(f"--run-id {options.run_id} names the run's folder, so it needs no -uuid")
    counts = options.minutes is not None or options.optimize_hyperparameters
    if options.n_evaluations is not None and options.eval_freq is None and not counts:
        raise UserError(
            "--n-evaluations needs --minutes or -optimize; without them use --eval-freq, the agent steps "
            f"between evaluations; got {options.n_evaluations}"
        )


def _check_study(options: argparse.Namespace) -> None:
    given = {
        name: getattr(options, name)
        for name in ("storage", "study_name", "trial_id")
        if getattr(options, name) is not None
    }
    storage = given.get("storage", ".log")
    if not storage.endswith(".log") and "://" not in storage:
        raise UserError(f"--storage needs a .log file or a URL such as sqlite:///study.db, got '{storage}'")
    if options.optimize_hyperparameters and "trial_id" not in given:
        return  # a new study, for which Optuna makes up a name if none is given
    for name in ("storage", "study_name"):
        if given and name not in given:
            got = ", ".join(f"--{one.replace('_', '-')} {value}" for one, value in given.items())
            raise UserError(
                "hyperparameters of a trial need --storage and --study-name, plus --trial-id for a trial "
                f"other than the best, got {got}"
            )


def _check_folder(option: str, path: Path) -> None:
    """
    :param option: name of an option that takes a folder
    :param path: its value; the folder need not exist yet
    :raises UserError: if the path, or a parent of it, is not a writable folder
    """
    for part in (path, *path.parents):
        if part.exists():
            if not part.is_dir():
                raise UserError(f"{option} needs a folder, got '{path}', where '{part}' is a file")
            if not os.access(part, os.W_OK | os.X_OK):
                raise UserError(f"{option} needs a folder that can be written to, got '{path}'")
            return
