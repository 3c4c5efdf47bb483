"""Trainings through the zoo that go on after whatever stopped them: checkpoints in the run's folder."""

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

CHECKPOINTS, DONE = "checkpoints", ".checkpoints-done"  # in the run's folder
# in there: what the run was started with
COMMAND, _CONFIG = "command.json", "hyperparams.yml"


class ResumableExperimentManager(CarExperimentManager):
    """
    The zoo's ExperimentManager with checkpoints, for a new run or for one that goes on.

    :param args: parsed command line
    :param rest: as the zoo's
    :param checkpoint_freq: agent steps between checkpoints
    :param argv: the command line, with which ``resume`` starts again
    :param resumed: folder of the run that goes on; None begins a new one
    :param kwargs: as the zoo's
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
                "--checkpoint-freq is for one training, not for -optimize, whose study goes on itself"
            )
        if not issubclass(ALGOS[self.algo], OffPolicyAlgorithm):
            raise UserError(
                "--checkpoint-freq needs an algorithm with a replay buffer, such as dqn, qrdqn or cardqn, "
                f"got {self.algo}"
            )

    def create_log_folder(self) -> None:
        """Leave the folder of a run that goes on as it is."""
        if self.resumed is None:
            super().create_log_folder()

    def create_callbacks(self) -> None:
        """Put the checkpoint before all other callbacks, as it needs to be."""
        super().create_callbacks()
        self.checkpoint = ExactCheckpoint(
            Path(self.save_path, CHECKPOINTS),
            self.checkpoint_freq,
            resume=True,
            how_to_resume=f"sb3-cardqn resume {shlex.quote(self.save_path)}",
            verbose=self.verbose,
        )
        self.checkpoint.lock()
        self.callbacks.insert(0, self.checkpoint)

    def create_envs(self, n_envs: int, eval_env: bool = False, no_log: bool = False) -> VecEnv:
        """
        :param n_envs: how many
        :param eval_env: for evaluation
        :param no_log: write no monitor files
        :return: as the zoo's; those for training remember their running episodes
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
        if self.args.storage is not None:  # another trial may be the best by then
            argv = [*argv, "--trial-id", str(self.args.trial_id)]
        write_text(folder / COMMAND, json.dumps(argv))
        trust.remember(folder / COMMAND)

    def discard(self) -> None:
        """Leave the folder of a run that goes on, whatever went wrong."""
        if self.resumed is None:
            super().discard()

    def learn(self, model: BaseAlgorithm) -> None:
        """
        :param model: from ``setup_experiment``
        """
        try:
            super().learn(model)
        finally:
            for callback in self.callbacks:  # the zoo ends the first only, which was the progress bar
                if isinstance(callback, ProgressBarCallback):
                    callback.on_training_end()

    def save_trained_model(self, model: BaseAlgorithm) -> None:
        """
        Save the agent; if it has reached its budget, its checkpoints have done their work.

        :param model: that has learned, or was interrupted by a second Ctrl-C
        """
        super().save_trained_model(model)
        if model.num_timesteps < model._total_timesteps:
            if self.checkpoint.signal is not None:  # the zoo takes a second Ctrl-C for the end
                print(f"stopped; go on with: {self.checkpoint.how_to_resume}", file=sys.stderr)
                raise Stopped(128 + self.checkpoint.signal)
            return
        agent = Path(self.save_path, f"{self.env_name}.zip")
        with agent.open("rb") as file:
            os.fsync(file.fileno())
        sync_folder(agent.parent)
        # all at once: with some of them gone, the finished run would look like one that has just begun
        done = self.checkpoint.folder.with_name(DONE)
        shutil.rmtree(done, ignore_errors=True)
        self.checkpoint.folder.rename(done)
        sync_folder(done.parent)
        shutil.rmtree(done)
