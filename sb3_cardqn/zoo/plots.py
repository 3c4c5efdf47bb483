"""Checks before the zoo's plots, which would otherwise be empty pictures or tables of zeros."""

import argparse
import itertools
import os
import pickle
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from stable_baselines3.common.monitor import LoadMonitorResultsError, load_results

from sb3_cardqn.durable import refuse_pipes
from sb3_cardqn.errors import UserError

_COLUMNS = {"success": "is_success", "reward": "r", "length": "l"}  # value of -y -> column of monitor files


def _runs(folder: Path, algo: str, env: str) -> Iterator[Path]:
    """
    :param folder: folder that contains one folder per algorithm
    :param algo: algorithm of the runs
    :param env: part of the names of the runs
    :return: run folders
    """
    for path in sorted((folder / algo.lower()).glob("*")):
        if env in path.name and path.is_dir():
            refuse_pipes(path)
            yield path


def _there_are(folders: list[str], file: str) -> str:
    """
    :param folders: folders of runs
    :param file: pattern of a file that a run must contain to be listed
    :return: list of the runs, for the end of an error
    """
    runs = sorted({str(path.parent) for folder in folders for path in Path(folder).glob(f"*/*/{file}")})
    more = f" and {len(runs) - 10} more" if len(runs) > 10 else ""
    return f"; runs there: {', '.join(runs[:10])}{more}" if runs else f"; no run there has {file}"


def check_plot_train(options: argparse.Namespace) -> None:
    """
    :param options: options of ``plot_train``
    :raises UserError: if no run matches, none is long enough for a point of the curve, or a screen is missing
    """
    if options.episode_window < 1:
        raise UserError(f"-w needs at least 1 episode, got {options.episode_window}")
    where = f"of {options.algo} on {' or '.join(options.env)} in '{options.exp_folder}'"
    lengths = []
    for env in options.env:
        for run in _runs(Path(options.exp_folder), options.algo, env):
            try:
                episodes = load_results(str(run))
            except LoadMonitorResultsError:
                continue
            if options.max_timesteps is not None:
                episodes = episodes[episodes["l"].cumsum() <= options.max_timesteps]
            if _COLUMNS[options.y_axis] in episodes:
                lengths.append(len(episodes))
    if not lengths:
        raise UserError(
            f"no run {where} has episodes with {options.y_axis}"
            + _there_are([options.exp_folder], "*.monitor.csv")
        )
    if max(lengths) < options.episode_window:
        raise UserError(
            f"-w needs at most {max(max(lengths), 1)}, the episodes of the longest run {where}, got "
            f"{options.episode_window}"
        )
    import matplotlib  # other commands do without

    if "MPLBACKEND" not in os.environ and matplotlib.get_backend().lower() == "agg":
        raise UserError("plot_train needs a screen; all_plots -o writes files")


def check_all_plots(options: argparse.Namespace) -> None:
    """
    :param options: options of ``all_plots``
    :raises UserError: if a required option is missing, or no run matches
    """
    for names, value in (
        ("-a or --algos", options.algos),
        ("-e or --env", options.env),
        ("-f or --exp-folders", options.exp_folders),
    ):
        if value is None:
            raise UserError(f"all_plots needs {names}")
    if options.labels is not None and len(options.labels) != len(options.exp_folders):
        raise UserError(f"-l needs {len(options.exp_folders)} labels, one per folder, got {options.labels}")
    rows = list(itertools.product(options.env, options.exp_folders, options.algos))
    empty = [
        f"{algo} on {env} in '{folder}'"
        for env, folder, algo in rows
        # the zoo skips runs with a single evaluation
        if max((_evaluations(run, options) for run in _runs(Path(folder), algo, env)), default=0) < 2
    ]
    text = f"no run of {' or of '.join(empty)} has two evaluations with '{options.key}'"
    if len(empty) == len(rows):
        raise UserError(text + _there_are(options.exp_folders, "evaluations.npz"))
    if empty:
        print(f"sb3-cardqn: {text}; the table shows zeros for them", file=sys.stderr)


def _evaluations(run: Path, options: argparse.Namespace) -> int:
    """
    :param run: run folder
    :param options: options of ``all_plots``
    :return: number of its evaluations with the chosen key
    :raises UserError: if all of them come after the chosen number of agent steps, which the zoo cannot plot
    """
    path = run / "evaluations.npz"
    if not path.is_file():
        return 0
    with np.load(path) as evaluations:
        count = len(evaluations[options.key]) if options.key in evaluations else 0
        first = int(evaluations["timesteps"][0]) if count > 1 else 0
    if first > options.max_timesteps:
        raise UserError(
            f"-max needs at least {first}, the first evaluation of '{run}', got {options.max_timesteps}"
        )
    return count


def pickle_of(name: str) -> Path:
    """
    :param name: value of ``-i`` of ``plot_from_file``
    :return: the file that the zoo reads
    """
    return Path(name if name.endswith(".pkl") else f"{name}.pkl")


def check_plot_from_file(options: argparse.Namespace) -> None:
    """
    :param options: options of ``plot_from_file``
    :raises UserError: if there is no file to plot
    """
    if options.input is None:
        raise UserError("plot_from_file needs -i or --input, a file written by all_plots -o")
    for option, path in (("-i", pickle_of(options.input)), *(("--merge", path) for path in options.merge)):
        if not Path(path).is_file():
            raise UserError(f"{option} needs a file written by all_plots -o, got '{path}'")


def prepare_results(copy: Path, named: Path) -> None:
    """
    Repair a pickle of a single run, where ``all_plots`` writes a number and ``plot_from_file`` reads a list.

    :param copy: copy of a trusted pickle, changed in place
    :param named: original path, for the error
    :raises UserError: if it is not a file of ``all_plots``
    """
    try:
        results = pickle.loads(copy.read_bytes())
        for env, curves in results.items():
            if env != "results_table":
                for curve in curves.values():
                    curve["last_evals"] = np.atleast_1d(curve["last_evals"])
        results["results_table"]
    except Exception as error:  # pickles raise anything
        raise UserError(
            f"-i needs a file written by all_plots -o, got '{named}' ({type(error).__name__}: {error})"
        ) from error
    copy.write_bytes(pickle.dumps(results))


def check_chosen(copies: Sequence[Path], options: argparse.Namespace) -> None:
    """
    :param copies: copies of pickles, after ``prepare_results``
    :param options: options of plot_from_file
    :raises UserError: if the options leave nothing to plot
    """
    first, *others = ({**pickle.loads(copy.read_bytes())} for copy in copies)
    envs = [env for env in first if env != "results_table"]
    curves = {key for results in (first, *others) for env in envs for key in results.get(env, ())}
    for what, kept, skipped, there_are in (
        ("environment", options.keep_envs, options.skip_envs, envs),
        ("curve", options.keep_keys, options.skip_keys, sorted(curves)),
    ):
        if not [one for one in there_are if one not in skipped and (not kept or one in kept)]:
            chosen = f" chosen by {' '.join([*kept, *skipped])}" if [*kept, *skipped] else ""
            raise UserError(f"'{options.input}' has no {what}{chosen}; it has: {', '.join(there_are)}")
    own = {key for results in (first, *others) for key in results.get(envs[0], ())} - set(options.skip_keys)
    drawn = own.intersection(options.keep_keys) if options.keep_keys else own
    if options.labels is not None and len(options.labels) != len(drawn):
        raise UserError(
            f"-l needs {len(drawn)} labels, one per curve of {', '.join(sorted(drawn))}, got {options.labels}"
        )
