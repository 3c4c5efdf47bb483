"""Head-to-head: many seeds of several algorithms, equal budgets, the same tracks, honest statistics."""

from sb3_cardqn.compare.comparison import compare
from sb3_cardqn.compare.plan import Contestant, Plan
from sb3_cardqn.compare.results import Results

__all__ = ["Contestant", "Plan", "Results", "compare"]
