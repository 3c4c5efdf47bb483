"""ResumableExperimentManager: training runs of the zoo with checkpoints, from which they resume exactly."""

import argparse
import json
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from rl_zoo3 import ALGOS
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import ProgressBarCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from sb3_cardqn import trust
from sb3_cardqn.checkpoint.exact import ExactCheckpoint, Stopped
from sb3_cardqn.checkpoint.resumable_episode import ResumableEpisode
from sb3_cardqn.durable import sync_folder, write_file, write_text
from sb3_cardqn.errors import UserError
from sb3_cardqn.zoo.experiment import CarExperimentManager

CHECKPOINTS, DONE = "checkpoints", ".checkpoints-done"  # in the run folder
# in CHECKPOINTS: command line and configuration of the run
COMMAND, _CONFIG = "command.json", "hyperparams.yml"


class ResumableExperimentManager(CarExperimentManager):
    """
    The zoo's ExperimentManager with checkpoints, for a new or a resumed run.

    :param args: parsed command line
    :param rest: further arguments of ``CarExperimentManager``
    :param checkpoint_freq: agent steps between checkpoints
    :param argv: command line, saved for ``resume``
    :param resumed: folder of a run to resume; None for a new run
    :param kwargs: keyword arguments of ``CarExperimentManager``
    """

    def __init__(
        self,
        args: argparse.Namespace,
        *rest: Any,
        checkpoint_freq: int,
        argv: list[str],
        resumed: Path | None = None,
        **kwargs: Any,
    ) -> None:
        config = None if resumed is None else resumed / CHECKPOINTS / _CONFIG
        if config is not None and config.exists():
            kwargs["config"] = str(config)
        super().__init__(args, *rest, **kwargs)
        self.checkpoint_freq, self.argv, self.resumed = checkpoint_freq, argv, resumed
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
        self.checkpoint.lock()
        self.callbacks.append(self.checkpoint)

    def create_envs(self, n_envs: int, eval_env: bool = False, no_log: bool = False) -> VecEnv:
        """
        :param n_envs: number of environments
        :param eval_env: True for environments of an evaluation
        :param no_log: True to write no monitor files
        :return: vectorized, wrapped environment; for training, with resumable episodes
        """
        if eval_env:
            return super().create_envs(n_envs, eval_env, no_log)
        if any(self.checkpoint.folder.glob("checkpoint-*.json")):
            self.monitor_kwargs = {**self.monitor_kwargs, "override_existing": False}
        wrapper = self.env_wrapper
        self.env_wrapper = lambda env: ResumableEpisode(env if wrapper is None else wrapper(env))
        try:
            return super().create_envs(n_envs, eval_env, no_log)
        finally:
            self.env_wrapper = wrapper

    def _save_config(self, saved_hyperparams: dict[str, Any]) -> None:
        self.checkpoint.more_settings = {
            **saved_hyperparams,
            "env_kwargs": self.env_kwargs,
            "n_timesteps": self.n_timesteps,
            "minutes": self.minutes,
        }
        if self.resumed is not None:
            return
        super()._save_config(saved_hyperparams)
        folder = self.checkpoint.folder
        if self.configuration.contents:
            write_file(folder / _CONFIG, lambda file: file.write(self.configuration.contents))
            trust.remember(folder / _CONFIG)
        argv = self.argv
        if self.args.storage is not None:  # another trial may be the best when the run resumes
            argv = [*argv, "--trial-id", str(self.args.trial_id)]
        write_text(folder / COMMAND, json.dumps(argv))
        trust.remember(folder / COMMAND)

    def discard(self) -> None:
        """Remove the folder of a run that never started; a resumed run keeps its folder."""
        if self.resumed is None:
            super().discard()

    def learn(self, model: BaseAlgorithm) -> None:
        """
        :param model: model of ``setup_experiment``
        """
        try:
            super().learn(model)
        finally:
            for callback in self.callbacks:  # the zoo ends the first one only, which is now the checkpoint
                if isinstance(callback, ProgressBarCallback):
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
        agent = Path(self.save_path, f"{self.env_name}.zip")
        with agent.open("rb") as file:
            os.fsync(file.fileno())
        sync_folder(agent.parent)
        # rename first: with only some checkpoints removed, a finished run would look like a new one
        done = self.checkpoint.folder.with_name(DONE)
        shutil.rmtree(done, ignore_errors=True)
        self.checkpoint.folder.rename(done)
        sync_folder(done.parent)
        shutil.rmtree(done)
