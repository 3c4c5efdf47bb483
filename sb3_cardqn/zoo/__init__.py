"""rl-zoo3 with cardqn in it: importing this room makes the algorithm known to the zoo."""

from sb3_cardqn.zoo.registry import register

register()
