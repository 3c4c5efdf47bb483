"""rl-zoo3 with cardqn in it: importing this registers the algorithm, ``run`` runs the zoo's own commands."""

import argparse
import importlib
import inspect
import os
import pydoc
import random
import runpy
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import optuna
import yaml
from rl_zoo3 import ALGOS, exp_manager, get_latest_run_id, utils
from rl_zoo3.exp_manager import ExperimentManager
from rl_zoo3.hyperparams_opt import HYPERPARAMS_CONVERTER, HYPERPARAMS_SAMPLER
from rl_zoo3.utils import get_model_path
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv

import sb3_cardqn
from sb3_cardqn import trust
from sb3_cardqn.cardqn import CarDQN
from sb3_cardqn.common.training_clock import TrainingClock
from sb3_cardqn.common.vec_env import GroupedSubprocVecEnv
from sb3_cardqn.errors import UserError, did_you_mean
from sb3_cardqn.seeds import TRAINING_SEEDS, VALIDATION_SEEDS

# command -> module and function; without a function the module is a script
COMMANDS = {
    "train": ("rl_zoo3.train", "train"),
    "enjoy": ("rl_zoo3.enjoy", "enjoy"),
    "record_video": ("rl_zoo3.record_video", None),
    "plot_train": ("rl_zoo3.plots.plot_train", "plot_train"),
    "plot_from_file": ("rl_zoo3.plots.plot_from_file", "plot_from_file"),
    "all_plots": ("rl_zoo3.plots.all_plots", "all_plots"),
    "load_from_hub": ("rl_zoo3.load_from_hub", None),
    "push_to_hub": ("rl_zoo3.push_to_hub", None),
}
# commands that load a trained agent from a folder of runs
_PLAYERS = ("enjoy", "record_video", "push_to_hub")

_NO_LIMIT = 10**12  # agent steps; with --minutes the clock comes first

# what a zoo configuration may hold besides the algorithm's constructor arguments
_ZOO_KEYS = {
    "callback", "env_kwargs", "env_wrapper", "frame_stack", "monitor_kwargs", "n_envs", "n_timesteps",
    "noise_std", "noise_type", "normalize", "vec_env_wrapper",
}  # fmt: skip


def hyperparams_path(algo: str, env_id: str) -> str | None:
    """
    Find this package's hyperparameters, in an installed wheel or in a checkout.

    :param algo: name of an algorithm, such as "dqn"
    :param env_id: id of an environment, such as "CarRacing-v3"
    :return: path of the YAML file if it has an entry for that environment, else None: the zoo's own
    """
    package = Path(__file__).parent
    folder = package / "hyperparams" if (package / "hyperparams").is_dir() else package.parent / "hyperparams"
    path = folder / f"{algo}.yml"
    if not path.is_file():
        return None
    entries = yaml.safe_load(path.read_text())
    return str(path) if env_id in entries or "default" in entries else None


def check_hyperparameters(algo: str, names: list[str]) -> None:
    """
    :param algo: name of an algorithm of the zoo
    :param names: of its hyperparameters, or of what else a zoo configuration may hold
    :raises UserError: if one is unknown
    """
    known = [*inspect.signature(ALGOS[algo]).parameters, *_ZOO_KEYS]
    for name in names:
        if name not in known:
            raise UserError(f"unknown hyperparameter '{name}' for {algo}{did_you_mean(name, known)}")


class SameTracks(BaseCallback):
    """
    Seed the evaluation environment before each evaluation, so that scores of checkpoints can be compared.

    :param evaluation: the callback that comes right after this one
    """

    def __init__(self, evaluation: EvalCallback) -> None:
        super().__init__()
        self.evaluation = evaluation

    def _on_step(self) -> bool:
        if self.n_calls % self.evaluation.eval_freq == 0:
            self.evaluation.eval_env.seed(VALIDATION_SEEDS.start)
        return True


class CarExperimentManager(ExperimentManager):
    """
    The zoo's ExperimentManager with this package's hyperparameters, and tracks of their own to evaluate on.

    ``learned`` says whether any training has begun in this process; ``own_options`` are those of ``train``
    that the zoo does not have, and go to args.yml with the zoo's.

    :param args: parsed command line
    :param algo: name of the algorithm
    :param env_id: id of the environment
    :param rest: as the zoo's
    :param config: configuration file; this package's if None, or the zoo's where this package has none
    :param kwargs: as the zoo's
    """

    learned: ClassVar[bool] = False
    own_options: ClassVar[dict[str, Any]] = {"run_id": None, "minutes": None}

    def __init__(
        self,
        args: argparse.Namespace,
        algo: str,
        env_id: str,
        *rest: Any,
        config: str | None = None,
        **kwargs: Any,
    ) -> None:
        config = config or hyperparams_path(algo, env_id)
        super().__init__(args, algo, env_id, *rest, config=config, **kwargs)  # type: ignore[misc]
        vars(args).update(self.own_options)
        if self.own_options["run_id"] is not None:
            self.save_path = f"{self.log_path}{self.env_name}_{self.own_options['run_id']}"
            self.params_path = f"{self.save_path}/{self.env_name}"
            if Path(self.save_path).exists():
                raise UserError(f"--run-id {self.own_options['run_id']}: '{self.save_path}' exists already")
        if self.own_options["minutes"] is not None:
            self.n_timesteps = _NO_LIMIT
        if self.vec_env_class is SubprocVecEnv:
            # one core is the learner's
            self.vec_env_class = GroupedSubprocVecEnv
            self.vec_env_kwargs = {"n_processes": max((os.cpu_count() or 1) - 1, 1)}

    def setup_experiment(self) -> tuple[BaseAlgorithm, dict[str, Any]] | None:
        """
        Set up environments and model; a run folder is left only if that worked.

        :return: model and hyperparameters, or None before an optimization
        :raises UserError: if training is to go on from an agent that nobody vouches for, see ``trust``
        """
        trust.remember_what_is_saved()
        if self.continue_training:
            agent = Path(self.trained_agent)
            trust.require_run(agent.parent / self.env_name, agent, agent.parent / "replay_buffer.pkl")
        try:
            return super().setup_experiment()
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Remove the folder of a run that never began: it would be the newest one for enjoy."""
        shutil.rmtree(self.save_path, ignore_errors=True)

    def create_log_folder(self) -> None:
        """Make the run's folder, another one if a run that was started at the same time has made it."""
        while True:
            try:
                os.makedirs(self.save_path)
                break
            except FileExistsError:
                run_id = get_latest_run_id(self.log_path, self.env_name) + 1
                self.save_path = os.path.join(self.log_path, f"{self.env_name}_{run_id}")
                self.params_path = f"{self.save_path}/{self.env_name}"
        super().create_log_folder()

    def learn(self, model: BaseAlgorithm) -> None:
        """
        :param model: from ``setup_experiment``
        """
        CarExperimentManager.learned = True
        super().learn(model)

    def _save_config(self, saved_hyperparams: dict[str, Any]) -> None:
        super()._save_config(saved_hyperparams)
        trust.remember(*(Path(self.params_path) / name for name in ("config.yml", "args.yml")))

    def create_callbacks(self) -> None:
        """Time the training, and let every evaluation drive the same validation tracks; the zoo's go on."""
        super().create_callbacks()
        evaluation = next((x for x in self.callbacks if isinstance(x, EvalCallback)), None)
        if not self.optimize_hyperparameters:
            minutes = self.own_options["minutes"]
            clock = TrainingClock(Path(self.save_path), evaluation, minutes, self.n_evaluations or 20)
            self.callbacks.append(clock)
        if evaluation is not None:
            self.callbacks.remove(evaluation)
            self.callbacks += [SameTracks(evaluation), evaluation]

    def _preprocess_hyperparams(self, hyperparams: dict[str, Any]) -> Any:
        self.eval_env_wrapper = utils.get_wrapper_class(hyperparams)
        result = super()._preprocess_hyperparams(hyperparams)
        buffer = hyperparams.get("replay_buffer_kwargs", {})
        if "n_steps" in buffer and "gamma" in hyperparams:
            buffer["gamma"] = hyperparams["gamma"]  # also where -params changed it
        return result

    def read_hyperparameters(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """
        Read the configuration and what ``-params`` changes in it.

        :return: hyperparameters, and the same as they will be saved
        :raises UserError: if a name is unknown
        """
        hyperparams, saved_hyperparams = super().read_hyperparameters()
        check_hyperparameters(self.algo, list(hyperparams))
        return hyperparams, saved_hyperparams

    def create_envs(self, n_envs: int, eval_env: bool = False, no_log: bool = False) -> VecEnv:
        """
        Make the environments; the zoo would evaluate on the tracks, and with the lessons, it trains on.

        :param n_envs: how many
        :param eval_env: for evaluation: seeded from the validation range
        :param no_log: write no monitor files
        :return: vectorized, wrapped environment
        :raises UserError: if the seed is not a training seed
        """
        training_seed, training_wrapper = self.seed, self.env_wrapper
        on_tracks = self.env_name.gym_id.startswith("CarRacing")
        if on_tracks and not eval_env and training_seed + n_envs > TRAINING_SEEDS.stop:
            raise UserError(
                f"--seed needs 0 to {TRAINING_SEEDS.stop - n_envs} with {n_envs} environments (seeds above "
                f"are kept for validation and held-out tracks), got {training_seed}"
            )
        if eval_env:
            self.seed, self.env_wrapper = VALIDATION_SEEDS.start, self.eval_env_wrapper
        try:
            return super().create_envs(n_envs, eval_env, no_log)
        finally:
            self.seed, self.env_wrapper = training_seed, training_wrapper


def convert_cardqn_params(sampled: dict[str, Any]) -> dict[str, Any]:
    """
    Turn a trial's numbers into hyperparameters.

    :param sampled: parameters of an Optuna trial made by ``sample_cardqn_params``
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
    Draw hyperparameters for ``train -optimize``. The network stays the configuration's.

    :param trial: Optuna's
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
            "target_update_interval": trial.suggest_int("target_update_interval", 100, 20_000, log=True),
            "exploration_final_eps": trial.suggest_float("exploration_final_eps", 0.005, 0.1, log=True),
            "exploration_decay": trial.suggest_categorical(
                "exploration_decay", ["linear", "exponential", "cosine"]
            ),
            "double_q": trial.suggest_categorical("double_q", [False, True]),
        }
    )


def _without_lessons(hyperparams: dict[str, Any], key: str = "env_wrapper") -> Any:
    """
    Make the wrapper that an agent is judged with: the configuration's, without what is for training only.

    :param hyperparams: the zoo's
    :param key: where the wrappers stand in it
    :return: what the zoo's ``get_wrapper_class`` makes of the rest
    """
    wrappers = hyperparams.get(key) or []
    wrappers = wrappers if isinstance(wrappers, list) else [wrappers]
    names = [next(iter(wrapper)) if isinstance(wrapper, dict) else wrapper for wrapper in wrappers]
    judged = [
        wrapper
        for wrapper, name in zip(wrappers, names, strict=True)
        if not getattr(pydoc.locate(name) if isinstance(name, str) else name, "training_only", False)
    ]
    return exp_manager.get_wrapper_class({key: judged}, key)


def register() -> None:
    """Make cardqn known to rl-zoo3, and this package to the Python in its YAML files and ``-params``."""
    ALGOS["cardqn"] = CarDQN
    HYPERPARAMS_SAMPLER["cardqn"] = sample_cardqn_params
    HYPERPARAMS_CONVERTER["cardqn"] = convert_cardqn_params  # type: ignore[assignment]
    for reads_python in (exp_manager, utils):
        vars(reads_python)["sb3_cardqn"] = sb3_cardqn
    utils.get_wrapper_class = _without_lessons  # what enjoy and its like make environments with


register()


class _PlayedCarDQN(CarDQN):
    """What the zoo's players load: their list of off-policy algorithms, which get no buffer, is fixed."""

    @classmethod
    def load(cls, path: Any, **kwargs: Any) -> CarDQN:  # type: ignore[override]
        return CarDQN.load(path, **{"buffer_size": 1} | kwargs)


def _trusted_model_path(*args: Any) -> tuple[str, str, str]:
    name, model, run_folder = get_model_path(*args)
    trust.require_run(Path(run_folder) / args[3], Path(model))
    return name, model, run_folder


def _check(command: str, options: argparse.Namespace) -> None:
    if options.algo not in ALGOS:
        raise UserError(f"unknown algorithm '{options.algo}'{did_you_mean(options.algo, list(ALGOS))}")
    for package in options.gym_packages:
        importlib.import_module(package)
    if options.env not in gym.registry:
        raise UserError(f"unknown environment '{options.env}'{did_you_mean(options.env, list(gym.registry))}")
    if (
        command in _PLAYERS
        and options.exp_id == 0
        and not get_latest_run_id(f"{options.folder}/{options.algo}", options.env)
    ):
        raise UserError(
            f"no run of {options.algo} on {options.env} in folder '{options.folder}', "
            f"train one with: sb3-cardqn train --algo {options.algo} --env {options.env}"
        )


def _manager(argv: list[str], resumed: Path | None) -> tuple[Any, list[str]]:
    """
    :param argv: of ``train``
    :param resumed: folder of a run that goes on
    :return: who manages the training, and ``argv`` without what the zoo does not know
    :raises UserError: if ``--checkpoint-freq`` or ``--minutes`` is out of range
    """
    parser = argparse.ArgumentParser(prog="sb3-cardqn train", add_help=False, allow_abbrev=False)
    parser.add_argument("--checkpoint-freq", type=int)
    parser.add_argument("--run-id", type=int)
    parser.add_argument("--minutes", type=float)
    options, zoo_argv = parser.parse_known_args(argv)
    if options.minutes is not None and options.minutes <= 0:
        raise UserError(f"--minutes needs a number above 0, got {options.minutes}")
    run_id = options.run_id if resumed is None else None  # one that goes on has its folder
    CarExperimentManager.own_options = {"run_id": run_id, "minutes": options.minutes}
    if options.checkpoint_freq is None:
        return CarExperimentManager, zoo_argv
    if options.checkpoint_freq < 1:
        raise UserError(f"--checkpoint-freq needs 1 or more agent steps, got {options.checkpoint_freq}")
    from sb3_cardqn.resume import ResumableExperimentManager  # builds on this module

    manager = partial(
        ResumableExperimentManager, checkpoint_freq=options.checkpoint_freq, argv=argv, resumed=resumed
    )
    return manager, zoo_argv


def run(command: str, argv: list[str], resumed: Path | None = None) -> None:
    """
    Run one of the zoo's commands in this process, with cardqn known to it.

    The defaults differ from the zoo's in three ways: ``--algo`` is cardqn and ``--env`` CarRacing-v3, agents
    are looked for where ``train`` puts them, and ``--seed`` is drawn from the training seeds.

    :param command: a key of ``COMMANDS``
    :param argv: what follows it on the command line
    :param resumed: for ``train``: folder of the run that goes on; ``sb3_cardqn.resume`` gives it
    :raises UserError: if a name in it is not known
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--algo", default="cardqn")
    parser.add_argument("--env", default="CarRacing-v3")
    parser.add_argument("-f", "--folder", default="logs")
    parser.add_argument("--seed", type=int, default=-1)
    parser.add_argument("--exp-id", type=int, default=0)
    parser.add_argument("--gym-packages", nargs="+", default=[])
    asks_for_help = "-h" in argv or "--help" in argv
    if command in (*_PLAYERS, "train", "load_from_hub") and not asks_for_help:
        options, _ = parser.parse_known_args(argv)
        if command != "load_from_hub":
            _check(command, options)
        argv = ["--algo", options.algo, "--env", options.env, *argv]
        if command == "train":
            if options.seed < 0:  # the zoo would draw from all there are
                argv = [*argv, "--seed", str(random.SystemRandom().choice(TRAINING_SEEDS[:-1000]))]
        else:
            argv = ["-f", options.folder, *argv]
    if command in _PLAYERS:
        ALGOS["cardqn"] = _PlayedCarDQN
        vars(utils)["get_model_path"] = _trusted_model_path
    if command.endswith("_hub") and not asks_for_help:
        from sb3_cardqn import hub  # which builds on this module

        hub.mend(command, options)

    manager = None
    if command == "train":
        manager, argv = _manager(argv, resumed)
    module_name, function = COMMANDS[command]
    sys.argv = [f"sb3-cardqn {command}", *argv]
    if function is None:
        runpy.run_module(module_name, run_name="__main__")
        return
    module: Any = importlib.import_module(module_name)
    if manager is not None:
        module.ExperimentManager = manager
    getattr(module, function)()
