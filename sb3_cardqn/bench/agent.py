"""Does an agent drive the same with both pictures; docs/explanation/fast_render.md has results."""

from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from sb3_cardqn.agents.trained import TrainedAgent
from sb3_cardqn.evaluate import Drive, drive, make_env
from sb3_cardqn.evaluate.driving import Driver
from sb3_cardqn.seeds import VALIDATION_SEEDS


class _Shadowed:
    """
    An agent that drives by the picture it gets; a second car takes the same actions under another picture.

    The race is bit-identical, so at each agent step both pictures show the same moment.

    :param model: the agent
    :param env: with the other picture
    :param seed: of the track
    """

    def __init__(self, model: Driver, env: VecEnv, seed: int) -> None:
        self._model, self._env = model, env
        env.seed(seed)
        self._obs: Any = env.reset()
        self.same: list[bool] = []  # of each agent step, whether both pictures lead to the same action

    def predict(self, obs: np.ndarray, **kwargs: Any) -> tuple[np.ndarray, Any]:
        """
        :param obs: the picture to drive by
        :param kwargs: as the agent's
        :return: as the agent's
        """
        action, state = self._model.predict(obs, **kwargs)
        self.same.append(bool(action == self._model.predict(self._obs, **kwargs)[0]))
        self._obs = self._env.step(action)[0]
        return action, state


def bench_agent(agent: TrainedAgent, tracks: int = 50) -> list[tuple[Drive, Drive]]:
    """
    Let an agent drive the same tracks with the stock picture and with FastRender's, and print the difference.

    :param agent: from ``find_agents``
    :param tracks: how many of the validation tracks
    :return: of each track the drive with the stock picture and with the fast one
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
        f"Same action from both pictures of the same moment: {np.mean(same):.1%} of {len(same)} agent steps"
    )
    return pairs
