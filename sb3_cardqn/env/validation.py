"""Evaluations in training: episode i of each drives validation track i, however many environments drive."""

from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.vec_env import VecEnv

from sb3_cardqn.seeds import VALIDATION_SEEDS


class ValidationTracks(gym.Wrapper):
    """
    Drive this environment's share of the validation tracks, anew from the first at each evaluation.

    Outermost around a Monitor, whose episodes count. When an episode ends, ``info["track"]`` is its track.

    :param env: one of several that evaluate together
    :param n_envs: how many
    """

    def __init__(self, env: gym.Env, n_envs: int) -> None:
        super().__init__(env)
        self.n_envs = n_envs
        self.first = self.track = VALIDATION_SEEDS.start
        self._begins = True  # an episode

    def take_share(self, index: int) -> None:
        """
        :param index: of this environment; the last has the first track, as ``evaluate_policy`` lets the last
            drive once more where episodes cannot be shared out evenly
        """
        self.first = VALIDATION_SEEDS.start + self.n_envs - 1 - index

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """
        :param kwargs: with a ``seed``, if only None, from the reset of all environments, which begins an
            evaluation; without from the one after an episode
        :return: observation and info
        """
        if "seed" in kwargs:
            self.track, self._begins = self.first, True
        if self._begins:  # and not if only one of several lives was lost
            kwargs["seed"], self._begins = self.track, False
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """
        :param action: handed on
        :return: as the environment's
        """
        result = self.env.step(action)
        info = result[-1]
        if "episode" in info:
            info["track"] = self.track
            self.track, self._begins = self.track + self.n_envs, True
        return result


def share_out(env: VecEnv) -> VecEnv:
    """
    :param env: of ``ValidationTracks``
    :return: the same, each with its share
    """
    for i in range(env.num_envs):
        env.env_method("take_share", i, indices=i)
    return env


class ValidationCallback(EvalCallback):
    """
    SB3's, with a column of ``evaluations.npz`` for each track, in order.

    SB3 writes episodes down as they end, and of several environments any may end first.

    :param evaluation: SB3's, whose environments are ``ValidationTracks``, to take the place of
    :param folder: for ``evaluations.npz`` and ``best_model.zip``
    """

    def __init__(self, evaluation: EvalCallback, folder: str) -> None:
        super().__init__(
            evaluation.eval_env,
            callback_on_new_best=evaluation.callback_on_new_best,
            callback_after_eval=evaluation.callback,
            n_eval_episodes=evaluation.n_eval_episodes,
            eval_freq=evaluation.eval_freq,
            log_path=folder,
            best_model_save_path=folder,
            deterministic=evaluation.deterministic,
            verbose=evaluation.verbose,
        )
        self._tracks: list[int] = []  # of the latest evaluation's episodes, as they ended

    def _log_success_callback(self, locals_: dict[str, Any], globals_: dict[str, Any]) -> None:
        super()._log_success_callback(locals_, globals_)
        if locals_["done"] and "track" in locals_["info"]:
            self._tracks.append(locals_["info"]["track"])

    def _on_step(self) -> bool:
        self._tracks = []
        go_on = super()._on_step()
        if self._tracks != sorted(self._tracks):
            self._sort_columns()
        return go_on

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
