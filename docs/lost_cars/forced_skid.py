"""Count on how many laps agents come back after a forced skid: python forced_skid.py RUN ..."""

import sys
from typing import Any

import numpy as np

from sb3_cardqn.agents.find import find_agents
from sb3_cardqn.agents.trained import TrainedAgent
from sb3_cardqn.evaluate.driving import make_env

TRACKS = range(100_000, 100_060)
MOMENTS = 40, 120  # agent steps before the skid, at least and below
HELD = 6  # agent steps of full lock and gas
LEFT, RIGHT = 2, 10  # such actions of gas_and_steer12
LOST = 20  # tiles missed by a lap that still counts as back


def comes_back(model: Any, env: Any, seed: int) -> bool:
    """
    :param model: the agent
    :param env: result of ``make_env``
    :param seed: seed of the track, and of the skid's moment and direction
    :return: True if the lap misses no more than ``LOST`` tiles
    """
    rng = np.random.default_rng(seed - TRACKS.start)
    start, skid = int(rng.integers(*MOMENTS)), [LEFT, RIGHT][int(rng.integers(2))]
    env.seed(seed)
    obs, done, step = env.reset(), False, 0
    while not done:
        action, _ = model.predict(obs, deterministic=True)
        obs, _, dones, infos = env.step([skid] if start <= step < start + HELD else action)
        done, step = dones[0], step + 1
    return infos[0]["missed_tiles"] <= LOST


def count(agent: TrainedAgent) -> int:
    """
    :param agent: an agent with the actions ``gas_and_steer12``
    :return: laps on which it comes back
    """
    model, env = agent.load_model(), make_env(agent, stock=False)
    return sum(comes_back(model, env, seed) for seed in TRACKS)


if __name__ == "__main__":
    for agent in find_agents(sys.argv[1:], checkpoint="final"):
        print(f"{agent.name}: {count(agent)} of {len(TRACKS)}")
