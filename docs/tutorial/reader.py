"""What the notebooks share: budgets, a check of a reader's answers, short trainings and their plots."""

import os
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np
import torch as th
from scipy.stats import bootstrap
from stable_baselines3.common.callbacks import ConvertCallback, EveryNTimesteps
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from sb3_cardqn import CarDQN

FAST = os.environ.get("FAST") == "1"  # budgets that only show that a cell runs


def budget(ample: int, fast: int) -> int:
    """
    :param ample: agent steps, updates, seeds, ... by default
    :param fast: the same with ``FAST=1``
    :return: what this run may use
    """
    return fast if FAST else ample


def check(answer: Callable[..., Any], *cases: tuple[tuple[Any, ...], Any]) -> bool:
    """
    Try a reader's function on examples, and say what it gave for the first that is wrong.

    >>> check(lambda x: 2 * x, ((1,), 2), ((2,), 4))
    right: 2 of 2
    True

    :param answer: function to try; one that still returns None is "not answered yet"
    :param cases: pairs of arguments and what is to come out, numbers or arrays, within 1e-5
    :return: whether all were right
    """
    for i, (arguments, expected) in enumerate(cases):
        got = answer(*arguments)
        if got is None:
            print("not answered yet")
            return False
        if np.shape(got) != np.shape(expected) or not np.allclose(got, expected, atol=1e-5):
            call = f"{answer.__name__}({', '.join(map(str, arguments))})"
            print(f"not yet: {call} should be {expected}, got {got}; {i} of {len(cases)} right")
            return False
    print(f"right: {len(cases)} of {len(cases)}")
    return True


CART_POLE = {
    "learning_rate": 1e-3,
    "buffer_size": 50_000,
    "learning_starts": 500,
    "batch_size": 64,
    "train_freq": 2,
    "target_update_interval": 250,
    "exploration_fraction": 0.2,
    "exploration_final_eps": 0.04,
    "policy_kwargs": {"net_arch": [64, 64]},
}


def train_cart_pole(
    seed: int, agent_steps: int, wrapper: Callable[[gym.Env], gym.Env] | None = None, **changes: Any
) -> tuple[CarDQN, np.ndarray]:
    """
    Train CarDQN on CartPole-v1, where a training takes seconds, and drive greedily 20 times on the way.

    :param seed: of the training
    :param agent_steps: budget
    :param wrapper: around the environment that it learns in
    :param changes: to ``CART_POLE``
    :return: the agent; (20, 2) agent steps, mean length of 5 greedy episodes (500 at most)
    """
    th.set_num_threads(1)
    env = gym.make("CartPole-v1")
    judge = Monitor(gym.make("CartPole-v1"))
    agent = CarDQN("MlpPolicy", wrapper(env) if wrapper else env, seed=seed, **(CART_POLE | changes))
    judge.reset(seed=seed + 1000)
    curve = []

    def look(*_: Any) -> bool:
        curve.append((agent.num_timesteps, evaluate_policy(agent, judge, 5)[0]))
        return True

    agent.learn(agent_steps, callback=EveryNTimesteps(agent_steps // 20, ConvertCallback(look)))
    return agent, np.array(curve)


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """
    :param values: (seeds,) one number a training
    :return: their mean and its 95 % bootstrap interval, which is wide where seeds are few
    """
    values = np.asarray(values, dtype=float)
    if np.ptp(values) == 0:
        return values[0], values[0], values[0]
    low, high = bootstrap((values,), np.mean, method="percentile", rng=0).confidence_interval
    return float(values.mean()), float(low), float(high)


def plot_curves(axes: plt.Axes, curves: dict[str, list[np.ndarray]], ylabel: str) -> None:
    """
    Plot the mean over seeds of each kind of training, and each training thinly.

    :param axes: to plot on
    :param curves: name to one (n, 2) curve a seed
    :param ylabel: what is plotted
    """
    for i, (name, runs) in enumerate(curves.items()):
        for run in runs:
            axes.plot(run[:, 0], run[:, 1], color=f"C{i}", alpha=0.25, lw=0.8)
        axes.plot(
            runs[0][:, 0], np.mean([run[:, 1] for run in runs], axis=0), color=f"C{i}", lw=2, label=name
        )
    axes.set(xlabel="agent steps", ylabel=ylabel)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
