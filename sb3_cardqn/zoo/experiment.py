"""CarExperimentManager: the zoo's training run with this package's hyperparameters, tracks and clock."""

import argparse
import contextlib
import copy
import os
import shlex
import shutil
import sys
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from rl_zoo3 import ALGOS
from rl_zoo3.exp_manager import ExperimentManager
from rl_zoo3.hyperparams_opt import HYPERPARAMS_SAMPLER
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import EvalCallback, ProgressBarCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.type_aliases import TrainFrequencyUnit
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv

from sb3_cardqn import trust
from sb3_cardqn.cardqn import CarDQN
from sb3_cardqn.checks import check_normalized
from sb3_cardqn.env.task import CarRacingTask, task_of
from sb3_cardqn.env.vec_env import GroupedSubprocVecEnv
from sb3_cardqn.errors import UserError
from sb3_cardqn.hardware import n_cores
from sb3_cardqn.policy_file.start import load_weights
from sb3_cardqn.python_text import PYTHON_KEYS, code_in
from sb3_cardqn.replaced import replaced
from sb3_cardqn.replay.buffers import FrameReplayBuffer
from sb3_cardqn.seeds import TRAINING_SEEDS
from sb3_cardqn.zoo.clock import TrainingClock, bar_of, by_the_clock, print_time_to
from sb3_cardqn.zoo.configuration import (
    checked_hyperparams,
    choose_policy,
    explored,
    hyperparams_path,
    judged_wrapper_class,
    read_configuration,
)
from sb3_cardqn.zoo.run_names import give_zoos_name, parse_name, statistics_file
from sb3_cardqn.zoo.settings import run_python
from sb3_cardqn.zoo.studies import find_trial, hyperparams_of
from sb3_cardqn.zoo.validation import ValidationCallback, ValidationTracks, share_out

_NO_LIMIT = 10**12  # agent steps; with --minutes the clock stops the run earlier
_NO_AGENT = f"{os.devnull}/none"  # with "", the zoo would load a vecnormalize.pkl of the current folder


def _check_first_step(algo: str, made: tuple[BaseAlgorithm, dict[str, Any]] | None) -> None:
    model = made[0] if made is not None else None
    if not isinstance(model, OffPolicyAlgorithm):
        return
    train_freq: Any = model.train_freq
    if train_freq.unit == TrainFrequencyUnit.EPISODE and model.n_envs > 1:
        raise UserError(
            f"train_freq in episodes needs n_envs: 1, got train_freq {train_freq.frequency} episode(s) with "
            f"n_envs {model.n_envs}"
        )
    buffer = model.replay_buffer
    if model.env is not None:
        check_normalized(algo, model.env, isinstance(buffer, FrameReplayBuffer))
    if isinstance(buffer, FrameReplayBuffer):
        buffer.check_memory()


class CarExperimentManager(ExperimentManager):
    """
    The zoo's ExperimentManager with this package's hyperparameters and separate validation tracks.

    :param args: parsed command line
    :param algo: name of the algorithm
    :param env_id: id of the environment
    :param rest: further arguments of the zoo's manager
    :param start: agent to start from: zip, .safetensors file or name of a shipped agent; "" for a new agent
    :param config: configuration file; None for this package's, or the zoo's if this package has none
    :param run_id: number of the run folder; None for the next free number
    :param minutes: budget in minutes of training without evaluations; None for the zoo's in agent steps
    :param kwargs: keyword arguments of the zoo's manager
    :raises UserError: if the run folder exists
    """

    def __init__(
        self,
        args: argparse.Namespace,
        algo: str,
        env_id: str,
        *rest: Any,
        start: str = "",
        config: str | None = None,
        run_id: int | None = None,
        minutes: float | None = None,
        **kwargs: Any,
    ) -> None:
        config = config or hyperparams_path(algo, env_id)
        super().__init__(args, algo, env_id, *rest, config=config, **kwargs)  # type: ignore[misc]
        # saved in args.yml with the zoo's options
        vars(args).update(trained_agent=start, run_id=run_id, minutes=minutes)
        self.trained_on: int | None = None  # agent steps of a finished run that is trained on
        self.start, self.continue_training = start, start.endswith(".zip")
        self.made_folder, self.minutes = False, minutes
        if run_id is not None:
            self.save_path = f"{self.log_path}{self.env_name}_{run_id}"
            self.params_path = f"{self.save_path}/{self.env_name}"
            if Path(self.save_path).exists():
                raise UserError(f"--run-id {run_id}: '{self.save_path}' exists already")
        if minutes is not None:
            self.n_timesteps = _NO_LIMIT
        if self.vec_env_class is SubprocVecEnv:
            # leave one core to the learner
            self.vec_env_class = GroupedSubprocVecEnv
            self.vec_env_kwargs = {"n_processes": max(n_cores() - 1, 1)}

    def setup_experiment(self) -> tuple[BaseAlgorithm, dict[str, Any]] | None:
        """
        Set up environments and model; the run folder is removed if that fails.

        :return: model and hyperparameters, or None before an optimization
        :raises UserError: if training starts from an agent that is not trusted, see ``trust``, or would fail
            at its first step
        """
        try:
            with self._private_agent(), self._schedules_by_the_clock():
                model = super().setup_experiment()
                if model is not None and self.start:
                    self._start(model[0])
            _check_first_step(self.algo, model)
        except BaseException:
            self.discard()
            raise
        if model is None:  # trials write their results elsewhere
            self.discard()
        return model

    def _schedules_by_the_clock(self) -> contextlib.AbstractContextManager[None]:
        algorithm = ALGOS[self.algo]
        if self.minutes is None or issubclass(algorithm, OffPolicyAlgorithm):
            return contextlib.nullcontext()
        return replaced(ALGOS, self.algo, by_the_clock(algorithm))

    @contextlib.contextmanager
    def _private_agent(self) -> Iterator[None]:
        if not self.continue_training:
            self.trained_agent = _NO_AGENT
            yield
            return
        agent = Path(self.start)
        statistics = statistics_file(agent, agent.parent / self.env_name)
        beside = (statistics, agent.parent / "replay_buffer.pkl")
        with trust.private_copies(agent.parent, [agent, *beside]) as private:
            give_zoos_name(private / self.env_name / statistics.name)
            self.trained_agent = str(private / agent.name)
            yield
        # the zoo makes ARS's environments again, and would read the statistics beside it unchecked
        self.trained_agent = _NO_AGENT

    def _start(self, model: BaseAlgorithm) -> None:
        if not self.continue_training:
            load_weights(model, self.start)
        elif isinstance(model, CarDQN):
            model.starts_trained = True
        with_what = "network and optimizer" if self.continue_training else "weights"
        print(f"Starting from the {with_what} of {self.start}")

    def discard(self) -> None:
        """Remove the folder of a run that never started; enjoy would take it as the newest run."""
        if self.made_folder:
            shutil.rmtree(self.save_path, ignore_errors=True)

    def create_log_folder(self) -> None:
        """Create the run folder, with the next number if a parallel run has just taken this one."""
        while True:
            try:
                os.makedirs(self.save_path)
                self.made_folder = True
                break
            except FileExistsError:
                if self.args.run_id is not None:
                    raise UserError(f"--run-id {self.args.run_id}: '{self.save_path}' exists") from None
                taken = parse_name(Path(self.save_path).name)
                assert taken is not None
                self.save_path = os.path.join(self.log_path, f"{self.env_name}_{taken.number + 1}")
                self.params_path = f"{self.save_path}/{self.env_name}"
        super().create_log_folder()

    def learn(self, model: BaseAlgorithm) -> None:
        """
        :param model: model of ``setup_experiment``
        """
        try:
            super().learn(model)
        except BaseException as error:
            if self.clock.seconds == 0:
                self.discard()
            elif isinstance(error, OSError) and not Path(self.save_path).is_dir():
                raise UserError(
                    f"the run folder '{self.save_path}' was removed, so training cannot continue"
                ) from error
            vars(error)["has_learned"] = self.clock.seconds > 0  # read by cli
            raise

    def save_trained_model(self, model: BaseAlgorithm) -> None:
        """
        Save the agent, and say how long it took to reach the environment's reward threshold.

        :param model: model after learning
        """
        super().save_trained_model(model)
        print_time_to(task_of(self.env_name.gym_id).solved, Path(self.save_path))

    def _save_config(self, saved_hyperparams: dict[str, Any]) -> None:
        super()._save_config(saved_hyperparams)
        self.saved_hyperparams = saved_hyperparams
        # quoted, unlike the zoo's, so that it can be typed again
        (Path(self.params_path) / "command.txt").write_text(shlex.join(sys.orig_argv))
        trust.remember(*(Path(self.params_path) / name for name in ("config.yml", "args.yml")))

    def create_callbacks(self) -> None:
        """Add the training clock, and make every evaluation drive the same validation tracks."""
        of_the_user = len(self.callbacks)
        super().create_callbacks()
        if self.optimize_hyperparameters:
            return
        users, zoos = self.callbacks[:of_the_user], self.callbacks[of_the_user:]
        evaluations: list[EvalCallback] = [
            ValidationCallback(callback, self.save_path)
            for callback in zoos
            if isinstance(callback, EvalCallback)
        ]
        evaluations += [callback for callback in users if isinstance(callback, EvalCallback)]
        self.clock = TrainingClock(Path(self.save_path), evaluations, self.minutes, self.n_evaluations or 20)
        others = [callback for callback in self.callbacks if not isinstance(callback, EvalCallback)]
        others = [bar_of(self.clock) if type(one) is ProgressBarCallback else one for one in others]
        self.callbacks = [*others, self.clock]

    def _preprocess_hyperparams(self, hyperparams: dict[str, Any]) -> Any:
        hyperparams = dict(hyperparams)
        for key in PYTHON_KEYS:
            if isinstance(hyperparams.get(key), str):  # trusted: ``read_hyperparameters`` has checked it
                hyperparams[key] = run_python(hyperparams[key])
        self.eval_env_wrapper = judged_wrapper_class(hyperparams)
        self.eval_vec_env_wrapper = judged_wrapper_class(hyperparams, "vec_env_wrapper")
        result = super()._preprocess_hyperparams(hyperparams)
        if self._eval_env_kwargs_args is None:  # the zoo forgets those of a file
            self.eval_env_kwargs = self.env_kwargs
        buffer = hyperparams.get("replay_buffer_kwargs") or {}
        if "n_steps" in buffer and "gamma" in hyperparams:
            buffer["gamma"] = hyperparams["gamma"]  # also if -params changed it
        return result

    def _preprocess_action_noise(
        self, hyperparams: dict[str, Any], saved_hyperparams: dict[str, Any], env: VecEnv
    ) -> dict[str, Any]:
        hyperparams = super()._preprocess_action_noise(hyperparams, saved_hyperparams, env)
        space = env.observation_space
        buffer = hyperparams.keys() & {"replay_buffer_class", "replay_buffer_kwargs"}
        if self.algo == "cardqn" and self.frame_stack and not buffer and is_image_space(space):
            hyperparams["replay_buffer_class"] = FrameReplayBuffer  # same batches, an eighth of the memory
            hyperparams["replay_buffer_kwargs"] = {"frame_channels": space.shape[0] // self.frame_stack}
            print("Storing each frame once, in a FrameReplayBuffer")
        return hyperparams

    def read_hyperparameters(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """
        Read the configuration and apply ``-params``.

        :return: hyperparameters, and a copy to save
        :raises UserError: if a name is unknown or occurs twice, or the zoo cannot use a value
        """
        print(f"Loading hyperparameters from: {self.config}")
        self.configuration = read_configuration(self.config, self.env_name.gym_id, self._is_atari)
        entry, typed = self.configuration.entry, self.custom_hyperparams or {}
        if self.n_timesteps > 0:  # the zoo also needs it in the hyperparameters
            entry.setdefault("n_timesteps", self.n_timesteps)
        if self.algo == "cardqn":
            choose_policy(self.configuration, typed, self.env_name.gym_id, self.env_kwargs)
        hyperparams = checked_hyperparams(self.algo, self.configuration, typed, self._sampled(), self.storage)
        if self.start:
            epsilon = explored(self.algo, hyperparams, asked=self.trained_on is None)
            hyperparams = dict(sorted((hyperparams | epsilon).items()))
        if "env_kwargs" in hyperparams and self.env_kwargs:
            hyperparams["env_kwargs"] = self.env_kwargs  # from the command line
        return hyperparams, OrderedDict(hyperparams)

    def _sampled(self) -> dict[str, Any]:
        """
        :return: hyperparameters of the trial of ``--storage`` and ``--study-name``; empty without them
        :raises UserError: if there is no such trial, or it contains code that is not trusted
        """
        searches = self.optimize_hyperparameters and self.trial_id is None
        if not self.storage or not self.study_name or searches:
            return {}
        print("Loading from Optuna study...")
        trial = find_trial(self.storage, self.study_name, self.trial_id)
        sampled = hyperparams_of(trial, self.algo)
        trust.require_for(code_in(sampled), Path(self.storage), self.storage.encode())
        self.args.trial_id = trial.number
        self.trial_id = None  # skips the zoo's own loading, which cannot load the best trial or number 0
        return sampled

    def create_envs(self, n_envs: int, eval_env: bool = False, no_log: bool = False) -> VecEnv:
        """
        Make environments; for evaluation with validation tracks and without training-only wrappers.

        :param n_envs: number of environments
        :param eval_env: True for environments of an evaluation
        :param no_log: True to write no monitor files
        :return: vectorized, wrapped environment
        :raises UserError: if the seed is not a training seed, or the algorithm cannot learn from them
        """
        on_tracks = isinstance(task_of(self.env_name.gym_id), CarRacingTask)
        if on_tracks and not eval_env and self.seed + n_envs > TRAINING_SEEDS.stop:
            raise UserError(
                f"--seed needs 0 to {TRAINING_SEEDS.stop - n_envs} with {n_envs} environments (higher seeds "
                f"are reserved for validation and held-out tracks), got {self.seed}"
            )
        if not eval_env:
            envs = super().create_envs(n_envs, eval_env, no_log)
            if issubclass(ALGOS[self.algo], OffPolicyAlgorithm):
                check_normalized(self.algo, envs)
            return envs
        manager = copy.copy(self)  # trials of -optimize may run in parallel threads
        judged = self.eval_env_wrapper
        manager.env_wrapper = lambda env: ValidationTracks(judged(env), n_envs)
        manager.vec_env_wrapper = self.eval_vec_env_wrapper
        return share_out(super(CarExperimentManager, manager).create_envs(n_envs, eval_env, no_log))

    def objective(self, trial: optuna.Trial) -> float:
        """
        Score a trial; the n-step returns of a replay buffer use the trial's discount factor.

        :param trial: Optuna's trial
        :return: its score
        """
        buffer = self._hyperparams.get("replay_buffer_kwargs") or {}
        if "n_steps" not in buffer:
            return super().objective(trial)
        arguments = {"using_her_replay_buffer": False, "her_kwargs": buffer}
        # A trial draws a parameter only once, so the zoo's own call returns the same value.
        gamma = HYPERPARAMS_SAMPLER[self.algo](trial, self.n_actions, self.n_envs, arguments)["gamma"]
        manager = copy.copy(self)  # trials may run in parallel threads
        manager._hyperparams = {**self._hyperparams, "replay_buffer_kwargs": {**buffer, "gamma": gamma}}
        return super(CarExperimentManager, manager).objective(trial)
