"""Inputs of the zoo's plots: runs to draw, and the pickles of ``all_plots``."""

import argparse
import itertools
import pickle
from pathlib import Path

import numpy as np

from sb3_cardqn.errors import UserError


def check_runs(options: argparse.Namespace) -> None:
    """
    :param options: options of ``plot_train`` or ``all_plots``
    :raises UserError: if no run matches, where the zoo would draw a blank picture
    """
    algos = [options.algo] if "algo" in options else options.algos
    folders = [options.exp_folder] if "exp_folder" in options else options.exp_folders
    if not (algos and options.env and folders):
        raise UserError("all_plots needs -a or --algos, -e or --env, and -f or --exp-folders")
    for folder, algo, env in itertools.product(folders, algos, options.env):
        if any(Path(folder, algo.lower()).glob(f"*{env}*")):
            return
    raise UserError(f"no run of {' or '.join(algos)} on {' or '.join(options.env)} in {folders}")


def prepare_results(copy: Path, named: Path) -> None:
    """
    Let ``plot_from_file`` show the curve of a single run: ``all_plots`` writes a number where a list is read.

    :param copy: copy of a trusted pickle; is changed
    :param named: the pickle, for the error
    :raises UserError: if ``all_plots`` did not write it
    """
    try:
        results = pickle.loads(copy.read_bytes())
        for env in results.keys() - {"results_table"}:
            for curve in results[env].values():
                curve["last_evals"] = np.atleast_1d(curve["last_evals"])
        results["results_table"]
    except Exception as error:  # pickles raise anything
        raise UserError(
            f"-i: '{named}' is no file that all_plots -o wrote ({type(error).__name__}: {error})"
        ) from error
    copy.write_bytes(pickle.dumps(results))
