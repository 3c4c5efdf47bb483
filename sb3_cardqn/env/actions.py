"""DiscretizeActions: CarRacing's continuous controls as a list of discrete actions."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

ACTION_SETS: dict[str, list[list[float]]] = {
    # [steer, gas, brake] of each action: those of CarRacing(continuous=False), in the same order
    "default5": [[0, 0, 0], [0.6, 0, 0], [-0.6, 0, 0], [0, 0.2, 0], [0, 0, 0.8]],
    # steer left, straight, right × coast, half gas, full gas, brake
    "gas_and_steer12": [
        [steer, gas, brake] for steer in (-1, 0, 1) for gas, brake in ((0, 0), (0.5, 0), (1, 0), (0, 0.4))
    ],
}


class DiscretizeActions(gym.ActionWrapper, RecordConstructorArgs):
    """
    Offer a fixed list of ``[steer, gas, brake]`` rows as a ``Discrete`` action space.

    >>> env = DiscretizeActions(gym.make("CarRacing-v3"), actions="default5")
    >>> env.action_space
    Discrete(5)

    :param actions: name of a set in ``ACTION_SETS``, or rows of steer in [-1, 1], gas in [0, 1] and brake in
        [0, 1]. ``"default5"`` holds the actions of ``CarRacing(continuous=False)``, which never combine gas
        with steering; ``"gas_and_steer12"`` does.
    :raises TypeError: if the environment does not have CarRacing's Box action space
    :raises ValueError: if the name is unknown, or a row is not three numbers in that box
    """

    def __init__(self, env: gym.Env, actions: str | Sequence[Sequence[float]] = "gas_and_steer12") -> None:
        super().__init__(env)
        box, low, high = env.action_space, [-1, 0, 0], [1, 1, 1]
        if not (
            isinstance(box, spaces.Box) and np.array_equal(box.low, low) and np.array_equal(box.high, high)
        ):
            raise TypeError(
                "DiscretizeActions needs an environment with CarRacing's Box action space "
                f"[-1, 0, 0] to [1, 1, 1], got {box}"
            )
        if isinstance(actions, str):
            if actions not in ACTION_SETS:
                raise ValueError(
                    f"DiscretizeActions needs actions from {sorted(ACTION_SETS)}, got '{actions}'"
                )
            actions = ACTION_SETS[actions]
        # CarRacing computes in float64, where float32's 0.6 is another number than 0.6
        try:
            self.actions = np.array(actions, dtype=np.float64)  # (n, 3)
        except (TypeError, ValueError, OverflowError):  # rows of different lengths, or not of numbers
            self.actions = np.empty(0)
        is_table = self.actions.ndim == 2 and self.actions.shape[1] == 3 and len(self.actions) > 0
        if not (is_table and ((low <= self.actions) & (self.actions <= high)).all()):
            raise ValueError(
                "DiscretizeActions needs actions to be rows of [steer, gas, brake] within [-1, 0, 0] and "
                f"[1, 1, 1], got {actions!r}"
            )
        RecordConstructorArgs.__init__(self, actions=self.actions.tolist())  # as JSON can write it
        self.action_space = spaces.Discrete(len(self.actions))

    def action(self, action: Any) -> np.ndarray:
        """
        Look up the controls of an action.

        :param action: index in ``[0, n)``
        :return: (3,) float64 steer, gas, brake
        :raises ValueError: if the index is not in the action space
        """
        known = type(action) is np.int64 and 0 <= action < len(self.actions)  # contains() is slow
        if not (known or self.action_space.contains(action)):
            raise ValueError(f"DiscretizeActions needs an action in {self.action_space}, got {action!r}")
        return self.actions[int(action)].copy()  # an index, also if it is True
