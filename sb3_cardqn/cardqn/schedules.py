"""How exploration shrinks: schedules with the signature of SB3's ``LinearSchedule``, and their names."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.common.utils import ConstantSchedule, LinearSchedule

from sb3_cardqn.checks import check_number


class _Decay(ABC):
    """
    Go from ``start`` to ``end`` over the first ``end_fraction`` of the progress, then stay.

    :param start: value when all progress remains
    :param end: value from ``end_fraction`` on
    :param end_fraction: part of the progress, in (0, 1], that the decay takes
    :raises ValueError: if one is no finite number, or out of range
    """

    def __init__(self, start: float, end: float, end_fraction: float = 1.0) -> None:
        name = type(self).__name__
        check_number(name, "start", start, -math.inf)
        check_number(name, "end", end, -math.inf)
        check_number(name, "end_fraction", end_fraction, 0, 1, above=True)
        self.start = start
        self.end = end
        self.end_fraction = end_fraction

    def __call__(self, progress_remaining: float) -> float:
        """
        :param progress_remaining: 1 at the beginning, 0 at the end
        :return: the value at that moment
        """
        return self._at(min((1 - progress_remaining) / self.end_fraction, 1.0))

    @abstractmethod
    def _at(self, done: float) -> float:
        """
        :param done: part of the decay that is over, 0 to 1
        :return: the value there
        """

    def __repr__(self) -> str:
        return f"{type(self).__name__}(start={self.start}, end={self.end}, end_fraction={self.end_fraction})"


class ExponentialSchedule(_Decay):
    """
    Shrink by the same factor each step: start · (end / start)^done.

    >>> ExponentialSchedule(1.0, 0.01, end_fraction=0.5)(0.75)
    0.1

    :raises ValueError: if ``start`` or ``end`` is not positive, since no factor leads to 0
    """

    def __init__(self, start: float, end: float, end_fraction: float = 1.0) -> None:
        check_number("ExponentialSchedule", "start", start, 0, above=True)
        check_number("ExponentialSchedule", "end", end, 0, above=True)
        super().__init__(start, end, end_fraction)

    def _at(self, done: float) -> float:
        return self.start * (self.end / self.start) ** done


class CosineSchedule(_Decay):
    """
    Leave slowly and arrive slowly: end + (start − end) · (1 + cos(π · done)) / 2.

    >>> CosineSchedule(1.0, 0.0)(0.5)
    0.5
    """

    def _at(self, done: float) -> float:
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * done)) / 2


# name -> (start, end, end_fraction) -> schedule
DECAYS: dict[str, Callable[[float, float, float], Schedule]] = {
    "constant": lambda start, end, end_fraction: ConstantSchedule(end),
    "linear": LinearSchedule,
    "exponential": ExponentialSchedule,
    "cosine": CosineSchedule,
}
