"""``sb3-cardqn bench agent``: the same agent with both pictures; results: docs/explanation/fast_render.md."""

from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from sb3_cardqn.agents.saved import TrainedAgent
from sb3_cardqn.evaluate import Drive, drive, make_env
from sb3_cardqn.evaluate.driving import Driver
from sb3_cardqn.seeds import VALIDATION_SEEDS


class _Shadowed:
    """
    An agent whose actions are repeated by a second car in an environment with the other picture.

    The race is bit-identical, so both pictures show the same moment at every agent step.

    :param model: the agent
    :param env: environment with the other picture
    :param seed: seed of the track
    """

    def __init__(self, model: Driver, env: VecEnv, seed: int) -> None:
        self._model, self._env = model, env
        env.seed(seed)
        self._obs: Any = env.reset()
        self.same: list[bool] = []  # for every agent step, True if both pictures lead to the same action

    def predict(self, obs: np.ndarray, **kwargs: Any) -> tuple[np.ndarray, Any]:
        """
        :param obs: observation that decides the action
        :param kwargs: keyword arguments of the agent's ``predict``
        :return: result of the agent's ``predict``
        """
        action, state = self._model.predict(obs, **kwargs)
        self.same.append(bool(action == self._model.predict(self._obs, **kwargs)[0]))
        self._obs = self._env.step(action)[0]
        return action, state


def bench_agent(agent: TrainedAgent, tracks: int = 50) -> list[tuple[Drive, Drive]]:
    """
    Drive the same tracks with the stock picture and with FastRender's, and print the difference.

    :param agent: an agent of ``find_agents``
    :param tracks: number of validation tracks, at least 2
    :return: for every track, the drive with the stock picture and the drive with FastRender's
    """
    from scipy.stats import bootstrap  # a second to import

    model = agent.load_model()
    stock_env, fast_env = make_env(agent, stock=True), make_env(agent, stock=False)
    pairs, same = [], []
    for seed in VALIDATION_SEEDS[:tracks]:
        shadowed = _Shadowed(model, fast_env, seed)
        *_, stock = drive(shadowed, stock_env, seed)
        *_, fast = drive(model, fast_env, seed)
        assert stock is not None
        assert fast is not None
        pairs.append((stock, fast))
        same += shadowed.same
    stock_env.close()
    fast_env.close()
    print(f"{'':10}{'mean score':>12}{'std':>8}{'laps finished':>15}")
    for name, drives in zip(("stock", "FastRender"), zip(*pairs, strict=True), strict=True):
        scores = [one.score for one in drives]
        laps = sum(one.lap_finished for one in drives)
        print(f"{name:10}{np.mean(scores):12.1f}{np.std(scores):8.1f}{laps:12d}/{len(pairs)}")
    differences = [fast.score - stock.score for stock, fast in pairs]
    low, high = bootstrap((differences,), np.mean, rng=0).confidence_interval
    print(
        f"FastRender - stock, paired over {len(pairs)} tracks: {np.mean(differences):+.1f}, "
        f"95 % bootstrap interval {low:+.1f} to {high:+.1f}"
    )
    print(
        f"Both pictures of a moment lead to the same action in {np.mean(same):.1%} of {len(same)} agent steps"
    )
    return pairs
