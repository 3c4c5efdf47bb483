"""Validation tracks during training: episode i of every evaluation drives track i, for any number of envs."""

import shutil
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.vec_env import VecEnv

from sb3_cardqn.durable import sync_file, write_file
from sb3_cardqn.seeds import VALIDATION_SEEDS
from sb3_cardqn.zoo.run_names import BEST_AGENT, BEST_STATISTICS, STATISTICS


class ValidationTracks(gym.Wrapper):
    """
    Drive this environment's share of the validation tracks, from the first again at every evaluation.

    It is the outermost wrapper around a Monitor, whose episodes count. When an episode ends,
    ``info["track"]`` holds its track.

    :param env: one of the environments that evaluate together
    :param n_envs: number of these environments
    """

    def __init__(self, env: gym.Env, n_envs: int) -> None:
        super().__init__(env)
        self.n_envs = n_envs
        self.first = self.track = VALIDATION_SEEDS.start
        self._begins = True  # the next reset begins an episode

    def take_share(self, index: int) -> None:
        """
        :param index: position of this environment; the last one starts with the first track, because
            ``evaluate_policy`` gives the extra episodes to the last environments
        """
        self.first = VALIDATION_SEEDS.start + self.n_envs - 1 - index

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """
        :param kwargs: contains ``seed``, possibly None, if the whole vector is reset, which begins an
            evaluation; does not contain it after an episode
        :return: observation and info
        """
        if "seed" in kwargs:
            self.track, self._begins = self.first, True
        if self._begins:  # not after losing one of several lives
            kwargs["seed"], self._begins = self.track, False
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """
        :param action: passed on
        :return: the environment's step
        """
        result = self.env.step(action)
        info = result[-1]
        if "episode" in info:
            info["track"] = self.track
            self.track, self._begins = self.track + self.n_envs, True
        return result


def share_out(env: VecEnv) -> VecEnv:
    """
    :param env: vector of ``ValidationTracks``
    :return: the same vector; each environment knows its share
    """
    for i in range(env.num_envs):
        env.env_method("take_share", i, indices=i)
    return env


def evaluates(evaluation: EvalCallback) -> bool:
    """
    :param evaluation: callback that has been called
    :return: True if it evaluated in this call, by SB3's rule
    """
    return evaluation.eval_freq > 0 and evaluation.n_calls % evaluation.eval_freq == 0


class ValidationCallback(EvalCallback):
    """
    SB3's ``EvalCallback`` with one column of ``evaluations.npz`` per track, in the order of the tracks.

    SB3 orders the columns by when episodes end, which varies with several environments, and writes its files
    in place, where a crash or a full disk would leave half a file.

    :param evaluation: callback to replace, whose environments are ``ValidationTracks``
    :param folder: folder of ``evaluations.npz`` and ``best_model.zip``
    """

    def __init__(self, evaluation: EvalCallback, folder: str) -> None:
        # SB3 writes to a folder beside the files
        self.folder, self._beside = Path(folder), Path(folder, ".evaluation")
        super().__init__(
            evaluation.eval_env,
            callback_on_new_best=evaluation.callback_on_new_best,
            callback_after_eval=evaluation.callback,
            n_eval_episodes=evaluation.n_eval_episodes,
            eval_freq=evaluation.eval_freq,
            log_path=str(self._beside),
            best_model_save_path=str(self._beside),
            deterministic=evaluation.deterministic,
            verbose=evaluation.verbose,
        )
        self._tracks: list[int] = []  # tracks of the latest evaluation, in the order its episodes ended

    def _init_callback(self) -> None:
        shutil.rmtree(self._beside, ignore_errors=True)  # half a file, of a run that was killed
        super()._init_callback()

    def _log_success_callback(self, locals_: dict[str, Any], globals_: dict[str, Any]) -> None:
        super()._log_success_callback(locals_, globals_)
        if locals_["done"] and "track" in locals_["info"]:
            self._tracks.append(locals_["info"]["track"])

    def evaluate_next(self, due: bool) -> None:
        """
        :param due: True to evaluate at the next agent step, False not to
        """
        self.eval_freq = self.n_calls + 1 if due else 0

    def _on_step(self) -> bool:
        self._tracks = []
        go_on = super()._on_step()
        if self._tracks != sorted(self._tracks):
            self._sort_columns()
        if evaluates(self):
            for path in self._beside.iterdir():
                sync_file(path)  # else a power cut after the next checkpoint can lose the best agent
                path.replace(self.folder / path.name)
                if path.name == BEST_AGENT:
                    self._keep_statistics()
        return go_on

    def _keep_statistics(self) -> None:
        newest = Path(getattr(self.callback_on_new_best, "save_path", self.folder), STATISTICS)
        if (
            newest.is_file()
        ):  # of VecNormalize; at the end of training the zoo replaces them with the last ones
            write_file(newest.with_name(BEST_STATISTICS), lambda file: file.write(newest.read_bytes()))

    def _on_training_end(self) -> None:
        shutil.rmtree(self._beside, ignore_errors=True)

    def _sort_columns(self) -> None:
        assert self.log_path is not None
        order = np.argsort(self._tracks)
        written: list[list[list[Any]]] = [self.evaluations_results, self.evaluations_length]
        if self.evaluations_successes:
            written.append(self.evaluations_successes)
        for rows in written:
            rows[-1] = [rows[-1][i] for i in order]
        names = ("results", "ep_lengths", "successes")
        arrays: dict[str, Any] = dict(zip(names, written, strict=False))
        np.savez(self.log_path, timesteps=self.evaluations_timesteps, **arrays)
