"""Exploration schedules by name, with the signature of SB3's ``LinearSchedule``."""

import math
from collections.abc import Callable

from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.common.utils import ConstantSchedule, LinearSchedule

from sb3_cardqn.checks import check_number


class ExponentialSchedule(LinearSchedule):
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

    def __call__(self, progress_remaining: float) -> float:
        """:param progress_remaining: 1 at the beginning, 0 at the end"""
        done = min((1 - progress_remaining) / self.end_fraction, 1.0)
        return self.start * (self.end / self.start) ** done


class CosineSchedule(LinearSchedule):
    """
    Half a cosine, flat at both ends: end + (start − end) · (1 + cos(π · done)) / 2.

    >>> CosineSchedule(1.0, 0.0, end_fraction=1.0)(0.5)
    0.5
    """

    def __call__(self, progress_remaining: float) -> float:
        """:param progress_remaining: 1 at the beginning, 0 at the end"""
        done = min((1 - progress_remaining) / self.end_fraction, 1.0)
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * done)) / 2


# name -> (start, end, end_fraction) -> schedule
DECAYS: dict[str, Callable[[float, float, float], Schedule]] = {
    "constant": lambda start, end, end_fraction: ConstantSchedule(end),
    "linear": LinearSchedule,
    "exponential": ExponentialSchedule,
    "cosine": CosineSchedule,
}
