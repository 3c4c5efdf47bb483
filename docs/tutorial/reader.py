"""What the tutorial's notebooks share: how much time they may take, and a check of a reader's answers."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

FAST = os.environ.get("FAST") == "1"  # budgets that only show that a cell runs


def budget(ample: int, fast: int) -> int:
    """
    :param ample: agent steps, updates, seeds, ... by default
    :param fast: the same with ``FAST=1``
    :return: what this run may use
    """
    return fast if FAST else ample


def check(answer: Callable[..., Any], *cases: tuple[tuple[Any, ...], Any]) -> bool:
    """
    Try a reader's function on examples, and say what it gave for the first that is wrong.

    >>> check(lambda x: 2 * x, ((1,), 2), ((2,), 4))
    right: 2 of 2
    True

    :param answer: function to try; one that still returns None is "not answered yet"
    :param cases: pairs of arguments and what is to come out, numbers or arrays, within 1e-5
    :return: whether all were right
    """
    for i, (arguments, expected) in enumerate(cases):
        got = answer(*arguments)
        if got is None:
            print("not answered yet")
            return False
        if np.shape(got) != np.shape(expected) or not np.allclose(got, expected, atol=1e-5):
            call = f"{answer.__name__}({', '.join(map(str, arguments))})"
            print(f"not yet: {call} should be {expected}, got {got}; {i} of {len(cases)} right")
            return False
    print(f"right: {len(cases)} of {len(cases)}")
    return True
