"""
Videos of saved agents that drive side by side, with their scores, speeds and Q-values.

>>> from sb3_cardqn.race import race
>>> race(["logs/cardqn/CarRacing-v3_1", "SB3 DQN=logs/dqn/CarRacing-v3_1"], path="race.mp4")  # doctest: +SKIP
"""

from sb3_cardqn.race.film import animate, race

__all__ = ["animate", "race"]
