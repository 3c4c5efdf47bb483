"""Registration of cardqn with rl-zoo3, with its search space for tuning."""

from typing import Any

import optuna
from rl_zoo3 import ALGOS
from rl_zoo3.hyperparams_opt import HYPERPARAMS_CONVERTER, HYPERPARAMS_SAMPLER

from sb3_cardqn.cardqn import CarDQN


def convert_cardqn_params(sampled: dict[str, Any]) -> dict[str, Any]:
    """
    Convert a trial's parameters to hyperparameters.

    :param sampled: parameters of a trial of ``sample_cardqn_params``
    :return: keyword arguments of CarDQN
    """
    hyperparams = dict(sampled)
    hyperparams["gamma"] = 1 - hyperparams.pop("one_minus_gamma")
    hyperparams["batch_size"] = 2 ** hyperparams.pop("batch_size_pow")
    return hyperparams


def sample_cardqn_params(
    trial: optuna.Trial, n_actions: int, n_envs: int, additional_args: dict[str, Any]
) -> dict[str, Any]:
    """
    Draw hyperparameters for ``train -optimize``; the network is that of the configuration.

    :param trial: Optuna's trial
    :param n_actions: unused, part of the zoo's interface
    :param n_envs: unused, part of the zoo's interface
    :param additional_args: unused, part of the zoo's interface
    :return: keyword arguments of CarDQN
    """
    return convert_cardqn_params(
        {
            "learning_rate": trial.suggest_float("learning_rate", 3e-5, 3e-3, log=True),
            "one_minus_gamma": trial.suggest_float("one_minus_gamma", 0.003, 0.1, log=True),
            "n_steps": trial.suggest_int("n_steps", 1, 5),
            "batch_size_pow": trial.suggest_int("batch_size_pow", 5, 8),
            "train_freq": trial.suggest_int("train_freq", 1, 8),
            "gradient_steps": trial.suggest_int("gradient_steps", 1, 2),
            "target_update_interval": trial.suggest_int("target_update_interval", 100, 20_000, log=True),
            "exploration_final_eps": trial.suggest_float("exploration_final_eps", 0.005, 0.1, log=True),
            "exploration_decay": trial.suggest_categorical(
                "exploration_decay", ["linear", "exponential", "cosine"]
            ),
            "double_q": trial.suggest_categorical("double_q", [False, True]),
            "advantage_learning": trial.suggest_categorical("advantage_learning", [0.0, 0.5, 0.7, 0.9]),
        }
    )


def register() -> None:
    """Register cardqn with rl-zoo3, for training and tuning."""
    ALGOS["cardqn"] = CarDQN
    HYPERPARAMS_SAMPLER["cardqn"] = sample_cardqn_params
    HYPERPARAMS_CONVERTER["cardqn"] = convert_cardqn_params  # type: ignore[assignment]
