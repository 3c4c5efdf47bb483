"""Lookup of trials in Optuna studies that ``train -optimize`` has stored."""

from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from rl_zoo3.hyperparams_opt import HYPERPARAMS_CONVERTER

from sb3_cardqn.errors import UserError, did_you_mean
from sb3_cardqn.zoo.settings import check_hyperparameters


def find_trial(storage: str, study_name: str, trial_id: int | None = None) -> optuna.trial.FrozenTrial:
    """
    :param storage: value of ``train --storage``: a .log file, or the URL of a database
    :param study_name: value of ``train --study-name``
    :param trial_id: number of the trial; None for the best one
    :return: the trial
    :raises UserError: if there is no such file, study or trial
    """
    is_journal = storage.endswith(".log")
    path = Path(storage if is_journal else storage.removeprefix("sqlite:///").partition("?")[0])
    if (is_journal or storage.startswith("sqlite:///")) and not path.is_file():  # Optuna would make one
        raise UserError(f"--storage needs a file of train -optimize, no such file: '{path}'")
    try:
        opened = JournalStorage(JournalFileBackend(storage)) if is_journal else storage
        known = optuna.get_all_study_names(opened)
    except Exception as error:  # an invalid URL, a missing driver, a file of another kind
        raise UserError(f"--storage: cannot read '{storage}': {type(error).__name__}: {error}") from error
    if study_name not in known:
        raise UserError(
            f"--study-name: no study '{study_name}' in '{storage}'"
            + (did_you_mean(study_name, known) if known else ", nor any other")
        )
    study = optuna.load_study(storage=opened, study_name=study_name)
    if trial_id is None:
        try:
            return study.best_trial
        except (ValueError, RuntimeError) as error:  # no finished trial; several objectives
            raise UserError(f"study '{study_name}' has no best trial: {error}") from error
    trials = study.trials
    if not -len(trials) <= trial_id < len(trials):
        raise UserError(
            f"--trial-id needs 0 to {len(trials) - 1} in study '{study_name}', got {trial_id}"
            if trials
            else f"study '{study_name}' has no trials, got --trial-id {trial_id}"
        )
    return trials[trial_id]


def hyperparams_of(trial: optuna.trial.FrozenTrial, algo: str) -> dict[str, Any]:
    """
    :param trial: result of ``find_trial``
    :param algo: algorithm of the trial
    :return: its hyperparameters
    :raises UserError: if it is a trial of another algorithm
    """
    try:
        sampled = HYPERPARAMS_CONVERTER[algo](dict(trial.params))
    except KeyError as error:
        raise UserError(f"trial {trial.number} of the study is not of {algo}: it has no {error}") from error
    try:
        check_hyperparameters(algo, list(sampled))
    except UserError as error:
        raise UserError(f"trial {trial.number} of the study is not of {algo}: {error}") from error
    return sampled
