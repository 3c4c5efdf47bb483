"""The gallery of failures: training runs on CartPole-v1, and a diary of each."""

import tempfile
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.env_util import make_vec_env

from sb3_cardqn import CarDQN, ExactCheckpoint, ResumableEpisode


class Diary(BaseCallback):
    """Notes returns, epsilon and Q, each with the agent steps since the first note."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.episodes: list[tuple[int, float]] = []
        self.rates: list[tuple[int, float]] = []
        self.values: list[tuple[int, float]] = []

    def _on_step(self) -> bool:
        self.now += self.training_env.num_envs
        for info in self.locals["infos"]:
            if "episode" in info:
                self.episodes.append((self.now, info["episode"]["r"]))
        self.rates.append((self.now, self.model.exploration_rate))
        return True

    def _on_rollout_start(self) -> None:
        logged = self.logger.name_to_value
        if "train/q_value" in logged:
            self.values.append((self.now, logged["train/q_value"]))


def make(
    seed: int, wrapper: type[gym.Wrapper] | None = None, **settings: Any
) -> CarDQN:
    """
    :param seed: of the training run
    :param wrapper: around each of 8 environments
    :param settings: of the agent
    :return: an agent that has not learned yet
    """
    env = make_vec_env("CartPole-v1", 8, seed=seed, wrapper_class=wrapper)
    return CarDQN("MlpPolicy", env, seed=seed, **settings)


def train(seed: int, agent_steps: int, **settings: Any) -> Diary:
    """
    :param seed: of the training run
    :param agent_steps: budget
    :param settings: as of ``make``
    :return: notes of the run
    """
    diary = Diary()
    make(seed, **settings).learn(agent_steps, diary)
    return diary


class _Stop(BaseCallback):
    """Ends the training run."""

    at = 0  # agent steps; an attribute of the class, so no checkpoint restores it

    def _on_step(self) -> bool:
        return self.num_timesteps < self.at


def stop_and_resume(half: int, **settings: Any) -> Diary:
    """
    Learn, stop 80 agent steps after a checkpoint, and resume from the checkpoint.

    :param half: agent steps until the checkpoint
    :param settings: of the agent
    :return: notes of the run; those before the checkpoint were in it
    """
    with tempfile.TemporaryDirectory() as folder:
        for _Stop.at in (half + 80, 2 * half):
            diary = Diary()
            checkpoint = ExactCheckpoint(folder, half, resume=True)
            model = make(0, ResumableEpisode, **settings)
            model.learn(2 * half, CallbackList([checkpoint, diary, _Stop()]))
    return diary


def smooth(notes: list[tuple[int, float]], parts: int = 20) -> pd.DataFrame:
    """
    :param notes: agent steps, number
    :param parts: of the run, equally long
    :return: columns x and y: means over each part
    """
    x, y = np.array(notes).T
    part = np.minimum((x / x.max() * parts).astype(int), parts - 1)
    return pd.DataFrame({"x": x, "y": y}).groupby(part).mean()


def swings(kinds: dict[str, list[Diary]]) -> pd.DataFrame:
    """
    :param kinds: name to one diary per seed
    :return: a row per run: its best twentieth, its lowest since 100, its last
    """
    rows = []
    for name, diaries in kinds.items():
        for seed, diary in enumerate(diaries):
            returns = smooth(diary.episodes)["y"].round()
            since = returns[(returns > 100).cummax()]
            row = {"run": f"{name}, seed {seed}", "best": returns.max()}
            row |= {"lowest after 100": since.min(), "last": returns.iloc[-1]}
            rows.append(row)
    return pd.DataFrame(rows)


def endings(kinds: dict[str, list[Diary]]) -> pd.DataFrame:
    """
    :param kinds: name to one diary per seed
    :return: a row per kind: means over its seeds' last twentieths
    """

    def last(diaries: list[Diary], what: str) -> float:
        return np.mean(
            [smooth(getattr(diary, what))["y"].iloc[-1] for diary in diaries]
        )

    rows = [
        {"run": name, "Q": last(diaries, "values"), "return": last(diaries, "episodes")}
        for name, diaries in kinds.items()
    ]
    return pd.DataFrame(rows).round({"Q": 1, "return": 0})
