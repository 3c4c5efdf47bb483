"""Count on how many laps agents come back after a forced skid: python forced_skid.py RUN ..."""

import sys
from typing import Any

import numpy as np

from sb3_cardqn.agents.find import find_agents
from sb3_cardqn.agents.saved import TrainedAgent
from sb3_cardqn.evaluate.driving import Driver, drive, make_env
from sb3_cardqn.evaluate.evaluation import LOST

TRACKS = range(100_000, 100_060)
MOMENTS = 40, 120  # agent steps before the skid, at least and below
HELD = 6  # agent steps of full lock and gas
SKIDS = 2, 10  # gas to the left and to the right, of gas_and_steer12


class Skidding:
    """
    An agent whose actions are replaced by a skid once in an episode.

    :param model: the agent, with the actions ``gas_and_steer12``
    :param seed: seed of the skid's moment and direction
    """

    def __init__(self, model: Driver, seed: int) -> None:
        rng = np.random.default_rng(seed)
        start = int(rng.integers(*MOMENTS))
        self._model, self._step = model, 0
        self._skids, self._skid = range(start, start + HELD), SKIDS[rng.integers(2)]

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """
        :param args: passed on
        :param kwargs: passed on
        :return: actions, state
        """
        action, state = self._model.predict(*args, **kwargs)
        skids = self._step in self._skids
        self._step += 1
        return np.full_like(action, self._skid) if skids else action, state


def count(agent: TrainedAgent) -> int:
    """
    :param agent: an agent
    :return: laps on which it comes back, so that its car is not lost
    """
    model, env = agent.load_model(), make_env(agent, stock=False)
    laps = [list(drive(Skidding(model, number), env, seed))[-1] for number, seed in enumerate(TRACKS)]
    return sum(lap is not None and lap.missed_tiles is not None and lap.missed_tiles <= LOST for lap in laps)


if __name__ == "__main__":
    for agent in find_agents(sys.argv[1:], checkpoint="final"):
        print(f"{agent.name}: {count(agent)} of {len(TRACKS)}")
