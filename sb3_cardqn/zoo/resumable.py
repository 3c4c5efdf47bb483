"""ResumableExperimentManager: training runs of the zoo with checkpoints, from which they resume exactly."""

import argparse
import contextlib
import inspect
import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from huggingface_sb3 import EnvironmentName
from rl_zoo3 import ALGOS
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from sb3_cardqn import trust
from sb3_cardqn.checkpoint.exact import ExactCheckpoint, Stopped
from sb3_cardqn.checkpoint.resumable_episode import ResumableEpisode
from sb3_cardqn.durable import read_file, sync_file, sync_folder, write_file, write_text
from sb3_cardqn.errors import UserError
from sb3_cardqn.zoo.clock import StepsBar
from sb3_cardqn.zoo.experiment import CarExperimentManager
from sb3_cardqn.zoo.trained_on import TrainedOn

CHECKPOINTS, DONE = "checkpoints", ".checkpoints-done"  # in the run folder
# command line and configuration of the run: in CHECKPOINTS; of a finished run beside the zoo's config.yml
COMMAND, _CONFIG = "command.json", "hyperparams.yml"
# in CHECKPOINTS, copies: of the zip of a finished run that is trained on, of the file of train -i
_TRAINED, _START = "trained.zip", "start"


def checkpoints_of(folder: Path) -> list[int]:
    """
    :param folder: run folder
    :return: agent steps of its checkpoints, in no order
    """
    names = [
        path.stem.removeprefix("checkpoint-") for path in (folder / CHECKPOINTS).glob("checkpoint-*.json")
    ]
    return [int(name) for name in names if name.isdecimal()]


def _zip_to_train_on(folder: Path, env_id: str) -> Path:
    """
    :param folder: folder of a finished run that is trained on
    :param env_id: id of its environment
    :return: zip to start from; once there are checkpoints a copy, because a crash can interrupt the writing
        of the run's own at the end
    """
    copy = folder / CHECKPOINTS / _TRAINED
    return copy if copy.is_file() and checkpoints_of(folder) else folder / f"{EnvironmentName(env_id)}.zip"


def agent_to_start_from(folder: Path, options: argparse.Namespace) -> str:
    """
    :param folder: folder of a run to resume
    :param options: options of its ``train``
    :return: agent for ``-i``: the zip of a finished run, the copy of the file from which the run started, or
        what its command says
    """
    if options.trained_on:
        return str(_zip_to_train_on(folder, options.env))
    return str(next((folder / CHECKPOINTS).glob(f"{_START}.*"), options.trained_agent))


class ResumableExperimentManager(CarExperimentManager):
    """
    The zoo's ExperimentManager with checkpoints, for a new or a resumed run.

    :param args: parsed command line
    :param rest: further arguments of ``CarExperimentManager``
    :param checkpoint_freq: agent steps between checkpoints
    :param argv: command line, saved for ``resume``
    :param resumed: folder of a run to resume; None for a new run
    :param trained_on: for a resumed run with a new budget: agent steps of the finished run that it trains on,
        or 0 if the run had not finished
    :param kwargs: keyword arguments of ``CarExperimentManager``
    """

    def __init__(
        self,
        args: argparse.Namespace,
        *rest: Any,
        checkpoint_freq: int,
        argv: list[str],
        resumed: Path | None,
        trained_on: int | None,
        **kwargs: Any,
    ) -> None:
        kept = [] if resumed is None else [resumed / CHECKPOINTS / _CONFIG, *resumed.glob(f"[!.]*/{_CONFIG}")]
        config = next((path for path in kept if path.exists()), None)
        if config is not None:
            kwargs["config"] = str(config)
        super().__init__(args, *rest, **kwargs)
        self.checkpoint_freq, self.argv, self.resumed = checkpoint_freq, argv, resumed
        self.is_locked = False
        self.trained_on, self.has_new_budget = trained_on or None, trained_on is not None
        if resumed is not None:
            self.save_path = str(resumed)
            self.params_path = str(resumed / self.env_name)
        if self.optimize_hyperparameters:
            raise UserError(
                "--checkpoint-freq needs a single training run, got -optimize (its study resumes by itself)"
            )
        if not issubclass(ALGOS[self.algo], OffPolicyAlgorithm):
            raise UserError(
                "--checkpoint-freq needs an off-policy algorithm, such as dqn, qrdqn or cardqn, got "
                f"{self.algo}"
            )

    def create_log_folder(self) -> None:
        """Create the run folder; a resumed run keeps its folder."""
        if self.resumed is None:
            super().create_log_folder()

    def create_callbacks(self) -> None:
        """Add the checkpoint to the callbacks."""
        super().create_callbacks()
        self.checkpoint = ExactCheckpoint(
            Path(self.save_path, CHECKPOINTS),
            self.checkpoint_freq,
            resume=True,
            how_to_resume=f"sb3-cardqn resume {shlex.quote(self.save_path)}",
            verbose=self.verbose,
        )
        self.checkpoint.new_budget = self.has_new_budget
        self.checkpoint.lock()
        self.is_locked = True
        # left if the process was killed while removing it
        shutil.rmtree(Path(self.save_path, DONE), ignore_errors=True)
        self.callbacks.insert(0, self.checkpoint)  # before the clock, which does not count reading it
        if self.trained_on is not None:
            self.callbacks.insert(0, TrainedOn(self.trained_on, self.clock))

    def create_envs(self, n_envs: int, eval_env: bool = False, no_log: bool = False) -> VecEnv:
        """
        :param n_envs: number of environments
        :param eval_env: True for environments of an evaluation
        :param no_log: True to write no monitor files
        :return: vectorized, wrapped environment; for training, with resumable episodes
        """
        if eval_env:
            return super().create_envs(n_envs, eval_env, no_log)
        if self.trained_on is not None or checkpoints_of(self.checkpoint.folder.parent):
            self.monitor_kwargs = {**(self.monitor_kwargs or {}), "override_existing": False}
        wrapper = self.env_wrapper
        self.env_wrapper = lambda env: ResumableEpisode(env if wrapper is None else wrapper(env))
        try:
            return super().create_envs(n_envs, eval_env, no_log)
        finally:
            self.env_wrapper = wrapper

    def _load_pretrained_agent(self, hyperparams: dict[str, Any], env: VecEnv) -> BaseAlgorithm:
        if self.trained_on is not None:
            # as in a new run, the first learning_starts agent steps only fill the replay buffer
            default = inspect.signature(ALGOS[self.algo]).parameters["learning_starts"].default
            hyperparams["learning_starts"] = hyperparams.get("learning_starts", default) + self.trained_on
        return super()._load_pretrained_agent(hyperparams, env)

    def _save_config(self, saved_hyperparams: dict[str, Any]) -> None:
        self.checkpoint.more_settings = {
            **saved_hyperparams,
            "env_kwargs": self.env_kwargs,
            "n_timesteps": self.n_timesteps,
            "minutes": self.minutes,
        }
        if self.resumed is None:
            super()._save_config(saved_hyperparams)
            if self.args.storage is not None:  # another trial may be the best when the run resumes
                self.argv = [*self.argv, "--trial-id", str(self.args.trial_id)]
        if self.resumed is None or self.has_new_budget:
            self._keep_command(self.checkpoint.folder, self.argv)
        start = Path(self.trained_agent if self.continue_training else self.start)
        if start.suffix in (".zip", ".safetensors") and start.is_file():
            copy = self.checkpoint.folder / (_TRAINED if self.trained_on else f"{_START}{start.suffix}")
            if not copy.exists():
                write_file(copy, lambda file: file.write(read_file(start)))

    def _keep_command(self, folder: Path, argv: list[str]) -> None:
        """
        :param folder: folder for what ``resume`` needs to know
        :param argv: command line to keep there, with the configuration
        """
        contents = self.configuration.contents
        if contents:
            write_file(folder / _CONFIG, lambda file: file.write(contents))
            # a file from elsewhere stays one: only the entry that was used has been checked
            if trust.may_run(Path(self.configuration.source), contents):
                trust.remember(folder / _CONFIG)
        write_text(folder / COMMAND, json.dumps(argv))
        trust.remember(folder / COMMAND)

    def discard(self) -> None:
        """Remove the folder of a run that never started; a resumed run keeps its folder."""
        if self.resumed is None:
            super().discard()
        elif self.is_locked and not (self.resumed / CHECKPOINTS / COMMAND).exists():  # a finished run
            shutil.rmtree(self.resumed / CHECKPOINTS, ignore_errors=True)

    def learn(self, model: BaseAlgorithm) -> None:
        """
        :param model: model of ``setup_experiment``
        """
        try:
            super().learn(model)
        finally:
            for callback in self.callbacks:  # the zoo ends the first one only
                if isinstance(callback, StepsBar):
                    callback.on_training_end()

    def save_trained_model(self, model: BaseAlgorithm) -> None:
        """
        Save the agent, and remove the checkpoints if it has used up its budget.

        :param model: model after learning, or after a second Ctrl-C
        """
        super().save_trained_model(model)
        if model.num_timesteps < model._total_timesteps:
            if self.checkpoint.signal is not None:  # for the zoo, a second Ctrl-C is the end of training
                print(f"stopped; resume with: {self.checkpoint.how_to_resume}", file=sys.stderr)
                raise Stopped(128 + self.checkpoint.signal)
            return
        if self.has_new_budget:
            with Path(self.params_path, "command.txt").open("a") as commands:
                commands.write(f"\n{self.checkpoint.how_to_resume} -n {self.args.n_timesteps}")
        self._keep_command(Path(self.params_path), [*self.argv, "--trained-on", str(model.num_timesteps)])
        for folder in (Path(self.params_path), Path(self.save_path)):  # what the zoo and SB3 have written
            for path in folder.iterdir():
                if path.is_file():
                    with contextlib.suppress(PermissionError):  # a file of the user's
                        sync_file(path)
            sync_folder(folder)
        # rename first: with only some checkpoints removed, a finished run would look like a new one
        done = self.checkpoint.folder.with_name(DONE)
        shutil.rmtree(done, ignore_errors=True)
        self.checkpoint.folder.rename(done)
        sync_folder(done.parent)
        shutil.rmtree(done)
