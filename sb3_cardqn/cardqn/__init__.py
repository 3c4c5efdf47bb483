"""CarDQN: the algorithm, its policies, heads and losses."""

from sb3_cardqn.cardqn.cardqn import CarDQN
from sb3_cardqn.cardqn.heads import DuelingHead, HistogramHead, QuantileHead
from sb3_cardqn.cardqn.policies import CarDQNPolicy, CnnPolicy, MlpPolicy, MultiInputPolicy
from sb3_cardqn.cardqn.q_network import QNetwork

__all__ = [
    "CarDQN",
    "CarDQNPolicy",
    "CnnPolicy",
    "DuelingHead",
    "HistogramHead",
    "MlpPolicy",
    "MultiInputPolicy",
    "QNetwork",
    "QuantileHead",
]
