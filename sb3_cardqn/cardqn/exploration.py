"""Random actions that last: temporally-extended epsilon-greedy exploration."""

import numpy as np

ZETA = 2.0  # exponent of the distribution of durations, as in the paper


def hold(
    greedy: np.ndarray, random: np.ndarray, held: np.ndarray, starts: np.ndarray, lasts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """
    Act greedily but where a random action starts or still lasts (epsilon-z-greedy, Dabney et al. 2021).

    :param greedy: (n_envs,) greedy actions
    :param random: (n_envs,) random actions
    :param held: (2, n_envs) int64, the random actions held, and the agent steps that each still lasts
    :param starts: (n_envs,) bool, where a random action starts unless one lasts
    :param lasts: (n_envs,) agent steps, at least 1, that one lasts which starts now
    :return: (n_envs,) actions, and ``held`` of the next agent step
    """
    held_action, left = held
    starts = starts & (left == 0)
    held_action = np.where(starts, random, held_action)
    left = np.where(starts, lasts, left)
    return np.where(left > 0, held_action, greedy), np.stack([held_action, np.maximum(left - 1, 0)])
