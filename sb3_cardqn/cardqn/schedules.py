"""Exploration schedules by name, with the signature of SB3's ``LinearSchedule``."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.common.utils import ConstantSchedule, LinearSchedule

from sb3_cardqn.checks import check_number


class _Decay(ABC):
    """
    Decay from ``start`` to ``end`` over the first ``end_fraction`` of the progress, then stay constant.

    :param start: initial value
    :param end: final value, reached at ``end_fraction``
    :param end_fraction: part of the progress that the decay takes, in (0, 1]
    :raises ValueError: if ``end_fraction`` is out of range
    """

    def __init__(self, start: float, end: float, end_fraction: float = 1.0) -> None:
        check_number(type(self).__name__, "end_fraction", end_fraction, 0, 1, above=True)
        self.start = start
        self.end = end
        self.end_fraction = end_fraction

    def __call__(self, progress_remaining: float) -> float:
        """
        :param progress_remaining: 1 at the beginning, 0 at the end
        :return: value of the schedule
        """
        return self._at(min((1 - progress_remaining) / self.end_fraction, 1.0))

    @abstractmethod
    def _at(self, done: float) -> float:
        """
        :param done: part of the decay that is over, in [0, 1]
        :return: value of the schedule
        """

    def __repr__(self) -> str:
        return f"{type(self).__name__}(start={self.start}, end={self.end}, end_fraction={self.end_fraction})"


class ExponentialSchedule(_Decay):
    """
    Shrink by the same factor every step: start · (end / start)^done.

    >>> ExponentialSchedule(1.0, 0.01, end_fraction=0.5)(0.75)
    0.1

    :raises ValueError: if ``start`` or ``end`` is not positive, because no factor reaches 0
    """

    def __init__(self, start: float, end: float, end_fraction: float = 1.0) -> None:
        check_number("ExponentialSchedule", "start", start, 0, above=True)
        check_number("ExponentialSchedule", "end", end, 0, above=True)
        super().__init__(start, end, end_fraction)

    def _at(self, done: float) -> float:
        return self.start * (self.end / self.start) ** done


class CosineSchedule(_Decay):
    """
    Half a cosine, flat at both ends: end + (start − end) · (1 + cos(π · done)) / 2.

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
