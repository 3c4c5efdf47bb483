"""
Evaluation of saved agents of any algorithm on held-out tracks, or episodes of any other environment.

>>> from sb3_cardqn.evaluate import evaluate, table
>>> print(table(evaluate("logs/cardqn/CarRacing-v3_1")))  # doctest: +SKIP
"""

from sb3_cardqn.agents.find import find_agents
from sb3_cardqn.agents.saved import Agent, Run, WhichCheckpoint
from sb3_cardqn.evaluate.driving import Drive, Driver, check_seeds, drive, drive_at_random, make_env
from sb3_cardqn.evaluate.evaluation import Evaluation, evaluate, table

__all__ = [
    "Agent",
    "Drive",
    "Driver",
    "Evaluation",
    "Run",
    "WhichCheckpoint",
    "check_seeds",
    "drive",
    "drive_at_random",
    "evaluate",
    "find_agents",
    "make_env",
    "table",
]
