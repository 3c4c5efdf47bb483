"""PerturbActions and RestartBeforeLoss: training-only wrappers against lost cars."""

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from sb3_cardqn.checks import check_number, check_whole


class PerturbActions(gym.Wrapper, RecordConstructorArgs):
    """
    Replace some actions by random ones, without telling the agent.

    Randomly chosen actions belong to the environment, so they lower the value of driving at the limit, where one
    wrong action loses the car. Random actions of epsilon-greedy do not: Q-learning's values are those of the
    greedy policy.

    >>> env = PerturbActions(gym.make("CartPole-v1"), probability=0.05)

    :param probability: of replacing an action, in [0, 1]
    :raises TypeError: if actions are not discrete
    :raises ValueError: if ``probability`` is outside [0, 1]
    """

    training_only = True

    def __init__(self, env: gym.Env, probability: float = 0.05) -> None:
        check_number("PerturbActions", "probability", probability, 0)
        RecordConstructorArgs.__init__(self, probability=probability)
        super().__init__(env)
        if not isinstance(env.action_space, spaces.Discrete):
            raise TypeError(f"PerturbActions needs discrete actions, got {env.action_space}")
        self.probability = probability
        self._space = env.action_space

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """
        :param action: passed on, or replaced
        :return: the environment's step
        """
        if self.np_random.random() < self.probability:
            action = self._space.start + int(self.np_random.integers(self._space.n))
        return self.env.step(action)


class Moment(NamedTuple):
    """A mistake, and how to get there again."""

    start: dict[str, Any]  # arguments of reset, and the random state before it
    actions: list[Any]
    step: int  # index of the step before which the car went wrong


class RestartBeforeLoss(gym.Wrapper, RecordConstructorArgs):
    """
    Begin some episodes shortly before an earlier mistake.

    The track is made again from its random state and the earlier actions are driven again; then the agent takes over.
    A mistake is forgotten when the agent gets past it.

    :param probability: fraction of episodes that begin before a mistake, in [0, 1]
    :param capacity: mistakes to remember, the latest, at least 1
    :param earliest: agent steps before the mistake, at most
    :param latest: agent steps before the mistake, at least
    """

    training_only = True
    PAST = 25  # agent steps after the mistake's place without another

    def __init__(
        self, env: gym.Env, probability: float = 0.2, capacity: int = 10, earliest: int = 40, latest: int = 10
    ) -> None:
        check_number("RestartBeforeLoss", "probability", probability, 0)
        capacity = check_whole("RestartBeforeLoss", "capacity", capacity)
        RecordConstructorArgs.__init__(
            self, probability=probability, capacity=capacity, earliest=earliest, latest=latest
        )
        super().__init__(env)
        self.probability, self.capacity, self.earliest, self.latest = probability, capacity, earliest, latest
        self._moments: list[Moment] = []
        self._begin({})
        self.counts = {"restarts": 0, "past": 0, "again": 0, "mistakes": 0}

    def _begin(self, start: dict[str, Any]) -> None:
        self._start, self._actions, self._progress, self._touched = start, [], 0, 0
        self._retried: Moment | None = None

    def _state(self) -> dict[str, Any]:
        return dict(self.np_random.bit_generator.state)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        random = self.np_random
        if seed is None and self._moments and random.random() < self.probability:
            moment = self._moments[int(random.integers(len(self._moments)))]
            steps = max(0, moment.step - int(random.integers(self.latest, self.earliest + 1)))
            then = self._state()
            self.np_random.bit_generator.state = moment.start["random"]
            observation, info = self.env.reset(**moment.start["reset"])
            self._begin(moment.start)
            self._retried = moment
            for action in moment.actions[:steps]:
                observation, _, terminated, truncated, info = self.env.step(action)
                assert not terminated and not truncated
            self._actions = list(moment.actions[:steps])
            self.np_random.bit_generator.state = then
            self.counts["restarts"] += 1
            return observation, info
        self._begin({"random": self._state(), "reset": {"seed": seed, "options": options}})
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._actions.append(int(action))
        car_racing: Any = self.unwrapped
        mistake = info.get("mistakes", 0) > 0
        if car_racing.tile_visited_count > self._touched:
            self._touched, self._progress = car_racing.tile_visited_count, len(self._actions)
        moment = self._retried
        if mistake:
            self.counts["mistakes"] += 1
        if moment is None:
            if mistake:
                where = self._progress if terminated else len(self._actions)
                self._moments.append(Moment(self._start, self._actions[:where], where))
                del self._moments[: -self.capacity]
        elif moment in self._moments:
            if mistake:
                self.counts["again"] += 1
                self._retried = moment._replace(step=-1)  # counted
            elif len(self._actions) == moment.step + self.PAST:
                self.counts["past"] += 1
                self._moments.remove(moment)
        return observation, reward, terminated, truncated, info
