"""``train --storage --study-name``: the hyperparameters of a trial, the best one where none is named."""

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from rl_zoo3.hyperparams_opt import HYPERPARAMS_SAMPLER

from sb3_cardqn.errors import UserError
from sb3_cardqn.zoo import commands as zoo
from sb3_cardqn.zoo.registry import sample_cardqn_params
from tests.named import error_naming

RATES = (1e-4, 2e-4, 3e-4)  # of trials 0, 1, 2
TRAIN = "--env CartPole-v1 -n 60 --eval-freq -1 --storage study.log --study-name cart"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> optuna.Study:
    """Three trials, of which number 1 is the best."""
    monkeypatch.chdir(tmp_path)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend("study.log")), study_name="cart", direction="maximize"
    )
    for rate, score in zip(RATES, (5.0, 9.0, 1.0), strict=True):
        study.enqueue_trial({"learning_rate": rate})
        trial = study.ask()
        sample_cardqn_params(trial, 2, 1, {})
        study.tell(trial, score)
    return study


def trained_with(run: int) -> dict[str, Any]:
    text = Path(f"logs/cardqn/CartPole-v1_{run}/CartPole-v1/config.yml").read_text()
    return dict(yaml.unsafe_load(text))


@pytest.mark.parametrize(
    ("option", "rate"), [("", RATES[1]), ("--trial-id 0", RATES[0]), ("--trial-id 2", RATES[2])]
)
def test_the_trial_asked_for_is_trained(study: optuna.Study, option: str, rate: float) -> None:
    zoo.run("train", [*TRAIN.split(), *option.split()])
    assert trained_with(1)["learning_rate"] == rate


def test_what_is_typed_stands_above_the_trial(study: optuna.Study) -> None:
    zoo.run("train", [*TRAIN.split(), "-params", "learning_rate:0.5"])
    assert trained_with(1)["learning_rate"] == 0.5
    assert trained_with(1)["n_steps"] == study.best_trial.params["n_steps"]


def test_a_resumed_run_keeps_its_trial(study: optuna.Study) -> None:
    """The best trial may be another one by then."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            zoo.CarExperimentManager, "learn", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            zoo.run("train", [*TRAIN.split(), "--checkpoint-freq", "50"])
    command = json.loads(Path("logs/cardqn/CartPole-v1_1/checkpoints/command.json").read_text())
    assert command[-2:] == ["--trial-id", "1"]


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        ("--study-name card", "'card' | 'study.log' | 'cart'"),
        ("--trial-id 3", "--trial-id | 2 | 'cart' | 3"),
        ("--algo ppo", "1 | ppo"),
    ],
)
def test_an_unknown_study_or_trial_is_named(study: optuna.Study, typed: str, named: str) -> None:
    with error_naming(UserError, named):
        zoo.run("train", [*TRAIN.split(), *typed.split()])
    assert not list(Path("logs").glob("*/*_*"))


def test_a_trial_of_a_similar_algorithm_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage = JournalStorage(JournalFileBackend("study.log"))
    study = optuna.create_study(storage=storage, study_name="cart")
    trial = study.ask()
    HYPERPARAMS_SAMPLER["dqn"](trial, 2, 1, {"using_her_replay_buffer": False})
    study.tell(trial, 1.0)
    with error_naming(UserError, "trial 0 | cardqn | subsample_steps"):
        zoo.run("train", TRAIN.split())


def test_a_study_without_a_finished_trial_has_no_best(study: optuna.Study) -> None:
    optuna.create_study(storage=JournalStorage(JournalFileBackend("study.log")), study_name="empty")
    with error_naming(UserError, "'empty'"):
        zoo.run("train", [*TRAIN.split(), "--study-name", "empty"])
