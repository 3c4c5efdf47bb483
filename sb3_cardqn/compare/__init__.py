"""Comparison of several algorithms over many seeds, with equal budgets, the same tracks and statistics."""

from sb3_cardqn.compare.comparison import compare
from sb3_cardqn.compare.contestant import Contestant
from sb3_cardqn.compare.plan import Plan
from sb3_cardqn.compare.results import Results

__all__ = ["Contestant", "Plan", "Results", "compare"]
