"""Digits after the decimal point: as many as the size of the numbers asks for."""

import math
from collections.abc import Iterable, Mapping

from sb3_cardqn.env.task import Task


def decimals(values: Iterable[float | None], least: int = 0, significant: int = 3) -> int:
    """
    Choose the digits after the decimal point that show the largest of some numbers with three digits.

    >>> decimals([926.4, -61.0]), decimals([11.2]), decimals([0.74, 0.03])
    (0, 1, 3)

    :param values: numbers to show with the same digits, such as scores and the reward threshold; None, NaN
        and infinite ones do not count
    :param least: fewest digits after the decimal point
    :param significant: digits of the largest number, with those before the decimal point
    :return: digits after the decimal point
    """
    sizes = (abs(value) for value in values if value is not None and math.isfinite(value))
    largest = max(sizes, default=0)
    return max(least, significant - 1 - math.floor(math.log10(largest))) if largest else least


def time_spent(amount: float) -> str:
    """
    Round minutes or hours to one digit after the decimal point, or to more where one would read 0.

    >>> time_spent(17.14), time_spent(0.042)
    ('17.1', '0.04')

    :param amount: minutes or hours
    :return: text
    """
    return f"{amount:,.{decimals([amount], least=1, significant=1)}f}"


def score_text(task: Task, score: float, least: int = 0) -> str:
    """
    Round a score alone to the digits that its environment asks for.

    >>> score_text(Task("CartPole-v1"), 57.3), score_text(Task("FrozenLake-v1"), 1.0, 1)
    ('57', '1.00')

    :param task: task of the environment
    :param score: one score
    :param least: fewest digits after the decimal point
    :return: text
    """
    return f"{score:.{decimals([task.solved, score], least)}f}"


def score_decimals(task: Task, summaries: Iterable[Mapping[str, float]]) -> int:
    """
    Choose the digits after the decimal point for the scores of some evaluations, at least one.

    >>> score_decimals(Task("FrozenLake-v1"), [{"mean": 0.74, "median": 1.0, "minimum": 0.0}])
    2

    :param task: task of the environment
    :param summaries: results of ``Evaluation.summary``
    :return: digits after the decimal point, the same for all
    """
    shown = [summary[key] for summary in summaries for key in ("mean", "median", "minimum")]
    return decimals([task.solved, *shown], least=1)
